// SPDX-License-Identifier: GPL-2.0
/*
 * The checkers: they find nothing in a sound heap, and in a corrupted heap they say
 * exactly what is wrong.
 */
#include "corruptions.h"
#include "mappings.h"
#include "tap.h"

static const struct pym_heap_ops ops = {
	.hold = mappings_hold,
	.release = mappings_release,
	.zap = mappings_zap,
	.map_grown = mappings_map_grown,
};

static struct pym_verdict check(struct pym_heap *heap)
{
	struct pym_verdict verdict;

	MUST(!pym_check(heap, &verdict), "the checker had no memory");
	return verdict;
}

static struct pym_verdict check_live(struct pym_heap *heap)
{
	struct pym_verdict verdict;

	MUST(!pym_check_live(heap, &verdict), "the checker had no memory");
	return verdict;
}

static void finds(const void *what)
{
	const struct corruption *corruption = what;
	static struct pym_heap heap = { .ops = &ops };
	struct pym_verdict verdict;
	struct scene scene;

	MUST(!pym_arena_cache_init(), "no cache");
	MUST(!pym_heap_init(&heap, 16, 64ULL << 20), "no heap");
	MUST(!check(&heap).errors, "a heap without arenas is not sound");
	MUST(scene_build(&scene, &heap), "no memory");
	MUST(!check(&heap).errors, "the heap is not sound: %s", check(&heap).message);
	corruption->toggle(&scene);
	verdict = check(&heap);
	MUST(verdict.errors, "nothing was found");
	MUST(!strcmp(verdict.message, corruption->message) &&
	     verdict.offset == scene.offset[corruption->place],
	     "found at %#llx: %s", verdict.offset, verdict.message);
	verdict = check_live(&heap);
	if (corruption->live)
		MUST(!strcmp(verdict.message, corruption->live), "found while it goes on: %s",
		     verdict.message);
	else
		MUST(!verdict.errors, "found while it goes on: %s", verdict.message);
	corruption->toggle(&scene);
	MUST(!check(&heap).errors, "the heap is not sound again");
	MUST(!check_live(&heap).errors, "the heap is not sound again");
	pym_heap_destroy(&heap);
	pym_arena_cache_exit();
}

int main(void)
{
	unsigned int i;

	tap_begin();
	for (i = 0; i < nr_corruptions; i++)
		tap_run(corruptions[i].name, finds, &corruptions[i]);
	return tap_end();
}
