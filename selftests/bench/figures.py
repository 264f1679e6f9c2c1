# SPDX-License-Identifier: GPL-2.0
"""Figures: all benchmarks print each one as a line "workload,subject,metric,value"."""

import csv
import os
from collections import defaultdict


def read(paths):
    """Read figures: (workload, subject, metric) -> a list with one for each repetition."""
    raw = defaultdict(list)
    for path in paths:
        with open(path, encoding="utf-8") as lines:
            for workload, subject, metric, value in csv.reader(lines):
                raw[workload, subject, metric].append(float(value))
    return raw


def write(path, found):
    """Write figures to a CSV file: (workload, subject, metric) -> value."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["workload", "subject", "metric", "value"])
        for key, value in found.items():
            writer.writerow([*key, f"{value:.4f}"])


def cell(value, width=10):
    if value is None:
        return f"{'-':>{width}}"
    return f"{value:>{width}.0f}" if value >= 10000 else f"{value:>{width}.2f}"


def print_table(title, found, metrics, subjects, workloads):
    """Print one line for each workload that has figures, one column for each subject."""
    widths = [max(10, len(name) + 2) for name in subjects]
    print(f"\n{title}\n\n{'':<28}" + "".join(map(str.rjust, subjects, widths)))
    for workload, label in workloads.items():
        for metric in metrics:
            values = [found.get((workload, subject, metric)) for subject in subjects]
            if any(values):
                print(f"{label:<28}" + "".join(map(cell, values, widths)))


class Target:
    """A bound for a figure that the function @measured computes."""

    def __init__(self, case, what, measured, at_least=None, at_most=None):
        self.case = case
        self.what = what
        self.measured = measured
        self.at_least = at_least
        self.at_most = at_most

    def line(self, *figures):
        measured = self.measured(*figures)
        if measured is None:
            verdict, shown = "not measured", "-"
        else:
            met = (measured >= self.at_least if self.at_least
                   else measured <= self.at_most)
            verdict, shown = "met" if met else "MISSED", f"{measured:.3f}"
        bound = (f">= {self.at_least}" if self.at_least else f"<= {self.at_most}")
        return f"  ({self.case}) {self.what:<58}{shown:>8}  {bound:<9}{verdict}"


def print_targets(targets, *figures):
    print("\nTargets\n")
    for target in targets:
        print(target.line(*figures))
