# SPDX-License-Identifier: GPL-2.0
#
# gnuplot -c chart.gp SVG DATA BARS GROUPS TITLE FROM LOG: draw a group of bars for
# each line of a table. The first line of the table names the bars, and the first
# column names the groups.

set terminal svg size 800,340 font "sans,12" background "white"
set output ARG1
set title ARG5 noenhanced
set datafile separator "\t"
set datafile missing "?"

set style data histogram
set style histogram cluster gap 1
set style fill solid 0.85 noborder
set grid ytics lc rgb "#dddddd"
set border 3
set tics nomirror out
set xtics scale 0 noenhanced
set bmargin 4
set xrange [-0.6:ARG4 - 0.4]
set yrange [ARG6 + 0:*]
if (ARG7 + 0) { set logscale y }
set key outside right top noenhanced

# The service's bars are blue, CPython's orange, those of others grey.
ours = "library inline shim service"
blues = "0x2a6f97 0x61a5c2 0x89c2d9 0x014f86"
others = "glibc jemalloc tcmalloc mimalloc"
greys = "0x5c6369 0x868e96 0xadb5bd 0xd3d8dd"
at(list, name) = sum [i = 1:words(list)] (word(list, i) eq name) * i
names = system("head -n 1 ".ARG2." | cut -f 2-")
colour(name) = int(at(ours, name) ? word(blues, at(ours, name)) : \
	at(others, name) ? word(greys, at(others, name)) : "0xe09f3e")

plot for [i = 2:ARG3 + 1] ARG2 using i:xtic(1) title columnheader(i) \
	lc rgb colour(word(names, i - 1))
