/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who the caller is to a heap.
 */
#ifndef PYM_CLIENT_H
#define PYM_CLIENT_H

#include <linux/types.h>

struct file;
struct pym_family;
struct pym_service_heap;

/**
 * struct pym_handle - what a descriptor knows of a heap, without keeping it
 * @family: its family
 * @id: the heap that the descriptor was made for
 * @keeper: it was made for the heap's own process, and finds for each process the
 *	heap that is its own
 */
struct pym_handle {
	struct pym_family *family;
	u64 id;
	bool keeper;
};

struct pym_service_heap *pym_client_enter(struct file *file);
void pym_client_leave(struct pym_service_heap *sheap);
int pym_client_may_change(const struct file *file, const struct pym_service_heap *sheap,
			  bool client_only);
void pym_client_meet(struct pym_service_heap *sheap);
void pym_client_follow(struct pym_service_heap *sheap);

#endif /* PYM_CLIENT_H */
