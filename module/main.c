// SPDX-License-Identifier: GPL-2.0
/*
 * Loading and unloading.
 */
#include <linux/mm.h>
#include <linux/module.h>

#include "debugfs.h"
#include "device.h"
#include "fork.h"
#include "kheap.h"
#include "oom.h"
#include "owner.h"
#include "params.h"
#include "reclaim.h"
#include "registry.h"
#include "shrinker.h"
#include "upkeep.h"
#include "user.h"
#include "window.h"

static int __init pymalloc_init(void)
{
	int err;

	/* A block's page is a page of the machine. */
	BUILD_BUG_ON(PAGE_SIZE != PYMALLOC_POOL_SIZE);

	pym_params_init();
	err = pym_arena_cache_init();
	if (err)
		return err;
	pym_debugfs_init();
	pym_window_init(pym_fork_inherit);
	err = pym_upkeep_init(pym_reclaim_round);
	if (err)
		goto debugfs;
	err = pym_owner_init();
	if (err)
		goto upkeep;
	err = pym_shrinker_init();
	if (err)
		goto owner;
	err = pym_oom_init();
	if (err)
		goto shrinker;
	err = pym_kheap_init();
	if (err)
		goto oom;
	err = pym_device_init();
	if (err)
		goto kheap;
	return 0;

kheap:
	pym_kheap_exit();
oom:
	pym_oom_exit();
shrinker:
	pym_shrinker_exit();
owner:
	pym_owner_exit();
upkeep:
	pym_upkeep_exit();
debugfs:
	pym_debugfs_exit();
	pym_arena_cache_exit();
	return err;
}

static void __exit pymalloc_exit(void)
{
	pym_device_exit();
	pym_kheap_exit();
	pym_oom_exit();
	pym_shrinker_exit();
	pym_owner_exit();
	pym_upkeep_exit();
	/* What heaps have left behind: nodes without entries, users without heaps. */
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
