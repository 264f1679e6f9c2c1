#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The documentation's examples print what it says they print.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../userspace/tap.sh
. "${0%/*}/tap.sh"

root=$(realpath "$here/../../..")
output=$root/Documentation/output

for example in heap words; do
	ok "$example" diff "$output/$example.txt" \
		<("$root/build/examples/$example" </dev/null)
done
ok "module parameters" diff <(sed 1d "$output/modinfo.txt") \
	<(modinfo -F parm "$PYMALLOC_MODULE")
finish
