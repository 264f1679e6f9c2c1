// SPDX-License-Identifier: GPL-2.0
/*
 * Buckets: lists of arenas or regions, one list for each amount of room, so that the
 * one with the least room that is enough is found at once.
 */
#include <linux/bitops.h>
#include <linux/kernel.h>

#include "buckets.h"

/**
 * pym_buckets_init() - prepare buckets in which there is nothing
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
 * pym_buckets_move() - put an arena or a region into the list of its room
 * @buckets: the lists
 * @link: the link of the arena or region
 * @bucket: in, out: which list it is in; 0 is none
 * @room: how much room it has; with 0 it is in no list afterwards
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
 * pym_buckets_find() - find the arena or region with the least room that is enough
 * @buckets: the lists
 * @nr: how much room is enough, at least 1
 *
 * Return: its link, or NULL if none has enough.
 */
struct list_head *pym_buckets_find(const struct pym_buckets *buckets, unsigned int nr)
{
	u64 fits = buckets->mask & GENMASK_ULL(63, nr - 1);

	return fits ? buckets->list[__ffs64(fits) + 1].next : NULL;
}
