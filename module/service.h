/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The service around the core: heaps as descriptors, and who may use them.
 */
#ifndef PYM_SERVICE_H
#define PYM_SERVICE_H

#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/log2.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/uidgid.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "core/core.h"

/**
 * struct pym_user - what one user holds in all his heaps
 * @uid: who
 * @refs: heaps, and calls that look at him
 * @heaps: his heaps
 * @quota: their pages and metadata
 * @node: in the table of users
 * @rcu: its memory outlives those who look at what a heap's user holds
 */
struct pym_user {
	kuid_t uid;
	atomic_t refs;
	atomic_t heaps;
	struct pym_quota quota;
	struct hlist_node node;
	struct rcu_head rcu;
};

/**
 * struct pym_family - a heap and those that fork() has made of it
 * @refs: one for each of them, and one for each descriptor
 * @nr_heaps: heaps that may have pages
 * @keepers: descriptors that keep the founder's heap: its process's own
 * @inode: what the windows of all of them map
 * @wait: those who poll for the threshold of any of them
 * @mm: the process that has made the first heap
 * @founder: that heap, with a reference; NULL when nothing but mappings keep it
 * @clones: the heaps of children, by their mm
 */
struct pym_family {
	refcount_t refs;
	atomic_t nr_heaps;
	atomic_t keepers;
	struct inode *inode;
	wait_queue_head_t wait;
	struct mm_struct *mm;
	struct pym_service_heap __rcu *founder;
	struct xarray clones;
};

/**
 * struct pym_handle - what a descriptor knows of a heap, without keeping it
 * @family: its family
 * @id: the heap that the descriptor was made for
 * @keeper: it was made for the heap's own process, and finds for each process the
 *	heap that is its own
 */
struct pym_handle {
	struct pym_family *family;
	u64 id;
	bool keeper;
};

/**
 * struct pym_service_heap - a heap with its owner
 * @rcu: its memory outlives those who look it up
 * @heap: the heap
 * @ref: one for each mapping, one of its family if it has not been inherited, and
 *	those of who uses it in passing
 * @family: what it shares with the heaps that fork() has made of it
 * @ended: its process has ended it: no descriptor finds it any more
 * @forgotten: its family has let go of it, too: only mappings keep it
 * @inherited: fork() has made it: it is its process's only as long as that
 *	maps it
 * @inherited_allocs: of the objects allocated, those that its parent allocated
 * @inherited_frees: the same for those freed
 * @map_gate: held for reading around the mapping of zeroes where the pool map has no
 *	page, and for writing when it has got one, to wait for those
 * @cache_threads: threads of the process that keep blocks at hand, as it says
 * @cache_bytes_max: most bytes of blocks that each of them keeps
 * @nr_calls: calls made on it: ioctls, read() and write()
 * @mappings: of the heap; protected, as all up to @heapless, by its mm's mmap_lock
 * @windows: those of them that show pages of the heap
 * @origin: where the first of these has, or would have, the window's start
 * @scattered: others have it elsewhere, so that a page may be shown twice
 * @lowest: address where a mapping of it is or has been
 * @highest: end of the last one
 * @watched: the first write to a joint page of its windows asks
 * @patience: allocations to come before pages are looked at; see window.c
 * @heapless: the last child for whose heap there was no memory: it gets none for its
 *	further mappings either.  Kept from being used for another process
 * @mm: the client: the only address space that may allocate, free and map
 * @memcg: pays for pages and metadata
 * @user_lock: held to change what follows up to @ruid
 * @user: whose quota it counts against
 * @purse_user: whose quota the pages count against that its family has together
 * @uid: @user's
 * @ruid: the real user of its process when that was decided
 * @pid: its process; NULL until a child has used what it inherited
 * @comm: the command of the process that made it, at that time
 * @name: the heap's name
 * @debugfs: its folder
 * @appear: makes that
 * @release: ends a heap whose last reference went where nothing may sleep on
 *	a folder
 * @vanish: removes its folder, and it
 */
struct pym_service_heap {
	struct rcu_head rcu;
	/* These fill the gap before what begins on a cache line. */
	struct kref ref;
	bool ended;
	bool forgotten;
	bool inherited;
	struct pym_family *family;
	u64 inherited_allocs;
	u64 inherited_frees;
	struct pym_heap heap;
	struct rw_semaphore map_gate;
	u64 cache_threads;
	u64 cache_bytes_max;
	atomic64_t nr_calls;
	unsigned int mappings;
	unsigned int windows;
	unsigned long origin;
	bool scattered;
	unsigned long lowest;
	unsigned long highest;
	bool watched;
	atomic64_t patience;
	struct mm_struct *heapless;
	struct mm_struct *mm;
	struct mem_cgroup *memcg;
	/* Protects what follows up to @ruid against changes. */
	struct mutex user_lock;
	struct pym_user *user;
	struct pym_user *purse_user;
	kuid_t uid;
	kuid_t ruid;
	struct pid *pid;
	char comm[TASK_COMM_LEN];
	char name[PYMALLOC_NAME_LEN];
	struct dentry *debugfs;
	struct work_struct appear;
	struct work_struct release;
	struct work_struct vanish;
};

/* A command's name when it is shown: each of its bytes may become four. */
#define PYM_SHOWN_COMM	(4 * TASK_COMM_LEN)

/*
 * What a heap takes that has no arena yet: its struct, and what the kernel keeps
 * for its family, its inode, its first descriptor and its seven entries in debugfs.
 * The test of this measures 500 heaps.
 */
#define PYM_SERVICE_BYTES	(roundup_pow_of_two(sizeof(struct pym_service_heap)) + \
				 SZ_8K + SZ_2K)

/* main.c: module parameters */
extern unsigned long pym_default_limit;
extern unsigned long pym_default_window;
extern unsigned long pym_user_bytes;
extern unsigned int pym_user_heaps;
extern bool pym_check_at_end;

/* user.c */
struct pym_user *pym_user_get(kuid_t uid);
struct pym_user *pym_user_ref(struct pym_user *user);
void pym_user_put(struct pym_user *user);
void pym_user_exit(void);
int pym_user_charge_heap(struct pym_user *user);
void pym_user_force_heap(struct pym_user *user);
void pym_user_uncharge_heap(struct pym_user *user);

/* registry.c */
int pym_registry_reserve(struct pym_service_heap *sheap);
void pym_registry_cancel(struct pym_service_heap *sheap);
void pym_registry_add(struct pym_service_heap *sheap);
void pym_registry_remove(struct pym_service_heap *sheap);
void pym_registry_exit(void);
void pym_registry_bury(void);
unsigned long pym_registry_count(void);
struct pym_service_heap *pym_registry_find(u64 id);
struct pym_service_heap *pym_registry_next(u64 after);

/* family.c */
struct pym_family *pym_family_new(struct pym_service_heap *founder);
struct pym_family *pym_family_get(struct pym_family *family);
void pym_family_put(struct pym_family *family);
void pym_family_leave(struct pym_family *family);
bool pym_family_is_alone(struct pym_family *family);
int pym_family_add(struct pym_family *family, struct pym_service_heap *clone);
void pym_family_forget(struct pym_family *family, struct pym_service_heap *sheap);
void pym_family_lose_keeper(struct pym_family *family);
void pym_family_bury(struct pym_family *family);
struct pym_service_heap *pym_family_enter(struct pym_family *family, struct mm_struct *mm);

/* heapfs.c */
struct inode *pym_heapfs_inode(void);
void pym_heapfs_put_inode(struct inode *inode);
struct file *pym_heapfs_open(struct pym_service_heap *sheap, bool read_only);

/* service.c */
int pym_service_init(void);
void pym_service_exit(void);
bool pym_window_is_valid(u64 window);
struct pym_service_heap *pym_service_create(struct pymalloc_create *create);
struct pym_service_heap *pym_service_clone(struct pym_service_heap *sheap,
					   struct mm_struct *mm);
void pym_service_meet(struct pym_service_heap *sheap);
void pym_service_follow(struct pym_service_heap *sheap);
void pym_service_put(struct pym_service_heap *sheap);
void pym_service_put_later(struct pym_service_heap *sheap);
void pym_service_leave(struct pym_service_heap *sheap);
void pym_service_put_dead(struct pym_service_heap *sheap);
void pym_service_end(struct pym_service_heap *sheap);
bool pym_service_is_dead(const struct pym_service_heap *sheap);
int pym_service_info(struct pym_service_heap *sheap, struct pymalloc_heap_info *info);

/**
 * struct pym_call - one ioctl on its way
 * @file: the descriptor it came on
 * @sheap: the heap it is about; NULL on the device
 * @result: out: a descriptor to be returned; may stay NULL
 * @args: the argument struct, copied in before and out after
 */
struct pym_call {
	struct file *file;
	struct pym_service_heap *sheap;
	struct file *result;
	union {
		u32 argsz;
		struct pymalloc_info info;
		struct pymalloc_create create;
		struct pymalloc_open open;
		struct pymalloc_list list;
		struct pymalloc_alloc alloc;
		struct pymalloc_free free;
		struct pymalloc_usable usable;
		struct pymalloc_resize resize;
		struct pymalloc_stats stats;
		struct pymalloc_walk walk;
		struct pymalloc_trim trim;
		struct pymalloc_check check;
		struct pymalloc_notify notify;
		struct pymalloc_caches caches;
		struct pymalloc_end end;
		struct pymalloc_grow grow;
	} args;
};

/**
 * struct pym_command - an ioctl command
 * @cmd: its number
 * @size: bytes of its struct as this module knows it
 * @min_size: bytes of the struct in the first version
 * @run: does it
 */
struct pym_command {
	unsigned int cmd;
	size_t size;
	size_t min_size;
	int (*run)(struct pym_call *call);
};

#define PYM_COMMAND(_cmd, _struct, _last, _run) {		\
	.cmd = _cmd,						\
	.size = sizeof(struct _struct),				\
	.min_size = offsetofend(struct _struct, _last),		\
	.run = _run,						\
}

/* args.c */
long pym_command_run(struct file *file, struct pym_service_heap *sheap,
		     const struct pym_command *commands, unsigned int nr,
		     unsigned int cmd, void __user *arg);
int pym_put_entry(u64 array, u32 index, u32 entry_size, const void *entry, size_t size);

/* list.c */
int pym_list_entry(struct pymalloc_list *list, struct pym_service_heap *sheap);
int pym_list_check(const struct pymalloc_list *list);

/* batch.c */
int pym_alloc_ioctl(struct pym_call *call);
int pym_free_ioctl(struct pym_call *call);
int pym_free_until_bad_ref(struct pym_call *call);
int pym_usable_ioctl(struct pym_call *call);
int pym_resize_ioctl(struct pym_call *call);

/* stream.c */
ssize_t pym_stream_read(struct file *file, char __user *buffer, size_t bytes, loff_t *pos);
ssize_t pym_stream_write(struct file *file, const char __user *buffer, size_t bytes,
			 loff_t *pos);

/* look.c */
int pym_stats_ioctl(struct pym_call *call);
int pym_walk_ioctl(struct pym_call *call);
int pym_check_ioctl(struct pym_call *call);

/* heapfd.c */
extern const struct file_operations pym_heap_fops;
int pym_may_change(const struct pym_call *call, bool client_only);
struct pym_service_heap *pym_heap_enter(struct file *file);

/* window.c */
int pym_window_mmap(struct file *file, struct vm_area_struct *vma);
void pym_window_settle(struct pym_service_heap *sheap);
struct pym_service_heap *pym_window_find(u64 address);
int pym_window_hold(struct pym_heap *heap, struct pym_view *view);
void pym_window_release(struct pym_heap *heap, struct pym_view *view);
void pym_window_zap(struct pym_heap *heap, const struct pym_view *view, u64 offset,
		    struct page **pages, unsigned int nr);
void pym_window_map_grown(struct pym_heap *heap, const struct pym_view *view,
			  unsigned long number);

/* access.c */
bool pym_may_look(const struct pym_service_heap *sheap);
bool pym_may_list(const struct pym_service_heap *sheap);
void pym_show_comm(char shown[PYM_SHOWN_COMM], const char *comm);

/* device.c */
int pym_device_init(void);
void pym_device_exit(void);

/* debugfs.c */
void pym_debugfs_init(void);
void pym_debugfs_exit(void);
void pym_debugfs_add(struct pym_service_heap *sheap);
void pym_debugfs_remove(struct pym_service_heap *sheap);

#endif /* PYM_SERVICE_H */
