/* SPDX-License-Identifier: GPL-2.0 */
/*
 * read() and write() on a heap's descriptor.
 */
#ifndef PYM_STREAM_H
#define PYM_STREAM_H

#include <linux/types.h>

struct file;

ssize_t pym_stream_read(struct file *file, char __user *buffer, size_t bytes, loff_t *pos);
ssize_t pym_stream_write(struct file *file, const char __user *buffer, size_t bytes,
			 loff_t *pos);

#endif /* PYM_STREAM_H */
