// SPDX-License-Identifier: GPL-2.0
/*
 * The 32-bit entry to the kernel. The structs are the same, so every command
 * passes through. A 64-bit program gets there by int $0x80; everything that it
 * points to must then lie in the lowest 4 GiB.
 */
#include "service.h"

#ifdef __x86_64__

#define IOCTL_32 54
#define GETPID_32 20

static long call_32(long number, unsigned int a, unsigned int b, unsigned int c)
{
	long ret;

	asm volatile("int $0x80"
		     : "=a" (ret)
		     : "a" (number), "b" (a), "c" (b), "d" (c)
		     : "memory", "r8", "r9", "r10", "r11");
	return (int)ret;
}

static int ioctl_32(int fd, unsigned int command, void *arg)
{
	return call_32(IOCTL_32, fd, command, user_ptr(arg));
}

struct low {
	__u64 refs[1000];
	__u8 status[1000];
	__u64 sizes[1000];
	struct pymalloc_block_info blocks[1000];
	union {
		struct pymalloc_info info;
		struct pymalloc_create create;
		struct pymalloc_open open;
		struct pymalloc_list list;
		struct pymalloc_forget forget;
		struct pymalloc_heap_info heap_info;
		struct pymalloc_alloc alloc;
		struct pymalloc_free free;
		struct pymalloc_usable usable;
		struct pymalloc_resize resize;
		struct pymalloc_stats stats;
		struct pymalloc_walk walk;
		struct pymalloc_trim trim;
		struct pymalloc_compact compact;
		struct pymalloc_policy policy;
		struct pymalloc_check check;
		struct pymalloc_notify notify;
		struct pymalloc_caches caches;
		struct pymalloc_grow grow;
		struct pymalloc_cache cache;
		struct pymalloc_trace trace;
		struct pymalloc_sites sites;
		struct pymalloc_end end;
		struct pymalloc_seal seal;
		struct pymalloc_types types;
		struct pymalloc_holds holds;
		struct pymalloc_roots roots;
		struct pymalloc_clients clients;
	};
	struct pymalloc_heap_info entry;
	struct pymalloc_type_info type;
	struct pymalloc_client_info client;
	__u64 held[2];
	__u32 serials[2];
};

/* A machine may have no 32-bit entry. A child finds out. */
static bool has_32_bit_entry(void)
{
	pid_t child = fork();
	int status;

	if (!child)
		_exit(call_32(GETPID_32, 0, 0, 0) == getpid() ? 0 : 1);
	waitpid(child, &status, 0);
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

FIXTURE(compat)
{
	struct low *low;
	int device;
	int heap;
};

FIXTURE_SETUP(compat)
{
	struct low *low;

	if (!has_32_bit_entry())
		SKIP(return, "this kernel has no 32-bit system calls");
	low = mmap(NULL, sizeof(*low), PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	ASSERT_NE(MAP_FAILED, low);
	self->low = low;
	self->device = device_open(_metadata);
	low->create = (struct pymalloc_create)ARG(create, .name = "compat");
	self->heap = ioctl_32(self->device, PYMALLOC_IOC_CREATE, &low->create);
	ASSERT_LE(0, self->heap);
	low->alloc = (struct pymalloc_alloc)ARG(alloc, .size = 40, .count = 1000,
						.refs = user_ptr(low->refs));
	ASSERT_EQ(0, ioctl_32(self->heap, PYMALLOC_IOC_ALLOC, &low->alloc));
	ASSERT_EQ(1000, low->alloc.done);
}

FIXTURE_TEARDOWN(compat)
{
	close(self->heap);
	close(self->device);
}

TEST_F(compat, device)
{
	struct low *low = self->low;
	int fd;

	low->info = (struct pymalloc_info)ARG(info);
	EXPECT_EQ(0, ioctl_32(self->device, PYMALLOC_IOC_INFO, &low->info));
	EXPECT_EQ(PYMALLOC_ABI_VERSION, low->info.abi_version);
	low->list = (struct pymalloc_list)ARG(list, .heaps = user_ptr(&low->entry), .count = 1,
					      .entry_size = sizeof(low->entry));
	EXPECT_EQ(0, ioctl_32(self->heap, PYMALLOC_IOC_LIST, &low->list));
	EXPECT_STREQ("compat", low->entry.name);
	low->open = (struct pymalloc_open)ARG(open, .id = low->entry.id,
					      .flags = PYMALLOC_OPEN_RDONLY);
	fd = ioctl_32(self->device, PYMALLOC_IOC_OPEN, &low->open);
	EXPECT_LE(0, fd);
	close(fd);
	low->forget = (struct pymalloc_forget)ARG(forget, .id = low->list.after + ~0U);
	EXPECT_EQ(-ENOENT, ioctl_32(self->device, PYMALLOC_IOC_FORGET, &low->forget));
}

TEST_F(compat, objects)
{
	struct low *low = self->low;

	low->usable = (struct pymalloc_usable)ARG(usable, .refs = user_ptr(low->refs), .count = 10,
						  .sizes = user_ptr(low->sizes));
	EXPECT_EQ(0, ioctl_32(self->heap, PYMALLOC_IOC_USABLE, &low->usable));
	EXPECT_EQ(40, low->sizes[9]);
	low->resize = (struct pymalloc_resize)ARG(resize, .ref = low->refs[0], .size = 400);
	EXPECT_EQ(0, ioctl_32(self->heap, PYMALLOC_IOC_RESIZE, &low->resize));
	low->refs[0] = low->resize.ref;
	low->refs[500] = 0;
	low->free = (struct pymalloc_free)ARG(free, .refs = user_ptr(low->refs), .count = 1000,
					      .status = user_ptr(low->status));
	EXPECT_EQ(-EBADSLT, ioctl_32(self->heap, PYMALLOC_IOC_FREE, &low->free));
	EXPECT_EQ(1, low->free.nr_bad);
	EXPECT_EQ(500, low->free.first_bad);
	EXPECT_EQ(PYMALLOC_REF_RANGE, low->status[500]);
}

TEST_F(compat, looks)
{
	struct low *low = self->low;

	low->stats = (struct pymalloc_stats)ARG(stats);
	EXPECT_EQ(0, ioctl_32(self->heap, PYMALLOC_IOC_STATS, &low->stats));
	EXPECT_EQ(1000, low->stats.blocks);
	low->walk = (struct pymalloc_walk)ARG(walk, .what = PYMALLOC_WALK_BLOCKS, .count = 1000,
					      .entries = user_ptr(low->blocks),
					      .entry_size = sizeof(low->blocks[0]));
	EXPECT_EQ(0, ioctl_32(self->heap, PYMALLOC_IOC_WALK, &low->walk));
	EXPECT_EQ(1000, low->walk.done);
	low->trim = (struct pymalloc_trim)ARG(trim);
	EXPECT_EQ(0, ioctl_32(self->heap, PYMALLOC_IOC_TRIM, &low->trim));
	low->check = (struct pymalloc_check)ARG(check);
	EXPECT_EQ(0, ioctl_32(self->heap, PYMALLOC_IOC_CHECK, &low->check));
	EXPECT_EQ(0, low->check.errors);
}

TEST_F(compat, controls)
{
	struct low *low = self->low;

	low->notify = (struct pymalloc_notify)ARG(notify, .threshold = 1);
	EXPECT_EQ(0, ioctl_32(self->heap, PYMALLOC_IOC_NOTIFY, &low->notify));
	low->caches = (struct pymalloc_caches)ARG(caches, .threads = 3, .bytes_max = 1ULL << 33);
	EXPECT_EQ(0, ioctl_32(self->heap, PYMALLOC_IOC_CACHES, &low->caches));
	low->policy = (struct pymalloc_policy)ARG(policy, .flags = PYMALLOC_POLICY_SET,
						  .decay_ms = 77, .keep_bytes = 1ULL << 33);
	EXPECT_EQ(0, ioctl_32(self->heap, PYMALLOC_IOC_POLICY, &low->policy));
	low->policy = (struct pymalloc_policy)ARG(policy);
	EXPECT_EQ(0, ioctl_32(self->heap, PYMALLOC_IOC_POLICY, &low->policy));
	EXPECT_EQ(77, low->policy.decay_ms);
	EXPECT_EQ(1ULL << 33, low->policy.keep_bytes);
	low->compact = (struct pymalloc_compact)ARG(compact, .flags = PYMALLOC_COMPACT_STOCK);
	EXPECT_EQ(0, ioctl_32(self->heap, PYMALLOC_IOC_COMPACT, &low->compact));
	low->stats = (struct pymalloc_stats)ARG(stats);
	EXPECT_EQ(0, ioctl_32(self->heap, PYMALLOC_IOC_STATS, &low->stats));
	EXPECT_EQ(1, low->stats.threshold);
	EXPECT_EQ(3, low->stats.cache_threads);
	EXPECT_EQ(1ULL << 33, low->stats.cache_bytes_max);
	low->cache = (struct pymalloc_cache)ARG(cache, .op = PYMALLOC_CACHE_MAKE, .count = 1);
	EXPECT_EQ(0, ioctl_32(self->heap, PYMALLOC_IOC_CACHE, &low->cache));
	EXPECT_EQ(-EEXIST, ioctl_32(self->heap, PYMALLOC_IOC_CACHE, &low->cache));
}

TEST_F(compat, traces)
{
	struct low *low = self->low;

	low->trace = (struct pymalloc_trace)ARG(trace, .flags = PYMALLOC_TRACE_SET,
						.mode = PYMALLOC_TRACE_SAMPLED,
						.interval = 1ULL << 33, .native_frames = 1);
	EXPECT_EQ(0, ioctl_32(self->heap, PYMALLOC_IOC_TRACE, &low->trace));
	low->trace = (struct pymalloc_trace)ARG(trace);
	EXPECT_EQ(0, ioctl_32(self->heap, PYMALLOC_IOC_TRACE, &low->trace));
	EXPECT_EQ(1ULL << 33, low->trace.interval);
	low->sites = (struct pymalloc_sites)ARG(sites, .op = PYMALLOC_SITES_ADD,
						.offset = PYMALLOC_SITES_OFFSET, .bytes = 4096);
	EXPECT_EQ(0, ioctl_32(self->heap, PYMALLOC_IOC_SITES, &low->sites));
	low->refs[0] = ~0ULL;
	low->sites = (struct pymalloc_sites)ARG(sites, .op = PYMALLOC_SITES_READ,
						.offset = PYMALLOC_SITES_OFFSET, .bytes = 8,
						.data = user_ptr(low->refs));
	EXPECT_EQ(0, ioctl_32(self->heap, PYMALLOC_IOC_SITES, &low->sites));
	EXPECT_EQ(8, low->sites.done);
	EXPECT_EQ(0, low->refs[0]);
}

TEST_F(compat, grow_and_end)
{
	struct low *low = self->low;
	int heap;

	low->create = (struct pymalloc_create)ARG(create, .extent = PYMALLOC_WINDOW_MIN);
	heap = ioctl_32(self->device, PYMALLOC_IOC_CREATE, &low->create);
	ASSERT_LE(0, heap);
	low->grow = (struct pymalloc_grow)ARG(grow, .extent = 1ULL << 33);
	EXPECT_EQ(0, ioctl_32(heap, PYMALLOC_IOC_GROW, &low->grow));
	low->grow = (struct pymalloc_grow)ARG(grow, .extent = PYMALLOC_WINDOW_MIN);
	EXPECT_EQ(-EINVAL, ioctl_32(heap, PYMALLOC_IOC_GROW, &low->grow));
	low->end = (struct pymalloc_end)ARG(end);
	EXPECT_EQ(0, ioctl_32(heap, PYMALLOC_IOC_END, &low->end));
	EXPECT_EQ(-ESTALE, ioctl_32(heap, PYMALLOC_IOC_END, &low->end));
	close(heap);
}

TEST_F(compat, types)
{
	struct low *low = self->low;

	low->type = (struct pymalloc_type_info){ .size = 40, .alignment = 8, .name = "low" };
	low->types = (struct pymalloc_types)ARG(types, .op = PYMALLOC_TYPES_MAKE,
						.infos = user_ptr(&low->type),
						.entry_size = sizeof(low->type));
	EXPECT_EQ(0, ioctl_32(self->heap, PYMALLOC_IOC_TYPES, &low->types));
	EXPECT_EQ(1, low->types.number);
	low->type = (struct pymalloc_type_info){};
	low->types = (struct pymalloc_types)ARG(types, .op = PYMALLOC_TYPES_READ,
						.infos = user_ptr(&low->type), .count = 1,
						.entry_size = sizeof(low->type));
	EXPECT_EQ(0, ioctl_32(self->heap, PYMALLOC_IOC_TYPES, &low->types));
	EXPECT_EQ(1, low->types.done);
	EXPECT_EQ(40, low->type.size);
	EXPECT_STREQ("low", low->type.name);
}

TEST_F(compat, holds_roots_and_clients)
{
	struct heap heap = HEAP(.flags = PYMALLOC_CREATE_SHARED);
	struct low *low = self->low;

	low->held[0] = alloc_one(&heap, 64);
	low->holds = (struct pymalloc_holds)ARG(holds, .op = PYMALLOC_HOLDS_SERIALS,
						.refs = user_ptr(low->held), .count = 1,
						.serials = user_ptr(low->serials));
	EXPECT_EQ(0, ioctl_32(heap.fd, PYMALLOC_IOC_HOLDS, &low->holds));
	EXPECT_EQ(1, low->holds.done);
	EXPECT_NE(0, low->serials[0]);
	low->roots = (struct pymalloc_roots)ARG(roots, .op = PYMALLOC_ROOTS_NEW,
						.ref = low->held[0], .name = "low");
	EXPECT_EQ(0, ioctl_32(heap.fd, PYMALLOC_IOC_ROOTS, &low->roots));
	low->clients = (struct pymalloc_clients)ARG(clients, .infos = user_ptr(&low->client),
						    .count = 1,
						    .entry_size = sizeof(low->client));
	EXPECT_EQ(0, ioctl_32(heap.fd, PYMALLOC_IOC_CLIENTS, &low->clients));
	EXPECT_EQ(1, low->client.holds);
	EXPECT_EQ(getpid(), low->client.pid);
	heap_check(&heap);
	heap_close(&heap);
}

TEST_F(compat, seal)
{
	struct low *low = self->low;

	low->seal = (struct pymalloc_seal)ARG(seal);
	EXPECT_EQ(0, ioctl_32(self->heap, PYMALLOC_IOC_SEAL, &low->seal));
	low->end = (struct pymalloc_end)ARG(end);
	EXPECT_EQ(-EPERM, ioctl_32(self->heap, PYMALLOC_IOC_END, &low->end));
}

TEST_F(compat, unknown)
{
	EXPECT_EQ(-ENOTTY, ioctl_32(self->device, PYMALLOC_IOC_CHECK, self->low));
	EXPECT_EQ(-ENOTTY, ioctl_32(self->heap, PYMALLOC_IOC_INFO, self->low));
}

#else

TEST(compat)
{
	SKIP(return, "nothing to compare with on this machine");
}

#endif /* __x86_64__ */

TEST_HARNESS_MAIN
