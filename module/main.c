// SPDX-License-Identifier: GPL-2.0
/*
 * Loading and unloading.
 */
#include <linux/mm.h>
#include <linux/module.h>

#include "service.h"

unsigned long pym_default_limit;
module_param_named(heap_limit, pym_default_limit, ulong, 0644);
MODULE_PARM_DESC(heap_limit, "most bytes of pages and metadata of a heap made without a limit (0: no limit; default 0)");

unsigned long pym_default_window = 16UL << 30;
module_param_named(window, pym_default_window, ulong, 0644);
MODULE_PARM_DESC(window, "bytes of the window of a heap made without one (a multiple of 256 KiB from 512 KiB to 1 TiB; default 16 GiB)");

unsigned int pym_user_heaps = 1024;
module_param_named(user_heaps, pym_user_heaps, uint, 0644);
MODULE_PARM_DESC(user_heaps, "most heaps of one user (0: no limit; default 1024)");

/* Set from the machine's memory unless it is given. */
unsigned long pym_user_bytes = ULONG_MAX;
module_param_named(user_bytes, pym_user_bytes, ulong, 0644);
MODULE_PARM_DESC(user_bytes, "most bytes of pages and metadata of one user in all heaps (0: no limit; default half of the memory)");

bool pym_check_at_end;
module_param_named(check, pym_check_at_end, bool, 0644);
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
