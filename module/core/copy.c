// SPDX-License-Identifier: GPL-2.0
/*
 * Contents: the kernel itself clears and copies bytes of a heap's pages.
 */
#include <linux/err.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/sched.h>

#include "copy.h"
#include "frame.h"
#include "ops.h"

static int copy_own_page(struct pym_heap *heap, u64 offset)
{
	struct page *fresh;
	struct pym_mappings mappings;
	int err;

	err = pym_gate_leave(heap, &mappings);
	if (err)
		return err;
	err = pym_page_own(heap, offset, &mappings, &fresh);
	if (fresh)
		pym_frame_done(fresh);
	pym_gate_enter(heap, &mappings);
	/* It may have been sealed meanwhile. */
	return err ?: heap->sealed ? -EPERM : 0;
}

/*
 * Get a page that the kernel may write to: it belongs to this heap alone until the gate
 * is left, because fork() needs the gate.  Returns the page with a reference; or
 * -EFAULT (there is no page), -EHWPOISON, -ENOMEM or -EPERM (the heap has been sealed).
 */
static struct page *copy_get_own_page(struct pym_heap *heap, u64 offset)
{
	for (;;) {
		struct page *page = pym_page_get(heap, offset);
		bool bad;
		int err;

		if (!page)
			return ERR_PTR(-EFAULT);
		/* It may be a copy whose bytes are not all there yet, or one that goes. */
		if (pym_frame_wait(page)) {
			put_page(page);
			continue;
		}
		bad = PageHWPoison(page);
		if (!bad && !pym_frame_maybe_shared(page))
			return page;
		put_page(page);
		err = bad ? -EHWPOISON : copy_own_page(heap, offset);
		if (err)
			return ERR_PTR(err);
	}
}

/**
 * pym_pages_zero() - clear bytes of one page
 * @heap: the heap
 * @offset: where they are
 * @bytes: how many
 *
 * Does nothing if the page is gone: only a mistake of the process, which frees the object
 * at the same time, can cause that.
 *
 * Context: Sleeps.  Holds @heap->gate for reading, and may leave it for a while.
 * Return: 0, -EHWPOISON (the page has a memory error), -ENOMEM or -EPERM (the heap is sealed).
 */
int pym_pages_zero(struct pym_heap *heap, u64 offset, u64 bytes)
{
	struct page *page = copy_get_own_page(heap, offset);

	if (IS_ERR(page))
		return PTR_ERR(page) == -EFAULT ? 0 : PTR_ERR(page);
	memzero_page(page, offset_in_page(offset), bytes);
	put_page(page);
	return 0;
}

/*
 * Copy from the page behind @from to a page that the heap owns.
 *
 * The page at @from may be shared.  Then a fault can replace it at any time, and its last
 * owner can write to it in place.  So recheck after the copy that the page is still
 * there; if not, copy again from the page that has taken its place.
 */
static int copy_to_page(struct pym_heap *heap, struct page *target, u64 to, u64 from,
			unsigned int bytes)
{
	bool same;

	do {
		struct page *source = pym_page_get(heap, from);

		if (!source)
			return -EFAULT;
		pym_frame_wait(source);
		if (PageHWPoison(source)) {
			put_page(source);
			return -EHWPOISON;
		}
		memcpy_page(target, offset_in_page(to), source, offset_in_page(from), bytes);
		same = pym_pages_same(heap, from, &source, 1);
		put_page(source);
	} while (!same);
	return 0;
}

static int copy_within_pages(struct pym_heap *heap, u64 to, u64 from, unsigned int bytes)
{
	struct page *target = copy_get_own_page(heap, to);
	int err;

	if (IS_ERR(target))
		return PTR_ERR(target) == -EHWPOISON ? -EAGAIN : PTR_ERR(target);
	err = copy_to_page(heap, target, to, from, bytes);
	put_page(target);
	return err;
}

/**
 * pym_pages_copy() - copy bytes from one place of the window to another
 * @heap: the heap
 * @to: where to
 * @from: where from
 * @bytes: how many
 *
 * Stops early if one of the two places has no page any more: both are objects of the
 * caller, and only a mistake of its own can free them meanwhile.
 *
 * Context: Sleeps.  Holds @heap->gate for reading, and may leave it for a while.
 * Return: 0, -ENOMEM or -EPERM (the heap has been sealed); or -EHWPOISON if a page to read
 *	from has a memory error, -EAGAIN if a page to write to has one.
 */
int pym_pages_copy(struct pym_heap *heap, u64 to, u64 from, u64 bytes)
{
	int err = 0;

	while (bytes && !err) {
		unsigned int now = PAGE_SIZE - max(offset_in_page(to), offset_in_page(from));

		now = min_t(u64, now, bytes);
		err = copy_within_pages(heap, to, from, now);
		to += now;
		from += now;
		bytes -= now;
		cond_resched();
	}
	return err == -EFAULT ? 0 : err;
}
