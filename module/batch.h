/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Batches: how arrays of refs come in and go out.
 */
#ifndef PYM_BATCH_H
#define PYM_BATCH_H

#include <linux/errno.h>
#include <linux/math.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include <linux/pymalloc.h>

/*
 * Refs and statuses of a part lie on the stack: 128 of them take 1152 bytes of 16 KiB.
 * With more, a signal is noticed later; with fewer, locks are taken more often.
 */
#define PYM_BATCH_PART	128

static inline int pym_batch_check(u32 count)
{
	if (!count)
		return -EINVAL;
	return count > PYMALLOC_BATCH_MAX ? -E2BIG : 0;
}

/* Between two parts of a batch. */
static inline int pym_batch_pause(void)
{
	cond_resched();
	return signal_pending(current) ? -EINTR : 0;
}

/* Copy the next part's refs in.  Returns how many of them can be read. */
static inline unsigned int pym_batch_read(u64 array, u32 done, u64 *refs, unsigned int nr)
{
	u64 __user *from = (u64 __user *)u64_to_user_ptr(array) + done;
	unsigned long left = copy_from_user(refs, from, nr * sizeof(*refs));

	return nr - DIV_ROUND_UP(left, sizeof(*refs));
}

/* Copy a part's words out.  Returns how many of them can be written. */
static inline unsigned int pym_batch_write(u64 array, u32 done, const u64 *words,
					   unsigned int nr)
{
	u64 __user *to = (u64 __user *)u64_to_user_ptr(array) + done;
	unsigned long left = copy_to_user(to, words, nr * sizeof(*words));

	return nr - DIV_ROUND_UP(left, sizeof(*words));
}

#endif /* PYM_BATCH_H */
