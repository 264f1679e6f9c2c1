/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The dead: what is kept of heaps whose process has ended.
 */
#ifndef PYM_DEAD_H
#define PYM_DEAD_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/types.h>

struct pym_service_heap;
struct pym_user;

/**
 * struct pym_dead - a dead heap that is kept
 * @ref: one until it is forgotten, one until its folder in debugfs has gone, and one for
 *	each call that uses it
 * @sheap: the heap
 * @bytes: what it counts for
 * @forgotten: nobody finds it any more
 * @of_user: among the dead of its user, the oldest first
 * @of_cgroup: among those that one memory cgroup pays for, the oldest first
 */
struct pym_dead {
	struct kref ref;
	struct pym_service_heap *sheap;
	unsigned long bytes;
	bool forgotten;
	struct list_head of_user;
	struct list_head of_cgroup;
};

int pym_dead_init(void (*release)(struct pym_service_heap *sheap));
void pym_dead_exit(void);
struct pym_dead *pym_dead_new(struct pym_service_heap *sheap);
void pym_dead_add(struct pym_dead *dead);
void pym_dead_put(struct pym_dead *dead);
struct pym_service_heap *pym_dead_find(u64 id);
struct pym_service_heap *pym_dead_next(u64 after);
bool pym_dead_forget(struct pym_service_heap *sheap);
u32 pym_dead_max(void);

#endif /* PYM_DEAD_H */
