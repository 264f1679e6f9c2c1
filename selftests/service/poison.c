// SPDX-License-Identifier: GPL-2.0
/*
 * A page has a memory error. A process that touches the page gets SIGBUS with
 * the code for memory errors. Nobody else notices the error, nothing reads the
 * page, and it is not used again.
 *
 * The kernel takes such a page only out of mappings that it knows how to find.
 * A heap's pages are not among these. A page that is mapped when the error
 * comes stays mapped until the process, or fork(), unmaps it. The processor
 * would report a real error. Here the error is simulated, so the tests unmap
 * the page before they touch it.
 */
#include "relatives.h"

#define PAGES 8
#define BAD 3		/* which page gets the error */
#define SIZE 512
#define PER_PAGE (POOL / SIZE)
#define BLOCKS (PAGES * PER_PAGE)

static sigjmp_buf fault_env;
static siginfo_t fault_info;

static void faulted(int signal, siginfo_t *info, void *context)
{
	(void)context;
	fault_info = *info;
	siglongjmp(fault_env, signal);
}

/* Does an access to @memory raise the signal of a memory error? */
static bool is_bad(void *memory, bool write)
{
	struct sigaction action = { .sa_sigaction = faulted, .sa_flags = SA_SIGINFO }, old;
	int fault = sigsetjmp(fault_env, 1);

	if (!fault) {
		sigaction(SIGBUS, &action, &old);
		if (write)
			__atomic_store_n((char *)memory, 1, __ATOMIC_RELAXED);
		else
			__atomic_load_n((char *)memory, __ATOMIC_RELAXED);
	}
	signal(SIGBUS, SIG_DFL);
	return fault == SIGBUS && fault_info.si_code == BUS_MCEERR_AR &&
	       fault_info.si_addr == memory;
}

/*
 * Give a page an error. The kernel says EBUSY if it leaves the page to its
 * owner. Returns false if the kernel cannot simulate an error.
 */
static bool spoil(struct __test_metadata *_metadata, void *page)
{
	if (!madvise(page, POOL, MADV_HWPOISON))
		return true;
	if (errno == EINVAL)
		return false;
	ASSERT_EQ(EBUSY, errno);
	return true;
}

FIXTURE(poison)
{
	struct heap heap;
	__u64 refs[BLOCKS];	/* page by page */
	__u64 *bad;		/* those on the page with the error */
	char *page;		/* this page */
};

FIXTURE_SETUP(poison)
{
	self->heap = HEAP();
	alloc(&self->heap, SIZE, self->refs, BLOCKS);
	sort_refs(self->refs, BLOCKS);
	for (int i = 0; i < (int)BLOCKS; i++) {
		ASSERT_EQ(self->refs[0] + i * SIZE, self->refs[i]);
		memset(at(&self->heap, self->refs[i]), 'o', SIZE);
	}
	self->bad = self->refs + BAD * PER_PAGE;
	self->page = at(&self->heap, self->bad[0]);
	if (!spoil(_metadata, self->page))
		SKIP(return, "this kernel plays no memory errors");
}

FIXTURE_TEARDOWN(poison)
{
	heap_check(&self->heap);
	heap_close(&self->heap);
}

static void unmap_pages(struct __test_metadata *_metadata, FIXTURE_DATA(poison) *self)
{
	ASSERT_EQ(0, madvise(at(&self->heap, self->refs[0]), PAGES * POOL, MADV_DONTNEED));
}

static bool on_bad_page(FIXTURE_DATA(poison) *self, __u64 ref)
{
	return ref / POOL == self->bad[0] / POOL;
}

/* Are all blocks as they were, except those on the page with the error? */
static bool others_are_whole(FIXTURE_DATA(poison) *self)
{
	for (int i = 0; i < (int)BLOCKS; i++)
		if (!on_bad_page(self, self->refs[i]) &&
		    !is_filled(at(&self->heap, self->refs[i]), 'o', SIZE))
			return false;
	return true;
}

/* At the end, the heap is as empty as at the beginning. */
static void free_rest(struct __test_metadata *_metadata, FIXTURE_DATA(poison) *self)
{
	free_all(&self->heap, self->refs, BLOCKS);
	heap_check(&self->heap);
	heap_trim(&self->heap);
	EXPECT_EQ(0, heap_stats(&self->heap).page_bytes);
}

TEST_F(poison, is_told_to_who_touches_it)
{
	unmap_pages(_metadata, self);
	EXPECT_TRUE(is_bad(self->page, false));
	EXPECT_TRUE(is_bad(self->page + POOL - 1, true));
	EXPECT_TRUE(others_are_whole(self));
	EXPECT_TRUE(is_bad(self->page, true));
	free_rest(_metadata, self);
}

/* The pages before it would be mapped together with those behind it. */
TEST_F(poison, is_not_mapped_with_others)
{
	unmap_pages(_metadata, self);
	EXPECT_TRUE(others_are_whole(self));
	EXPECT_TRUE(is_bad(self->page, false));
	free_rest(_metadata, self);
}

/* Where there is no page table yet, the memory management maps the page. */
TEST_F(poison, is_told_in_another_window)
{
	char *window = mmap(NULL, self->heap.bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			    self->heap.fd, 0);

	ASSERT_NE(MAP_FAILED, window);
	EXPECT_TRUE(is_bad(window + self->bad[0], false));
	EXPECT_TRUE(is_bad(window + self->bad[0], true));
	EXPECT_TRUE(is_filled(window + self->refs[0], 'o', SIZE));
	munmap(window, self->heap.bytes);
	free_rest(_metadata, self);
}

TEST_F(poison, fails_a_system_call)
{
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	unmap_pages(_metadata, self);
	EXPECT_EQ(-1, write(fds[1], self->page, SIZE));
	EXPECT_EQ(EFAULT, errno);
	close(fds[0]);
	close(fds[1]);
	free_rest(_metadata, self);
}

static void relative(struct __test_metadata *_metadata, FIXTURE_DATA(poison) *self)
{
	EXPECT_TRUE(others_are_whole(self));
	EXPECT_TRUE(is_bad(self->page, false));
	EXPECT_TRUE(is_bad(self->page, true));
	memset(at(&self->heap, self->refs[0]), 'w', SIZE);
	heap_check(&self->heap);
	free_rest(_metadata, self);
}

TEST_F(poison, is_inherited)
{
	pid_t child;

	IN_CHILD(child, relative(_metadata, self));
	join_child(_metadata, child);
	relative(_metadata, self);
}

/*
 * If somebody refers to a page, the page is copied for the child. This page is
 * not.
 */
TEST_F(poison, is_not_copied_by_fork)
{
	pid_t child;
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	pipe_memory(_metadata, fds[1], self->page, SIZE);
	IN_CHILD(child, relative(_metadata, self));
	join_child(_metadata, child);
	relative(_metadata, self);
	close(fds[0]);
	close(fds[1]);
}

/* The page is mapped for reading, and the first write asks for a copy. */
TEST_F(poison, is_not_copied_for_a_write)
{
	char *page = at(&self->heap, self->refs[0]);
	pid_t child;

	IN_CHILD(child, {
		EXPECT_TRUE(is_filled(page, 'o', SIZE));
		ASSERT_TRUE(spoil(_metadata, page));
		EXPECT_TRUE(is_bad(page, true));
		EXPECT_TRUE(is_bad(page, true));
	});
	join_child(_metadata, child);
	EXPECT_TRUE(is_bad(page, true));
	free_rest(_metadata, self);
}

TEST_F(poison, is_not_copied_by_resize)
{
	struct pymalloc_resize arg = ARG(resize, .ref = self->bad[1], .size = 2 * SIZE);

	EXPECT_EQ(-EHWPOISON, call(self->heap.fd, PYMALLOC_IOC_RESIZE, &arg));
	EXPECT_EQ(self->bad[1], arg.ref);
	EXPECT_EQ(SIZE, usable(&self->heap, self->bad[1]));
	free_rest(_metadata, self);
}

/*
 * Free a block of the page. Whatever is allocated then, it is never this block.
 */
static void expect_withheld(struct __test_metadata *_metadata, FIXTURE_DATA(poison) *self,
			    const __u64 *refs)
{
	for (int i = 0; i < 2; i++)
		EXPECT_FALSE(on_bad_page(self, refs[i]));
	heap_check(&self->heap);
}

TEST_F(poison, keeps_its_free_blocks_once_touched)
{
	__u64 refs[2];

	free_all(&self->heap, self->bad + 1, 2);
	unmap_pages(_metadata, self);
	EXPECT_TRUE(is_bad(self->page, false));
	alloc(&self->heap, SIZE, refs, 2);
	expect_withheld(_metadata, self, refs);
	free_one(&self->heap, self->bad[3]);
	alloc(&self->heap, SIZE, self->bad + 1, 1);
	alloc(&self->heap, SIZE, self->bad + 2, 2);
	expect_withheld(_metadata, self, self->bad + 2);
	free_all(&self->heap, refs, 2);
	free_rest(_metadata, self);
}

TEST_F(poison, is_not_cleared)
{
	__u64 *refs = self->bad + 1;

	free_all(&self->heap, refs, 2);
	alloc_flags(&self->heap, SIZE, refs, 2, PYMALLOC_ALLOC_ZERO);
	expect_withheld(_metadata, self, refs);
	for (int i = 0; i < 2; i++)
		EXPECT_TRUE(is_filled(at(&self->heap, refs[i]), 0, SIZE));
	free_rest(_metadata, self);
}

/* The copy goes to another place. */
TEST_F(poison, is_not_copied_to)
{
	struct pymalloc_resize arg = ARG(resize, .size = SIZE);

	free_one(&self->heap, self->bad[1]);
	arg.ref = alloc_one(&self->heap, 64);
	memset(at(&self->heap, arg.ref), 's', 64);
	ASSERT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_RESIZE, &arg));
	EXPECT_FALSE(on_bad_page(self, arg.ref));
	EXPECT_TRUE(is_filled(at(&self->heap, arg.ref), 's', 64));
	self->bad[1] = arg.ref;
	free_rest(_metadata, self);
}

TEST_F(poison, is_not_used_again)
{
	free_all(&self->heap, self->bad, PER_PAGE);
	heap_check(&self->heap);
	alloc(&self->heap, SIZE, self->bad, PER_PAGE);
	for (int i = 0; i < (int)PER_PAGE; i++)
		EXPECT_EQ(0, touch(at(&self->heap, self->bad[i]), true));
	unmap_pages(_metadata, self);
	for (int i = 0; i < (int)PER_PAGE; i++)
		EXPECT_EQ(0, touch(at(&self->heap, self->bad[i]), true));
	free_rest(_metadata, self);
}

TEST_F(poison, of_a_large_object)
{
	struct pymalloc_resize arg = ARG(resize, .size = 2 * POOL);
	__u64 ref = alloc_one(&self->heap, 4 * POOL);
	char *page = at(&self->heap, ref) + 2 * POOL;

	*page = 'r';
	ASSERT_TRUE(spoil(_metadata, page));
	arg.ref = ref;
	ASSERT_EQ(0, madvise(page, POOL, MADV_DONTNEED));
	EXPECT_EQ(0, touch(page - POOL, true));
	EXPECT_TRUE(is_bad(page, false));
	EXPECT_EQ(0, touch(page + POOL, true));
	ASSERT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_RESIZE, &arg));
	free_one(&self->heap, ref);
	free_rest(_metadata, self);
}

TEST_HARNESS_MAIN
