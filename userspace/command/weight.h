/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For how many blocks a block in a snapshot stands. */
#ifndef _PYMALLOC_WEIGHT_H
#define _PYMALLOC_WEIGHT_H

#include <stdbool.h>

#include "section.h"

bool is_sampled(const struct section *section);
double weight_before(const struct section *section);
double weight_of(const struct section *section, const struct snapfile_row *row,
		 double before);

#endif /* _PYMALLOC_WEIGHT_H */
