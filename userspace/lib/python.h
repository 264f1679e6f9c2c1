/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Python frames of the calling thread, for CPython 3.11.
 *
 * The frames are read where CPython keeps them.  That needs the GIL (the lock that the
 * thread which runs Python code holds): a thread that does not hold it has no frames here.
 */
#ifndef _PYML_PYTHON_H
#define _PYML_PYTHON_H

#include "map.h"
#include "table.h"

/* Where the fields are, in bytes.  Each is checked by what the tests find in a frame. */
#define PYML_PY_RUNTIME_CURRENT		576	/* _PyRuntimeState, pycore_runtime.h */
#define PYML_PY_STATE_CFRAME		56	/* PyThreadState, cpython/pystate.h */
#define PYML_PY_STATE_THREAD		152
#define PYML_PY_CFRAME_CURRENT		8	/* _PyCFrame, cpython/pystate.h */
#define PYML_PY_FRAME_CODE		32	/* _PyInterpreterFrame, pycore_frame.h */
#define PYML_PY_FRAME_PREVIOUS		48
#define PYML_PY_FRAME_INSTRUCTION	56
#define PYML_PY_FRAME_OWNER		69
#define PYML_PY_CODE_MARK		54	/* PyCodeObject, cpython/code.h */
#define PYML_PY_CODE_LINE_ARRAY		160
#define PYML_PY_CODE_FIRST_LINE		72
#define PYML_PY_CODE_FILE		112
#define PYML_PY_CODE_NAME		128
#define PYML_PY_CODE_LINES		136
#define PYML_PY_CODE_TRACEABLE		168
#define PYML_PY_CODE_UNITS		184

/* FRAME_OWNED_BY_GENERATOR */
#define PYML_PY_OWNED_BY_GENERATOR	1

/**
 * struct pyml_python - what a thread knows of itself in Python
 * @state: its PyThreadState, when it last held the GIL; PYML_PYTHON_NO_STATE if it did not
 * @thread: its pthread_self(), if @state is known
 */
struct pyml_python {
	const char *state;
	unsigned long thread;
};

/* Not NULL: that is the state of no thread, when none holds the GIL. */
#define PYML_PYTHON_NO_STATE	((const char *)-1)

#pragma GCC visibility push(hidden)

/*
 * Where CPython keeps the state of the thread that holds the GIL; a NULL as long as that is
 * not known.
 */
extern const char *const *pyml_python_current;

bool pyml_python_is_known(void);
const char *pyml_python_find_top(struct pyml_python *own);
bool pyml_python_marks_left(void);
void pyml_python_forget_marks(void);
__u64 pyml_python_mark(const char *frame, unsigned int max);
unsigned int pyml_python_name(struct pyml_table *table, struct pyml_map *codes,
			      const char *frame, unsigned int max,
			      struct pymalloc_frame *frames);

#pragma GCC visibility pop

static inline const char *pyml_python_at(const char *object, size_t offset)
{
	return *(const char *const *)(object + offset);
}

static inline unsigned long pyml_python_thread(const char *state)
{
	return *(const unsigned long *)(state + PYML_PY_STATE_THREAD);
}

/*
 * Whether a function is still being prepared to run: it has no line yet.  sys._getframe()
 * leaves such a frame out, too.
 */
static inline bool pyml_python_is_incomplete(const char *frame)
{
	const char *code = pyml_python_at(frame, PYML_PY_FRAME_CODE);
	long units = *(const int *)(code + PYML_PY_CODE_TRACEABLE);

	return pyml_python_at(frame, PYML_PY_FRAME_INSTRUCTION) <
		code + PYML_PY_CODE_UNITS + 2 * units &&
		frame[PYML_PY_FRAME_OWNER] != PYML_PY_OWNED_BY_GENERATOR;
}

/* The innermost frame that is complete, of the thread with this state; NULL if none is. */
static inline const char *pyml_python_complete(const char *state)
{
	const char *frame = pyml_python_at(pyml_python_at(state, PYML_PY_STATE_CFRAME),
					   PYML_PY_CFRAME_CURRENT);

	while (frame && __builtin_expect(pyml_python_is_incomplete(frame), 0))
		frame = pyml_python_at(frame, PYML_PY_FRAME_PREVIOUS);
	return frame;
}

/*
 * The innermost frame of the calling thread that is complete; NULL if pyml_python_find_top()
 * has to look for it.
 *
 * The state that held the GIL when this thread did can be gone, and another thread's be in its
 * place: that has another thread's number.
 */
static inline const char *pyml_python_top(const struct pyml_python *own)
{
	const char *state = *pyml_python_current;

	if (__builtin_expect(state != own->state ||
			     pyml_python_thread(state) != own->thread, 0))
		return NULL;
	return pyml_python_complete(state);
}

/*
 * Hashes up to @max frames from @frame on.  An instruction belongs to another function when
 * its code object has gone and another one has come in its place: the mark tells them
 * apart, see pyml_python_mark().
 */
static inline __u64 pyml_python_hash(__u64 hash, const char *frame, unsigned int max)
{
	const char *code;
	__u64 mark;

	do {
		code = pyml_python_at(frame, PYML_PY_FRAME_CODE);
		mark = *(const __u16 *)(code + PYML_PY_CODE_MARK);
		hash = pyml_hash(hash, mark * 0xd1342543de82ef95 +
				 (__u64)pyml_python_at(frame, PYML_PY_FRAME_INSTRUCTION));
		if (!--max)
			break;
		frame = pyml_python_at(frame, PYML_PY_FRAME_PREVIOUS);
	} while (frame);
	return hash;
}

#endif /* _PYML_PYTHON_H */
