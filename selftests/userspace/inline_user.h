/* SPDX-License-Identifier: GPL-2.0 */
/* The inline functions, as compiled by a C and by a C++ compiler. */
#ifndef SELFTESTS_INLINE_USER_H
#define SELFTESTS_INLINE_USER_H

#include <pymalloc-inline.h>

#ifdef __cplusplus
extern "C" {
#endif

struct inline_user {
	void *(*malloc)(struct pymalloc_heap *heap, size_t size);
	void (*free)(struct pymalloc_heap *heap, void *object);
	__u64 (*fills)(struct pymalloc_heap *heap);
};

extern const struct inline_user user_in_c;
extern const struct inline_user user_in_cxx;

#ifdef __cplusplus
}
#endif

#endif /* SELFTESTS_INLINE_USER_H */
