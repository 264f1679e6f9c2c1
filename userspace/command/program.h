/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a program is, before it is run. */
#ifndef _PYMALLOC_PROGRAM_H
#define _PYMALLOC_PROGRAM_H

/**
 * enum program - what a program makes of the shim
 * @PROGRAM_DYNAMIC: it loads the shim: glibc, of our own kind of machine
 * @PROGRAM_STATIC: it ignores it, but programs that it starts may not
 * @PROGRAM_OTHER_LIBC: it would not start, for another C library cannot load it
 * @PROGRAM_OTHER_MACHINE: glibc's loader complains, once a process
 * @PROGRAM_UNKNOWN: it is not found, not readable, or not in a known format
 */
enum program {
	PROGRAM_DYNAMIC,
	PROGRAM_STATIC,
	PROGRAM_OTHER_LIBC,
	PROGRAM_OTHER_MACHINE,
	PROGRAM_UNKNOWN,
};

enum program look_at_program(const char *name);

#endif /* _PYMALLOC_PROGRAM_H */
