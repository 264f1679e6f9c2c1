// SPDX-License-Identifier: GPL-2.0
/*
 * Heaps of other modules, by the interface that these have, in every context.
 */
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/pymalloc_kernel.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#include "kheap_types.h"
#include "kunit.h"
#include "params.h"
#include "registry.h"
#include "service_heap.h"

#define MANY	3000

static void kheap_end_test(void *kheap)
{
	pymalloc_kheap_end(kheap);
}

static struct pymalloc_kheap *make(struct kunit *test, const struct pymalloc_kheap_args *args)
{
	struct pymalloc_kheap *kheap = pymalloc_kheap_make(args);

	KUNIT_ASSERT_FALSE(test, IS_ERR(kheap));
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, kheap_end_test, kheap), 0);
	return kheap;
}

static struct pymalloc_kheap *make_plain(struct kunit *test)
{
	return make(test, &(struct pymalloc_kheap_args) { .name = "kunit" });
}

static u64 objects_of(struct pymalloc_kheap *kheap)
{
	return heap_stats(kheap->heap).blocks;
}

/* Pools that interrupts have made get their place by a worker. */
static void expect_sound(struct kunit *test, struct pymalloc_kheap *kheap)
{
	flush_delayed_work(&kheap->work);
	KUNIT_EXPECT_TRUE(test, llist_empty(&kheap->orphans));
	heap_check(test, kheap->heap);
}

/* No object, and no page, is left. */
static void expect_nothing(struct kunit *test, struct pymalloc_kheap *kheap)
{
	expect_sound(test, kheap);
	pymalloc_kheap_trim(kheap);
	KUNIT_EXPECT_EQ(test, objects_of(kheap), 0);
	KUNIT_EXPECT_EQ(test, kheap->heap->pages, 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&kheap->heap->nr_bad_refs), 0);
	expect_sound(test, kheap);
}

static void **objects_new(struct kunit *test, unsigned int nr)
{
	void **objects = kunit_kcalloc(test, nr, sizeof(*objects), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, objects);
	return objects;
}

/* Each object says where it is: none lies in another. */
static void fill_objects(void **objects, size_t size, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		memset(objects[i], i, size);
}

static bool are_filled(void **objects, size_t size, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (memchr_inv(objects[i], (u8)i, size))
			return false;
	return true;
}

static void it_has_objects_of_each_size(struct kunit *test)
{
	struct pymalloc_kheap *kheap = make_plain(test);
	void **objects = objects_new(test, 200);
	unsigned int i;
	size_t size;

	/* Those of some classes, and 512. */
	for (size = 1; size <= PYMALLOC_KHEAP_MAX; size += 7) {
		for (i = 0; i < 200; i++) {
			objects[i] = pymalloc_kheap_alloc(kheap, size, GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, objects[i]);
		}
		fill_objects(objects, size, 200);
		KUNIT_EXPECT_TRUE(test, are_filled(objects, size, 200));
		KUNIT_EXPECT_EQ(test, pymalloc_kheap_usable(objects[7]), ALIGN(size, 8));
		KUNIT_EXPECT_EQ(test, objects_of(kheap), 200);
		for (i = 0; i < 200; i++)
			pymalloc_kheap_free(objects[i]);
		KUNIT_EXPECT_EQ(test, pymalloc_kheap_usable(objects[7]), 0);
	}
	expect_nothing(test, kheap);
}

static void it_aligns_them(struct kunit *test)
{
	struct pymalloc_kheap *kheap =
		make(test, &(struct pymalloc_kheap_args) { .name = "kunit", .alignment = 16 });
	void *objects[3];
	unsigned int i;

	for (i = 0; i < 3; i++) {
		objects[i] = pymalloc_kheap_alloc(kheap, 24, GFP_KERNEL);
		KUNIT_EXPECT_EQ(test, (unsigned long)objects[i] % 16, 0);
		KUNIT_EXPECT_EQ(test, pymalloc_kheap_usable(objects[i]), 32);
	}
	pymalloc_kheap_free_bulk(3, objects);
	expect_nothing(test, kheap);
}

static void it_clears_them_if_asked(struct kunit *test)
{
	struct pymalloc_kheap *kheap = make_plain(test);
	unsigned int i;

	for (i = 0; i < 1000; i++) {
		void *object = pymalloc_kheap_zalloc(kheap, 40, GFP_KERNEL);

		KUNIT_ASSERT_NOT_NULL(test, object);
		KUNIT_ASSERT_NULL(test, memchr_inv(object, 0, 40));
		memset(object, 0xa5, 40);
		pymalloc_kheap_free(object);
	}
	expect_nothing(test, kheap);
}

struct point {
	long x, y;
};

static void it_allocates_by_type(struct kunit *test)
{
	struct pymalloc_kheap *kheap = make_plain(test);
	struct point *point = pymalloc_kheap_zalloc_obj(kheap, *point, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, point);
	KUNIT_EXPECT_EQ(test, point->x + point->y, 0);
	KUNIT_EXPECT_EQ(test, pymalloc_kheap_usable(point), sizeof(struct point));
	pymalloc_kheap_free(point);
	expect_nothing(test, kheap);
}

static void it_has_many_at_once(struct kunit *test)
{
	struct pymalloc_kheap *kheap = make_plain(test);
	void **objects = objects_new(test, MANY);
	static const size_t sizes[] = { 8, 24, 64, 72, 512 };
	unsigned int i, k;

	for (k = 0; k < ARRAY_SIZE(sizes); k++) {
		KUNIT_ASSERT_EQ(test, pymalloc_kheap_alloc_bulk(kheap, sizes[k], GFP_KERNEL, MANY,
								objects), MANY);
		fill_objects(objects, sizes[k], MANY);
		KUNIT_EXPECT_TRUE(test, are_filled(objects, sizes[k], MANY));
		KUNIT_EXPECT_EQ(test, objects_of(kheap), MANY);
		/* In another order than that in which they were allocated. */
		for (i = 0; i < MANY; i++)
			swap(objects[i], objects[(u64)i * 7919 % MANY]);
		pymalloc_kheap_free_bulk(MANY, objects);
		KUNIT_EXPECT_EQ(test, objects_of(kheap), 0);
	}
	expect_nothing(test, kheap);
}

static void it_gives_all_or_none(struct kunit *test)
{
	struct pymalloc_kheap *kheap =
		make(test, &(struct pymalloc_kheap_args) { .name = "kunit", .limit = SZ_512K });
	void **objects = objects_new(test, MANY);

	KUNIT_EXPECT_EQ(test, pymalloc_kheap_alloc_bulk(kheap, 512, GFP_KERNEL, MANY, objects), 0);
	KUNIT_EXPECT_EQ(test, objects_of(kheap), 0);
	KUNIT_EXPECT_EQ(test, pymalloc_kheap_alloc_bulk(kheap, 512, GFP_ATOMIC, MANY, objects), 0);
	KUNIT_EXPECT_EQ(test, objects_of(kheap), 0);
	expect_nothing(test, kheap);
}

static void it_keeps_its_limit(struct kunit *test)
{
	struct pymalloc_kheap *kheap =
		make(test, &(struct pymalloc_kheap_args) { .name = "kunit", .limit = SZ_512K });
	void **objects = objects_new(test, MANY);
	unsigned int nr = 0;

	while (nr < MANY && (objects[nr] = pymalloc_kheap_alloc(kheap, 512, GFP_KERNEL)))
		nr++;
	KUNIT_EXPECT_LT(test, nr, SZ_512K / 512);
	KUNIT_EXPECT_GT(test, nr, SZ_128K / 512);
	KUNIT_EXPECT_NULL(test, pymalloc_kheap_alloc(kheap, 512, GFP_ATOMIC));
	KUNIT_EXPECT_LE(test, atomic_long_read(&kheap->heap->quota.used), SZ_512K);
	pymalloc_kheap_free_bulk(nr, objects);
	/* Pages of one class serve another one at the limit. */
	objects[0] = pymalloc_kheap_alloc(kheap, 16, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, objects[0]);
	pymalloc_kheap_free(objects[0]);
	expect_nothing(test, kheap);
}

/* Pages that have no place in the window yet count, too. */
static void it_keeps_its_limit_in_atomic_sections(struct kunit *test)
{
	struct pymalloc_kheap *kheap =
		make(test, &(struct pymalloc_kheap_args) { .name = "kunit", .limit = SZ_512K });
	void **objects = objects_new(test, MANY);
	unsigned long flags;
	unsigned int nr = 0;

	local_irq_save(flags);
	while (nr < MANY && (objects[nr] = pymalloc_kheap_alloc(kheap, 512, GFP_ATOMIC)))
		nr++;
	local_irq_restore(flags);
	KUNIT_EXPECT_LT(test, nr, SZ_512K / 512);
	KUNIT_EXPECT_GT(test, nr, SZ_128K / 512);
	expect_sound(test, kheap);
	/* An arena to put them in is not counted before. */
	KUNIT_EXPECT_LE(test, atomic_long_read(&kheap->heap->quota.used), SZ_512K + SZ_4K);
	pymalloc_kheap_free_bulk(nr, objects);
	expect_nothing(test, kheap);
}

/* What a context does: allocates objects, fills them, and frees those of the last one. */
struct visit {
	struct kunit *test;
	struct pymalloc_kheap *kheap;
	void **objects;
	unsigned int nr;
	unsigned int failed;
	struct completion done;
	struct tasklet_struct tasklet;
	struct timer_list timer;
	struct hrtimer hrtimer;
	struct irq_work irq_work;
	struct work_struct work;
};

static void visit_do(struct visit *visit)
{
	unsigned int i;

	for (i = 0; i < visit->nr; i++) {
		size_t size = 16 + i % 400;
		void *object = pymalloc_kheap_alloc(visit->kheap, size, GFP_ATOMIC);

		visit->failed += !object;
		if (object)
			memset(object, 0x5a, size);
		pymalloc_kheap_free(visit->objects[i]);
		visit->objects[i] = object;
	}
	complete(&visit->done);
}

static void visit_tasklet(struct tasklet_struct *tasklet)
{
	visit_do(from_tasklet((struct visit *)NULL, tasklet, tasklet));
}

static void visit_timer(struct timer_list *timer)
{
	visit_do(container_of(timer, struct visit, timer));
}

static enum hrtimer_restart visit_hrtimer(struct hrtimer *timer)
{
	visit_do(container_of(timer, struct visit, hrtimer));
	return HRTIMER_NORESTART;
}

static void visit_irq_work(struct irq_work *work)
{
	visit_do(container_of(work, struct visit, irq_work));
}

static void visit_work(struct work_struct *work)
{
	visit_do(container_of(work, struct visit, work));
}

static void visit_begin(struct kunit *test, struct visit *visit, unsigned int nr)
{
	visit->test = test;
	visit->kheap = make_plain(test);
	visit->objects = objects_new(test, nr);
	visit->nr = nr;
	init_completion(&visit->done);
	tasklet_setup(&visit->tasklet, visit_tasklet);
	timer_setup(&visit->timer, visit_timer, 0);
	hrtimer_init(&visit->hrtimer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
	visit->hrtimer.function = visit_hrtimer;
	visit->irq_work = IRQ_WORK_INIT_HARD(visit_irq_work);
	INIT_WORK(&visit->work, visit_work);
}

static void visit_end(struct visit *visit)
{
	unsigned int i;

	KUNIT_EXPECT_EQ(visit->test, visit->failed, 0);
	for (i = 0; i < visit->nr; i++)
		pymalloc_kheap_free(visit->objects[i]);
	expect_nothing(visit->test, visit->kheap);
}

static void it_serves_softirqs(struct kunit *test)
{
	struct visit *visit = kunit_kzalloc(test, sizeof(*visit), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, visit);
	visit_begin(test, visit, 1000);
	tasklet_schedule(&visit->tasklet);
	wait_for_completion(&visit->done);
	tasklet_kill(&visit->tasklet);
	expect_sound(test, visit->kheap);
	mod_timer(&visit->timer, jiffies);
	wait_for_completion(&visit->done);
	timer_delete_sync(&visit->timer);
	visit_end(visit);
}

static void it_serves_hardirqs(struct kunit *test)
{
	struct visit *visit = kunit_kzalloc(test, sizeof(*visit), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, visit);
	visit_begin(test, visit, 200);
	irq_work_queue(&visit->irq_work);
	wait_for_completion(&visit->done);
	irq_work_sync(&visit->irq_work);
	hrtimer_start(&visit->hrtimer, 0, HRTIMER_MODE_REL_HARD);
	wait_for_completion(&visit->done);
	hrtimer_cancel(&visit->hrtimer);
	visit_end(visit);
}

static DEFINE_SPINLOCK(visit_lock);

static void it_serves_atomic_sections(struct kunit *test)
{
	struct visit *visit = kunit_kzalloc(test, sizeof(*visit), GFP_KERNEL);
	unsigned long flags;

	KUNIT_ASSERT_NOT_NULL(test, visit);
	visit_begin(test, visit, 1000);
	spin_lock_irqsave(&visit_lock, flags);
	visit_do(visit);
	spin_unlock_irqrestore(&visit_lock, flags);
	rcu_read_lock();
	visit_do(visit);
	rcu_read_unlock();
	visit_end(visit);
}

/* Objects come from one CPU, and are freed on another. */
static void it_serves_all_cpus(struct kunit *test)
{
	struct visit *visit = kunit_kzalloc(test, sizeof(*visit), GFP_KERNEL);
	unsigned int round;
	int cpu;

	KUNIT_ASSERT_NOT_NULL(test, visit);
	visit_begin(test, visit, 1000);
	for (round = 0; round < 4; round++)
		for_each_online_cpu(cpu) {
			queue_work_on(cpu, system_highpri_wq, &visit->work);
			flush_work(&visit->work);
		}
	visit_end(visit);
}

static void it_outlives_a_cpu(struct kunit *test)
{
	struct visit *visit = kunit_kzalloc(test, sizeof(*visit), GFP_KERNEL);
	int cpu = num_online_cpus() - 1;

	if (!cpu)
		kunit_skip(test, "this machine has one CPU");
	KUNIT_ASSERT_NOT_NULL(test, visit);
	visit_begin(test, visit, 1000);
	queue_work_on(cpu, system_highpri_wq, &visit->work);
	flush_work(&visit->work);
	if (remove_cpu(cpu))
		kunit_skip(test, "this machine's CPUs stay");
	visit_do(visit);
	visit_end(visit);
	KUNIT_EXPECT_EQ(test, add_cpu(cpu), 0);
}

static void it_shrinks(struct kunit *test)
{
	struct pymalloc_kheap *kheap = make_plain(test);
	void **objects = objects_new(test, MANY);
	u64 pages;

	KUNIT_ASSERT_EQ(test, pymalloc_kheap_alloc_bulk(kheap, 256, GFP_KERNEL, MANY, objects),
			MANY);
	expect_sound(test, kheap);
	pymalloc_kheap_shrink(kheap, ULONG_MAX);
	pages = kheap->heap->pages;
	KUNIT_EXPECT_EQ(test, pages, DIV_ROUND_UP(MANY, 16));
	KUNIT_EXPECT_EQ(test, pymalloc_kheap_shrink(kheap, ULONG_MAX), 0);
	pymalloc_kheap_free_bulk(MANY, objects);
	/* The worker finds pages without objects, which can be had without waiting then. */
	flush_delayed_work(&kheap->work);
	KUNIT_EXPECT_GE(test, pymalloc_kheap_shrink(kheap, 10), 10);
	KUNIT_EXPECT_GT(test, kheap->heap->pages, 0);
	KUNIT_EXPECT_GT(test, pymalloc_kheap_shrink(kheap, ULONG_MAX), 0);
	expect_nothing(test, kheap);
}

struct late {
	u64 value;
	struct rcu_head rcu;
};

static void it_frees_after_a_grace_period(struct kunit *test)
{
	struct pymalloc_kheap *kheap = make_plain(test);
	struct late *late;
	unsigned int i;

	for (i = 0; i < 100; i++) {
		late = pymalloc_kheap_alloc_obj(kheap, *late, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, late);
		pymalloc_kheap_free_rcu(&late->rcu);
	}
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, objects_of(kheap), 0);
	expect_nothing(test, kheap);
}

static atomic_t constructed;

static void construct(void *object)
{
	atomic_inc(&constructed);
	memset(object, 0x77, 100);
}

static void it_constructs_once(struct kunit *test)
{
	const struct pymalloc_kheap_args args = {
		.name = "kunit", .object_size = 100, .ctor = construct,
	};
	struct pymalloc_kheap *kheap = make(test, &args);
	void **objects = objects_new(test, MANY);
	unsigned int round, i;
	int before;

	atomic_set(&constructed, 0);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < MANY; i++) {
			objects[i] = pymalloc_kheap_alloc(kheap, 100, GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, objects[i]);
			KUNIT_ASSERT_NULL(test, memchr_inv(objects[i], 0x77, 100));
		}
		if (!round)
			before = atomic_read(&constructed);
		/* Each CPU that this comes to takes a page of objects for itself. */
		KUNIT_EXPECT_LE(test, atomic_read(&constructed),
				before + num_possible_cpus() * (int)PAGE_SIZE / 100);
		for (i = 0; i < MANY; i++)
			pymalloc_kheap_free(objects[i]);
	}
	KUNIT_EXPECT_GE(test, before, MANY);
	/* Where nothing may be waited for, too. */
	KUNIT_ASSERT_EQ(test, pymalloc_kheap_alloc_bulk(kheap, 100, GFP_ATOMIC, MANY, objects),
			MANY);
	for (i = 0; i < MANY; i++)
		KUNIT_ASSERT_NULL(test, memchr_inv(objects[i], 0x77, 100));
	pymalloc_kheap_free_bulk(MANY, objects);
	expect_nothing(test, kheap);
}

struct trimmer {
	struct work_struct work;
	struct pymalloc_kheap *kheap;
};

static void trimmer_work(struct work_struct *work)
{
	pymalloc_kheap_trim(container_of(work, struct trimmer, work)->kheap);
}

/* As long as somebody reads under RCU, a freed object's page goes nowhere. */
static void it_is_type_safe(struct kunit *test)
{
	const struct pymalloc_kheap_args args = {
		.name = "kunit", .object_size = 64, .flags = PYMALLOC_KHEAP_TYPESAFE,
	};
	struct trimmer *trimmer = kunit_kzalloc(test, sizeof(*trimmer), GFP_KERNEL);
	struct pymalloc_kheap *kheap = make(test, &args);
	void *object = pymalloc_kheap_alloc(kheap, 64, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, trimmer);
	KUNIT_ASSERT_NOT_NULL(test, object);
	trimmer->kheap = kheap;
	INIT_WORK(&trimmer->work, trimmer_work);
	memset(object, 0x33, 64);
	rcu_read_lock();
	pymalloc_kheap_free(object);
	queue_work(system_unbound_wq, &trimmer->work);
	mdelay(100);
	KUNIT_EXPECT_GT(test, READ_ONCE(kheap->heap->pages), 0);
	KUNIT_EXPECT_NULL(test, memchr_inv(object, 0x33, 64));
	rcu_read_unlock();
	flush_work(&trimmer->work);
	expect_nothing(test, kheap);
}

static void it_reserves(struct kunit *test)
{
	struct pymalloc_kheap *kheap =
		make(test, &(struct pymalloc_kheap_args) { .name = "kunit", .limit = SZ_512K });
	struct pymalloc_kreserve *reserve = pymalloc_kreserve_make(kheap, 200, 100);
	void **objects = objects_new(test, MANY);
	void **reserved = objects_new(test, 100);
	unsigned int nr = 0, round, i;

	KUNIT_ASSERT_FALSE(test, IS_ERR(reserve));
	while (nr < MANY && (objects[nr] = pymalloc_kheap_alloc(kheap, 200, GFP_KERNEL)))
		nr++;
	KUNIT_EXPECT_LT(test, nr, MANY);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < 100; i++) {
			reserved[i] = pymalloc_kreserve_alloc(reserve);
			KUNIT_ASSERT_NOT_NULL(test, reserved[i]);
		}
		/* What is freed is reserved again, not another's. */
		for (i = 0; i < 100; i++)
			pymalloc_kheap_free(reserved[i]);
		KUNIT_EXPECT_NULL(test, pymalloc_kheap_alloc(kheap, 200, GFP_KERNEL));
	}
	pymalloc_kheap_free_bulk(nr, objects);
	pymalloc_kreserve_end(reserve);
	expect_nothing(test, kheap);
}

static void it_refuses_what_it_cannot_reserve(struct kunit *test)
{
	struct pymalloc_kheap *kheap =
		make(test, &(struct pymalloc_kheap_args) { .name = "kunit", .limit = SZ_512K });

	KUNIT_EXPECT_EQ(test, PTR_ERR(pymalloc_kreserve_make(kheap, 200, MANY)), -ENOMEM);
	KUNIT_EXPECT_EQ(test, PTR_ERR(pymalloc_kreserve_make(kheap, 0, 1)), -EINVAL);
	KUNIT_EXPECT_EQ(test, PTR_ERR(pymalloc_kreserve_make(kheap, 513, 1)), -EINVAL);
	KUNIT_EXPECT_EQ(test, PTR_ERR(pymalloc_kreserve_make(kheap, 8, 0)), -EINVAL);
	pymalloc_kreserve_end(NULL);
	expect_nothing(test, kheap);
}

static void it_refuses_bad_arguments(struct kunit *test)
{
	static const struct pymalloc_kheap_args bad[] = {
		{ .name = "a name of more than thirty-one characters" },
		{ .name = "a\nname" },
		{ .name = "kunit", .alignment = 4 },
		{ .name = "kunit", .alignment = 32 },
		{ .name = "kunit", .flags = 1U << 31 },
		{ .name = "kunit", .ctor = construct },
		{ .name = "kunit", .flags = PYMALLOC_KHEAP_TYPESAFE },
		{ .name = "kunit", .object_size = 513 },
	};
	static const struct pymalloc_kheap_args small = { .name = "kunit", .limit = 4096 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		KUNIT_EXPECT_EQ(test, PTR_ERR(pymalloc_kheap_make(&bad[i])), -EINVAL);
	KUNIT_EXPECT_EQ(test, PTR_ERR(pymalloc_kheap_make(&small)), -ENOMEM);
	pymalloc_kheap_free(NULL);
	KUNIT_EXPECT_EQ(test, pymalloc_kheap_end(NULL), 0);
}

static bool is_known(u64 id)
{
	struct pym_service_heap *sheap = pym_registry_find(id);

	if (sheap)
		pym_service_put(sheap);
	return sheap;
}

/* Objects that are left keep the heap; it goes with the last of them. */
static void it_stays_with_what_has_leaked(struct kunit *test)
{
	const struct pymalloc_kheap_args args = {
		.name = "kunit leaks", .flags = PYMALLOC_KHEAP_CALLERS,
	};
	struct pymalloc_kheap *kheap = pymalloc_kheap_make(&args);
	void *objects[5];
	unsigned int i;
	u64 id;

	KUNIT_ASSERT_FALSE(test, IS_ERR(kheap));
	id = kheap->heap->id;
	for (i = 0; i < 5; i++) {
		objects[i] = pymalloc_kheap_alloc(kheap, 24 + i, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, objects[i]);
		KUNIT_EXPECT_EQ(test, pymalloc_kheap_usable(objects[i]), i ? 32 : 24);
	}
	KUNIT_EXPECT_EQ(test, pymalloc_kheap_end(kheap), 5);
	heap_check(test, kheap->heap);
	pymalloc_kheap_free_bulk(5, objects);
	for (i = 0; i < 300 && is_known(id); i++)
		msleep(100);
	KUNIT_EXPECT_FALSE(test, is_known(id));
}

/* Objects for whose pages the window has no place are not lost, nor freed by the end. */
static void it_stays_with_what_has_no_place(struct kunit *test)
{
	static const struct pymalloc_kheap_args args = { .name = "kunit small" };
	unsigned long window = pym_default_window, flags;
	void **objects = objects_new(test, MANY);
	struct pymalloc_kheap *kheap;
	unsigned int nr = 0, i;
	u64 id;

	pym_default_window = SZ_512K;
	kheap = pymalloc_kheap_make(&args);
	pym_default_window = window;
	KUNIT_ASSERT_FALSE(test, IS_ERR(kheap));
	id = kheap->heap->id;
	/* The worker must not take their place before they are made. */
	local_irq_save(flags);
	while (nr < MANY && (objects[nr] = pymalloc_kheap_alloc(kheap, 512, GFP_ATOMIC)))
		nr++;
	local_irq_restore(flags);
	KUNIT_EXPECT_GE(test, nr, 8);
	KUNIT_EXPECT_LE(test, nr, SZ_256K / 512);
	for (i = 0; i < nr; i++)
		KUNIT_EXPECT_EQ(test, pymalloc_kheap_usable(objects[i]), 512);
	KUNIT_EXPECT_EQ(test, pymalloc_kheap_end(kheap), nr);
	pymalloc_kheap_free_bulk(nr, objects);
	for (i = 0; i < 300 && is_known(id); i++)
		msleep(100);
	KUNIT_EXPECT_FALSE(test, is_known(id));
}

static struct kunit_case cases[] = {
	KUNIT_CASE(it_has_objects_of_each_size),
	KUNIT_CASE(it_aligns_them),
	KUNIT_CASE(it_clears_them_if_asked),
	KUNIT_CASE(it_allocates_by_type),
	KUNIT_CASE(it_has_many_at_once),
	KUNIT_CASE(it_gives_all_or_none),
	KUNIT_CASE(it_keeps_its_limit),
	KUNIT_CASE(it_keeps_its_limit_in_atomic_sections),
	KUNIT_CASE(it_serves_softirqs),
	KUNIT_CASE(it_serves_hardirqs),
	KUNIT_CASE(it_serves_atomic_sections),
	KUNIT_CASE(it_serves_all_cpus),
	KUNIT_CASE(it_outlives_a_cpu),
	KUNIT_CASE(it_shrinks),
	KUNIT_CASE(it_frees_after_a_grace_period),
	KUNIT_CASE(it_constructs_once),
	KUNIT_CASE(it_is_type_safe),
	KUNIT_CASE(it_reserves),
	KUNIT_CASE(it_refuses_what_it_cannot_reserve),
	KUNIT_CASE(it_refuses_bad_arguments),
	KUNIT_CASE(it_stays_with_what_has_leaked),
	KUNIT_CASE(it_stays_with_what_has_no_place),
	{}
};

static struct kunit_suite suite = {
	.name		= "pymalloc_kheap",
	.test_cases	= cases,
};

kunit_test_suites(&suite);
