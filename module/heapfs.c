// SPDX-License-Identifier: GPL-2.0
/*
 * A small pseudo file system: an inode of its own for each family of heaps, and files
 * of it that have no name anywhere.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/pseudo_fs.h>

#include "heapfs.h"

/* What statfs() shows as the type: "pyma". */
#define PYM_HEAPFS_MAGIC	0x70796d61

static struct vfsmount *heapfs_mount;
static int heapfs_mounts;

static int heapfs_init_fs_context(struct fs_context *fc)
{
	return init_pseudo(fc, PYM_HEAPFS_MAGIC) ? 0 : -ENOMEM;
}

/*
 * A mount keeps the module from being unloaded, so that it is mounted only while there
 * are heaps.
 */
static struct file_system_type heapfs_type = {
	.name		= "pymalloc",
	.owner		= THIS_MODULE,
	.init_fs_context = heapfs_init_fs_context,
	.kill_sb	= kill_anon_super,
};

/**
 * pym_heapfs_inode() - a new inode
 *
 * Context: Sleeps.
 * Return: the inode or an error pointer.
 */
struct inode *pym_heapfs_inode(void)
{
	struct inode *inode;
	int err;

	err = simple_pin_fs(&heapfs_type, &heapfs_mount, &heapfs_mounts);
	if (err)
		return ERR_PTR(err);
	inode = alloc_anon_inode(heapfs_mount->mnt_sb);
	if (IS_ERR(inode)) {
		simple_release_fs(&heapfs_mount, &heapfs_mounts);
		return inode;
	}
	/*
	 * As for a memfd: mappings of a file without a name are in a core dump, as
	 * anonymous memory is.
	 */
	clear_nlink(inode);
	return inode;
}

/**
 * pym_heapfs_put_inode() - the reverse of pym_heapfs_inode()
 * @inode: the inode
 *
 * Context: Sleeps.
 */
void pym_heapfs_put_inode(struct inode *inode)
{
	iput(inode);
	simple_release_fs(&heapfs_mount, &heapfs_mounts);
}

/**
 * pym_heapfs_open() - a new file of an inode
 * @inode: the inode
 * @name: what it is called in /proc
 * @fops: what it can do
 * @read_only: it cannot be opened, or mapped, for writing
 *
 * Context: Sleeps.
 * Return: the file or an error pointer.
 */
struct file *pym_heapfs_open(struct inode *inode, const char *name,
			     const struct file_operations *fops, bool read_only)
{
	struct file *file;

	/* The file's last put gives both back. */
	__module_get(THIS_MODULE);
	ihold(inode);
	file = alloc_file_pseudo(inode, heapfs_mount, name,
				 read_only ? O_RDONLY : O_RDWR, fops);
	if (IS_ERR(file)) {
		iput(inode);
		module_put(THIS_MODULE);
		return file;
	}
	/* No position: no seek, no pread(), and read() takes no lock for it. */
	stream_open(inode, file);
	return file;
}
