# SPDX-License-Identifier: LGPL-2.1-or-later
"""The version, which stands only in Kbuild; pyproject.toml has everything else."""
import pathlib
import re

from setuptools import setup

KBUILD = pathlib.Path(__file__).resolve().parents[2] / "Kbuild"

setup(version=re.search(r"^PYMALLOC_VERSION := (\S+)$", KBUILD.read_text("utf-8"),
                        re.MULTILINE)[1])
