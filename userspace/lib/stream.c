// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Batches by read() and write(), for a process in a sandbox.
 *
 * If the program has closed a heap's descriptor and opened another file under its
 * number, an ioctl() does no harm, but a write() puts refs into that file.  So this is
 * only done in a sandbox, and no more after the first answer that is not the service's.
 */
#include <errno.h>
#include <string.h>
#include <sys/param.h>

#include "report.h"
#include "stream.h"
#include "syscall.h"

/*
 * Words in one call: the kernel does a batch in parts of so many, after any of which a
 * signal may end it, so that larger calls gain little.  1 KiB of them fits on any stack.
 */
#define WORDS	128

struct stream {
	struct pymalloc_batch_head head;
	__u64 words[WORDS];
};

/* Makes the call whose number is SYS_read or SYS_write. */
static long stream_call(struct pymalloc_heap *heap, long number,
			struct stream *stream, unsigned int count)
{
	const long args[6] = {
		__atomic_load_n(&heap->fd, __ATOMIC_RELAXED),
		(long)stream,
		(1 + count) * sizeof(__u64),
	};

	return pyml_syscall(number, args);
}

/* The descriptor is not the heap's, or not any more: do not use it again. */
static void lose_fd(struct pymalloc_heap *heap)
{
	__atomic_store_n(&heap->fd, -1, __ATOMIC_RELAXED);
}

/* Returns how many words are done; 0 if @result is an error or no possible answer. */
static unsigned int words_done(long result, unsigned int count)
{
	long words = result / (long)sizeof(__u64) - 1;

	if (pyml_syscall_failed(result) || words < 1 || words > (long)count)
		return 0;
	return words;
}

static bool is_shortage(long result)
{
	return result == -ENOMEM || result == -EDQUOT;
}

/* Returns how many words were read into @stream. */
static unsigned int read_words(struct pymalloc_heap *heap, struct stream *stream,
			       unsigned int count)
{
	const struct pymalloc_batch_head head = stream->head;
	unsigned int done;
	long result;

	do {
		result = stream_call(heap, SYS_read, stream, count);
	} while (result == -EINTR);
	done = words_done(result, count);
	/* The service leaves the head as it is; another file's bytes would overwrite it. */
	if (memcmp(&head, &stream->head, sizeof(head)))
		done = 0;
	if (!done && !is_shortage(result))
		lose_fd(heap);
	return done;
}

/**
 * pyml_stream_alloc() - allocate a batch by read()
 * @heap: the heap
 * @size: bytes of each object
 * @flags: PYMALLOC_ALLOC_*
 * @refs: where to store the refs
 * @count: how many objects
 *
 * Return: how many were allocated.
 */
unsigned int pyml_stream_alloc(struct pymalloc_heap *heap, size_t size,
			       unsigned int flags, __u64 *refs,
			       unsigned int count)
{
	struct stream stream;
	unsigned int done = 0, part, got;

	do {
		part = MIN(count - done, WORDS);
		stream.head.size = size;
		stream.head.flags = flags;
		got = read_words(heap, &stream, part);
		memcpy(refs + done, stream.words, got * sizeof(*refs));
		done += got;
	} while (got == part && done < count);
	return done;
}

/**
 * pyml_stream_usable() - ask for an object's usable size by read()
 * @heap: the heap
 * @ref: the object
 *
 * Return: its usable bytes; 0 if it is not allocated.
 */
size_t pyml_stream_usable(struct pymalloc_heap *heap, __u64 ref)
{
	struct stream stream = {
		.head.flags = PYMALLOC_BATCH_USABLE,
		.words[0] = ref,
	};

	return read_words(heap, &stream, 1) ? stream.words[0] : 0;
}

/* A write() whose first ref is bad returns an error that says why. */
static unsigned int status_of(long result)
{
	switch (result) {
	case -ERANGE:
		return PYMALLOC_REF_RANGE;
	case -ENXIO:
		return PYMALLOC_REF_FOREIGN;
	case -EBADSLT:
		return PYMALLOC_REF_MISALIGNED;
	case -ENODATA:
		return PYMALLOC_REF_UNTOUCHED;
	case -EALREADY:
		return PYMALLOC_REF_FREE;
	default:
		return PYMALLOC_REF_OK;
	}
}

/*
 * Frees refs from the first on.  Returns how many are dealt with, be it that the first one
 * was bad; 0 if the descriptor is lost.
 */
static unsigned int write_refs(struct pymalloc_heap *heap, const __u64 *refs,
			       bool tell, unsigned int count)
{
	struct stream stream = { .head.flags = 0 };
	unsigned int status, done;
	long result;

	count = MIN(count, WORDS);
	memcpy(stream.words, refs, count * sizeof(*refs));
	result = stream_call(heap, SYS_write, &stream, count);
	done = words_done(result, count);
	if (done)
		return done;
	status = status_of(result);
	if (status == PYMALLOC_REF_OK) {
		lose_fd(heap);
		return 0;
	}
	if (tell)
		pyml_bad_free(heap, heap->view.base + refs[0], status);
	return 1;
}

/**
 * pyml_stream_free() - free a batch by write()
 * @heap: the heap
 * @refs: the objects
 * @tell: whether to report those that are bad
 * @count: how many
 */
void pyml_stream_free(struct pymalloc_heap *heap, const __u64 *refs, bool tell,
		      unsigned int count)
{
	unsigned int done;

	do {
		done = write_refs(heap, refs, tell, count);
		refs += done;
		count -= done;
	} while (done && count);
}
