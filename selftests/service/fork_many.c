// SPDX-License-Identifier: GPL-2.0
/*
 * Many heaps have the same page. The kernel must not take this page for one
 * that a device writes to, and must not copy it before somebody writes to it.
 */
#include "relatives.h"

/*
 * Each child has two or more references to a page: its own, and that of its
 * mappings.
 */
#define CHILDREN 600
#define PAGES 32

FIXTURE(fork_many)
{
	struct heap heap;
	__u64 run;
	struct gate end;
	pid_t children[CHILDREN];
	int nr;
};

/* Other heaps do not count against this user. */
FIXTURE_SETUP(fork_many)
{
	ASSERT_EQ(0, seteuid(SOMEBODY));
	self->heap = HEAP();
	self->run = alloc_one(&self->heap, PAGES * POOL);
	memset(at(&self->heap, self->run), 'o', PAGES * POOL);
	self->end = gate_new(_metadata);
}

FIXTURE_TEARDOWN(fork_many)
{
	gate_open(_metadata, &self->end);
	for (int i = 0; i < self->nr; i++)
		join_child(_metadata, self->children[i]);
	heap_check(&self->heap);
	heap_close(&self->heap);
	gate_close(&self->end);
	ASSERT_EQ(0, seteuid(0));
}

/* Make one more child that reads all pages and then does nothing. */
static void add_child(struct __test_metadata *_metadata, FIXTURE_DATA(fork_many) *self,
		      struct gate *ready)
{
	IN_CHILD(self->children[self->nr], {
		EXPECT_TRUE(is_filled(at(&self->heap, self->run), 'o', PAGES * POOL));
		gate_open(_metadata, ready);
		gate_wait(_metadata, &self->end);
	});
	self->nr++;
}

TEST_F(fork_many, pages_stay_shared)
{
	__u64 before = own_bytes(_metadata);

	while (self->nr < CHILDREN) {
		struct gate ready = gate_new(_metadata);

		add_child(_metadata, self, &ready);
		gate_wait(_metadata, &ready);
		gate_close(&ready);
		ASSERT_EQ(before, own_bytes(_metadata))
			TH_LOG("with %d children", self->nr);
	}
	/* The process that writes gets its own copy. */
	memset(at(&self->heap, self->run), 'p', POOL);
	EXPECT_EQ(before + POOL, own_bytes(_metadata));
	EXPECT_TRUE(is_filled(at(&self->heap, self->run), 'p', POOL));
}

TEST_HARNESS_MAIN
