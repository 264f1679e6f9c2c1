// SPDX-License-Identifier: GPL-2.0
/* Types: what is kept constructed, when objects end, and whose their memory is. */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pymalloc-inline.h>
#include <pymalloc-reservation.h>
#include <pymalloc-type.h>

#include "library.h"

#define SIZE	48
#define KEEP	4
#define MANY	3000
/* What a constructor leaves in each object. */
#define MARK	0x5AFE5AFE5AFE5AFEULL

struct object {
	__u64 mark;
	__u64 uses;
	char rest[SIZE - 16];
};

/* What constructors and destructors have done. */
static unsigned int constructed, destructed, wrong;
/* So many more constructions work. */
static unsigned int will_work;

static int construct(void *memory, void *arg)
{
	struct object *object = memory;

	if (!__atomic_load_n(&will_work, __ATOMIC_RELAXED)) {
		errno = EXFULL;
		return -1;
	}
	__atomic_sub_fetch(&will_work, 1, __ATOMIC_RELAXED);
	wrong += arg != &constructed;
	*object = (struct object){ .mark = MARK };
	__atomic_add_fetch(&constructed, 1, __ATOMIC_RELAXED);
	return 0;
}

static void destruct(void *memory, void *arg)
{
	struct object *object = memory;

	wrong += arg != &constructed || object->mark != MARK;
	object->mark = 0;
	__atomic_add_fetch(&destructed, 1, __ATOMIC_RELAXED);
}

/* The last bad free. */
static void *bad;
static unsigned int bad_status;

static void note_bad_free(struct pymalloc_heap *heap, void *object, unsigned int status)
{
	(void)heap;
	bad = object;
	bad_status = status;
}

static struct pymalloc_type_options options_of(unsigned int flags)
{
	return (struct pymalloc_type_options){
		.name = "tests",
		.size = SIZE,
		.construct = construct,
		.destruct = destruct,
		.arg = &constructed,
		.keep = KEEP,
		.flags = flags,
	};
}

FIXTURE(type) {
	struct pymalloc_heap *heap;
	struct pymalloc_type *type;
	__u64 before;
};

FIXTURE_VARIANT(type) {
	unsigned int flags;
};

FIXTURE_VARIANT_ADD(type, shared) { .flags = 0 };
FIXTURE_VARIANT_ADD(type, own) { .flags = PYMALLOC_TYPE_OWN_POOLS };

FIXTURE_SETUP(type)
{
	struct pymalloc_type_options options = options_of(variant->flags);

	constructed = 0;
	destructed = 0;
	wrong = 0;
	will_work = ~0U;
	bad = NULL;
	bad_status = PYMALLOC_REF_OK;
	self->heap = heap_with("types", 8, 0);
	ASSERT_NE(NULL, self->heap);
	pymalloc_set_bad_free(note_bad_free);
	self->before = left_in(self->heap);
	self->type = pymalloc_type_create(self->heap, &options);
	ASSERT_NE(NULL, self->type);
}

FIXTURE_TEARDOWN(type)
{
	EXPECT_EQ(0, wrong);
	EXPECT_TRUE(sound(self->heap));
	pymalloc_heap_destroy(self->heap);
	pymalloc_set_bad_free(NULL);
}

static struct pymalloc_type_figures figures_of(struct pymalloc_type *type)
{
	struct pymalloc_type_figures figures;

	pymalloc_type_figures(type, &figures);
	return figures;
}

/* What the kernel shows of the heap's first type. */
static struct pymalloc_type_info shown_of(struct pymalloc_heap *heap)
{
	struct pymalloc_type_info info = {};
	struct pymalloc_types args = {
		.argsz = sizeof(args),
		.op = PYMALLOC_TYPES_READ,
		.infos = (uintptr_t)&info,
		.count = 1,
		.entry_size = sizeof(info),
	};

	ioctl(pymalloc_heap_fd(heap), PYMALLOC_IOC_TYPES, &args);
	return info;
}

/* Gets @nr objects.  Returns how many it has got. */
static size_t get(struct pymalloc_type *type, void **objects, size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i++) {
		objects[i] = pymalloc_type_alloc(type);
		if (!objects[i])
			break;
		((struct object *)objects[i])->uses++;
	}
	return i;
}

static void give(struct pymalloc_type *type, void **objects, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		pymalloc_type_free(type, objects[i]);
}

TEST_F(type, constructs_once)
{
	struct object *object = pymalloc_type_alloc(self->type), *again;

	ASSERT_NE(NULL, object);
	EXPECT_EQ(1, constructed);
	EXPECT_EQ(MARK, object->mark);
	EXPECT_TRUE(aligned_to(object, 8));
	for (int i = 0; i < 100; i++) {
		object->uses = i;
		pymalloc_type_free(self->type, object);
		again = pymalloc_type_alloc(self->type);
		ASSERT_EQ(object, again);
		EXPECT_EQ(i, again->uses);
	}
	EXPECT_EQ(1, constructed);
	EXPECT_EQ(0, destructed);
}

TEST_F(type, keeps_no_more)
{
	void *objects[KEEP + 3];

	ASSERT_EQ(KEEP + 3, get(self->type, objects, KEEP + 3));
	give(self->type, objects, KEEP);
	EXPECT_EQ(0, destructed);
	give(self->type, objects + KEEP, 3);
	EXPECT_EQ(3, destructed);
	/* Those that it keeps come back, the last one first. */
	for (int i = KEEP - 1; i >= 0; i--)
		EXPECT_EQ(objects[i], pymalloc_type_alloc(self->type));
	EXPECT_EQ(KEEP + 3, constructed);
	give(self->type, objects, KEEP);
	EXPECT_EQ(0, pymalloc_type_destroy(self->type));
	EXPECT_EQ(KEEP + 3, destructed);
	EXPECT_EQ(self->before, left_in(self->heap));
}

TEST_F(type, keeps_none)
{
	struct pymalloc_type_options options = options_of(variant->flags);
	struct pymalloc_type *type;
	void *object;

	options.keep = 0;
	type = pymalloc_type_create(self->heap, &options);
	ASSERT_NE(NULL, type);
	for (unsigned int i = 1; i <= 100; i++) {
		object = pymalloc_type_alloc(type);
		ASSERT_NE(NULL, object);
		pymalloc_type_free(type, object);
		EXPECT_EQ(i, destructed);
	}
	EXPECT_EQ(0, pymalloc_type_destroy(type));
}

TEST_F(type, without_functions)
{
	struct pymalloc_type_options options = { .size = SIZE, .flags = variant->flags };
	struct pymalloc_type *type = pymalloc_type_create(self->heap, &options);
	void *object;

	ASSERT_NE(NULL, type);
	object = pymalloc_type_alloc(type);
	ASSERT_NE(NULL, object);
	fill(object, SIZE, 1);
	pymalloc_type_free(type, object);
	EXPECT_EQ(0, pymalloc_type_destroy(type));
	EXPECT_EQ(0, constructed);
}

TEST_F(type, constructor_fails)
{
	void *objects[8];

	will_work = 5;
	errno = 0;
	EXPECT_EQ(5, get(self->type, objects, 8));
	EXPECT_EQ(EXFULL, errno);
	EXPECT_EQ(5, figures_of(self->type).objects);
	give(self->type, objects, 5);
	/* Those that are kept need no constructor. */
	EXPECT_EQ(KEEP, get(self->type, objects, 8));
	give(self->type, objects, KEEP);
	EXPECT_EQ(0, pymalloc_type_destroy(self->type));
	EXPECT_EQ(self->before, left_in(self->heap));
}

TEST_F(type, many)
{
	static void *objects[MANY];

	ASSERT_EQ(MANY, get(self->type, objects, MANY));
	for (int i = 0; i < MANY; i++)
		fill((char *)objects[i] + 16, SIZE - 16, i);
	for (int i = 0; i < MANY; i++)
		EXPECT_TRUE(filled((char *)objects[i] + 16, SIZE - 16, i));
	EXPECT_EQ(MANY, figures_of(self->type).objects);
	EXPECT_LE(MANY * SIZE, figures_of(self->type).bytes);
	EXPECT_EQ(SIZE, pymalloc_usable_size(self->heap, objects[0]));
	give(self->type, objects, MANY);
	EXPECT_EQ(MANY - KEEP, destructed);
	EXPECT_EQ(0, pymalloc_type_destroy(self->type));
	EXPECT_EQ(self->before, left_in(self->heap));
}

TEST_F(type, figures)
{
	struct pymalloc_type_figures figures;
	struct pymalloc_type_info info;
	void *objects[10];

	ASSERT_EQ(10, get(self->type, objects, 10));
	give(self->type, objects, 3);
	figures = figures_of(self->type);
	EXPECT_EQ(7, figures.objects);
	EXPECT_EQ(3, figures.kept);
	EXPECT_EQ(10, figures.constructed);
	EXPECT_EQ(0, figures.destructed);
	EXPECT_LE(10 * SIZE, figures.bytes);
	info = shown_of(self->heap);
	EXPECT_STREQ("tests", info.name);
	EXPECT_EQ(SIZE, info.size);
	EXPECT_EQ(8, info.alignment);
	EXPECT_EQ(KEEP, info.keep);
	EXPECT_EQ(variant->flags, info.flags);
	EXPECT_EQ(7, info.objects);
	EXPECT_EQ(3, info.kept);
	EXPECT_EQ(10, info.constructed);
	EXPECT_EQ(figures.bytes, info.bytes);
	EXPECT_EQ(variant->flags ? 1 : 0, info.pools);
	give(self->type, objects + 3, 7);
	figures = figures_of(self->type);
	EXPECT_EQ(0, figures.objects);
	EXPECT_EQ(KEEP, figures.kept);
	EXPECT_EQ(10 - KEEP, figures.destructed);
}

/* Nobody asks for figures, and the kernel is told all the same. */
TEST_F(type, tells_by_itself)
{
	static void *objects[MANY];
	struct pymalloc_type_info info;

	ASSERT_EQ(MANY, get(self->type, objects, MANY));
	info = shown_of(self->heap);
	EXPECT_GE(MANY, info.objects);
	EXPECT_LT(MANY - MANY / 4, info.objects);
	give(self->type, objects, MANY);
	info = shown_of(self->heap);
	EXPECT_GT(MANY / 4, info.objects);
}

TEST_F(type, busy)
{
	void *object = pymalloc_type_alloc(self->type);

	ASSERT_NE(NULL, object);
	errno = 0;
	EXPECT_EQ(-1, pymalloc_type_destroy(self->type));
	EXPECT_EQ(EBUSY, errno);
	pymalloc_type_free(self->type, object);
	EXPECT_EQ(object, pymalloc_type_alloc(self->type));
	pymalloc_type_free(self->type, object);
	EXPECT_EQ(0, pymalloc_type_destroy(self->type));
	EXPECT_EQ(0, shown_of(self->heap).number);
	EXPECT_EQ(0, pymalloc_type_destroy(NULL));
}

static void *use_in_thread(void *arg)
{
	struct pymalloc_type *type = arg;
	void *objects[2 * KEEP];

	if (get(type, objects, 2 * KEEP) != 2 * KEEP)
		return "no objects";
	give(type, objects, 2 * KEEP);
	return NULL;
}

TEST_F(type, ends_with_threads)
{
	enum { THREADS = 8 };
	pthread_t threads[THREADS];
	void *failed;

	for (int i = 0; i < THREADS; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, use_in_thread, self->type));
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &failed);
		EXPECT_EQ(NULL, failed);
	}
	EXPECT_EQ(constructed, destructed);
	EXPECT_EQ(0, figures_of(self->type).kept);
	EXPECT_EQ(constructed, shown_of(self->heap).constructed);
	EXPECT_EQ(0, pymalloc_type_destroy(self->type));
	EXPECT_EQ(self->before, left_in(self->heap));
}

struct passed {
	struct pymalloc_type *type;
	void *objects[KEEP];
};

static void *free_in_thread(void *arg)
{
	struct passed *passed = arg;
	void *again[KEEP];

	give(passed->type, passed->objects, KEEP);
	get(passed->type, again, KEEP);
	for (int i = 0; i < KEEP; i++)
		if (again[i] != passed->objects[KEEP - 1 - i])
			return "not kept";
	give(passed->type, again, KEEP);
	return NULL;
}

TEST_F(type, freed_by_another_thread)
{
	struct passed passed = { .type = self->type };
	pthread_t thread;
	void *failed;

	ASSERT_EQ(KEEP, get(self->type, passed.objects, KEEP));
	ASSERT_EQ(0, pthread_create(&thread, NULL, free_in_thread, &passed));
	pthread_join(thread, &failed);
	EXPECT_EQ(NULL, failed);
	EXPECT_EQ(KEEP, constructed);
	EXPECT_EQ(KEEP, destructed);
	EXPECT_EQ(0, figures_of(self->type).objects);
}

TEST_F(type, bad_frees)
{
	void *objects[KEEP + 1], *other = pymalloc_malloc(self->heap, 4 * SIZE);

	pymalloc_type_free(self->type, NULL);
	EXPECT_EQ(NULL, bad);
	ASSERT_EQ(KEEP + 1, get(self->type, objects, KEEP + 1));
	pymalloc_type_free(self->type, objects[0]);
	pymalloc_type_free(self->type, NULL);
	EXPECT_EQ(NULL, bad);
	/* Twice in a row. */
	pymalloc_type_free(self->type, objects[0]);
	EXPECT_EQ(objects[0], bad);
	EXPECT_EQ(PYMALLOC_REF_FREE, bad_status);
	give(self->type, objects + 1, KEEP - 1);
	/* The list is full: what is no object is found before it is destructed. */
	pymalloc_type_free(self->type, other);
	EXPECT_EQ(other, bad);
	EXPECT_EQ(PYMALLOC_REF_FOREIGN, bad_status);
	pymalloc_type_free(self->type, &bad);
	EXPECT_EQ((void *)&bad, bad);
	pymalloc_type_free(self->type, (char *)objects[KEEP] + 1);
	EXPECT_EQ((char *)objects[KEEP] + 1, (char *)bad);
	EXPECT_EQ(0, destructed);
	pymalloc_type_free(self->type, objects[KEEP]);
	EXPECT_EQ(1, destructed);
	pymalloc_free(self->heap, other);
}

TEST_F(type, keeps_errno)
{
	void *objects[2 * KEEP];

	errno = EXFULL;
	ASSERT_EQ(2 * KEEP, get(self->type, objects, 2 * KEEP));
	give(self->type, objects, 2 * KEEP);
	EXPECT_EQ(EXFULL, errno);
}

static void *keep_and_wait(void *arg)
{
	pthread_barrier_t *barrier = ((void **)arg)[1];

	use_in_thread(((void **)arg)[0]);
	pthread_barrier_wait(barrier);
	pthread_barrier_wait(barrier);
	return NULL;
}

/* Returns what is wrong in a child: it has what it kept, and then what the other thread kept. */
static int check_child(struct pymalloc_heap *heap, struct pymalloc_type *type, void *mine)
{
	unsigned int before = constructed;
	void *objects[KEEP + 1];

	if (pymalloc_type_alloc(type) != mine)
		return 1;
	if (get(type, objects, KEEP) != KEEP || constructed != before)
		return 2;
	if (get(type, objects + KEEP, 1) != 1 || constructed != before + 1)
		return 3;
	if (figures_of(type).objects != KEEP + 2 || shown_of(heap).objects != KEEP + 2)
		return 4;
	give(type, objects, KEEP + 1);
	pymalloc_type_free(type, mine);
	if (pymalloc_type_destroy(type))
		return 5;
	return bad || !sound(heap) ? 6 : 0;
}

TEST_F(type, in_a_child)
{
	pthread_barrier_t barrier;
	void *args[] = { self->type, &barrier }, *mine;
	pthread_t thread;
	pid_t child;
	int status;

	pthread_barrier_init(&barrier, NULL, 2);
	mine = pymalloc_type_alloc(self->type);
	pymalloc_type_free(self->type, mine);
	ASSERT_EQ(0, pthread_create(&thread, NULL, keep_and_wait, args));
	pthread_barrier_wait(&barrier);
	child = fork();
	if (!child)
		_exit(check_child(self->heap, self->type, mine));
	waitpid(child, &status, 0);
	EXPECT_EQ(0, status);
	pthread_barrier_wait(&barrier);
	pthread_join(thread, NULL);
	/* The child's constructors and destructors were its own. */
	EXPECT_EQ(mine, pymalloc_type_alloc(self->type));
	pymalloc_type_free(self->type, mine);
	EXPECT_EQ(0, pymalloc_type_destroy(self->type));
	EXPECT_EQ(constructed, destructed);
}

TEST_F(type, in_a_sandbox)
{
	struct pymalloc_type_options options = options_of(0);
	pid_t child = fork();
	int status;

	if (!child) {
		void *objects[100];
		bool ok;

		pymalloc_enter_sandbox();
		ok = get(self->type, objects, 100) == 100;
		give(self->type, objects, 100);
		ok = ok && destructed == 100 - KEEP && !bad;
		errno = 0;
		ok = ok && !pymalloc_type_create(self->heap, &options) && errno == EPERM;
		_exit(!ok);
	}
	waitpid(child, &status, 0);
	EXPECT_EQ(0, status);
}

TEST_F(type, sealed)
{
	struct pymalloc_type_options options = options_of(variant->flags);
	struct object *object = pymalloc_type_alloc(self->type), *kept;

	kept = pymalloc_type_alloc(self->type);
	pymalloc_type_free(self->type, kept);
	ASSERT_EQ(0, pymalloc_heap_seal(self->heap));
	errno = 0;
	EXPECT_EQ(NULL, pymalloc_type_alloc(self->type));
	EXPECT_EQ(EPERM, errno);
	pymalloc_type_free(self->type, object);
	EXPECT_EQ(object, bad);
	EXPECT_EQ(PYMALLOC_REF_SEALED, bad_status);
	EXPECT_EQ(MARK, object->mark);
	errno = 0;
	EXPECT_EQ(-1, pymalloc_type_destroy(self->type));
	EXPECT_EQ(EPERM, errno);
	errno = 0;
	EXPECT_EQ(NULL, pymalloc_type_create(self->heap, &options));
	EXPECT_EQ(EPERM, errno);
}

TEST_F(type, at_a_limit)
{
	struct pymalloc_type_options options = options_of(variant->flags);
	struct pymalloc_heap *heap = heap_with("small", 8, LARGEST);
	static void *objects[LARGEST / SIZE];
	struct pymalloc_type *type;
	size_t nr;

	options.size = SIZE;
	type = pymalloc_type_create(heap, &options);
	ASSERT_NE(NULL, type);
	errno = 0;
	nr = get(type, objects, LARGEST / SIZE);
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_LT(LARGEST / SIZE / 2, nr);
	EXPECT_GT(LARGEST / SIZE, nr);
	give(type, objects, nr);
	EXPECT_EQ(100, get(type, objects, 100));
	give(type, objects, 100);
	EXPECT_EQ(0, pymalloc_type_destroy(type));
	EXPECT_TRUE(sound(heap));
	pymalloc_heap_destroy(heap);
}

/* The number of the arena in which an object lies. */
static size_t arena_of(struct pymalloc_heap *heap, const void *object)
{
	return pymalloc_offset((struct pymalloc_view *)heap, object) / PYMALLOC_ARENA_SIZE;
}

static bool is_among(size_t arena, const size_t *arenas, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if (arenas[i] == arena)
			return true;
	return false;
}

static size_t arenas_of(struct pymalloc_heap *heap, void **objects, size_t nr, size_t *arenas)
{
	size_t nr_arenas = 0;

	for (size_t i = 0; i < nr; i++)
		if (!is_among(arena_of(heap, objects[i]), arenas, nr_arenas))
			arenas[nr_arenas++] = arena_of(heap, objects[i]);
	return nr_arenas;
}

#define PLENTY	60000

static void *plenty[PLENTY], *others[PLENTY];

/* Other objects, of the same size.  Returns how many lie in one of the arenas. */
static size_t count_others_in(struct pymalloc_heap *heap, const size_t *arenas, size_t nr)
{
	size_t found = 0;

	for (size_t i = 0; i < PLENTY; i++) {
		others[i] = pymalloc_malloc(heap, SIZE);
		found += is_among(arena_of(heap, others[i]), arenas, nr);
	}
	return found;
}

static void free_others(struct pymalloc_heap *heap)
{
	for (size_t i = 0; i < PLENTY; i++)
		pymalloc_free(heap, others[i]);
	pymalloc_heap_flush(heap);
}

static __u64 page_bytes(struct pymalloc_heap *heap)
{
	struct pymalloc_stats stats = {};

	pymalloc_heap_stats(heap, &stats, NULL);
	return stats.page_bytes;
}

TEST_F(type, memory_of_its_own)
{
	struct pymalloc_type_options options = options_of(variant->flags);
	size_t nr, nr_again = 0;
	size_t arenas[64];

	if (!variant->flags)
		SKIP(return, "its blocks are those of all");
	/* No object lies where anything else has been. */
	EXPECT_EQ(0, count_others_in(self->heap, NULL, 0));
	nr = arenas_of(self->heap, others, PLENTY, arenas);
	ASSERT_LT(2, nr);
	free_others(self->heap);
	pymalloc_heap_trim(self->heap, NULL);
	ASSERT_EQ(PLENTY, get(self->type, plenty, PLENTY));
	for (int i = 0; i < PLENTY; i++)
		ASSERT_FALSE(is_among(arena_of(self->heap, plenty[i]), arenas, nr));

	/* Nothing else comes where the objects were, and their memory goes back. */
	nr = arenas_of(self->heap, plenty, PLENTY, arenas);
	ASSERT_LT(2, nr);
	EXPECT_LT(PLENTY * SIZE, page_bytes(self->heap));
	give(self->type, plenty, PLENTY);
	pymalloc_heap_trim(self->heap, NULL);
	EXPECT_GT(64 * PYMALLOC_POOL_SIZE, page_bytes(self->heap));
	EXPECT_TRUE(sound(self->heap));
	EXPECT_EQ(0, count_others_in(self->heap, arenas, nr));

	/* But more of the same type do: all but those for which pages were just going. */
	ASSERT_EQ(PLENTY, get(self->type, plenty, PLENTY));
	for (int i = 0; i < PLENTY; i++)
		nr_again += is_among(arena_of(self->heap, plenty[i]), arenas, nr);
	EXPECT_LT(PLENTY / 10 * 9, nr_again);

	/* When the type has ended, its arenas are for all. */
	give(self->type, plenty, PLENTY);
	free_others(self->heap);
	pymalloc_heap_trim(self->heap, NULL);
	EXPECT_EQ(0, pymalloc_type_destroy(self->type));
	EXPECT_TRUE(sound(self->heap));
	EXPECT_LT(0, count_others_in(self->heap, arenas, nr));
	free_others(self->heap);

	/* And never for a type. */
	self->type = pymalloc_type_create(self->heap, &options);
	ASSERT_NE(NULL, self->type);
	ASSERT_EQ(100, get(self->type, plenty, 100));
	EXPECT_FALSE(is_among(arena_of(self->heap, plenty[0]), arenas, nr));
}

/* What is freed as if it had no type is found to be what it is by the kernel. */
TEST_F(type, freed_without_its_type)
{
	void *object = pymalloc_type_alloc(self->type);

	if (!variant->flags)
		SKIP(return, "its blocks are those of all");
	EXPECT_EQ(SIZE, pymalloc_usable_size(self->heap, object));
	pymalloc_free(self->heap, object);
	EXPECT_EQ(NULL, bad);
	pymalloc_free(self->heap, object);
	EXPECT_EQ(object, bad);
	EXPECT_EQ(PYMALLOC_REF_FREE, bad_status);
}

TEST_F(type, alignments)
{
	struct pymalloc_type_options options = { .flags = variant->flags };
	struct pymalloc_type *type;
	void *objects[40];

	for (size_t alignment = 8; alignment <= PYMALLOC_BLOCK_MAX; alignment *= 2) {
		for (size_t size = 1; size <= PYMALLOC_BLOCK_MAX; size += 73) {
			options.size = size;
			options.alignment = alignment;
			type = pymalloc_type_create(self->heap, &options);
			ASSERT_NE(NULL, type);
			for (int i = 0; i < 40; i++) {
				objects[i] = pymalloc_type_alloc(type);
				ASSERT_NE(NULL, objects[i]);
				EXPECT_TRUE(aligned_to(objects[i], alignment));
				memset(objects[i], 0xAA, size);
			}
			give(type, objects, 40);
			EXPECT_EQ(0, pymalloc_type_destroy(type));
		}
	}
	EXPECT_EQ(NULL, bad);
}

TEST_F(type, reserved)
{
	struct pymalloc_reservation *reservation;
	struct object *object;

	reservation = pymalloc_reservation_create_of(self->type, 1000);
	ASSERT_NE(NULL, reservation);
	EXPECT_EQ(1000, constructed);
	EXPECT_EQ(1000, figures_of(self->type).objects);
	for (int i = 0; i < 1000; i++) {
		object = pymalloc_reservation_take(reservation);
		ASSERT_NE(NULL, object);
		EXPECT_TRUE(aligned_to(object, 16));
		EXPECT_EQ(MARK, object->mark);
	}
	EXPECT_EQ(NULL, pymalloc_reservation_take(reservation));
	pymalloc_reservation_give(reservation, object);
	errno = 0;
	EXPECT_EQ(-1, pymalloc_type_destroy(self->type));
	EXPECT_EQ(EBUSY, errno);
	pymalloc_reservation_destroy(reservation);
	EXPECT_EQ(1000, destructed);

	/* A constructor that fails. */
	will_work = 500;
	errno = 0;
	EXPECT_EQ(NULL, pymalloc_reservation_create_of(self->type, 501));
	EXPECT_EQ(EXFULL, errno);
	EXPECT_EQ(1500, destructed);
	errno = 0;
	EXPECT_EQ(NULL, pymalloc_reservation_create_of(self->type, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(0, pymalloc_type_destroy(self->type));
	EXPECT_EQ(self->before, left_in(self->heap));
}

TEST(refuses)
{
	struct pymalloc_heap *heap = heap_with("refusing", 8, 0);
	static const struct pymalloc_type_options wrong_ones[] = {
		{ .size = 0 },
		{ .size = PYMALLOC_SIZE_MAX + 1 },
		{ .size = 513, .flags = PYMALLOC_TYPE_OWN_POOLS },
		{ .size = 8, .alignment = 3 },
		{ .size = 8, .alignment = 8192 },
		{ .size = 8, .alignment = 1024, .flags = PYMALLOC_TYPE_OWN_POOLS },
		{ .size = 8, .keep = PYMALLOC_KEEP_MAX + 1 },
		{ .size = 8, .flags = 2 },
		{ .size = 8, .name = "0123456789012345678901234567890123456789" },
		{ .size = 8, .name = "\n" },
	};
	__u64 before;

	ASSERT_NE(NULL, heap);
	before = left_in(heap);
	for (size_t i = 0; i < ARRAY_SIZE(wrong_ones); i++) {
		errno = 0;
		EXPECT_EQ(NULL, pymalloc_type_create(heap, &wrong_ones[i]));
		EXPECT_EQ(EINVAL, errno) TH_LOG("%zu", i);
	}
	EXPECT_EQ(before, left_in(heap));
	pymalloc_heap_destroy(heap);
}

/* Large objects, with a list as with all others. */
TEST(large)
{
	struct pymalloc_heap *heap = heap_with("large", 8, 0);
	struct pymalloc_type_options options = { .size = 10000, .alignment = 4096, .keep = 1 };
	struct pymalloc_type *type = pymalloc_type_create(heap, &options);
	void *objects[2];

	ASSERT_NE(NULL, type);
	ASSERT_EQ(2, get(type, objects, 2));
	EXPECT_TRUE(aligned_to(objects[0], 4096));
	EXPECT_EQ(2 * 12288, figures_of(type).bytes);
	give(type, objects, 2);
	EXPECT_EQ(1, figures_of(type).kept);
	EXPECT_EQ(1, figures_of(type).destructed);
	EXPECT_EQ(0, pymalloc_type_destroy(type));
	EXPECT_EQ(0, left_in(heap));
	pymalloc_heap_destroy(heap);
}

/* Types that have no list keep nothing.  A heap's end gives their places free. */
TEST(very_many)
{
	struct pymalloc_type_options options = options_of(0);
	struct pymalloc_type *types[2 * PYMALLOC_TYPES_MAX];
	struct pymalloc_heap *heaps[2];
	void *object;

	will_work = ~0U;
	for (int round = 0; round < 2; round++) {
		destructed = 0;
		for (int i = 0; i < 2 * PYMALLOC_TYPES_MAX; i++) {
			if (i % PYMALLOC_TYPES_MAX == 0)
				heaps[i / PYMALLOC_TYPES_MAX] = heap_with("many", 8, 0);
			types[i] = pymalloc_type_create(heaps[i / PYMALLOC_TYPES_MAX], &options);
			ASSERT_NE(NULL, types[i]);
			object = pymalloc_type_alloc(types[i]);
			ASSERT_NE(NULL, object);
			pymalloc_type_free(types[i], object);
		}
		EXPECT_EQ(2 * PYMALLOC_TYPES_MAX - 255, destructed);
		errno = 0;
		EXPECT_EQ(NULL, pymalloc_type_create(heaps[0], &options));
		EXPECT_EQ(ENOSPC, errno);
		EXPECT_EQ(0, pymalloc_type_destroy(types[5]));
		EXPECT_NE(NULL, pymalloc_type_create(heaps[0], &options));
		pymalloc_heap_destroy(heaps[0]);
		pymalloc_heap_destroy(heaps[1]);
	}
}

/* An object that has another one of its type. */
struct link {
	struct link *next;
	struct pymalloc_type *type;
};

static void end_chain(void *object, void *arg)
{
	struct link *link = object;

	(void)arg;
	__atomic_add_fetch(&destructed, 1, __ATOMIC_RELAXED);
	if (link->next)
		pymalloc_type_free(link->type, link->next);
}

static struct link *link_to(struct pymalloc_type *type, struct link *next)
{
	struct link *link = pymalloc_type_alloc(type);

	*link = (struct link){ .next = next, .type = type };
	return link;
}

/* The end of a type destructs what is kept, and with it what only that had. */
static void end_chains(struct __test_metadata *_metadata, unsigned int flags)
{
	struct pymalloc_heap *heap = heap_with("chain", 8, 0);
	struct pymalloc_type_options options = {
		.flags = flags, .size = sizeof(struct link), .destruct = end_chain, .keep = 2,
	};
	struct pymalloc_type *type = pymalloc_type_create(heap, &options);
	struct link *chain = NULL;

	ASSERT_NE(NULL, type);
	destructed = 0;
	for (int i = 0; i < 10; i++)
		chain = link_to(type, chain);
	pymalloc_type_free(type, chain);
	EXPECT_EQ(0, destructed);
	EXPECT_EQ(0, pymalloc_type_destroy(type));
	EXPECT_EQ(10, destructed);
	EXPECT_EQ(0, left_in(heap));
	/* The next type in its place has nothing of it. */
	options.size = 400;
	options.destruct = NULL;
	type = pymalloc_type_create(heap, &options);
	ASSERT_NE(NULL, type);
	EXPECT_LE(400, pymalloc_usable_size(heap, pymalloc_type_alloc(type)));
	pymalloc_heap_destroy(heap);
}

TEST(destructors_that_free_at_the_end)
{
	end_chains(_metadata, 0);
}

TEST(destructors_that_free_at_the_end_in_own_pools)
{
	end_chains(_metadata, PYMALLOC_TYPE_OWN_POOLS);
}

static unsigned int nr_reported;

static void count_bad_free(struct pymalloc_heap *heap, void *object, unsigned int status)
{
	(void)heap;
	(void)object;
	(void)status;
	nr_reported++;
}

/* A free that was refused has ended nothing, so that the type still has its objects. */
static void refuse_frees(struct __test_metadata *_metadata, unsigned int flags)
{
	struct pymalloc_heap *heap = heap_with("refused", 8, 0);
	struct pymalloc_type_options options = { .flags = flags, .size = 40 };
	struct pymalloc_type *type = pymalloc_type_create(heap, &options);
	void *a = pymalloc_type_alloc(type), *b = pymalloc_type_alloc(type);

	ASSERT_NE(NULL, b);
	nr_reported = 0;
	pymalloc_set_bad_free(count_bad_free);
	pymalloc_type_free(type, a);
	pymalloc_type_free(type, a);
	EXPECT_EQ(1, nr_reported);
	pymalloc_type_free(type, "not in the heap");
	EXPECT_EQ(2, nr_reported);
	EXPECT_EQ(1, figures_of(type).objects);
	EXPECT_EQ(-1, pymalloc_type_destroy(type));
	EXPECT_EQ(EBUSY, errno);
	pymalloc_type_free(type, b);
	EXPECT_EQ(0, figures_of(type).objects);
	EXPECT_EQ(0, pymalloc_type_destroy(type));
	pymalloc_set_bad_free(NULL);
	pymalloc_heap_destroy(heap);
}

TEST(refused_frees_are_not_counted)
{
	refuse_frees(_metadata, 0);
}

TEST(refused_frees_are_not_counted_in_own_pools)
{
	refuse_frees(_metadata, PYMALLOC_TYPE_OWN_POOLS);
}

/* The same for other ones than the last, whatever the library has done with them meanwhile. */
static void refuse_frees_later(struct __test_metadata *_metadata, unsigned int keep)
{
	struct pymalloc_heap *heap = heap_with("refused", 8, 0);
	struct pymalloc_type_options options = {
		.flags = PYMALLOC_TYPE_OWN_POOLS, .size = 40, .keep = keep,
	};
	struct pymalloc_type *type = pymalloc_type_create(heap, &options);
	void *objects[4];

	ASSERT_EQ(4, get(type, objects, 4));
	nr_reported = 0;
	pymalloc_set_bad_free(count_bad_free);
	give(type, objects, 3);
	pymalloc_type_free(type, objects[1]);
	errno = 0;
	EXPECT_EQ(-1, pymalloc_type_destroy(type));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(1, nr_reported);
	EXPECT_EQ(1, figures_of(type).objects);
	pymalloc_type_free(type, objects[3]);
	EXPECT_EQ(0, pymalloc_type_destroy(type));
	pymalloc_set_bad_free(NULL);
	pymalloc_heap_destroy(heap);
}

TEST(refused_frees_are_not_counted_later)
{
	refuse_frees_later(_metadata, 0);
}

TEST(refused_frees_of_full_lists_are_not_counted_later)
{
	refuse_frees_later(_metadata, 1);
}

static void destruct_and_write(void *object, void *arg)
{
	(void)arg;
	memset(object, 0xAA, 40);
	destructed++;
}

/* What keeps nothing finds bad frees at once, and destructs nothing twice. */
static void find_bad_frees(struct __test_metadata *_metadata, size_t size, unsigned int flags)
{
	struct pymalloc_heap *heap = heap_with("finding", 8, 0);
	struct pymalloc_type_options options = {
		.flags = flags, .size = size, .destruct = destruct_and_write,
	};
	struct pymalloc_type *type = pymalloc_type_create(heap, &options);
	void *objects[4];

	ASSERT_EQ(4, get(type, objects, 4));
	nr_reported = 0;
	destructed = 0;
	pymalloc_set_bad_free(count_bad_free);
	give(type, objects, 3);
	EXPECT_EQ(3, destructed);
	for (int i = 0; i < 3; i++) {
		pymalloc_type_free(type, objects[i]);
		EXPECT_EQ(i + 1, nr_reported);
	}
	pymalloc_type_free(type, (char *)objects[3] + 8);
	EXPECT_EQ(4, nr_reported);
	EXPECT_EQ(3, destructed);
	EXPECT_EQ(1, figures_of(type).objects);
	pymalloc_type_free(type, objects[3]);
	EXPECT_EQ(0, pymalloc_type_destroy(type));
	EXPECT_EQ(4, nr_reported);
	pymalloc_set_bad_free(NULL);
	EXPECT_TRUE(sound(heap));
	pymalloc_heap_destroy(heap);
}

TEST(finds_bad_frees_at_once)
{
	find_bad_frees(_metadata, 40, 0);
}

TEST(finds_bad_frees_at_once_in_own_pools)
{
	find_bad_frees(_metadata, 40, PYMALLOC_TYPE_OWN_POOLS);
}

TEST(finds_bad_frees_at_once_of_large_objects)
{
	find_bad_frees(_metadata, 10000, 0);
}

/* Types that have no list, and so no stock either. */
TEST(finds_bad_frees_at_once_without_a_list)
{
	struct pymalloc_type_options options = { .size = 8 };
	struct pymalloc_heap *heap = NULL;

	for (int i = 0; i < 255; i++) {
		if (i % PYMALLOC_TYPES_MAX == 0)
			heap = heap_with("many", 8, 0);
		ASSERT_NE(NULL, pymalloc_type_create(heap, &options));
	}
	find_bad_frees(_metadata, 40, PYMALLOC_TYPE_OWN_POOLS);
}

/* What others see of a type is not far off, however few objects it has. */
TEST(others_are_told_of_few_objects)
{
	struct pymalloc_heap *heap = heap_with("few", 8, 0);
	struct pymalloc_type_options options = { .size = 40 };
	struct pymalloc_type *type = pymalloc_type_create(heap, &options);
	struct pymalloc_type_info info;
	struct pymalloc_types arg = {
		.argsz = sizeof(arg), .op = PYMALLOC_TYPES_READ, .infos = (uintptr_t)&info,
		.count = 1, .entry_size = sizeof(info),
	};

	for (int i = 0; i < 300; i++)
		ASSERT_NE(NULL, pymalloc_type_alloc(type));
	ASSERT_EQ(0, ioctl(pymalloc_heap_fd(heap), PYMALLOC_IOC_TYPES, &arg));
	EXPECT_GE(300, info.objects);
	EXPECT_LE(300 - 64 - 300 / 8, info.objects);
	pymalloc_heap_destroy(heap);
}

TEST_HARNESS_MAIN
