// SPDX-License-Identifier: LGPL-2.1-or-later
/* pymalloc policy: show or set how a heap gives memory back by itself. */
#include <argp.h>
#include <stdbool.h>
#include <unistd.h>

#include "command.h"
#include "options.h"
#include "policy.h"
#include "service.h"
#include "target.h"

static const struct column columns[] = {
	{ "HEAP", KIND_NUMBER },
	{ "DECAY_MS", KIND_NUMBER },
	{ "KEEP", KIND_BYTES },
	{ "DECAY", KIND_SWITCH },
	{ "STEAL", KIND_SWITCH },
	{ "MESH", KIND_SWITCH },
	{ NULL, 0 }
};

enum {
	OPTION_DECAY_MS = 0x100,
	OPTION_KEEP,
	OPTION_RESET,
	/* With the bit of PYMALLOC_POLICY_NO_* that it sets or clears. */
	OPTION_ON = 0x200,
	OPTION_OFF = 0x400,
};

static const struct argp_option options[] = {
	{ "decay-ms", OPTION_DECAY_MS, "N", 0,
	  "look at the heap every N milliseconds; 0: as often as the module's parameter says", 0 },
	{ "keep", OPTION_KEEP, "BYTES", 0,
	  "keep so many bytes of empty pools; K, M and G are known", 0 },
	{ "decay", OPTION_ON | PYMALLOC_POLICY_NO_DECAY, NULL, 0,
	  "give back pools that are empty for a while", 0 },
	{ "no-decay", OPTION_OFF | PYMALLOC_POLICY_NO_DECAY, NULL, 0,
	  "keep all pools that are empty", 0 },
	{ "steal", OPTION_ON | PYMALLOC_POLICY_NO_STEAL, NULL, 0,
	  "take back what sleeping threads keep", 0 },
	{ "no-steal", OPTION_OFF | PYMALLOC_POLICY_NO_STEAL, NULL, 0,
	  "leave to threads what they keep", 0 },
	{ "mesh", OPTION_ON | PYMALLOC_POLICY_NO_MESH, NULL, 0,
	  "let sparse pools share pages", 0 },
	{ "no-mesh", OPTION_OFF | PYMALLOC_POLICY_NO_MESH, NULL, 0,
	  "let no more pools share pages", 0 },
	{ "reset", OPTION_RESET, NULL, 0, "follow the module's parameters again", 0 },
	{ 0 }
};

/**
 * struct wish - what the line says about the policy
 * @reset: the heap is to follow the module's parameters
 * @on: bits of pymalloc_policy.off to be cleared
 * @off: those to be set
 * @has_ms: @ms was given
 * @has_keep: @keep was given
 * @ms: decay_ms
 * @keep: keep_bytes
 */
struct wish {
	bool reset;
	__u32 on;
	__u32 off;
	bool has_ms;
	bool has_keep;
	__u32 ms;
	__u64 keep;
};

static bool wants_change(const struct wish *wish)
{
	return wish->on || wish->off || wish->has_ms || wish->has_keep;
}

static __u32 parse_ms(struct argp_state *state, const char *text)
{
	__u64 ms = parse_number(state, text);

	if (ms && (ms < PYMALLOC_DECAY_MS_MIN || ms > PYMALLOC_DECAY_MS_MAX))
		argp_error(state, "--decay-ms is 0, or from %u to %u: %s",
			   PYMALLOC_DECAY_MS_MIN, PYMALLOC_DECAY_MS_MAX, text);
	return ms;
}

static void check_wish(struct argp_state *state, const struct wish *wish)
{
	if (wish->on & wish->off)
		argp_error(state, "the same is to be done and not to be done");
	if (wish->reset && wants_change(wish))
		argp_error(state, "--reset leaves nothing to be set");
}

static error_t parse(int key, char *word, struct argp_state *state)
{
	struct wish *wish = state->input;

	switch (key) {
	case OPTION_DECAY_MS:
		wish->ms = parse_ms(state, word);
		wish->has_ms = true;
		return 0;
	case OPTION_KEEP:
		wish->keep = parse_size(state, word);
		wish->has_keep = true;
		return 0;
	case OPTION_RESET:
		wish->reset = true;
		return 0;
	case ARGP_KEY_END:
		check_wish(state, wish);
		return 0;
	}
	if (key > 0 && key & OPTION_ON)
		wish->on |= key & ~OPTION_ON;
	else if (key > 0 && key & OPTION_OFF)
		wish->off |= key & ~OPTION_OFF;
	else
		return ARGP_ERR_UNKNOWN;
	return 0;
}

/**
 * get_policy() - ask for the policy that is in force in a heap
 * @fd: the heap's descriptor
 *
 * Return: the policy.
 */
struct pymalloc_policy get_policy(int fd)
{
	struct pymalloc_policy policy = { .argsz = sizeof(policy) };

	service_call(fd, PYMALLOC_IOC_POLICY, &policy);
	return policy;
}

/**
 * table_policy() - fill the next five columns: DECAY_MS, KEEP, DECAY, STEAL, MESH
 * @table: the table
 * @policy: the policy
 */
void table_policy(struct table *table, const struct pymalloc_policy *policy)
{
	table_number(table, policy->decay_ms);
	table_number(table, policy->keep_bytes);
	table_number(table, !(policy->off & PYMALLOC_POLICY_NO_DECAY));
	table_number(table, !(policy->off & PYMALLOC_POLICY_NO_STEAL));
	table_number(table, !(policy->off & PYMALLOC_POLICY_NO_MESH));
}

/* What the line does not speak of stays as it is. */
static void change_policy(int fd, const struct wish *wish)
{
	struct pymalloc_policy policy = get_policy(fd);

	policy.flags = wish->reset ? PYMALLOC_POLICY_RESET : PYMALLOC_POLICY_SET;
	policy.off = (policy.off | wish->off) & ~wish->on;
	if (wish->has_ms)
		policy.decay_ms = wish->ms;
	if (wish->has_keep)
		policy.keep_bytes = wish->keep;
	service_call(fd, PYMALLOC_IOC_POLICY, &policy);
}

static void print_policy(int fd, const struct target *target)
{
	struct style style = { .json = target->json, .bytes = target->bytes };
	struct table *table = table_new("policy", columns, SHAPE_RECORD, style);
	struct pymalloc_policy policy = get_policy(fd);

	table_line(table);
	table_number(table, target->id);
	table_policy(table, &policy);
	tables_print(&table, 1);
}

int policy_main(int argc, char **argv)
{
	static const struct argp own = { .options = options, .parser = parse };
	struct wish wish = { 0 };
	struct target target =
		parse_target_with(argc, argv, "HEAP",
				  "Show how a heap gives memory back by itself, or set it. What you do not set\n"
				  "stays as it is. A heap whose policy was set does not follow the parameters of\n"
				  "the module, until --reset.",
				  TAKES_BYTES, &own, &wish);
	bool change = wish.reset || wants_change(&wish);
	int fd = open_heap(target.id, change ? 0 : PYMALLOC_OPEN_RDONLY);

	if (change)
		change_policy(fd, &wish);
	print_policy(fd, &target);
	close(fd);
	return 0;
}
