// SPDX-License-Identifier: LGPL-2.1-or-later
/* Things that are made once and found again; and memory, or a message and the end. */
#include <err.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "tree.h"

/**
 * allocate() - allocate memory, which is zero
 * @count: of how many things; may be 0
 * @size: bytes of each
 *
 * Return: the memory, which the caller frees.
 */
void *allocate(size_t count, size_t size)
{
	void *memory = calloc(count ?: 1, size);

	if (!memory)
		err(EXIT_FAILED, NULL);
	return memory;
}

/**
 * tree_member() - find a thing, or add it
 * @tree: where
 * @key: a thing that is equal to it, of which a copy is added if there is none
 * @is_new: set to whether it has been added
 *
 * Return: the thing in the tree, which stays.
 */
void *tree_member(struct tree *tree, const void *key, bool *is_new)
{
	void **found;

	if (!tree->spare)
		tree->spare = allocate(1, tree->size);
	memcpy(tree->spare, key, tree->size);
	found = tsearch(tree->spare, &tree->root, tree->compare);
	if (!found)
		err(EXIT_FAILED, NULL);
	*is_new = *found == tree->spare;
	if (*is_new)
		tree->spare = NULL;
	return *found;
}
