/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Roots: blocks with names.  See root.c.
 */
#ifndef PYM_ROOT_H
#define PYM_ROOT_H

#include <linux/rbtree.h>

#include "holder.h"

/**
 * struct pym_roots - the directory of a heap
 * @tree: struct root, sorted by name
 * @nr: how many there are
 * @nr_set: how often one has been set: a wait for a name looks again when this changes
 *
 * refs->lock protects it.  @nr_set may be read without.
 */
struct pym_roots {
	struct rb_root tree;
	u32 nr;
	u32 nr_set;
};

int pym_root_set(struct pym_refs *refs, struct pym_roots *roots, const char *name,
		 struct pym_holder *holder, u64 ref, bool fresh,
		 struct pym_unneeded *unneeded);
int pym_root_get(struct pym_refs *refs, struct pym_roots *roots, const char *name,
		 struct pym_holder *holder, u64 *ref);
int pym_root_remove(struct pym_refs *refs, struct pym_roots *roots, const char *name,
		    struct pym_unneeded *unneeded);
int pym_root_next(struct pym_roots *roots, char *name, u64 *ref);
void pym_roots_destroy(struct pym_refs *refs, struct pym_roots *roots);
void pym_roots_visit(struct pym_roots *roots, void (*visit)(u64 ref, void *data), void *data);

#endif /* PYM_ROOT_H */
