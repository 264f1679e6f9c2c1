// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Names for addresses in programs and libraries, by elfutils' libdw.
 *
 * The file that a process has had mapped may have been replaced since: names come from a
 * file that has its build ID, or from debuginfo that is installed under that.
 */
#include <dwarf.h>
#include <elfutils/libdwfl.h>
#include <err.h>
#include <fcntl.h>
#include <libiberty/demangle.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "symbols.h"
#include "tree.h"

/* The longest build IDs that linkers make have 20 bytes, those of SHA-256 have 32. */
#define BUILD_ID_MAX	64

/**
 * struct module - a file whose names are known
 * @record: what the table of sites says about it
 * @module: what libdw has made of it; NULL if no such file is here
 */
struct module {
	const struct pymalloc_object_record *record;
	Dwfl_Module *module;
};

static bool is_same_build(Dwfl_Module *module, const struct pymalloc_object_record *record)
{
	const unsigned char *id;
	GElf_Addr unused;
	int bytes = dwfl_module_build_id(module, &id, &unused);

	if (!record->build_id_bytes)
		return true;
	return bytes > 0 && (__u32)bytes == record->build_id_bytes &&
		!memcmp(id, record->data, bytes);
}

/* The name was given by the program: it may be a pipe, at which open() would wait. */
static int open_regular(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat there;

	if (fd < 0 || (!fstat(fd, &there) && S_ISREG(there.st_mode)))
		return fd;
	close(fd);
	return -1;
}

/* Returns NULL if it is not the file that was mapped. */
static Dwfl_Module *open_module(const char *path, const struct pymalloc_object_record *record)
{
	static const Dwfl_Callbacks callbacks = {
		.find_elf = dwfl_build_id_find_elf,
		/* By the build ID alone: a name in a stranger's file may be that of a FIFO. */
		.find_debuginfo = dwfl_build_id_find_debuginfo,
	};
	Dwfl_Module *module;
	int fd = open_regular(path);
	Dwfl *dwfl;

	if (fd < 0)
		return NULL;
	dwfl = dwfl_begin(&callbacks);
	if (!dwfl)
		errx(EXIT_FAILED, "libdw: %s", dwfl_errmsg(-1));
	dwfl_report_begin(dwfl);
	/* Its addresses are those in the file. */
	module = dwfl_report_elf(dwfl, path, path, fd, 0, true);
	if (!module)
		close(fd);
	dwfl_report_end(dwfl, NULL, NULL);
	if (module && is_same_build(module, record))
		return module;
	dwfl_end(dwfl);
	return NULL;
}

static Dwfl_Module *open_debuginfo(const struct pymalloc_object_record *record)
{
	char path[sizeof("/usr/lib/debug/.build-id//.debug") + 2 * BUILD_ID_MAX];
	char *end = path + sprintf(path, "/usr/lib/debug/.build-id/");
	__u32 i;

	if (record->build_id_bytes < 2 || record->build_id_bytes > BUILD_ID_MAX)
		return NULL;
	for (i = 0; i < record->build_id_bytes; i++)
		end += sprintf(end, i ? "%02x" : "%02x/", (unsigned char)record->data[i]);
	sprintf(end, ".debug");
	return open_module(path, record);
}

static int compare_modules(const void *a, const void *b)
{
	const struct module *x = a;
	const struct module *y = b;

	return (x->record > y->record) - (x->record < y->record);
}

#define MODULES_MAX	500

/* Opens each file once.  They stay open, as names lie in them. */
static Dwfl_Module *find_module(const struct pymalloc_object_record *record)
{
	static struct tree modules = { .size = sizeof(struct module), .compare = compare_modules };
	static unsigned int opened;
	const char *path = record->data + record->build_id_bytes;
	bool is_new;
	struct module *module = tree_member(&modules, &(struct module){ .record = record },
					    &is_new);

	/* No honest program has so many; each takes up to a megabyte. */
	if (!is_new || opened == MODULES_MAX)
		return module->module;
	opened++;
	if (*path == '/')
		module->module = open_module(path, record);
	if (!module->module)
		module->module = open_debuginfo(record);
	return module->module;
}

/* As it stands in the file, or below the folder in which it was compiled. */
static const char *full_name(const char *file, const char *folder)
{
	char *name;

	if (*file == '/' || !folder)
		return file;
	if (asprintf(&name, "%s/%s", folder, file) < 0)
		err(EXIT_FAILED, NULL);
	return name;
}

static void set_line(struct symbol *symbol, Dwfl_Line *line)
{
	int number;
	const char *file = dwfl_lineinfo(line, NULL, &number, NULL, NULL, NULL);

	if (!file)
		return;
	symbol->file = full_name(file, dwfl_line_comp_dir(line));
	symbol->line = number > 0 ? number : 0;
}

/* Where a function that has been inlined is called. */
static void set_call(struct symbol *symbol, Dwarf_Die *inlined)
{
	Dwarf_Attribute attribute;
	Dwarf_Word file, line;
	Dwarf_Files *files;
	Dwarf_Die unit;
	size_t count;

	if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_line, &attribute), &line) ||
	    dwarf_formudata(dwarf_attr(inlined, DW_AT_call_file, &attribute), &file) ||
	    !dwarf_diecu(inlined, &unit, NULL, NULL) ||
	    dwarf_getsrcfiles(&unit, &files, &count) || file >= count)
		return;
	symbol->file = dwarf_filesrc(files, file, NULL, NULL);
	symbol->line = symbol->file ? line : 0;
}

/* The name as it stands in the program, if it is C++: names are kept. */
static const char *plain_name(const char *symbol)
{
	return (symbol ? cplus_demangle(symbol, DMGL_PARAMS | DMGL_ANSI) : NULL) ?: symbol;
}

static const char *name_of(Dwarf_Die *function)
{
	Dwarf_Attribute attribute;
	const char *symbol;

	symbol = dwarf_formstring(dwarf_attr_integrate(function, DW_AT_linkage_name, &attribute));
	/* Only names of C++ are not those of their symbols: this one has the class, too. */
	if (symbol)
		return plain_name(symbol);
	return dwarf_formstring(dwarf_attr_integrate(function, DW_AT_name, &attribute));
}

/* What contains an address, the innermost first.  Returns how many. */
static int find_scopes(Dwfl_Module *module, Dwarf_Addr address, Dwarf_Die **scopes)
{
	Dwarf_Addr bias;
	Dwarf_Die *unit = dwfl_module_addrdie(module, address, &bias);
	Dwarf_Die innermost;
	int count;

	if (!unit)
		return 0;
	count = dwarf_getscopes(unit, address - bias, scopes);
	if (count <= 0)
		return 0;
	/* Those around a function that has been inlined are where it was written; ask again. */
	innermost = **scopes;
	free(*scopes);
	*scopes = NULL;
	count = dwarf_getscopes_die(&innermost, scopes);
	return count > 0 ? count : 0;
}

/*
 * Names the functions that contain an address, of which all but the last are inlined.  The
 * first one's line has been filled.  Returns how many; 0 without debuginfo.
 */
static size_t name_functions(Dwarf_Die *scopes, int count, struct symbol *symbols)
{
	size_t found = 0;
	int i;

	for (i = 0; i < count && found + 1 < SYMBOLS_MAX; i++) {
		int tag = dwarf_tag(&scopes[i]);

		if (tag != DW_TAG_inlined_subroutine && tag != DW_TAG_subprogram)
			continue;
		symbols[found++].function = name_of(&scopes[i]);
		if (tag == DW_TAG_subprogram)
			break;
		symbols[found] = (struct symbol){ 0 };
		set_call(&symbols[found], &scopes[i]);
	}
	return found;
}

/**
 * symbols_at() - name what is at an address
 * @object: in this file
 * @address: the address, in the process
 * @symbols: room for SYMBOLS_MAX
 *
 * Return: how many functions contain the address, at least one, which may have no name.
 * Functions that are inlined come first, the innermost of all.
 */
size_t symbols_at(const struct pymalloc_object_record *object, __u64 address,
		  struct symbol *symbols)
{
	Dwfl_Module *module = find_module(object);
	Dwarf_Die *scopes = NULL;
	Dwfl_Line *line;
	int nr_scopes;
	size_t count;

	symbols[0] = (struct symbol){ 0 };
	if (!module)
		return 1;
	address -= object->bias;
	line = dwfl_module_getsrc(module, address);
	if (line)
		set_line(&symbols[0], line);
	nr_scopes = find_scopes(module, address, &scopes);
	count = name_functions(scopes, nr_scopes, symbols);
	free(scopes);
	if (!count)
		count = 1;
	/* Symbols are there without debuginfo, too. */
	if (!symbols[count - 1].function)
		symbols[count - 1].function = plain_name(dwfl_module_addrname(module, address));
	return count;
}
