/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Runs of pages for large objects.
 */
#ifndef PYM_RUN_H
#define PYM_RUN_H

#include "types.h"

u64 pym_run_alloc(struct pym_heap *heap, u64 size, int *err);
u64 pym_run_size(struct pym_heap *heap, u64 ref);
enum pymalloc_ref_status pym_run_free(struct pym_heap *heap, u64 ref);
int pym_run_shrink(struct pym_heap *heap, u64 ref, u64 size);

#endif /* PYM_RUN_H */
