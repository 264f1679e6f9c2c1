// SPDX-License-Identifier: GPL-2.0
/*
 * A libFuzzer target: the input's bytes say which calls are made on a small heap, and
 * which of their allocations fail.  The heap's shadow checks each call.
 *
 * The first four bytes describe the heap.  Then there is a byte for each call, which
 * counts modulo 8, and the bytes of its arguments.  A missing byte is 0.
 */
#include "shadow.h"

#define MAX_BATCH	64
#define MAX_OBJECTS	20000
#define POOL		PYMALLOC_POOL_SIZE
#define ARENA		PYMALLOC_ARENA_SIZE

static struct {
	const u8 *data;
	size_t left;
	struct shadow *shadow;
	/* The other heap of the family, or NULL. */
	struct shadow *other;
	unsigned long user_max;
	struct pym_quota user;
} fuzz;

static u64 byte(void)
{
	if (!fuzz.left)
		return 0;
	fuzz.left--;
	return *fuzz.data++;
}

static u64 two_bytes(void)
{
	u64 high = byte();

	return high << 8 | byte();
}

/* The ref of an object; or, depending on the bytes, a ref that is probably bad. */
static u64 a_ref(void)
{
	u64 number = two_bytes(), ref = 0;

	if (fuzz.shadow->nr_objects)
		ref = fuzz.shadow->objects[number % fuzz.shadow->nr_objects].ref;
	switch (number >> 12) {
	case 15:
		return ref + byte();
	case 14:
		return ref + POOL * byte();
	case 13:
		return ARENA * byte() + 8 * byte();
	case 12:
		return ref | 1ULL << byte() % 64;
	default:
		return ref;
	}
}

static void alloc_blocks(void)
{
	u64 size = 1 + two_bytes() % PYMALLOC_BLOCK_MAX, refs[MAX_BATCH], nr = byte();

	if (fuzz.shadow->nr_objects < MAX_OBJECTS)
		shadow_alloc(fuzz.shadow, size, nr & 128, refs, 1 + nr % MAX_BATCH);
}

static void alloc_runs(void)
{
	u64 size = PYMALLOC_BLOCK_MAX + 1 + two_bytes() * 64, refs[4], nr = byte();

	shadow_alloc(fuzz.shadow, size, nr & 128, refs, 1 + nr % ARRAY_SIZE(refs));
}

static void give_back(void)
{
	u64 refs[MAX_BATCH], nr = 1 + byte() % MAX_BATCH, i;

	for (i = 0; i < nr; i++)
		refs[i] = a_ref();
	shadow_free(fuzz.shadow, refs, nr);
}

/* Free refs at equal distances: objects that were allocated together, or bad refs. */
static void give_back_many(void)
{
	u64 refs[MAX_BATCH], nr = 1 + byte() % MAX_BATCH, ref = a_ref(), i;
	u64 step = shadow_usable(fuzz.shadow, ref) ?: 8;

	for (i = 0; i < nr; i++)
		refs[i] = ref + i * step;
	shadow_free(fuzz.shadow, refs, nr);
}

static void resize(void)
{
	u64 ref = a_ref(), size = 1 + two_bytes();

	/* Half of the sizes are blocks. */
	shadow_resize(fuzz.shadow, &ref, size % 2 ? size * 32 : 1 + size % PYMALLOC_BLOCK_MAX);
}

static void walk(void)
{
	u64 window = fuzz.shadow->heap.window;
	u64 start = two_bytes() * 64 % window, end = start + two_bytes() * 8;

	shadow_walk(fuzz.shadow, start, min(end, window), 1 + byte());
}

static void fail(void)
{
	u64 event = byte() % KERNEL_EVENTS, skip = byte(), times = byte();

	kernel_fail_nothing();
	kernel_fail(event, skip, times == 255 ? ~0UL : times);
}

/* Fork the heap; or, if it has a relative already, destroy that. */
static void fork_or_delete(void)
{
	if (!fuzz.other) {
		fuzz.other = shadow_fork(fuzz.shadow);
	} else {
		shadow_delete(fuzz.other);
		fuzz.other = NULL;
	}
}

static void change_heap(void)
{
	struct shadow *shadow = fuzz.shadow;

	if (!fuzz.other)
		return;
	fuzz.shadow = fuzz.other;
	fuzz.other = shadow;
}

static void other(void)
{
	switch (byte() % 8) {
	case 0:
		shadow_trim(fuzz.shadow);
		break;
	case 1:
		fuzz.user_max = byte() * 4 * POOL;
		break;
	case 2:
		kernel_fail_nothing();
		shadow_verify(fuzz.shadow);
		break;
	case 3:
		shadow_write(fuzz.shadow, a_ref());
		break;
	case 4:
		fork_or_delete();
		break;
	case 5:
		change_heap();
		break;
	default:
		shadow_usable(fuzz.shadow, a_ref());
	}
}

static void begin(void)
{
	struct shadow_config config = { .user = &fuzz.user };
	u64 kind = byte(), arenas = byte(), limit = byte();

	config.alignment = kind & 1 ? 16 : 8;
	config.window = (2 + arenas % 8 + (kind & 2 ? PYM_REGION_ARENAS : 0)) * ARENA;
	config.limit = limit * 4 * POOL;
	config.threshold = limit * 2 * POOL;
	fuzz.user_max = byte() * 4 * POOL;
	fuzz.user.max = &fuzz.user_max;
	MUST(!pym_arena_cache_init(), "no cache");
	fuzz.shadow = shadow_new(&config);
}

static void end(void)
{
	kernel_fail_nothing();
	shadow_verify(fuzz.shadow);
	if (fuzz.other) {
		shadow_verify(fuzz.other);
		fork_or_delete();
	}
	MUST(atomic_long_read(&fuzz.user.used) ==
	     atomic_long_read(&fuzz.shadow->heap.quota.used),
	     "the user is charged for something else");
	shadow_delete(fuzz.shadow);
	MUST(!atomic_long_read(&fuzz.user.used), "the user is still charged");
	pym_arena_cache_exit();
	kernel_empty();
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static void (*const calls[])(void) = {
		alloc_blocks, give_back, give_back_many, resize, alloc_runs, walk, fail, other,
	};

	fuzz.data = data;
	fuzz.left = size;
	begin();
	while (fuzz.left)
		calls[byte() % ARRAY_SIZE(calls)]();
	end();
	return 0;
}
