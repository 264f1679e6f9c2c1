/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * System calls without the C library's wrappers, which set errno, are points of cancellation,
 * and which the malloc shim or the program may have replaced.
 */
#ifndef _PYML_SYSCALL_H
#define _PYML_SYSCALL_H

#include <stdbool.h>
#include <sys/syscall.h>

/*
 * Makes the system call @number.  @args: six arguments, of which the kernel ignores those
 * that the call does not have.  Returns what the kernel returns: see pyml_syscall_failed().
 */
static inline long pyml_syscall(long number, const long *args)
{
#if defined(__x86_64__)
	register long fourth __asm__("r10");
	register long fifth __asm__("r8");
	register long sixth __asm__("r9");

	fourth = args[3];
	fifth = args[4];
	sixth = args[5];
	__asm__ volatile("syscall"
			 : "+a"(number)
			 : "D"(args[0]), "S"(args[1]), "d"(args[2]),
			   "r"(fourth), "r"(fifth), "r"(sixth)
			 : "rcx", "r11", "memory", "cc");
	return number;
#elif defined(__aarch64__)
	register long which __asm__("x8");
	register long result __asm__("x0");
	register long second __asm__("x1");
	register long third __asm__("x2");
	register long fourth __asm__("x3");
	register long fifth __asm__("x4");
	register long sixth __asm__("x5");

	which = number;
	result = args[0];
	second = args[1];
	third = args[2];
	fourth = args[3];
	fifth = args[4];
	sixth = args[5];
	__asm__ volatile("svc #0"
			 : "+r"(result)
			 : "r"(which), "r"(second), "r"(third), "r"(fourth),
			   "r"(fifth), "r"(sixth)
			 : "memory", "cc");
	return result;
#else
#error "no system calls known for this architecture"
#endif
}

/* Error numbers reach up to 4095, by the kernel's calling convention. */
static inline bool pyml_syscall_failed(long result)
{
	return (unsigned long)result >= -4095UL;
}

#endif /* _PYML_SYSCALL_H */
