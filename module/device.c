// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/pymalloc: where heaps are made, listed and opened.
 *
 * Every user may open it, as every user may call mmap(): what it gives is charged to
 * the caller's memory cgroup and counts against the user's limits, and nothing in it
 * shows one user's memory to another.
 */
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/sched/signal.h>

#include "access.h"
#include "client.h"
#include "dead.h"
#include "device.h"
#include "family.h"
#include "heapfd.h"
#include "ioctl.h"
#include "ioctl_inspect.h"
#include "owner.h"
#include "params.h"
#include "registry.h"
#include "service_heap.h"
#include "shared_window.h"
#include "user.h"
#include "window.h"

static int device_info_ioctl(struct pym_call *call)
{
	struct pymalloc_info *info = &call->args.info;
	struct pym_user *user;

	pym_registry_bury();
	user = pym_user_get(current_euid());
	if (!user)
		return -ENOMEM;
	*info = (struct pymalloc_info) {
		.argsz = info->argsz,
		.abi_version = PYMALLOC_ABI_VERSION,
		.pool_size = PYMALLOC_POOL_SIZE,
		.arena_size = PYMALLOC_ARENA_SIZE,
		.block_min = PYMALLOC_BLOCK_MIN,
		.block_max = PYMALLOC_BLOCK_MAX,
		.nr_classes = PYMALLOC_NR_CLASSES,
		.batch_max = PYMALLOC_BATCH_MAX,
		.size_max = PYMALLOC_SIZE_MAX,
		.window_default = READ_ONCE(pym_default_window),
		.window_max = PYMALLOC_WINDOW_MAX,
		.limit_default = READ_ONCE(pym_default_limit),
		.user_bytes = atomic_long_read(&user->quota.used),
		.user_bytes_max = READ_ONCE(pym_user_bytes),
		.user_heaps = atomic_read(&user->heaps),
		.user_heaps_max = READ_ONCE(pym_user_heaps),
		.version = PYMALLOC_VERSION,
		.user_meta_bytes = atomic_long_read(&user->quota.meta),
		.heap_bytes_min = PYM_SERVICE_BYTES + PYM_TABLE_BYTES,
		.user_dead = READ_ONCE(user->nr_dead),
		.user_dead_max = pym_dead_max(),
		.user_dead_bytes = READ_ONCE(user->dead_bytes),
		.user_dead_bytes_max = READ_ONCE(pym_dead_bytes),
	};
	pym_user_put(user);
	return 0;
}

/* Make the call return a descriptor of the heap. */
static int device_return_heap(struct pym_call *call, struct pym_service_heap *sheap,
			      bool read_only)
{
	struct file *file = pym_heapfd_open(sheap, read_only);

	if (IS_ERR(file))
		return PTR_ERR(file);
	call->result = file;
	return 0;
}

static int device_create_ioctl(struct pym_call *call)
{
	struct pymalloc_create *create = &call->args.create;
	struct pym_service_heap *sheap;
	int err;

	sheap = pym_service_create(create);
	if (PTR_ERR_OR_ZERO(sheap) == -EDQUOT) {
		pym_registry_bury();
		sheap = pym_service_create(create);
	}
	if (IS_ERR(sheap))
		return PTR_ERR(sheap);
	create->id = sheap->heap.id;
	err = device_return_heap(call, sheap, false);
	if (err)
		pym_family_forget(sheap->family, sheap);
	pym_service_put(sheap);
	return err;
}

/* Open what is kept of a heap, if it is dead. */
static int device_open_dead(struct pym_call *call)
{
	struct pymalloc_open *open = &call->args.open;
	struct pym_service_heap *sheap;
	struct file *file;
	int err = 0;

	sheap = pym_dead_find(open->id);
	if (!sheap)
		return -ENOENT;
	if (!pym_may_look_at_dead(sheap))
		err = -EPERM;
	else if (!(open->flags & PYMALLOC_OPEN_RDONLY))
		err = -ESTALE;
	pym_dead_put(sheap->dead);
	if (err)
		return err;
	file = pym_heapfd_open_dead(open->id);
	if (IS_ERR(file))
		return PTR_ERR(file);
	call->result = file;
	return 0;
}

static int device_open_ioctl(struct pym_call *call)
{
	struct pymalloc_open *open = &call->args.open;
	struct pym_service_heap *sheap;
	int err = -EPERM;

	if (open->flags & PYMALLOC_OPEN_MAPPED)
		sheap = pym_window_find(open->id) ?: pym_shared_find(open->id);
	else
		sheap = pym_registry_find(open->id);
	if (!sheap)
		return open->flags & PYMALLOC_OPEN_MAPPED ? -ENOENT : device_open_dead(call);
	if (pym_may_look(sheap))
		err = device_return_heap(call, sheap, open->flags & PYMALLOC_OPEN_RDONLY);
	pym_client_leave(sheap);
	return err;
}

/* The dead and the living are looked up in the same way. */
static struct pym_service_heap *list_next(bool dead, u64 after)
{
	return dead ? pym_dead_next(after) : pym_registry_next(after);
}

static void list_leave(struct pym_service_heap *sheap)
{
	if (sheap->dead)
		pym_dead_put(sheap->dead);
	else
		pym_client_leave(sheap);
}

static int device_list_ioctl(struct pym_call *call)
{
	struct pymalloc_list *list = &call->args.list;
	bool dead = list->flags & PYMALLOC_LIST_DEAD;
	struct pym_service_heap *sheap;
	u64 after = list->after;
	int err;

	err = pym_list_check(list);
	if (!err)
		pym_registry_bury();
	while (!err && list->done < list->count) {
		sheap = list_next(dead, after);
		if (!sheap)
			break;
		after = sheap->heap.id;
		if (pym_may_list(sheap))
			err = pym_list_entry(list, sheap);
		/* A heap that has just ended, or has just been forgotten, is not listed. */
		if (err == -ESTALE)
			err = 0;
		list_leave(sheap);
		if (fatal_signal_pending(current))
			err = -EINTR;
		cond_resched();
	}
	return err;
}

/* Forget all dead heaps of the caller's user. */
static int forget_all(struct pymalloc_forget *forget)
{
	struct pym_service_heap *sheap;
	u64 after = 0;

	while ((sheap = pym_dead_next(after))) {
		after = sheap->heap.id;
		if (uid_eq(sheap->uid, current_euid()))
			forget->done += pym_dead_forget(sheap);
		pym_dead_put(sheap->dead);
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

static int device_forget_ioctl(struct pym_call *call)
{
	struct pymalloc_forget *forget = &call->args.forget;
	struct pym_service_heap *sheap;
	int err = -EPERM;

	if (forget->flags & PYMALLOC_FORGET_ALL)
		return forget->id ? -EINVAL : forget_all(forget);
	sheap = pym_dead_find(forget->id);
	if (!sheap)
		return -ENOENT;
	if (pym_may_list(sheap)) {
		forget->done = pym_dead_forget(sheap);
		err = forget->done ? 0 : -ENOENT;
	}
	pym_dead_put(sheap->dead);
	return err;
}

static void forget_reset(struct pym_call *call)
{
	call->args.forget.done = 0;
}

static const struct pym_command device_commands[] = {
	PYM_COMMAND(INFO, info, user_heaps_max, device_info_ioctl, .flags = PYM_NO_FLAGS),
	PYM_COMMAND(CREATE, create, name, device_create_ioctl,
		    .flags = PYMALLOC_CREATE_NO_MESH | PYMALLOC_CREATE_KEEP_DEAD |
			     PYMALLOC_CREATE_SHARED,
		    .reserved = offsetof(struct pymalloc_create, reserved)),
	PYM_COMMAND(OPEN, open, id, device_open_ioctl,
		    .flags = PYMALLOC_OPEN_RDONLY | PYMALLOC_OPEN_MAPPED),
	PYM_COMMAND(LIST, list, reserved, device_list_ioctl, .flags = PYMALLOC_LIST_DEAD,
		    .reserved = offsetof(struct pymalloc_list, reserved),
		    .reset = pym_list_reset),
	PYM_COMMAND(FORGET, forget, done, device_forget_ioctl, .flags = PYMALLOC_FORGET_ALL,
		    .reset = forget_reset),
};

static long device_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return pym_command_run(file, NULL, device_commands, ARRAY_SIZE(device_commands),
			       cmd, (void __user *)arg);
}

static const struct file_operations device_fops = {
	.owner		= THIS_MODULE,
	.unlocked_ioctl	= device_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.llseek		= noop_llseek,
};

static struct miscdevice device = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "pymalloc",
	.fops	= &device_fops,
	.mode	= 0666,
};

/**
 * pym_device_init() - make the device appear
 *
 * Return: 0 or a negative error.
 */
int pym_device_init(void)
{
	return misc_register(&device);
}

/**
 * pym_device_exit() - make it disappear
 */
void pym_device_exit(void)
{
	misc_deregister(&device);
}
