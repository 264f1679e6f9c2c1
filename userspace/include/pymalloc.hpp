/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libpymalloc for C++17 and later: heaps and stacks as std::pmr::memory_resource, an allocator
 * for containers, and a pointer to objects of shared heaps.
 *
 *	pymalloc_heap_options options = {};
 *	options.name = "words";
 *
 *	pymalloc::heap heap(options);
 *	std::pmr::unordered_map<std::pmr::string, int> words(heap.resource());
 *	std::vector<int, pymalloc::allocator<int>> numbers(heap.get());
 *
 *	pymalloc::stack_scope scope(heap.get());
 *	std::pmr::vector<int> temporary(scope.resource());
 *
 *	auto point = pymalloc::make_held<struct point>(shared, 1, 2);
 */
#ifndef _PYMALLOC_HPP
#define _PYMALLOC_HPP

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <new>
#include <system_error>
#include <type_traits>
#include <utility>

#include <pymalloc-inline.h>
#include <pymalloc-shared.h>
#include <pymalloc-stack.h>

namespace pymalloc {

namespace detail {

/* What every object is aligned to, in each heap. */
constexpr std::size_t alignment = PYMALLOC_BLOCK_MIN;

inline void *allocate(pymalloc_heap *heap, std::size_t bytes, std::size_t align)
{
	void *object = align <= alignment ? pymalloc_inline_malloc(heap, bytes) :
					    pymalloc_aligned_alloc(heap, align, bytes);

	if (!object)
		throw std::bad_alloc();
	return object;
}

} // namespace detail

/**
 * class heap_resource - a heap as a memory resource
 *
 * It does not own the heap.  Throws std::bad_alloc; no object is aligned to more than a page.
 * Two are equal if they are of one heap.
 */
class heap_resource : public std::pmr::memory_resource {
public:
	explicit heap_resource(pymalloc_heap *heap) noexcept : heap_(heap) {}

	pymalloc_heap *heap() const noexcept { return heap_; }

private:
	void *do_allocate(std::size_t bytes, std::size_t align) override
	{
		return detail::allocate(heap_, bytes, align);
	}

	void do_deallocate(void *object, std::size_t, std::size_t) override
	{
		pymalloc_inline_free(heap_, object);
	}

	bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
	{
		const auto *that = dynamic_cast<const heap_resource *>(&other);

		return that && that->heap_ == heap_;
	}

	pymalloc_heap *heap_;
};

/**
 * class heap - a heap that lives as long as this object
 *
 * All that is in it goes at its end, without destructors: what uses it must have ended.
 * The constructor throws std::system_error with the errno of pymalloc_heap_create().
 */
class heap {
public:
	explicit heap(const pymalloc_heap_options &options = {})
		: resource_(pymalloc_heap_create(&options))
	{
		if (!get())
			throw std::system_error(errno, std::generic_category(),
						"pymalloc_heap_create");
	}

	heap(const heap &) = delete;
	heap &operator=(const heap &) = delete;

	~heap() { pymalloc_heap_destroy(get()); }

	pymalloc_heap *get() const noexcept { return resource_.heap(); }
	heap_resource *resource() noexcept { return &resource_; }

private:
	heap_resource resource_;
};

/**
 * class allocator - an allocator for containers, whose memory is a heap's
 *
 * One pointer.  A copy of a container is in the heap of the container that it is a copy of;
 * a container that is moved or swapped takes its heap with it.
 */
template <class T> class allocator {
public:
	using value_type = T;
	using propagate_on_container_move_assignment = std::true_type;
	using propagate_on_container_swap = std::true_type;

	explicit allocator(pymalloc_heap *heap) noexcept : heap_(heap) {}

	template <class U>
	allocator(const allocator<U> &other) noexcept : heap_(other.heap()) {}

	T *allocate(std::size_t count)
	{
		if (count > static_cast<std::size_t>(-1) / sizeof(T))
			throw std::bad_array_new_length();
		return static_cast<T *>(detail::allocate(heap_, count * sizeof(T), alignof(T)));
	}

	void deallocate(T *objects, std::size_t) noexcept
	{
		pymalloc_inline_free(heap_, objects);
	}

	pymalloc_heap *heap() const noexcept { return heap_; }

	template <class U> bool operator==(const allocator<U> &other) const noexcept
	{
		return heap_ == other.heap();
	}

	template <class U> bool operator!=(const allocator<U> &other) const noexcept
	{
		return heap_ != other.heap();
	}

private:
	pymalloc_heap *heap_;
};

/**
 * class stack_resource - a thread's stack as a memory resource
 *
 * What is deallocated stays until a mark is released.  Throws std::bad_alloc.  Two are equal if
 * they are of one stack.
 */
class stack_resource : public std::pmr::memory_resource {
public:
	explicit stack_resource(pymalloc_stack *stack) noexcept : stack_(stack) {}

	pymalloc_stack *stack() const noexcept { return stack_; }

private:
	void *do_allocate(std::size_t bytes, std::size_t align) override
	{
		std::size_t more = align > PYMALLOC_STACK_ALIGNMENT ? align - 1 : 0;
		void *object = nullptr;

		if (bytes <= static_cast<std::size_t>(-1) - more)
			object = pymalloc_stack_alloc(stack_, bytes + more);
		if (!object)
			throw std::bad_alloc();
		return reinterpret_cast<void *>((reinterpret_cast<std::uintptr_t>(object) + more) &
						~static_cast<std::uintptr_t>(more));
	}

	void do_deallocate(void *, std::size_t, std::size_t) override {}

	bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
	{
		const auto *that = dynamic_cast<const stack_resource *>(&other);

		return that && that->stack_ == stack_;
	}

	pymalloc_stack *stack_;
};

/**
 * class stack_scope - a mark on the calling thread's stack, released at its end
 *
 * Containers on the stack must end before it: declare it first.  The constructor throws
 * std::system_error with the errno of pymalloc_stack_get().
 */
class stack_scope {
public:
	explicit stack_scope(pymalloc_heap *heap) : resource_(pymalloc_stack_get(heap))
	{
		if (!resource_.stack())
			throw std::system_error(errno, std::generic_category(),
						"pymalloc_stack_get");
		mark_ = pymalloc_stack_mark(resource_.stack());
	}

	stack_scope(const stack_scope &) = delete;
	stack_scope &operator=(const stack_scope &) = delete;

	~stack_scope() { pymalloc_stack_release(resource_.stack(), &mark_); }

	stack_resource *resource() noexcept { return &resource_; }

private:
	stack_resource resource_;
	struct pymalloc_stack_mark mark_;
};

/**
 * class held - an object of a shared heap that is held as long as this pointer points to it
 *
 * Two pointers.  A copy holds the object once more, without a call.  When all processes have
 * dropped it, its memory goes back, without a destructor: none could know that it is the last one.
 * Closing the heap ends all objects of it: this pointer has to end before.
 */
template <class T> class held {
	static_assert(std::is_trivially_destructible_v<T>);

public:
	constexpr held() noexcept = default;
	constexpr held(std::nullptr_t) noexcept {}

	/* Takes over a hold, as pymalloc_shared_alloc(), _lookup() and _receive() return it. */
	held(pymalloc_shared *heap, T *object) noexcept : heap_(heap), object_(object) {}

	held(const held &other) : held(of(other.heap_, other.object_)) {}

	held(held &&other) noexcept : heap_(other.heap_), object_(other.release()) {}

	held &operator=(held other) noexcept
	{
		swap(other);
		return *this;
	}

	~held()
	{
		if (object_)
			pymalloc_shared_drop(heap_, object_);
	}

	/* Holds an object that somebody needs.  Throws std::system_error. */
	static held of(pymalloc_shared *heap, T *object)
	{
		if (object && pymalloc_shared_hold(heap, object))
			throw std::system_error(errno, std::generic_category(),
						"pymalloc_shared_hold");
		return held(heap, object);
	}

	/* The object, which whoever calls this has to drop now. */
	T *release() noexcept { return std::exchange(object_, nullptr); }

	void reset() noexcept { held().swap(*this); }

	void swap(held &other) noexcept
	{
		std::swap(heap_, other.heap_);
		std::swap(object_, other.object_);
	}

	T *get() const noexcept { return object_; }
	T &operator*() const noexcept { return *object_; }
	T *operator->() const noexcept { return object_; }
	explicit operator bool() const noexcept { return object_; }
	pymalloc_shared *heap() const noexcept { return heap_; }
	__u64 ref() const noexcept { return object_ ? pymalloc_shared_ref(heap_, object_) : 0; }

	bool operator==(const held &other) const noexcept { return object_ == other.object_; }
	bool operator!=(const held &other) const noexcept { return object_ != other.object_; }

private:
	pymalloc_shared *heap_ = nullptr;
	T *object_ = nullptr;
};

/* Makes an object in a shared heap.  Throws std::system_error with the errno of the allocation. */
template <class T, class... Args> held<T> make_held(pymalloc_shared *heap, Args &&...args)
{
	static_assert(alignof(T) <= detail::alignment);
	void *memory = pymalloc_shared_alloc(heap, sizeof(T));

	if (!memory)
		throw std::system_error(errno, std::generic_category(), "pymalloc_shared_alloc");
	/* If the constructor throws, this drops the memory. */
	held<T> object(heap, static_cast<T *>(memory));

	new (memory) T{std::forward<Args>(args)...};
	return object;
}

} // namespace pymalloc

#endif /* _PYMALLOC_HPP */
