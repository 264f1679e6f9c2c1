/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The policy of a heap in tables. */
#ifndef _PYMALLOC_POLICY_H
#define _PYMALLOC_POLICY_H

#include <linux/pymalloc.h>

#include "table.h"

struct pymalloc_policy get_policy(int fd);
void table_policy(struct table *table, const struct pymalloc_policy *policy);

#endif /* _PYMALLOC_POLICY_H */
