/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The subcommands, and how they end. */
#ifndef _PYMALLOC_COMMAND_H
#define _PYMALLOC_COMMAND_H

/* Beside 0 for success. */
#define EXIT_FAILED	1
#define EXIT_USAGE	2

/* Each parses its own arguments and returns the exit status. */
int run_main(int argc, char **argv);
int ls_main(int argc, char **argv);
int show_main(int argc, char **argv);
int map_main(int argc, char **argv);
int check_main(int argc, char **argv);
int trim_main(int argc, char **argv);

#endif /* _PYMALLOC_COMMAND_H */
