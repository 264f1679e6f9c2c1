// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The Python frames of the calling thread, for CPython 3.11.
 *
 * Nothing here allocates, or calls into CPython in a way that allocates or waits: it runs
 * inside of malloc(), at any place of the interpreter.
 */
#include <pthread.h>
#include <string.h>
#include <sys/param.h>

#include "location.h"
#include "python.h"

/* CPython's; there if the program or one of its libraries has them. */
extern void *_PyThreadState_UncheckedGet(void) __attribute__((weak));
extern void *PyGILState_GetThisThreadState(void) __attribute__((weak));
extern const unsigned long Py_Version[] __attribute__((weak));
extern const char PyCode_Type[] __attribute__((weak));
extern const char _PyRuntime[] __attribute__((weak));

/* Other fields, in bytes: Include/object.h, cpython/bytesobject.h, cpython/unicodeobject.h. */
#define OBJECT_REFERENCES	0
#define OBJECT_TYPE		8
#define TYPE_BASIC_SIZE		32
#define TYPE_ITEM_SIZE		40
#define TYPE_FLAGS		168
#define BYTES_LENGTH		16
#define BYTES_DATA		32
#define TEXT_LENGTH		16
#define TEXT_STATE		32
#define TEXT_ASCII_DATA		48
#define TEXT_COMPACT_DATA	72
#define TEXT_DATA_POINTER	72

/* Bits of TYPE_FLAGS. */
#define TYPE_IS_BYTES		(1UL << 27)
#define TYPE_IS_TEXT		(1UL << 28)

/* Bits of TEXT_STATE; the two lowest are of no interest here. */
#define STATE_KIND(state)	((state) >> 2 & 7)
#define STATE_COMPACT		(1U << 5)
#define STATE_ASCII		(1U << 6)
#define STATE_READY		(1U << 7)

/* For what is no character in UTF-8: surrogates, and NUL, which ends a name in the table. */
#define REPLACEMENT		0xfffd

/* Most bytes of names in the table, their NUL included. */
#define FILE_BYTES		4096
#define NAME_BYTES		512

/*
 * Marks below are CPython's own: the field says how wide an entry of the array of lines
 * is, which the interpreter makes when a function is traced line by line.
 */
#define FIRST_MARK		5
#define LAST_MARK		0xffff

static unsigned int next_mark = FIRST_MARK;

static const char *const nowhere;
const char *const *pyml_python_current = &nowhere;

static unsigned long word_at(const char *object, size_t offset)
{
	return *(const unsigned long *)(object + offset);
}

static __u16 mark_of(const char *code)
{
	return *(const __u16 *)(code + PYML_PY_CODE_MARK);
}

/**
 * pyml_python_is_known() - whether the process runs a Python whose frames can be read
 *
 * Other versions than 3.11 have other frames.  So has a build with reference tracing: the
 * size of a code object tells.
 *
 * Return: true if it does.
 */
bool pyml_python_is_known(void)
{
	return Py_Version && _PyThreadState_UncheckedGet &&
		PyGILState_GetThisThreadState && PyCode_Type &&
		Py_Version[0] >> 16 == 0x030b &&
		word_at(PyCode_Type, TYPE_BASIC_SIZE) == PYML_PY_CODE_UNITS &&
		word_at(PyCode_Type, TYPE_ITEM_SIZE) == 2;
}

/* Whether the thread with this state, which holds the GIL, is the calling one. */
static bool is_own(const char *state)
{
	return state && state == PyGILState_GetThisThreadState();
}

/* Learns where @state can be read without a call: the place is not CPython's API. */
static void learn_current(const char *state)
{
	const char *const *current = (const void *)(_PyRuntime + PYML_PY_RUNTIME_CURRENT);

	if (_PyRuntime && *current == state)
		pyml_python_current = current;
}

/**
 * pyml_python_find_top() - the innermost frame of the calling thread that is complete
 * @own: what the thread knows of itself; kept up to date
 *
 * Only if pyml_python_is_known().
 *
 * Return: the frame; NULL if there is none, or the thread does not hold the GIL.
 */
const char *pyml_python_find_top(struct pyml_python *own)
{
	/* That of the thread that holds the GIL, whichever it is. */
	const char *state = _PyThreadState_UncheckedGet();

	own->state = PYML_PYTHON_NO_STATE;
	if (!is_own(state))
		return NULL;
	own->state = state;
	own->thread = pyml_python_thread(state);
	learn_current(state);
	return pyml_python_complete(state);
}

/**
 * pyml_python_marks_left() - whether there are marks left for one more stack
 *
 * Return: false if everything has to be forgotten that was told apart by marks.
 */
bool pyml_python_marks_left(void)
{
	return next_mark + PYMALLOC_FRAMES_MAX <= LAST_MARK;
}

/**
 * pyml_python_forget_marks() - begin with the first mark again
 *
 * A function keeps its mark: what a new mark must differ from are only those of functions
 * that were at the same address before.
 */
void pyml_python_forget_marks(void)
{
	next_mark = FIRST_MARK;
}

static bool is_bytes(const char *object)
{
	return object && word_at(pyml_python_at(object, OBJECT_TYPE), TYPE_FLAGS) & TYPE_IS_BYTES;
}

/* Tells a function that cannot be marked from others, by what it says of itself. */
static __u64 fingerprint(const char *code)
{
	const char *lines = pyml_python_at(code, PYML_PY_CODE_LINES);
	__u64 hash = pyml_hash(1, word_at(code, PYML_PY_CODE_FILE));
	size_t i;

	hash = pyml_hash(hash, word_at(code, PYML_PY_CODE_NAME));
	hash = pyml_hash(hash, *(const __u32 *)(code + PYML_PY_CODE_FIRST_LINE));
	for (i = 0; is_bytes(lines) && i < word_at(lines, BYTES_LENGTH); i++)
		hash = pyml_hash(hash, lines[BYTES_DATA + i]);
	return hash;
}

/* Returns 0, or what tells the function from others if it cannot have a mark. */
static __u64 mark(const char *code)
{
	if (mark_of(code) >= FIRST_MARK)
		return 0;
	if (pyml_python_at(code, PYML_PY_CODE_LINE_ARRAY))
		return fingerprint(code);
	*(__u16 *)(code + PYML_PY_CODE_MARK) = next_mark++;
	return 0;
}

/**
 * pyml_python_mark() - mark the functions of some frames
 * @frame: the innermost one
 * @max: most frames
 *
 * Functions come and go, and their code objects lie where others have been.  A field in
 * them is 0 in a new one and serves no purpose before the function is traced line by line
 * (by a debugger, for example): it gets a number that no other one has.  Functions that are
 * traced that way cannot be marked.
 *
 * The thread holds the GIL and the writers' lock, and pyml_python_marks_left().
 *
 * Return: what has to be added to the frames' hash: 0 if all are marked.
 */
__u64 pyml_python_mark(const char *frame, unsigned int max)
{
	__u64 sum = 0;

	for (; frame && max--; frame = pyml_python_at(frame, PYML_PY_FRAME_PREVIOUS))
		sum = pyml_hash(sum, mark(pyml_python_at(frame, PYML_PY_FRAME_CODE)));
	return sum;
}

/* A character of a text whose characters have @kind bytes. */
static __u32 character(const char *data, unsigned int kind, size_t i)
{
	switch (kind) {
	case 1:
		return ((const unsigned char *)data)[i];
	case 2:
		return ((const __u16 *)data)[i];
	default:
		return ((const __u32 *)data)[i];
	}
}

/* Writes up to 4 bytes; returns how many. */
static size_t encode(char *to, __u32 c)
{
	if (!c || (c >= 0xd800 && c < 0xe000) || c > 0x10ffff)
		c = REPLACEMENT;
	if (c < 0x80) {
		to[0] = c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = 0xc0 | c >> 6;
		to[1] = 0x80 | (c & 0x3f);
		return 2;
	}
	if (c < 0x10000) {
		to[0] = 0xe0 | c >> 12;
		to[1] = 0x80 | (c >> 6 & 0x3f);
		to[2] = 0x80 | (c & 0x3f);
		return 3;
	}
	to[0] = 0xf0 | c >> 18;
	to[1] = 0x80 | (c >> 12 & 0x3f);
	to[2] = 0x80 | (c >> 6 & 0x3f);
	to[3] = 0x80 | (c & 0x3f);
	return 4;
}

static const char *text_data(const char *text, unsigned int state)
{
	if (!(state & STATE_COMPACT))
		return pyml_python_at(text, TEXT_DATA_POINTER);
	return text + (state & STATE_ASCII ? TEXT_ASCII_DATA : TEXT_COMPACT_DATA);
}

static bool is_text(const char *object)
{
	return object &&
		word_at(pyml_python_at(object, OBJECT_TYPE), TYPE_FLAGS) & TYPE_IS_TEXT &&
		*(const __u32 *)(object + TEXT_STATE) & STATE_READY;
}

/* Writes a text as UTF-8, cut to @most bytes, with a NUL; returns how many. */
static size_t copy_text(char *to, size_t most, const char *text)
{
	size_t i, length, bytes, used = 0;
	unsigned int state;
	const char *data;
	char code[4];

	if (is_text(text)) {
		state = *(const __u32 *)(text + TEXT_STATE);
		data = text_data(text, state);
		length = word_at(text, TEXT_LENGTH);
		for (i = 0; i < length; i++) {
			bytes = encode(code, character(data, STATE_KIND(state), i));
			if (used + bytes >= most)
				break;
			memcpy(to + used, code, bytes);
			used += bytes;
		}
	}
	to[used++] = '\0';
	return used;
}

/* Returns the number of the function's record; 0 if the table is full. */
static __u32 add_code(struct pyml_table *table, const char *code)
{
	struct pymalloc_code_record *record;
	size_t bytes = sizeof(*record);

	record = pyml_table_reserve(table, bytes + FILE_BYTES + NAME_BYTES);
	if (!record)
		return 0;
	memset(record, 0, bytes);
	record->record.kind = PYMALLOC_RECORD_CODE;
	record->first_line = *(const __u32 *)(code + PYML_PY_CODE_FIRST_LINE);
	record->file_bytes = copy_text(record->data, FILE_BYTES,
				       pyml_python_at(code, PYML_PY_CODE_FILE));
	record->name_bytes = copy_text(record->data + record->file_bytes, NAME_BYTES,
				       pyml_python_at(code, PYML_PY_CODE_NAME));
	bytes += record->file_bytes + record->name_bytes;
	return pyml_table_publish(table, &record->record, bytes);
}

static __u32 find_code(struct pyml_table *table, struct pyml_map *codes, const char *code)
{
	__u64 key = pyml_hash(1, (__u64)code);
	struct pyml_map_entry *entry;
	__u32 number;

	key = pyml_hash(key, mark_of(code) < FIRST_MARK ? fingerprint(code) : mark_of(code)) | 1;
	entry = pyml_map_at(codes, key);
	if (entry->key)
		return entry->number;
	number = add_code(table, code);
	if (number)
		pyml_map_put(codes, key, number, 0);
	return number;
}

/* 0 if it has none: the interpreter makes some instructions up. */
static __u32 line_of(const char *frame, const char *code)
{
	const char *lines = pyml_python_at(code, PYML_PY_CODE_LINES);
	__u32 first = *(const __u32 *)(code + PYML_PY_CODE_FIRST_LINE);
	long unit = (pyml_python_at(frame, PYML_PY_FRAME_INSTRUCTION) -
		     (code + PYML_PY_CODE_UNITS)) / 2;

	/* A generator that has not begun stands before its first instruction. */
	if (unit < 0)
		return first;
	if (!is_bytes(lines))
		return 0;
	return pyml_location_line((const unsigned char *)lines + BYTES_DATA,
				  word_at(lines, BYTES_LENGTH), first, unit);
}

/*
 * A code object without references is just being destroyed, by the frame that runs it: its
 * names are gone.
 */
static bool can_be_named(const char *frame)
{
	return !pyml_python_is_incomplete(frame) &&
		word_at(pyml_python_at(frame, PYML_PY_FRAME_CODE), OBJECT_REFERENCES);
}

/**
 * pyml_python_name() - describe frames as a stack record does
 * @table: the table of sites, which gets records of functions that it does not have yet
 * @codes: the records of functions
 * @frame: the innermost frame
 * @max: most frames
 * @frames: the description; only up to a function that finds no room in the table
 *
 * The thread holds the GIL and the writers' lock.
 *
 * Return: how many frames are described.
 */
unsigned int pyml_python_name(struct pyml_table *table, struct pyml_map *codes,
			      const char *frame, unsigned int max,
			      struct pymalloc_frame *frames)
{
	unsigned int count = 0;
	const char *code;
	__u32 where;

	for (; frame && max--; frame = pyml_python_at(frame, PYML_PY_FRAME_PREVIOUS)) {
		if (!can_be_named(frame))
			continue;
		code = pyml_python_at(frame, PYML_PY_FRAME_CODE);
		where = find_code(table, codes, code);
		if (!where)
			break;
		frames[count++] = (struct pymalloc_frame){
			.where = where,
			.line = line_of(frame, code),
		};
	}
	return count;
}
