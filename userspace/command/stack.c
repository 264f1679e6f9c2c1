// SPDX-License-Identifier: LGPL-2.1-or-later
/* The stacks of a table of sites, with names. */
#include <stdlib.h>
#include <string.h>

#include "stack.h"
#include "symbols.h"
#include "tree.h"

/* The function of CPython in which Python code runs, once for one or several frames of it. */
#define INTERPRETER	"_PyEval_EvalFrameDefault"

/**
 * struct spot - what the table of sites calls a frame, and its names
 * @record: where: the code record or the object record; NULL if it is nowhere
 * @line: the line
 * @address: the address
 * @count: how many frames it is, because of functions that are inlined
 * @frames: these, the innermost first
 */
struct spot {
	const struct pymalloc_record *record;
	__u32 line;
	__u64 address;
	size_t count;
	struct frame *frames;
};

/**
 * struct named - a stack that has been named
 * @record: what the table of sites says
 * @stack: the stack
 */
struct named {
	const struct pymalloc_stack_record *record;
	struct stack *stack;
};

/**
 * struct pile - frames of one kind, the innermost first
 * @frames: the frames; NULL if only their number is asked for
 * @count: how many
 */
struct pile {
	const struct frame **frames;
	size_t count;
};

static int compare_spots(const void *a, const void *b)
{
	const struct spot *x = a;
	const struct spot *y = b;

	if (x->record != y->record)
		return x->record < y->record ? -1 : 1;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return (x->address > y->address) - (x->address < y->address);
}

static void name_code(struct spot *spot)
{
	const struct pymalloc_code_record *code = (const void *)spot->record;

	spot->count = 1;
	spot->frames = allocate(1, sizeof(*spot->frames));
	*spot->frames = (struct frame){
		.function = code->data + code->file_bytes,
		.file = code->data,
		.line = spot->line,
		.python = true,
	};
}

static void name_address(struct spot *spot)
{
	const struct pymalloc_object_record *object = (const void *)spot->record;
	struct symbol symbols[SYMBOLS_MAX];
	size_t i;

	spot->count = symbols_at(object, spot->address, symbols);
	spot->frames = allocate(spot->count, sizeof(*spot->frames));
	for (i = 0; i < spot->count; i++)
		spot->frames[i] = (struct frame){
			.function = symbols[i].function,
			.file = symbols[i].file,
			.line = symbols[i].line,
			.object = object->data + object->build_id_bytes,
			.address = spot->address - object->bias,
		};
}

static void name_spot(struct spot *spot)
{
	if (!spot->record) {
		spot->count = 1;
		spot->frames = allocate(1, sizeof(*spot->frames));
		spot->frames->address = spot->address;
	} else if (spot->record->kind == PYMALLOC_RECORD_CODE) {
		name_code(spot);
	} else {
		name_address(spot);
	}
}

/* A place in a program is in many stacks, and is named once. */
static const struct spot *spot_of(const struct sites *sites, const struct pymalloc_frame *frame)
{
	static struct tree spots = { .size = sizeof(struct spot), .compare = compare_spots };
	const struct spot key = {
		/* The settings have the number 0, which stands for nowhere here. */
		.record = frame->where ? sites_at(sites, frame->where) : NULL,
		.line = frame->line,
		.address = frame->address,
	};
	bool is_new;
	struct spot *spot = tree_member(&spots, &key, &is_new);

	if (is_new)
		name_spot(spot);
	return spot;
}

static void add_spot(struct pile *pile, const struct spot *spot)
{
	size_t i;

	for (i = 0; i < spot->count; i++) {
		if (pile->frames)
			pile->frames[pile->count] = &spot->frames[i];
		pile->count++;
	}
}

static void sort_out(const struct sites *sites, const struct pymalloc_stack_record *record,
		     struct pile *python, struct pile *others)
{
	size_t i;

	for (i = 0; i < record->record.count; i++) {
		const struct spot *spot = spot_of(sites, &record->frames[i]);

		add_spot(spot->frames->python ? python : others, spot);
	}
}

/* Compilers add .cold or .lto_priv.0 to names. */
static bool is_interpreter(const struct frame *frame)
{
	size_t length = strlen(INTERPRETER);

	return frame->function && !strncmp(frame->function, INTERPRETER, length) &&
		(!frame->function[length] || frame->function[length] == '.');
}

static size_t count_interpreters(const struct pile *pile)
{
	size_t count = 0;
	size_t i;

	for (i = 0; i < pile->count; i++)
		count += is_interpreter(pile->frames[i]);
	return count;
}

static void move_frames(struct stack *stack, struct pile *from, size_t count)
{
	for (; count && from->count; count--) {
		stack->frames[stack->count++] = *from->frames++;
		from->count--;
	}
}

/*
 * Python frames take the places of the interpreter's frames.  One of those can stand for
 * several of Python: if there are too few, all that are too many are put at the innermost,
 * or at the end if there is none.
 */
static void merge(struct stack *stack, struct pile python, struct pile others)
{
	size_t places = count_interpreters(&others);
	size_t fitting = python.count > places ? 1 + python.count - places : 1;
	size_t i;

	for (i = 0; i < others.count; i++) {
		if (!is_interpreter(others.frames[i]) || !python.count) {
			stack->frames[stack->count++] = others.frames[i];
			continue;
		}
		move_frames(stack, &python, fitting);
		fitting = 1;
	}
	move_frames(stack, &python, python.count);
}

static bool starts_with(const char *text, const char *start)
{
	return text && !strncmp(text, start, strlen(start));
}

/* Of these nobody wants to hear that memory is allocated there. */
static bool is_allocator(const struct frame *frame)
{
	static const char * const names[] = {
		"libpymalloc", "libc.so", "libstdc++.so", "ld-linux",
	};
	const char *name = frame->object ? base_name(frame->object) : NULL;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (starts_with(name, names[i]))
			return true;
	return starts_with(frame->file, "/usr/include/");
}

static const struct frame *choose_place(const struct stack *stack)
{
	size_t i;

	for (i = 0; i < stack->count; i++)
		if (stack->frames[i]->python)
			return stack->frames[i];
	for (i = 0; i < stack->count; i++)
		if (!is_allocator(stack->frames[i]))
			return stack->frames[i];
	return stack->count ? stack->frames[0] : NULL;
}

static struct stack *name_stack(const struct sites *sites,
				const struct pymalloc_stack_record *record)
{
	struct pile python = { 0 }, others = { 0 };
	const struct frame **room;
	struct stack *stack;
	size_t count;

	sort_out(sites, record, &python, &others);
	count = python.count + others.count;
	stack = allocate(1, sizeof(*stack) + count * sizeof(*stack->frames));
	room = allocate(count, sizeof(*room));
	others = (struct pile){ .frames = room + python.count };
	python = (struct pile){ .frames = room };
	sort_out(sites, record, &python, &others);
	merge(stack, python, others);
	stack->place = choose_place(stack);
	free(room);
	return stack;
}

static int compare_named(const void *a, const void *b)
{
	const struct named *x = a;
	const struct named *y = b;

	return (x->record > y->record) - (x->record < y->record);
}

/**
 * stack_of() - the stack of a site
 * @sites: the table, which must stay
 * @number: the number of the site's record
 *
 * Return: the stack, the same whenever it is asked for; NULL if there is no such site.
 */
const struct stack *stack_of(const struct sites *sites, __u32 number)
{
	static struct tree stacks = { .size = sizeof(struct named), .compare = compare_named };
	const struct pymalloc_site_record *site = sites_find(sites, number,
							     PYMALLOC_RECORD_SITE);
	struct named key = { 0 };
	struct named *named;
	bool is_new;

	if (!site)
		return NULL;
	key.record = sites_find(sites, site->stack, PYMALLOC_RECORD_STACK);
	named = tree_member(&stacks, &key, &is_new);
	if (is_new)
		named->stack = name_stack(sites, named->record);
	return named->stack;
}

/**
 * base_name() - the last part of a path
 * @path: the path
 *
 * Return: where it begins.
 */
const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/**
 * file_of() - the file that a frame is in
 * @frame: the frame
 *
 * Return: its source file, or else what was mapped there; NULL if neither is known.
 */
const char *file_of(const struct frame *frame)
{
	return frame->file ?: frame->object;
}

/**
 * print_place() - print where a frame is, as exactly as it is known
 * @stream: where to
 * @frame: the frame
 */
void print_place(FILE *stream, const struct frame *frame)
{
	if (frame->file)
		fprintf(stream, "%s:%u", frame->file, frame->line);
	else if (frame->function)
		fprintf(stream, "%s (%s)", frame->function, base_name(frame->object));
	else if (frame->object)
		fprintf(stream, "%s+%#llx", frame->object, frame->address);
	else
		fprintf(stream, "%#llx", frame->address);
}

/**
 * print_frame() - print where a frame is, and in which function
 * @stream: where to
 * @frame: the frame
 */
void print_frame(FILE *stream, const struct frame *frame)
{
	print_place(stream, frame);
	if (frame->file && frame->function)
		fprintf(stream, " (%s)", frame->function);
}
