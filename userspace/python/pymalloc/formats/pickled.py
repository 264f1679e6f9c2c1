# SPDX-License-Identifier: LGPL-2.1-or-later
"""The pickle that tracemalloc.Snapshot.load() of Python opens."""
import pickle

from ..snapshot import to_tracemalloc


def write(sections, names, stream):
    """Write what tracemalloc.Snapshot.dump() would."""
    pickle.dump(to_tracemalloc(sections, names), stream, pickle.HIGHEST_PROTOCOL)
