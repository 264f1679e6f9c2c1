// SPDX-License-Identifier: GPL-2.0
/* The header for C++, built by g++ and by clang++. */
#include <cstdio>
#include <cstring>
#include <map>
#include <memory_resource>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <sys/ioctl.h>

#include <pymalloc.hpp>

namespace {

int failed, number;
bool right;

void expect(bool what, const char *text, int line)
{
	if (what)
		return;
	std::printf("# line %d: %s\n", line, text);
	right = false;
}

#define EXPECT(what)	expect(what, #what, __LINE__)

void run(const char *name, void (*test)())
{
	right = true;
	try {
		test();
	} catch (const std::exception &error) {
		std::printf("# %s\n", error.what());
		right = false;
	}
	std::printf("%sok %d %s\n", right ? "" : "not ", ++number, name);
	failed += !right;
}

pymalloc_heap_options named(const char *name, __u64 limit = 0)
{
	pymalloc_heap_options options = {};

	options.name = name;
	options.limit = limit;
	return options;
}

/* All that is allocated, when the magazines are empty. */
__u64 left_in(const pymalloc::heap &heap)
{
	pymalloc_stats stats;

	pymalloc_heap_flush(heap.get());
	return pymalloc_heap_stats(heap.get(), &stats, nullptr) ? ~0ULL :
								  stats.blocks + stats.runs;
}

template <class Exception, class Action> bool throws(Action action)
{
	try {
		action();
	} catch (const Exception &) {
		return true;
	}
	return false;
}

void containers_of_a_resource()
{
	pymalloc::heap heap(named("containers"));
	{
		std::pmr::unordered_map<std::pmr::string, int> words(heap.resource());

		for (int i = 0; i < 10000; i++)
			words[std::pmr::string("a word that is not short: ") +
			      std::to_string(i % 1000).c_str()] += i;
		EXPECT(words.size() == 1000);
		EXPECT(words.at("a word that is not short: 999") == 10 * 999 + 45000);
		EXPECT(left_in(heap) > 2000);
	}
	EXPECT(left_in(heap) == 0);
}

void containers_of_an_allocator()
{
	using map = std::map<int, int, std::less<int>,
			     pymalloc::allocator<std::pair<const int, int>>>;
	pymalloc::heap heap(named("map")), other(named("other"));
	{
		std::vector<int, pymalloc::allocator<int>> numbers(
			pymalloc::allocator<int>(heap.get()));
		map squares(map::allocator_type(heap.get()));

		for (int i = 0; i < 10000; i++) {
			numbers.push_back(i);
			squares[i] = i * i;
		}
		EXPECT(numbers[9999] == 9999 && squares[100] == 10000);
		EXPECT(left_in(heap) == 10001);

		map copy(squares, map::allocator_type(other.get())), moved(std::move(copy));
		EXPECT(moved == squares && left_in(other) == 10000);
		EXPECT(moved.get_allocator() != squares.get_allocator());
		squares = std::move(moved);
		EXPECT(squares[100] == 10000 && squares.get_allocator().heap() == other.get());
	}
	EXPECT(left_in(heap) == 0 && left_in(other) == 0);
}

struct alignas(256) wide {
	char bytes[256];
};

void alignments()
{
	pymalloc::heap heap(named("aligned"));
	pymalloc::stack_scope scope(heap.get());

	for (std::size_t align = 1; align <= 4096; align *= 2)
		for (std::size_t size = 1; size <= 5000; size = 3 * size + 1) {
			void *object = heap.resource()->allocate(size, align);
			void *other = scope.resource()->allocate(size, align);

			std::memset(object, 1, size);
			std::memset(other, 2, size);
			EXPECT(reinterpret_cast<std::uintptr_t>(object) % align == 0);
			EXPECT(reinterpret_cast<std::uintptr_t>(other) % align == 0);
			heap.resource()->deallocate(object, size, align);
		}
	std::vector<wide, pymalloc::allocator<wide>> some(3, pymalloc::allocator<wide>(heap.get()));
	EXPECT(reinterpret_cast<std::uintptr_t>(&some[1]) % alignof(wide) == 0);
}

void no_memory()
{
	pymalloc::heap heap(named("small", 1 << 20));
	pymalloc::stack_scope scope(heap.get());
	pymalloc::allocator<int> allocator(heap.get());

	EXPECT(throws<std::bad_alloc>([&] { (void)heap.resource()->allocate(2 << 20); }));
	EXPECT(throws<std::bad_alloc>([&] { (void)scope.resource()->allocate(2 << 20); }));
	EXPECT(throws<std::bad_alloc>([&] { (void)scope.resource()->allocate(-1, 64); }));
	EXPECT(throws<std::bad_alloc>([&] { (void)heap.resource()->allocate(64, 8192); }));
	EXPECT(throws<std::bad_array_new_length>(
		[&] { (void)allocator.allocate(static_cast<std::size_t>(-1) / 2); }));
	EXPECT(throws<std::system_error>([] { pymalloc::heap wrong(named("\n")); }));
}

void equal_or_not()
{
	pymalloc::heap one(named("one")), two(named("two"));
	pymalloc::heap_resource again(one.get());
	pymalloc::stack_scope scope(one.get()), inner(one.get()), other(two.get());

	EXPECT(*one.resource() == again && *one.resource() != *two.resource());
	EXPECT(*scope.resource() == *inner.resource());
	EXPECT(*scope.resource() != *other.resource());
	EXPECT(*scope.resource() != again && again != *scope.resource());
}

/* A container on the stack needs no free, and the next one has the same memory. */
void on_the_stack()
{
	pymalloc::heap heap(named("stack"));
	const void *first = nullptr;

	for (int round = 0; round < 100; round++) {
		pymalloc::stack_scope scope(heap.get());
		std::pmr::vector<std::pmr::string> lines(scope.resource());

		lines.reserve(1000);
		for (int i = 0; i < 1000; i++)
			lines.emplace_back("a line of more than a few characters");
		EXPECT(lines.back() == lines.front());
		if (!round)
			first = lines.data();
		EXPECT(lines.data() == first);
	}
	/* The thread keeps the first chunk and one more. */
	EXPECT(left_in(heap) == 2);
}

void scope_and_exceptions()
{
	pymalloc::heap heap(named("exceptions"));
	pymalloc_stack *stack = pymalloc_stack_get(heap.get());

	EXPECT(throws<int>([&] {
		pymalloc::stack_scope scope(heap.get());

		(void)scope.resource()->allocate(100000);
		throw 1;
	}));
	EXPECT(stack->innermost == 0);
}

/* Blocks of a shared heap that are allocated, when nothing waits. */
__u64 left_in(pymalloc_shared *heap)
{
	pymalloc_stats stats = {};

	stats.argsz = sizeof(stats);
	pymalloc_shared_flush(heap);
	return ioctl(pymalloc_shared_fd(heap), PYMALLOC_IOC_STATS, &stats) ? ~0ULL : stats.blocks;
}

struct point {
	int x, y;
};

struct thrower {
	explicit thrower(int what) { throw what; }
};

pymalloc::held<point> passed(pymalloc::held<point> what)
{
	return what;
}

void held_objects()
{
	pymalloc_shared *heap = pymalloc_shared_create(nullptr);
	{
		auto one = pymalloc::make_held<point>(heap, 1, 2);
		pymalloc::held<point> two = one, three(passed(one)), none, moved;

		EXPECT(one && !none && none == nullptr && one->x == 1 && (*three).y == 2);
		EXPECT(two == one && two != none && left_in(heap) == 1);
		one.reset();
		moved = std::move(two);
		EXPECT(!one && !two && moved == three && left_in(heap) == 1);
		EXPECT(pymalloc_shared_at(heap, moved.ref()) == moved.get() && !none.ref());
		moved = pymalloc::held<point>(moved);
		three = nullptr;
		EXPECT(left_in(heap) == 1 && moved->y == 2);

		std::vector<pymalloc::held<point>> many(1000, moved);
		auto held = pymalloc::held<point>::of(heap, moved.get());
		EXPECT(left_in(heap) == 1 && held.heap() == heap);
		many.clear();
		held.reset();
		point *raw = moved.release();
		EXPECT(left_in(heap) == 1 && !moved);
		pymalloc_shared_drop(heap, raw);
		EXPECT(left_in(heap) == 0);
		EXPECT(throws<std::system_error>(
			[&] { auto again = pymalloc::held<point>::of(heap, raw); }));
		EXPECT(throws<int>([&] { pymalloc::make_held<thrower>(heap, 1); }));
	}
	EXPECT(left_in(heap) == 0);
	pymalloc_shared_close(heap);
}

} // namespace

int main()
{
	std::printf("TAP version 13\n1..8\n");
	run("containers of a resource", containers_of_a_resource);
	run("containers of an allocator", containers_of_an_allocator);
	run("alignments", alignments);
	run("no memory", no_memory);
	run("equal or not", equal_or_not);
	run("on the stack", on_the_stack);
	run("a scope ends by an exception", scope_and_exceptions);
	run("held objects", held_objects);
	return failed != 0;
}
