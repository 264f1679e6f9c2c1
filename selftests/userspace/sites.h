/* SPDX-License-Identifier: GPL-2.0 */
/* What tests see of a traced heap: its blocks with their sites, and the table of these. */
#ifndef SELFTESTS_SITES_H
#define SELFTESTS_SITES_H

#include <math.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include <linux/pymalloc.h>
#include <pymalloc-sites.h>

#define SITES_ROOM 65536

struct sites {
	char *table;
	__u64 used;
	struct pymalloc_site_info *blocks;
	size_t count;
};

static inline bool sites_read(int fd, __u64 offset, void *data, __u64 bytes)
{
	struct pymalloc_sites arg = {
		.argsz = sizeof(arg),
		.op = PYMALLOC_SITES_READ,
		.offset = PYMALLOC_SITES_OFFSET + offset,
		.bytes = bytes,
		.data = (uintptr_t)data,
	};

	return !ioctl(fd, PYMALLOC_IOC_SITES, &arg) && arg.done == bytes;
}

/* All allocated blocks, and then the table. */
static inline bool sites_take(int fd, struct sites *sites)
{
	struct pymalloc_settings_record settings;
	struct pymalloc_walk arg = {
		.argsz = sizeof(arg),
		.what = PYMALLOC_WALK_SITES,
		.entry_size = sizeof(*sites->blocks),
		.count = SITES_ROOM,
	};
	size_t room = SITES_ROOM;

	*sites = (struct sites){ 0 };
	do {
		sites->blocks = reallocarray(sites->blocks, sites->count + room,
					     sizeof(*sites->blocks));
		arg.entries = (uintptr_t)(sites->blocks + sites->count);
		if (ioctl(fd, PYMALLOC_IOC_WALK, &arg))
			return false;
		sites->count += arg.done;
		arg.start = arg.next;
	} while (arg.next);
	if (!sites_read(fd, 0, &settings, sizeof(settings)))
		return false;
	sites->used = settings.used;
	sites->table = malloc(sites->used + 1);
	return sites_read(fd, 0, sites->table, sites->used);
}

static inline void sites_drop(struct sites *sites)
{
	free(sites->blocks);
	free(sites->table);
}

static inline const struct pymalloc_settings_record *sites_settings(const struct sites *sites)
{
	return (const void *)sites->table;
}

/* The record of a site; NULL if the number names none. */
static inline const struct pymalloc_site_record *site_at(const struct sites *sites,
							 __u32 number)
{
	const struct pymalloc_site_record *site = (const void *)(sites->table + number * 8ULL);

	if (number <= PYMALLOC_SITE_UNKNOWN || number * 8ULL + sizeof(*site) > sites->used ||
	    site->record.kind != PYMALLOC_RECORD_SITE)
		return NULL;
	return site;
}

static inline const struct pymalloc_stack_record *
stack_of(const struct sites *sites, const struct pymalloc_site_record *site)
{
	return (const void *)(sites->table + site->stack * 8ULL);
}

static inline const struct pymalloc_thread_record *
thread_of(const struct sites *sites, const struct pymalloc_site_record *site)
{
	return (const void *)(sites->table + site->thread * 8ULL);
}

/* Is the address of one of the stack's frames in the @bytes from @function on? */
static inline bool stack_has(const struct pymalloc_stack_record *stack, const void *function,
			     size_t bytes)
{
	for (unsigned int i = 0; i < stack->record.count; i++)
		if (stack->frames[i].address - (uintptr_t)function < bytes)
			return true;
	return false;
}

/* The blocks whose site is PYMALLOC_SITE_BEFORE or PYMALLOC_SITE_UNKNOWN, without those cached. */
static inline size_t count_without_site(const struct sites *sites, __u32 which)
{
	size_t count = 0;

	for (size_t i = 0; i < sites->count; i++)
		count += sites->blocks[i].site == which && !sites->blocks[i].flags;
	return count;
}

struct counted {
	size_t blocks;
	size_t bytes;
	double estimate;	/* of the blocks that sampled ones stand for */
};

/* The blocks that were allocated below a function whose code has @bytes. */
static inline struct counted count_below(const struct sites *sites, const void *function,
					 size_t bytes)
{
	double interval = sites->used ? sites_settings(sites)->interval : 1;
	struct counted counted = { 0 };

	for (size_t i = 0; i < sites->count; i++) {
		const struct pymalloc_site_record *site = site_at(sites, sites->blocks[i].site);

		if (!site || sites->blocks[i].flags ||
		    !stack_has(stack_of(sites, site), function, bytes))
			continue;
		counted.blocks++;
		counted.bytes += sites->blocks[i].size;
		counted.estimate += 1 / (1 - exp(-(double)sites->blocks[i].size / interval));
	}
	return counted;
}

#endif /* SELFTESTS_SITES_H */
