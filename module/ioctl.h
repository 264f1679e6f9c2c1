/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Commands: what an ioctl is asked before it is carried out, and how its arguments
 * come in and go out.
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
		struct {
			u32 argsz;
			u32 flags;
		};
		struct pymalloc_info info;
		struct pymalloc_create create;
		struct pymalloc_open open;
		struct pymalloc_list list;
		struct pymalloc_forget forget;
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
		struct pymalloc_compact compact;
		struct pymalloc_policy policy;
		struct pymalloc_cache cache;
		struct pymalloc_trace trace;
		struct pymalloc_sites sites;
		struct pymalloc_seal seal;
		struct pymalloc_types types;
		struct pymalloc_holds holds;
		struct pymalloc_roots roots;
		struct pymalloc_clients clients;
	} args;
};

/**
 * enum pym_right - who may carry out a command
 * @PYM_ANYBODY: every process that has a descriptor, which may be read-only
 * @PYM_WRITER: every process that has a descriptor which is not read-only
 * @PYM_CLIENT: the heap's client alone, with a descriptor which is not read-only
 */
enum pym_right {
	PYM_ANYBODY,
	PYM_WRITER,
	PYM_CLIENT,
};

/**
 * struct pym_command - an ioctl command
 * @cmd: its number; 0 is none
 * @flags: the bits of the flags that it knows
 * @size: bytes of its struct as this module knows it
 * @min_size: bytes of the struct in the first version
 * @reserved: where in the struct a field of 4 bytes is that has to be 0; 0 is nowhere
 * @right: who may carry it out
 * @unsealed: a sealed heap refuses it
 * @private: a shared heap refuses it
 * @run: does it, when all of this has been checked
 * @reset: called first: sets what it returns to "nothing done", which holds for a call
 *	that is refused, too.  May be NULL
 *
 * Indexed by number: see PYM_COMMAND().
 */
struct pym_command {
	unsigned int cmd;
	u32 flags;
	u16 size;
	u16 min_size;
	u16 reserved;
	u16 right;
	bool unsealed;
	bool private;
	int (*run)(struct pym_call *call);
	void (*reset)(struct pym_call *call);
};

/*
 * The number that tables of commands begin with: the lowest one of the interface.  Small
 * numbers would meet those that the VFS answers itself: 2 is FIGETBSZ.
 */
#define PYM_COMMAND_FIRST	0x40

/* The flags of a struct that has something else in their place, and checks it itself. */
#define PYM_NO_FLAGS		U32_MAX

/*
 * PYM_COMMAND() - an entry of a table of commands, in its place
 * @_NAME: of PYMALLOC_IOC_NAME
 * @_name: of struct pymalloc_name
 * @_last: the struct's last field in the first version
 * @_run: the function that carries it out
 *
 * Further fields of struct pym_command may follow.  Without @flags, no bit is known.
 */
#define PYM_COMMAND(_NAME, _name, _last, _run, ...)				\
	[_IOC_NR(PYMALLOC_IOC_##_NAME) - PYM_COMMAND_FIRST] = {			\
		.cmd = PYMALLOC_IOC_##_NAME,					\
		.size = sizeof(struct pymalloc_##_name),			\
		.min_size = offsetofend(struct pymalloc_##_name, _last),	\
		.run = _run,							\
		__VA_ARGS__							\
	}

int pym_command_check(const struct pym_command *command, const struct pym_call *call);
long pym_command_run(struct file *file, struct pym_service_heap *sheap,
		     const struct pym_command *commands, unsigned int nr,
		     unsigned int cmd, void __user *arg);
int pym_put_entry(u64 array, u32 index, u32 entry_size, const void *entry, size_t size);

#endif /* PYM_IOCTL_H */
