# SPDX-License-Identifier: GPL-2.0
#
# gnuplot -c plot-python.gp UNIT python.dat python.svg: the report's ratios,
# one group of bars for each program.

set terminal svg size 1100,760 font "sans,12" background "white"
set output ARG3
data = ARG2
subjects = "pymalloc glibc jemalloc tcmalloc mimalloc service"

set style data histogram
set style histogram cluster gap 1
set style fill solid 0.85 noborder
set grid ytics lc rgb "#dddddd"
set border 3
set tics nomirror out
set xtics scale 0
set yrange [0:*]
set key outside right top

# CPython, other allocators, ours.
colours = "0xe09f3e 0x6c757d 0x9a9a9a 0xb8b8b8 0xd6d6d6 0x2a6f97"
colour(n) = int(word(colours, n))

set multiplot layout 2,1
do for [part = 0:1] {
	set title word("'".ARG1.", to those of pymalloc' 'Memory with each 200th item left, to that of pymalloc'", \
		part + 1)
	plot 1 with lines lc rgb "#000000" notitle, for [i = 1:6] \
		data using (column(1 + 6 * part + i)):xtic(1) \
		lc rgb colour(i) title word(subjects, i)
}
unset multiplot
