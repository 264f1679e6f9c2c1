/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Types: objects of one kind, with pools of their own if that is asked for.
 */
#ifndef PYM_TYPE_H
#define PYM_TYPE_H

#include "types.h"

int pym_type_make(struct pym_heap *heap, const struct pymalloc_type_info *info, u32 *number);
int pym_type_drop(struct pym_heap *heap, u32 number);
int pym_type_tell(struct pym_heap *heap, u32 number, const struct pymalloc_type_info *told);
u32 pym_type_next(struct pym_heap *heap, u32 after, struct pymalloc_type_info *info);
int pym_types_clone(struct pym_heap *heap, struct pym_heap *child);

#endif /* PYM_TYPE_H */
