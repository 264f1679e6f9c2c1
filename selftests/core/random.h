/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Numbers that look random and are the same every time: Vigna's generator xorshift64*.
 */
#ifndef RANDOM_H
#define RANDOM_H

#include <stdlib.h>
#include <unistd.h>

struct random {
	u64 state;	/* any number but 0 */
};

static inline u64 random_word(struct random *random)
{
	random->state ^= random->state >> 12;
	random->state ^= random->state << 25;
	random->state ^= random->state >> 27;
	return random->state * 2685821657736338717ULL;
}

/* A number below @end. */
static inline u64 random_below(struct random *random, u64 end)
{
	return (random_word(random) >> 11) % end;
}

/* True in @percent of 100 cases. */
static inline bool random_chance(struct random *random, unsigned int percent)
{
	return random_below(random, 100) < percent;
}

/* A size up to @max: every order of magnitude is about as frequent as any other. */
static inline u64 random_size(struct random *random, u64 max)
{
	u64 size = random_word(random) >> (64 - 3 - random_below(random, 22));

	return 1 + size % max;
}

/* Parse the options [-s SEED] [-n CALLS].  Returns false if there are others. */
static inline bool random_options(int argc, char **argv, u64 *seed, u64 *calls)
{
	int option;

	while ((option = getopt(argc, argv, "s:n:")) != -1) {
		if (option == 's')
			*seed = strtoull(optarg, NULL, 0);
		else if (option == 'n')
			*calls = strtoull(optarg, NULL, 0);
		else
			return false;
	}
	return true;
}

#endif /* RANDOM_H */
