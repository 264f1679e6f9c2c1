// SPDX-License-Identifier: GPL-2.0
/*
 * Buckets: arenas or regions that have room, by how much.
 */
#include <linux/bitops.h>
#include <linux/kernel.h>

#include "buckets.h"

/**
 * pym_buckets_init() - nothing has room
 * @buckets: the lists
 */
void pym_buckets_init(struct pym_buckets *buckets)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(buckets->list); i++)
		INIT_LIST_HEAD(&buckets->list[i]);
	buckets->mask = 0;
}

/**
 * pym_buckets_move() - put an arena or a region into the list where it belongs
 * @buckets: the lists
 * @link: its link
 * @bucket: in, out: which list it is in; 0 is none
 * @room: how much room it has; 0 takes it out
 */
void pym_buckets_move(struct pym_buckets *buckets, struct list_head *link, u8 *bucket,
		      unsigned int room)
{
	if (room == *bucket)
		return;

	list_del_init(link);
	if (*bucket && list_empty(&buckets->list[*bucket]))
		buckets->mask &= ~BIT_ULL(*bucket - 1);
	if (room) {
		list_add(link, &buckets->list[room]);
		buckets->mask |= BIT_ULL(room - 1);
	}
	*bucket = room;
}

/**
 * pym_buckets_find() - find what has the least room, but enough
 * @buckets: the lists
 * @nr: how much is enough, at least 1
 *
 * Return: its link, or NULL.
 */
struct list_head *pym_buckets_find(const struct pym_buckets *buckets, unsigned int nr)
{
	u64 fits = buckets->mask & GENMASK_ULL(63, nr - 1);

	return fits ? buckets->list[__ffs64(fits) + 1].next : NULL;
}
