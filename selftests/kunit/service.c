// SPDX-License-Identifier: GPL-2.0
/*
 * The module around the core, as far as it can be tested without a process: users, the
 * registry, families, and the rules for changing a heap.
 */
#include <linux/fs.h>
#include <linux/slab.h>

#include "client.h"
#include "family.h"
#include "ioctl.h"
#include "ioctl_inspect.h"
#include "kunit.h"
#include "params.h"
#include "registry.h"
#include "service_heap.h"
#include "user.h"

/* No real user has this number, so that no other heap is charged to it. */
#define TEST_UID	KUIDT_INIT(0xfffffff0)
#define OTHER_UID	KUIDT_INIT(0xfffffff1)

static void a_user_is_one_while_it_is_used(struct kunit *test)
{
	struct pym_user *user = pym_user_get(TEST_UID);
	struct pym_user *again = pym_user_get(TEST_UID);
	struct pym_user *other = pym_user_get(OTHER_UID);

	KUNIT_ASSERT_NOT_NULL(test, user);
	KUNIT_ASSERT_NOT_NULL(test, other);
	KUNIT_EXPECT_PTR_EQ(test, again, user);
	KUNIT_EXPECT_PTR_NE(test, other, user);
	KUNIT_EXPECT_TRUE(test, uid_eq(other->uid, OTHER_UID));

	KUNIT_EXPECT_EQ(test, pym_user_charge_heap(user), 0);
	pym_user_put(again);
	again = pym_user_get(TEST_UID);
	KUNIT_EXPECT_EQ_MSG(test, atomic_read(&again->heaps), 1, "it is still the same");
	pym_user_uncharge_heap(again);
	pym_user_put(again);
	pym_user_put(user);
	pym_user_put(other);
}

static void a_user_has_so_many_heaps(struct kunit *test)
{
	struct pym_user *user = pym_user_get(TEST_UID);
	unsigned int max = pym_user_heaps;

	KUNIT_ASSERT_NOT_NULL(test, user);
	WRITE_ONCE(pym_user_heaps, 2);
	KUNIT_EXPECT_EQ(test, pym_user_charge_heap(user), 0);
	KUNIT_EXPECT_EQ(test, pym_user_charge_heap(user), 0);
	KUNIT_EXPECT_EQ(test, pym_user_charge_heap(user), -EDQUOT);
	KUNIT_EXPECT_EQ(test, atomic_read(&user->heaps), 2);
	pym_user_uncharge_heap(user);
	KUNIT_EXPECT_EQ(test, pym_user_charge_heap(user), 0);
	WRITE_ONCE(pym_user_heaps, 0);
	KUNIT_EXPECT_EQ_MSG(test, pym_user_charge_heap(user), 0, "0 is no limit");
	WRITE_ONCE(pym_user_heaps, max);
	pym_user_put(user);
}

/* A heap of a new address space, in which no process runs. */
static struct pym_service_heap *heap_of_process(struct kunit *test)
{
	struct pym_service_heap *sheap = kunit_kzalloc(test, sizeof(*sheap), GFP_KERNEL);
	struct mm_struct *mm = kunit_kzalloc(test, sizeof(*mm), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, sheap);
	KUNIT_ASSERT_NOT_NULL(test, mm);
	atomic_set(&mm->mm_users, 1);
	atomic_set(&mm->mm_count, 1);
	sheap->client.mm = mm;
	kref_init(&sheap->ref);
	return sheap;
}

static struct pym_service_heap *registered_heap(struct kunit *test)
{
	struct pym_service_heap *sheap = heap_of_process(test);

	KUNIT_ASSERT_EQ(test, pym_registry_reserve(sheap), 0);
	KUNIT_EXPECT_NULL_MSG(test, pym_registry_find(sheap->heap.id), "it is not whole yet");
	pym_registry_add(sheap);
	return sheap;
}

static void heaps_are_found_by_number(struct kunit *test)
{
	unsigned long before = pym_registry_count();
	struct pym_service_heap *one = registered_heap(test), *two = registered_heap(test);

	KUNIT_EXPECT_GT(test, two->heap.id, one->heap.id);
	KUNIT_EXPECT_EQ(test, pym_registry_count(), before + 2);
	KUNIT_EXPECT_PTR_EQ(test, pym_registry_find(one->heap.id), one);
	KUNIT_EXPECT_EQ_MSG(test, kref_read(&one->ref), 2,
			    "the call that finds it holds it");
	KUNIT_EXPECT_PTR_EQ(test, pym_registry_next(one->heap.id - 1), one);
	KUNIT_EXPECT_PTR_EQ(test, pym_registry_next(one->heap.id), two);
	KUNIT_EXPECT_NULL(test, pym_registry_next(two->heap.id));
	KUNIT_EXPECT_NULL(test, pym_registry_next(U64_MAX));
	KUNIT_EXPECT_NULL(test, pym_registry_find(0));
	KUNIT_EXPECT_NULL(test, pym_registry_find(two->heap.id + 1));

	pym_registry_remove(one);
	KUNIT_EXPECT_NULL(test, pym_registry_find(one->heap.id));
	KUNIT_EXPECT_PTR_EQ(test, pym_registry_next(one->heap.id - 1), two);
	pym_registry_remove(two);
	KUNIT_EXPECT_EQ(test, pym_registry_count(), before);
}

static void leave_it_to_the_test(struct kref *ref)
{
}

static void a_heap_that_goes_is_not_found(struct kunit *test)
{
	struct pym_service_heap *dying = registered_heap(test), *alive = registered_heap(test);

	kref_put(&dying->ref, leave_it_to_the_test);
	KUNIT_EXPECT_NULL(test, pym_registry_find(dying->heap.id));
	KUNIT_EXPECT_PTR_EQ(test, pym_registry_next(dying->heap.id - 1), alive);
	pym_registry_remove(dying);
	atomic_set(&alive->client.mm->mm_users, 0);
	KUNIT_EXPECT_NULL_MSG(test, pym_registry_find(alive->heap.id), "its process has died");
	pym_registry_remove(alive);
}

static void a_number_can_be_given_back(struct kunit *test)
{
	unsigned long before = pym_registry_count();
	struct pym_service_heap *sheap = heap_of_process(test);

	KUNIT_ASSERT_EQ(test, pym_registry_reserve(sheap), 0);
	pym_registry_cancel(sheap);
	KUNIT_EXPECT_NULL(test, pym_registry_find(sheap->heap.id));
	KUNIT_EXPECT_EQ(test, pym_registry_count(), before);
}

static struct pym_family *new_family(struct kunit *test)
{
	struct pym_family *family = pym_family_new(heap_of_process(test));

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, family);
	return family;
}

static void every_family_has_an_inode_of_its_own(struct kunit *test)
{
	struct pym_family *one = new_family(test), *two = new_family(test);

	KUNIT_EXPECT_PTR_NE(test, one->inode->i_mapping, two->inode->i_mapping);
	KUNIT_EXPECT_PTR_EQ(test, pym_family_get(one), one);
	pym_family_put(one);
	KUNIT_EXPECT_EQ(test, refcount_read(&one->refs), 1);
	pym_family_put(one);
	pym_family_put(two);
}

static void each_process_finds_its_own_heap(struct kunit *test)
{
	struct pym_service_heap *founder = heap_of_process(test);
	struct pym_service_heap *child = heap_of_process(test);
	struct pym_family *family = pym_family_new(founder);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, family);
	child->inherited = true;
	KUNIT_EXPECT_TRUE(test, pym_family_is_alone(family));
	KUNIT_EXPECT_NULL(test, pym_family_enter(family, child->client.mm));
	KUNIT_EXPECT_EQ(test, pym_family_add(family, child), 0);
	KUNIT_EXPECT_FALSE(test, pym_family_is_alone(family));
	KUNIT_EXPECT_PTR_EQ(test, pym_family_enter(family, child->client.mm), child);
	KUNIT_EXPECT_EQ_MSG(test, kref_read(&child->ref), 2,
			    "the call that finds it holds it");
	KUNIT_EXPECT_PTR_EQ(test, pym_family_enter(family, founder->client.mm), founder);
	KUNIT_EXPECT_EQ_MSG(test, kref_read(&founder->ref), 3, "so does the family");
	KUNIT_EXPECT_NULL(test, pym_family_enter(family, (struct mm_struct *)family));

	kref_put(&child->ref, leave_it_to_the_test);
	kref_put(&child->ref, leave_it_to_the_test);
	KUNIT_EXPECT_NULL_MSG(test, pym_family_enter(family, child->client.mm), "it is going");
	pym_family_forget(family, child);
	pym_family_leave(family);
	KUNIT_EXPECT_TRUE(test, pym_family_is_alone(family));

	pym_family_bury(family);
	KUNIT_EXPECT_EQ_MSG(test, kref_read(&founder->ref), 3, "its process lives");
	pym_family_forget(family, founder);
	KUNIT_EXPECT_EQ(test, kref_read(&founder->ref), 2);
	KUNIT_EXPECT_NULL(test, pym_family_enter(family, founder->client.mm));
	pym_family_put(family);
}

static void a_dead_process_keeps_no_heap(struct kunit *test)
{
	struct pym_service_heap *founder = heap_of_process(test);
	struct pym_family *family = pym_family_new(founder);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, family);
	atomic_set(&founder->client.mm->mm_users, 0);
	pym_family_bury(family);
	KUNIT_EXPECT_EQ(test, kref_read(&founder->ref), 1);
	pym_family_bury(family);
	KUNIT_EXPECT_EQ_MSG(test, kref_read(&founder->ref), 1, "only once");
	pym_family_put(family);
}

struct listing {
	const char *what;
	struct pymalloc_list list;
	int err;
};

#define INFO_SIZE	sizeof(struct pymalloc_heap_info)
#define INFO_MIN	offsetofend(struct pymalloc_heap_info, name)

static const struct listing listings[] = {
	{ "one", { .count = 1, .entry_size = INFO_SIZE }, 0 },
	{ "none", { .count = 0, .entry_size = INFO_SIZE }, 0 },
	{ "as many as may be", { .count = PYMALLOC_BATCH_MAX, .entry_size = INFO_SIZE }, 0 },
	{ "one more", { .count = PYMALLOC_BATCH_MAX + 1, .entry_size = INFO_SIZE }, -E2BIG },
	{ "entries of the first version", { .count = 1, .entry_size = INFO_MIN }, 0 },
	{ "entries too short", { .count = 1, .entry_size = INFO_MIN - 1 }, -EINVAL },
	{ "longer entries", { .count = 1, .entry_size = PAGE_SIZE }, 0 },
	{ "entries too long", { .count = 1, .entry_size = PAGE_SIZE + 1 }, -EINVAL },
	{ "a flag", { .count = 1, .entry_size = INFO_SIZE, .flags = 1 }, -EINVAL },
	{ "reserved", { .count = 1, .entry_size = INFO_SIZE, .reserved = 1 }, -EINVAL },
};

static void describe_listing(const struct listing *listing, char *text)
{
	strscpy(text, listing->what, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(listing, listings, describe_listing);

static void a_list_is_checked(struct kunit *test)
{
	static const struct pym_command commands[] = {
		PYM_COMMAND(LIST, list, reserved, pym_list_ioctl,
			    .reserved = offsetof(struct pymalloc_list, reserved)),
	};
	const struct pym_command *command = &commands[ARRAY_SIZE(commands) - 1];
	const struct listing *listing = test->param_value;
	struct pym_call *call = kunit_kzalloc(test, sizeof(*call), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, call);
	call->args.list = listing->list;
	KUNIT_EXPECT_EQ(test, pym_command_check(command, call) ?:
			      pym_list_check(&call->args.list), listing->err);
}

struct change {
	const char *what;
	fmode_t mode;
	bool client_only;
	bool client;
	int err;
};

static const struct change changes[] = {
	{ "its process", FMODE_READ | FMODE_WRITE, true, true, 0 },
	{ "another process", FMODE_READ | FMODE_WRITE, true, false, -EPERM },
	{ "anybody", FMODE_READ | FMODE_WRITE, false, false, 0 },
	{ "its process, read-only", FMODE_READ, true, true, -EBADF },
	{ "anybody, read-only", FMODE_READ, false, false, -EBADF },
};

static void describe_change(const struct change *change, char *text)
{
	strscpy(text, change->what, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(change, changes, describe_change);

static void a_heap_is_changed_by_its_process(struct kunit *test)
{
	const struct change *change = test->param_value;
	struct pym_call *call = kunit_kzalloc(test, sizeof(*call), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, call);
	call->file = kunit_kzalloc(test, sizeof(*call->file), GFP_KERNEL);
	call->sheap = kunit_kzalloc(test, sizeof(*call->sheap), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, call->file);
	KUNIT_ASSERT_NOT_NULL(test, call->sheap);
	/* This thread's mm is NULL.  It is the client of a heap with the same mm. */
	call->sheap->client.mm = change->client ? current->mm : (struct mm_struct *)call;
	call->file->f_mode = change->mode;
	KUNIT_EXPECT_EQ(test, pym_client_may_change(call->file, call->sheap,
						    change->client_only), change->err);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(a_user_is_one_while_it_is_used),
	KUNIT_CASE(a_user_has_so_many_heaps),
	KUNIT_CASE(heaps_are_found_by_number),
	KUNIT_CASE(a_heap_that_goes_is_not_found),
	KUNIT_CASE(every_family_has_an_inode_of_its_own),
	KUNIT_CASE(each_process_finds_its_own_heap),
	KUNIT_CASE(a_dead_process_keeps_no_heap),
	KUNIT_CASE(a_number_can_be_given_back),
	KUNIT_CASE_PARAM(a_list_is_checked, listing_gen_params),
	KUNIT_CASE_PARAM(a_heap_is_changed_by_its_process, change_gen_params),
	{}
};

static struct kunit_suite suite = {
	.name		= "pymalloc_service",
	.test_cases	= cases,
};

kunit_test_suites(&suite);
