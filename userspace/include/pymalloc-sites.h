/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of sites: where in the program the blocks of a heap were allocated.
 *
 * A traced heap has a table, which its library writes and anybody reads who may open the
 * heap (PYMALLOC_SITES_READ of PYMALLOC_IOC_SITES), and a word of 32 bits for each block:
 * the block's site.  The kernel keeps both and looks at neither.
 *
 * The table is a row of records.  Each begins with struct pymalloc_record, at a multiple of
 * 8 bytes, and is named by that offset divided by 8: its number.  Records are only added,
 * and none refers to a later one.  The first is struct pymalloc_settings_record, whose @used
 * says how far the table is written; what is behind it is not to be read.
 *
 * Numbers come from a program that may be hostile to who reads them: a reader checks that
 * each lies within the table, that its record has the kind that is expected there, and that
 * its texts end within the record.
 */
#ifndef _PYMALLOC_SITES_H
#define _PYMALLOC_SITES_H

#include <linux/pymalloc.h>
#include <linux/types.h>

#define PYMALLOC_SITES_VERSION	1
#define PYMALLOC_SITES_MAGIC	"PYMSITES"	/* without the NUL */

/* Sites that are no records: of blocks older than the trace, and of those that found no room. */
#define PYMALLOC_SITE_BEFORE	0
#define PYMALLOC_SITE_UNKNOWN	1
/*
 * What blocks have the site PYMALLOC_SITE_BEFORE depends on the mode.  With
 * PYMALLOC_TRACE_SAMPLED they are all that were not sampled: the sampled ones stand for them.
 */

/* pymalloc_record.kind */
#define PYMALLOC_RECORD_SETTINGS	1
#define PYMALLOC_RECORD_OBJECT		2
#define PYMALLOC_RECORD_CODE		3
#define PYMALLOC_RECORD_THREAD		4
#define PYMALLOC_RECORD_STACK		5
#define PYMALLOC_RECORD_SITE		6

/**
 * struct pymalloc_record - what each record begins with
 * @bytes: bytes of the record, this struct included: a multiple of 8
 * @kind: PYMALLOC_RECORD_*
 * @count: of a stack: its frames; else 0
 */
struct pymalloc_record {
	__u32 bytes;
	__u16 kind;
	__u16 count;
};

/**
 * struct pymalloc_settings_record - how the heap is traced; the first record
 * @record: of kind PYMALLOC_RECORD_SETTINGS
 * @magic: PYMALLOC_SITES_MAGIC
 * @version: PYMALLOC_SITES_VERSION
 * @mode: PYMALLOC_TRACE_*
 * @interval: with PYMALLOC_TRACE_SAMPLED, bytes from a sample to the next on average: a
 *	sampled block of n bytes stands for 1 / (1 - exp(-n / @interval)) blocks
 * @python_frames: most Python frames of a stack
 * @native_frames: most other frames of a stack
 * @used: bytes of the table that are written; grows
 * @time: when the trace began, in nanoseconds since 1970
 * @nr_unknown: blocks that got PYMALLOC_SITE_UNKNOWN or no site at all; grows
 * @pid: the process, in its own PID namespace
 * @reserved: 0
 */
struct pymalloc_settings_record {
	struct pymalloc_record record;
	char magic[8];
	__u32 version;
	__u32 mode;
	__u64 interval;
	__u32 python_frames;
	__u32 native_frames;
	__u64 used;
	__u64 time;
	__u64 nr_unknown;
	__u32 pid;
	__u32 reserved;
};

/**
 * struct pymalloc_object_record - a file that is mapped to be executed
 * @record: of kind PYMALLOC_RECORD_OBJECT
 * @start: address where it begins
 * @end: address behind its end
 * @bias: what has been added to the addresses in the file
 * @build_id_bytes: bytes of its build ID; 0 if it has none
 * @path_bytes: bytes of its path, the NUL included
 * @data: the build ID, then the path
 */
struct pymalloc_object_record {
	struct pymalloc_record record;
	__u64 start;
	__u64 end;
	__u64 bias;
	__u32 build_id_bytes;
	__u32 path_bytes;
	char data[];
};

/**
 * struct pymalloc_code_record - a function in Python
 * @record: of kind PYMALLOC_RECORD_CODE
 * @first_line: the line where it begins
 * @file_bytes: bytes of the file's name, the NUL included
 * @name_bytes: bytes of the function's qualified name, the NUL included
 * @reserved: 0
 * @data: the two names, in UTF-8
 */
struct pymalloc_code_record {
	struct pymalloc_record record;
	__u32 first_line;
	__u32 file_bytes;
	__u32 name_bytes;
	__u32 reserved;
	char data[];
};

/**
 * struct pymalloc_thread_record - a thread
 * @record: of kind PYMALLOC_RECORD_THREAD
 * @tid: its number, in the PID namespace of its process
 * @reserved: 0
 * @name: its name when it allocated first, with a NUL
 */
struct pymalloc_thread_record {
	struct pymalloc_record record;
	__u32 tid;
	__u32 reserved;
	char name[16];
};

/**
 * struct pymalloc_frame - a frame of a stack
 * @where: the number of the code record, or of the object record; 0 if no object is known
 * @line: of a Python frame: the line; else 0
 * @address: of other frames: an address in the instruction that called; of a Python
 *	frame: 0
 */
struct pymalloc_frame {
	__u32 where;
	__u32 line;
	__u64 address;
};

/**
 * struct pymalloc_stack_record - a stack trace
 * @record: of kind PYMALLOC_RECORD_STACK
 * @frames: the innermost first.  If it has both kinds of frames, all Python frames come
 *	first, followed by the others: who shows them puts each Python frame in the place
 *	of a frame of the interpreter's loop (_PyEval_EvalFrameDefault)
 */
struct pymalloc_stack_record {
	struct pymalloc_record record;
	struct pymalloc_frame frames[];
};

/**
 * struct pymalloc_site_record - a site: a block's word has the number of such a record
 * @record: of kind PYMALLOC_RECORD_SITE
 * @stack: number of the stack's record
 * @thread: number of the record of the thread that allocated
 * @time: when, in nanoseconds since 1970: the block is not older than this, and not younger
 *	than this and a second, or 1/32 of the time since the trace began if that is more; but
 *	when the table is full, it may be younger
 * @count: blocks allocated there by this thread in that time; grows
 */
struct pymalloc_site_record {
	struct pymalloc_record record;
	__u32 stack;
	__u32 thread;
	__u64 time;
	__u64 count;
};

#endif /* _PYMALLOC_SITES_H */
