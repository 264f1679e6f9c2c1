/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What all command lines have in common. */
#ifndef _PYMALLOC_OPTIONS_H
#define _PYMALLOC_OPTIONS_H

#include <argp.h>

#include <linux/types.h>

__u64 parse_number(struct argp_state *state, const char *text);
__u64 parse_size(struct argp_state *state, const char *text);

/* -h and --help, for the argp of each subcommand. */
extern const struct argp_child help_child[];

#endif /* _PYMALLOC_OPTIONS_H */
