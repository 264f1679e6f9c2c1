/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which thread keeps what of which type. */
#ifndef _PYML_TYPELIST_H
#define _PYML_TYPELIST_H

#include "typeobject.h"

/* So many types of a process can have lists; all further ones have the place behind them. */
#define PYML_LISTED_TYPES	255

#pragma GCC visibility push(hidden)

int pyml_types_attach(struct pyml_type *type);
void pyml_types_detach(struct pyml_type *type);
void pyml_types_prepare(void);
void pyml_types_forget(const struct pymalloc_heap *heap);
struct pyml_kept *pyml_kept_get(struct pyml_type *type);
bool pyml_kept_adopt(struct pyml_kept *kept);
void pyml_kept_end_all(struct pyml_type *type);
void pyml_kept_tell(struct pyml_type *type, struct pymalloc_type_figures *figures);

#pragma GCC visibility pop

#endif /* _PYML_TYPELIST_H */
