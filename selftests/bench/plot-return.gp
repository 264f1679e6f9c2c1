# SPDX-License-Identifier: GPL-2.0
#
# gnuplot -c plot-return.gp return.dat return.svg: the report's figures over time, one
# curve for each subject.

set terminal svg size 1100,760 font "sans,12" background "white"
set output ARG2
data = ARG1
subjects = "library service pymalloc glibc jemalloc tcmalloc mimalloc"

set datafile missing "?"
set grid ytics lc rgb "#dddddd"
set border 3
set tics nomirror out
set xtics ("all live" -2, "freed" 0, "10 s" 10, "20 s" 20, "30 s" 30, "trim" 32) rotate by -35
set xrange [-2:32]
set yrange [0:*]
set key outside bottom center horizontal

# Ours, CPython, other allocators.
colours = "0x2a6f97 0x61a5c2 0xe09f3e 0x6c757d 0x9a9a9a 0xb8b8b8 0xd6d6d6"
colour(n) = int(word(colours, n))

set multiplot layout 2,3 title "MB of memory"
do for [workload = 0:5] {
	set title "" noenhanced
	stats data index workload every ::0::0 using (0):(title = strcol(1), 0) nooutput
	set title title
	plot for [i = 1:7] data index workload every ::1 using 1:i + 1 \
		with lines lw 2 lc rgb colour(i) title word(subjects, i)
}
unset multiplot
