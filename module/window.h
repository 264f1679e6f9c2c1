/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A heap's mappings.
 */
#ifndef PYM_WINDOW_H
#define PYM_WINDOW_H

#include <linux/types.h>

struct file;
struct page;
struct pym_client;
struct pym_heap;
struct pym_service_heap;
struct pym_mappings;
struct vm_area_struct;

/* For each of a client's windows.  Its mmap_lock is held. */
#define pym_for_each_window(vma, client)				\
	for ((vma) = pym_window_next(client, 0); (vma);			\
	     (vma) = pym_window_next(client, (vma)->vm_end))

void pym_window_init(void (*inherit)(struct vm_area_struct *vma));
int pym_window_mmap(struct file *file, struct vm_area_struct *vma);
struct pym_service_heap *
pym_window_find_by(u64 address,
		   struct pym_service_heap *(*heap_of)(const struct vm_area_struct *vma));
struct pym_service_heap *pym_window_find(u64 address);
struct vm_area_struct *pym_window_next(struct pym_client *client, unsigned long address);
bool pym_is_window(const struct vm_area_struct *vma);
bool pym_window_lies_within(struct vm_area_struct *vma, u64 start, u64 bytes);
vm_fault_t pym_window_map_pages(struct vm_fault *vmf, pgoff_t start, pgoff_t end);
void pym_window_protect(struct vm_area_struct *vma, bool protect, bool twice);
bool pym_window_is_abandoned(const struct pym_mappings *mappings);
bool pym_window_is_wanted(struct pym_heap *heap, const struct pym_mappings *mappings);
int pym_window_lock_for_writing(struct mm_struct *mm);
int pym_window_mesh_begin(struct pym_heap *heap);
void pym_window_count(struct pym_client *client, const struct vm_area_struct *vma);
int pym_window_hold(struct pym_heap *heap, struct pym_mappings *mappings);
bool pym_window_try_hold(struct pym_heap *heap, struct pym_mappings *mappings);
int pym_window_hold_nothing(struct pym_heap *heap, struct pym_mappings *mappings);
void pym_window_release_nothing(struct pym_heap *heap, struct pym_mappings *mappings);
void pym_window_release(struct pym_heap *heap, struct pym_mappings *mappings);
void pym_window_zap(struct pym_heap *heap, const struct pym_mappings *mappings, u64 offset,
		    struct page **pages, unsigned int nr);
void pym_window_zap_file(struct pym_service_heap *sheap, const struct pym_mappings *mappings,
			 u64 offset, unsigned long nr);
void pym_window_stop_caches(struct pym_client *client);
void pym_window_map_grown(struct pym_heap *heap, const struct pym_mappings *mappings,
			  unsigned long number);

#endif /* PYM_WINDOW_H */
