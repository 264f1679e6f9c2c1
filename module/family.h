/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Families: a heap and those that fork() has made of it.
 */
#ifndef PYM_FAMILY_H
#define PYM_FAMILY_H

#include <linux/refcount.h>
#include <linux/wait.h>
#include <linux/xarray.h>

struct inode;
struct mm_struct;
struct pym_heap;
struct pym_shared;
struct pym_service_heap;

/**
 * struct pym_family - a heap and those that fork() has made of it
 * @refs: one for each of them, and one for each descriptor
 * @nr_heaps: heaps that may have pages
 * @keepers: descriptors that keep the first heap: its process's own
 * @inode: what the windows of all of them map
 * @wait: calls of poll() on a descriptor of any of them
 * @mm: the address space that made the first heap
 * @founder: the first heap, with a reference; NULL when nothing but mappings keep it
 * @clones: the heaps of children, by their mm
 * @shared: what a shared heap has beside a private one; NULL for that
 */
struct pym_family {
	refcount_t refs;
	atomic_t nr_heaps;
	atomic_t keepers;
	struct inode *inode;
	wait_queue_head_t wait;
	struct mm_struct *mm;
	struct pym_service_heap __rcu *founder;
	struct xarray clones;
	struct pym_shared *shared;
};

struct pym_family *pym_family_new(struct pym_service_heap *founder);
struct pym_family *pym_family_get(struct pym_family *family);
void pym_family_put(struct pym_family *family);
void pym_family_leave(struct pym_family *family);
bool pym_family_is_alone(struct pym_family *family);
int pym_family_add(struct pym_family *family, struct pym_service_heap *clone);
void pym_family_forget(struct pym_family *family, struct pym_service_heap *sheap);
void pym_family_threshold_passed(struct pym_heap *heap);
void pym_family_lose_keeper(struct pym_family *family);
void pym_family_bury(struct pym_family *family);
struct pym_service_heap *pym_family_enter(struct pym_family *family, struct mm_struct *mm);

#endif /* PYM_FAMILY_H */
