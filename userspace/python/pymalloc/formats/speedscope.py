# SPDX-License-Identifier: LGPL-2.1-or-later
"""The file format of speedscope: a profile of samples, whose weights are bytes."""
import json

from ..stacks import held
from .merged import root

SCHEMA = "https://www.speedscope.app/file-format-schema.json"


def _frame(place):
    frame = {"name": place.label() if place.function is None else place.function}
    if place.file is not None:
        frame["file"] = place.file
        if place.line:
            frame["line"] = place.line
    elif place.object:
        frame["file"] = place.object.path
    return frame


def _profile(section, names, frames):
    sums = {}
    for each in held([section], names):
        path = tuple(frames.setdefault(place, len(frames)) for place in reversed(each.stack))
        sums[path] = sums.get(path, 0) + each.bytes
    weights = [round(size) for size in sums.values()]
    return {"type": "sampled", "name": f"{root(section)}, heap {section.heap}", "unit": "bytes",
            "startValue": 0, "endValue": sum(weights), "samples": list(map(list, sums)),
            "weights": weights}


def write(sections, names, stream):
    """Write one profile for each heap."""
    frames = {}
    profiles = [_profile(section, names, frames) for section in sections]
    text = json.dumps({"$schema": SCHEMA, "exporter": "pymalloc", "name": root(sections[0]),
                       "activeProfileIndex": 0, "profiles": profiles,
                       "shared": {"frames": list(map(_frame, frames))}})
    stream.write(text.encode())
