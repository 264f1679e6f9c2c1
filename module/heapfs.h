/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A small pseudo file system: inodes, and files of them.
 */
#ifndef PYM_HEAPFS_H
#define PYM_HEAPFS_H

#include <linux/fs.h>

struct inode *pym_heapfs_inode(void);
void pym_heapfs_put_inode(struct inode *inode);
struct file *pym_heapfs_open(struct inode *inode, const char *name,
			     const struct file_operations *fops, bool read_only);

#endif /* PYM_HEAPFS_H */
