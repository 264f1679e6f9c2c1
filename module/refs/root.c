// SPDX-License-Identifier: GPL-2.0
/*
 * Roots: blocks with names, by which clients that know nothing else of each other find them.
 * A root needs its block, as a client does that holds it, and outlives every client.
 */
#include <linux/rbtree.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "root.h"

/**
 * struct root - one of them
 * @node: its place in the tree
 * @ref: the block
 * @name: its name, padded with zeroes
 */
struct root {
	struct rb_node node;
	u64 ref;
	char name[PYMALLOC_NAME_LEN];
};

/* What kmalloc() rounds up to. */
#define ROOT_BYTES	96

static struct root *root_of(struct rb_node *node)
{
	return rb_entry(node, struct root, node);
}

static int root_compare(const void *name, const struct rb_node *node)
{
	return strncmp(name, rb_entry(node, struct root, node)->name, PYMALLOC_NAME_LEN);
}

static bool root_less(struct rb_node *node, const struct rb_node *other)
{
	return root_compare(root_of(node)->name, other) < 0;
}

static struct root *root_find(struct pym_roots *roots, const char *name)
{
	struct rb_node *node = rb_find(name, &roots->tree, root_compare);

	return node ? root_of(node) : NULL;
}

static struct root *root_new(struct pym_refs *refs, struct pym_roots *roots, const char *name)
{
	struct root *root;
	int err;

	err = pym_heap_add_meta(refs->heap, ROOT_BYTES);
	if (err)
		return ERR_PTR(err);
	root = kzalloc(sizeof(*root), PYM_GFP);
	if (!root) {
		pym_heap_remove_meta(refs->heap, ROOT_BYTES);
		return ERR_PTR(-ENOMEM);
	}
	strscpy(root->name, name, sizeof(root->name));
	rb_add(&root->node, &roots->tree, root_less);
	roots->nr++;
	return root;
}

static void root_drop(struct pym_refs *refs, u64 ref, struct pym_unneeded *unneeded)
{
	struct pym_place place = {};

	pym_count_find(refs, ref, &place);
	pym_count_drop(refs, &place, ref, unneeded);
}

/**
 * pym_root_set() - give a block a name
 * @refs: the counts
 * @roots: the directory
 * @name: the name
 * @holder: who does it
 * @ref: the block, which he holds and goes on to hold
 * @fresh: only if nothing has the name
 * @unneeded: gets the block that had the name, if nobody else needs it; empty before
 *
 * Context: Holds @refs->lock.  Sleeps.
 * Return: 0; or -EBADSLT (he does not hold the block), -EEXIST, -ENOMEM or -EDQUOT.
 */
int pym_root_set(struct pym_refs *refs, struct pym_roots *roots, const char *name,
		 struct pym_holder *holder, u64 ref, bool fresh,
		 struct pym_unneeded *unneeded)
{
	struct root *root = root_find(roots, name);
	struct pym_cursor cursor = {};
	u64 old = 0;
	u8 status;

	pym_hold_serial(refs, holder, ref, &cursor, &status);
	if (status != PYMALLOC_REF_OK)
		return -EBADSLT;
	if (root && fresh)
		return -EEXIST;
	if (root)
		old = root->ref;
	else
		root = root_new(refs, roots, name);
	if (IS_ERR(root))
		return PTR_ERR(root);
	root->ref = ref;
	pym_count_more(refs, &cursor.place);
	if (old)
		root_drop(refs, old, unneeded);
	WRITE_ONCE(roots->nr_set, roots->nr_set + 1);
	return 0;
}

/**
 * pym_root_get() - hold the block that has a name
 * @refs: the counts
 * @roots: the directory
 * @name: the name
 * @holder: who comes to hold it
 * @ref: out: the block
 *
 * Context: Holds @refs->lock.  Sleeps.
 * Return: 0; or -ENOENT (nothing has the name), -ENOMEM or -EDQUOT.
 */
int pym_root_get(struct pym_refs *refs, struct pym_roots *roots, const char *name,
		 struct pym_holder *holder, u64 *ref)
{
	struct root *root = root_find(roots, name);
	struct pym_cursor cursor = {};
	u8 status;

	if (!root)
		return -ENOENT;
	*ref = root->ref;
	return pym_hold(refs, holder, root->ref, 0, &cursor, &status);
}

static void root_delete(struct pym_refs *refs, struct pym_roots *roots, struct root *root)
{
	rb_erase(&root->node, &roots->tree);
	roots->nr--;
	kfree(root);
	pym_heap_remove_meta(refs->heap, ROOT_BYTES);
}

/**
 * pym_root_remove() - take a block's name away
 * @refs: the counts
 * @roots: the directory
 * @name: the name
 * @unneeded: gets the block if nobody else needs it; empty before
 *
 * Context: Holds @refs->lock.  Sleeps.
 * Return: 0; or -ENOENT (nothing has the name).
 */
int pym_root_remove(struct pym_refs *refs, struct pym_roots *roots, const char *name,
		    struct pym_unneeded *unneeded)
{
	struct root *root = root_find(roots, name);

	if (!root)
		return -ENOENT;
	root_drop(refs, root->ref, unneeded);
	root_delete(refs, roots, root);
	return 0;
}

/* The first root whose name is larger. */
static struct root *root_behind(struct pym_roots *roots, const char *name)
{
	struct rb_node *node = roots->tree.rb_node;
	struct root *behind = NULL;

	while (node) {
		if (root_compare(name, node) < 0) {
			behind = root_of(node);
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	return behind;
}

/**
 * pym_root_next() - the next name in the directory
 * @roots: the directory
 * @name: in: a name, which need not be there, or none; out: the next one
 * @ref: out: its block
 *
 * Context: Holds the lock of the counts.
 * Return: 0; or -ENOENT (there is no larger name).
 */
int pym_root_next(struct pym_roots *roots, char *name, u64 *ref)
{
	const struct root *root = root_behind(roots, name);

	if (!root)
		return -ENOENT;
	memcpy(name, root->name, PYMALLOC_NAME_LEN);
	*ref = root->ref;
	return 0;
}

/**
 * pym_roots_visit() - look at all blocks that have a name
 * @roots: the directory
 * @visit: called for each
 * @data: for @visit
 *
 * Context: Holds the lock of the counts.
 */
void pym_roots_visit(struct pym_roots *roots, void (*visit)(u64 ref, void *data), void *data)
{
	struct rb_node *node;

	for (node = rb_first(&roots->tree); node; node = rb_next(node))
		visit(root_of(node)->ref, data);
}

/**
 * pym_roots_destroy() - free the directory
 * @refs: the counts
 * @roots: the directory of a heap that is ending, with all of its blocks
 *
 * Context: Sleeps.
 */
void pym_roots_destroy(struct pym_refs *refs, struct pym_roots *roots)
{
	struct root *root, *next;

	rbtree_postorder_for_each_entry_safe(root, next, &roots->tree, node) {
		kfree(root);
		pym_heap_remove_meta(refs->heap, ROOT_BYTES);
	}
	roots->tree = RB_ROOT;
}
