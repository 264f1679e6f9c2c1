// SPDX-License-Identifier: GPL-2.0
/*
 * The ioctl about types of objects.
 */
#include <linux/log2.h>
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "client.h"
#include "ioctl.h"
#include "ioctl_types.h"
#include "owner.h"
#include "registry.h"
#include "service_heap.h"

/* The first version of struct pymalloc_type_info ends with its name. */
#define INFO_BYTES	offsetofend(struct pymalloc_type_info, name)

static int info_copy_in(const struct pymalloc_types *args, struct pymalloc_type_info *info)
{
	if (args->count || args->entry_size < INFO_BYTES || args->entry_size > PAGE_SIZE)
		return -EINVAL;
	return copy_struct_from_user(info, sizeof(*info), u64_to_user_ptr(args->infos),
				     args->entry_size);
}

static bool make_is_valid(const struct pymalloc_type_info *info)
{
	bool own = info->flags & PYMALLOC_TYPE_OWN_POOLS;

	if (info->number || info->pools || info->objects || info->kept || info->constructed ||
	    info->bytes || info->flags & ~PYMALLOC_TYPE_OWN_POOLS)
		return false;
	return info->size && info->size <= (own ? PYMALLOC_BLOCK_MAX : PYMALLOC_SIZE_MAX) &&
	       is_power_of_2(info->alignment) &&
	       info->alignment <= (own ? PYMALLOC_BLOCK_MAX : PYMALLOC_POOL_SIZE) &&
	       pym_name_is_valid(info->name);
}

struct make {
	struct pymalloc_type_info info;
	u32 number;
};

static int make_charged(struct pym_service_heap *sheap, void *data)
{
	struct make *make = data;

	return pym_type_make(&sheap->heap, &make->info, &make->number);
}

static int types_make(struct pym_service_heap *sheap, struct pymalloc_types *args)
{
	struct make make = {};
	int err = info_copy_in(args, &make.info);

	if (err)
		return err;
	if (args->number || !make_is_valid(&make.info))
		return -EINVAL;
	err = pym_registry_charge(sheap, make_charged, &make);
	args->number = make.number;
	return err;
}

static int types_drop(struct pym_service_heap *sheap, const struct pymalloc_types *args)
{
	if (args->infos || args->count || args->entry_size)
		return -EINVAL;
	return pym_type_drop(&sheap->heap, args->number);
}

static int types_tell(struct pym_service_heap *sheap, const struct pymalloc_types *args)
{
	struct pymalloc_type_info info, told;
	int err = info_copy_in(args, &info);

	if (err)
		return err;
	told = (struct pymalloc_type_info) {
		.objects = info.objects, .kept = info.kept, .constructed = info.constructed,
	};
	if (memcmp(&info, &told, sizeof(info)))
		return -EINVAL;
	return pym_type_tell(&sheap->heap, args->number, &told);
}

static int types_read(struct pym_service_heap *sheap, struct pymalloc_types *args)
{
	struct pymalloc_type_info info;
	u32 number = args->number;
	int err = 0;

	if (args->count > PYMALLOC_BATCH_MAX)
		return -E2BIG;
	if (args->entry_size < INFO_BYTES || args->entry_size > PAGE_SIZE)
		return -EINVAL;
	while (!err && args->done < args->count) {
		number = pym_type_next(&sheap->heap, number, &info);
		if (!number)
			break;
		err = pym_put_entry(args->infos, args->done, args->entry_size, &info, sizeof(info));
		args->done += !err;
	}
	return err;
}

/* What changes the types is for the client alone. */
static int types_change(struct pym_call *call)
{
	struct pymalloc_types *args = &call->args.types;
	int err = pym_client_may_change(call->file, call->sheap, true);

	if (err)
		return err;
	switch (args->op) {
	case PYMALLOC_TYPES_MAKE:
		return types_make(call->sheap, args);
	case PYMALLOC_TYPES_DROP:
		return types_drop(call->sheap, args);
	case PYMALLOC_TYPES_TELL:
		return types_tell(call->sheap, args);
	default:
		return -EINVAL;
	}
}

/**
 * pym_types_reset() - say of a PYMALLOC_IOC_TYPES that nothing is done
 * @call: the call, with a struct pymalloc_types
 *
 * Context: Any.
 */
void pym_types_reset(struct pym_call *call)
{
	call->args.types.done = 0;
}

/**
 * pym_types_ioctl() - PYMALLOC_IOC_TYPES
 * @call: the call, with a struct pymalloc_types
 *
 * Return: 0 or an error, as the interface says.
 */
int pym_types_ioctl(struct pym_call *call)
{
	struct pymalloc_types *args = &call->args.types;

	if (args->op == PYMALLOC_TYPES_READ)
		return types_read(call->sheap, args);
	return types_change(call);
}
