// SPDX-License-Identifier: GPL-2.0
/*
 * What every command owes its callers, whatever the command does: the size in
 * its struct, flags, reserved fields, bad pointers, the right descriptor.
 */
#include <assert.h>

#include "service.h"

#define SIZE_IS(type, bytes) static_assert(sizeof(struct pymalloc_##type) == (bytes), #type)

SIZE_IS(info, 160);
SIZE_IS(create, 80);
SIZE_IS(open, 16);
SIZE_IS(heap_info, 144);
SIZE_IS(list, 40);
SIZE_IS(forget, 24);
SIZE_IS(alloc, 32);
SIZE_IS(free, 40);
SIZE_IS(batch_head, 8);
SIZE_IS(usable, 32);
SIZE_IS(resize, 24);
SIZE_IS(class_stats, 64);
SIZE_IS(stats, 248);
SIZE_IS(arena_info, 32);
SIZE_IS(pool_info, 32);
SIZE_IS(block_info, 16);
SIZE_IS(walk, 56);
SIZE_IS(trim, 16);
SIZE_IS(check, 104);
SIZE_IS(notify, 16);
SIZE_IS(caches, 24);
SIZE_IS(end, 8);
SIZE_IS(grow, 16);
SIZE_IS(compact, 48);
SIZE_IS(policy, 24);
SIZE_IS(cache, 40);
SIZE_IS(trace, 48);
SIZE_IS(sites, 48);
SIZE_IS(site_info, 24);
SIZE_IS(cache_header, 2240);
SIZE_IS(type_info, 88);
SIZE_IS(types, 40);
SIZE_IS(holds, 56);
SIZE_IS(roots, 56);
SIZE_IS(client_info, 56);
SIZE_IS(clients, 48);

union argument {
	__u32 argsz;
	struct pymalloc_create create;
	struct pymalloc_open open;
	struct pymalloc_list list;
	struct pymalloc_forget forget;
	struct pymalloc_alloc alloc;
	struct pymalloc_free free;
	struct pymalloc_usable usable;
	struct pymalloc_resize resize;
	struct pymalloc_walk walk;
	struct pymalloc_grow grow;
	struct pymalloc_cache cache;
	struct pymalloc_trace trace;
	struct pymalloc_sites sites;
	struct pymalloc_types types;
	struct pymalloc_holds holds;
	struct pymalloc_roots roots;
	struct pymalloc_clients clients;
	unsigned char bytes[512];
};

#define ON_DEVICE 1
#define ON_HEAP 2
#define ON_SHARED 4	/* a private heap has nothing of it */

/* Offset 0 is that of argsz. For every other field, 0 means "no such field". */
struct command {
	const char *name;
	unsigned long number;
	size_t size;
	size_t min;	/* in the first version, if the struct has grown */
	size_t flags;
	__u32 known_flags;
	size_t reserved;
	int where;
	bool opens;	/* returns a descriptor */
	bool ends;	/* the heap is of no use afterwards */
};

#define SHAPE(type, NAME) \
	.name = #NAME, .number = PYMALLOC_IOC_##NAME, .size = sizeof(struct pymalloc_##type)
#define FLAGS(type) .flags = offsetof(struct pymalloc_##type, flags)
#define RESERVED(type) .reserved = offsetof(struct pymalloc_##type, reserved)

static const struct command commands[] = {
	{ SHAPE(info, INFO), .min = offsetof(struct pymalloc_info, version),
	  .where = ON_DEVICE },
	{ SHAPE(create, CREATE), FLAGS(create), RESERVED(create),
	  .known_flags = PYMALLOC_CREATE_NO_MESH | PYMALLOC_CREATE_KEEP_DEAD |
			 PYMALLOC_CREATE_SHARED,
	  .min = offsetof(struct pymalloc_create, extent), .where = ON_DEVICE, .opens = true },
	{ SHAPE(open, OPEN), FLAGS(open),
	  .known_flags = PYMALLOC_OPEN_RDONLY | PYMALLOC_OPEN_MAPPED,
	  .where = ON_DEVICE, .opens = true },
	{ SHAPE(list, LIST), FLAGS(list), RESERVED(list), .known_flags = PYMALLOC_LIST_DEAD,
	  .where = ON_DEVICE | ON_HEAP },
	{ SHAPE(forget, FORGET), FLAGS(forget), .known_flags = PYMALLOC_FORGET_ALL,
	  .where = ON_DEVICE },
	{ SHAPE(alloc, ALLOC), FLAGS(alloc),
	  .known_flags = PYMALLOC_ALLOC_ZERO | PYMALLOC_ALLOC_PINNED, .where = ON_HEAP },
	{ SHAPE(free, FREE), FLAGS(free), .where = ON_HEAP },
	{ SHAPE(usable, USABLE), FLAGS(usable), .where = ON_HEAP },
	{ SHAPE(resize, RESIZE), FLAGS(resize), .where = ON_HEAP },
	{ SHAPE(stats, STATS), FLAGS(stats),
	  .min = offsetof(struct pymalloc_stats, shared_bytes), .where = ON_HEAP },
	{ SHAPE(walk, WALK), RESERVED(walk), .where = ON_HEAP },
	{ SHAPE(trim, TRIM), FLAGS(trim), .where = ON_HEAP },
	{ SHAPE(check, CHECK), FLAGS(check), .where = ON_HEAP },
	{ SHAPE(notify, NOTIFY), FLAGS(notify), .where = ON_HEAP },
	{ SHAPE(caches, CACHES), FLAGS(caches), .where = ON_HEAP },
	{ SHAPE(cache, CACHE), FLAGS(cache), .known_flags = PYMALLOC_STEAL_ALL,
	  .where = ON_HEAP },
	{ SHAPE(grow, GROW), FLAGS(grow), .where = ON_HEAP },
	{ SHAPE(compact, COMPACT), FLAGS(compact),
	  .known_flags = PYMALLOC_COMPACT_STOCK | PYMALLOC_COMPACT_CACHES |
			 PYMALLOC_COMPACT_MESH,
	  .where = ON_HEAP },
	{ SHAPE(policy, POLICY), FLAGS(policy),
	  .known_flags = PYMALLOC_POLICY_SET | PYMALLOC_POLICY_RESET, .where = ON_HEAP },
	{ SHAPE(trace, TRACE), FLAGS(trace),
	  .known_flags = PYMALLOC_TRACE_SET | PYMALLOC_TRACE_BEGUN | PYMALLOC_TRACE_IDLE |
			 PYMALLOC_TRACE_NO_IDLE,
	  .where = ON_HEAP },
	{ SHAPE(sites, SITES), FLAGS(sites), RESERVED(sites), .where = ON_HEAP },
	{ SHAPE(types, TYPES), FLAGS(types), RESERVED(types), .where = ON_HEAP },
	{ SHAPE(holds, HOLDS), FLAGS(holds), .known_flags = PYMALLOC_HOLDS_KEEP,
	  .where = ON_SHARED },
	{ SHAPE(roots, ROOTS), FLAGS(roots), RESERVED(roots), .where = ON_SHARED },
	{ SHAPE(clients, CLIENTS), FLAGS(clients), RESERVED(clients), .where = ON_SHARED },
	{ SHAPE(seal, SEAL), FLAGS(seal), .where = ON_HEAP, .ends = true },
	{ SHAPE(end, END), FLAGS(end), .where = ON_HEAP, .ends = true },
	{ .name = NULL }
};

/* The line of a command, which is in the table. */
static const struct command *command_of(unsigned long number)
{
	const struct command *c = commands;

	while (c->number != number)
		c++;
	return c;
}

FIXTURE(abi)
{
	struct heap heap;
	struct heap shared;
	int device;
	__u64 ref;
	__u64 shared_ref;
	__u64 refs[1];
	__u64 sizes[1];
	char entries[256];
	union argument arg;
};

FIXTURE_SETUP(abi)
{
	self->heap = HEAP();
	self->shared = HEAP(.flags = PYMALLOC_CREATE_SHARED);
	self->device = device_open(_metadata);
	self->ref = alloc_one(&self->heap, 64);
}

FIXTURE_TEARDOWN(abi)
{
	heap_check(&self->heap);
	heap_check(&self->shared);
	heap_close(&self->shared);
	heap_close(&self->heap);
	close(self->device);
}

/* The first client gives itself a block that it holds. */
static void fill_holds(FIXTURE_DATA(abi) *self, struct pymalloc_holds *holds)
{
	struct pymalloc_holds hold = ARG(holds, .refs = user_ptr(self->refs), .count = 1);

	if (!self->shared_ref)
		self->shared_ref = alloc_one(&self->shared, 64);
	self->refs[0] = self->shared_ref;
	call(self->shared.fd, PYMALLOC_IOC_HOLDS, &hold);
	holds->op = PYMALLOC_HOLDS_GIVE;
	holds->client = 1;
	holds->refs = user_ptr(self->refs);
	holds->count = 1;
}

/* An argument with which the command works, however often it is called. */
static union argument *good(FIXTURE_DATA(abi) *self, const struct command *c)
{
	union argument *arg = &self->arg;

	memset(arg, 0, sizeof(*arg));
	arg->argsz = c->size;
	self->refs[0] = self->ref;
	switch (c->number) {
	case PYMALLOC_IOC_OPEN:
		arg->open.id = self->heap.id;
		break;
	case PYMALLOC_IOC_LIST:
		arg->list.heaps = user_ptr(self->entries);
		arg->list.count = 1;
		arg->list.entry_size = sizeof(struct pymalloc_heap_info);
		break;
	case PYMALLOC_IOC_FORGET:
		arg->forget.flags = PYMALLOC_FORGET_ALL;
		break;
	case PYMALLOC_IOC_ALLOC:
		arg->alloc.refs = user_ptr(self->refs);
		arg->alloc.size = 64;
		arg->alloc.count = 1;
		break;
	case PYMALLOC_IOC_FREE:
		self->refs[0] = alloc_one(&self->heap, 64);
		arg->free.refs = user_ptr(self->refs);
		arg->free.count = 1;
		break;
	case PYMALLOC_IOC_USABLE:
		arg->usable.refs = user_ptr(self->refs);
		arg->usable.sizes = user_ptr(self->sizes);
		arg->usable.count = 1;
		break;
	case PYMALLOC_IOC_RESIZE:
		arg->resize.ref = self->ref;
		arg->resize.size = 64;
		break;
	case PYMALLOC_IOC_WALK:
		arg->walk.what = PYMALLOC_WALK_ARENAS;
		arg->walk.entries = user_ptr(self->entries);
		arg->walk.count = 1;
		arg->walk.entry_size = sizeof(struct pymalloc_arena_info);
		break;
	case PYMALLOC_IOC_GROW:
		arg->grow.extent = self->heap.bytes;
		break;
	case PYMALLOC_IOC_CACHE:
		arg->cache.op = PYMALLOC_CACHE_STEAL;
		break;
	case PYMALLOC_IOC_SITES:
		arg->sites.op = PYMALLOC_SITES_DROP;
		break;
	case PYMALLOC_IOC_TYPES:
		arg->types.op = PYMALLOC_TYPES_READ;
		arg->types.infos = user_ptr(self->entries);
		arg->types.count = 1;
		arg->types.entry_size = sizeof(struct pymalloc_type_info);
		break;
	case PYMALLOC_IOC_HOLDS:
		fill_holds(self, &arg->holds);
		break;
	case PYMALLOC_IOC_ROOTS:
		fill_holds(self, &(struct pymalloc_holds){});
		arg->roots.ref = self->shared_ref;
		memcpy(arg->roots.name, "name", 4);
		break;
	case PYMALLOC_IOC_CLIENTS:
		arg->clients.infos = user_ptr(self->entries);
		arg->clients.count = 1;
		arg->clients.entry_size = sizeof(struct pymalloc_client_info);
		break;
	}
	return arg;
}

static int descriptor(FIXTURE_DATA(abi) *self, const struct command *c)
{
	if (c->where & ON_DEVICE)
		return self->device;
	return c->where & ON_SHARED ? self->shared.fd : self->heap.fd;
}

/* Returns 0 or -errno. Closes a descriptor that the command returned. */
static int try(FIXTURE_DATA(abi) *self, const struct command *c, void *arg)
{
	struct heap victim = {};
	int ret;

	if (c->ends)
		victim = heap_create(self->heap.test, (struct pymalloc_create)ARG(create));
	ret = call(c->ends ? victim.fd : descriptor(self, c), c->number, arg);
	if (c->ends)
		heap_close(&victim);
	if (ret < 0 || !c->opens)
		return ret;
	close(ret);
	return 0;
}

/*
 * Put a copy of the argument into the last @bytes that can be read or written.
 */
static void *at_edge(struct __test_metadata *_metadata, union argument *arg, size_t bytes,
		     int beyond)
{
	void *edge = edge_buffer(_metadata, bytes, beyond);

	memcpy(edge, arg, bytes < sizeof(*arg) ? bytes : sizeof(*arg));
	return edge;
}

TEST_F(abi, good)
{
	for (const struct command *c = commands; c->name; c++) {
		EXPECT_EQ(0, try(self, c, good(self, c))) TH_LOG("%s", c->name);
	}
}

TEST_F(abi, descriptors_close_on_exec)
{
	for (const struct command *c = commands; c->name; c++) {
		int fd;

		if (!c->opens)
			continue;
		fd = call(self->device, c->number, good(self, c));
		ASSERT_LE(0, fd);
		EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD)) TH_LOG("%s", c->name);
		close(fd);
	}
}

TEST_F(abi, size_too_small)
{
	for (const struct command *c = commands; c->name; c++) {
		const __u32 min = c->min ?: c->size, sizes[] = { 0, 1, 4, min - 8, min - 1 };

		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			union argument *arg = good(self, c);

			arg->argsz = sizes[i];
			EXPECT_EQ(-EINVAL, try(self, c, arg)) TH_LOG("%s %u", c->name, sizes[i]);
		}
	}
}

TEST_F(abi, size_larger_with_zeroes)
{
	for (const struct command *c = commands; c->name; c++) {
		for (__u32 more = 1; more <= 64; more++) {
			union argument *arg = good(self, c);

			arg->argsz = c->size + more;
			EXPECT_EQ(0, try(self, c, arg)) TH_LOG("%s +%u", c->name, more);
		}
	}
}

TEST_F(abi, size_larger_with_something)
{
	for (const struct command *c = commands; c->name; c++) {
		for (__u32 more = 1; more <= 64; more++) {
			union argument *arg = good(self, c);

			arg->argsz = c->size + more;
			arg->bytes[arg->argsz - 1] = 1;
			EXPECT_EQ(-E2BIG, try(self, c, arg)) TH_LOG("%s +%u", c->name, more);
		}
	}
}

TEST_F(abi, size_huge)
{
	static const __u32 sizes[] = { 1 << 20, 1U << 31, ~0U };

	for (const struct command *c = commands; c->name; c++) {
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			union argument *arg = good(self, c);

			arg->argsz = sizes[i];
			EXPECT_EQ(-E2BIG, try(self, c, arg)) TH_LOG("%s %u", c->name, sizes[i]);
		}
	}
}

TEST_F(abi, size_larger_than_memory)
{
	for (const struct command *c = commands; c->name; c++) {
		union argument *arg = good(self, c);

		arg->argsz = c->size + 8;
		EXPECT_EQ(-EFAULT, try(self, c, at_edge(_metadata, arg, c->size, PROT_NONE)))
			TH_LOG("%s", c->name);
	}
}

TEST_F(abi, unknown_flags)
{
	for (const struct command *c = commands; c->name; c++) {
		for (int bit = 0; c->flags && bit < 32; bit++) {
			union argument *arg = good(self, c);
			__u32 flag = 1U << bit;

			memcpy(&arg->bytes[c->flags], &flag, sizeof(flag));
			if (c->number == PYMALLOC_IOC_OPEN && flag == PYMALLOC_OPEN_MAPPED)
				arg->open.id = user_ptr(self->heap.window);
			EXPECT_EQ(flag & c->known_flags ? 0 : -EINVAL, try(self, c, arg))
				TH_LOG("%s flag %d", c->name, bit);
		}
	}
}

TEST_F(abi, reserved_fields)
{
	for (const struct command *c = commands; c->name; c++) {
		for (int byte = 0; c->reserved && byte < 4; byte++) {
			union argument *arg = good(self, c);

			arg->bytes[c->reserved + byte] = 1;
			EXPECT_EQ(-EINVAL, try(self, c, arg)) TH_LOG("%s byte %d", c->name, byte);
		}
	}
}

/* A heap's own LIST is a command of its own: the table's line is for the device's. */
TEST_F(abi, list_of_one_heap)
{
	struct pymalloc_list *list = &good(self, command_of(PYMALLOC_IOC_LIST))->list;

	EXPECT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_LIST, list));
	EXPECT_EQ(1, list->done);
	list->flags = 1;
	EXPECT_EQ(-EINVAL, call(self->heap.fd, PYMALLOC_IOC_LIST, list));
	EXPECT_EQ(0, list->done);
	list->flags = 0;
	list->reserved = 1;
	list->done = 7;
	EXPECT_EQ(-EINVAL, call(self->heap.fd, PYMALLOC_IOC_LIST, list));
	EXPECT_EQ(0, list->done);
}

/* What a refused call returns says that nothing was done, whatever was there before. */
TEST_F(abi, refused_calls_have_done_nothing)
{
	static const struct {
		unsigned long number;
		size_t wrong;	/* the field to be refused */
		size_t done;
	} calls[] = {
		{ PYMALLOC_IOC_LIST, offsetof(struct pymalloc_list, flags),
		  offsetof(struct pymalloc_list, done) },
		{ PYMALLOC_IOC_ALLOC, offsetof(struct pymalloc_alloc, flags),
		  offsetof(struct pymalloc_alloc, done) },
		{ PYMALLOC_IOC_FREE, offsetof(struct pymalloc_free, flags),
		  offsetof(struct pymalloc_free, done) },
		{ PYMALLOC_IOC_USABLE, offsetof(struct pymalloc_usable, flags),
		  offsetof(struct pymalloc_usable, done) },
		{ PYMALLOC_IOC_WALK, offsetof(struct pymalloc_walk, reserved),
		  offsetof(struct pymalloc_walk, done) },
		{ PYMALLOC_IOC_COMPACT, offsetof(struct pymalloc_compact, flags),
		  offsetof(struct pymalloc_compact, pages_freed) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		const struct command *c = command_of(calls[i].number);
		union argument *arg = good(self, c);
		__u32 done;

		memset(&arg->bytes[calls[i].wrong], 0xff, sizeof(__u32));
		memset(&arg->bytes[calls[i].done], 0xff, sizeof(__u32));
		if (c->number == PYMALLOC_IOC_FREE)
			arg->free.nr_bad = 7;
		EXPECT_EQ(-EINVAL, try(self, c, arg)) TH_LOG("%s", c->name);
		memcpy(&done, &arg->bytes[calls[i].done], sizeof(done));
		EXPECT_EQ(0, done) TH_LOG("%s", c->name);
		if (c->number == PYMALLOC_IOC_FREE) {
			EXPECT_EQ(0, arg->free.nr_bad);
			EXPECT_EQ(arg->free.count, arg->free.first_bad);
		}
	}
}

TEST_F(abi, unmapped_argument)
{
	for (const struct command *c = commands; c->name; c++) {
		EXPECT_EQ(-EFAULT, try(self, c, NULL)) TH_LOG("%s", c->name);
		EXPECT_EQ(-EFAULT, try(self, c, (void *)-1L)) TH_LOG("%s", c->name);
		EXPECT_EQ(-EFAULT, try(self, c, (void *)(1UL << 63))) TH_LOG("%s", c->name);
	}
}

TEST_F(abi, half_an_argument)
{
	for (const struct command *c = commands; c->name; c++) {
		void *half = at_edge(_metadata, good(self, c), c->size / 2, PROT_NONE);

		EXPECT_EQ(-EFAULT, try(self, c, half)) TH_LOG("%s", c->name);
	}
}

/*
 * The struct cannot be written back. The command must do nothing; above all, it
 * must make no heap.
 */
TEST_F(abi, read_only_argument)
{
	__u32 heaps = service_info(_metadata).user_heaps;

	for (const struct command *c = commands; c->name; c++) {
		void *page = at_edge(_metadata, good(self, c), PYMALLOC_POOL_SIZE, PROT_NONE);

		ASSERT_EQ(0, mprotect(page, PYMALLOC_POOL_SIZE, PROT_READ));
		EXPECT_EQ(-EFAULT, try(self, c, page)) TH_LOG("%s", c->name);
		heap_check(&self->heap);
	}
	EXPECT_EQ(heaps, service_info(_metadata).user_heaps);
}

TEST_F(abi, wrong_descriptor)
{
	int file = open("/dev/null", O_RDWR);

	for (const struct command *c = commands; c->name; c++) {
		union argument *arg = good(self, c);

		EXPECT_EQ(c->where & ON_DEVICE ? 0 : -ENOTTY,
			  call(self->device, c->number, arg) < 0 ? -errno : 0)
			TH_LOG("%s on the device", c->name);
		EXPECT_EQ(c->where & ON_HEAP ? 0 : c->where & ON_SHARED ? -EINVAL : -ENOTTY,
			  c->ends ? try(self, c, arg) :
				    call(self->heap.fd, c->number, good(self, c)))
			TH_LOG("%s on a heap", c->name);
		EXPECT_EQ(-ENOTTY, call(file, c->number, good(self, c)))
			TH_LOG("%s on another file", c->name);
	}
}

static bool is_command(unsigned long number)
{
	for (const struct command *c = commands; c->name; c++) {
		if (c->number == number)
			return true;
	}
	return false;
}

TEST_F(abi, unknown_commands)
{
	for (unsigned int nr = 0; nr < 256; nr++) {
		unsigned long numbers[] = {
			_IO(PYMALLOC_IOC_MAGIC, nr),
			_IOWR(PYMALLOC_IOC_MAGIC, nr, struct pymalloc_alloc),
			_IO(PYMALLOC_IOC_MAGIC + 1, nr),
		};

		for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
			if (is_command(numbers[i]))
				continue;
			EXPECT_EQ(-ENOTTY, call(self->device, numbers[i], &self->arg));
			EXPECT_EQ(-ENOTTY, call(self->heap.fd, numbers[i], &self->arg));
		}
	}
}

/*
 * A single byte is no batch, and the device has no read() and write() at all.  No
 * descriptor can be truncated, and the device cannot be mapped.
 */
TEST_F(abi, no_single_bytes)
{
	const int fds[] = { self->device, self->heap.fd };
	char byte = 0;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		EXPECT_EQ(-1, read(fds[i], &byte, 1));
		EXPECT_EQ(EINVAL, errno);
		EXPECT_EQ(-1, write(fds[i], &byte, 1));
		EXPECT_EQ(EINVAL, errno);
		EXPECT_EQ(-1, ftruncate(fds[i], 1 << 20));
		EXPECT_EQ(EINVAL, errno);
	}
	EXPECT_EQ(MAP_FAILED, mmap(NULL, POOL, PROT_READ, MAP_SHARED, self->device, 0));
	EXPECT_EQ(ENODEV, errno);
}

TEST(geometry)
{
	struct pymalloc_info info = service_info(_metadata);

	EXPECT_EQ(sizeof(info), info.argsz);
	EXPECT_EQ(PYMALLOC_ABI_VERSION, info.abi_version);
	EXPECT_EQ(PYMALLOC_POOL_SIZE, info.pool_size);
	EXPECT_EQ(PYMALLOC_ARENA_SIZE, info.arena_size);
	EXPECT_EQ(PYMALLOC_BLOCK_MIN, info.block_min);
	EXPECT_EQ(PYMALLOC_BLOCK_MAX, info.block_max);
	EXPECT_EQ(PYMALLOC_NR_CLASSES, info.nr_classes);
	EXPECT_EQ(PYMALLOC_BATCH_MAX, info.batch_max);
	EXPECT_EQ(PYMALLOC_SIZE_MAX, info.size_max);
	EXPECT_EQ(PYMALLOC_WINDOW_MAX, info.window_max);
	EXPECT_EQ(0, info.window_default % PYMALLOC_ARENA_SIZE);
	EXPECT_LE(PYMALLOC_WINDOW_MIN, info.window_default);
	EXPECT_GE(PYMALLOC_WINDOW_MAX, info.window_default);
}

/* The version that the module reports is the version that is built here. */
TEST(version)
{
	struct pymalloc_info info = service_info(_metadata);
	char version[sizeof(info.version)] = "";
	FILE *file = fopen("/sys/module/pymalloc/version", "r");

	ASSERT_NE(NULL, file);
	ASSERT_NE(NULL, fgets(version, sizeof(version), file));
	fclose(file);
	version[strcspn(version, "\n")] = '\0';
	EXPECT_STREQ(version, info.version);
	EXPECT_LT(0, strlen(info.version));
}

TEST(info_counts_the_user)
{
	struct pymalloc_info before = service_info(_metadata);
	struct heap heap = HEAP();
	struct pymalloc_info after;

	alloc_one(&heap, 3 * POOL);
	alloc_one(&heap, 8);
	after = service_info(_metadata);
	EXPECT_EQ(before.user_heaps + 1, after.user_heaps);
	EXPECT_EQ(user_pages(&before) + 4 * POOL, user_pages(&after));
	EXPECT_EQ(before.user_meta_bytes + heap_stats(&heap).meta_bytes, after.user_meta_bytes);
	heap_close(&heap);
	after = service_info(_metadata);
	EXPECT_EQ(before.user_heaps, after.user_heaps);
	EXPECT_EQ(before.user_bytes, after.user_bytes);
	EXPECT_EQ(before.user_meta_bytes, after.user_meta_bytes);
}

TEST_HARNESS_MAIN
