// SPDX-License-Identifier: GPL-2.0
/* Functions of C++ to be named by `pymalloc report`, as those of snap_subject.c. */
#include <cstdint>

namespace pym {

struct table {
	__attribute__((noinline)) std::uintptr_t grow(int rows);
};

static volatile std::uintptr_t sum;

__attribute__((noinline)) static std::uintptr_t caller()
{
	return reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)) - 1;
}

std::uintptr_t table::grow(int rows)
{
	std::uintptr_t address = caller();

	sum = address + rows;
	return address;
}

} // namespace pym

extern "C" std::uintptr_t call_grow()
{
	return pym::table().grow(1);
}
