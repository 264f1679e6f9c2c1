// SPDX-License-Identifier: GPL-2.0
/*
 * Bad frees of a module: each is refused, and the first one is warned of.
 *
 * Loading it frees what it may not, and fails if that has changed anything.  The parameter
 * "leak" lets it end its heap with so many objects in use, which it frees when it is unloaded;
 * "forget" lets it go without ending it.
 */
#define pr_fmt(fmt) "pymalloc_misuse: " fmt

#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pymalloc_kernel.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

static unsigned int leak;
module_param(leak, uint, 0444);
MODULE_PARM_DESC(leak, "so many objects are in use when the heap is ended, up to 100");

static bool racing;
module_param(racing, bool, 0444);
MODULE_PARM_DESC(racing, "objects are freed twice while their pages go; the heap stays till unloading");

static bool forget;
module_param(forget, bool, 0444);
MODULE_PARM_DESC(forget, "the heap, without objects, is not ended");

static struct pymalloc_kheap *kheap;
static int in_the_module;
static void *leaked[100];

static void free_foreign(void)
{
	void *slab = kmalloc(64, GFP_KERNEL), *area = vmalloc(PAGE_SIZE);
	void *page = (void *)__get_free_page(GFP_KERNEL);
	int on_the_stack;

	pymalloc_kheap_free(slab);
	pymalloc_kheap_free(area);
	pymalloc_kheap_free(page);
	pymalloc_kheap_free(&on_the_stack);
	pymalloc_kheap_free(&in_the_module);
	/* No memory is there: user space, between it and the kernel, and behind the machine's. */
	pymalloc_kheap_free((void *)8);
	pymalloc_kheap_free((void *)(1UL << 60));
	pymalloc_kheap_free(high_memory);
	pymalloc_kheap_free((void *)-8UL);
	free_page((unsigned long)page);
	vfree(area);
	kfree(slab);
}

/*
 * One task frees an object again and again that another has freed, whose page it gives back.
 * Each of these frees is refused: the heap, which stays, has as many frees as allocations.
 */
static void *twice;

static int free_twice(void *unused)
{
	while (!kthread_should_stop()) {
		void *object = READ_ONCE(twice), *objects[8];
		unsigned int i;

		for (i = 0; i < 8; i++)
			objects[i] = object + 8 * i;
		if (object) {
			pymalloc_kheap_free(object);
			pymalloc_kheap_free_bulk(8, objects);
		}
		cond_resched();
	}
	return 0;
}

static int race(struct pymalloc_kheap *kheap)
{
	struct task_struct *other = kthread_run(free_twice, NULL, "misuse");
	static void *objects[512];
	unsigned int round, i;

	if (IS_ERR(other))
		return PTR_ERR(other);
	for (round = 0; round < 200; round++) {
		if (!pymalloc_kheap_alloc_bulk(kheap, 8, GFP_KERNEL, 512, objects))
			continue;
		for (i = 0; i < 504 && offset_in_page(objects[i]) > PAGE_SIZE / 2; i++)
			;
		swap(objects[i], objects[0]);
		pymalloc_kheap_free_bulk(512, objects);
		WRITE_ONCE(twice, objects[0]);
		pymalloc_kheap_trim(kheap);
		WRITE_ONCE(twice, NULL);
		/* It may just have read the address: until it has freed that, nobody gets it. */
		usleep_range(1000, 2000);
	}
	kthread_stop(other);
	return 0;
}

static bool is_whole(char *object)
{
	return pymalloc_kheap_usable(object) == 48 && !memchr_inv(object, 7, 48);
}

static int __init misuse_init(void)
{
	const struct pymalloc_kheap_args args = {
		.name = "misuse", .flags = leak ? PYMALLOC_KHEAP_CALLERS : 0,
	};
	void *bad[3];
	char *object;
	unsigned int i;
	int err = 0;

	kheap = pymalloc_kheap_make(&args);
	if (IS_ERR(kheap))
		return PTR_ERR(kheap);
	if (racing)
		return race(kheap);
	leak = min(leak, ARRAY_SIZE(leaked));
	for (i = 0; i < leak; i++)
		leaked[i] = pymalloc_kheap_alloc(kheap, 40, GFP_KERNEL);
	if (forget)
		return 0;
	if (leak)
		return pymalloc_kheap_end(kheap) == leak ? 0 : -EBADMSG;

	object = pymalloc_kheap_alloc(kheap, 48, GFP_KERNEL);
	memset(object, 7, 48);
	free_foreign();
	pymalloc_kheap_free(object + 8);
	pymalloc_kheap_free(object + 1);
	/* Behind the last block of a page of them. */
	pymalloc_kheap_free((void *)(((unsigned long)object & PAGE_MASK) + 4080));
	err |= !is_whole(object);
	bad[0] = object;
	bad[1] = object;
	bad[2] = object + 4;
	pymalloc_kheap_free_bulk(3, bad);
	err |= pymalloc_kheap_usable(object) != 0;
	pymalloc_kheap_free(object);
	err |= !!pymalloc_kheap_alloc(kheap, 0, GFP_KERNEL);
	err |= !!pymalloc_kheap_alloc(kheap, 513, GFP_KERNEL);
	pymalloc_kheap_trim(kheap);
	pymalloc_kheap_free(object);
	err |= pymalloc_kheap_end(kheap) != 0;
	return err ? -EBADMSG : 0;
}

static void __exit misuse_exit(void)
{
	pymalloc_kheap_free_bulk(leak, leaked);
	if (racing)
		pymalloc_kheap_end(kheap);
}

module_init(misuse_init);
module_exit(misuse_exit);

MODULE_DESCRIPTION("Frees what it may not, from a heap of pymalloc");
MODULE_LICENSE("GPL");
