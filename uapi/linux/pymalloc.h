/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The interface of the pymalloc kernel service.
 *
 * /dev/pymalloc makes, lists and opens heaps (PYMALLOC_IOC_INFO, _CREATE,
 * _LIST, _OPEN, _FORGET).  Each heap is a descriptor of its own: all other commands are
 * called on it, and it is what a program maps.
 *
 * Every argument struct starts with @argsz, the size of the struct in the header
 * that the caller was built with.  If the kernel's struct is longer, the rest
 * counts as zero; if it is shorter, the call fails with E2BIG unless the rest is
 * zero.  Unknown bits of @flags, and reserved fields that are not zero, are
 * EINVAL.  Pointers are passed as __u64.
 *
 * Results are fields of the struct, such as @done.  They are set by every call that gets
 * as far as its command, whether it succeeds or fails, unless the struct says otherwise.
 * These calls leave the struct as it was, so set @done to 0 before: EFAULT on the struct
 * itself, EINVAL and E2BIG for its @argsz, ESTALE, and EPERM of a process that may not
 * even look at the heap (a child of the heap's process that has become another user).
 *
 * A heap ends with its process.  If other processes have descriptors of it, every
 * command on these then fails with ESTALE, and poll() reports POLLHUP.  What is kept of a
 * dead heap has to be opened anew: see PYMALLOC_IOC_OPEN.
 *
 * A block is named by its ref, a 64-bit offset in the heap's window that is
 * the same wherever the window is mapped.  0 is no block.
 */
#ifndef _UAPI_LINUX_PYMALLOC_H
#define _UAPI_LINUX_PYMALLOC_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define PYMALLOC_ABI_VERSION	1

/* Geometry: the same on every machine with this version of the interface. */
#define PYMALLOC_POOL_SIZE	4096
#define PYMALLOC_ARENA_POOLS	64
#define PYMALLOC_ARENA_SIZE	(PYMALLOC_ARENA_POOLS * PYMALLOC_POOL_SIZE)
#define PYMALLOC_BLOCK_MIN	8
#define PYMALLOC_BLOCK_MAX	512
#define PYMALLOC_NR_CLASSES	64
/*
 * The largest object in bytes: 64 arenas, the reach of one page of the pool map.
 * Larger memory is better asked of mmap().
 */
#define PYMALLOC_SIZE_MAX	(64 * PYMALLOC_ARENA_SIZE)
/*
 * The most refs in one call.  It bounds what one call can do; larger batches would
 * save little, as the cost of a call is small beside that of so many objects.
 */
#define PYMALLOC_BATCH_MAX	65536
/* Bytes of a name, with the NUL at its end. */
#define PYMALLOC_NAME_LEN	32

/*
 * Offsets for mmap() on a heap's descriptor: the window starts at 0, the pool map
 * at PYMALLOC_POOL_MAP_OFFSET.  The pool map has one byte for each pool of the
 * window: the pool's size class (its block size divided by 8), or 0 for a pool
 * that holds no blocks.  It can only be mapped for reading.
 *
 * The smallest window has one arena, as the first arena's worth is never used.
 */
#define PYMALLOC_POOL_MAP_OFFSET	(1ULL << 42)
#define PYMALLOC_WINDOW_MIN		(2 * PYMALLOC_ARENA_SIZE)
#define PYMALLOC_WINDOW_MAX		(1ULL << 40)

/*
 * Behind them come the pages of caches (PYMALLOC_IOC_CACHE): first the header page of
 * each, by index, then the slot pages of each.  A page that is not there is SIGBUS.
 */
#define PYMALLOC_CACHES_MAX		4096
#define PYMALLOC_CACHE_PAGES		160
#define PYMALLOC_CACHES_OFFSET		(1ULL << 43)
#define PYMALLOC_SLOTS_OFFSET		(PYMALLOC_CACHES_OFFSET + \
					 PYMALLOC_CACHES_MAX * 4096ULL)

/*
 * Behind those come the pages of sites (PYMALLOC_IOC_SITES): first the table, then, from
 * PYMALLOC_WORDS_OFFSET on, a word of 32 bits for each address at which a block may begin.
 * A block's word is that of number ref / alignment of the heap; with PYMALLOC_TRACE_GROWTH,
 * all blocks of a pool have that of number ref / PYMALLOC_POOL_SIZE.  To PYMALLOC_SITES_READ, a
 * page that is not there reads as zeroes.  The process can access it in its mapping, once a
 * trace has been set or a page added (SIGBUS before): what is written there is lost, and what
 * is read there is anything that was.
 */
#define PYMALLOC_TABLE_MAX	(64ULL << 20)
#define PYMALLOC_SITES_OFFSET	(1ULL << 44)
#define PYMALLOC_WORDS_OFFSET	(PYMALLOC_SITES_OFFSET + (1ULL << 40))

/*
 * The first number of all commands.  No driver of Linux 6.12 has it
 * (Documentation/userspace-api/ioctl/ioctl-number.rst there), so that tools which
 * decode ioctls by number, as strace does, take none of these for another one.
 */
#define PYMALLOC_IOC_MAGIC	0xBF

/**
 * struct pymalloc_info - PYMALLOC_IOC_INFO: version, geometry and limits
 * @argsz: size of this struct
 * @abi_version: PYMALLOC_ABI_VERSION of the running module
 * @pool_size: bytes in a pool
 * @arena_size: bytes in an arena
 * @block_min: smallest block in bytes, and the step from a size class to the next
 * @block_max: largest block in bytes
 * @nr_classes: number of size classes
 * @batch_max: most refs in one call
 * @size_max: largest object in bytes
 * @window_default: window of a heap that asks for none, in bytes
 * @window_max: largest window in bytes
 * @limit_default: byte limit of a heap that asks for none; 0 is no limit
 * @user_bytes: bytes of pages and metadata of all heaps of the caller's user
 * @user_bytes_max: limit on @user_bytes; 0 is no limit
 * @user_heaps: heaps of the caller's user
 * @user_heaps_max: limit on @user_heaps; 0 is no limit
 * @version: the running module's version, for people, NUL-terminated
 * @user_meta_bytes: of @user_bytes, those of metadata
 * @heap_bytes_min: bytes of metadata of a heap that has no arena yet: a heap needs a
 *	higher limit
 * @user_dead: dead heaps of the caller's user that are kept.  They are not in @user_heaps
 * @user_dead_max: limit on @user_dead
 * @user_dead_bytes: their bytes, which are a part of @user_meta_bytes
 * @user_dead_bytes_max: limit on @user_dead_bytes
 */
struct pymalloc_info {
	__u32 argsz;
	__u32 abi_version;
	__u32 pool_size;
	__u32 arena_size;
	__u32 block_min;
	__u32 block_max;
	__u32 nr_classes;
	__u32 batch_max;
	__u64 size_max;
	__u64 window_default;
	__u64 window_max;
	__u64 limit_default;
	__u64 user_bytes;
	__u64 user_bytes_max;
	__u32 user_heaps;
	__u32 user_heaps_max;
	char version[PYMALLOC_NAME_LEN];
	__u64 user_meta_bytes;
	__u64 heap_bytes_min;
	__u32 user_dead;
	__u32 user_dead_max;
	__u64 user_dead_bytes;
	__u64 user_dead_bytes_max;
};

/* pymalloc_create.flags */
#define PYMALLOC_CREATE_NO_MESH	(1U << 0)	/* what is in a free block stays there */
#define PYMALLOC_CREATE_KEEP_DEAD	(1U << 1)	/* its figures stay when its process ends */
#define PYMALLOC_CREATE_SHARED		(1U << 2)	/* for all who have a descriptor of it */
/* Only in struct pymalloc_heap_info. */
#define PYMALLOC_KERNEL			(1U << 30)	/* it is a module's, not a process's */
#define PYMALLOC_SEALED			(1U << 31)	/* PYMALLOC_IOC_SEAL has sealed it */

/**
 * struct pymalloc_create - PYMALLOC_IOC_CREATE: make a heap
 * @argsz: size of this struct
 * @flags: PYMALLOC_CREATE_NO_MESH: pools never come to share pages, whatever the policy,
 *	and each pool hands out its blocks from the first one on.  PYMALLOC_CREATE_KEEP_DEAD:
 *	the heap is kept when it is dead, also if the module's parameter keep_dead is 0; not
 *	with PYMALLOC_CREATE_SHARED
 * @alignment: 8 or 16; 0 is 8.  A heap of 16 uses every second size class
 * @reserved: 0
 * @window: bytes of the window, a multiple of PYMALLOC_ARENA_SIZE from
 *	PYMALLOC_WINDOW_MIN to PYMALLOC_WINDOW_MAX; 0 is the default.  The
 *	first arena's worth of it is never used
 * @limit: most bytes of pages and metadata that the heap may hold; 0 is the default
 * @id: out: the heap's number, unique until the module is unloaded
 * @name: a name for people, NUL-terminated, of printable ASCII
 * @extent: bytes of the window, from its start on, in which objects may lie until
 *	PYMALLOC_IOC_GROW allows more; the same rules as for @window, and not more
 *	than that; 0 is all of the window
 *
 * The heap belongs to the calling address space: only it can allocate, free
 * and map; unless it is a shared one (see PYMALLOC_IOC_HOLDS).  Pages and metadata are
 * charged to the caller's memory cgroup, to the heap and to the user.  The sum of page_bytes
 * and meta_bytes of struct pymalloc_stats is never above @limit.
 *
 * Return: the heap's descriptor (close-on-exec); or -1 and EINVAL, EDQUOT (the
 * user has too many heaps, or too many bytes for one more), ENOMEM (no memory, or
 * @limit is below heap_bytes_min of struct pymalloc_info), EMFILE, ENFILE, EFAULT,
 * E2BIG.
 */
struct pymalloc_create {
	__u32 argsz;
	__u32 flags;
	__u32 alignment;
	__u32 reserved;
	__u64 window;
	__u64 limit;
	__u64 id;
	char name[PYMALLOC_NAME_LEN];
	__u64 extent;
};

/* pymalloc_open.flags */
#define PYMALLOC_OPEN_RDONLY	(1U << 0)	/* a read-only descriptor */
#define PYMALLOC_OPEN_MAPPED	(1U << 1)	/* @id is an address */

/**
 * struct pymalloc_open - PYMALLOC_IOC_OPEN: another descriptor of a heap
 * @argsz: size of this struct
 * @flags: PYMALLOC_OPEN_*
 * @id: the heap's number; with PYMALLOC_OPEN_MAPPED an address at which the
 *	caller has mapped the heap
 *
 * Allowed for the heap's own process, and for a process that may read the memory map
 * of that in /proc: one of the same user and group, unless the heap's process is not
 * dumpable, and one with CAP_SYS_PTRACE.  A process that has inherited a heap by
 * fork() does not know its own heap's number, but its addresses.  A shared heap can be opened by
 * every process of the user to whom it is charged, and with CAP_SYS_ADMIN.
 *
 * A dead heap that is kept (see PYMALLOC_LIST_DEAD) can be opened with
 * PYMALLOC_OPEN_RDONLY by those who could open it until its process ended.  The descriptor
 * does not keep it: when it is forgotten, all commands fail with ESTALE.  Those that change
 * a heap fail with EBADF, as on every read-only descriptor; it cannot be mapped (ENODEV);
 * poll() reports POLLHUP.
 *
 * Return: a descriptor (close-on-exec); or -1 and ENOENT (no such heap),
 * ESTALE (it is dead, and @flags has no PYMALLOC_OPEN_RDONLY), EPERM, EINVAL, EMFILE,
 * ENFILE, ENOMEM, EFAULT, E2BIG.
 */
struct pymalloc_open {
	__u32 argsz;
	__u32 flags;
	__u64 id;
};

/* pymalloc_heap_info.death */
#define PYMALLOC_DIED_UNKNOWN	0	/* it lives, or nobody saw how its process ended */
#define PYMALLOC_DIED_EXIT	1	/* the process exited: death_code is its status */
#define PYMALLOC_DIED_SIGNAL	2	/* a signal killed it: death_code is its number */

/**
 * struct pymalloc_heap_info - one heap, as PYMALLOC_IOC_LIST reports it
 * @id: its number
 * @window: bytes of its window
 * @limit: most bytes of pages and metadata; 0 is no limit
 * @page_bytes: bytes of pages that it has, those of empty pools included
 * @used_bytes: bytes of blocks and large objects that are allocated
 * @alignment: 8 or 16
 * @flags: as given when it was made, PYMALLOC_KERNEL and PYMALLOC_SEALED
 * @uid: its user, in the caller's user namespace
 * @pid: its process, in the caller's PID namespace; 0 if it is not visible there
 * @comm: the command of the process that made it, at that time
 * @name: the heap's name
 * @shared_bytes: of @page_bytes, those of pages that other heaps have as well: fork()
 *	has made those heaps of this one, or this one of them.  Pages that pools of this heap
 *	alone share, by meshing, are not among them
 * @pss_bytes: @page_bytes, but a page that n heaps have counts for one n-th
 *	(Linux' proportional set size): the sum over all heaps is what they hold
 * @meta_bytes: bytes of metadata
 * @died: when it died: seconds since 1970; 0 is a living heap
 * @death: PYMALLOC_DIED_*
 * @death_code: see there
 */
struct pymalloc_heap_info {
	__u64 id;
	__u64 window;
	__u64 limit;
	__u64 page_bytes;
	__u64 used_bytes;
	__u32 alignment;
	__u32 flags;
	__u32 uid;
	__s32 pid;
	char comm[16];
	char name[PYMALLOC_NAME_LEN];
	__u64 shared_bytes;
	__u64 pss_bytes;
	__u64 meta_bytes;
	__u64 died;
	__u32 death;
	__u32 death_code;
};

/* pymalloc_list.flags */
#define PYMALLOC_LIST_DEAD	(1U << 0)	/* the dead instead of the living */

/**
 * struct pymalloc_list - PYMALLOC_IOC_LIST: the heaps of the caller's user; with
 *	CAP_SYS_ADMIN all
 * @argsz: size of this struct
 * @flags: PYMALLOC_LIST_DEAD: heaps whose process has ended, and that are kept; else 0
 * @heaps: pointer to an array of struct pymalloc_heap_info
 * @after: list heaps whose number is larger than this
 * @count: entries the array has room for, at most PYMALLOC_BATCH_MAX
 * @done: out: entries written; fewer than @count: there are no more heaps
 * @entry_size: bytes of struct pymalloc_heap_info in the caller's header
 * @reserved: 0
 *
 * On a heap's own descriptor PYMALLOC_IOC_LIST describes that one heap; @flags is 0 there.
 *
 * A heap that ends with its process, and not earlier, is dead: its pages go.  If the module's
 * parameter keep_dead, or PYMALLOC_CREATE_KEEP_DEAD, says so, all that the kernel knows of
 * its blocks stays, until newer ones of the same user push it out, its user is at a limit,
 * memory is short, or PYMALLOC_IOC_FORGET.  What its threads had in magazines is free then.
 * A process that executes another program leaves no dead heap.
 *
 * Return: 0; or -1 and EINVAL, EFAULT, E2BIG, ENOMEM, EINTR (the caller is being
 * killed).
 */
struct pymalloc_list {
	__u32 argsz;
	__u32 flags;
	__u64 heaps;
	__u64 after;
	__u32 count;
	__u32 done;
	__u32 entry_size;
	__u32 reserved;
};

/* pymalloc_forget.flags */
#define PYMALLOC_FORGET_ALL	(1U << 0)	/* all dead heaps of the caller's user */

/**
 * struct pymalloc_forget - PYMALLOC_IOC_FORGET: give back what is kept of dead heaps
 * @argsz: size of this struct
 * @flags: PYMALLOC_FORGET_ALL or 0
 * @id: the heap's number; with PYMALLOC_FORGET_ALL, 0
 * @done: out: how many were forgotten
 *
 * Allowed for the user that the heap is charged to, and with CAP_SYS_ADMIN.
 *
 * Return: 0; or -1 and ENOENT (no such dead heap), EPERM, EINTR (the caller is being
 * killed), EINVAL, EFAULT, E2BIG.
 */
struct pymalloc_forget {
	__u32 argsz;
	__u32 flags;
	__u64 id;
	__u64 done;
};

/* pymalloc_alloc.flags */
#define PYMALLOC_ALLOC_ZERO	(1U << 0)	/* the objects read as zero */
/* Bit 1 is PYMALLOC_BATCH_USABLE. */
/*
 * Their pages stay theirs: they are never meshed.  For objects of which something else knows
 * the physical page for long, as with registered buffers of io_uring or with RDMA.  They are
 * freed like all others.
 */
#define PYMALLOC_ALLOC_PINNED	(1U << 2)
/*
 * The upper eight bits are the number of a type with pools of its own (PYMALLOC_IOC_TYPES), whose
 * objects these are to be: @size is that of the type then.  0 is none.
 */
#define PYMALLOC_ALLOC_TYPE_SHIFT	24
#define PYMALLOC_ALLOC_TYPE_MASK	(0xFFU << PYMALLOC_ALLOC_TYPE_SHIFT)

/**
 * struct pymalloc_alloc - PYMALLOC_IOC_ALLOC: allocate a batch of one size
 * @argsz: size of this struct
 * @flags: PYMALLOC_ALLOC_*
 * @size: bytes of each object, 1 to PYMALLOC_SIZE_MAX; up to
 *	PYMALLOC_BLOCK_MAX they are blocks, above that runs of whole pages
 * @refs: pointer to an array of __u64: the refs
 * @count: how many, 1 to PYMALLOC_BATCH_MAX
 * @done: out: how many were allocated; also valid after an error, as said above
 *
 * Return: 0 if all were allocated; else -1 and the reason, with @done objects
 * allocated and their refs stored: ENOMEM (the heap's limit,
 * the memory cgroup's, or no memory), ENOSPC (the heap's extent is used up:
 * PYMALLOC_IOC_GROW gives more), EDQUOT (the user's limit), EINTR (a
 * signal came; some of the batch was done before), EFAULT (@refs is not
 * writable from entry @done on), EINVAL (size, or type), E2BIG (count), EPERM (not the
 * heap's process), EBADF (read-only descriptor).
 */
struct pymalloc_alloc {
	__u32 argsz;
	__u32 flags;
	__u64 size;
	__u64 refs;
	__u32 count;
	__u32 done;
};

/**
 * enum pymalloc_ref_status - what PYMALLOC_IOC_FREE found at a ref
 * @PYMALLOC_REF_OK: an allocated object; it was freed
 * @PYMALLOC_REF_RANGE: 0, or outside the window
 * @PYMALLOC_REF_FOREIGN: no pool of blocks and no large object is there
 * @PYMALLOC_REF_MISALIGNED: not at the start of a block or of a large object
 * @PYMALLOC_REF_UNTOUCHED: a block that was never handed out
 * @PYMALLOC_REF_FREE: a block that is free already: a double free
 * @PYMALLOC_REF_SEALED: the heap is sealed.  A call that begins then fails with EPERM; this is
 *	for one that has begun before, and for the library
 * @PYMALLOC_REF_NOT_HELD: a block of a shared heap that the caller does not hold
 * @PYMALLOC_REF_STALE: a block of a shared heap that has been freed and allocated anew
 */
enum pymalloc_ref_status {
	PYMALLOC_REF_OK,
	PYMALLOC_REF_RANGE,
	PYMALLOC_REF_FOREIGN,
	PYMALLOC_REF_MISALIGNED,
	PYMALLOC_REF_UNTOUCHED,
	PYMALLOC_REF_FREE,
	PYMALLOC_REF_SEALED,
	PYMALLOC_REF_NOT_HELD,
	PYMALLOC_REF_STALE,
};

/**
 * struct pymalloc_free - PYMALLOC_IOC_FREE: free a batch, of any mix of sizes
 * @argsz: size of this struct
 * @flags: 0
 * @refs: pointer to an array of __u64
 * @status: pointer to an array of __u8 that gets one enum pymalloc_ref_status
 *	for each ref; 0 for none
 * @count: how many, 1 to PYMALLOC_BATCH_MAX
 * @done: out: how many refs were looked at, from the first on
 * @nr_bad: out: how many of those named no allocated object
 * @first_bad: out: index of the first such ref; @count if there is none
 *
 * A bad ref does not stop the batch: all others are freed.
 *
 * Return: 0 if all were freed; else -1 and EBADSLT (all were looked at,
 * @nr_bad of them were bad), EINTR (a signal came after @done refs), EFAULT
 * (@refs is not readable from entry @done on; or @status is not writable: then
 * @done includes refs whose status was not stored), EINVAL, E2BIG (count),
 * EPERM (not the heap's process), EBADF (read-only descriptor).
 */
struct pymalloc_free {
	__u32 argsz;
	__u32 flags;
	__u64 refs;
	__u64 status;
	__u32 count;
	__u32 done;
	__u32 nr_bad;
	__u32 first_bad;
};

/* pymalloc_batch_head.flags, for read(), beside PYMALLOC_ALLOC_* */
#define PYMALLOC_BATCH_USABLE	(1U << 1)	/* sizes of what is there already */

/**
 * struct pymalloc_batch_head - the first word of what read() and write() pass
 * @size: bytes of each object that read() is to allocate; else 0
 * @flags: for read() PYMALLOC_ALLOC_* or PYMALLOC_BATCH_USABLE; for write() 0
 *
 * A process in a sandbox, a seccomp filter above all, may have no ioctl(), but it
 * has read() and write().  On a heap's descriptor these move batches: the buffer
 * holds this head and, behind it, 1 to PYMALLOC_BATCH_MAX words of 8 bytes, refs or
 * sizes.  There is no file position: lseek(), pread() and pwrite() fail with ESPIPE,
 * and O_NONBLOCK changes nothing.
 *
 * read() allocates: as PYMALLOC_IOC_ALLOC of @size and @flags, with the refs
 * stored behind the head.  With PYMALLOC_BATCH_USABLE it changes nothing but the
 * words: each ref is replaced by the usable size of what it names, as with
 * PYMALLOC_IOC_USABLE.  The head is not written: a program that finds it changed has
 * read from another file.
 *
 * write() frees, in order, as PYMALLOC_IOC_FREE, but stops before the first bad
 * ref.  If that is the first ref of the call, the error says what is there: ERANGE
 * (PYMALLOC_REF_RANGE), ENXIO (PYMALLOC_REF_FOREIGN), EBADSLT
 * (PYMALLOC_REF_MISALIGNED), ENODATA (PYMALLOC_REF_UNTOUCHED), EALREADY
 * (PYMALLOC_REF_FREE).  So the next write(), which begins with that ref, gets it.
 *
 * Return: bytes, of the head and of all words that are done.  If that is less
 * than was asked for, a call for the rest returns the reason, unless that has
 * passed: a signal is over, memory may be free again.  If no word was
 * done: -1 and EINVAL (less than a head and a word, no multiple of 8 bytes, size or
 * flags), E2BIG (too many words), EFAULT, EPERM (not the heap's process), EBADF
 * (read-only descriptor), neither of them for PYMALLOC_BATCH_USABLE; ESTALE (the heap
 * has ended), ENOMEM, EDQUOT, EINTR, or one of the above.
 */
struct pymalloc_batch_head {
	__u32 size;
	__u32 flags;
};

/**
 * struct pymalloc_usable - PYMALLOC_IOC_USABLE: bytes usable at each ref
 * @argsz: size of this struct
 * @flags: 0
 * @refs: pointer to an array of __u64
 * @sizes: pointer to an array of __u64 that gets the usable size of each, in
 *	bytes; 0 for a ref that names no allocated object
 * @count: how many, 1 to PYMALLOC_BATCH_MAX
 * @done: out: how many were looked at
 *
 * Return: 0; or -1 and EINTR, EFAULT, EINVAL, E2BIG (count).
 */
struct pymalloc_usable {
	__u32 argsz;
	__u32 flags;
	__u64 refs;
	__u64 sizes;
	__u32 count;
	__u32 done;
};

/**
 * struct pymalloc_resize - PYMALLOC_IOC_RESIZE: give an object another size
 * @argsz: size of this struct
 * @flags: 0
 * @ref: in: the object; out: where it is now
 * @size: its new size in bytes, 1 to PYMALLOC_SIZE_MAX
 *
 * A block that shrinks stays where it is, unless a move saves a quarter of it or more
 * (CPython's rule).  A run that stays a run gives back the pages at its end.  An object
 * that moves keeps its bytes, up to the smaller size.
 *
 * Return: 0; or -1, and the object is as it was: EBADSLT (@ref names no
 * allocated object), EHWPOISON (it has to move, and a page of it has a memory
 * error), ENOMEM, ENOSPC, EDQUOT (as PYMALLOC_IOC_ALLOC), EINTR (the
 * caller is being killed), EINVAL, EPERM, EBADF, EFAULT, E2BIG.
 */
struct pymalloc_resize {
	__u32 argsz;
	__u32 flags;
	__u64 ref;
	__u64 size;
};

/**
 * struct pymalloc_class_stats - one size class of a heap
 * @size: bytes of a block
 * @reserved: 0
 * @pools_used: pools with some blocks allocated, but not all; and pools that share a page,
 *	as described below
 * @pools_full: pools with all blocks allocated, or whose page has a memory error
 * @blocks: blocks allocated
 * @blocks_free: blocks that were handed out and given back
 * @blocks_untouched: blocks never handed out since their pool got its class
 * @nr_allocs: allocations so far
 * @nr_frees: frees so far
 *
 * Of pools that share a page, one stands for the page: it is full if the page is, else used,
 * and its free blocks are those of the page.  The others are always used, and have none.
 * This holds for a while also when the last block of a pool, or of the page, has been freed:
 * such a pool shares the page until it is taken out of the mappings.  That happens when 64
 * pools of the class have come to this, and when the heap gives back pages of empty pools
 * (PYMALLOC_IOC_TRIM, PYMALLOC_COMPACT_STOCK, decay, a limit).
 */
struct pymalloc_class_stats {
	__u32 size;
	__u32 reserved;
	__u64 pools_used;
	__u64 pools_full;
	__u64 blocks;
	__u64 blocks_free;
	__u64 blocks_untouched;
	__u64 nr_allocs;
	__u64 nr_frees;
};

/**
 * struct pymalloc_stats - PYMALLOC_IOC_STATS: a heap's figures
 * @argsz: size of this struct
 * @flags: 0
 * @limit: most bytes of @page_bytes and @meta_bytes together; 0 is no limit
 * @threshold: bytes of pages from which poll() reports; 0 is never
 * @page_bytes: bytes of pages held: @pools_used, @pools_full, @pools_empty and
 *	@run_pages without @pools_meshed, each of 4096 bytes
 * @page_bytes_peak: the most that @page_bytes has been
 * @meta_bytes: bytes of kernel memory that describe the heap, with what the kernel's
 *	allocators round up: see Documentation/limits.rst
 * @arenas: arenas that hold pools
 * @run_arenas: arenas that hold large objects (runs)
 * @pools_used: pools with some blocks allocated, but not all; and, for a while, pools that
 *	share a page and have lost their last block: see struct pymalloc_class_stats
 * @pools_full: pools with all blocks allocated, or whose page has a memory error
 * @pools_empty: pools with no block allocated that keep their page for reuse
 * @blocks: blocks allocated
 * @block_bytes: bytes of those, each counted as its class's size
 * @runs: large objects
 * @run_pages: pages of those
 * @nr_allocs: objects allocated so far
 * @nr_frees: objects freed so far
 * @nr_bad_refs: refs refused so far
 * @nr_pages_in: pages taken from the system so far
 * @nr_pages_out: pages given back to the system so far
 * @classes: in: pointer to an array of struct pymalloc_class_stats, or 0
 * @nr_classes: in: entries it has room for; out: entries written, one for
 *	each size class of the heap, the smallest first
 * @class_size: in: bytes of struct pymalloc_class_stats in the caller's header
 * @cache_threads: threads with magazines, as PYMALLOC_IOC_CACHES said
 * @cache_bytes_max: most bytes of blocks in the magazines of each of them
 * @shared_bytes: as in struct pymalloc_heap_info
 * @pss_bytes: as there
 * @pools_meshed: pools of @pools_used that have no page of their own:
 *	their blocks, if they still have any, lie in the page of another pool
 * @nr_meshed: of @nr_pages_out, pages that meshing has freed
 * @nr_stolen: blocks taken from magazines so far, for PYMALLOC_IOC_COMPACT, for
 *	PYMALLOC_CACHE_STEAL and by the heap itself
 * @nr_decayed: of @nr_pages_out, pages of pools that were empty for some time
 * @nr_shrunk: of @nr_pages_out, pages given back because the machine was short of memory
 *
 * Each class is counted at one moment, and the totals are the sums over the classes.
 * The heap of a child of fork() begins with its parent's counts.
 *
 * Return: 0; or -1 and EINVAL, EFAULT, E2BIG, EINTR (the caller is being killed),
 * ESTALE (the heap has ended meanwhile).
 */
struct pymalloc_stats {
	__u32 argsz;
	__u32 flags;
	__u64 limit;
	__u64 threshold;
	__u64 page_bytes;
	__u64 page_bytes_peak;
	__u64 meta_bytes;
	__u64 arenas;
	__u64 run_arenas;
	__u64 pools_used;
	__u64 pools_full;
	__u64 pools_empty;
	__u64 blocks;
	__u64 block_bytes;
	__u64 runs;
	__u64 run_pages;
	__u64 nr_allocs;
	__u64 nr_frees;
	__u64 nr_bad_refs;
	__u64 nr_pages_in;
	__u64 nr_pages_out;
	__u64 classes;
	__u32 nr_classes;
	__u32 class_size;
	__u64 cache_threads;
	__u64 cache_bytes_max;
	__u64 shared_bytes;
	__u64 pss_bytes;
	__u64 pools_meshed;
	__u64 nr_meshed;
	__u64 nr_stolen;
	__u64 nr_decayed;
	__u64 nr_shrunk;
};

/**
 * enum pymalloc_state - the state of a pool or a block
 * @PYMALLOC_POOL_NONE: a pool without a page
 * @PYMALLOC_POOL_EMPTY: no block allocated; its page is kept for reuse
 * @PYMALLOC_POOL_USED: some blocks allocated; or it shares its page (see
 *	PYMALLOC_POOL_MESHED) and may have none
 * @PYMALLOC_POOL_FULL: all blocks of the page allocated, in all pools that share it
 * @PYMALLOC_POOL_RUN: the first page of a large object (a run)
 * @PYMALLOC_POOL_TAIL: a further page of a large object
 * @PYMALLOC_BLOCK_UNTOUCHED: never handed out since the pool got its class
 * @PYMALLOC_BLOCK_FREE: handed out and given back
 * @PYMALLOC_BLOCK_ALLOCATED: handed out
 */
enum pymalloc_state {
	PYMALLOC_POOL_NONE,
	PYMALLOC_POOL_EMPTY,
	PYMALLOC_POOL_USED,
	PYMALLOC_POOL_FULL,
	PYMALLOC_POOL_RUN,
	PYMALLOC_POOL_TAIL,
	PYMALLOC_BLOCK_UNTOUCHED = 16,
	PYMALLOC_BLOCK_FREE,
	PYMALLOC_BLOCK_ALLOCATED,
};

/**
 * enum pymalloc_arena_kind - what an arena holds
 * @PYMALLOC_ARENA_OBJECT: pools of blocks.  In this name, objects are small ones only
 * @PYMALLOC_ARENA_RUNS: large objects, which are runs of pages
 */
enum pymalloc_arena_kind {
	PYMALLOC_ARENA_OBJECT = 1,
	PYMALLOC_ARENA_RUNS,
};

/**
 * struct pymalloc_arena_info - one arena, as PYMALLOC_WALK_ARENAS reports it
 * @offset: where it starts in the window
 * @kind: enum pymalloc_arena_kind
 * @pools_none: pools, or places of large objects' pages, without a page
 * @pools_empty: pools with a page and no block allocated
 * @pools_used: pools with some blocks allocated, or of state PYMALLOC_POOL_USED without
 * @pools_full: pools with all blocks allocated; pages of runs
 * @blocks: blocks allocated; runs that start here
 */
struct pymalloc_arena_info {
	__u64 offset;
	__u32 kind;
	__u32 pools_none;
	__u32 pools_empty;
	__u32 pools_used;
	__u32 pools_full;
	__u32 blocks;
};

/* pymalloc_pool_info.flags */
#define PYMALLOC_POOL_MESHED	(1U << 0)	/* its page is that of other pools, too */

/**
 * struct pymalloc_pool_info - one pool, as PYMALLOC_WALK_POOLS reports it
 * @offset: where it starts in the window
 * @state: PYMALLOC_POOL_NONE to PYMALLOC_POOL_TAIL, of enum pymalloc_state
 * @size: bytes of a block; of a run: its bytes; else 0
 * @allocated: blocks allocated
 * @free: blocks handed out and given back.  Of pools that share a page, one has the free
 *	blocks of the page, the others have 0
 * @untouched: blocks never handed out
 * @flags: PYMALLOC_POOL_MESHED, or 0
 */
struct pymalloc_pool_info {
	__u64 offset;
	__u32 state;
	__u32 size;
	__u32 allocated;
	__u32 free;
	__u32 untouched;
	__u32 flags;
};

/**
 * struct pymalloc_block_info - one block, as PYMALLOC_WALK_BLOCKS reports it
 * @ref: its ref
 * @size: its bytes; a large object's are those of its run
 * @state: PYMALLOC_BLOCK_*; a large object's is PYMALLOC_BLOCK_ALLOCATED
 */
struct pymalloc_block_info {
	__u64 ref;
	__u32 size;
	__u32 state;
};

/* pymalloc_site_info.flags */
#define PYMALLOC_SITE_CACHED	(1U << 0)	/* it lies in a magazine */

/* The word of a block that has come to a magazine, and has not been handed out since. */
#define PYMALLOC_WORD_CACHED	0xffffffffU

/* pymalloc_site_info.idle if it is not known */
#define PYMALLOC_NO_IDLE	0xffffffffU

/**
 * struct pymalloc_site_info - an allocated block, as PYMALLOC_WALK_SITES reports it
 * @ref: its ref
 * @size: its bytes; a large object's are those of its run
 * @site: its word, or its pool's: what the heap's library calls its site; 0 without a page
 *	of words
 * @flags: PYMALLOC_SITE_CACHED if that is PYMALLOC_WORD_CACHED, or if the block begins
 *	with the @mark of struct pymalloc_trace; or 0
 * @idle: for how many seconds, at least, the page that it lies in has not been touched
 *	through the window; of a large object's pages, the least.  0 if one has been touched
 *	since the last look at it; PYMALLOC_NO_IDLE if nobody looks (PYMALLOC_TRACE_IDLE), or
 *	there was no room to note it, or the heap is dead
 */
struct pymalloc_site_info {
	__u64 ref;
	__u32 size;
	__u32 site;
	__u32 flags;
	__u32 idle;
};

/* pymalloc_walk.what */
#define PYMALLOC_WALK_ARENAS	1	/* struct pymalloc_arena_info */
#define PYMALLOC_WALK_POOLS	2	/* struct pymalloc_pool_info */
#define PYMALLOC_WALK_BLOCKS	3	/* struct pymalloc_block_info */
#define PYMALLOC_WALK_SITES	4	/* struct pymalloc_site_info */

/**
 * struct pymalloc_walk - PYMALLOC_IOC_WALK: the heap, piece by piece
 * @argsz: size of this struct
 * @what: PYMALLOC_WALK_*
 * @start: offset in the window from which to look; 0 is the beginning
 * @end: offset before which to stop; 0 is the end of the window
 * @next: out: @start of the next call; 0 when nothing is left
 * @entries: pointer to an array of the struct that @what names
 * @count: entries the array has room for, 1 to PYMALLOC_BATCH_MAX
 * @done: out: entries written
 * @entry_size: bytes of that struct in the caller's header
 * @reserved: 0
 *
 * Every pool is reported as it was at one moment; the heap may change between two
 * of them.  Arenas that do not exist are left out.
 *
 * Return: 0; or -1 and EINTR, EFAULT, EINVAL, E2BIG, ENOMEM, ESTALE (the heap has
 * ended meanwhile).
 */
struct pymalloc_walk {
	__u32 argsz;
	__u32 what;
	__u64 start;
	__u64 end;
	__u64 next;
	__u64 entries;
	__u32 count;
	__u32 done;
	__u32 entry_size;
	__u32 reserved;
};

/**
 * struct pymalloc_trim - PYMALLOC_IOC_TRIM: give empty pools back
 * @argsz: size of this struct
 * @flags: 0
 * @released: out: bytes of pages that were given back to the system
 *
 * Return: 0; or -1 and EBADF (read-only descriptor), EINTR, EINVAL, EFAULT,
 * E2BIG.
 */
struct pymalloc_trim {
	__u32 argsz;
	__u32 flags;
	__u64 released;
};

/* pymalloc_compact.flags */
#define PYMALLOC_COMPACT_STOCK	(1U << 0)	/* empty pools, as PYMALLOC_IOC_TRIM */
#define PYMALLOC_COMPACT_CACHES	(1U << 1)	/* what threads keep in magazines */
#define PYMALLOC_COMPACT_MESH	(1U << 2)	/* let sparse pools share pages */

/**
 * struct pymalloc_compact - PYMALLOC_IOC_COMPACT: give back all that can be
 * @argsz: size of this struct
 * @flags: PYMALLOC_COMPACT_*: what is to be done; 0 is all of it
 * @pages_freed: out: pages that were given back to the system
 * @frames_joined: out: pages that have taken in the blocks of other pages
 * @bytes_copied: out: bytes of these blocks
 * @pages_pinned: out: pages that were left alone, because something else used them.
 *	Pools of PYMALLOC_ALLOC_PINNED are not looked at, and not counted here
 * @blocks_taken: out: blocks that were taken from magazines
 *
 * No block changes its ref or its address, and the heap can be used meanwhile.  A heap's
 * policy (PYMALLOC_IOC_POLICY) does not matter here.
 *
 * If it fails, what was done before counts: the figures are right.
 *
 * Return: 0; or -1 and EBADF (read-only descriptor), EINTR (the caller is being killed),
 * EINVAL, EFAULT, E2BIG.
 */
struct pymalloc_compact {
	__u32 argsz;
	__u32 flags;
	__u64 pages_freed;
	__u64 frames_joined;
	__u64 bytes_copied;
	__u64 pages_pinned;
	__u64 blocks_taken;
};

/* pymalloc_policy.flags */
#define PYMALLOC_POLICY_SET	(1U << 0)	/* the heap gets this policy */
#define PYMALLOC_POLICY_RESET	(1U << 1)	/* the heap has no policy of its own any more */

/* pymalloc_policy.off: what the heap does not do by itself */
#define PYMALLOC_POLICY_NO_DECAY	(1U << 0)	/* give back empty pools */
#define PYMALLOC_POLICY_NO_STEAL	(1U << 1)	/* take from magazines */
#define PYMALLOC_POLICY_NO_MESH		(1U << 2)	/* let pools share pages */

#define PYMALLOC_DECAY_MS_MIN	10
#define PYMALLOC_DECAY_MS_MAX	86400000

/**
 * struct pymalloc_policy - PYMALLOC_IOC_POLICY: how a heap gives memory back by itself
 * @argsz: size of this struct
 * @flags: PYMALLOC_POLICY_SET, PYMALLOC_POLICY_RESET, or 0 to ask only
 * @decay_ms: milliseconds between two looks at the heap, from PYMALLOC_DECAY_MS_MIN to
 *	PYMALLOC_DECAY_MS_MAX: what was not used from one to the next is given back.  With
 *	PYMALLOC_POLICY_SET, 0 is what the module's parameter says
 * @off: PYMALLOC_POLICY_NO_*
 * @keep_bytes: bytes of empty pools that it keeps for the next objects, rounded down to
 *	whole pages.  0 keeps none: here it does not stand for the parameter
 *
 * These three are read with PYMALLOC_POLICY_SET only.  A call that succeeds sets them to
 * what is in force, which does not say whether the heap has a policy of its own; one that
 * fails leaves them as they are.  A heap without a policy follows the module's parameters.
 * The heap of a child of fork() begins with its parent's policy.
 *
 * What @off names is not done either when the machine is short of memory, or when the heap
 * has met a limit.  Only empty pools are always given back then.
 *
 * Everybody who has a descriptor may ask.  To set or to reset the policy, the descriptor
 * must not be read-only.
 *
 * Return: 0; or -1 and EBADF (read-only descriptor), EINVAL (both flags, or a value that
 * is out of range), EFAULT, E2BIG.
 */
struct pymalloc_policy {
	__u32 argsz;
	__u32 flags;
	__u32 decay_ms;
	__u32 off;
	__u64 keep_bytes;
};

/**
 * struct pymalloc_check - PYMALLOC_IOC_CHECK: prove that the heap is sound
 * @argsz: size of this struct
 * @flags: 0
 * @errors: out: contradictions found; 0 is a sound heap
 * @offset: out: where in the window the first one is, or 0 if it has no place
 * @message: out: the first one in words, NUL-terminated
 *
 * What is proved depends on the descriptor.
 *
 * With one that is not read-only, the whole heap at one moment: each pool, each arena,
 * all lists, and every sum must be exact.  Calls that change the heap, and fork() in
 * its process, wait meanwhile.
 *
 * With a read-only one, a heap that is being used meanwhile:
 *
 * - Each pool of blocks is proved at a moment of its own, and so are each arena with
 *   its large objects, masks and places in lists, and the numbers of each 64 arenas.
 *   Whether lists are whole is not proved.
 * - Sums (each size class's blocks, the heap's pages, its large objects) are counted
 *   arena by arena.  Each must lie between two bounds: the sum at the beginning minus
 *   all that has gone since, and plus all that has come since.  If nothing has come or
 *   gone, it must be exact.
 * - No call waits for longer than it takes to look at one arena.
 *
 * Return: 0 (look at @errors); or -1 and EINVAL, EFAULT, E2BIG, ENOMEM, EINTR (the
 * caller is being killed), ESTALE (the heap has ended meanwhile).
 */
struct pymalloc_check {
	__u32 argsz;
	__u32 flags;
	__u64 errors;
	__u64 offset;
	char message[80];
};

/**
 * struct pymalloc_notify - PYMALLOC_IOC_NOTIFY: have poll() report a large heap
 * @argsz: size of this struct
 * @flags: 0
 * @threshold: bytes of pages; 0 ends the reports
 *
 * While the heap holds at least @threshold bytes of pages, poll() on its
 * descriptors reports POLLPRI.  The heap of a child of fork() begins with 0.
 *
 * Return: 0; or -1 and EBADF (read-only descriptor), EPERM (not the heap's
 * process), EINVAL, EFAULT, E2BIG.
 */
struct pymalloc_notify {
	__u32 argsz;
	__u32 flags;
	__u64 threshold;
};

/**
 * struct pymalloc_caches - PYMALLOC_IOC_CACHES: what threads keep in magazines
 * @argsz: size of this struct
 * @flags: 0
 * @threads: threads with magazines: they keep blocks for their next allocations
 * @bytes_max: most bytes of blocks in the magazines of each of them
 *
 * The kernel counts such blocks as allocated.  With this call the heap's library
 * reports how many there may be, to be shown with the heap; nothing depends on it.
 * The heap of a child of fork() begins with 0.
 *
 * Return: 0; or -1 and EBADF (read-only descriptor), EPERM (not the heap's
 * process), ENOMEM, EDQUOT (as PYMALLOC_IOC_ALLOC), EINVAL, EFAULT, E2BIG.
 */
struct pymalloc_caches {
	__u32 argsz;
	__u32 flags;
	__u64 threads;
	__u64 bytes_max;
};

/**
 * struct pymalloc_end - PYMALLOC_IOC_END: end the heap
 * @argsz: size of this struct
 * @flags: 0
 *
 * From now on no descriptor finds the heap, and none keeps it: its memory is given
 * back when its process has unmapped it.  This is for a process that needs a heap no
 * longer while other processes, a child of fork() for example, have descriptors of it.
 *
 * Return: 0; or -1 and EBADF (read-only descriptor), EPERM (not the heap's
 * process), EINVAL, EFAULT, E2BIG.
 */
struct pymalloc_end {
	__u32 argsz;
	__u32 flags;
};

/* pymalloc_seal.flags, of a descriptor of a shared heap */
#define PYMALLOC_SEAL_READER	(1U << 0)	/* it can read and hold, but not change */
#define PYMALLOC_SEAL_OBSERVER	(1U << 1)	/* it can only look at figures */

/**
 * struct pymalloc_seal - PYMALLOC_IOC_SEAL: make the heap one for reading only, for good
 * @argsz: size of this struct
 * @flags: 0; of a shared heap PYMALLOC_SEAL_*
 *
 * Of a shared heap it is the descriptor that is sealed, with all of its copies (dup(), fork(),
 * SCM_RIGHTS), and what it can do only becomes less.  A reader can map the window for reading,
 * hold and drop blocks, receive them and look names up; an observer can do nothing of that.
 * Mappings that are there stay as they are.  A read-only descriptor (PYMALLOC_OPEN_RDONLY) is a
 * reader.
 *
 * Of any other heap: from then on a write to one of its pages is a SIGSEGV, whatever mprotect()
 * has said, and nothing in it is allocated, freed, resized, grown or ended any more:
 * PYMALLOC_IOC_ALLOC, FREE, RESIZE, GROW and END, read() and write() fail with EPERM.  Its memory
 * goes back when its process has unmapped it and closed its descriptors, or ends.  Children of
 * fork() have it sealed, too, and share all of its pages, none of which is ever copied.
 *
 * Blocks in magazines stay allocated: flush them before.
 *
 * Return: 0, also if it is sealed already; or -1 and EBUSY (something has a reference to one of
 * its pages, with which it could write there: direct I/O or a pipe, for example; try again),
 * EBADF (read-only descriptor), EPERM (not the heap's process), EINTR (the caller is being
 * killed), EINVAL, EFAULT, E2BIG.
 */
struct pymalloc_seal {
	__u32 argsz;
	__u32 flags;
};

/**
 * struct pymalloc_grow - PYMALLOC_IOC_GROW: let objects lie in more of the window
 * @argsz: size of this struct
 * @flags: 0
 * @extent: bytes of the window, from its start on, in which objects may lie: a
 *	multiple of PYMALLOC_ARENA_SIZE, and not less than it is now
 *
 * For a program that maps only a part of the window first, and more when that is used
 * up.  The heap of a child of fork() begins with its parent's extent.
 *
 * Return: 0; or -1 and EBADF (read-only descriptor), EPERM (not the heap's
 * process), EINVAL, EFAULT, E2BIG.
 */
struct pymalloc_grow {
	__u32 argsz;
	__u32 flags;
	__u64 extent;
};

/* Bad refs that the header of a cache has room for. */
#define PYMALLOC_CACHE_BAD	8

/**
 * struct pymalloc_bad_ref - a bad ref that the kernel has found in a cache
 * @ref: the ref
 * @status: enum pymalloc_ref_status
 * @reserved: 0
 */
struct pymalloc_bad_ref {
	__u64 ref;
	__u32 status;
	__u32 reserved;
};

/**
 * struct pymalloc_cache_header - the first words of a cache's header page
 * @top: by size class, the address of the slot whose block is popped next
 * @full: by size class, what @top is when the magazine is full: only the process uses it
 * @low_bits: only the process uses it
 * @bottom: by size class, the address of the slot behind the last block, which has a 0
 * @base: address of the window's start
 * @slots: address of the first of the cache's slot pages
 * @nr_queued: refs queued in the first slots, from the first on, to be freed
 * @busy: not 0 while the owner changes more than a pop or a push does
 * @nr_bad: entries of @bad that are used; when there is no room, a bad ref is only counted
 * @generation: that of struct pymalloc_trace: the kernel writes it
 * @bad: refs that the kernel has found to be bad when it took them
 *
 * A cache is a stack of blocks, a magazine, for each size class.  Its slots fill up from
 * the end: those from @top to before @bottom have the addresses of blocks.
 *
 * The kernel may take blocks from a cache (see PYMALLOC_CACHE_STEAL): any but the one at
 * @top.  It writes 0 to their slots, and moves @bottom.  It does so while the
 * header page is unmapped, and so at a moment at which the owner can be anywhere in
 * its program.  So the owner
 *
 * - pops by reading @top, the slot, and then writing @top + 1; the slot that @top is at
 *   then may have a 0;
 * - pushes by writing the slot before @top, and then @top, in this order;
 * - sets @busy before everything else, and clears it afterwards;
 * - removes refs from the cache before it passes them to PYMALLOC_IOC_FREE.
 */
struct pymalloc_cache_header {
	__u64 top[PYMALLOC_NR_CLASSES + 1];
	__u64 full[PYMALLOC_NR_CLASSES + 1];
	__u64 low_bits[PYMALLOC_NR_CLASSES + 1];
	__u64 bottom[PYMALLOC_NR_CLASSES + 1];
	__u64 base;
	__u64 slots;
	__u32 nr_queued;
	__u32 busy;
	__u32 nr_bad;
	__u32 generation;
	struct pymalloc_bad_ref bad[PYMALLOC_CACHE_BAD];
};

/* pymalloc_cache.op */
#define PYMALLOC_CACHE_MAKE	1	/* make cache @index, with slot pages */
#define PYMALLOC_CACHE_SLOTS	2	/* add slot pages */
#define PYMALLOC_CACHE_DROP	3	/* take slot pages away */
#define PYMALLOC_CACHE_END	4	/* end cache @index */
#define PYMALLOC_CACHE_STEAL	5	/* take blocks from the caches of all threads */

/* pymalloc_cache.flags, with PYMALLOC_CACHE_STEAL */
#define PYMALLOC_STEAL_ALL	(1U << 0)	/* from all that are not busy, at once */

/**
 * struct pymalloc_cache - PYMALLOC_IOC_CACHE: caches whose pages the kernel knows
 * @argsz: size of this struct
 * @flags: PYMALLOC_STEAL_*
 * @op: PYMALLOC_CACHE_*
 * @index: the cache's number, below PYMALLOC_CACHES_MAX; the process chooses it
 * @first: the first slot page that is to be there, or not to be there
 * @count: how many
 * @stolen: out: blocks that PYMALLOC_CACHE_STEAL has taken and freed
 * @block_bytes: out: bytes of all blocks that are allocated in the heap, those in caches
 *	included
 *
 * A cache has a header page, which begins with struct pymalloc_cache_header, and up to
 * PYMALLOC_CACHE_PAGES slot pages.  They count as metadata of the heap.  The process
 * maps them at PYMALLOC_CACHES_OFFSET + @index * 4096 and at PYMALLOC_SLOTS_OFFSET +
 * @index * PYMALLOC_CACHE_PAGES * 4096.  They are zero at first.
 *
 * A cache belongs to the thread that makes it.  A child of fork() has a copy of the
 * calling thread's cache alone; what lies in the others is freed in the child's heap.
 *
 * PYMALLOC_CACHE_STEAL takes the blocks from all caches whose header page has not been
 * touched since the last such call, or since the heap's last round; in each magazine, one
 * stays.  Then it unmaps the header pages of the others.  If it has taken a million blocks,
 * it leaves the other caches to the next call.  With PYMALLOC_STEAL_ALL it takes from all at
 * once.  It passes over caches that are busy.
 *
 * Return: 0; or -1 and EINVAL, EEXIST (there is a cache @index), ENOENT (there is none),
 * ENOMEM, EDQUOT (as PYMALLOC_IOC_ALLOC), EBADF (read-only descriptor), EPERM (not the
 * heap's process), EINTR, EFAULT, E2BIG.
 */
struct pymalloc_cache {
	__u32 argsz;
	__u32 flags;
	__u32 op;
	__u32 index;
	__u32 first;
	__u32 count;
	__u64 stolen;
	__u64 block_bytes;
};

/* pymalloc_trace.mode */
#define PYMALLOC_TRACE_OFF	0
#define PYMALLOC_TRACE_GROWTH	1	/* the stack of each call that allocates a batch */
#define PYMALLOC_TRACE_SAMPLED	2	/* that of some blocks, chosen at random by bytes */
#define PYMALLOC_TRACE_EXACT	3	/* that of each block */

/* pymalloc_trace.flags */
#define PYMALLOC_TRACE_SET	(1U << 0)	/* trace from now on as this says */
#define PYMALLOC_TRACE_BEGUN	(1U << 1)	/* the heap's library does so */
#define PYMALLOC_TRACE_IDLE	(1U << 2)	/* look which pages are touched, from now on */
#define PYMALLOC_TRACE_NO_IDLE	(1U << 3)	/* do not */

/* The most frames of a stack, of each kind. */
#define PYMALLOC_FRAMES_MAX		25

#define PYMALLOC_INTERVAL_MIN		4096
#define PYMALLOC_INTERVAL_MAX		(1ULL << 40)
#define PYMALLOC_INTERVAL_DEFAULT	(512ULL << 10)

/**
 * struct pymalloc_trace - PYMALLOC_IOC_TRACE: which blocks' sites the library records
 * @argsz: size of this struct
 * @flags: PYMALLOC_TRACE_SET, _BEGUN, _IDLE, _NO_IDLE, or 0 to ask only
 * @mode: PYMALLOC_TRACE_OFF to PYMALLOC_TRACE_EXACT.  With PYMALLOC_TRACE_BEGUN in: that
 *	with which the library has begun
 * @python_frames: most Python frames of a stack, up to PYMALLOC_FRAMES_MAX
 * @native_frames: most other frames of a stack, up to PYMALLOC_FRAMES_MAX
 * @generation: out: how often the trace has been set; it is written to @generation of all
 *	caches' headers as well, where the library finds it.  With PYMALLOC_TRACE_BEGUN in:
 *	that which the library has found
 * @begun: out: the last @generation with which PYMALLOC_TRACE_BEGUN was called
 * @idle: out: 1 if the kernel looks which pages are touched, else 0
 * @interval: with PYMALLOC_TRACE_SAMPLED, bytes from a sample to the next on average, from
 *	PYMALLOC_INTERVAL_MIN to PYMALLOC_INTERVAL_MAX; 0 is PYMALLOC_INTERVAL_DEFAULT
 * @mark: with PYMALLOC_TRACE_BEGUN: a block whose first word is this lies in a magazine;
 *	0 is none
 *
 * The kernel only passes the settings on to the heap's library, which does the work, and
 * begins when it next fills or empties a magazine.  So that it does so soon, blocks are taken
 * from magazines, as with PYMALLOC_STEAL_ALL.
 *
 * With PYMALLOC_TRACE_IDLE, the kernel itself finds out for how long pages have not been
 * touched: @idle of struct pymalloc_site_info.  It takes the pages that have been touched out
 * of the page tables, in this call and then at the interval of struct pymalloc_policy.  Who
 * touches one again has a fault that brings it back, and is noted.  A page that stays untouched
 * is not taken out a second time.  When the call returns, nothing counts as touched that has
 * not been since it began.  For each 4 MiB of the window that hold objects, this takes a page
 * of metadata, until PYMALLOC_TRACE_NO_IDLE.  These two flags change nothing else.
 *
 * Everybody who has a descriptor may ask.  For all flags but PYMALLOC_TRACE_BEGUN it must not
 * be read-only.  PYMALLOC_TRACE_BEGUN is for the heap's process.  The heap of a child of
 * fork() has its parent's settings and a generation of its own, but no sites.
 *
 * Return: 0; or -1 and EBADF (read-only descriptor), EPERM (not the heap's process, or a
 * module's heap), EINVAL (more than one flag, or a value that is out of range), ENOMEM, EDQUOT
 * (as PYMALLOC_IOC_ALLOC), EINTR (the caller is being killed), EFAULT, E2BIG.
 */
struct pymalloc_trace {
	__u32 argsz;
	__u32 flags;
	__u32 mode;
	__u32 python_frames;
	__u32 native_frames;
	__u32 generation;
	__u32 begun;
	__u32 idle;
	__u64 interval;
	__u64 mark;
};

/* pymalloc_sites.op */
#define PYMALLOC_SITES_ADD	1	/* see that there are pages */
#define PYMALLOC_SITES_DROP	2	/* give all of them back */
#define PYMALLOC_SITES_READ	3	/* copy what is there */

/**
 * struct pymalloc_sites - PYMALLOC_IOC_SITES: pages for the sites of blocks
 * @argsz: size of this struct
 * @flags: 0
 * @op: PYMALLOC_SITES_*
 * @reserved: 0
 * @offset: file offset, from PYMALLOC_SITES_OFFSET on: of the first page, or of the first
 *	byte to be read
 * @bytes: how many; with PYMALLOC_SITES_ADD both are multiples of 4096, and @bytes is at most
 *	PYMALLOC_BATCH_MAX * 4096
 * @data: with PYMALLOC_SITES_READ, pointer to where they are copied
 * @done: out: bytes that are there, or that were copied
 *
 * The pages count as metadata of the heap, and are zero at first.  PYMALLOC_SITES_ADD and
 * PYMALLOC_SITES_DROP are for the heap's process; everybody who has a descriptor may read.
 *
 * Return: 0; or -1 and EINVAL (out of range), ENOMEM, EDQUOT (as PYMALLOC_IOC_ALLOC), EBADF
 * (read-only descriptor), EPERM (not the heap's process), EINTR, EFAULT, E2BIG.
 */
struct pymalloc_sites {
	__u32 argsz;
	__u32 flags;
	__u32 op;
	__u32 reserved;
	__u64 offset;
	__u64 bytes;
	__u64 data;
	__u64 done;
};

/* The most types of a heap. */
#define PYMALLOC_TYPES_MAX		189

/* pymalloc_types.op */
#define PYMALLOC_TYPES_MAKE	1	/* make a type */
#define PYMALLOC_TYPES_DROP	2	/* end type @number */
#define PYMALLOC_TYPES_TELL	3	/* say how many objects type @number has */
#define PYMALLOC_TYPES_READ	4	/* describe the types behind @number */

/* pymalloc_type_info.flags */
#define PYMALLOC_TYPE_OWN_POOLS	(1U << 0)	/* no other object lies where one of its has been */

/**
 * struct pymalloc_type_info - a type of objects
 * @number: its number in the heap, from 1 to PYMALLOC_TYPES_MAX
 * @flags: PYMALLOC_TYPE_OWN_POOLS or 0
 * @size: bytes of an object, 1 to PYMALLOC_SIZE_MAX
 * @alignment: of an object: a power of two, of at most PYMALLOC_POOL_SIZE
 * @keep: how many dead objects a thread may keep
 * @pools: its own pools that have blocks
 * @objects: objects that the program has
 * @kept: dead objects that threads keep for later, constructed
 * @constructed: how many have been constructed so far
 * @bytes: bytes of its blocks
 * @name: a name for people, NUL-terminated, of printable ASCII
 *
 * @objects, @kept and @constructed are what the heap's library has said last, and nothing
 * depends on them.  So is @bytes, except with pools of its own: then it is what the kernel
 * knows.
 */
struct pymalloc_type_info {
	__u32 number;
	__u32 flags;
	__u32 size;
	__u32 alignment;
	__u32 keep;
	__u32 pools;
	__u64 objects;
	__u64 kept;
	__u64 constructed;
	__u64 bytes;
	char name[PYMALLOC_NAME_LEN];
};

/**
 * struct pymalloc_types - PYMALLOC_IOC_TYPES: types of objects
 * @argsz: size of this struct
 * @flags: 0
 * @op: PYMALLOC_TYPES_*
 * @number: the type's number.  With PYMALLOC_TYPES_MAKE out; with PYMALLOC_TYPES_READ types
 *	are described whose number is larger
 * @infos: pointer to struct pymalloc_type_info: with PYMALLOC_TYPES_MAKE one with flags, size,
 *	alignment, keep and name; with PYMALLOC_TYPES_TELL one with objects, kept and constructed
 *	alone.  What else it has is 0.  With PYMALLOC_TYPES_READ an array: out
 * @count: with PYMALLOC_TYPES_READ entries the array has room for, at most PYMALLOC_BATCH_MAX;
 *	else 0
 * @done: out: entries written; fewer than @count: there are no more types
 * @entry_size: bytes of struct pymalloc_type_info in the caller's header; 0 without @infos
 * @reserved: 0
 *
 * A type with PYMALLOC_TYPE_OWN_POOLS has objects of at most PYMALLOC_BLOCK_MAX bytes, with its
 * alignment.  They are allocated by PYMALLOC_IOC_ALLOC with the type's number, and freed like all
 * others.  The byte of the pool map is 0 for their pools.  These lie in arenas where nothing
 * else has ever been, and stay the type's until it is dropped, though memory that has become
 * empty is given back: so no ref of anything else ever names an object of the type, and no ref
 * of the type anything else while the type lives.  Objects of other types are allocated without
 * a number; the kernel does not know which they are.
 *
 * A type takes 2 KiB of metadata, and the first one of a heap as much again.  All types end with
 * the heap.  The heap of a child of fork() has its parent's types, with their numbers.
 *
 * PYMALLOC_TYPES_READ is for everybody who has a descriptor, the others for the heap's process.
 *
 * Return: 0; or -1 and EINVAL (a value that is out of range, or unknown bits), ENOENT (no type
 * @number), EBUSY (the type has objects in pools of its own, or some are being allocated),
 * ENOSPC (PYMALLOC_TYPES_MAX types), ENOMEM, EDQUOT (as PYMALLOC_IOC_ALLOC), EBADF (read-only
 * descriptor), EPERM (not the heap's process, or the heap is sealed), EINTR (the caller is being
 * killed), EFAULT, E2BIG (struct, count, or an entry of which more than is known is not 0).
 */
struct pymalloc_types {
	__u32 argsz;
	__u32 flags;
	__u32 op;
	__u32 number;
	__u64 infos;
	__u32 count;
	__u32 done;
	__u32 entry_size;
	__u32 reserved;
};

/* pymalloc_holds.op */
#define PYMALLOC_HOLDS_HOLD	0	/* come to hold blocks that somebody needs */
#define PYMALLOC_HOLDS_DROP	1	/* hold them no more */
#define PYMALLOC_HOLDS_GIVE	2	/* put blocks that one holds into a client's inbox */
#define PYMALLOC_HOLDS_RECEIVE	3	/* take blocks out of one's inbox, and hold them */
#define PYMALLOC_HOLDS_READ	4	/* which blocks one holds */
#define PYMALLOC_HOLDS_SERIALS	5	/* which allocations they are */

/* pymalloc_holds.flags */
#define PYMALLOC_HOLDS_KEEP	(1U << 0)	/* with GIVE: go on to hold them */

/**
 * struct pymalloc_holds - PYMALLOC_IOC_HOLDS: who needs which blocks of a shared heap
 * @argsz: size of this struct
 * @flags: PYMALLOC_HOLDS_KEEP with PYMALLOC_HOLDS_GIVE; else 0
 * @op: PYMALLOC_HOLDS_*
 * @client: with PYMALLOC_HOLDS_GIVE the number of the client; else 0
 * @refs: pointer to an array of __u64.  With PYMALLOC_HOLDS_RECEIVE and PYMALLOC_HOLDS_READ out;
 *	with the latter its first entry is also in: blocks behind it are reported
 * @status: pointer to an array of __u8 that gets one enum pymalloc_ref_status for each ref; 0
 *	for none, and with RECEIVE and READ
 * @serials: pointer to an array of __u32, or 0.  With PYMALLOC_HOLDS_HOLD in: a block whose
 *	serial number is another one is PYMALLOC_REF_STALE; an entry of 0 is any.  With
 *	PYMALLOC_HOLDS_SERIALS out: never 0.  Else 0
 * @count: how many, 1 to PYMALLOC_BATCH_MAX
 * @done: out: how many refs were looked at, or stored
 * @nr_bad: out: how many of them were bad
 * @first_bad: out: index of the first such ref; @count if there is none
 *
 * A shared heap (PYMALLOC_CREATE_SHARED) is everybody's who has a descriptor of it; and every
 * process of the heap's user can open it.  Who maps its window is a client, with a number, until
 * his last mapping of it goes, however his process ends.  A block stays allocated as long as
 * somebody needs it: a client who holds it, an inbox, or a name (PYMALLOC_IOC_ROOTS).  It is freed
 * at once when nobody does.  PYMALLOC_IOC_ALLOC makes the caller hold what it allocates; to hold
 * a block twice is to hold it once.  A child of fork() is a client of its own, with the same
 * memory, and holds what its parent holds.
 *
 * What a client has been given he gets by PYMALLOC_HOLDS_RECEIVE, or by read() on the
 * descriptor, which waits for it unless O_NONBLOCK is set, and stores refs; poll() reports
 * POLLIN.  If refs cannot be stored (EFAULT), the client holds the blocks nevertheless, and
 * PYMALLOC_HOLDS_READ names them.
 *
 * In a shared heap PYMALLOC_IOC_FREE, RESIZE, CACHE and CACHES, TRACE and SITES that change
 * something, and write(), fail with EPERM.  Its pages are never meshed.  Its user and its memory
 * cgroup are those of its maker, as long as it lives: until its last descriptor and its last
 * mapping have gone.
 *
 * Return: 0; or -1 and EBADSLT (all were looked at, @nr_bad of them were bad), EAGAIN (the inbox
 * is empty, or that of the other one is full), ESRCH (no such client), EPERM (not a client, or
 * not with this descriptor), EDQUOT (the client's limit, or the user's), ENOMEM, EINTR (a signal
 * came after @done refs), EFAULT, EINVAL (also: not a shared heap), E2BIG (count).
 */
struct pymalloc_holds {
	__u32 argsz;
	__u32 flags;
	__u32 op;
	__u32 client;
	__u64 refs;
	__u64 status;
	__u64 serials;
	__u32 count;
	__u32 done;
	__u32 nr_bad;
	__u32 first_bad;
};

/* pymalloc_roots.op */
#define PYMALLOC_ROOTS_SET	0	/* give a block a name, and take it from any other */
#define PYMALLOC_ROOTS_NEW	1	/* give a block a name that nothing has */
#define PYMALLOC_ROOTS_GET	2	/* hold the block that has a name */
#define PYMALLOC_ROOTS_WAIT	3	/* the same, but wait for the name */
#define PYMALLOC_ROOTS_REMOVE	4	/* take a name away */
#define PYMALLOC_ROOTS_NEXT	5	/* which name follows another one */

/**
 * struct pymalloc_roots - PYMALLOC_IOC_ROOTS: blocks with names in a shared heap
 * @argsz: size of this struct
 * @flags: 0
 * @op: PYMALLOC_ROOTS_*
 * @reserved: 0
 * @ref: the block, with PYMALLOC_ROOTS_SET and NEW one that the caller holds; with
 *	PYMALLOC_ROOTS_GET, WAIT and NEXT out
 * @name: not empty, NUL-terminated, of printable ASCII; with PYMALLOC_ROOTS_NEXT in any name, or
 *	none, and out the next one
 *
 * A name needs its block, and stays whoever dies.
 *
 * Return: 0; or -1 and ENOENT (nothing has this name, or there is no next one), EEXIST, EBADSLT
 * (the caller does not hold the block), EPERM (not a client, or not with this descriptor; an
 * observer can only do PYMALLOC_ROOTS_NEXT), ESTALE (the heap has ended meanwhile), EDQUOT,
 * ENOMEM, EINTR, EINVAL (also: not a shared heap), EFAULT, E2BIG.
 */
struct pymalloc_roots {
	__u32 argsz;
	__u32 flags;
	__u32 op;
	__u32 reserved;
	__u64 ref;
	char name[PYMALLOC_NAME_LEN];
};

/* pymalloc_client_info.flags */
#define PYMALLOC_CLIENT_SELF	(1U << 0)	/* it is the caller */

/**
 * struct pymalloc_client_info - one client of a shared heap
 * @holds: blocks that it holds
 * @holds_max: the most that it may hold; 0 is no limit
 * @number: its number, which no later client of the heap gets before 2^32 others
 * @flags: PYMALLOC_CLIENT_*
 * @pid: its process, in the caller's PID namespace; 0 if it is not visible there, or has not
 *	used what it inherited by fork()
 * @uid: the user of its process when it became a client, in the caller's user namespace
 * @inbox: blocks that it has been given, and has not received
 * @mappings: its mappings of the heap
 * @comm: the command of its process at that time
 */
struct pymalloc_client_info {
	__u64 holds;
	__u64 holds_max;
	__u32 number;
	__u32 flags;
	__s32 pid;
	__u32 uid;
	__u32 inbox;
	__u32 mappings;
	char comm[16];
};

/* pymalloc_clients.op */
#define PYMALLOC_CLIENTS_READ	0	/* describe clients */
#define PYMALLOC_CLIENTS_LIMIT	1	/* how much one may hold */

/**
 * struct pymalloc_clients - PYMALLOC_IOC_CLIENTS: the clients of a shared heap
 * @argsz: size of this struct
 * @flags: 0
 * @op: PYMALLOC_CLIENTS_*
 * @number: with PYMALLOC_CLIENTS_READ clients are described whose number is larger; with
 *	PYMALLOC_CLIENTS_LIMIT the client, or 0 for those that come from now on
 * @infos: with PYMALLOC_CLIENTS_READ pointer to an array of struct pymalloc_client_info; else 0
 * @holds_max: with PYMALLOC_CLIENTS_LIMIT the most blocks that it may hold; 0 is no limit.  What
 *	it holds already it goes on to hold
 * @count: entries the array has room for, at most PYMALLOC_BATCH_MAX; else 0
 * @done: out: entries written; fewer than @count: there are no more clients
 * @entry_size: bytes of struct pymalloc_client_info in the caller's header; else 0
 * @reserved: 0
 *
 * Everybody who has a descriptor can read; a limit needs one that can write.
 *
 * Return: 0; or -1 and ESRCH (no such client), EPERM, EBADF (read-only descriptor), EINTR (the
 * caller is being killed), EINVAL (also: not a shared heap), EFAULT, E2BIG.
 */
struct pymalloc_clients {
	__u32 argsz;
	__u32 flags;
	__u32 op;
	__u32 number;
	__u64 infos;
	__u64 holds_max;
	__u32 count;
	__u32 done;
	__u32 entry_size;
	__u32 reserved;
};

/*
 * _IO() and not _IOWR(), which makes the struct's size a part of the number: here the
 * size is in the struct, and the number stays the same when the struct grows.
 */
#define PYMALLOC_IOC_INFO	_IO(PYMALLOC_IOC_MAGIC, 0x40)
#define PYMALLOC_IOC_CREATE	_IO(PYMALLOC_IOC_MAGIC, 0x41)
#define PYMALLOC_IOC_OPEN	_IO(PYMALLOC_IOC_MAGIC, 0x42)
#define PYMALLOC_IOC_LIST	_IO(PYMALLOC_IOC_MAGIC, 0x43)
#define PYMALLOC_IOC_FORGET	_IO(PYMALLOC_IOC_MAGIC, 0x44)

#define PYMALLOC_IOC_ALLOC	_IO(PYMALLOC_IOC_MAGIC, 0x50)
#define PYMALLOC_IOC_FREE	_IO(PYMALLOC_IOC_MAGIC, 0x51)
#define PYMALLOC_IOC_USABLE	_IO(PYMALLOC_IOC_MAGIC, 0x52)
#define PYMALLOC_IOC_RESIZE	_IO(PYMALLOC_IOC_MAGIC, 0x53)
#define PYMALLOC_IOC_STATS	_IO(PYMALLOC_IOC_MAGIC, 0x54)
#define PYMALLOC_IOC_WALK	_IO(PYMALLOC_IOC_MAGIC, 0x55)
#define PYMALLOC_IOC_TRIM	_IO(PYMALLOC_IOC_MAGIC, 0x56)
#define PYMALLOC_IOC_CHECK	_IO(PYMALLOC_IOC_MAGIC, 0x57)
#define PYMALLOC_IOC_NOTIFY	_IO(PYMALLOC_IOC_MAGIC, 0x58)
#define PYMALLOC_IOC_CACHES	_IO(PYMALLOC_IOC_MAGIC, 0x59)
#define PYMALLOC_IOC_END	_IO(PYMALLOC_IOC_MAGIC, 0x5A)
#define PYMALLOC_IOC_GROW	_IO(PYMALLOC_IOC_MAGIC, 0x5B)
#define PYMALLOC_IOC_COMPACT	_IO(PYMALLOC_IOC_MAGIC, 0x5C)
#define PYMALLOC_IOC_POLICY	_IO(PYMALLOC_IOC_MAGIC, 0x5D)
#define PYMALLOC_IOC_CACHE	_IO(PYMALLOC_IOC_MAGIC, 0x5E)
#define PYMALLOC_IOC_TRACE	_IO(PYMALLOC_IOC_MAGIC, 0x5F)
#define PYMALLOC_IOC_SITES	_IO(PYMALLOC_IOC_MAGIC, 0x60)
#define PYMALLOC_IOC_SEAL	_IO(PYMALLOC_IOC_MAGIC, 0x61)
#define PYMALLOC_IOC_TYPES	_IO(PYMALLOC_IOC_MAGIC, 0x62)
#define PYMALLOC_IOC_HOLDS	_IO(PYMALLOC_IOC_MAGIC, 0x63)
#define PYMALLOC_IOC_ROOTS	_IO(PYMALLOC_IOC_MAGIC, 0x64)
#define PYMALLOC_IOC_CLIENTS	_IO(PYMALLOC_IOC_MAGIC, 0x65)

#endif /* _UAPI_LINUX_PYMALLOC_H */
