# SPDX-License-Identifier: GPL-2.0
"""Looks at what `pymalloc export` printed: metrics.py FILE EXPRESSION [SHOWN]

FILE is parsed by the client library of Prometheus: as OpenMetrics if it ends as that does, and
else in Prometheus' older text format. EXPRESSION must be true;
it can use what is defined here. SHOWN is what `pymalloc show --json` printed about a heap.
"""
import json
import sys

import prometheus_client.openmetrics.parser
import prometheus_client.parser

with open(sys.argv[1], newline="", encoding="utf-8") as stream:
    text = stream.read()
openmetrics = text.endswith("# EOF\n")
parser = prometheus_client.openmetrics.parser if openmetrics else prometheus_client.parser
families = {family.name: family for family in parser.text_string_to_metric_families(text)}
samples = [sample for family in families.values() for sample in family.samples]
shown = None
if len(sys.argv) > 3:
    with open(sys.argv[3], encoding="utf-8") as stream:
        shown = json.load(stream)

# The field of `show` that each figure is, by what tells the figure from others of the heap.
HEAP = {
    "page_bytes": "bytes", "page_peak_bytes": "peak", "shared_bytes": "shared",
    "pss_bytes": "pss", "metadata_bytes": "metadata", "limit_bytes": "limit",
    "threshold_bytes": "threshold", "block_bytes": "block_bytes", "run_bytes": "run_bytes",
    "blocks": "blocks", "runs": "runs", "pools used": "pools_used",
    "pools full": "pools_full", "pools empty": "pools_empty",
    "pools_meshed": "pools_meshed", "arenas object": "arenas", "arenas runs": "run_arenas",
    "threads": "threads", "allocs_total": "allocs", "frees_total": "frees",
    "bad_refs_total": "bad_refs", "pages_in_total": "pages_in",
    "pages_out_total": "pages_out", "pages_meshed_total": "pages_meshed",
    "pages_decayed_total": "pages_decayed", "pages_shrunk_total": "pages_shrunk",
    "blocks_stolen_total": "blocks_stolen",
}
CLASS = {
    "pools used": "pools_used", "pools full": "pools_full", "blocks allocated": "blocks",
    "blocks free": "free", "blocks untouched": "untouched", "allocs_total": "allocs",
    "frees_total": "frees",
}


def heaps():
    """The numbers of the heaps that have figures."""
    return {int(sample.labels["heap"]) for sample in samples if "heap" in sample.labels}


def values(name, **labels):
    """The values of the samples with this name and these labels."""
    return [sample.value for sample in samples
            if sample.name == name and labels.items() <= sample.labels.items()]


def figures(prefix, **labels):
    """All figures with these labels, by the rest of the name and what the figure is of."""
    found = {}
    for sample in samples:
        if not (sample.name.startswith(prefix) and labels.items() <= sample.labels.items()):
            continue
        kind = sample.labels.get("state") or sample.labels.get("kind")
        name = sample.name[len(prefix):] + (f" {kind}" if kind else "")
        assert name not in found, f"{name} is there twice"
        found[name] = sample.value
    return found


def fields(names, record):
    """What `show` says, as figures() does. What does not exist is no figure."""
    return {name: record[field] for name, field in names.items()
            if record[field] is not None}


def same_heap():
    """Whether the figures of the heap are those that were shown."""
    found = figures("pymalloc_heap_", heap=str(shown["heap"]["heap"]))
    wanted = fields(HEAP, shown["heap"])
    print(found, wanted, sep="\n")
    return found == wanted


def same_classes():
    """Whether the figures of the heap's size classes are those that were shown."""
    heap = str(shown["heap"]["heap"])
    sizes = {sample.labels["size"] for sample in samples
             if sample.labels.get("heap") == heap and "size" in sample.labels}
    found = {size: figures("pymalloc_heap_class_", heap=heap, size=size) for size in sizes}
    wanted = {str(record["size"]): fields(CLASS, record) for record in shown["classes"]}
    print(found, wanted, sep="\n")
    return found == wanted and len(found) > 1


# Whoever evaluates it is a script of the same directory.
if not eval(f"({sys.argv[2]})"):  # pylint: disable=eval-used
    sys.exit(text)
