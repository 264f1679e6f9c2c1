// SPDX-License-Identifier: GPL-2.0
/*
 * debugfs: the machine and its heaps as text.
 *
 * A file takes its snapshot when it is opened and prints from that: reading
 * never touches a heap.  The first line of every file names the format and its
 * version.
 */
#include <linux/cred.h>
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/user_namespace.h>

#include "access.h"
#include "cache.h"
#include "client.h"
#include "debugfs.h"
#include "params.h"
#include "registry.h"
#include "service_heap.h"
#include "sharer.h"
#include "upkeep.h"
#include "user.h"

#define FORMAT_VERSION	1

/* One line of the map of pools. */
struct map_row {
	u64 offset;
	char pools[PYMALLOC_ARENA_POOLS];
};

struct snapshot {
	const struct report *report;
	struct pymalloc_heap_info info;
	struct pym_stats stats;
	struct pym_class_stats classes[PYMALLOC_NR_CLASSES];
	struct pym_verdict verdict;
	u64 shared_bytes;
	u64 pss_bytes;
	u64 cache_threads;
	u64 cache_bytes_max;
	u64 nr_stolen;
	u64 nr_decayed;
	u64 nr_shrunk;
	struct pym_policy policy;
	u64 user_bytes;
	u64 user_meta_bytes;
	unsigned int user_heaps;
	size_t nr;	/* entries of the array below */
	size_t room;
	union {
		struct pym_arena_info *arenas;
		struct map_row *rows;
		struct pymalloc_heap_info *heaps;
		struct pymalloc_type_info *types;
		struct pymalloc_client_info *clients;
		void *array;
	};
};

/* A file: how its snapshot is taken, and how it is printed. */
struct report {
	const char *name;
	size_t entry;	/* bytes of an entry of the array, if it has one */
	int (*take)(struct snapshot *snap, struct pym_service_heap *sheap);
	void (*print)(struct seq_file *m, const struct snapshot *snap);
	size_t most;	/* entries, if that is fixed; else it follows from what there is */
};

static void print_bytes(struct seq_file *m, const char *what, u64 bytes)
{
	seq_printf(m, "%-24s %16llu\n", what, bytes);
}

/* A limit, where 0 is none. */
static void print_limit(struct seq_file *m, const char *what, u64 limit)
{
	if (limit)
		print_bytes(m, what, limit);
	else
		seq_printf(m, "%-24s %16s\n", what, "none");
}

/* Parts of a thousand of @whole, or 0 of nothing. */
static u64 per_mille(u64 part, u64 whole)
{
	return whole ? div64_u64(part * 1000, whole) : 0;
}

static void print_heap_heading(struct seq_file *m, const struct snapshot *snap)
{
	char comm[PYM_SHOWN_COMM];

	pym_show_comm(comm, snap->info.comm);
	seq_printf(m, "heap %llu \"%s\" of %s[%d], uid %u, alignment %u, window %llu MiB\n\n",
		   snap->info.id, snap->info.name, comm, snap->info.pid,
		   snap->info.uid, snap->info.alignment, snap->info.window >> 20);
}

static int take_stats(struct snapshot *snap, struct pym_service_heap *sheap)
{
	u32 number, step = sheap->heap.alignment / PYMALLOC_BLOCK_MIN;
	const struct pym_caches *caches = READ_ONCE(sheap->caches);

	pym_heap_stats(&sheap->heap, &snap->stats);
	for (number = step; number <= PYMALLOC_NR_CLASSES; number += step)
		pym_class_stats(&sheap->heap, number, &snap->classes[snap->nr++]);
	snap->cache_threads = caches ? READ_ONCE(caches->threads) : 0;
	snap->cache_bytes_max = caches ? READ_ONCE(caches->bytes_max) : 0;
	snap->nr_stolen = atomic64_read(&sheap->upkeep->nr_stolen);
	snap->nr_decayed = atomic64_read(&sheap->upkeep->nr_decayed);
	snap->nr_shrunk = atomic64_read(&sheap->upkeep->nr_shrunk);
	snap->policy = pym_upkeep_policy(sheap);
	return pym_pages_shared(&sheap->heap, &snap->shared_bytes, &snap->pss_bytes);
}

static void print_policy(struct seq_file *m, const struct pym_policy *policy)
{
	print_bytes(m, "upkeep, milliseconds", policy->decay_ms);
	print_bytes(m, "upkeep, bytes kept", policy->keep_bytes);
	seq_printf(m, "%-24s %16s\n", "upkeep, decay",
		   policy->off & PYMALLOC_POLICY_NO_DECAY ? "off" : "on");
	seq_printf(m, "%-24s %16s\n", "upkeep, steal",
		   policy->off & PYMALLOC_POLICY_NO_STEAL ? "off" : "on");
	seq_printf(m, "%-24s %16s\n", "upkeep, mesh",
		   policy->off & PYMALLOC_POLICY_NO_MESH ? "off" : "on");
}

static void print_class(struct seq_file *m, const struct pym_class_stats *class)
{
	u64 pools = class->pools_used + class->pools_full;

	if (!pools && !class->nr_allocs)
		return;
	seq_printf(m, "%5u %4u %9llu %9llu %11llu %11llu %11llu %13llu %13llu\n",
		   class->size / PYMALLOC_BLOCK_MIN, class->size,
		   class->pools_used, class->pools_full,
		   class->blocks, class->blocks_free, class->blocks_untouched,
		   class->nr_allocs, class->nr_frees);
}

static void print_stats(struct seq_file *m, const struct snapshot *snap)
{
	const struct pym_stats *stats = &snap->stats;
	u64 used = stats->block_bytes + (stats->run_pages << PYM_POOL_SHIFT);
	u64 kept = per_mille(stats->page_bytes - used, stats->page_bytes);
	size_t i;

	print_heap_heading(m, snap);
	seq_printf(m, "%5s %4s %9s %9s %11s %11s %11s %13s %13s\n", "class", "size",
		   "used", "full", "allocated", "free", "untouched", "allocs", "frees");
	for (i = 0; i < snap->nr; i++)
		print_class(m, &snap->classes[i]);

	seq_puts(m, "\n");
	print_bytes(m, "arenas, object", stats->arenas);
	print_bytes(m, "arenas, runs", stats->run_arenas);
	print_bytes(m, "pools used", stats->pools_used);
	print_bytes(m, "pools full", stats->pools_full);
	print_bytes(m, "pools empty", stats->pools_empty);
	print_bytes(m, "large objects", stats->runs);
	print_bytes(m, "their pages", stats->run_pages);
	seq_puts(m, "\n");
	print_bytes(m, "bytes in blocks", stats->block_bytes);
	print_bytes(m, "bytes in pages", stats->page_bytes);
	print_bytes(m, "bytes in pages, peak", stats->page_bytes_peak);
	print_bytes(m, "bytes in pages, shared", snap->shared_bytes);
	print_bytes(m, "bytes in pages, PSS", snap->pss_bytes);
	print_bytes(m, "bytes of metadata", stats->meta_bytes);
	seq_printf(m, "%-24s %14llu.%llu %%\n", "held but not allocated", kept / 10, kept % 10);
	seq_puts(m, "\n");
	print_bytes(m, "objects allocated", stats->nr_allocs);
	print_bytes(m, "objects freed", stats->nr_frees);
	print_bytes(m, "refs refused", stats->nr_bad_refs);
	print_bytes(m, "pages taken", stats->nr_pages_in);
	print_bytes(m, "pages given back", stats->nr_pages_out);
	seq_puts(m, "\n");
	print_bytes(m, "threads with magazines", snap->cache_threads);
	print_bytes(m, "bytes in those of each", snap->cache_bytes_max);
	seq_puts(m, "\n");
	print_bytes(m, "pools meshed", stats->pools_meshed);
	print_bytes(m, "pages freed by meshing", stats->nr_meshed);
	print_bytes(m, "pages decayed", snap->nr_decayed);
	print_bytes(m, "pages shrunk", snap->nr_shrunk);
	print_bytes(m, "blocks stolen", snap->nr_stolen);
	print_policy(m, &snap->policy);
}

static int take_arenas(struct snapshot *snap, struct pym_service_heap *sheap)
{
	u64 at = 0;
	int err = 0;

	while (!err && snap->nr < snap->room &&
	       pym_walk_arena(&sheap->heap, &at, sheap->heap.window,
			      &snap->arenas[snap->nr])) {
		snap->nr++;
		err = pym_pause(&sheap->heap);
	}
	return err;
}

static void print_arenas(struct seq_file *m, const struct snapshot *snap)
{
	size_t i;

	print_heap_heading(m, snap);
	seq_printf(m, "%14s %6s %6s %6s %6s %6s %9s\n", "offset", "kind", "none", "empty",
		   "used", "full", "allocated");
	for (i = 0; i < snap->nr; i++) {
		const struct pym_arena_info *arena = &snap->arenas[i];

		seq_printf(m, "%#14llx %6s %6u %6u %6u %6u %9u\n", arena->offset,
			   arena->kind == PYMALLOC_ARENA_RUNS ? "runs" : "object",
			   arena->pools_none, arena->pools_empty, arena->pools_used,
			   arena->pools_full, arena->blocks);
	}
}

static char pool_letter(const struct pym_pool_info *pool)
{
	if (pool->meshed)
		return 'm';
	switch (pool->state) {
	case PYMALLOC_POOL_NONE:
		return '.';
	case PYMALLOC_POOL_EMPTY:
		return '0';
	case PYMALLOC_POOL_USED:
		return '0' + max(1U, pool->allocated * 10 /
				     (pool->allocated + pool->free + pool->untouched));
	case PYMALLOC_POOL_FULL:
		return '#';
	case PYMALLOC_POOL_RUN:
		return 'R';
	default:
		return 'r';
	}
}

static int take_pools(struct snapshot *snap, struct pym_service_heap *sheap)
{
	struct map_row *row = snap->rows - 1;
	struct pym_pool_info pool;
	u64 at = 0;
	int err = 0;

	while (!err && pym_walk_pool(&sheap->heap, &at, sheap->heap.window, &pool)) {
		u64 offset = round_down(pool.offset, PYMALLOC_ARENA_SIZE);

		if (!snap->nr || row->offset != offset) {
			if (snap->nr == snap->room)
				break;
			row = &snap->rows[snap->nr++];
			row->offset = offset;
			memset(row->pools, '.', sizeof(row->pools));
		}
		row->pools[(pool.offset - offset) >> PYM_POOL_SHIFT] = pool_letter(&pool);
		err = pym_pause(&sheap->heap);
	}
	return err;
}

static void print_pools(struct seq_file *m, const struct snapshot *snap)
{
	size_t i;

	print_heap_heading(m, snap);
	seq_puts(m, "one line an arena, one letter a pool: . no page, 0 empty, 1 to 9 used by tenths,\n");
	seq_puts(m, "# full, m meshed, R run, r its further pages\n");
	for (i = 0; i < snap->nr; i++)
		seq_printf(m, "%#14llx %.64s\n", snap->rows[i].offset, snap->rows[i].pools);
}

static int take_limits(struct snapshot *snap, struct pym_service_heap *sheap)
{
	struct pym_user *user;

	/* Without user_lock: fork() takes it, and must not wait for a reader. */
	rcu_read_lock();
	user = READ_ONCE(sheap->user);
	snap->user_bytes = atomic_long_read(&user->quota.used);
	snap->user_meta_bytes = atomic_long_read(&user->quota.meta);
	snap->user_heaps = atomic_read(&user->heaps);
	rcu_read_unlock();
	pym_heap_stats(&sheap->heap, &snap->stats);
	return 0;
}

static void print_limits(struct seq_file *m, const struct snapshot *snap)
{
	print_heap_heading(m, snap);
	print_bytes(m, "heap bytes", snap->stats.page_bytes + snap->stats.meta_bytes);
	print_bytes(m, "heap bytes, metadata", snap->stats.meta_bytes);
	print_limit(m, "heap bytes, limit", snap->stats.limit);
	print_limit(m, "heap bytes, notice", snap->stats.threshold);
	print_bytes(m, "user bytes", snap->user_bytes);
	print_bytes(m, "user bytes, metadata", snap->user_meta_bytes);
	print_limit(m, "user bytes, limit", READ_ONCE(pym_user_bytes));
	print_bytes(m, "user heaps", snap->user_heaps);
	print_limit(m, "user heaps, limit", READ_ONCE(pym_user_heaps));
}

static int take_types(struct snapshot *snap, struct pym_service_heap *sheap)
{
	u32 number = 0;

	while (snap->nr < snap->room) {
		number = pym_type_next(&sheap->heap, number, &snap->types[snap->nr]);
		if (!number)
			break;
		snap->nr++;
	}
	return 0;
}

static void print_types(struct seq_file *m, const struct snapshot *snap)
{
	size_t i;

	print_heap_heading(m, snap);
	seq_printf(m, "%5s %8s %9s %6s %6s %12s %12s %14s %8s %14s %s\n", "type", "size",
		   "alignment", "keep", "pools", "objects", "kept", "constructed", "used",
		   "bytes", "name");
	for (i = 0; i < snap->nr; i++) {
		const struct pymalloc_type_info *type = &snap->types[i];

		seq_printf(m, "%5u %8u %9u %6u %6s %12llu %12llu %14llu %8u %14llu %s\n",
			   type->number, type->size, type->alignment, type->keep,
			   type->flags & PYMALLOC_TYPE_OWN_POOLS ? "own" : "shared",
			   type->objects, type->kept, type->constructed, type->pools,
			   type->bytes, type->name);
	}
}

/* Clients of a shared heap that are shown at most. */
#define CLIENTS_SHOWN	1024

static int take_clients(struct snapshot *snap, struct pym_service_heap *sheap)
{
	struct pym_shared *shared = pym_shared_of(sheap);
	u32 number = 0;

	while (shared && snap->nr < snap->room) {
		number = pym_sharer_next(shared, number, &snap->clients[snap->nr]);
		if (!number)
			break;
		snap->nr++;
	}
	return 0;
}

static void print_sharers(struct seq_file *m, const struct snapshot *snap)
{
	char comm[PYM_SHOWN_COMM];
	size_t i;

	seq_printf(m, "%8s %8s %6s %12s %12s %8s %8s %s\n", "client", "pid", "uid", "holds",
		   "limit", "inbox", "mappings", "command");
	for (i = 0; i < snap->nr; i++) {
		const struct pymalloc_client_info *client = &snap->clients[i];

		pym_show_comm(comm, client->comm);
		seq_printf(m, "%8u %8d %6u %12llu %12llu %8u %8u %s\n", client->number,
			   client->pid, client->uid, client->holds, client->holds_max,
			   client->inbox, client->mappings, comm);
	}
}

static void print_clients(struct seq_file *m, const struct snapshot *snap)
{
	char comm[PYM_SHOWN_COMM];

	print_heap_heading(m, snap);
	if (snap->info.flags & PYMALLOC_CREATE_SHARED) {
		print_sharers(m, snap);
		return;
	}
	pym_show_comm(comm, snap->info.comm);
	seq_printf(m, "%8s %6s %s\n", "pid", "uid", "command");
	seq_printf(m, "%8d %6u %s\n", snap->info.pid, snap->info.uid, comm);
}

static int take_check(struct snapshot *snap, struct pym_service_heap *sheap)
{
	return pym_check_live(&sheap->heap, &snap->verdict);
}

static void print_check(struct seq_file *m, const struct snapshot *snap)
{
	print_heap_heading(m, snap);
	if (snap->verdict.errors)
		seq_printf(m, "%llu contradictions, the first at %#llx: %s\n",
			   snap->verdict.errors, snap->verdict.offset, snap->verdict.message);
	else
		seq_puts(m, "sound\n");
}

static int take_summary(struct snapshot *snap, struct pym_service_heap *unused)
{
	struct pym_service_heap *sheap;
	u64 id = 0;
	int err;

	while (snap->nr < snap->room) {
		sheap = pym_registry_next(id);
		if (!sheap)
			break;
		id = sheap->heap.id;
		err = pym_show_heap(sheap, &snap->heaps[snap->nr]);
		pym_client_leave(sheap);
		if (err == -EINTR)
			return err;
		snap->nr += !err;
		cond_resched();
	}
	return 0;
}

static void print_summary(struct seq_file *m, const struct snapshot *snap)
{
	u64 page_bytes = 0, used_bytes = 0;
	size_t i;

	for (i = 0; i < snap->nr; i++) {
		/* Not page_bytes: that would count a page once for each heap that has it. */
		page_bytes += snap->heaps[i].pss_bytes;
		used_bytes += snap->heaps[i].used_bytes;
	}
	print_bytes(m, "heaps", snap->nr);
	print_bytes(m, "bytes in pages", page_bytes);
	print_bytes(m, "bytes allocated", used_bytes);
	seq_printf(m, "\n%8s %8s %6s %14s %14s %14s %-16s %s\n", "heap", "pid", "uid",
		   "pages", "PSS", "allocated", "command", "name");
	for (i = 0; i < snap->nr; i++) {
		const struct pymalloc_heap_info *heap = &snap->heaps[i];
		char comm[PYM_SHOWN_COMM];

		pym_show_comm(comm, heap->comm);
		seq_printf(m, "%8llu %8d %6u %14llu %14llu %14llu %-16s %s\n", heap->id,
			   heap->pid, heap->uid, heap->page_bytes, heap->pss_bytes,
			   heap->used_bytes, comm, heap->name);
	}
}

static const struct report heap_reports[] = {
	{ "stats", 0, take_stats, print_stats },
	{ "arenas", sizeof(struct pym_arena_info), take_arenas, print_arenas },
	{ "pools", sizeof(struct map_row), take_pools, print_pools },
	{ "limits", 0, take_limits, print_limits },
	{ "clients", sizeof(struct pymalloc_client_info), take_clients, print_clients,
	  CLIENTS_SHOWN },
	{ "types", sizeof(struct pymalloc_type_info), take_types, print_types, PYMALLOC_TYPES_MAX },
	{ "check", 0, take_check, print_check },
};

static const struct report summary_report = {
	"summary", sizeof(struct pymalloc_heap_info), take_summary, print_summary
};

static struct dentry *root;

static int report_show(struct seq_file *m, void *unused)
{
	const struct snapshot *snap = m->private;

	seq_printf(m, "pymalloc %s version %d\n", snap->report->name, FORMAT_VERSION);
	snap->report->print(m, snap);
	return 0;
}

static void snapshot_free(struct snapshot *snap)
{
	kvfree(snap->array);
	kvfree(snap);
}

/* Room for what is there now, and for some more that may come while it is copied. */
static size_t entries_now(struct pym_service_heap *sheap)
{
	size_t nr = sheap ? READ_ONCE(sheap->heap.nr_arenas) +
			    READ_ONCE(sheap->heap.nr_run_arenas) :
			    pym_registry_count();

	return nr + 64;
}

static struct snapshot *snapshot_take(const struct report *report, struct pym_service_heap *sheap)
{
	struct snapshot *snap = kvzalloc(sizeof(*snap), GFP_KERNEL);
	int err;

	if (!snap)
		return ERR_PTR(-ENOMEM);
	snap->report = report;
	err = sheap ? pym_show_heap(sheap, &snap->info) : 0;
	if (err)
		goto free;
	if (report->entry) {
		err = -ENOMEM;
		snap->room = report->most ?: entries_now(sheap);
		snap->array = kvcalloc(snap->room, report->entry, GFP_KERNEL);
		if (!snap->array)
			goto free;
	}
	err = report->take(snap, sheap);
	if (err)
		goto free;
	return snap;

free:
	snapshot_free(snap);
	return ERR_PTR(err);
}

static int report_open(struct file *file, const struct report *report,
		       struct pym_service_heap *sheap)
{
	struct snapshot *snap = snapshot_take(report, sheap);
	int err;

	if (IS_ERR(snap))
		return PTR_ERR(snap);
	err = single_open(file, report_show, snap);
	if (err)
		snapshot_free(snap);
	return err;
}

static int report_release(struct inode *inode, struct file *file)
{
	struct seq_file *m = file->private_data;

	snapshot_free(m->private);
	return single_release(inode, file);
}

static int summary_open(struct inode *inode, struct file *file)
{
	return report_open(file, &summary_report, NULL);
}

/* All files of a heap's folder have the same operations: their name tells which one. */
static const struct report *report_find(const struct file *file)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(heap_reports); i++)
		if (!strcmp(heap_reports[i].name, file->f_path.dentry->d_name.name))
			return &heap_reports[i];
	return NULL;
}

static int heap_report_open(struct inode *inode, struct file *file)
{
	struct pym_service_heap *sheap = inode->i_private;
	const struct report *report = report_find(file);
	int err;

	/* The folder keeps the heap's struct until this returns, but the heap may end. */
	if (!report || !kref_get_unless_zero(&sheap->ref))
		return -ENOENT;
	err = report_open(file, report, sheap);
	pym_client_leave(sheap);
	return err == -ESTALE ? -ENOENT : err;
}

static const struct file_operations summary_fops = {
	.owner		= THIS_MODULE,
	.open		= summary_open,
	.read		= seq_read,
	.llseek		= seq_lseek,
	.release	= report_release,
};

static const struct file_operations heap_report_fops = {
	.owner		= THIS_MODULE,
	.open		= heap_report_open,
	.read		= seq_read,
	.llseek		= seq_lseek,
	.release	= report_release,
};

/**
 * pym_debugfs_add() - show a heap
 * @sheap: the heap
 */
void pym_debugfs_add(struct pym_service_heap *sheap)
{
	char name[32];
	unsigned int i;

	snprintf(name, sizeof(name), "heap%llu", sheap->heap.id);
	sheap->debugfs = debugfs_create_dir(name, root);
	for (i = 0; i < ARRAY_SIZE(heap_reports); i++)
		debugfs_create_file(heap_reports[i].name, 0400, sheap->debugfs, sheap,
				    &heap_report_fops);
}

/**
 * pym_debugfs_remove() - show a heap no longer
 * @sheap: the heap
 *
 * Context: Sleeps until all calls in its files have returned.
 */
void pym_debugfs_remove(struct pym_service_heap *sheap)
{
	debugfs_remove(sheap->debugfs);
}

/**
 * pym_debugfs_init() - make the folder
 */
void pym_debugfs_init(void)
{
	root = debugfs_create_dir("pymalloc", NULL);
	debugfs_create_file("summary", 0400, root, NULL, &summary_fops);
}

/**
 * pym_debugfs_exit() - remove the folder
 */
void pym_debugfs_exit(void)
{
	debugfs_remove(root);
}
