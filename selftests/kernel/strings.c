// SPDX-License-Identifier: GPL-2.0
/*
 * A sample: a table of strings, each of which is there once, with a count of its users.
 *
 * It shows how a module uses a heap of its own, beside kmalloc() and a kmem_cache: the
 * parameter "allocator" chooses.  In /sys/kernel/debug/pymalloc_strings/table
 *
 *	echo word >table	adds a use of a string
 *	echo -word >table	takes one back; the last one frees it
 *	cat table		lists uses and strings, in no order
 *
 * With the parameter "fill", so many strings are added when it is loaded, and it prints what
 * one takes: instructions, on a machine that counts them, and bytes for each byte of text.
 */
#define pr_fmt(fmt) "pymalloc_strings: " fmt

#include <linux/debugfs.h>
#include <linux/hashtable.h>
#include <linux/jhash.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pymalloc_kernel.h>
#include <linux/rculist.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "free_bytes.h"

#define TABLE_BITS	12

/**
 * struct entry - a string
 * @node: in the table
 * @rcu: it goes after all who read the table have left it
 * @uses: how often it has been added, less how often it has been taken back
 * @text: the string
 */
struct entry {
	struct hlist_node node;
	struct rcu_head rcu;
	unsigned long uses;
	char text[];
};

#define TEXT_MAX	(PYMALLOC_KHEAP_MAX - sizeof(struct entry) - 1)

/**
 * struct allocator - where entries come from
 * @name: the parameter
 * @begin: get ready
 * @alloc: memory for an entry
 * @free: free an entry after a grace period
 * @end: the reverse of @begin; what was freed may still wait
 */
struct allocator {
	const char *name;
	int (*begin)(void);
	void *(*alloc)(size_t size);
	void (*free)(struct entry *entry);
	void (*end)(void);
};

static struct pymalloc_kheap *kheap;
static struct kmem_cache *cache;

static int pymalloc_begin(void)
{
	static const struct pymalloc_kheap_args args = { .name = "strings" };

	kheap = pymalloc_kheap_make(&args);
	return PTR_ERR_OR_ZERO(kheap);
}

static void *pymalloc_alloc(size_t size)
{
	return pymalloc_kheap_alloc(kheap, size, GFP_KERNEL);
}

static void pymalloc_free(struct entry *entry)
{
	pymalloc_kheap_free_rcu(&entry->rcu);
}

static void pymalloc_end(void)
{
	pymalloc_kheap_end(kheap);
}

static int kmalloc_begin(void)
{
	return 0;
}

static void *kmalloc_alloc(size_t size)
{
	return kmalloc(size, GFP_KERNEL_ACCOUNT);
}

static void kmalloc_free(struct entry *entry)
{
	kfree_rcu(entry, rcu);
}

static void kmalloc_end(void)
{
}

static int cache_begin(void)
{
	cache = kmem_cache_create("pymalloc_strings", PYMALLOC_KHEAP_MAX, 0, SLAB_ACCOUNT, NULL);
	return cache ? 0 : -ENOMEM;
}

static void *cache_alloc(size_t size)
{
	return kmem_cache_alloc(cache, GFP_KERNEL);
}

static void cache_free_late(struct rcu_head *rcu)
{
	kmem_cache_free(cache, container_of(rcu, struct entry, rcu));
}

static void cache_free(struct entry *entry)
{
	call_rcu(&entry->rcu, cache_free_late);
}

static void cache_end(void)
{
	rcu_barrier();
	kmem_cache_destroy(cache);
}

static const struct allocator allocators[] = {
	{ "pymalloc", pymalloc_begin, pymalloc_alloc, pymalloc_free, pymalloc_end },
	{ "kmalloc", kmalloc_begin, kmalloc_alloc, kmalloc_free, kmalloc_end },
	{ "kmem_cache", cache_begin, cache_alloc, cache_free, cache_end },
};

static char *allocator = "pymalloc";
module_param(allocator, charp, 0444);
MODULE_PARM_DESC(allocator, "pymalloc (if not set), kmalloc or kmem_cache");

static unsigned int fill;
module_param(fill, uint, 0444);
MODULE_PARM_DESC(fill, "so many strings are added when the module is loaded");

static const struct allocator *chosen;
static DEFINE_HASHTABLE(table, TABLE_BITS);
/* Protects changes of the table and of its entries; who only reads is under RCU. */
static DEFINE_MUTEX(table_lock);
static struct dentry *folder;

static struct entry *table_find(const char *text, u32 hash)
{
	struct entry *entry;

	hash_for_each_possible(table, entry, node, hash)
		if (!strcmp(entry->text, text))
			return entry;
	return NULL;
}

static int table_add_locked(const char *text)
{
	u32 hash = jhash(text, strlen(text), 0);
	struct entry *entry = table_find(text, hash);

	if (!entry) {
		entry = chosen->alloc(struct_size(entry, text, strlen(text) + 1));
		if (!entry)
			return -ENOMEM;
		entry->uses = 0;
		memcpy(entry->text, text, strlen(text) + 1);
		hash_add_rcu(table, &entry->node, hash);
	}
	WRITE_ONCE(entry->uses, entry->uses + 1);
	return 0;
}

static int table_drop_locked(const char *text)
{
	struct entry *entry = table_find(text, jhash(text, strlen(text), 0));

	if (!entry)
		return -ENOENT;
	WRITE_ONCE(entry->uses, entry->uses - 1);
	if (!entry->uses) {
		hash_del_rcu(&entry->node);
		chosen->free(entry);
	}
	return 0;
}

static void table_clear(void)
{
	struct hlist_node *next;
	struct entry *entry;
	int bucket;

	hash_for_each_safe(table, bucket, next, entry, node) {
		hash_del_rcu(&entry->node);
		chosen->free(entry);
	}
}

static int table_show(struct seq_file *seq, void *unused)
{
	struct entry *entry;
	int bucket;

	rcu_read_lock();
	hash_for_each_rcu(table, bucket, entry, node)
		seq_printf(seq, "%lu %s\n", READ_ONCE(entry->uses), entry->text);
	rcu_read_unlock();
	return 0;
}

static int table_open(struct inode *inode, struct file *file)
{
	return single_open(file, table_show, NULL);
}

/* One write is one string, without the end of its line. */
static ssize_t table_write(struct file *file, const char __user *from, size_t bytes, loff_t *at)
{
	char *text;
	int err;

	if (!bytes || bytes > TEXT_MAX)
		return -EINVAL;
	text = memdup_user_nul(from, bytes);
	if (IS_ERR(text))
		return PTR_ERR(text);
	strim(text);
	mutex_lock(&table_lock);
	err = text[0] == '-' ? table_drop_locked(text + 1) : table_add_locked(text);
	mutex_unlock(&table_lock);
	kfree(text);
	return err ?: bytes;
}

static const struct file_operations table_fops = {
	.owner	= THIS_MODULE,
	.open	= table_open,
	.read	= seq_read,
	.write	= table_write,
	.llseek	= seq_lseek,
	.release = single_release,
};

/* Names as symbols have them: 8 to 71 characters. */
static int table_fill(void)
{
	u64 start = ktime_get_ns(), before = free_bytes(), bytes = 0, took, taken;
	char text[80];
	unsigned int i;
	int err = 0;

	mutex_lock(&table_lock);
	for (i = 0; i < fill && !err; i++) {
		bytes += scnprintf(text, sizeof(text), "%.*s%08u", (int)(i * 7919ULL % 64),
				   "a_part_of_the_name_of_a_function_which_is_as_long_as_some_of_them_are",
				   i) + 1;
		err = table_add_locked(text);
	}
	mutex_unlock(&table_lock);
	took = ktime_get_ns() - start;
	taken = before - free_bytes();
	pr_info("strings,%s,instructions,%llu\n", chosen->name, div_u64(took, fill));
	taken = div64_u64(taken * 100, bytes);
	pr_info("strings,%s,bytes_per_byte,%llu.%02llu\n", chosen->name, taken / 100, taken % 100);
	return err;
}

static void strings_end(void)
{
	table_clear();
	chosen->end();
}

static int __init strings_init(void)
{
	unsigned int i;
	int err;

	for (i = 0; i < ARRAY_SIZE(allocators) && !chosen; i++)
		if (!strcmp(allocator, allocators[i].name))
			chosen = &allocators[i];
	if (!chosen)
		return -EINVAL;
	err = chosen->begin();
	if (err)
		return err;
	err = fill ? table_fill() : 0;
	if (err) {
		strings_end();
		return err;
	}
	folder = debugfs_create_dir("pymalloc_strings", NULL);
	debugfs_create_file("table", 0600, folder, NULL, &table_fops);
	return 0;
}

static void __exit strings_exit(void)
{
	debugfs_remove(folder);
	strings_end();
	rcu_barrier();
}

module_init(strings_init);
module_exit(strings_exit);

MODULE_DESCRIPTION("A table of strings in a heap of pymalloc: a sample");
MODULE_LICENSE("GPL");
