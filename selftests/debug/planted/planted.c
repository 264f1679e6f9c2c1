// SPDX-License-Identifier: GPL-2.0
/*
 * A module with defects that only a debug kernel finds. A write to its parameter
 * "plant" triggers one of them, and ../selftest checks that the kernel reports it.
 */

#include <linux/module.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

static DEFINE_SPINLOCK(first);
static DEFINE_SPINLOCK(second);

static int plant_use_after_free(void)
{
	char *object = kmalloc(64, GFP_KERNEL);

	if (!object)
		return -ENOMEM;
	kfree(object);
	OPTIMIZER_HIDE_VAR(object);
	WRITE_ONCE(*object, 1);
	return 0;
}

/* No deadlock can happen here, with a single thread: lockdep reports the order. */
static int plant_lock_inversion(void)
{
	spin_lock(&first);
	spin_lock(&second);
	spin_unlock(&second);
	spin_unlock(&first);

	spin_lock(&second);
	spin_lock(&first);
	spin_unlock(&first);
	spin_unlock(&second);
	return 0;
}

/* Several objects, since kmemleak misses one that a stale pointer still points to. */
static int plant_leak(void)
{
	int i;

	for (i = 0; i < 8; i++)
		if (!kmalloc(64, GFP_KERNEL))
			return -ENOMEM;
	return 0;
}

static int plant(const char *what, const struct kernel_param *param)
{
	if (sysfs_streq(what, "use-after-free"))
		return plant_use_after_free();
	if (sysfs_streq(what, "lock-inversion"))
		return plant_lock_inversion();
	if (sysfs_streq(what, "leak"))
		return plant_leak();
	return -EINVAL;
}

static const struct kernel_param_ops plant_ops = { .set = plant };

module_param_cb(plant, &plant_ops, NULL, 0200);
MODULE_PARM_DESC(plant, "What to do wrong: use-after-free, lock-inversion or leak");

static int __init planted_init(void)
{
	return 0;
}

static void __exit planted_exit(void)
{
}

module_init(planted_init);
module_exit(planted_exit);
MODULE_DESCRIPTION("Planted defects for the test of the debug kernel");
MODULE_LICENSE("GPL");
