/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A hash table whose memory comes from the kernel, for use inside of malloc(). */
#ifndef _PYML_MAP_H
#define _PYML_MAP_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

/**
 * struct pyml_map_entry - what is known of a key
 * @key: a hash; 0 is no entry
 * @number: the number of a record
 * @epoch: when the record was made
 */
struct pyml_map_entry {
	__u64 key;
	__u32 number;
	__u32 epoch;
};

/**
 * struct pyml_map - the table: open addressing, at most half full
 * @entries: a power of 2; one that is never used as long as nothing was put in
 * @mask: to take an entry's offset in bytes out of a key
 * @used: how many are in use
 */
struct pyml_map {
	struct pyml_map_entry *entries;
	size_t mask;
	size_t used;
};

#pragma GCC visibility push(hidden)

extern const struct pyml_map_entry pyml_map_nothing;

void pyml_map_put(struct pyml_map *map, __u64 key, __u32 number, __u32 epoch);
void pyml_map_drop(struct pyml_map *map);

#pragma GCC visibility pop

#define PYML_MAP_EMPTY	{ .entries = (struct pyml_map_entry *)&pyml_map_nothing }

/*
 * Hashes a row of words, of which this is the next one.  A product with an odd number loses
 * nothing, and its high bits depend on all bits of the words before.
 */
static inline __u64 pyml_hash(__u64 hash, __u64 word)
{
	return (hash + word) * 0x9e3779b97f4a7c15;
}

/* The entry where @key is or would be. */
static inline struct pyml_map_entry *pyml_map_at(const struct pyml_map *map, __u64 key)
{
	/* The high bits of a product are the good ones. */
	size_t offset = (key >> 28) & map->mask;
	struct pyml_map_entry *entry;

	for (;;) {
		entry = (struct pyml_map_entry *)((char *)map->entries + offset);
		if (__builtin_expect(entry->key == key, 1) || !entry->key)
			return entry;
		offset = (offset + sizeof(*entry)) & map->mask;
	}
}

#endif /* _PYML_MAP_H */
