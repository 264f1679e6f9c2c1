/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reservations: objects of one size that are there before they are needed.
 *
 * A reservation gets all of its memory when it is made, or none.  From then on, taking one of
 * its objects cannot fail, as long as fewer than all are taken; it makes no system call, takes
 * no lock and touches no page that is not there.  That is for threads that may not wait, and
 * for the one object that the way out of an error needs.
 *
 * Any thread may take and give back, at the same time, and a signal's handler may, too.
 */
#ifndef _PYMALLOC_RESERVATION_H
#define _PYMALLOC_RESERVATION_H

#include <stddef.h>

#include <pymalloc.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pymalloc_reservation;
struct pymalloc_type;

/* The most objects of a reservation, and the most bytes. */
#define PYMALLOC_RESERVE_COUNT_MAX	(1U << 21)
#define PYMALLOC_RESERVE_BYTES_MAX	(1ULL << 32)

/**
 * pymalloc_reservation_create() - reserve objects
 * @heap: the heap whose memory it is
 * @size: bytes of each, 1 to PYMALLOC_SIZE_MAX
 * @count: how many, 1 to PYMALLOC_RESERVE_COUNT_MAX; all objects together have at most
 *	PYMALLOC_RESERVE_BYTES_MAX bytes
 *
 * All pages are charged, allocated and mapped when it returns.  They are large objects of the
 * heap, which are never meshed, and stay until pymalloc_reservation_destroy().  Heaps are
 * never swapped, so there is nothing for mlock() to do.
 *
 * Return: the reservation; or NULL with nothing reserved and EINVAL (an argument is out of
 * range); ENOMEM (the heap's limit or window, the memory cgroup's limit, the machine's memory);
 * EDQUOT (the user's limit); EPERM (the process is in a sandbox, or the heap is sealed).
 */
PYMALLOC_API struct pymalloc_reservation *
pymalloc_reservation_create(struct pymalloc_heap *heap, size_t size, size_t count);

/**
 * pymalloc_reservation_create_of() - reserve objects of a type
 * @type: the type; it cannot end before the reservation
 * @count: as for pymalloc_reservation_create()
 *
 * All of them are constructed when it returns, stay so when they are given back, and are
 * destructed with the reservation.  They have the type's alignment, but at least 16.  They count
 * as objects of the type, do not lie in pools of the type's own, and are never among those that
 * threads keep: pymalloc_type_free() may not see them, and does not always find that it does.
 *
 * Return: as pymalloc_reservation_create(); or NULL with nothing reserved and what the
 * constructor has set, if it has failed.
 */
PYMALLOC_API struct pymalloc_reservation *
pymalloc_reservation_create_of(struct pymalloc_type *type, size_t count);

/**
 * pymalloc_reservation_destroy() - give the memory of a reservation back
 * @reservation: the reservation, or NULL; no thread may be using it or use it later
 *
 * With all of its objects, taken or not.  Does nothing in a sealed heap.  Keeps errno.
 */
PYMALLOC_API void pymalloc_reservation_destroy(struct pymalloc_reservation *reservation);

/**
 * pymalloc_reservation_take() - take an object
 * @reservation: the reservation
 *
 * Its bytes are zero, or what the constructor has made of them, if it is taken for the first time,
 * and else as they were left.  It is aligned to 16, and goes back by pymalloc_reservation_give()
 * alone: pymalloc_free() of it is a bad free, unless its size is within 16 bytes (or the type's
 * alignment) of PYMALLOC_SIZE_MAX: that may not see it.  A lock-free stack of free objects, with a
 * counter against the ABA problem (R. K. Treiber, "Systems Programming: Coping with Parallelism",
 * IBM, 1986).
 *
 * Return: the object; or NULL with errno as it was if all are taken.
 */
PYMALLOC_API void *pymalloc_reservation_take(struct pymalloc_reservation *reservation);

/**
 * pymalloc_reservation_give() - give an object back to its reservation
 * @reservation: the reservation
 * @object: the object; NULL does nothing
 *
 * If it is no object of the reservation, or is not taken, the function of
 * pymalloc_set_bad_free() is called, and nothing has been given back.  Keeps errno.
 */
PYMALLOC_API void pymalloc_reservation_give(struct pymalloc_reservation *reservation,
					    void *object);

/**
 * pymalloc_reservation_free_count() - how many objects can be taken
 * @reservation: the reservation
 *
 * Return: the number; while other threads take or give, one of them may count already, or
 * still.
 */
PYMALLOC_API size_t
pymalloc_reservation_free_count(const struct pymalloc_reservation *reservation);

/**
 * pymalloc_reservation_touch() - see that no page of a reservation needs a fault
 * @reservation: the reservation
 *
 * After fork(), parent and child share all pages, and the first write to each is a fault that
 * may copy it.  So is an access to a page that `pymalloc trace --idle` has watched.  This takes
 * these faults now.  Other threads may use the objects meanwhile.
 */
PYMALLOC_API void pymalloc_reservation_touch(struct pymalloc_reservation *reservation);

#ifdef __cplusplus
}
#endif

#endif /* _PYMALLOC_RESERVATION_H */
