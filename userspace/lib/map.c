// SPDX-License-Identifier: LGPL-2.1-or-later
/* A hash table whose memory comes from the kernel, for use inside of malloc(). */
#include <sys/mman.h>

#include "map.h"
#include "syscall.h"

/* Entries at first: a page. */
#define FIRST	(4096 / sizeof(struct pyml_map_entry))
/* As many as a key has bits for: see pyml_map_at(). */
#define MOST	((size_t)1 << 31)

const struct pyml_map_entry pyml_map_nothing;

/* How many entries there are. */
static size_t entries_of(const struct pyml_map *map)
{
	return map->mask ? map->mask / sizeof(struct pyml_map_entry) + 1 : 0;
}

static struct pyml_map_entry *get_entries(size_t count)
{
	const long args[6] = {
		0, count * sizeof(struct pyml_map_entry), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0,
	};
	long address = pyml_syscall(SYS_mmap, args);

	return pyml_syscall_failed(address) ? NULL : (struct pyml_map_entry *)address;
}

static void give_back(struct pyml_map *map)
{
	const long args[6] = {
		(long)map->entries, entries_of(map) * sizeof(struct pyml_map_entry),
	};

	if (map->mask)
		pyml_syscall(SYS_munmap, args);
}

/* Doubles it, if more than half would be in use otherwise. */
static bool make_room(struct pyml_map *map)
{
	size_t i, count = entries_of(map), more = count ? 2 * count : FIRST;
	struct pyml_map grown = { .used = map->used };

	if (map->used < count / 2)
		return true;
	if (more > MOST)
		return false;
	grown.entries = get_entries(more);
	if (!grown.entries)
		return false;
	grown.mask = (more - 1) * sizeof(struct pyml_map_entry);
	for (i = 0; i < count; i++)
		if (map->entries[i].key)
			*pyml_map_at(&grown, map->entries[i].key) = map->entries[i];
	give_back(map);
	*map = grown;
	return true;
}

/**
 * pyml_map_put() - enter what is known of a key, in place of what was known before
 * @map: the map
 * @key: the key, other than 0
 * @number: the number of its record
 * @epoch: when the record was made
 *
 * Without memory the key is forgotten.
 */
void pyml_map_put(struct pyml_map *map, __u64 key, __u32 number, __u32 epoch)
{
	struct pyml_map_entry *entry = pyml_map_at(map, key);

	if (!entry->key) {
		if (!make_room(map))
			return;
		entry = pyml_map_at(map, key);
		map->used++;
	}
	*entry = (struct pyml_map_entry){ key, number, epoch };
}

/**
 * pyml_map_drop() - forget all keys, and give the memory back
 * @map: the map
 */
void pyml_map_drop(struct pyml_map *map)
{
	give_back(map);
	*map = (struct pyml_map)PYML_MAP_EMPTY;
}
