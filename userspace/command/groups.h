/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Blocks of a snapshot, put together by what they have in common. */
#ifndef _PYMALLOC_GROUPS_H
#define _PYMALLOC_GROUPS_H

#include <stdbool.h>
#include <stddef.h>

#include "section.h"
#include "stack.h"
#include "view.h"

/**
 * struct group - blocks that have something in common
 * @key: what that is; groups that have the same also have the same pointer
 * @stack: the stack of most of their bytes; NULL if that is not known
 * @most: bytes that have this stack
 * @bytes: their bytes, which may be an estimate
 * @blocks: how many
 * @allocated: how many have been allocated so far
 * @idle: seconds since when none of their pages has been touched, or SNAPFILE_NO_IDLE
 */
struct group {
	const char *key;
	const struct stack *stack;
	double most;
	double bytes;
	double blocks;
	__u64 allocated;
	__u32 idle;
};

/**
 * struct groups - the groups of a snapshot
 * @list: the groups, the largest first
 * @count: how many
 * @bytes: bytes of all of them
 * @blocks: blocks of all of them
 * @cached_bytes: bytes of blocks in magazines that are left out
 * @cached_blocks: how many these are
 * @estimated: whether numbers are estimates
 * @counted: whether @allocated of each group is known
 */
struct groups {
	struct group *list;
	size_t count;
	double bytes;
	double blocks;
	double cached_bytes;
	double cached_blocks;
	bool estimated;
	bool counted;
};

struct groups groups_make(const struct view *view, const struct snapshot *snapshot);
void groups_free(struct groups *groups);
char *group_text(const struct view *view, const struct group *group);
bool keeps_row(const struct view *view, const struct section *section,
	       const struct snapfile_row *row);

#endif /* _PYMALLOC_GROUPS_H */
