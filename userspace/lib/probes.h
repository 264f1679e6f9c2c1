/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The probes of sampled blocks, otel_memory:alloc(address, bytes, weight) and
 * otel_memory:free(address), which OpenTelemetry's profilers and bpftrace attach to.  Until
 * somebody does, each is one instruction that does nothing.
 *
 * The weight is the bytes that the block stands for, of all that are allocated.
 */
#ifndef _PYML_PROBES_H
#define _PYML_PROBES_H

#include <linux/types.h>
#include <stddef.h>

#if __has_include(<sys/sdt.h>)
#include <sys/sdt.h>
#else
/* Built without systemtap-sdt-dev: there are no probes. */
#define DTRACE_PROBE1(provider, name, one)		((void)(one))
#define DTRACE_PROBE3(provider, name, one, two, three) \
	((void)(one), (void)(two), (void)(three))
#endif

/*
 * A block of n bytes is sampled with the probability 1 - exp(-n / mean), so it stands for n
 * divided by that.  These are the first terms of the series; for n / mean of at most 1/8, which
 * is the most, the others are less than a millionth.
 */
static inline void pyml_probe_alloc(const void *object, size_t bytes, __u64 mean)
{
	__u64 weight = mean + bytes / 2 + bytes * bytes / (12 * mean);

	DTRACE_PROBE3(otel_memory, alloc, object, bytes, weight);
}

static inline void pyml_probe_free(const void *object)
{
	DTRACE_PROBE1(otel_memory, free, object);
}

#endif /* _PYML_PROBES_H */
