/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Entering a sandbox. */
#ifndef _PYML_ENTER_H
#define _PYML_ENTER_H

#pragma GCC visibility push(hidden)

void pyml_enter(void);

#pragma GCC visibility pop

#endif /* _PYML_ENTER_H */
