// SPDX-License-Identifier: LGPL-2.1-or-later
/* One data structure, words and an index of them, has its own heap. */
#include <err.h>
#include <stdio.h>
#include <string.h>

#include <pymalloc.h>

#define WORDS	10000

static char *new_word(struct pymalloc_heap *heap, int length)
{
	char *word = pymalloc_malloc(heap, length + 1);

	if (!word)
		err(1, "no word");
	memset(word, 'a', length);
	word[length] = '\0';
	return word;
}

static void show(struct pymalloc_heap *heap, const char *when)
{
	struct pymalloc_cache_stats cache;
	struct pymalloc_stats stats;

	if (pymalloc_heap_stats(heap, &stats, NULL) < 0)
		err(1, "no figures");
	pymalloc_heap_cache_stats(heap, &cache);
	printf("%s:\n", when);
	printf("  %llu blocks, %llu of them in magazines\n", stats.blocks,
	       cache.blocks);
	printf("  %llu bytes of blocks and %llu pages of large objects, in %llu bytes of pages\n",
	       stats.block_bytes, stats.run_pages, stats.page_bytes);
	printf("  %llu fills, %llu flushes\n", cache.nr_fills,
	       cache.nr_flushes);
}

int main(void)
{
	struct pymalloc_heap_options options = {
		.name = "words",
		.limit = 1 << 20,
	};
	struct pymalloc_heap *heap = pymalloc_heap_create(&options);
	__u64 released;
	char **words;
	int i;

	if (!heap)
		err(1, "no heap");
	words = pymalloc_calloc(heap, WORDS, sizeof(*words));
	if (!words)
		err(1, "no index");
	for (i = 0; i < WORDS; i++)
		words[i] = new_word(heap, 1 + i % 50);
	show(heap, "with all words");

	/* Fewer stay of each further thousand, and none of the last ones. */
	for (i = 0; i < WORDS; i++) {
		if (i < 7000 && i % (i / 1000 + 1) == 0)
			continue;
		pymalloc_free(heap, words[i]);
		words[i] = NULL;
	}
	pymalloc_heap_flush(heap);
	show(heap, "with few words");

	/* For a look at it with the pymalloc command. */
	puts("Press Enter to go on.");
	getchar();
	if (pymalloc_heap_trim(heap, &released) < 0)
		err(1, "no trim");
	printf("%llu bytes of pages given back\n", released);
	/* Index and words go with their heap. */
	pymalloc_heap_destroy(heap);
	return 0;
}
