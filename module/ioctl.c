// SPDX-License-Identifier: GPL-2.0
/*
 * How ioctl arguments come in and go out.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/minmax.h>
#include <linux/uaccess.h>

#include "ioctl.h"
#include "service_heap.h"

static int copy_args_in(const struct pym_command *command, struct pym_call *call,
			void __user *arg, u32 *argsz)
{
	int err;

	if (get_user(*argsz, (u32 __user *)arg))
		return -EFAULT;
	if (*argsz < command->min_size)
		return -EINVAL;
	if (*argsz > PAGE_SIZE)
		return -E2BIG;
	err = copy_struct_from_user(&call->args, command->size, arg, *argsz);
	if (err)
		return err;
	/* Whatever it has become meanwhile. */
	call->args.argsz = *argsz;
	return 0;
}

static int copy_args_out(const struct pym_command *command, const struct pym_call *call,
			 void __user *arg, u32 argsz)
{
	return copy_to_user(arg, &call->args, min_t(size_t, argsz, command->size)) ?
		-EFAULT : 0;
}

static int install_result(const struct pym_command *command, struct pym_call *call,
			  void __user *arg, u32 argsz)
{
	int fd, err;

	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0) {
		fput(call->result);
		return fd;
	}
	err = copy_args_out(command, call, arg, argsz);
	if (err) {
		put_unused_fd(fd);
		fput(call->result);
		return err;
	}
	fd_install(fd, call->result);
	return fd;
}

static long run(const struct pym_command *command, struct file *file,
		struct pym_service_heap *sheap, void __user *arg)
{
	/* Its args are filled as far as the command's struct goes. */
	struct pym_call call __uninitialized;
	int err, fault;
	u32 argsz;

	call.file = file;
	call.sheap = sheap;
	call.result = NULL;
	err = copy_args_in(command, &call, arg, &argsz);
	if (err)
		return err;
	/* Results that could not be told would be lost: find out before. */
	err = copy_args_out(command, &call, arg, argsz);
	if (err)
		return err;
	err = command->run(&call);
	if (call.result)
		return install_result(command, &call, arg, argsz);
	fault = copy_args_out(command, &call, arg, argsz);
	return fault ?: err;
}

/**
 * pym_command_run() - carry out an ioctl
 * @file: the descriptor it came on
 * @sheap: the heap it is about; NULL on the device
 * @commands: what that descriptor can do
 * @nr: how many commands those are
 * @cmd: the command
 * @arg: its struct
 *
 * Context: Sleeps.
 * Return: 0, a descriptor, or a negative error: -ENOTTY for a command that
 *	does not exist, -EFAULT, -EINVAL (a struct too short), -E2BIG (a
 *	longer struct than is known, and its end is not zero), or the
 *	command's own.
 */
long pym_command_run(struct file *file, struct pym_service_heap *sheap,
		     const struct pym_command *commands, unsigned int nr,
		     unsigned int cmd, void __user *arg)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (commands[i].cmd == cmd)
			return run(&commands[i], file, sheap, arg);
	return -ENOTTY;
}

/**
 * pym_put_entry() - store one entry of an array
 * @array: the user's pointer to the array
 * @index: which entry
 * @entry_size: its bytes as the user knows it
 * @entry: what is to be stored
 * @size: its bytes as the module knows it
 *
 * Context: Sleeps.
 * Return: 0 or -EFAULT.
 */
int pym_put_entry(u64 array, u32 index, u32 entry_size, const void *entry, size_t size)
{
	char __user *to = u64_to_user_ptr(array) + (u64)index * entry_size;
	size_t common = min_t(size_t, entry_size, size);

	if (copy_to_user(to, entry, common) || clear_user(to + common, entry_size - common))
		return -EFAULT;
	return 0;
}
