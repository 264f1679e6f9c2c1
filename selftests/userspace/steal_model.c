// SPDX-License-Identifier: GPL-2.0
/*
 * A model of a thief beside an owner: the owner's steps are those of pymalloc-inline.h,
 * compiled with a hook before each access to top and to a slot.  For each of these moments
 * the thief comes there, and afterwards no block may be lost or be in two hands.
 *
 * The thief of the kernel passes.  Four that leave out one of its rules must not: else the
 * model would prove nothing.
 */
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static void *step(void *address);

/* Every access is a moment at which the thief may come. */
#define PYMALLOC_ONCE(word) \
	(*(__typeof__(word) volatile *)step((void *)&(word)))

#include "library.h"
#include <pymalloc-inline.h>

#define BLOCKS	12
#define SLOTS	8
#define CLASS	2

enum thief {
	RIGHT,
	TAKES_TOP,
	DOES_NOT_PARK,
	TAKES_FROM_BUSY,
	MERGED_POPS,
};

/* Where a block is. */
enum hand { HEAP, MAGAZINE, OWNER };

static struct {
	struct pymalloc_view view;
	struct pymalloc_magazines magazines;
	__u8 map[2];
	void *slots[SLOTS + 1];
	void **bottom;
	bool busy;
	enum thief thief;
	/* When the thief comes, and how many steps it is interrupted for if it does not park. */
	size_t moment;
	size_t pause;
	size_t now;
	void **seen;
	enum hand hands[BLOCKS];
	bool wrong;
} m;

static struct {
	void *words[2];
} window[BLOCKS];

static void *block(size_t i)
{
	return &window[i];
}

static size_t number(const void *object)
{
	return ((uintptr_t)object - (uintptr_t)window) / sizeof(window[0]);
}

static void move(void *object, enum hand from, enum hand to)
{
	size_t i = number(object);

	if (i >= BLOCKS || m.hands[i] != from)
		m.wrong = true;
	else
		m.hands[i] = to;
}

/* From the bottom up; writes NULL behind what it leaves. */
static void take(void **top)
{
	void **first = m.thief == TAKES_TOP ? top : top + 1;

	if (m.busy && m.thief != TAKES_FROM_BUSY)
		return;
	while (m.bottom > first && m.bottom[-1]) {
		move(*--m.bottom, MAGAZINE, HEAP);
		*m.bottom = NULL;
	}
}

/*
 * One that parks sees top, and takes, while the owner stands still.  One that does not
 * sees top at one moment and takes at another.
 */
static void *step(void *address)
{
	size_t now = m.now++;

	if (now == m.moment)
		m.seen = m.magazines.top[CLASS];
	if (m.seen && now == m.moment + (m.thief == DOES_NOT_PARK ? m.pause : 0)) {
		take(m.seen);
		m.seen = NULL;
	}
	return address;
}

/* What a slow path does: it fetches one block, or gives the oldest back. */
static void fill_slowly(void)
{
	void **end = m.slots + SLOTS;
	size_t i;

	m.busy = true;
	for (i = 0; i < BLOCKS - 1 && m.hands[i] != HEAP; i++)
		;
	m.wrong |= m.hands[i] != HEAP;
	step(NULL);
	m.hands[i] = MAGAZINE;
	end[-1] = block(i);
	m.bottom = end;
	m.magazines.top[CLASS] = end - 1;
	step(NULL);
	m.busy = false;
}

/* Takes the oldest half out, and sends it last. */
static void flush_slowly(void)
{
	void *sent[SLOTS];
	void **top = m.magazines.top[CLASS], **oldest;
	size_t count, i;

	m.busy = true;
	step(NULL);
	count = (m.bottom - top + 1) / 2;
	oldest = m.bottom - count;
	memcpy(sent, oldest, count * sizeof(*sent));
	step(NULL);
	memmove(top + count, top, (oldest - top) * sizeof(*top));
	step(NULL);
	m.magazines.top[CLASS] = top + count;
	step(NULL);
	for (i = 0; i < count; i++)
		move(sent[i], MAGAZINE, HEAP);
	m.busy = false;
}

static void *pop(void)
{
	void *object = pymalloc_pop(&m.magazines, CLASS * 8);

	if (!object) {
		fill_slowly();
		object = pymalloc_pop(&m.magazines, CLASS * 8);
	}
	if (object)
		move(object, MAGAZINE, OWNER);
	return object;
}

static void push(void *object)
{
	if (!pymalloc_push(&m.magazines, &m.view, object)) {
		flush_slowly();
		m.wrong |= !pymalloc_push(&m.magazines, &m.view, object);
	}
	move(object, OWNER, MAGAZINE);
}

/* Two pops as a compiler could merge them if top and slot were not volatile. */
static void merged_pops(void **objects)
{
	void **top = PYMALLOC_ONCE(m.magazines.top[CLASS]);

	objects[0] = PYMALLOC_ONCE(top[0]);
	objects[1] = objects[0] ? PYMALLOC_ONCE(top[1]) : NULL;
	step(NULL);
	m.magazines.top[CLASS] = top + !!objects[0] + !!objects[1];
	for (size_t i = 0; i < 2; i++)
		if (objects[i])
			move(objects[i], MAGAZINE, OWNER);
}

static void begin(enum thief thief, size_t moment, size_t pause)
{
	memset(&m, 0, sizeof(m));
	memset(&window, 0, sizeof(window));
	m.thief = thief;
	m.moment = moment;
	m.pause = pause;
	m.map[0] = CLASS;
	m.view.base = (char *)window;
	m.view.extent = sizeof(window);
	m.view.pool_map = m.map;
	m.magazines.full[CLASS] = m.slots;
	m.bottom = m.slots + SLOTS;
	m.magazines.top[CLASS] = m.bottom;
}

/* All blocks are in the magazine, and nothing is there that is elsewhere. */
static void audit(void)
{
	void **slot;

	for (slot = m.magazines.top[CLASS]; slot < m.bottom; slot++)
		if (*slot)
			move(*slot, MAGAZINE, HEAP);
		else
			m.wrong = true;
	for (size_t i = 0; i < BLOCKS; i++)
		m.wrong |= m.hands[i] != HEAP;
}

static void owner(void)
{
	void *held[BLOCKS] = { NULL }, *pair[2] = { NULL, NULL };
	size_t i;

	for (i = 0; i < 7; i++)
		held[i] = pop();
	for (i = 0; i < 7; i++)
		if (held[i])
			push(held[i]);
	if (m.thief == MERGED_POPS) {
		merged_pops(pair);
	} else {
		pair[0] = pop();
		pair[1] = pop();
	}
	for (i = 0; i < 10; i++)
		held[i] = pop();
	for (i = 0; i < 2; i++)
		if (pair[i])
			push(pair[i]);
	for (i = 0; i < 10; i++)
		if (held[i])
			push(held[i]);
}

/* Returns whether all went well at every moment. */
static bool goes_well(enum thief thief)
{
	size_t moment = 0, pause;

	do {
		for (pause = 0; pause <= (thief == DOES_NOT_PARK ? 12 : 0); pause++) {
			begin(thief, moment, pause);
			owner();
			m.seen = NULL;
			audit();
			if (m.wrong)
				return false;
		}
		moment++;
	} while (moment < m.now);
	/* So many moments there were at least: the hooks are in place. */
	return moment > 100;
}

TEST(all_but_the_one_at_top)
{
	EXPECT_TRUE(goes_well(RIGHT));
}

TEST(the_one_at_top_as_well)
{
	EXPECT_FALSE(goes_well(TAKES_TOP));
}

TEST(without_parking)
{
	EXPECT_FALSE(goes_well(DOES_NOT_PARK));
}

TEST(from_busy_ones_as_well)
{
	EXPECT_FALSE(goes_well(TAKES_FROM_BUSY));
}

TEST(two_pops_merged)
{
	EXPECT_FALSE(goes_well(MERGED_POPS));
}

TEST_HARNESS_MAIN
