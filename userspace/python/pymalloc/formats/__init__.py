# SPDX-License-Identifier: LGPL-2.1-or-later
"""Formats of other tools that snapshots of heaps can be written in.

Each module but mprof has write(sections, names, stream), which writes to a binary stream:
sections are those of a snapshot (pymalloc.sites), names what pymalloc.stacks knows of frames.
"""
