// SPDX-License-Identifier: GPL-2.0
/*
 * The module's parameters: what they may be, and what they are.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/kstrtox.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/pymalloc.h>
#include <linux/sizes.h>

#include "core/types.h"
#include "params.h"

/**
 * pym_window_is_valid() - can a heap have such a window?
 * @window: its bytes
 *
 * Context: Any.
 * Return: true if so.
 */
bool pym_window_is_valid(u64 window)
{
	return window >= PYMALLOC_WINDOW_MIN && window <= PYMALLOC_WINDOW_MAX &&
	       !(window % PYMALLOC_ARENA_SIZE);
}

/**
 * pym_decay_is_valid() - can rounds of upkeep follow each other in such an interval?
 * @ms: its milliseconds
 *
 * Context: Any.
 * Return: true if so.
 */
bool pym_decay_is_valid(unsigned int ms)
{
	return ms >= PYMALLOC_DECAY_MS_MIN && ms <= PYMALLOC_DECAY_MS_MAX;
}

/*
 * Each keeps at least 16 KiB, and what nobody looks at is of no use: who needs more should
 * take snapshots.
 */
#define KEEP_DEAD_MAX	1024

/* Refuse a value when it is set, not when it is used: whoever sets it sees why. */
static int refuse_value(const struct kernel_param *param, const char *value, const char *want)
{
	pr_notice_ratelimited("%s: \"%*pE\" is not %s\n", param->name,
			      (int)strcspn(value, "\n"), value, want);
	return -EINVAL;
}

static int set_limit_param(const char *value, const struct kernel_param *param)
{
	unsigned long bytes;

	if (kstrtoul(value, 0, &bytes) || (bytes && bytes < PYMALLOC_POOL_SIZE))
		return refuse_value(param, value, "0 (no limit) or at least 4096 bytes");
	WRITE_ONCE(*(unsigned long *)param->arg, bytes);
	return 0;
}

static int set_window_param(const char *value, const struct kernel_param *param)
{
	unsigned long bytes;

	if (kstrtoul(value, 0, &bytes) || !pym_window_is_valid(bytes))
		return refuse_value(param, value, "a multiple of 256 KiB from 512 KiB to 1 TiB");
	WRITE_ONCE(*(unsigned long *)param->arg, bytes);
	return 0;
}

static int set_number_param(const char *value, const struct kernel_param *param)
{
	return param_set_uint(value, param) ? refuse_value(param, value, "a number") : 0;
}

static int set_bytes_param(const char *value, const struct kernel_param *param)
{
	return param_set_ulong(value, param) ? refuse_value(param, value, "a number of bytes") : 0;
}

static int set_decay_param(const char *value, const struct kernel_param *param)
{
	unsigned int ms;

	if (kstrtouint(value, 0, &ms) || !pym_decay_is_valid(ms))
		return refuse_value(param, value, "from 10 to 86400000 milliseconds");
	WRITE_ONCE(*(unsigned int *)param->arg, ms);
	return 0;
}

static int set_keep_dead_param(const char *value, const struct kernel_param *param)
{
	unsigned int nr;

	if (kstrtouint(value, 0, &nr) || nr > KEEP_DEAD_MAX)
		return refuse_value(param, value, "from 0 to 1024");
	WRITE_ONCE(*(unsigned int *)param->arg, nr);
	return 0;
}

static int set_switch_param(const char *value, const struct kernel_param *param)
{
	return param_set_bool(value, param) ? refuse_value(param, value, "Y or N") : 0;
}

static const struct kernel_param_ops limit_ops = {
	.set = set_limit_param, .get = param_get_ulong
};

static const struct kernel_param_ops window_ops = {
	.set = set_window_param, .get = param_get_ulong
};

static const struct kernel_param_ops number_ops = {
	.set = set_number_param, .get = param_get_uint
};

static const struct kernel_param_ops bytes_ops = {
	.set = set_bytes_param, .get = param_get_ulong
};

static const struct kernel_param_ops decay_ops = {
	.set = set_decay_param, .get = param_get_uint
};

static const struct kernel_param_ops keep_dead_ops = {
	.set = set_keep_dead_param, .get = param_get_uint
};

static const struct kernel_param_ops switch_ops = {
	.flags = KERNEL_PARAM_OPS_FL_NOARG, .set = set_switch_param, .get = param_get_bool
};

unsigned long pym_default_limit;
module_param_cb(heap_limit, &limit_ops, &pym_default_limit, 0644);
__MODULE_PARM_TYPE(heap_limit, "ulong");
MODULE_PARM_DESC(heap_limit, "most bytes of pages and metadata of a heap made without a limit (0: no limit; default 0)");

/*
 * A window is addresses, not memory: 16 GiB are more than most programs ever have in
 * small objects, and little beside the 128 TiB that a process can map.
 */
unsigned long pym_default_window = 16UL << 30;
module_param_cb(window, &window_ops, &pym_default_window, 0644);
__MODULE_PARM_TYPE(window, "ulong");
MODULE_PARM_DESC(window, "bytes of the window of a heap made without one (a multiple of 256 KiB from 512 KiB to 1 TiB; default 16 GiB)");

/*
 * As many as the descriptors that a process may have open by default: a program that
 * leaks heaps meets both limits at about the same time.
 */
unsigned int pym_user_heaps = 1024;
module_param_cb(user_heaps, &number_ops, &pym_user_heaps, 0644);
__MODULE_PARM_TYPE(user_heaps, "uint");
MODULE_PARM_DESC(user_heaps, "most heaps of one user (0: no limit; default 1024)");

/* ULONG_MAX stands for "not given": see pym_params_init(). */
unsigned long pym_user_bytes = ULONG_MAX;
module_param_cb(user_bytes, &limit_ops, &pym_user_bytes, 0644);
__MODULE_PARM_TYPE(user_bytes, "ulong");
MODULE_PARM_DESC(user_bytes, "most bytes of pages and metadata of one user in all heaps (0: no limit; default half of the memory)");

bool pym_check_at_end;
module_param_cb(check, &switch_ops, &pym_check_at_end, 0644);
__MODULE_PARM_TYPE(check, "bool");
MODULE_PARM_DESC(check, "check each heap when it ends, and report a contradiction in the kernel's log (default off)");

/* None: who looks at heaps of processes that have ended knows that, and memory is dear. */
unsigned int pym_keep_dead;
module_param_cb(keep_dead, &keep_dead_ops, &pym_keep_dead, 0644);
__MODULE_PARM_TYPE(keep_dead, "uint");
MODULE_PARM_DESC(keep_dead, "most heaps of one user whose figures stay when their process ends (0 to 1024; default 0)");

/* The figures of 2 GiB of small objects, or a large table of stacks. */
unsigned long pym_dead_bytes = SZ_64M;
module_param_cb(dead_bytes, &bytes_ops, &pym_dead_bytes, 0644);
__MODULE_PARM_TYPE(dead_bytes, "ulong");
MODULE_PARM_DESC(dead_bytes, "most bytes that all such heaps of one user may take (default 64 MiB)");

/*
 * Rounds of two seconds: what is not used for two of them is taken back.  A program that
 * pauses for less loses nothing, and one that sleeps has given back all it can after ten
 * seconds.
 */
static unsigned int decay_ms = 2000;
module_param_cb(decay_ms, &decay_ops, &decay_ms, 0644);
__MODULE_PARM_TYPE(decay_ms, "uint");
MODULE_PARM_DESC(decay_ms, "milliseconds between two looks at a heap that may have memory to give back (10 to 86400000; default 2000)");

/*
 * None: pools that were empty for a whole round were not needed in it, and a program that
 * begins again after such a pause takes pages cheaply.
 */
static unsigned long keep_bytes;
module_param_cb(keep_bytes, &bytes_ops, &keep_bytes, 0644);
__MODULE_PARM_TYPE(keep_bytes, "ulong");
MODULE_PARM_DESC(keep_bytes, "bytes of empty pools that a heap keeps when it has not used them for a while (default 0)");

static bool decay = true;
module_param_cb(decay, &switch_ops, &decay, 0644);
__MODULE_PARM_TYPE(decay, "bool");
MODULE_PARM_DESC(decay, "give back empty pools that are not used for a while (default on)");

static bool steal = true;
module_param_cb(steal, &switch_ops, &steal, 0644);
__MODULE_PARM_TYPE(steal, "bool");
MODULE_PARM_DESC(steal, "take back what sleeping threads keep in magazines (default on)");

static bool mesh = true;
module_param_cb(mesh, &switch_ops, &mesh, 0644);
__MODULE_PARM_TYPE(mesh, "bool");
MODULE_PARM_DESC(mesh, "let sparse pools share pages (default on)");

/*
 * Below one megabyte there is little to win, and small programs are many: none of them
 * should be looked through.
 */
unsigned long pym_mesh_bytes = SZ_1M;
module_param_cb(mesh_bytes, &bytes_ops, &pym_mesh_bytes, 0644);
__MODULE_PARM_TYPE(mesh_bytes, "ulong");
MODULE_PARM_DESC(mesh_bytes, "mesh a heap whose pages have over 1.5 times the bytes of its blocks, and so many more (default 1 MiB)");

/**
 * pym_default_policy() - what the module's parameters say
 *
 * Context: Any.
 * Return: the policy of heaps without one of their own.
 */
struct pym_policy pym_default_policy(void)
{
	return (struct pym_policy) {
		.decay_ms = READ_ONCE(decay_ms),
		.off = (READ_ONCE(decay) ? 0 : PYMALLOC_POLICY_NO_DECAY) |
		       (READ_ONCE(steal) ? 0 : PYMALLOC_POLICY_NO_STEAL) |
		       (READ_ONCE(mesh) ? 0 : PYMALLOC_POLICY_NO_MESH),
		.keep_bytes = READ_ONCE(keep_bytes),
	};
}

/**
 * pym_params_init() - fill in the defaults that depend on the machine
 *
 * Half of the memory: one user's heaps cannot take the machine down, and a machine
 * that serves one user can still use most of its memory for heaps.
 *
 * Context: Process context, while the module is being loaded.
 */
void __init pym_params_init(void)
{
	if (pym_user_bytes == ULONG_MAX)
		pym_user_bytes = totalram_pages() / 2 << PAGE_SHIFT;
}
