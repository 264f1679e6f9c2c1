// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Reservations: large objects of a heap, in each of which lie as many objects of one size as
 * fit, and one more for what describes them.
 */
#include <assert.h>
#include <errno.h>

#include <pymalloc-reservation.h>

#include "call.h"
#include "report.h"
#include "trace.h"
#include "typeobject.h"

/* What all objects are aligned to, if they are of no type that asks for more. */
#define ALIGNMENT	16

/*
 * In @head and @next: one more than the number of an object; 0 is none.  What @head has above
 * that is counted up by each change.
 */
#define NONE		0U
#define NUMBER_BITS	22
static_assert(PYMALLOC_RESERVE_COUNT_MAX < 1U << NUMBER_BITS);

/**
 * struct pymalloc_reservation - objects of one size
 * @heap: the heap
 * @type: what they are, if they are of a type; or NULL
 * @nr_begun: how many of them have been constructed
 * @size: bytes of each, rounded up
 * @count: how many there are
 * @in_part: how many lie in one part
 * @part_bytes: bytes of a part
 * @lead: how many of them lie before the first object
 * @nr_parts: the large objects that they lie in
 * @head_bytes: bytes of this struct with what lies behind it
 * @head: the first free object, and the number of changes
 * @nr_free: how many are free
 * @next: of each object, the next free one
 * @taken: of each object, whether it is taken
 * @parts: where the first objects of the parts are, by address
 */
struct pymalloc_reservation {
	struct pymalloc_heap *heap;
	struct pyml_type *type;
	size_t nr_begun;
	size_t size;
	size_t count;
	size_t in_part;
	size_t part_bytes;
	size_t lead;
	size_t nr_parts;
	size_t head_bytes;
	__u64 head;
	size_t nr_free;
	__u32 *next;
	bool *taken;
	char *parts[];
};

/* Bytes that a large object really has: none is so small that it would be a block. */
static size_t whole_pages(size_t bytes)
{
	return (bytes + PYMALLOC_POOL_SIZE - 1) / PYMALLOC_POOL_SIZE * PYMALLOC_POOL_SIZE;
}

/*
 * What is to be made; all parts are of one size, so that their order does not matter.  No object
 * is where a part begins, so that a free of it is not one of the whole part; but for those that
 * are as large as a part can be.
 */
static struct pymalloc_reservation plan(struct pymalloc_heap *heap, struct pyml_type *type,
					size_t size, size_t count)
{
	size_t unit = type && type->alignment > ALIGNMENT ? type->alignment : ALIGNMENT;
	struct pymalloc_reservation plan = {
		.heap = heap,
		.type = type,
		.size = (size + unit - 1) / unit * unit,
		.count = count,
	};
	size_t most, parts;

	plan.lead = plan.size + unit <= PYMALLOC_SIZE_MAX ? unit : 0;
	most = (PYMALLOC_SIZE_MAX - plan.lead) / plan.size;
	parts = (count + most - 1) / most;
	plan.in_part = (count + parts - 1) / parts;
	plan.part_bytes = whole_pages(plan.lead + plan.in_part * plan.size);
	plan.head_bytes = whole_pages(sizeof(plan) + parts * sizeof(*plan.parts) +
				      count * (sizeof(*plan.next) + sizeof(*plan.taken)));
	return plan;
}

/* As many parts as are needed for @count objects. */
static size_t parts_of(const struct pymalloc_reservation *plan)
{
	return (plan->count + plan->in_part - 1) / plan->in_part;
}

static void *alloc_part(struct pymalloc_heap *heap, size_t bytes)
{
	__u64 ref;
	struct pymalloc_alloc args = {
		.argsz = sizeof(args),
		.size = bytes,
		.refs = (uintptr_t)&ref,
		.count = 1,
	};

	if (pyml_call(heap, PYMALLOC_IOC_ALLOC, &args)) {
		/* The window cannot grow any more. */
		if (errno == ENOSPC)
			errno = ENOMEM;
		return NULL;
	}
	if (heap->trace)
		pyml_trace_run(heap, heap->view.base + ref);
	return heap->view.base + ref;
}

/* Writes what is there, so that each page is mapped for writing, whoever writes meanwhile. */
static void touch(char *memory, size_t bytes)
{
	size_t i;

	for (i = 0; i < bytes; i += PYMALLOC_POOL_SIZE) {
		char byte = __atomic_load_n(&memory[i], __ATOMIC_RELAXED);

		__atomic_compare_exchange_n(&memory[i], &byte, byte, false, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED);
	}
}

/* Parts mostly come from low to high addresses, so that this moves few. */
static void add_part(struct pymalloc_reservation *reservation, char *part)
{
	size_t i = reservation->nr_parts++;

	for (; i && reservation->parts[i - 1] > part; i--)
		reservation->parts[i] = reservation->parts[i - 1];
	reservation->parts[i] = part;
}

static int alloc_parts(struct pymalloc_reservation *reservation)
{
	while (reservation->nr_parts < parts_of(reservation)) {
		char *part = alloc_part(reservation->heap, reservation->part_bytes);

		if (!part)
			return -1;
		add_part(reservation, part + reservation->lead);
	}
	return 0;
}

/* All objects are free, the first one first. */
static void fill(struct pymalloc_reservation *reservation)
{
	size_t i;

	reservation->next = (void *)&reservation->parts[reservation->nr_parts];
	reservation->taken = (void *)&reservation->next[reservation->count];
	for (i = 0; i < reservation->count; i++)
		reservation->next[i] = i + 1 < reservation->count ? i + 2 : NONE;
	reservation->nr_free = reservation->count;
	reservation->head = 1;
}

static char *object_at(const struct pymalloc_reservation *reservation, size_t number)
{
	return reservation->parts[number / reservation->in_part] +
	       number % reservation->in_part * reservation->size;
}

/* They count as objects that the program has: as long as they are there, the type stays. */
static int construct_all(struct pymalloc_reservation *reservation)
{
	struct pyml_type *type = reservation->type;
	size_t *i = &reservation->nr_begun;

	while (*i < reservation->count) {
		if (type->construct && type->construct(object_at(reservation, *i), type->arg))
			return -1;
		__atomic_add_fetch(&type->nr_begun, 1, __ATOMIC_RELAXED);
		++*i;
	}
	return 0;
}

static void destruct_all(struct pymalloc_reservation *reservation)
{
	struct pyml_type *type = reservation->type;
	size_t i = reservation->nr_begun;

	while (i--) {
		if (type->destruct)
			type->destruct(object_at(reservation, i), type->arg);
		__atomic_add_fetch(&type->nr_ended, 1, __ATOMIC_RELAXED);
	}
}

static void free_parts(struct pymalloc_reservation *reservation)
{
	size_t i;

	for (i = 0; i < reservation->nr_parts; i++)
		pymalloc_free(reservation->heap, reservation->parts[i] - reservation->lead);
	pymalloc_free(reservation->heap, reservation);
}

static struct pymalloc_reservation *create(struct pymalloc_heap *heap, struct pyml_type *type,
					   size_t size, size_t count)
{
	struct pymalloc_reservation *reservation, wanted;
	int saved = errno;

	if (!size || size > PYMALLOC_SIZE_MAX || !count || count > PYMALLOC_RESERVE_COUNT_MAX ||
	    size > PYMALLOC_RESERVE_BYTES_MAX / count) {
		errno = EINVAL;
		return NULL;
	}
	wanted = plan(heap, type, size, count);
	reservation = alloc_part(heap, wanted.head_bytes);
	if (!reservation)
		return NULL;
	*reservation = wanted;
	if (alloc_parts(reservation)) {
		free_parts(reservation);
		return NULL;
	}
	fill(reservation);
	pymalloc_reservation_touch(reservation);
	errno = saved;
	return reservation;
}

struct pymalloc_reservation *
pymalloc_reservation_create(struct pymalloc_heap *heap, size_t size, size_t count)
{
	return create(heap, NULL, size, count);
}

struct pymalloc_reservation *
pymalloc_reservation_create_of(struct pymalloc_type *view, size_t count)
{
	struct pyml_type *type = pyml_type_of(view);
	struct pymalloc_reservation *reservation = create(type->heap, type, type->size, count);

	if (!reservation || !construct_all(reservation))
		return reservation;
	pymalloc_reservation_destroy(reservation);
	return NULL;
}

void pymalloc_reservation_destroy(struct pymalloc_reservation *reservation)
{
	int saved = errno;

	/* What is in a sealed heap stays. */
	if (!reservation || reservation->heap->sealed)
		return;
	destruct_all(reservation);
	free_parts(reservation);
	errno = saved;
}

void pymalloc_reservation_touch(struct pymalloc_reservation *reservation)
{
	size_t i;

	touch((char *)reservation, reservation->head_bytes);
	for (i = 0; i < reservation->nr_parts; i++)
		touch(reservation->parts[i] - reservation->lead, reservation->part_bytes);
}

/* What @head becomes when @first is the first free object. */
static __u64 next_head(__u64 head, __u32 first)
{
	return ((head >> NUMBER_BITS) + 1) << NUMBER_BITS | first;
}

static __u32 first_of(__u64 head)
{
	return head & ((1U << NUMBER_BITS) - 1);
}

/* Replaces @old, if it is still there; else @old becomes what is there. */
static bool replace_head(struct pymalloc_reservation *reservation, __u64 *old, __u32 first)
{
	return __atomic_compare_exchange_n(&reservation->head, old, next_head(*old, first), true,
					   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

void *pymalloc_reservation_take(struct pymalloc_reservation *reservation)
{
	__u64 head = __atomic_load_n(&reservation->head, __ATOMIC_ACQUIRE);
	__u32 first, next;

	/* If another thread takes the first object meanwhile, @head is another one, too. */
	do {
		first = first_of(head);
		if (first == NONE)
			return NULL;
		next = __atomic_load_n(&reservation->next[first - 1], __ATOMIC_RELAXED);
	} while (!replace_head(reservation, &head, next));
	__atomic_sub_fetch(&reservation->nr_free, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&reservation->taken[first - 1], true, __ATOMIC_RELAXED);
	return object_at(reservation, first - 1);
}

static void push(struct pymalloc_reservation *reservation, size_t number)
{
	__u64 head = __atomic_load_n(&reservation->head, __ATOMIC_ACQUIRE);

	/* Before another thread can take it: so the number is never too small. */
	__atomic_add_fetch(&reservation->nr_free, 1, __ATOMIC_RELAXED);
	do
		__atomic_store_n(&reservation->next[number], first_of(head),
				 __ATOMIC_RELAXED);
	while (!replace_head(reservation, &head, number + 1));
}

/* The last part whose first object is at or before @object; NULL if there is none. */
static char *const *part_of(const struct pymalloc_reservation *reservation, const char *object)
{
	size_t low = 0, high = reservation->nr_parts;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (reservation->parts[middle] <= object)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? &reservation->parts[low - 1] : NULL;
}

/* Finds the number of an object; returns an enum pymalloc_ref_status. */
static unsigned int find(const struct pymalloc_reservation *reservation, const char *object,
			 size_t *number)
{
	char *const *part = part_of(reservation, object);
	size_t offset = part ? object - *part : 0;

	if (!part || offset >= reservation->in_part * reservation->size)
		return PYMALLOC_REF_FOREIGN;
	if (offset % reservation->size)
		return PYMALLOC_REF_MISALIGNED;
	*number = (part - reservation->parts) * reservation->in_part + offset / reservation->size;
	return *number < reservation->count ? PYMALLOC_REF_OK : PYMALLOC_REF_UNTOUCHED;
}

void pymalloc_reservation_give(struct pymalloc_reservation *reservation, void *object)
{
	unsigned int status;
	size_t number;

	if (!object)
		return;
	status = find(reservation, object, &number);
	if (status == PYMALLOC_REF_OK &&
	    !__atomic_exchange_n(&reservation->taken[number], false, __ATOMIC_RELAXED))
		status = PYMALLOC_REF_FREE;
	if (status == PYMALLOC_REF_OK)
		push(reservation, number);
	else
		pyml_bad_free(reservation->heap, object, status);
}

size_t pymalloc_reservation_free_count(const struct pymalloc_reservation *reservation)
{
	return __atomic_load_n(&reservation->nr_free, __ATOMIC_RELAXED);
}
