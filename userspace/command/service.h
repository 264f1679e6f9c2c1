/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls to the service.  If they fail, they end the program with a message. */
#ifndef _PYMALLOC_SERVICE_H
#define _PYMALLOC_SERVICE_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/pymalloc.h>

#define DEVICE		"/dev/pymalloc"

int open_device(void);
int open_heap(__u64 id, unsigned int flags);
int try_open_heap(__u64 id, unsigned int flags);
void service_call(int fd, unsigned long command, void *args);
bool heap_call(int fd, unsigned long command, void *args);
size_t list_heaps(int fd, struct pymalloc_heap_info **heaps);
size_t list_dead_heaps(int fd, struct pymalloc_heap_info **heaps);
bool try_describe_heap(int fd, struct pymalloc_heap_info *heap);
struct pymalloc_heap_info describe_heap(int fd);

#endif /* _PYMALLOC_SERVICE_H */
