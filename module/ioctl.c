// SPDX-License-Identifier: GPL-2.0
/*
 * Commands: what an ioctl is asked before it is carried out, and how its arguments
 * come in and go out.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/minmax.h>
#include <linux/nospec.h>
#include <linux/uaccess.h>

#include "client.h"
#include "ioctl.h"
#include "service_heap.h"

static int command_copy_in(const struct pym_command *command, struct pym_call *call,
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
	/* Another thread may have changed it since it was read: the first value counts. */
	call->args.argsz = *argsz;
	return 0;
}

static int command_copy_out(const struct pym_command *command, const struct pym_call *call,
			    void __user *arg, u32 argsz)
{
	return copy_to_user(arg, &call->args, min_t(size_t, argsz, command->size)) ?
		-EFAULT : 0;
}

static int command_install(const struct pym_command *command, struct pym_call *call,
			   void __user *arg, u32 argsz)
{
	int fd, err;

	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0) {
		fput(call->result);
		return fd;
	}
	err = command_copy_out(command, call, arg, argsz);
	if (err) {
		put_unused_fd(fd);
		fput(call->result);
		return err;
	}
	fd_install(fd, call->result);
	return fd;
}

static bool command_reserved_is_zero(const struct pym_command *command,
				     const struct pym_call *call)
{
	const void *args = &call->args;

	return !command->reserved || !*(const u32 *)(args + command->reserved);
}

/**
 * pym_command_check() - may a call be carried out?
 * @command: what is called
 * @call: the call
 *
 * The same questions for all commands, in one place; what is left to a command is
 * what its own fields mean.
 *
 * Context: Any process.
 * Return: 0; -EBADF (a read-only descriptor), -EPERM (not the heap's process, or the heap is
 *	sealed, or shared), or -EINVAL (unknown flags, or a reserved field that is not 0).
 */
int pym_command_check(const struct pym_command *command, const struct pym_call *call)
{
	int err = 0;

	if (command->right != PYM_ANYBODY)
		err = pym_client_may_change(call->file, call->sheap,
					    command->right == PYM_CLIENT);
	if (err)
		return err;
	if (call->args.flags & ~command->flags || !command_reserved_is_zero(command, call))
		return -EINVAL;
	if (command->unsealed && READ_ONCE(call->sheap->heap.sealed))
		return -EPERM;
	if (command->private && call->sheap->flags & PYMALLOC_CREATE_SHARED)
		return -EPERM;
	return 0;
}

static int command_carry_out(const struct pym_command *command, struct pym_call *call)
{
	if (command->reset)
		command->reset(call);
	return pym_command_check(command, call) ?: command->run(call);
}

static long command_run(const struct pym_command *command, struct file *file,
			struct pym_service_heap *sheap, void __user *arg)
{
	/* copy_struct_from_user() fills in its args as far as the command's struct goes. */
	struct pym_call call __uninitialized;
	int err, fault;
	u32 argsz;

	call.file = file;
	call.sheap = sheap;
	call.result = NULL;
	err = command_copy_in(command, &call, arg, &argsz);
	if (err)
		return err;
	/*
	 * Find out before anything is done whether the results can be stored: a heap or
	 * objects that the caller does not learn of would be lost.
	 */
	err = command_copy_out(command, &call, arg, argsz);
	if (err)
		return err;
	err = command_carry_out(command, &call);
	if (call.result)
		return command_install(command, &call, arg, argsz);
	fault = command_copy_out(command, &call, arg, argsz);
	return fault ?: err;
}

/**
 * pym_command_run() - carry out an ioctl
 * @file: the descriptor it came on
 * @sheap: the heap it is about; NULL on the device
 * @commands: what that descriptor can do, by number from PYM_COMMAND_FIRST on
 * @nr: entries of @commands
 * @cmd: the command
 * @arg: its struct
 *
 * Context: Sleeps.
 * Return: 0, a descriptor, or a negative error: -ENOTTY for a command that does not
 *	exist, -EFAULT, -EINVAL (a struct too short), -E2BIG (a longer struct than is
 *	known, and its end is not zero), those of pym_command_check(), or the command's
 *	own.
 */
long pym_command_run(struct file *file, struct pym_service_heap *sheap,
		     const struct pym_command *commands, unsigned int nr,
		     unsigned int cmd, void __user *arg)
{
	const struct pym_command *command;
	unsigned int index = _IOC_NR(cmd) - PYM_COMMAND_FIRST;

	if (index >= nr)
		return -ENOTTY;
	command = &commands[array_index_nospec(index, nr)];
	/* No entry has this number, or it is not one of ours in its other parts. */
	if (command->cmd != cmd)
		return -ENOTTY;
	return command_run(command, file, sheap, arg);
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
