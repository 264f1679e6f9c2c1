// SPDX-License-Identifier: GPL-2.0
/*
 * Reclaim: how a heap gives memory back, on request and by itself.
 *
 * There are three ways, which serve each other in this order:
 *
 * - Steal: the blocks that sleeping threads have in their magazines are freed.
 * - Mesh: sparse pools of a class come to share a page.
 * - Trim: pages of empty pools go.  In a round of upkeep only those go that were not
 *   needed since the last one, which is called decay.
 *
 * Rounds of upkeep also look for idle pages, if the heap is to do that.
 *
 * Whoever does this in a heap holds @busy of its upkeep.
 */
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/lockdep.h>
#include <linux/memcontrol.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "idle.h"
#include "reclaim.h"
#include "service_heap.h"
#include "steal.h"
#include "trace.h"
#include "upkeep.h"
#include "user.h"

/*
 * A heap at its limit takes memory back before it fails.  If that gains too little, it does
 * not try again for a while: first for so long, then for twice as long, and so on, up to
 * the second one.  It does so sooner if one in LIMIT_FREED of its objects is freed meanwhile.
 */
#define LIMIT_WAIT_MIN	msecs_to_jiffies(20)
#define LIMIT_WAIT_MAX	msecs_to_jiffies(2000)
#define LIMIT_FREED	4

/* Too little is less than so many pages out of the heap's, and blocks for each page. */
#define LIMIT_GAIN	64

/* After a round the next one waits for so many times as long as this one took, at least. */
#define ROUND_REST	8

/*
 * What urgent rounds have given back: @meshed by the meshing that goes on, @pages before.
 * Only the thread of upkeep writes here.
 */
static struct {
	u64 pages;
	struct pym_mesh_result meshed;
} urgent_gain;

static u64 reclaim_steal(struct pym_service_heap *sheap, bool all)
{
	u64 taken = pym_caches_steal(sheap, all);

	if (taken)
		trace_heap_steal(sheap->heap.id, taken);
	return taken;
}

/* What pages have beyond blocks and @others, which are whole pages. */
static u64 excess_beyond(u64 page_bytes, u64 block_bytes, u64 others)
{
	u64 used = block_bytes + (others << PYM_POOL_SHIFT);

	/* The figures are not of one moment. */
	return page_bytes > used ? page_bytes - used : 0;
}

/* Bytes of the pages of pools that have blocks, beyond those of the blocks. */
static u64 excess_of(const struct pym_stats *stats)
{
	return excess_beyond(stats->page_bytes, stats->block_bytes,
			     stats->run_pages + stats->pools_empty);
}

/* Is a quarter more free in pages than the last meshing left? */
static bool exceeds_last(const struct pym_upkeep *upkeep, u64 excess)
{
	u64 last = READ_ONCE(upkeep->mesh_excess);

	return excess > last + last / 4;
}

/* Mesh, and remember what could not be gained: only a change makes it worth another try. */
static int reclaim_mesh(struct pym_service_heap *sheap, struct pym_mesh_result *result)
{
	struct pym_upkeep *upkeep = sheap->upkeep;
	struct pym_stats stats;
	int err;

	lockdep_assert_held(&upkeep->busy);
	err = pym_mesh(&sheap->heap, result);
	trace_heap_mesh(sheap->heap.id, result->pages_freed, result->frames_joined,
			result->bytes_copied, result->pages_pinned);
	if (err)
		return err;
	/* Few pages are left in each arena, but what describes them would stay. */
	pym_repack(&sheap->heap);
	pym_heap_stats(&sheap->heap, &stats);
	WRITE_ONCE(upkeep->mesh_excess, excess_of(&stats));
	upkeep->mesh_frees = stats.nr_frees;
	return 0;
}

static int compact_locked(struct pym_service_heap *sheap, u32 what,
			  struct pymalloc_compact *done)
{
	u64 before = READ_ONCE(sheap->heap.pages_out);
	struct pym_mesh_result meshed = {};
	int err = 0;

	if (what & PYMALLOC_COMPACT_CACHES)
		done->blocks_taken = reclaim_steal(sheap, true);
	if (what & PYMALLOC_COMPACT_MESH)
		err = reclaim_mesh(sheap, &meshed);
	if (what & PYMALLOC_COMPACT_STOCK && !err)
		pym_trim(&sheap->heap);
	/* Frees of stolen blocks may have given back some, too. */
	done->pages_freed = READ_ONCE(sheap->heap.pages_out) - before;
	done->frames_joined = meshed.frames_joined;
	done->bytes_copied = meshed.bytes_copied;
	done->pages_pinned = meshed.pages_pinned;
	return fatal_signal_pending(current) ? -EINTR : err;
}

/**
 * pym_reclaim_compact() - give back all that can be given back
 * @sheap: the heap; the caller has a reference
 * @what: PYMALLOC_COMPACT_*: what is to be done
 * @done: out: its figures; the others stay as they are
 *
 * Context: Sleeps.  Not under the gate, nor with an mmap_lock held.
 * Return: 0, or -EINTR (the caller is being killed).
 */
int pym_reclaim_compact(struct pym_service_heap *sheap, u32 what,
			struct pymalloc_compact *done)
{
	struct pym_upkeep *upkeep = sheap->upkeep;
	struct mem_cgroup *memcg;
	int err;

	if (mutex_lock_killable(&upkeep->busy))
		return -EINTR;
	memcg = set_active_memcg(sheap->memcg);
	err = compact_locked(sheap, what, done);
	set_active_memcg(memcg);
	mutex_unlock(&upkeep->busy);
	return err;
}

static bool limit_is_tried_again(struct pym_service_heap *sheap)
{
	const struct pym_upkeep *upkeep = sheap->upkeep;
	struct pym_stats stats;

	if (!READ_ONCE(upkeep->limit_wait) || time_after_eq(jiffies, upkeep->limit_again))
		return true;
	pym_heap_stats(&sheap->heap, &stats);
	return stats.nr_frees - upkeep->limit_frees > stats.blocks / LIMIT_FREED;
}

/* Note how much was gained at the limit. */
static void limit_note(struct pym_service_heap *sheap, const struct pymalloc_compact *done)
{
	struct pym_upkeep *upkeep = sheap->upkeep;
	unsigned long wait = upkeep->limit_wait * 2;
	struct pym_stats stats;

	if (done->pages_freed * LIMIT_GAIN + done->blocks_taken / LIMIT_GAIN >=
	    READ_ONCE(sheap->heap.pages) + 1) {
		WRITE_ONCE(upkeep->limit_wait, 0);
		return;
	}
	pym_heap_stats(&sheap->heap, &stats);
	upkeep->limit_frees = stats.nr_frees;
	wait = clamp(wait, LIMIT_WAIT_MIN, LIMIT_WAIT_MAX);
	upkeep->limit_again = jiffies + wait;
	WRITE_ONCE(upkeep->limit_wait, wait);
}

static bool limit_locked(struct pym_service_heap *sheap)
{
	struct pymalloc_compact done = {};
	u32 off = pym_upkeep_policy(sheap).off;
	u32 what = PYMALLOC_COMPACT_STOCK;

	if (!limit_is_tried_again(sheap))
		return false;
	if (!(off & PYMALLOC_POLICY_NO_STEAL))
		what |= PYMALLOC_COMPACT_CACHES;
	if (!(off & PYMALLOC_POLICY_NO_MESH))
		what |= PYMALLOC_COMPACT_MESH;
	if (compact_locked(sheap, what, &done))
		return false;
	limit_note(sheap, &done);
	return done.pages_freed || done.blocks_taken;
}

/**
 * pym_reclaim_at_limit() - a heap has met a limit: .reclaim of its operations
 * @heap: the heap, of the calling process
 *
 * Another task that is taking memory back is waited for.
 *
 * Context: Sleeps.  Not under the gate, nor with an mmap_lock held.
 * Return: true if something was gained.
 */
bool pym_reclaim_at_limit(struct pym_heap *heap)
{
	struct pym_service_heap *sheap = pym_service_of(heap);
	bool gained;

	if (mutex_lock_killable(&sheap->upkeep->busy))
		return false;
	gained = limit_locked(sheap);
	mutex_unlock(&sheap->upkeep->busy);
	return gained;
}

/**
 * pym_reclaim_urgent_pages() - how many pages urgent rounds have given to the machine so far
 *
 * Only those that nobody else has any more.
 *
 * Context: Any.
 * Return: their number, which grows while a round goes on; modulo 2^64.
 */
u64 pym_reclaim_urgent_pages(void)
{
	u64 pages = READ_ONCE(urgent_gain.pages);

	/* Pairs with the barrier in urgent_mesh_end(): nothing is counted twice. */
	smp_rmb();
	return pages + READ_ONCE(urgent_gain.meshed.pages_freed);
}

static void urgent_add(u64 nr)
{
	WRITE_ONCE(urgent_gain.pages, urgent_gain.pages + nr);
}

static void urgent_mesh_end(void)
{
	u64 nr = urgent_gain.meshed.pages_freed;

	WRITE_ONCE(urgent_gain.meshed.pages_freed, 0);
	/* Pairs with the barrier in pym_reclaim_urgent_pages(). */
	smp_wmb();
	urgent_add(nr);
}

/* Returns whether further rounds may find something. */
static bool round_steal(struct pym_service_heap *sheap, bool urgent)
{
	reclaim_steal(sheap, urgent);
	return pym_caches_pending(sheap);
}

/* Returns whether pools are empty, because the gate was closed or their page was locked. */
static bool round_trim(struct pym_service_heap *sheap)
{
	struct pym_heap *heap = &sheap->heap;
	u64 used = READ_ONCE(heap->pages_out_used);
	u64 nr = pym_trim_round(heap);

	/*
	 * Pages that relatives or pipes have as well are not free yet.  Those that other tasks
	 * have given back meanwhile may be among them: then too few pages count.
	 */
	used = READ_ONCE(heap->pages_out_used) - used;
	urgent_add(nr - min(nr, used));
	atomic64_add(nr, &sheap->upkeep->nr_shrunk);
	trace_heap_shrink(heap->id, nr);
	return READ_ONCE(heap->nr_empty);
}

static bool round_decay(struct pym_service_heap *sheap, u64 keep)
{
	struct pym_heap *heap = &sheap->heap;
	u64 nr;

	nr = pym_trim_idle(heap, keep);
	if (nr) {
		atomic64_add(nr, &sheap->upkeep->nr_decayed);
		trace_heap_decay(heap->id, nr);
	}
	return READ_ONCE(heap->nr_empty) > keep;
}

/*
 * Has so much changed since the last meshing that another one may gain something?  Either
 * a quarter more is free in pages than it left, or as much was freed as there is.
 */
static bool mesh_may_gain(const struct pym_upkeep *upkeep, const struct pym_stats *stats,
			  u64 excess)
{
	return exceeds_last(upkeep, excess) || stats->nr_frees - upkeep->mesh_frees > stats->blocks;
}

/**
 * pym_reclaim_gain() - how many pages meshing may give back
 * @sheap: the heap
 *
 * Context: Any but interrupts; also memory reclaim.
 * Return: the pages of pools, beyond those that their blocks would fill; 0 if meshing is
 *	off, or has tried and could not gain them.
 */
u64 pym_reclaim_gain(struct pym_service_heap *sheap)
{
	struct pym_heap *heap = &sheap->heap;
	u64 bytes = pym_block_bytes(heap);
	u64 excess = excess_beyond(READ_ONCE(heap->pages) << PYM_POOL_SHIFT, bytes,
				   READ_ONCE(heap->run_pages) + READ_ONCE(heap->nr_empty));

	if (excess <= bytes / 2 || !exceeds_last(sheap->upkeep, excess) || heap->no_mesh ||
	    pym_upkeep_policy(sheap).off & PYMALLOC_POLICY_NO_MESH)
		return 0;
	return excess >> PYM_POOL_SHIFT;
}

/* A heap is meshed if that was worth it in the last round already. */
static bool round_mesh(struct pym_service_heap *sheap, bool urgent)
{
	struct pym_mesh_result meshed = {};
	struct pym_upkeep *upkeep = sheap->upkeep;
	struct pym_stats stats;
	bool may_gain, due;
	u64 excess;

	pym_heap_stats(&sheap->heap, &stats);
	excess = excess_of(&stats);
	may_gain = excess > stats.block_bytes / 2 && mesh_may_gain(upkeep, &stats, excess);
	due = may_gain && excess >= READ_ONCE(pym_mesh_bytes);
	if (urgent ? may_gain : due && upkeep->due)
		due = reclaim_mesh(sheap, urgent ? &urgent_gain.meshed : &meshed);
	if (urgent)
		urgent_mesh_end();
	upkeep->due = due;
	return due;
}

static bool round_locked(struct pym_service_heap *sheap, bool urgent)
{
	struct pym_policy policy = pym_upkeep_policy(sheap);
	u64 keep = policy.keep_bytes >> PYM_POOL_SHIFT;
	bool more = false;

	if (!(policy.off & PYMALLOC_POLICY_NO_STEAL))
		more |= round_steal(sheap, urgent);
	if (!(policy.off & PYMALLOC_POLICY_NO_MESH))
		more |= round_mesh(sheap, urgent);
	if (urgent)
		more |= round_trim(sheap);
	else if (!(policy.off & PYMALLOC_POLICY_NO_DECAY))
		more |= round_decay(sheap, keep);
	return more;
}

/*
 * All heaps have one thread.  A user's heaps together get no more than a ninth of it, however
 * many they are, and whatever they make it do.
 */
static void round_set_rest(struct pym_service_heap *sheap, u64 took)
{
	u64 rest = ROUND_REST * took * atomic_read(&sheap->user->heaps);

	WRITE_ONCE(sheap->upkeep->rest, nsecs_to_jiffies(rest));
}

/*
 * An urgent round takes what memory it needs from the reserves, because it gives back more.
 * It must not wait for other tasks to free some: these may be waiting for the round.
 */
static bool round_urgent_locked(struct pym_service_heap *sheap)
{
	unsigned int flags = memalloc_noreclaim_save();
	bool more = round_locked(sheap, true);

	memalloc_noreclaim_restore(flags);
	return more;
}

/**
 * pym_reclaim_round() - a round of upkeep
 * @sheap: the heap; the caller has a reference
 * @urgent: take back all that can be had, at once
 *
 * Context: The thread of upkeep.  Sleeps.  Does not wait for the mmap_lock of the heap's
 *	process, nor for its caches or its gate; but for pages that faults lock.
 */
void pym_reclaim_round(struct pym_service_heap *sheap, bool urgent)
{
	struct pym_upkeep *upkeep = sheap->upkeep;
	struct mem_cgroup *memcg = set_active_memcg(sheap->memcg);
	u64 start = ktime_get_ns();
	bool more = true;

	if (mutex_trylock(&upkeep->busy)) {
		more = urgent ? round_urgent_locked(sheap) : round_locked(sheap, false);
		mutex_unlock(&upkeep->busy);
	}
	/* Not with that held: who begins to look for idle pages may take it. */
	if (!urgent)
		pym_idle_round(sheap);
	set_active_memcg(memcg);
	round_set_rest(sheap, ktime_get_ns() - start);
	if (more || pym_idle_is_on(sheap))
		pym_upkeep_arm(sheap);
}
