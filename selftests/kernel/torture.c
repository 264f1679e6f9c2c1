// SPDX-License-Identifier: GPL-2.0
/*
 * Torture: threads, softirqs and hardirqs on all CPUs allocate here and free there, one at a
 * time and many at once, while heaps are trimmed, made and ended.
 *
 * Loading it takes the parameter "seconds", and fails if anything was wrong.
 */
#define pr_fmt(fmt) "pymalloc_torture: " fmt

#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/pymalloc_kernel.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/timer.h>

#define SLOTS		4096
#define BULK		100

static unsigned int seconds = 60;
module_param(seconds, uint, 0444);
MODULE_PARM_DESC(seconds, "how long it takes");

/**
 * struct mark - what each object begins with
 * @self: where it is
 * @bytes: how many it has; all behind this struct say so, too
 */
struct mark {
	void *self;
	u64 bytes;
};

/**
 * struct worker - who works on a CPU
 * @task: the thread
 * @timer: the softirq
 * @hrtimer: the hardirq
 * @random: of each of the three
 */
struct worker {
	struct task_struct *task;
	struct timer_list timer;
	struct hrtimer hrtimer;
	struct rnd_state random[3];
};

static struct pymalloc_kheap *kheap;
static struct mark *slots[SLOTS];
static struct worker *workers;
static bool stop;
static atomic_long_t rounds, nothing, wrong;

static u32 below(struct rnd_state *random, u32 end)
{
	return prandom_u32_state(random) % end;
}

static void mark_set(struct mark *mark, u64 bytes)
{
	memset(mark, (u8)bytes, bytes);
	*mark = (struct mark) { .self = mark, .bytes = bytes };
}

/* Has nobody else written to it? */
static bool mark_is_whole(struct mark *mark)
{
	return mark->self == mark && mark->bytes <= PYMALLOC_KHEAP_MAX &&
	       !memchr_inv(mark + 1, (u8)mark->bytes, mark->bytes - sizeof(*mark));
}

static struct mark *make(struct rnd_state *random, gfp_t gfp)
{
	u64 bytes = sizeof(struct mark) + below(random, 497);
	struct mark *mark = pymalloc_kheap_alloc(kheap, bytes, gfp);

	if (mark)
		mark_set(mark, bytes);
	else
		atomic_long_inc(&nothing);
	return mark;
}

static void drop(struct mark *mark)
{
	if (!mark)
		return;
	if (!mark_is_whole(mark))
		atomic_long_inc(&wrong);
	mark->self = NULL;
	pymalloc_kheap_free(mark);
}

/* Put a new object into a slot, and free the one that was there, whoever has made it. */
static void exchange(struct rnd_state *random, gfp_t gfp)
{
	struct mark **slot = &slots[below(random, SLOTS)];

	drop(xchg(slot, below(random, 4) ? make(random, gfp) : NULL));
	atomic_long_inc(&rounds);
}

static void exchange_many(struct rnd_state *random)
{
	u64 bytes = sizeof(struct mark) + below(random, 497);
	unsigned int nr = 1 + below(random, BULK), i;
	void *objects[BULK];

	if (!pymalloc_kheap_alloc_bulk(kheap, bytes, GFP_KERNEL, nr, objects)) {
		atomic_long_inc(&nothing);
		return;
	}
	for (i = 0; i < nr; i++)
		mark_set(objects[i], bytes);
	for (i = 0; i < nr; i++)
		if (!mark_is_whole(objects[i]))
			atomic_long_inc(&wrong);
	pymalloc_kheap_free_bulk(nr, objects);
}

/* A heap that is there for a moment. */
static void visit_another(struct rnd_state *random)
{
	static const struct pymalloc_kheap_args args = { .name = "torture guest" };
	struct pymalloc_kheap *other = pymalloc_kheap_make(&args);
	unsigned int nr = below(random, 500), i;
	void *objects[16];

	if (IS_ERR(other))
		return;
	for (i = 0; i < nr; i++) {
		objects[i % 16] = pymalloc_kheap_alloc(other, 1 + below(random, 512), GFP_ATOMIC);
		pymalloc_kheap_free(objects[i % 16]);
	}
	if (pymalloc_kheap_end(other))
		atomic_long_inc(&wrong);
}

static int worker_thread(void *data)
{
	struct rnd_state *random = &((struct worker *)data)->random[0];

	while (!kthread_should_stop()) {
		unsigned int i;

		for (i = 0; i < 200; i++)
			exchange(random, GFP_KERNEL);
		exchange_many(random);
		if (!below(random, 10))
			pymalloc_kheap_trim(kheap);
		if (!below(random, 200))
			visit_another(random);
		cond_resched();
	}
	return 0;
}

static void worker_timer(struct timer_list *timer)
{
	struct worker *worker = container_of(timer, struct worker, timer);
	unsigned int i;

	for (i = 0; i < 50; i++)
		exchange(&worker->random[1], GFP_ATOMIC);
	if (!READ_ONCE(stop))
		mod_timer(timer, jiffies + 1);
}

static enum hrtimer_restart worker_hrtimer(struct hrtimer *timer)
{
	struct worker *worker = container_of(timer, struct worker, hrtimer);
	unsigned int i;

	for (i = 0; i < 10; i++)
		exchange(&worker->random[2], GFP_ATOMIC);
	if (READ_ONCE(stop))
		return HRTIMER_NORESTART;
	hrtimer_forward_now(timer, ms_to_ktime(1));
	return HRTIMER_RESTART;
}

static void worker_start_interrupts(void *unused)
{
	struct worker *worker = &workers[smp_processor_id()];

	mod_timer(&worker->timer, jiffies + 1);
	hrtimer_start(&worker->hrtimer, ms_to_ktime(1), HRTIMER_MODE_REL_PINNED_HARD);
}

static int worker_start(int cpu)
{
	struct worker *worker = &workers[cpu];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(worker->random); i++)
		prandom_seed_state(&worker->random[i], get_random_u64());
	timer_setup(&worker->timer, worker_timer, TIMER_PINNED);
	hrtimer_init(&worker->hrtimer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
	worker->hrtimer.function = worker_hrtimer;
	worker->task = kthread_create_on_cpu(worker_thread, worker, cpu, "torture/%u");
	if (IS_ERR(worker->task))
		return PTR_ERR(worker->task);
	wake_up_process(worker->task);
	return 0;
}

static void workers_stop(void)
{
	int cpu;

	WRITE_ONCE(stop, true);
	for_each_online_cpu(cpu) {
		if (!IS_ERR_OR_NULL(workers[cpu].task))
			kthread_stop(workers[cpu].task);
		timer_delete_sync(&workers[cpu].timer);
		hrtimer_cancel(&workers[cpu].hrtimer);
	}
}

static int workers_run(void)
{
	int cpu, err = 0;

	cpus_read_lock();
	for_each_online_cpu(cpu)
		err = err ?: worker_start(cpu);
	if (!err) {
		on_each_cpu(worker_start_interrupts, NULL, true);
		msleep(1000 * seconds);
	}
	workers_stop();
	cpus_read_unlock();
	return err;
}

static int __init torture_init(void)
{
	static const struct pymalloc_kheap_args args = { .name = "torture" };
	unsigned long left;
	unsigned int i;
	int err;

	workers = kcalloc(nr_cpu_ids, sizeof(*workers), GFP_KERNEL);
	if (!workers)
		return -ENOMEM;
	kheap = pymalloc_kheap_make(&args);
	err = PTR_ERR_OR_ZERO(kheap);
	if (err)
		goto free;
	err = workers_run();
	for (i = 0; i < SLOTS; i++)
		drop(xchg(&slots[i], NULL));
	left = pymalloc_kheap_end(kheap);
	pr_info("%ld exchanges, %ld without memory, %ld wrong, %lu left\n",
		atomic_long_read(&rounds), atomic_long_read(&nothing), atomic_long_read(&wrong),
		left);
	if (!err && (left || atomic_long_read(&wrong)))
		err = -EBADMSG;
free:
	kfree(workers);
	return err;
}

static void __exit torture_exit(void)
{
}

module_init(torture_init);
module_exit(torture_exit);

MODULE_DESCRIPTION("Tortures a module's heap of pymalloc");
MODULE_LICENSE("GPL");
