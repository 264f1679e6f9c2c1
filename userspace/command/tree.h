/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Things that are made once and found again; and memory, or a message and the end. */
#ifndef _PYMALLOC_TREE_H
#define _PYMALLOC_TREE_H

#include <stdbool.h>
#include <stddef.h>

/**
 * struct tree - things of one kind, each once
 * @size: bytes of each
 * @compare: compares two
 * @root: for tsearch()
 * @spare: one that is not in the tree, or NULL
 */
struct tree {
	size_t size;
	int (*compare)(const void *a, const void *b);
	void *root;
	void *spare;
};

void *allocate(size_t count, size_t size);
void *tree_member(struct tree *tree, const void *key, bool *is_new);

#endif /* _PYMALLOC_TREE_H */
