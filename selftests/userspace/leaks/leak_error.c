// SPDX-License-Identifier: GPL-2.0
/* A request that fails is never freed. */
#include <stdlib.h>
#include <string.h>

#include "rounds.h"

struct request {
	int number;
	char body[100];
};

static __attribute_noinline__ struct request *parse(int number)
{
	struct request *request = malloc(sizeof(*request)); /* LEAK */

	if (!request)
		abort();
	request->number = number;
	memset(request->body, 'x', sizeof(request->body));
	return request;
}

static __attribute_noinline__ int serve(struct request *request)
{
	if (request->number % 3 == 0)
		return -1;
	free(request);
	return 0;
}

static void work(int number)
{
	if (serve(parse(number)))
		return;
}

int main(void)
{
	rounds(work);
	return 0;
}
