// SPDX-License-Identifier: LGPL-2.1-or-later
/* Lines are split into words, which are gone when the next line comes. */
#include <err.h>
#include <stdio.h>
#include <string.h>

#include <pymalloc-stack.h>

struct word {
	struct word *next;
	char text[];
};

/* The last one first. */
static struct word *split(struct pymalloc_stack *stack, const char *line)
{
	struct word *words = NULL;

	for (line += strspn(line, " "); *line; line += strspn(line, " ")) {
		size_t length = strcspn(line, " ");
		struct word *word = pymalloc_stack_alloc(stack, sizeof(*word) + length + 1);

		if (!word)
			err(1, "no word");
		memcpy(word->text, line, length);
		word->text[length] = '\0';
		word->next = words;
		words = word;
		line += length;
	}
	return words;
}

static void print_backwards(struct pymalloc_stack *stack, const char *line)
{
	pymalloc_stack_scope(stack);

	for (struct word *word = split(stack, line); word; word = word->next)
		printf("%s%s", word->text, word->next ? " " : "\n");
}

int main(void)
{
	struct pymalloc_heap *heap = pymalloc_heap_create(NULL);
	struct pymalloc_stack *stack = heap ? pymalloc_stack_get(heap) : NULL;
	struct pymalloc_stats stats;

	if (!stack)
		err(1, "no stack");
	print_backwards(stack, "the words of a line");
	for (int i = 0; i < 100000; i++) {
		struct pymalloc_stack_mark mark = pymalloc_stack_mark(stack);

		split(stack, "and of very many lines, one after the other");
		pymalloc_stack_release(stack, &mark);
	}
	pymalloc_heap_stats(heap, &stats, NULL);
	printf("%llu allocation, %llu bytes\n", stats.nr_allocs,
	       stats.run_pages * PYMALLOC_POOL_SIZE);
	pymalloc_heap_destroy(heap);
}
