// SPDX-License-Identifier: GPL-2.0
/*
 * Heaps of other modules: how they begin, are looked after, and end.
 *
 * Such a heap is one of the service's, as those of processes are.  It has no window that
 * anybody maps, and no process: only root may look at it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "kheap.h"
#include "kheap_types.h"
#include "kheap_leaks.h"
#include "kheap_object.h"
#include "kpool.h"
#include "owner.h"
#include "service_heap.h"
#include "upkeep.h"

/* How long after its end a heap that still has objects is looked at again. */
#define KHEAP_WAIT	HZ

/* Heaps that have not ended, to find those that their module forgets. */
static LIST_HEAD(kheaps);
static DEFINE_MUTEX(kheaps_lock);

static struct pymalloc_kheap *kheap_of(struct pym_heap *heap)
{
	return heap->tenancy;
}

static void kheap_begin(struct pym_heap *heap)
{
	struct pymalloc_kheap *kheap = kheap_of(heap);
	unsigned int number;

	kheap->heap = heap;
	kheap->sheap = pym_service_of(heap);
	for (number = 1; number <= PYMALLOC_NR_CLASSES; number++) {
		const struct pym_class *class = &heap->classes[number];

		kheap->classes[number].inverse = class->inverse;
		kheap->classes[number].end = class->capacity * class->size;
	}
}

static void kheap_count(struct pym_heap *heap, u32 number, u64 *allocs, u64 *frees)
{
	const struct pym_kcpu __percpu *cpus = kheap_of(heap)->cpu;
	u64 allocated = 0, freed = 0;
	int cpu;

	/* Frees first: what is freed meanwhile has been allocated before. */
	for_each_possible_cpu(cpu)
		freed += READ_ONCE(per_cpu_ptr(cpus, cpu)->frees[number]);
	for_each_possible_cpu(cpu)
		allocated += READ_ONCE(per_cpu_ptr(cpus, cpu)->allocs[number]);
	*frees = freed;
	*allocs = allocated;
}

static void kheap_flush(struct pym_heap *heap)
{
	pym_kpools_let_go(kheap_of(heap));
	pym_kpools_flush_gated(kheap_of(heap));
}

static void kheap_free(struct pymalloc_kheap *kheap)
{
	free_percpu(kheap->cpu);
	kfree(kheap->lists);
	kvfree(kheap);
}

static void kheap_free_rcu(struct rcu_head *rcu)
{
	kheap_free(container_of(rcu, struct pymalloc_kheap, rcu));
}

/*
 * The last one who looked at the heap has gone: only now do pools go that lists may still have.
 * A bad free may just have found the heap by one of its pages.
 */
static void kheap_end(struct pym_heap *heap)
{
	pym_kpools_discard(kheap_of(heap));
	call_rcu(&kheap_of(heap)->rcu, kheap_free_rcu);
}

static const struct pym_tenant_ops kheap_tenant_ops = {
	.begin	= kheap_begin,
	.count	= kheap_count,
	.flush	= kheap_flush,
	.page_goes = pym_kpool_page_goes,
	.end	= kheap_end,
};

/* Nobody uses the heap any more: let it go. */
static void kheap_finish(struct pymalloc_kheap *kheap)
{
	struct pym_service_heap *sheap = kheap->sheap;

	pym_service_end(sheap);
	pym_service_put(sheap);
}

static void kheap_work(struct work_struct *work)
{
	struct pymalloc_kheap *kheap = container_of(to_delayed_work(work), struct pymalloc_kheap,
						    work);

	pym_kpools_adopt(kheap);
	if (!READ_ONCE(kheap->leaky)) {
		down_read(&kheap->heap->gate);
		pym_kpools_flush_gated(kheap);
		up_read(&kheap->heap->gate);
		pym_upkeep_arm(kheap->sheap);
	} else if (pym_kheap_leaks(kheap, false)) {
		queue_delayed_work(system_unbound_wq, &kheap->work, KHEAP_WAIT);
	} else {
		/* The free of the last object may still count it. */
		synchronize_rcu();
		kheap_finish(kheap);
	}
}

static void kheap_init_classes(struct pymalloc_kheap *kheap)
{
	unsigned int number, list;

	for (number = 0; number <= PYMALLOC_NR_CLASSES; number++)
		raw_spin_lock_init(&kheap->classes[number].lock);
	for (list = 0; list < nr_node_ids * (PYMALLOC_NR_CLASSES + 1); list++)
		INIT_LIST_HEAD(&kheap->lists[list].pools);
}

static size_t lists_size(void)
{
	return array3_size(nr_node_ids, PYMALLOC_NR_CLASSES + 1, sizeof(struct pym_klist));
}

/* What the heap takes beside what every heap does. */
static unsigned long kheap_bytes(void)
{
	return roundup_pow_of_two(sizeof(struct pymalloc_kheap)) + lists_size() +
	       num_possible_cpus() * sizeof(struct pym_kcpu);
}

static struct pymalloc_kheap *kheap_new(const struct pymalloc_kheap_args *args)
{
	struct pymalloc_kheap *kheap = kvzalloc(sizeof(*kheap), GFP_KERNEL_ACCOUNT);
	u32 alignment = args->alignment ?: PYMALLOC_BLOCK_MIN;

	if (!kheap)
		return NULL;
	kheap->lists = kzalloc(lists_size(), GFP_KERNEL_ACCOUNT);
	kheap->cpu = alloc_percpu_gfp(struct pym_kcpu, GFP_KERNEL_ACCOUNT);
	if (!kheap->lists || !kheap->cpu) {
		kheap_free(kheap);
		return NULL;
	}
	kheap->flags = args->flags;
	kheap->ctor = args->ctor;
	kheap->object_size = args->object_size;
	kheap->mask = -alignment;
	kheap->add = alignment - 1;
	if (args->flags & PYMALLOC_KHEAP_CALLERS)
		kheap->add += sizeof(unsigned long);
	if (!args->object_size && !(args->flags & PYMALLOC_KHEAP_CALLERS))
		kheap->plain = PYMALLOC_KHEAP_MAX;
	INIT_DELAYED_WORK(&kheap->work, kheap_work);
	kheap_init_classes(kheap);
	return kheap;
}

static bool args_are_valid(const struct pymalloc_kheap_args *args)
{
	bool needs_size = args->ctor || args->flags & PYMALLOC_KHEAP_TYPESAFE;

	return !(args->flags & ~(PYMALLOC_KHEAP_CALLERS | PYMALLOC_KHEAP_TYPESAFE)) &&
	       args->object_size <= PYMALLOC_KHEAP_MAX && (args->object_size || !needs_size);
}

/**
 * pymalloc_kheap_make_for() - make a heap
 * @args: which one
 * @owner: the module that it is shown as one of: use pymalloc_kheap_make()
 *
 * The memory cgroup of the calling task, or that of set_active_memcg(), pays for its pages; if
 * a module's init function makes it, that of who loads the module.  Its bytes count against the
 * limits of root.
 *
 * Context: Sleeps.
 * Return: the heap; or -EINVAL, -ENOMEM (no memory, or the heap's limit), or -EDQUOT
 *	(a limit of root).
 */
struct pymalloc_kheap *pymalloc_kheap_make_for(const struct pymalloc_kheap_args *args,
					       struct module *owner)
{
	struct pymalloc_create create = {
		.alignment = args->alignment,
		.limit = args->limit,
		.flags = PYMALLOC_CREATE_NO_MESH,
	};
	struct pym_service_heap *sheap;
	struct pymalloc_kheap *kheap;

	if (!args_are_valid(args) ||
	    strscpy(create.name, args->name ?: "", sizeof(create.name)) < 0)
		return ERR_PTR(-EINVAL);
	kheap = kheap_new(args);
	if (!kheap)
		return ERR_PTR(-ENOMEM);
	sheap = pym_service_create_for_module(&create, &kheap_tenant_ops, kheap, kheap_bytes(),
					      module_name(owner));
	if (IS_ERR(sheap)) {
		kheap_free(kheap);
		return ERR_CAST(sheap);
	}
	kheap->owner = owner;
	mutex_lock(&kheaps_lock);
	list_add(&kheap->of_owners, &kheaps);
	mutex_unlock(&kheaps_lock);
	return kheap;
}
EXPORT_SYMBOL_GPL(pymalloc_kheap_make_for);

/**
 * pymalloc_kheap_trim() - give back all pages in which no object is
 * @kheap: the heap
 *
 * Context: Sleeps, for a grace period of RCU.
 * Return: how many pages went.
 */
unsigned long pymalloc_kheap_trim(struct pymalloc_kheap *kheap)
{
	return pym_trim(kheap->heap) >> PYM_POOL_SHIFT;
}
EXPORT_SYMBOL_GPL(pymalloc_kheap_trim);

/**
 * pymalloc_kheap_shrink() - give some pages back without waiting
 * @kheap: the heap
 * @nr_pages: how many are wanted; up to 63 more may go
 *
 * For a shrinker, for example.  Gives back what has been found to be without objects before;
 * the heap looks for that about every second, and the machine's shrinker calls the same.
 *
 * Context: Any task; may be in memory reclaim.
 * Return: how many pages went.
 */
unsigned long pymalloc_kheap_shrink(struct pymalloc_kheap *kheap, unsigned long nr_pages)
{
	struct pym_mappings none = {};
	unsigned long done;

	if (!down_read_trylock(&kheap->heap->gate))
		return 0;
	done = pym_trim_held(kheap->heap, &none, nr_pages);
	up_read(&kheap->heap->gate);
	return done;
}
EXPORT_SYMBOL_GPL(pymalloc_kheap_shrink);

/* What the module has to do, the lists apart. */
static unsigned long kheap_end_unlisted(struct pymalloc_kheap *kheap)
{
	unsigned long left;

	rcu_barrier();
	WRITE_ONCE(kheap->ended, true);
	/* A free that has just begun may still count, or have begun the work: see kpool_arm(). */
	synchronize_rcu();
	cancel_delayed_work_sync(&kheap->work);
	pym_kpools_adopt(kheap);
	left = pym_kheap_leaks(kheap, true);
	kheap->leaky = left;
	if (!left) {
		kheap_finish(kheap);
		return 0;
	}
	/* What no object is in is not kept for the few that are left. */
	pym_trim(kheap->heap);
	queue_delayed_work(system_unbound_wq, &kheap->work, KHEAP_WAIT);
	return left;
}

/**
 * pymalloc_kheap_end() - end a heap
 * @kheap: the heap, or NULL; nobody allocates from it any more
 *
 * What pymalloc_kheap_free_rcu() was called for is freed first.  If objects are left, they are
 * listed in the kernel's log, by size and, with PYMALLOC_KHEAP_CALLERS, by who has allocated
 * them; the heap stays, and goes about a second after the last one has been freed.
 *
 * Context: Sleeps, for grace periods of RCU.
 * Return: how many objects are left.
 */
unsigned long pymalloc_kheap_end(struct pymalloc_kheap *kheap)
{
	if (!kheap)
		return 0;
	mutex_lock(&kheaps_lock);
	list_del(&kheap->of_owners);
	mutex_unlock(&kheaps_lock);
	return kheap_end_unlisted(kheap);
}
EXPORT_SYMBOL_GPL(pymalloc_kheap_end);

/* Take a heap of a module off the list, or return NULL. */
static struct pymalloc_kheap *kheap_unlist(const struct module *owner)
{
	struct pymalloc_kheap *kheap, *found = NULL;

	mutex_lock(&kheaps_lock);
	list_for_each_entry(kheap, &kheaps, of_owners)
		if (kheap->owner == owner)
			found = kheap;
	if (found)
		list_del(&found->of_owners);
	mutex_unlock(&kheaps_lock);
	return found;
}

/* A module goes: end what it has forgotten, as nobody else can. */
static int kheap_module_goes(struct notifier_block *block, unsigned long state, void *data)
{
	struct pymalloc_kheap *kheap;
	struct module *module = data;

	if (state != MODULE_STATE_GOING)
		return NOTIFY_OK;
	while ((kheap = kheap_unlist(module))) {
		pr_err("module %s goes and has not ended its heap %llu \"%s\"\n",
		       module_name(module), kheap->heap->id, kheap->sheap->name);
		kheap_end_unlisted(kheap);
	}
	return NOTIFY_OK;
}

static struct notifier_block module_block = { .notifier_call = kheap_module_goes };

/**
 * pym_kheap_init() - look after the heaps of modules that go
 *
 * Context: Process context, while the module is being loaded.
 * Return: 0 or a negative error.
 */
int pym_kheap_init(void)
{
	return register_module_notifier(&module_block);
}

/**
 * pym_kheap_exit() - the reverse of pym_kheap_init()
 *
 * Context: Sleeps.  No other module uses this one any more.
 */
void pym_kheap_exit(void)
{
	unregister_module_notifier(&module_block);
}
