#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Sites of a Python program: the frames that the library finds are those that Python
# itself reports. This needs no device.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=tap.sh
. "${0%/*}/tap.sh"

python=/usr/bin/python3.11
program=$here/sites_python.py

# Each block of the interpreter is one of malloc().
probed()
{
	PYTHONMALLOC=malloc LD_PRELOAD=$here/sites_probe.so "$python" "$program" "$1"
}

[ -x "$python" ] || { echo "1..0 # SKIP no $python"; exit 0; }
"$python" "$program" >"$scratch/tests" || exit 1
while read -r name what; do
	ok "$what" probed "$name"
done <"$scratch/tests"
finish
