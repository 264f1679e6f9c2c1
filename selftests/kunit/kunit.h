/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the suites share: a heap that ends with its test, and short ways to
 * use it.
 */
#ifndef PYM_KUNIT_H
#define PYM_KUNIT_H

#include <kunit/test.h>

#include "../core/corruptions.h"

/* 64 MiB, four regions: enough for all tests that do not need a special size. */
#define TEST_WINDOW	(64ULL << 20)

/**
 * struct test_heap - a heap that nobody maps
 * @heap: the heap
 * @user: its user
 * @user_max: the user's limit in bytes; 0 is none
 * @test: the test that it ends with
 * @zapped: pages that were taken out of the mappings
 * @zapped_wrongly: how many of those were not there
 * @grown: how often the heap has passed its threshold
 */
struct test_heap {
	struct pym_heap heap;
	struct pym_quota user;
	unsigned long user_max;
	struct kunit *test;
	u64 zapped;
	u64 zapped_wrongly;
	unsigned int grown;
};

struct test_heap *heap_new(struct kunit *test, u32 alignment, u64 window);
struct test_heap *heap_clone(struct kunit *test, struct test_heap *parent);
int heap_own(struct test_heap *th, u64 ref);
void heap_set_user(struct test_heap *th, struct pym_quota *user);
void heap_drop(struct kunit *test, struct test_heap *th);
struct scene *scene_new(struct kunit *test);
void heap_check(struct kunit *test, struct pym_heap *heap);
struct pym_stats heap_stats(struct pym_heap *heap);
struct pym_pool *heap_pool(struct pym_heap *heap, u64 ref);
struct pym_arena *heap_arena(struct pym_heap *heap, u64 ref);
u8 heap_map(struct pym_heap *heap, u64 ref);

u64 alloc_one(struct kunit *test, struct pym_heap *heap, u64 size);
u64 *alloc_many(struct kunit *test, struct pym_heap *heap, u64 size, unsigned int nr);
enum pymalloc_ref_status free_one(struct pym_heap *heap, u64 ref);
void free_many(struct kunit *test, struct pym_heap *heap, const u64 *refs, unsigned int nr);

void fill(struct pym_heap *heap, u64 ref, u64 bytes, u8 value);
bool is_filled(struct pym_heap *heap, u64 ref, u64 bytes, u8 value);

#endif /* PYM_KUNIT_H */
