// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Batches by read() and write(), for a process in a sandbox.
 *
 * Where another file has taken the number of a heap's descriptor, an ioctl()
 * would do no harm, but write() puts refs into the file.  So none of this is
 * done outside, and no more after the first answer that is not the service's.
 */
#include <errno.h>
#include <string.h>

#include "raw.h"
#include "report.h"
#include "stream.h"

/* Words in one call: the kernel does its work in parts of so many. */
#define WORDS	128

struct stream {
	struct pymalloc_batch_head head;
	__u64 words[WORDS];
};

static unsigned int min(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

static long call(struct pymalloc_heap *heap, long number, struct stream *stream,
		 unsigned int count)
{
	const long args[6] = {
		__atomic_load_n(&heap->fd, __ATOMIC_RELAXED),
		(long)stream,
		(1 + count) * sizeof(__u64),
	};

	return pyml_raw(number, args);
}

/* The number is not the heap's, or not any more: leave it alone from now on. */
static void lose(struct pymalloc_heap *heap)
{
	__atomic_store_n(&heap->fd, -1, __ATOMIC_RELAXED);
}

/* Returns how many words are done; 0 if @result is an error, or no answer. */
static unsigned int words_done(long result, unsigned int count)
{
	long words = result / (long)sizeof(__u64) - 1;

	if (pyml_raw_failed(result) || words < 1 || words > (long)count)
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
		result = call(heap, SYS_read, stream, count);
	} while (result == -EINTR);
	done = words_done(result, count);
	/* Another file's bytes would have taken the head's place. */
	if (memcmp(&head, &stream->head, sizeof(head)))
		done = 0;
	if (!done && !is_shortage(result))
		lose(heap);
	return done;
}

/* As pyml_call_alloc(). */
unsigned int pyml_stream_alloc(struct pymalloc_heap *heap, size_t size,
			       unsigned int flags, __u64 *refs,
			       unsigned int count)
{
	struct stream stream;
	unsigned int done = 0, part, got;

	do {
		part = min(count - done, WORDS);
		stream.head.size = size;
		stream.head.flags = flags;
		got = read_words(heap, &stream, part);
		memcpy(refs + done, stream.words, got * sizeof(*refs));
		done += got;
	} while (got == part && done < count);
	return done;
}

size_t pyml_stream_usable(struct pymalloc_heap *heap, __u64 ref)
{
	struct stream stream = {
		.head.flags = PYMALLOC_BATCH_USABLE,
		.words[0] = ref,
	};

	return read_words(heap, &stream, 1) ? stream.words[0] : 0;
}

/* What the error that write() began with says of its first ref. */
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

/* Returns how many refs there is no more to be done about; 0: about none ever. */
static unsigned int write_refs(struct pymalloc_heap *heap, const __u64 *refs,
			       bool tell, unsigned int count)
{
	struct stream stream = { .head.flags = 0 };
	unsigned int status, done;
	long result;

	count = min(count, WORDS);
	memcpy(stream.words, refs, count * sizeof(*refs));
	result = call(heap, SYS_write, &stream, count);
	done = words_done(result, count);
	if (done)
		return done;
	status = status_of(result);
	if (status == PYMALLOC_REF_OK) {
		lose(heap);
		return 0;
	}
	if (tell)
		pyml_bad_free(heap, heap->view.base + refs[0], status);
	return 1;
}

/* Frees them; @tell: reports those that are bad. */
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
