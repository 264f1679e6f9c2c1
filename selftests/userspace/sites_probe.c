// SPDX-License-Identifier: GPL-2.0
/*
 * The library's files that find and write down sites, in a shared object without the rest
 * and without the device.  When it is preloaded, malloc() can ask for a site for each block.
 */
#include <string.h>
#include <sys/mman.h>

#include <intern.h>
#include <location.h>

#include "sites_probe.h"

/* What malloc() remembers of sites, by address. */
#define NR_BLOCKS ((size_t)1 << 20)

/* The C library's. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static struct pyml_tracer tracer;
static size_t most_bytes;
static bool in_malloc;
static struct {
	const void *block;
	__u32 site;
} blocks[NR_BLOCKS];
static __thread unsigned int depth;
static unsigned int nr_nested;

static bool grow(struct pyml_table *table, size_t bytes)
{
	return bytes <= most_bytes && bytes <= table->size;
}

bool probe_begin(unsigned int python_frames, unsigned int native_frames, size_t bytes)
{
	const struct pymalloc_trace settings = {
		.mode = PYMALLOC_TRACE_EXACT,
		.python_frames = python_frames,
		.native_frames = native_frames,
	};

	/* The old table stays mapped: see pyml_tracer_begin(). */
	tracer.table.base = mmap(NULL, PROBE_TABLE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	tracer.table.size = PROBE_TABLE;
	tracer.table.grow = grow;
	most_bytes = bytes;
	return pyml_tracer_begin(&tracer, &settings);
}

__u32 probe_site(void)
{
	return pyml_tracer_site(&tracer);
}

const void *probe_table(void)
{
	return tracer.table.base;
}

void probe_inherit(void)
{
	pyml_tracer_inherit(&tracer);
}

void probe_next_epoch(void)
{
	tracer.epoch_end = 0;
	pyml_tracer_tick(&tracer);
}

void probe_forget_thread(void)
{
	pyml_tracer_forget_thread();
}

__u32 probe_line(const unsigned char *lines, size_t bytes, __u32 first_line, size_t unit)
{
	return pyml_location_line(lines, bytes, first_line, unit);
}

void probe_in_malloc(bool on)
{
	if (on)
		memset(blocks, 0, sizeof(blocks));
	in_malloc = on;
}

static size_t index_of(const void *block)
{
	return (uintptr_t)block / 16 % NR_BLOCKS;
}

unsigned int probe_nested(void)
{
	return nr_nested;
}

__u32 probe_site_of(const void *block)
{
	size_t i = index_of(block);

	return blocks[i].block == block ? blocks[i].site : 0;
}

static void *with_site(void *block)
{
	size_t i = index_of(block);

	if (!in_malloc)
		return block;
	nr_nested += depth++;
	blocks[i].block = block;
	blocks[i].site = probe_site();
	depth--;
	return block;
}

void *malloc(size_t size)
{
	return with_site(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
	return with_site(__libc_calloc(count, size));
}

void *realloc(void *old, size_t size)
{
	return with_site(__libc_realloc(old, size));
}
