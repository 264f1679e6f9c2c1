/* SPDX-License-Identifier: GPL-2.0 */
/*
 * /dev/pymalloc: where heaps are made, listed and opened.
 */
#ifndef PYM_DEVICE_H
#define PYM_DEVICE_H

int pym_device_init(void);
void pym_device_exit(void);

#endif /* PYM_DEVICE_H */
