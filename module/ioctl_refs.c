// SPDX-License-Identifier: GPL-2.0
/*
 * The ioctls that are about who needs which block of a shared heap, and read() on it.
 *
 * A batch is done in parts, as in ioctl_object.c: no user memory is touched with the lock of the
 * counts held.
 */
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/poll.h>
#include <linux/sched/mm.h>

#include "batch.h"
#include "client.h"
#include "family.h"
#include "ioctl.h"
#include "ioctl_refs.h"
#include "owner.h"
#include "service_heap.h"
#include "sharer.h"
#include "upkeep.h"

/**
 * struct part - a part of a batch, as large as the stack allows
 * @shared: the heap's
 * @args: the call's struct
 * @caller: the caller
 * @to: who is given something
 * @cursor: what was looked up for the last ref
 * @unneeded: blocks that are to be freed
 * @refs: the blocks
 * @serials: their serial numbers
 * @status: what became of each
 */
struct part {
	struct pym_shared *shared;
	const struct pymalloc_holds *args;
	struct pym_holder *caller;
	struct pym_holder *to;
	struct pym_cursor cursor;
	struct pym_unneeded unneeded;
	u64 refs[PYM_UNNEEDED_MAX];
	u32 serials[PYM_UNNEEDED_MAX];
	u8 status[PYM_UNNEEDED_MAX];
};

/* May a call do something for which a descriptor must be at least this? */
static int refs_check(const struct pym_call *call, enum pym_role role)
{
	if (!pym_shared_of(call->sheap))
		return -EINVAL;
	return pym_client_role(call->file) > role ? -EPERM : 0;
}

static int one_hold(struct part *part, unsigned int i)
{
	return pym_hold(&part->shared->refs, part->caller, part->refs[i],
			part->args->serials ? part->serials[i] : 0, &part->cursor,
			&part->status[i]);
}

static int one_drop(struct part *part, unsigned int i)
{
	pym_drop(&part->shared->refs, part->caller, part->refs[i], &part->cursor,
		 &part->unneeded, &part->status[i]);
	return 0;
}

static int one_give(struct part *part, unsigned int i)
{
	return pym_give(&part->shared->refs, part->caller, part->to, part->refs[i],
			part->args->flags & PYMALLOC_HOLDS_KEEP, &part->cursor,
			&part->status[i]);
}

static int one_serial(struct part *part, unsigned int i)
{
	part->serials[i] = pym_hold_serial(&part->shared->refs, part->caller, part->refs[i],
					   &part->cursor, &part->status[i]);
	return 0;
}

/* Do something with each ref of a part.  Returns with how many. */
static __always_inline unsigned int part_each(struct part *part, unsigned int nr, int *err,
					      int (*one)(struct part *part, unsigned int i))
{
	unsigned int done;

	for (done = 0; done < nr; done++) {
		*err = one(part, done);
		if (*err)
			break;
	}
	return done;
}

static unsigned int part_all_locked(struct part *part, unsigned int nr, int *err)
{
	switch (part->args->op) {
	case PYMALLOC_HOLDS_HOLD:
		return part_each(part, nr, err, one_hold);
	case PYMALLOC_HOLDS_DROP:
		return part_each(part, nr, err, one_drop);
	case PYMALLOC_HOLDS_GIVE:
		return part_each(part, nr, err, one_give);
	default:
		return part_each(part, nr, err, one_serial);
	}
}

/* Find out who is meant. */
static int part_find_locked(struct part *part)
{
	struct pym_sharer *sharer = pym_sharer_caller(part->shared);

	if (!sharer)
		return -EPERM;
	part->caller = &sharer->holder;
	if (part->args->op != PYMALLOC_HOLDS_GIVE)
		return 0;
	sharer = pym_sharer_find(part->shared, part->args->client);
	if (!sharer)
		return -ESRCH;
	part->to = &sharer->holder;
	return 0;
}

/* Returns how many refs were done. */
static unsigned int part_carry_out(struct pym_service_heap *sheap, struct part *part,
				   unsigned int nr, int *err)
{
	struct mem_cgroup *memcg = set_active_memcg(sheap->memcg);
	unsigned int done = 0;

	mutex_lock(&part->shared->refs.lock);
	part->cursor = (struct pym_cursor) {};
	*err = part_find_locked(part);
	if (!*err)
		done = part_all_locked(part, nr, err);
	mutex_unlock(&part->shared->refs.lock);
	set_active_memcg(memcg);
	return done;
}

static int part_copy_in(struct part *part, unsigned int *nr)
{
	const struct pymalloc_holds *args = part->args;
	const u32 __user *serials = (u32 __user *)u64_to_user_ptr(args->serials) + args->done;
	unsigned int asked = *nr;

	*nr = pym_batch_read(args->refs, args->done, part->refs, asked);
	if (args->serials && args->op == PYMALLOC_HOLDS_HOLD &&
	    copy_from_user(part->serials, serials, *nr * sizeof(*serials)))
		*nr = 0;
	return *nr == asked ? 0 : -EFAULT;
}

static int part_copy_out(const struct part *part, unsigned int done)
{
	const struct pymalloc_holds *args = part->args;
	u32 __user *serials = (u32 __user *)u64_to_user_ptr(args->serials) + args->done;
	u8 __user *status = (u8 __user *)u64_to_user_ptr(args->status) + args->done;

	if (args->op == PYMALLOC_HOLDS_SERIALS &&
	    copy_to_user(serials, part->serials, done * sizeof(*serials)))
		return -EFAULT;
	return args->status && copy_to_user(status, part->status, done) ? -EFAULT : 0;
}

static void part_count(const struct part *part, struct pymalloc_holds *args, unsigned int done)
{
	unsigned int i;

	for (i = 0; i < done; i++) {
		if (part->status[i] == PYMALLOC_REF_OK)
			continue;
		if (!args->nr_bad++)
			args->first_bad = args->done + i;
	}
	args->done += done;
}

static int holds_part(struct pym_service_heap *sheap, struct pymalloc_holds *args,
		      struct part *part)
{
	unsigned int nr = min_t(u32, args->count - args->done, PYM_UNNEEDED_MAX);
	int fault = part_copy_in(part, &nr);
	unsigned int done;
	int err, lost;

	done = part_carry_out(sheap, part, nr, &err);
	if (part->unneeded.nr) {
		pym_unneeded_free(&part->shared->refs, &part->unneeded);
		pym_upkeep_arm(sheap);
	}
	if (done && args->op == PYMALLOC_HOLDS_GIVE)
		wake_up_interruptible_poll(&sheap->family->wait, EPOLLIN);
	lost = part_copy_out(part, done);
	part_count(part, args, done);
	return err ?: lost ?: fault;
}

static int holds_batch(struct pym_service_heap *sheap, struct pymalloc_holds *args,
		       struct part *part)
{
	int err;

	for (;;) {
		err = holds_part(sheap, args, part);
		if (err)
			return err;
		if (args->done == args->count)
			return args->nr_bad ? -EBADSLT : 0;
		err = pym_batch_pause();
		if (err)
			return err;
	}
}

/* Take blocks out of the caller's inbox.  Returns how many; 0 is also a reason in *@err. */
static unsigned int receive(struct pym_service_heap *sheap, u64 *refs, unsigned int nr, int *err)
{
	struct pym_shared *shared = sheap->family->shared;
	struct mem_cgroup *memcg = set_active_memcg(sheap->memcg);
	struct pym_sharer *caller;
	unsigned int got = 0;

	mutex_lock(&shared->refs.lock);
	caller = pym_sharer_caller(shared);
	*err = -EPERM;
	if (caller)
		got = pym_receive(&shared->refs, &caller->holder, refs, nr, err);
	mutex_unlock(&shared->refs.lock);
	set_active_memcg(memcg);
	if (!got && !*err)
		*err = -EAGAIN;
	return got;
}

/* The blocks that the caller holds behind the last one in @refs[0]. */
static unsigned int read_held(struct pym_service_heap *sheap, u64 *refs, unsigned int nr,
			      int *err)
{
	struct pym_shared *shared = sheap->family->shared;
	struct pym_sharer *caller;
	unsigned int got = 0;

	mutex_lock(&shared->refs.lock);
	caller = pym_sharer_caller(shared);
	*err = caller ? 0 : -EPERM;
	if (caller)
		got = pym_holder_read(&shared->refs, &caller->holder, refs[0], refs, nr);
	mutex_unlock(&shared->refs.lock);
	return got;
}

/* Fill the caller's array with refs, as far as there are some. */
static int holds_out(struct pym_service_heap *sheap, struct pymalloc_holds *args, u64 *refs)
{
	unsigned int nr, got, stored;
	int err;

	if (args->op == PYMALLOC_HOLDS_READ && pym_batch_read(args->refs, 0, refs, 1) != 1)
		return -EFAULT;
	do {
		nr = min_t(u32, args->count - args->done, PYM_UNNEEDED_MAX);
		if (args->op == PYMALLOC_HOLDS_READ)
			got = read_held(sheap, refs, nr, &err);
		else
			got = receive(sheap, refs, nr, &err);
		stored = pym_batch_write(args->refs, args->done, refs, got);
		args->done += stored;
		if (stored < got)
			return -EFAULT;
		if (got)
			refs[0] = refs[got - 1];
		if (!err && got == nr)
			err = pym_batch_pause();
	} while (!err && got == nr && args->done < args->count);
	return args->done && err != -EINTR ? 0 : err;
}

/* Are the fields there that an operation needs, and no others? */
static bool holds_is_valid(const struct pymalloc_holds *args)
{
	bool out = args->op == PYMALLOC_HOLDS_READ || args->op == PYMALLOC_HOLDS_RECEIVE;
	bool give = args->op == PYMALLOC_HOLDS_GIVE;

	if (args->op > PYMALLOC_HOLDS_SERIALS || (!give && (args->client || args->flags)) ||
	    (out && args->status))
		return false;
	if (args->op == PYMALLOC_HOLDS_SERIALS)
		return args->serials;
	return args->op == PYMALLOC_HOLDS_HOLD || !args->serials;
}

/**
 * pym_holds_reset() - say of a PYMALLOC_IOC_HOLDS that nothing is done
 * @call: the call, with a struct pymalloc_holds
 *
 * Context: Any.
 */
void pym_holds_reset(struct pym_call *call)
{
	struct pymalloc_holds *args = &call->args.holds;

	args->done = 0;
	args->nr_bad = 0;
	args->first_bad = args->count;
}

/**
 * pym_holds_ioctl() - PYMALLOC_IOC_HOLDS
 * @call: the call, with a struct pymalloc_holds
 *
 * Return: 0 or an error, as the interface says.
 */
int pym_holds_ioctl(struct pym_call *call)
{
	struct pymalloc_holds *args = &call->args.holds;
	struct pym_service_heap *sheap = call->sheap;
	struct part part __uninitialized;
	int err;

	err = refs_check(call, args->op == PYMALLOC_HOLDS_GIVE ? PYM_ROLE_WRITER :
								 PYM_ROLE_READER);
	if (!err)
		err = holds_is_valid(args) ? pym_batch_check(args->count) : -EINVAL;
	if (err)
		return err;
	part.shared = sheap->family->shared;
	part.args = args;
	part.unneeded.nr = 0;
	if (args->op == PYMALLOC_HOLDS_READ || args->op == PYMALLOC_HOLDS_RECEIVE)
		err = holds_out(sheap, args, part.refs);
	else
		err = holds_batch(sheap, args, &part);
	return err;
}

/* The client that the caller is, with a reference; or NULL. */
static struct pym_sharer *caller_get(struct pym_service_heap *sheap)
{
	struct pym_shared *shared = sheap->family->shared;
	struct pym_sharer *caller;

	mutex_lock(&shared->refs.lock);
	caller = pym_sharer_caller(shared);
	if (caller)
		pym_sharer_get(caller);
	mutex_unlock(&shared->refs.lock);
	return caller;
}

/* Wait until there may be something for the caller. */
static int inbox_wait(struct file *file, struct pym_service_heap *sheap)
{
	struct pym_sharer *caller;
	int err;

	if (file->f_flags & O_NONBLOCK)
		return -EAGAIN;
	caller = caller_get(sheap);
	if (!caller)
		return -EPERM;
	err = wait_event_interruptible(sheap->family->wait,
				       READ_ONCE(caller->holder.nr_inbox) ||
				       !READ_ONCE(caller->mappings) ||
				       READ_ONCE(sheap->ended));
	pym_sharer_put(caller);
	if (err)
		return -EINTR;
	return READ_ONCE(sheap->ended) ? -ESTALE : 0;
}

static ssize_t inbox_read_some(struct file *file, struct pym_service_heap *sheap,
			       u64 __user *buffer, unsigned int nr)
{
	u64 refs[PYM_BATCH_PART] __uninitialized;
	unsigned int got;
	int err;

	do {
		got = receive(sheap, refs, min(nr, PYM_BATCH_PART), &err);
		if (!got && err == -EAGAIN)
			err = inbox_wait(file, sheap);
	} while (!got && !err);
	if (!got)
		return err;
	return copy_to_user(buffer, refs, got * sizeof(*refs)) ? -EFAULT : got * sizeof(*refs);
}

/**
 * pym_inbox_read() - read() on a descriptor of a shared heap
 * @file: the descriptor
 * @sheap: the heap
 * @buffer: gets refs
 * @bytes: of it
 *
 * Context: Sleeps.
 * Return: bytes of the refs that were received; or an error, as the interface says.
 */
ssize_t pym_inbox_read(struct file *file, struct pym_service_heap *sheap, char __user *buffer,
		       size_t bytes)
{
	if (bytes < sizeof(u64) || bytes % sizeof(u64))
		return -EINVAL;
	if (READ_ONCE(sheap->ended))
		return -ESTALE;
	if (pym_client_role(file) > PYM_ROLE_READER)
		return -EPERM;
	atomic64_inc(&sheap->nr_calls);
	return inbox_read_some(file, sheap, (u64 __user *)buffer,
			       min_t(size_t, bytes / sizeof(u64), PYM_BATCH_PART));
}

/* What is done with one name.  Returns 0 or an error. */
static int roots_once_locked(struct pym_shared *shared, struct pymalloc_roots *args,
			     struct pym_unneeded *unneeded)
{
	struct pym_sharer *caller = pym_sharer_caller(shared);

	if (!caller)
		return -EPERM;
	switch (args->op) {
	case PYMALLOC_ROOTS_SET:
	case PYMALLOC_ROOTS_NEW:
		return pym_root_set(&shared->refs, &shared->roots, args->name, &caller->holder,
				    args->ref, args->op == PYMALLOC_ROOTS_NEW, unneeded);
	case PYMALLOC_ROOTS_REMOVE:
		return pym_root_remove(&shared->refs, &shared->roots, args->name, unneeded);
	default:
		return pym_root_get(&shared->refs, &shared->roots, args->name, &caller->holder,
				    &args->ref);
	}
}

static int roots_once(struct pym_service_heap *sheap, struct pymalloc_roots *args, u32 *seen)
{
	struct pym_shared *shared = sheap->family->shared;
	struct mem_cgroup *memcg = set_active_memcg(sheap->memcg);
	struct pym_unneeded unneeded = {};
	int err;

	mutex_lock(&shared->refs.lock);
	*seen = shared->roots.nr_set;
	err = roots_once_locked(shared, args, &unneeded);
	mutex_unlock(&shared->refs.lock);
	set_active_memcg(memcg);
	pym_unneeded_free(&shared->refs, &unneeded);
	return err;
}

static int roots_wait(struct pym_service_heap *sheap, struct pymalloc_roots *args)
{
	const u32 *nr_set = &sheap->family->shared->roots.nr_set;
	struct pym_sharer *caller = caller_get(sheap);
	u32 seen;
	int err;

	if (!caller)
		return -EPERM;
	/* When it is no client any more, the next look says so. */
	while ((err = roots_once(sheap, args, &seen)) == -ENOENT && !READ_ONCE(sheap->ended)) {
		err = wait_event_interruptible(sheap->family->wait,
					       READ_ONCE(*nr_set) != seen ||
					       !READ_ONCE(caller->mappings) ||
					       READ_ONCE(sheap->ended));
		if (err)
			break;
	}
	pym_sharer_put(caller);
	if (err == -ERESTARTSYS)
		return -EINTR;
	return err == -ENOENT ? -ESTALE : err;
}

static int roots_next(struct pym_shared *shared, struct pymalloc_roots *args)
{
	int err;

	mutex_lock(&shared->refs.lock);
	err = pym_root_next(&shared->roots, args->name, &args->ref);
	mutex_unlock(&shared->refs.lock);
	return err;
}

static enum pym_role roots_role(u32 op)
{
	switch (op) {
	case PYMALLOC_ROOTS_NEXT:
		return PYM_ROLE_OBSERVER;
	case PYMALLOC_ROOTS_GET:
	case PYMALLOC_ROOTS_WAIT:
		return PYM_ROLE_READER;
	default:
		return PYM_ROLE_WRITER;
	}
}

/**
 * pym_roots_ioctl() - PYMALLOC_IOC_ROOTS
 * @call: the call, with a struct pymalloc_roots
 *
 * Return: 0 or an error, as the interface says.
 */
int pym_roots_ioctl(struct pym_call *call)
{
	struct pymalloc_roots *args = &call->args.roots;
	struct pym_service_heap *sheap = call->sheap;
	u32 seen;
	int err = refs_check(call, roots_role(args->op));

	if (err)
		return err;
	if (args->op > PYMALLOC_ROOTS_NEXT || !pym_name_is_valid(args->name))
		return -EINVAL;
	if (args->op == PYMALLOC_ROOTS_NEXT)
		return roots_next(sheap->family->shared, args);
	if (!*args->name)
		return -EINVAL;
	if (args->op == PYMALLOC_ROOTS_WAIT)
		return roots_wait(sheap, args);
	err = roots_once(sheap, args, &seen);
	if (!err && args->op <= PYMALLOC_ROOTS_NEW)
		wake_up_interruptible_poll(&sheap->family->wait, EPOLLIN);
	pym_upkeep_arm(sheap);
	return err;
}

#define INFO_BYTES	offsetofend(struct pymalloc_client_info, comm)

static int clients_read(struct pym_shared *shared, struct pymalloc_clients *args)
{
	struct pymalloc_client_info info;
	u32 number = args->number;
	int err = 0;

	if (args->count > PYMALLOC_BATCH_MAX)
		return -E2BIG;
	if (args->entry_size < INFO_BYTES || args->entry_size > PAGE_SIZE || args->holds_max)
		return -EINVAL;
	while (!err && args->done < args->count) {
		number = pym_sharer_next(shared, number, &info);
		if (!number)
			break;
		err = pym_put_entry(args->infos, args->done, args->entry_size, &info, sizeof(info));
		args->done += !err;
		if (fatal_signal_pending(current))
			err = -EINTR;
		cond_resched();
	}
	return err;
}

/**
 * pym_clients_reset() - say of a PYMALLOC_IOC_CLIENTS that nothing is done
 * @call: the call, with a struct pymalloc_clients
 *
 * Context: Any.
 */
void pym_clients_reset(struct pym_call *call)
{
	call->args.clients.done = 0;
}

/**
 * pym_clients_ioctl() - PYMALLOC_IOC_CLIENTS
 * @call: the call, with a struct pymalloc_clients
 *
 * Return: 0 or an error, as the interface says.
 */
int pym_clients_ioctl(struct pym_call *call)
{
	struct pymalloc_clients *args = &call->args.clients;
	struct pym_shared *shared = pym_shared_of(call->sheap);
	int err = 0;

	if (!shared)
		return -EINVAL;
	if (args->op == PYMALLOC_CLIENTS_READ)
		return clients_read(shared, args);
	if (args->op != PYMALLOC_CLIENTS_LIMIT || args->infos || args->count || args->entry_size)
		return -EINVAL;
	err = pym_client_may_change(call->file, call->sheap, false);
	return err ?: pym_sharer_limit(shared, args->number, args->holds_max);
}
