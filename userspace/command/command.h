/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The subcommands and their exit statuses. */
#ifndef _PYMALLOC_COMMAND_H
#define _PYMALLOC_COMMAND_H

/* Exit statuses beside 0; grep(1) and ls(1) have 2 for a wrong line, too. */
#define EXIT_FAILED	1
#define EXIT_USAGE	2
/* Of diff --fail-on-growth. */
#define EXIT_GROWN	3

/*
 * The subcommands, each in the file of its name: they parse their own arguments and return
 * the exit status.
 */
int run_main(int argc, char **argv);
int ls_main(int argc, char **argv);
int show_main(int argc, char **argv);
int map_main(int argc, char **argv);
int check_main(int argc, char **argv);
int forget_main(int argc, char **argv);
int trim_main(int argc, char **argv);
int compact_main(int argc, char **argv);
int policy_main(int argc, char **argv);
int stat_main(int argc, char **argv);
int record_main(int argc, char **argv);
int plot_main(int argc, char **argv);
int top_main(int argc, char **argv);
int export_main(int argc, char **argv);
int trace_main(int argc, char **argv);
int snapshot_main(int argc, char **argv);
int report_main(int argc, char **argv);
int diff_main(int argc, char **argv);
int growing_main(int argc, char **argv);
int leaks_main(int argc, char **argv);
int convert_main(int argc, char **argv);
int serve_main(int argc, char **argv);

#endif /* _PYMALLOC_COMMAND_H */
