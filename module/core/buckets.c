// SPDX-License-Identifier: GPL-2.0
/*
 * Buckets: arenas or regions that have room, by how much.
 */
#include <linux/bitops.h>
#include <linux/kernel.h>

#include "buckets.h"

/**
 * pym_rooms_init() - nothing has room
 * @rooms: the lists
 */
void pym_rooms_init(struct pym_rooms *rooms)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rooms->list); i++)
		INIT_LIST_HEAD(&rooms->list[i]);
	rooms->mask = 0;
}

/* Move what has @room to the list where it belongs. */
void pym_rooms_move(struct pym_rooms *rooms, struct list_head *link, u8 *bucket,
		    unsigned int room)
{
	if (room == *bucket)
		return;

	list_del_init(link);
	if (*bucket && list_empty(&rooms->list[*bucket]))
		rooms->mask &= ~BIT_ULL(*bucket - 1);
	if (room) {
		list_add(link, &rooms->list[room]);
		rooms->mask |= BIT_ULL(room - 1);
	}
	*bucket = room;
}

/* The link of what has the least room, but at least @nr, or NULL. */
struct list_head *pym_rooms_find(const struct pym_rooms *rooms, unsigned int nr)
{
	u64 fits = rooms->mask & GENMASK_ULL(63, nr - 1);

	return fits ? rooms->list[__ffs64(fits) + 1].next : NULL;
}
