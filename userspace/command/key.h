/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What blocks have in common that are put together. */
#ifndef _PYMALLOC_KEY_H
#define _PYMALLOC_KEY_H

#include "section.h"
#include "view.h"

const char *key_of(enum by by, const struct section *section,
		   const struct snapfile_row *row, const struct stack *stack);
__u64 age_of(const struct section *section, __u32 site);

#endif /* _PYMALLOC_KEY_H */
