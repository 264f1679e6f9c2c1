# SPDX-License-Identifier: LGPL-2.1-or-later
"""mprof's .dat files: MEM lines, of MiB and seconds, made of what `pymalloc record` writes."""

VERSION_LINE = "# pymalloc record 1"
BEGUN = "# begun "
MIB = 1 << 20


def parse_record(text):
    """What `pymalloc record` has written: the names of its columns, its lines of numbers, and
    when it has begun, in seconds since 1970.

    The last line may be cut off, as the file may still be written.  Raises ValueError.
    """
    lines = text.split("\n")
    if lines[0] != VERSION_LINE:
        raise ValueError("line 1: this is no file of `pymalloc record`, or of another version")
    if len(lines) < 3:
        raise ValueError("line 2: the names of the columns are not there")
    columns = lines[1].split("\t")
    if columns[0] != "SECONDS" or len(set(columns)) < len(columns):
        raise ValueError("line 2: these are no names of columns")
    rows = []
    begun = 0
    for number, line in enumerate(lines[2:-1], 3):
        if line.startswith(BEGUN):
            begun, = _numbers(number, [line.removeprefix(BEGUN)])
            continue
        words = line.split("\t")
        if len(words) != len(columns):
            raise ValueError(f"line {number}: {len(words)} words, not {len(columns)}")
        rows.append(_numbers(number, words))
    return columns, rows, begun


def _numbers(number, words):
    if not all(word.replace(".", "", 1).isascii() and
               word.replace(".", "", 1).isdigit() and len(word) < 32 for word in words):
        raise ValueError(f"line {number}: not all are numbers")
    return list(map(float, words))


def write(text, column, stream):
    """Write the figures of one column.  Times are since 1970, as those of `--marks`."""
    columns, rows, begun = parse_record(text)
    if column not in columns[1:]:
        raise ValueError(f"there is no column {column}: {', '.join(columns[1:])}")
    place = columns.index(column)
    stream.write(b"CMDLINE pymalloc record\n")
    for row in rows:
        stream.write(f"MEM {row[place] / MIB:.6f} {begun + row[0]:.4f}\n".encode())
