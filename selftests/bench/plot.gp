# SPDX-License-Identifier: GPL-2.0
#
# gnuplot -c plot.gp UNIT alloc.dat alloc.svg: the report's figures, one
# bar for each subject.

set terminal svg size 1100,760 font "sans,12" background "white"
set output ARG3
data = ARG2

set datafile missing "?"
set style fill solid 0.85 noborder
set boxwidth 0.75
set grid ytics lc rgb "#dddddd"
set border 3
set tics nomirror out
set xtics rotate by -35 scale 0
set yrange [0:*]
unset key

# Ours, CPython, other allocators.
colour(n) = n < 3 ? 0x2a6f97 : n < 4 ? 0xe09f3e : 0x9a9a9a

set multiplot layout 2,3 title ARG1." an operation"
titles = "'(a) one 64-byte block' '(b) 1000 blocks, LIFO' " \
	."'(c) 100,000 live, replaced' '(f) the same, 10,000 arenas' " \
	."'(e) first touch of 100 MB' '(e) its page faults'"
do for [i = 1:6] {
	set title word(titles, i)
	if (i == 6) {
		set logscale y
		set yrange [1:*]
	}
	plot data using 0:(column(i + 1)):(colour($0)):xtic(1) \
		with boxes lc rgb variable
}
unset multiplot
