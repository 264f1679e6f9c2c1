/* SPDX-License-Identifier: GPL-2.0 */
/* What the leaking programs have in common: rounds of work, one for each line of the input. */
#include <stdio.h>
#include <string.h>

static inline void rounds(void (*work)(int number))
{
	char line[16];
	int number = 0;

	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) && strcmp(line, "end\n")) {
		for (int i = 0; i < 200; i++)
			work(++number);
		puts("done");
		fflush(stdout);
	}
}
