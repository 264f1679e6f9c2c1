# SPDX-License-Identifier: GPL-2.0
"""A Sphinx directive that draws the table before it. So a picture never shows
other figures than the text:

    .. chart:: What the picture shows
       :columns: 2-9
       :rows: 1-3
       :from: 0.8
       :log:

A group of bars for each of the rows, a bar for each of the columns; both are
counted from 1, without the heading, and the first column names the rows. The
heading names the columns. @from is where the axis begins.
"""

import os
import re
import subprocess
import tempfile
import textwrap

from docutils import nodes
from docutils.parsers.rst import Directive, directives

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "chart.gp")

# How many characters fit below the bars.
LABELS = 85


def cells(part):
    """The text of a table's head or body, row by row."""
    return [[entry.astext() for entry in row.findall(nodes.entry)]
            for row in part.findall(nodes.row)]


def indices(text):
    """The numbers that "1,3-5" means, counted from 0."""
    for part in text.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first) - 1, int(last or first))


def number(text):
    value = text.replace(",", "")
    return value if re.fullmatch(r"[0-9.]+", value) else "?"


class Chart(Directive):
    required_arguments = 1
    final_argument_whitespace = True
    option_spec = {
        "columns": directives.unchanged,
        "rows": directives.unchanged,
        "from": directives.unchanged,
        "log": directives.flag,
    }

    def table(self):
        tables = list(self.state.parent.findall(nodes.table))
        if not tables:
            raise self.error("there is no table before this chart")
        heads = cells(next(tables[-1].findall(nodes.thead)))
        body = cells(next(tables[-1].findall(nodes.tbody)))
        return heads[0], body

    def lines(self):
        """The data for gnuplot: the names of the bars, then a line for each group."""
        names, body = self.table()
        columns = list(indices(self.options.get("columns", f"2-{len(names)}")))
        yield ["group"] + [names[column] for column in columns]
        rows = list(indices(self.options.get("rows", f"1-{len(body)}")))
        for row in rows:
            label = "\\n".join(textwrap.wrap(body[row][0], LABELS // len(rows),
                                              break_long_words=False))
            yield [f'"{label}"'] + [number(body[row][column]) for column in columns]

    def draw(self, path):
        lines = list(self.lines())
        with tempfile.NamedTemporaryFile("w", suffix=".dat") as data:
            data.writelines("\t".join(line) + "\n" for line in lines)
            data.flush()
            subprocess.run(
                ["gnuplot", "-c", SCRIPT, path, data.name,
                 str(len(lines[0]) - 1), str(len(lines) - 1), self.arguments[0], self.options.get("from", "0"),
                 str(int("log" in self.options))], check=True)

    def run(self):
        env = self.state.document.settings.env
        name = f"{env.docname}-{env.new_serialno('chart')}.svg"
        folder = os.path.join(env.app.outdir, "_images")
        os.makedirs(folder, exist_ok=True)
        env.note_dependency(SCRIPT)
        self.draw(os.path.join(folder, name))
        image = f'<img class="chart" src="_images/{name}" alt="{self.arguments[0]}">'
        return [nodes.raw("", image, format="html")]


def setup(app):
    app.add_directive("chart", Chart)
    return {"parallel_read_safe": True}
