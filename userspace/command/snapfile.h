/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file of a snapshot: which blocks a heap had at one time, and where they were
 * allocated.
 *
 * The file is a row of sections, one for each heap: the header, the rows, the table of
 * sites (pymalloc-sites.h) as the heap had it when its rows had been read.  All numbers are
 * little endian.
 */
#ifndef _PYMALLOC_SNAPFILE_H
#define _PYMALLOC_SNAPFILE_H

#include <linux/types.h>

#define SNAPFILE_MAGIC		"PYMSNAP\n"	/* without the NUL */
#define SNAPFILE_VERSION	1

/**
 * struct snapfile_header - a section's first bytes
 * @magic: SNAPFILE_MAGIC
 * @version: SNAPFILE_VERSION
 * @header_bytes: bytes of the header; later versions may have longer ones
 * @time: when the snapshot was begun, in nanoseconds since 1970
 * @heap: the heap's number
 * @pid: its process
 * @uid: its user
 * @comm: the command of its process
 * @name: its name
 * @page_bytes: bytes of its pages
 * @meta_bytes: bytes of kernel memory that describe it
 * @used_bytes: bytes of its blocks and large objects
 * @nr_rows: rows that follow
 * @row_bytes: bytes of each; later versions may have longer ones
 * @reserved: 0
 * @table_bytes: bytes of the table of sites, which follows the rows; 0 if the heap is not
 *	traced
 */
struct snapfile_header {
	char magic[8];
	__u32 version;
	__u32 header_bytes;
	__u64 time;
	__u64 heap;
	__u32 pid;
	__u32 uid;
	char comm[16];
	char name[32];
	__u64 page_bytes;
	__u64 meta_bytes;
	__u64 used_bytes;
	__u64 nr_rows;
	__u32 row_bytes;
	__u32 reserved;
	__u64 table_bytes;
};

/* snapfile_row.flags */
#define SNAPFILE_CACHED		(1U << 0)	/* in a magazine: free for the program */

/* snapfile_row.idle if it is not known */
#define SNAPFILE_NO_IDLE	0xffffffffU

/**
 * struct snapfile_row - blocks that have all of this in common
 * @site: the number of their site's record, or PYMALLOC_SITE_BEFORE or _UNKNOWN
 * @size: bytes of each
 * @flags: SNAPFILE_CACHED
 * @idle: seconds since when their pages have not been touched; SNAPFILE_NO_IDLE
 * @blocks: how many
 */
struct snapfile_row {
	__u32 site;
	__u32 size;
	__u32 flags;
	__u32 idle;
	__u64 blocks;
};

#endif /* _PYMALLOC_SNAPFILE_H */
