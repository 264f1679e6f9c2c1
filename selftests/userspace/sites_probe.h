/* SPDX-License-Identifier: GPL-2.0 */
/* The library's files that find and write down sites, for tests. */
#ifndef SELFTESTS_SITES_PROBE_H
#define SELFTESTS_SITES_PROBE_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the table's mapping. */
#define PROBE_TABLE ((size_t)64 << 20)

/* A new trace, whose table cannot have more than @bytes. */
bool probe_begin(unsigned int python_frames, unsigned int native_frames, size_t bytes);
/* The site of who calls. */
__u32 probe_site(void);
const void *probe_table(void);
void probe_inherit(void);
void probe_next_epoch(void);
void probe_forget_thread(void);
__u32 probe_line(const unsigned char *lines, size_t bytes, __u32 first_line, size_t unit);
/* Whether malloc() asks for a site; then which one a block has got. */
void probe_in_malloc(bool on);
__u32 probe_site_of(const void *block);
/* How often malloc() was called while it asked for a site. */
unsigned int probe_nested(void);

#endif /* SELFTESTS_SITES_PROBE_H */
