// SPDX-License-Identifier: GPL-2.0
/*
 * What a module's heap costs beside the kernel's own allocators: instructions and bytes.
 *
 * Loading it measures, and prints lines "WORKLOAD,SUBJECT,METRIC,VALUE" to the kernel's log.
 * On a machine that counts instructions (qemu -icount shift=0), a nanosecond is one.
 */
#define pr_fmt(fmt) "pymalloc_bench: " fmt

#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/pymalloc_kernel.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "free_bytes.h"

#define NR_PAIRS	20000
#define NR_BULK		64
#define NR_MIXED	300000
#define SIZE		64

/* Each size of the mix is this far from the last: no pattern that an allocator could know. */
#define STRIDE		7919

/**
 * struct subject - an allocator
 * @name: what it is called
 * @accounted: its objects are charged to the memory cgroup
 * @begin: get ready for objects of a size; 0 is for all sizes
 * @alloc: one object
 * @free: the reverse
 * @alloc_bulk: many; NULL if it cannot do that
 * @free_bulk: the reverse
 * @end: the reverse of @begin
 */
struct subject {
	const char *name;
	bool accounted;
	bool (*begin)(size_t size);
	void *(*alloc)(size_t size);
	void (*free)(void *object);
	unsigned int (*alloc_bulk)(size_t size, unsigned int nr, void **objects);
	void (*free_bulk)(unsigned int nr, void **objects);
	void (*end)(void);
};

static struct pymalloc_kheap *kheap;
static struct kmem_cache *cache;

static bool kheap_begin(size_t size)
{
	kheap = pymalloc_kheap_make(&(struct pymalloc_kheap_args) { .name = "bench" });
	return !IS_ERR(kheap);
}

static void *kheap_alloc(size_t size)
{
	return pymalloc_kheap_alloc(kheap, size, GFP_KERNEL);
}

static void kheap_free(void *object)
{
	pymalloc_kheap_free(object);
}

static unsigned int kheap_alloc_bulk(size_t size, unsigned int nr, void **objects)
{
	return pymalloc_kheap_alloc_bulk(kheap, size, GFP_KERNEL, nr, objects);
}

static void kheap_end(void)
{
	pymalloc_kheap_end(kheap);
}

static bool cache_begin(size_t size)
{
	cache = kmem_cache_create("pymalloc_bench", size, 0, SLAB_HWCACHE_ALIGN, NULL);
	return cache;
}

static bool accounted_begin(size_t size)
{
	cache = kmem_cache_create("pymalloc_bench", size, 0, SLAB_HWCACHE_ALIGN | SLAB_ACCOUNT,
				  NULL);
	return cache;
}

static void *cache_alloc(size_t size)
{
	return kmem_cache_alloc(cache, GFP_KERNEL);
}

static void cache_free(void *object)
{
	kmem_cache_free(cache, object);
}

static unsigned int cache_alloc_bulk(size_t size, unsigned int nr, void **objects)
{
	return kmem_cache_alloc_bulk(cache, GFP_KERNEL, nr, objects);
}

static void cache_free_bulk(unsigned int nr, void **objects)
{
	kmem_cache_free_bulk(cache, nr, objects);
}

static void cache_end(void)
{
	kmem_cache_destroy(cache);
}

static bool kmalloc_begin(size_t size)
{
	return true;
}

static void *kmalloc_alloc(size_t size)
{
	return kmalloc(size, GFP_KERNEL);
}

static void *kmalloc_accounted(size_t size)
{
	return kmalloc(size, GFP_KERNEL_ACCOUNT);
}

static void kmalloc_free(void *object)
{
	kfree(object);
}

static void kmalloc_end(void)
{
}

static const struct subject subjects[] = {
	{ "pymalloc", true, kheap_begin, kheap_alloc, kheap_free, kheap_alloc_bulk,
	  pymalloc_kheap_free_bulk, kheap_end },
	{ "kmem_cache", false, cache_begin, cache_alloc, cache_free, cache_alloc_bulk,
	  cache_free_bulk, cache_end },
	{ "kmem_cache_account", true, accounted_begin, cache_alloc, cache_free, cache_alloc_bulk,
	  cache_free_bulk, cache_end },
	{ "kmalloc", false, kmalloc_begin, kmalloc_alloc, kmalloc_free, NULL, NULL, kmalloc_end },
	{ "kmalloc_account", true, kmalloc_begin, kmalloc_accounted, kmalloc_free, NULL, NULL,
	  kmalloc_end },
};

static void report(const char *workload, const struct subject *subject, const char *metric,
		   u64 value, u64 by)
{
	u64 hundredths = div64_u64(value * 100, by);

	pr_info("%s,%s,%s,%llu.%02llu\n", workload, subject->name, metric,
		hundredths / 100, hundredths % 100);
}

/* What the loops below take without an allocator. */
static noinline void *alloc_nothing(size_t size)
{
	return kheap;
}

static noinline void free_nothing(void *object)
{
}

static u64 run_pairs(void *(*alloc)(size_t size), void (*free)(void *object))
{
	u64 start = ktime_get_ns();
	unsigned int i;

	for (i = 0; i < NR_PAIRS; i++)
		free(alloc(SIZE));
	return ktime_get_ns() - start;
}

static u64 time_pairs(const struct subject *subject)
{
	u64 with, without;

	run_pairs(subject->alloc, subject->free);
	with = run_pairs(subject->alloc, subject->free);
	without = run_pairs(alloc_nothing, free_nothing);
	return with - min(with, without);
}

/* Objects of which some are allocated while others are freed, in another order. */
static u64 time_rows(const struct subject *subject, void **objects)
{
	unsigned int i, round;
	u64 start = 0;

	for (round = 0; round < 8; round++) {
		if (round == 4)
			start = ktime_get_ns();
		for (i = 0; i < NR_PAIRS; i++)
			objects[i] = subject->alloc(SIZE);
		for (i = 0; i < NR_PAIRS; i++)
			subject->free(objects[(u64)i * STRIDE % NR_PAIRS]);
	}
	return ktime_get_ns() - start;
}

static u64 time_bulk(const struct subject *subject, void **objects)
{
	u64 start = 0;
	unsigned int i;

	for (i = 0; i < 2 * NR_PAIRS / NR_BULK; i++) {
		if (i == NR_PAIRS / NR_BULK)
			start = ktime_get_ns();
		if (subject->alloc_bulk(SIZE, NR_BULK, objects) == NR_BULK)
			subject->free_bulk(NR_BULK, objects);
	}
	return ktime_get_ns() - start;
}

/* 7 of 10 are of 16 to 128 bytes, the rest of up to 512. */
static size_t mixed_size(unsigned int i)
{
	unsigned int place = (u64)i * STRIDE % 10007;

	return i % 10 < 7 ? 16 + place % 113 : 129 + place % 384;
}

static void measure_mix(const struct subject *subject)
{
	void **objects = vmalloc(array_size(NR_MIXED, sizeof(*objects)));
	u64 asked = 0, before, taken;
	unsigned int i;

	if (!objects)
		return;
	memset(objects, 0, NR_MIXED * sizeof(*objects));
	before = free_bytes();
	for (i = 0; i < NR_MIXED; i++) {
		objects[i] = subject->alloc(mixed_size(i));
		asked += mixed_size(i);
	}
	taken = before - free_bytes();
	for (i = 0; i < NR_MIXED; i++)
		subject->free(objects[i]);
	vfree(objects);
	report("mix", subject, "bytes_per_byte", taken, asked);
}

static void measure(const struct subject *subject, void **objects)
{
	report("pair", subject, "instructions", time_pairs(subject), NR_PAIRS);
	report("rows", subject, "instructions", time_rows(subject, objects), 4 * NR_PAIRS);
	if (subject->alloc_bulk)
		report("bulk", subject, "instructions", time_bulk(subject, objects),
		       NR_PAIRS / NR_BULK * NR_BULK);
}

static int __init bench_init(void)
{
	void **objects = kvmalloc_array(NR_PAIRS, sizeof(*objects), GFP_KERNEL);
	const struct subject *subject;

	if (!objects)
		return -ENOMEM;
	for (subject = subjects; subject < subjects + ARRAY_SIZE(subjects); subject++) {
		if (!subject->begin(SIZE))
			continue;
		measure(subject, objects);
		/* A kmem_cache has one size only. */
		if (subject->begin == kheap_begin || subject->begin == kmalloc_begin)
			measure_mix(subject);
		subject->end();
		rcu_barrier();
	}
	kvfree(objects);
	return 0;
}

static void __exit bench_exit(void)
{
}

module_init(bench_init);
module_exit(bench_exit);

MODULE_DESCRIPTION("Measures a module's heap of pymalloc beside kmalloc and kmem_cache");
MODULE_LICENSE("GPL");
