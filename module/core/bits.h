/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Bitmaps of 64 bits: the pools of an arena, the arenas of a region.
 */
#ifndef PYM_BITS_H
#define PYM_BITS_H

#include <linux/bitops.h>
#include <linux/minmax.h>
#include <linux/types.h>

/* For each bit that is set in @bits, from the lowest on: @bit becomes its number. */
#define pym_for_each_bit(bit, bits)				\
	for (u64 _left = (bits);				\
	     _left && ((bit) = __ffs64(_left), true);		\
	     _left &= _left - 1)

/* Clear the lowest set bit of @bits, which is not 0.  Returns the number of that bit. */
static inline unsigned int pym_pop_bit(u64 *bits)
{
	unsigned int bit = __ffs64(*bits);

	*bits &= *bits - 1;
	return bit;
}

/* A mask of @nr bits from @first on. */
static inline u64 pym_bits(unsigned int first, unsigned int nr)
{
	return GENMASK_ULL(first + nr - 1, first);
}

/**
 * pym_lowest_bits() - the lowest bits that are set
 * @bits: the bits
 * @nr: how many are wanted
 *
 * Return: the lowest @nr set bits; all set bits if there are fewer.
 */
static inline u64 pym_lowest_bits(u64 bits, unsigned int nr)
{
	u64 rest = bits;

	while (rest && nr--)
		rest &= rest - 1;
	return bits & ~rest;
}

/* Where runs of @nr set bits start: bit i says that bits i to i + @nr - 1 are all set. */
static inline u64 pym_run_starts(u64 bits, unsigned int nr)
{
	unsigned int have = 1, step;

	for (; have < nr; have += step) {
		step = min(have, nr - have);
		bits &= bits >> step;
	}
	return bits;
}

/**
 * pym_longest_run() - the length of the longest run of set bits
 * @bits: the bits
 *
 * Return: 0 to 64.
 */
static inline unsigned int pym_longest_run(u64 bits)
{
	unsigned int nr = 0;

	for (; bits; bits &= bits >> 1)
		nr++;
	return nr;
}

/* The length of the run of set bits that starts at @first. */
static inline unsigned int pym_run_length(u64 bits, unsigned int first)
{
	u64 rest = ~(bits >> first);

	return rest ? __ffs64(rest) : 64;
}

#endif /* PYM_BITS_H */
