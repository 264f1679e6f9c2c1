// SPDX-License-Identifier: GPL-2.0
/*
 * A small pseudo file system that gives each heap an inode of its own, so that
 * its pages can be taken away from everybody who maps it, and nobody else.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/pseudo_fs.h>
#include <linux/slab.h>

#include "service.h"

#define PYM_HEAPFS_MAGIC	0x70796d61	/* "pyma" */

static struct vfsmount *heapfs_mount;
static int heapfs_mounts;

static int heapfs_init_fs_context(struct fs_context *fc)
{
	return init_pseudo(fc, PYM_HEAPFS_MAGIC) ? 0 : -ENOMEM;
}

/* A mount holds the module, so that it is mounted only while there are heaps. */
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
	/* As memfd: what has no name anywhere is in a core, as memory is. */
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

static struct pym_handle *handle_new(struct pym_service_heap *sheap, bool keeper)
{
	struct pym_handle *handle = kzalloc(sizeof(*handle), GFP_KERNEL_ACCOUNT);

	if (!handle)
		return NULL;
	handle->id = sheap->heap.id;
	handle->keeper = keeper;
	handle->family = pym_family_get(sheap->family);
	if (keeper)
		atomic_inc(&handle->family->keepers);
	return handle;
}

/*
 * What maps and links of descriptors show, with " (deleted)" behind it, as of a memfd.
 * gdb's gcore takes nothing else for memory: it looks at the end of the name.
 */
static void file_name(const struct pym_service_heap *sheap, char *name, size_t size)
{
	snprintf(name, size, "pymalloc%s%s", *sheap->name ? ":" : "", sheap->name);
}

static struct file *open_inode(struct pym_service_heap *sheap, bool read_only)
{
	struct inode *inode = sheap->family->inode;
	char name[sizeof("pymalloc:") + PYMALLOC_NAME_LEN];
	struct file *file;

	file_name(sheap, name, sizeof(name));
	/* The file's last put gives both back. */
	__module_get(THIS_MODULE);
	ihold(inode);
	file = alloc_file_pseudo(inode, heapfs_mount, name,
				 read_only ? O_RDONLY : O_RDWR, &pym_heap_fops);
	if (IS_ERR(file)) {
		iput(inode);
		module_put(THIS_MODULE);
		return file;
	}
	/* No position: no seek, no pread(), and read() takes no lock for it. */
	stream_open(inode, file);
	return file;
}

/**
 * pym_heapfs_open() - a new descriptor of a heap
 * @sheap: the heap
 * @read_only: the descriptor can change nothing
 *
 * The descriptor does not keep the heap, unless it is one of those that the heap's
 * own process opens: with the last of them a heap that is not mapped ends.
 *
 * Context: Sleeps.
 * Return: the file or an error pointer.
 */
struct file *pym_heapfs_open(struct pym_service_heap *sheap, bool read_only)
{
	struct pym_handle *handle = handle_new(sheap, current->mm == sheap->mm);
	struct file *file;

	if (!handle)
		return ERR_PTR(-ENOMEM);
	file = open_inode(sheap, read_only);
	if (IS_ERR(file)) {
		if (handle->keeper)
			pym_family_lose_keeper(handle->family);
		pym_family_put(handle->family);
		kfree(handle);
		return file;
	}
	file->private_data = handle;
	return file;
}
