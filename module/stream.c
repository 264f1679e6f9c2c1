// SPDX-License-Identifier: GPL-2.0
/*
 * read() and write() on a heap's descriptor: batches for a process whose sandbox
 * leaves it no ioctl().
 */
#include <linux/err.h>
#include <linux/uaccess.h>

#include "client.h"
#include "ioctl.h"
#include "ioctl_object.h"
#include "service_heap.h"
#include "stream.h"

#define WORD	sizeof(u64)

static_assert(sizeof(struct pymalloc_batch_head) == WORD);

/* A batch on its way: its head and, as ioctls have it, the call. */
struct stream {
	struct pymalloc_batch_head head;
	u64 words;
	u32 count;
	struct pym_call call;
};

static int stream_read_head(struct stream *stream, const char __user *buffer, size_t bytes)
{
	if (bytes % WORD || bytes < 2 * WORD)
		return -EINVAL;
	if (bytes / WORD - 1 > PYMALLOC_BATCH_MAX)
		return -E2BIG;
	if (copy_from_user(&stream->head, buffer, sizeof(stream->head)))
		return -EFAULT;
	stream->words = (uintptr_t)buffer + WORD;
	stream->count = bytes / WORD - 1;
	return 0;
}

/* What the table of commands checks of an ioctl: see pym_command_check(). */
static int stream_check(const struct stream *stream, u32 flags)
{
	int err = pym_client_may_change(stream->call.file, stream->call.sheap, true);

	if (err)
		return err;
	if (stream->head.flags & ~flags)
		return -EINVAL;
	return READ_ONCE(stream->call.sheap->heap.sealed) ? -EPERM : 0;
}

/* The bytes of the head and the words that were done; if there is none, the reason. */
static ssize_t stream_result(int err, u32 done)
{
	return done ? (1 + (ssize_t)done) * WORD : err;
}

static ssize_t stream_alloc(struct stream *stream)
{
	struct pymalloc_alloc *alloc = &stream->call.args.alloc;
	int err;

	*alloc = (struct pymalloc_alloc) {
		.flags = stream->head.flags,
		.size = stream->head.size,
		.refs = stream->words,
		.count = stream->count,
	};
	err = stream_check(stream, PYM_ALLOC_FLAGS) ?:
	      pym_alloc_ioctl(&stream->call);
	return stream_result(err, alloc->done);
}

static ssize_t stream_usable(struct stream *stream)
{
	struct pymalloc_usable *usable = &stream->call.args.usable;
	int err;

	if (stream->head.size || stream->head.flags != PYMALLOC_BATCH_USABLE)
		return -EINVAL;
	*usable = (struct pymalloc_usable) {
		.refs = stream->words,
		.sizes = stream->words,
		.count = stream->count,
	};
	err = pym_usable_ioctl(&stream->call);
	return stream_result(err, usable->done);
}

static ssize_t stream_read(struct stream *stream)
{
	if (stream->head.flags & PYMALLOC_BATCH_USABLE)
		return stream_usable(stream);
	return stream_alloc(stream);
}

static ssize_t stream_write(struct stream *stream)
{
	struct pymalloc_free *free = &stream->call.args.free;
	int err;

	if (stream->head.size)
		return -EINVAL;
	*free = (struct pymalloc_free) {
		.flags = stream->head.flags,
		.refs = stream->words,
		.count = stream->count,
	};
	err = stream_check(stream, 0) ?: pym_free_until_bad_ref(&stream->call);
	return stream_result(err, free->done);
}

static ssize_t stream_run(struct file *file, const char __user *buffer, size_t bytes,
			  ssize_t (*words)(struct stream *stream))
{
	/* Each of the functions fills in the args of the struct that it uses. */
	struct stream stream __uninitialized;
	struct pym_service_heap *sheap = pym_client_enter(file);
	ssize_t ret;

	if (IS_ERR(sheap))
		return PTR_ERR(sheap);
	atomic64_inc(&sheap->nr_calls);
	stream.call.file = file;
	stream.call.sheap = sheap;
	ret = stream_read_head(&stream, buffer, bytes);
	if (!ret)
		ret = words(&stream);
	pym_client_leave(sheap);
	return ret;
}

/**
 * pym_stream_read() - read() on a heap's descriptor
 * @file: the descriptor
 * @buffer: a head, and room for words
 * @bytes: of both
 * @pos: not used
 *
 * Context: Sleeps.
 * Return: bytes of the head and the words that were stored; or an error, as the
 *	interface says.
 */
ssize_t pym_stream_read(struct file *file, char __user *buffer, size_t bytes, loff_t *pos)
{
	return stream_run(file, buffer, bytes, stream_read);
}

/**
 * pym_stream_write() - write() on a heap's descriptor
 * @file: the descriptor
 * @buffer: a head, and refs
 * @bytes: of both
 * @pos: not used
 *
 * Context: Sleeps.
 * Return: bytes of the head and the refs that were freed; or an error, as the
 *	interface says.
 */
ssize_t pym_stream_write(struct file *file, const char __user *buffer, size_t bytes,
			 loff_t *pos)
{
	return stream_run(file, buffer, bytes, stream_write);
}
