/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How much memory the machine has left.
 */
#ifndef FREE_BYTES_H
#define FREE_BYTES_H

#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/percpu.h>

/* What the page allocator has, and what CPUs keep for it. */
static inline u64 free_bytes(void)
{
	struct zone *zones = NODE_DATA(0)->node_zones, *zone;
	struct sysinfo info;
	u64 pages;
	int cpu;

	si_meminfo(&info);
	pages = info.freeram;
	for (zone = zones; zone < zones + MAX_NR_ZONES; zone++)
		for_each_online_cpu(cpu)
			if (populated_zone(zone))
				pages += per_cpu_ptr(zone->per_cpu_pageset, cpu)->count;
	return pages << PAGE_SHIFT;
}

#endif /* FREE_BYTES_H */
