// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Types: made, used where the fast paths of pymalloc-type.h do not suffice, counted, ended.
 */
#include <errno.h>
#include <string.h>

#include "report.h"
#include "typelist.h"

/*
 * The kernel is told of objects when so many have begun or ended in a thread, and an eighth of all:
 * so that a call, of some thousand instructions, is a small part of what they cost.  The first
 * ones are told of sooner.
 */
#define UNTOLD_LEAST	64

static bool is_power_of_2(size_t value)
{
	return value && !(value & (value - 1));
}

static bool are_valid(const struct pymalloc_type_options *options, size_t alignment)
{
	bool own = options->flags & PYMALLOC_TYPE_OWN_POOLS;
	size_t most = own ? PYMALLOC_BLOCK_MAX : PYMALLOC_SIZE_MAX;

	return options->size && options->size <= most && is_power_of_2(alignment) &&
	       alignment <= (own ? PYMALLOC_BLOCK_MAX : PYMALLOC_POOL_SIZE) &&
	       options->keep <= PYMALLOC_KEEP_MAX &&
	       !(options->flags & ~PYMALLOC_TYPE_OWN_POOLS) &&
	       (!options->name || strlen(options->name) < PYMALLOC_NAME_LEN);
}

/* Tells the kernel that there is a type. */
static int announce(struct pyml_type *type, const char *name, __u32 flags)
{
	struct pymalloc_type_info info = {
		.flags = flags,
		.size = type->size,
		.alignment = type->alignment,
		.keep = type->keep,
	};

	if (name)
		memcpy(info.name, name, strlen(name));
	return pyml_type_call(type, PYMALLOC_TYPES_MAKE, &info);
}

/* Bytes of what pymalloc_aligned_alloc() returns, or the kernel of pools of the type's own. */
static void set_blocks(struct pyml_type *type)
{
	size_t unit = type->size > PYMALLOC_BLOCK_MAX ? PYMALLOC_POOL_SIZE : type->alignment;
	size_t bytes = (type->size + unit - 1) / unit * unit;

	if (bytes <= PYMALLOC_BLOCK_MAX) {
		bytes = pymalloc_class_size(&type->heap->view, bytes);
		type->class = type->own ? 0 : bytes / PYMALLOC_BLOCK_MIN;
	}
	type->block_bytes = bytes;
}

static void init_type(struct pyml_type *type, struct pymalloc_heap *heap,
		      const struct pymalloc_type_options *options, size_t alignment)
{
	*type = (struct pyml_type){
		.heap = heap,
		.size = options->size,
		.alignment = alignment,
		.own = options->flags & PYMALLOC_TYPE_OWN_POOLS,
		.keep = options->keep,
		.construct = options->construct,
		.destruct = options->destruct,
		.arg = options->arg,
	};
	set_blocks(type);
}

struct pymalloc_type *
pymalloc_type_create(struct pymalloc_heap *heap, const struct pymalloc_type_options *options)
{
	size_t alignment = options->alignment ?: heap->view.round + 1;
	struct pyml_type *type;
	int saved = errno;

	if (!are_valid(options, alignment)) {
		errno = EINVAL;
		return NULL;
	}
	type = pymalloc_malloc(heap, sizeof(*type));
	if (!type)
		return NULL;
	init_type(type, heap, options, alignment);
	if (!announce(type, options->name, options->flags)) {
		if (!pyml_types_attach(type)) {
			errno = saved;
			return &type->view;
		}
		pyml_type_call(type, PYMALLOC_TYPES_DROP, NULL);
	}
	pymalloc_free(heap, type);
	return NULL;
}

/* An object has begun or ended. */
static void note_change(struct pyml_type *type, struct pyml_kept *kept)
{
	struct pymalloc_type_figures figures;

	if (!kept || ++kept->untold < kept->next_tell)
		return;
	pyml_kept_tell(type, &figures);
	kept->untold = 0;
	if (kept->next_tell < UNTOLD_LEAST)
		kept->next_tell = kept->next_tell ? kept->next_tell * 8 : 8;
	else
		kept->next_tell = UNTOLD_LEAST + (figures.objects + figures.kept) / 8;
}

int pymalloc_type_destroy(struct pymalloc_type *view)
{
	struct pyml_type *type = pyml_type_of(view);
	struct pymalloc_type_figures figures;

	if (!type)
		return 0;
	if (type->heap->sealed) {
		errno = EPERM;
		return -1;
	}
	pyml_kept_end_all(type);
	pyml_kept_tell(type, &figures);
	if (figures.objects) {
		errno = EBUSY;
		return -1;
	}
	if (pyml_type_call(type, PYMALLOC_TYPES_DROP, NULL))
		return -1;
	pyml_types_detach(type);
	pymalloc_free(type->heap, type);
	return 0;
}

void pymalloc_type_figures(struct pymalloc_type *type, struct pymalloc_type_figures *figures)
{
	pyml_kept_tell(pyml_type_of(type), figures);
}

void *pymalloc_type_alloc_slow(struct pymalloc_type *view)
{
	struct pyml_type *type = pyml_type_of(view);
	struct pyml_kept *kept;
	void *object;

	if (unlikely(type->heap->sealed)) {
		errno = EPERM;
		return NULL;
	}
	kept = pyml_kept_get(type);
	if (kept && pyml_kept_adopt(kept))
		return pymalloc_type_alloc(view);
	object = pyml_type_begin_object(type, kept);
	if (object)
		note_change(type, kept);
	return object;
}

/* Keeps an object, if the thread may keep more.  Returns whether that is so. */
static bool keep(struct pyml_kept *kept, void *object)
{
	struct pymalloc_type_list *list = kept->list;

	if (list->top == list->full)
		return false;
	list->top[-1] = object;
	list->top--;
	return true;
}

void pymalloc_type_free_slow(struct pymalloc_type *view, void *object)
{
	struct pyml_type *type = pyml_type_of(view);
	struct pyml_kept *kept;

	if (!object)
		return;
	if (unlikely(type->heap->sealed)) {
		pyml_bad_free(type->heap, object, PYMALLOC_REF_SEALED);
		return;
	}
	kept = pyml_kept_get(type);
	if (kept && *kept->list->top == object) {
		pyml_bad_free(type->heap, object, PYMALLOC_REF_FREE);
		return;
	}
	if (kept && keep(kept, object))
		return;
	pyml_type_end_object(type, kept, object);
	note_change(type, kept);
}
