// SPDX-License-Identifier: GPL-2.0
/*
 * Lists of heaps.
 */
#include "access.h"
#include "ioctl.h"
#include "list.h"
#include "service_heap.h"

/**
 * pym_list_check() - is a list's description in order?
 * @list: the description
 *
 * Return: 0, -EINVAL or -E2BIG.
 */
int pym_list_check(const struct pymalloc_list *list)
{
	if (list->count > PYMALLOC_BATCH_MAX)
		return -E2BIG;
	if (list->flags || list->reserved ||
	    list->entry_size < offsetofend(struct pymalloc_heap_info, name) ||
	    list->entry_size > PAGE_SIZE)
		return -EINVAL;
	return 0;
}

/**
 * pym_list_entry() - add a heap to a list
 * @list: the list, which has room
 * @sheap: the heap
 *
 * Return: 0; or -EFAULT, -EINTR, or -ESTALE (the heap is ending).
 */
int pym_list_entry(struct pymalloc_list *list, struct pym_service_heap *sheap)
{
	struct pymalloc_heap_info info;
	int err;

	err = pym_show_heap(sheap, &info);
	if (err)
		return err;
	err = pym_put_entry(list->heaps, list->done, list->entry_size, &info, sizeof(info));
	if (!err)
		list->done++;
	return err;
}
