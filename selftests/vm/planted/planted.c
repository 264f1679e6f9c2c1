// SPDX-License-Identifier: GPL-2.0
/*
 * A module that does what a module must not do, when told to by a write to its
 * parameter "plant", so that ../selftest can see whether ../run notices.
 */

#include <linux/module.h>

static int plant(const char *what, const struct kernel_param *param)
{
	if (sysfs_streq(what, "warning"))
		WARN(1, "planted\n");
	else if (sysfs_streq(what, "panic"))
		panic("planted");
	else if (sysfs_streq(what, "taint"))
		add_taint(TAINT_USER, LOCKDEP_STILL_OK);
	else if (sysfs_streq(what, "reference"))
		__module_get(THIS_MODULE);
	else
		return -EINVAL;
	return 0;
}

static const struct kernel_param_ops plant_ops = { .set = plant };

module_param_cb(plant, &plant_ops, NULL, 0200);
MODULE_PARM_DESC(plant, "What to do wrong: warning, panic, taint or reference");

static int __init planted_init(void)
{
	return 0;
}

static void __exit planted_exit(void)
{
}

module_init(planted_init);
module_exit(planted_exit);
MODULE_DESCRIPTION("Planted defects for the test of the VM");
MODULE_LICENSE("GPL");
