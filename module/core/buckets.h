/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Buckets: lists of arenas or regions, one list for each amount of room, so that the
 * one with the least room that is enough is found at once.
 */
#ifndef PYM_BUCKETS_H
#define PYM_BUCKETS_H

#include <linux/list.h>
#include <linux/types.h>

/**
 * struct pym_buckets - arenas or regions by their room
 * @list: the index, 1 to 64, is the room: of an arena of pools its free pools, of an
 *	arena of runs its longest run of free pages, of a region its longest run of
 *	free arena numbers
 * @mask: bit n - 1: list[n] is not empty
 */
struct pym_buckets {
	struct list_head list[64 + 1];
	u64 mask;
};

void pym_buckets_init(struct pym_buckets *buckets);
void pym_buckets_move(struct pym_buckets *buckets, struct list_head *link, u8 *bucket,
		      unsigned int room);
struct list_head *pym_buckets_find(const struct pym_buckets *buckets, unsigned int nr);

#endif /* PYM_BUCKETS_H */
