// SPDX-License-Identifier: GPL-2.0
/*
 * Bad frees of a module: each is refused, and the first one is warned of.
 *
 * Loading it frees what it may not, and fails if that has changed anything.  The parameter
 * "leak" lets it end its heap with so many objects in use, which it frees when it is unloaded.
 */
#define pr_fmt(fmt) "pymalloc_misuse: " fmt

#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pymalloc_kernel.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

static unsigned int leak;
module_param(leak, uint, 0444);
MODULE_PARM_DESC(leak, "so many objects are in use when the heap is ended, up to 100");

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

static bool is_whole(char *object)
{
	return pymalloc_kheap_usable(object) == 48 && !memchr_inv(object, 7, 48);
}

static int __init misuse_init(void)
{
	const struct pymalloc_kheap_args args = {
		.name = "misuse", .flags = leak ? PYMALLOC_KHEAP_CALLERS : 0,
	};
	struct pymalloc_kheap *kheap = pymalloc_kheap_make(&args);
	void *twice[3];
	char *object;
	unsigned int i;
	int err = 0;

	if (IS_ERR(kheap))
		return PTR_ERR(kheap);
	leak = min(leak, ARRAY_SIZE(leaked));
	for (i = 0; i < leak; i++)
		leaked[i] = pymalloc_kheap_alloc(kheap, 40, GFP_KERNEL);
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
	twice[0] = object;
	twice[1] = object;
	twice[2] = object + 4;
	pymalloc_kheap_free_bulk(3, twice);
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
}

module_init(misuse_init);
module_exit(misuse_exit);

MODULE_DESCRIPTION("Frees what it may not, from a heap of pymalloc");
MODULE_LICENSE("GPL");
