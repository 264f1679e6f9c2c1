/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How ioctl arguments come in and go out.
 */
#ifndef PYM_IOCTL_H
#define PYM_IOCTL_H

#include <linux/stddef.h>
#include <linux/types.h>

#include <linux/pymalloc.h>

struct file;
struct pym_service_heap;

/**
 * struct pym_call - one ioctl on its way
 * @file: the descriptor it came on
 * @sheap: the heap it is about; NULL on the device
 * @result: out: a descriptor to be returned; may stay NULL
 * @args: the argument struct, copied in before and out after
 */
struct pym_call {
	struct file *file;
	struct pym_service_heap *sheap;
	struct file *result;
	union {
		u32 argsz;
		struct pymalloc_info info;
		struct pymalloc_create create;
		struct pymalloc_open open;
		struct pymalloc_list list;
		struct pymalloc_alloc alloc;
		struct pymalloc_free free;
		struct pymalloc_usable usable;
		struct pymalloc_resize resize;
		struct pymalloc_stats stats;
		struct pymalloc_walk walk;
		struct pymalloc_trim trim;
		struct pymalloc_check check;
		struct pymalloc_notify notify;
		struct pymalloc_caches caches;
		struct pymalloc_end end;
		struct pymalloc_grow grow;
	} args;
};

/**
 * struct pym_command - an ioctl command
 * @cmd: its number
 * @size: bytes of its struct as this module knows it
 * @min_size: bytes of the struct in the first version
 * @run: does it
 */
struct pym_command {
	unsigned int cmd;
	size_t size;
	size_t min_size;
	int (*run)(struct pym_call *call);
};

#define PYM_COMMAND(_cmd, _struct, _last, _run) {		\
	.cmd = _cmd,						\
	.size = sizeof(struct _struct),				\
	.min_size = offsetofend(struct _struct, _last),		\
	.run = _run,						\
}

long pym_command_run(struct file *file, struct pym_service_heap *sheap,
		     const struct pym_command *commands, unsigned int nr,
		     unsigned int cmd, void __user *arg);
int pym_put_entry(u64 array, u32 index, u32 entry_size, const void *entry, size_t size);

#endif /* PYM_IOCTL_H */
