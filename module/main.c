// SPDX-License-Identifier: GPL-2.0
/*
 * Loading and unloading.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kstrtox.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

#include "service.h"

/* A value that nothing would work with is refused, when it is set. */
static int refuse(const struct kernel_param *param, const char *value, const char *want)
{
	pr_notice_ratelimited("%s: \"%*pE\" is not %s\n", param->name,
			      (int)strcspn(value, "\n"), value, want);
	return -EINVAL;
}

static int set_limit(const char *value, const struct kernel_param *param)
{
	unsigned long bytes;

	if (kstrtoul(value, 0, &bytes) || (bytes && bytes < PYMALLOC_POOL_SIZE))
		return refuse(param, value, "0 (no limit) or at least 4096 bytes");
	WRITE_ONCE(*(unsigned long *)param->arg, bytes);
	return 0;
}

static int set_window(const char *value, const struct kernel_param *param)
{
	unsigned long bytes;

	if (kstrtoul(value, 0, &bytes) || !pym_window_is_valid(bytes))
		return refuse(param, value, "a multiple of 256 KiB from 512 KiB to 1 TiB");
	WRITE_ONCE(*(unsigned long *)param->arg, bytes);
	return 0;
}

static int set_number(const char *value, const struct kernel_param *param)
{
	return param_set_uint(value, param) ? refuse(param, value, "a number") : 0;
}

static int set_switch(const char *value, const struct kernel_param *param)
{
	return param_set_bool(value, param) ? refuse(param, value, "Y or N") : 0;
}

static const struct kernel_param_ops limit_ops = { .set = set_limit, .get = param_get_ulong };
static const struct kernel_param_ops window_ops = { .set = set_window, .get = param_get_ulong };
static const struct kernel_param_ops number_ops = { .set = set_number, .get = param_get_uint };
static const struct kernel_param_ops switch_ops = {
	.flags = KERNEL_PARAM_OPS_FL_NOARG, .set = set_switch, .get = param_get_bool
};

unsigned long pym_default_limit;
module_param_cb(heap_limit, &limit_ops, &pym_default_limit, 0644);
__MODULE_PARM_TYPE(heap_limit, "ulong");
MODULE_PARM_DESC(heap_limit, "most bytes of pages and metadata of a heap made without a limit (0: no limit; default 0)");

unsigned long pym_default_window = 16UL << 30;
module_param_cb(window, &window_ops, &pym_default_window, 0644);
__MODULE_PARM_TYPE(window, "ulong");
MODULE_PARM_DESC(window, "bytes of the window of a heap made without one (a multiple of 256 KiB from 512 KiB to 1 TiB; default 16 GiB)");

unsigned int pym_user_heaps = 1024;
module_param_cb(user_heaps, &number_ops, &pym_user_heaps, 0644);
__MODULE_PARM_TYPE(user_heaps, "uint");
MODULE_PARM_DESC(user_heaps, "most heaps of one user (0: no limit; default 1024)");

/* Set from the machine's memory unless it is given. */
unsigned long pym_user_bytes = ULONG_MAX;
module_param_cb(user_bytes, &limit_ops, &pym_user_bytes, 0644);
__MODULE_PARM_TYPE(user_bytes, "ulong");
MODULE_PARM_DESC(user_bytes, "most bytes of pages and metadata of one user in all heaps (0: no limit; default half of the memory)");

bool pym_check_at_end;
module_param_cb(check, &switch_ops, &pym_check_at_end, 0644);
__MODULE_PARM_TYPE(check, "bool");
MODULE_PARM_DESC(check, "check each heap when it ends, and report a contradiction in the kernel's log (default off)");

static int __init pymalloc_init(void)
{
	int err;

	/* A block's page is a page of the machine. */
	BUILD_BUG_ON(PAGE_SIZE != PYMALLOC_POOL_SIZE);

	if (pym_user_bytes == ULONG_MAX)
		pym_user_bytes = totalram_pages() / 2 << PAGE_SHIFT;

	err = pym_arena_cache_init();
	if (err)
		return err;
	err = pym_service_init();
	if (err)
		goto arena_cache;
	pym_debugfs_init();
	err = pym_device_init();
	if (err)
		goto debugfs;
	return 0;

debugfs:
	pym_debugfs_exit();
	pym_service_exit();
arena_cache:
	pym_arena_cache_exit();
	return err;
}

static void __exit pymalloc_exit(void)
{
	pym_device_exit();
	pym_service_exit();
	pym_registry_exit();
	pym_user_exit();
	pym_debugfs_exit();
	pym_arena_cache_exit();
}

module_init(pymalloc_init);
module_exit(pymalloc_exit);

MODULE_DESCRIPTION("CPython's pymalloc as a kernel service");
MODULE_LICENSE("GPL");
MODULE_VERSION(PYMALLOC_VERSION);
