// SPDX-License-Identifier: GPL-2.0
/*
 * A module with defects that any kernel reports. A write to its parameter "plant"
 * triggers one of them, and ../selftest checks that ../run fails for it.
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
