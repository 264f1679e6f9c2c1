// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The frames of the calling thread that are no Python frames, and the files they are in.
 *
 * The unwinder is that of GCC's library, linked into this one.  It finds the tables of a
 * file by _dl_find_object(), which takes no lock, and allocates nothing.  A C library without
 * that function has no such frames here: there, the unwinder would wait for the loader's
 * lock, whose holder may be waiting for malloc().
 */
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <string.h>
#include <unwind.h>

#include "native.h"
#include "syscall.h"

#ifdef DLFO_STRUCT_HAS_EH_DBASE

/* A build ID has 20 bytes, or 16, or 8. */
#define BUILD_ID_BYTES	64
/* The headers of a file are in its first page. */
#define HEADER_BYTES	4096

struct addresses {
	__u64 *list;
	unsigned int count;
	unsigned int max;
};

/* Where this library itself lies; nothing if it is part of the program. */
static __u64 own_start, own_end;

/* Whether the object is the program, which the loader's list gives no name. */
static bool is_program(const struct dl_find_object *object)
{
	return !object->dlfo_link_map->l_name[0];
}

static _Unwind_Reason_Code add_address(struct _Unwind_Context *context, void *data)
{
	struct addresses *addresses = data;
	int before = 0;
	__u64 address = _Unwind_GetIPInfo(context, &before);

	if (!address)
		return _URC_END_OF_STACK;
	/* It may be the last instruction of a function: where it returns to is not in it. */
	address -= !before;
	if (address >= own_start && address < own_end)
		return _URC_NO_REASON;
	addresses->list[addresses->count++] = address;
	return addresses->count == addresses->max ? _URC_END_OF_STACK : _URC_NO_REASON;
}

/**
 * pyml_native_prepare() - learn what pyml_native_capture() needs to know
 *
 * Also lets the unwinder prepare itself.
 */
void pyml_native_prepare(void)
{
	struct dl_find_object own;
	__u64 address;

	if (!_dl_find_object((void *)pyml_native_prepare, &own) && !is_program(&own)) {
		own_start = (__u64)own.dlfo_map_start;
		own_end = (__u64)own.dlfo_map_end;
	}
	pyml_native_capture(&address, 1);
}

/**
 * pyml_native_capture() - the calling thread's frames
 * @addresses: an address within the calling instruction of each, the innermost first
 * @max: most frames; at least 1
 *
 * Frames of this library itself are left out.
 *
 * Return: how many there are.
 */
unsigned int pyml_native_capture(__u64 *addresses, unsigned int max)
{
	struct addresses found = { .list = addresses, .max = max };

	_Unwind_Backtrace(add_address, &found);
	return found.count;
}

/* The next note, and through @bytes what is left; NULL behind the last one. */
static const ElfW(Nhdr) *next_note(const ElfW(Nhdr) *note, size_t *bytes)
{
	size_t size = sizeof(*note) + ((note->n_namesz + 3UL) & ~3UL) +
		((note->n_descsz + 3UL) & ~3UL);

	if (size >= *bytes)
		return NULL;
	*bytes -= size;
	return (const ElfW(Nhdr) *)((const char *)note + size);
}

/* Copies the build ID if it is among these notes; returns its bytes. */
static size_t build_id_in(const ElfW(Nhdr) *note, size_t bytes, char *to)
{
	const char *name, *id;

	for (; note && bytes >= sizeof(*note) + 4; note = next_note(note, &bytes)) {
		name = (const char *)(note + 1);
		id = name + 4;
		if (note->n_type != NT_GNU_BUILD_ID || note->n_namesz != 4 ||
		    memcmp(name, "GNU", 4) || note->n_descsz > BUILD_ID_BYTES ||
		    note->n_descsz > bytes - sizeof(*note) - 4)
			continue;
		memcpy(to, id, note->n_descsz);
		return note->n_descsz;
	}
	return 0;
}

/* Copies the build ID of a mapped file; returns its bytes, 0 if it has none. */
static size_t copy_build_id(const struct dl_find_object *object, char *to)
{
	const char *start = object->dlfo_map_start, *end = object->dlfo_map_end, *notes;
	const ElfW(Ehdr) *header = (const void *)start;
	const ElfW(Phdr) *part;
	size_t i, bytes = 0;

	if (end - start < HEADER_BYTES || memcmp(header->e_ident, ELFMAG, SELFMAG) ||
	    header->e_phentsize != sizeof(*part) ||
	    header->e_phoff + header->e_phnum * sizeof(*part) > HEADER_BYTES)
		return 0;
	part = (const void *)(start + header->e_phoff);
	for (i = 0; i < header->e_phnum && !bytes; i++) {
		notes = (const char *)object->dlfo_link_map->l_addr + part[i].p_vaddr;
		if (part[i].p_type == PT_NOTE && notes >= start && notes < end &&
		    part[i].p_memsz <= (size_t)(end - notes))
			bytes = build_id_in((const void *)notes, part[i].p_memsz, to);
	}
	return bytes;
}

/* Both write up to @most bytes without a NUL; they return how many. */
static size_t path_of_program(char *to, size_t most)
{
	const long args[6] = { AT_FDCWD, (long)"/proc/self/exe", (long)to, most };
	long bytes = pyml_syscall(SYS_readlinkat, args);

	return pyml_syscall_failed(bytes) ? 0 : bytes;
}

static size_t working_folder(char *to, size_t most)
{
	const long args[6] = { (long)to, most };
	long bytes = pyml_syscall(SYS_getcwd, args);

	if (pyml_syscall_failed(bytes))
		return 0;
	to[bytes - 1] = '/';
	return bytes;
}

/* Copies the path with a NUL, which needs up to 2 * PATH_MAX bytes; returns how many. */
static size_t copy_path(const struct dl_find_object *object, char *to)
{
	const char *name = object->dlfo_link_map->l_name;
	size_t bytes = 0, length;

	if (is_program(object)) {
		bytes = path_of_program(to, PATH_MAX);
	} else {
		/* A name without a slash is none of a file: the kernel's linux-vdso.so.1. */
		if (name[0] != '/' && strchr(name, '/'))
			bytes = working_folder(to, PATH_MAX);
		length = strnlen(name, PATH_MAX - 1);
		memcpy(to + bytes, name, length);
		bytes += length;
	}
	to[bytes++] = '\0';
	return bytes;
}

static __u32 add_object(struct pyml_table *table, const struct dl_find_object *object)
{
	struct pymalloc_object_record *record;
	size_t bytes = sizeof(*record);

	record = pyml_table_reserve(table, bytes + BUILD_ID_BYTES + 2 * PATH_MAX);
	if (!record)
		return 0;
	memset(record, 0, bytes);
	record->record.kind = PYMALLOC_RECORD_OBJECT;
	record->start = (__u64)object->dlfo_map_start;
	record->end = (__u64)object->dlfo_map_end;
	record->bias = object->dlfo_link_map->l_addr;
	record->build_id_bytes = copy_build_id(object, record->data);
	record->path_bytes = copy_path(object, record->data + record->build_id_bytes);
	bytes += record->build_id_bytes + record->path_bytes;
	return pyml_table_publish(table, &record->record, bytes);
}

static __u64 object_key(const struct dl_find_object *object)
{
	__u64 key = pyml_hash(1, (__u64)object->dlfo_map_start);
	const char *name = object->dlfo_link_map->l_name;

	key = pyml_hash(key, (__u64)object->dlfo_map_end);
	key = pyml_hash(key, object->dlfo_link_map->l_addr);
	/* Another file may have come to the same place. */
	while (*name)
		key = pyml_hash(key, *name++);
	return key | 1;
}

/**
 * pyml_native_object() - the record of the file that is mapped at an address
 * @table: the table of sites, which gets the record if it does not have it yet
 * @objects: the records of files
 * @address: the address
 *
 * The writers' lock is held.
 *
 * Return: the record's number; 0 if no file is known there, or the table is full.
 */
__u32 pyml_native_object(struct pyml_table *table, struct pyml_map *objects, __u64 address)
{
	struct dl_find_object object;
	struct pyml_map_entry *entry;
	__u32 number;
	__u64 key;

	if (_dl_find_object((void *)address, &object))
		return 0;
	key = object_key(&object);
	entry = pyml_map_at(objects, key);
	if (entry->key)
		return entry->number;
	number = add_object(table, &object);
	if (number)
		pyml_map_put(objects, key, number, 0);
	return number;
}

#else

void pyml_native_prepare(void)
{
}

unsigned int pyml_native_capture(__u64 *addresses, unsigned int max)
{
	(void)addresses;
	(void)max;
	return 0;
}

__u32 pyml_native_object(struct pyml_table *table, struct pyml_map *objects, __u64 address)
{
	(void)table;
	(void)objects;
	(void)address;
	return 0;
}

#endif /* DLFO_STRUCT_HAS_EH_DBASE */
