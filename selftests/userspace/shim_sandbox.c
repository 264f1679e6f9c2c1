// SPDX-License-Identifier: GPL-2.0
/*
 * The malloc shim in a seccomp sandbox: allow-lists without ioctl(), and
 * SECCOMP_MODE_STRICT. The program starts itself again with `pymalloc run`.
 * Each test is a child that enters a sandbox and works there.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kselftest.h>
#include <linux/pymalloc.h>

#define LARGEST PYMALLOC_BLOCK_MAX
#define THREADS 4

/* In the child, hardly anything is allowed. Say where it failed, and end it. */
static void fail(const char *what, int line)
{
	char text[200];
	int length = snprintf(text, sizeof(text), "# line %d: %s\n", line, what);

	if (write(STDOUT_FILENO, text, length) < 0)
		length = 0;
	syscall(SYS_exit_group, 1);
	/* Strict mode allows only this call. */
	syscall(SYS_exit, 1);
}

#define NEED(condition) \
	do { \
		if (!(condition)) \
			fail(#condition, __LINE__); \
	} while (0)

/*
 * Sandboxes
 */

/*
 * No ioctl(). The list has what the C library needs for memory, threads,
 * children and an end.
 */
static const int allowed[] = {
	SYS_read, SYS_write, SYS_mmap, SYS_munmap, SYS_mremap, SYS_brk, SYS_futex,
	SYS_rt_sigreturn, SYS_rt_sigprocmask, SYS_madvise, SYS_exit, SYS_exit_group,
	SYS_sched_yield, SYS_close, SYS_dup2,
	SYS_clone, SYS_wait4, SYS_set_robust_list, SYS_rseq, SYS_getpid, SYS_gettid,
	SYS_tgkill, SYS_rt_sigaction,
};

#define NR_ALLOWED (sizeof(allowed) / sizeof(*allowed))

static struct sock_filter filter[NR_ALLOWED + 3];

static struct sock_fprog allow_list(unsigned int otherwise)
{
	struct sock_fprog program = { .filter = filter };
	size_t i;

	filter[program.len++] = (struct sock_filter)
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (i = 0; i < NR_ALLOWED; i++)
		filter[program.len++] = (struct sock_filter)
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i], NR_ALLOWED - i, 0);
	filter[program.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, otherwise);
	filter[program.len++] = (struct sock_filter)
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	return program;
}

static void enter_by_prctl(unsigned int otherwise)
{
	struct sock_fprog program = allow_list(otherwise);

	NEED(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	NEED(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

static void enter_by_seccomp(unsigned int flags)
{
	struct sock_fprog program = allow_list(SECCOMP_RET_KILL_PROCESS);

	NEED(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	NEED(!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program));
}

/*
 * Work: objects of every size that live for a while. They are checked when they
 * are freed.
 */

#define OBJECTS 6000

struct work {
	unsigned char *objects[OBJECTS];
	unsigned short sizes[OBJECTS];
	unsigned int from_service, from_libc;
};

/*
 * Only blocks of the service have these sizes. Those of the C library end in 8.
 */
static bool from_service(void *object)
{
	size_t usable = malloc_usable_size(object);

	return usable && usable % 16 == 0 && usable <= LARGEST;
}

static void drop(struct work *work, size_t i)
{
	unsigned char *object = work->objects[i];
	size_t size = work->sizes[i];

	if (!object)
		return;
	NEED(object[0] == (i & 0xff) && object[size - 1] == (i & 0xff));
	free(object);
	work->objects[i] = NULL;
}

static void take(struct work *work, size_t i, size_t size)
{
	unsigned char *object = malloc(size);

	NEED(object);
	if (from_service(object))
		work->from_service++;
	else
		work->from_libc++;
	memset(object, i, size);
	work->objects[i] = object;
	work->sizes[i] = size;
}

static void work_on(struct work *work, unsigned int rounds)
{
	unsigned int round;
	size_t i;

	for (round = 0; round < rounds; round++)
		for (i = 0; i < OBJECTS; i++) {
			drop(work, i);
			/*
			 * All sizes. In every other round all sizes are the
			 * same, which fills magazines.
			 */
			take(work, i, round % 2 ? 1 + (7 * round + i) % LARGEST :
						  1 + 37 * round % LARGEST);
		}
	for (i = 0; i < OBJECTS; i++)
		drop(work, i);
}

static struct work works[THREADS];

/* All of the objects must come from the service. */
static void work_alone(void)
{
	work_on(&works[0], 50);
	NEED(works[0].from_service == 50 * OBJECTS);
	NEED(!works[0].from_libc);
}

/*
 * Threads
 */

static int stop;

static void *work_until_told(void *work)
{
	do {
		work_on(work, 1);
	} while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE));
	work_on(work, 10);
	return NULL;
}

static void *work_first_when_told(void *work)
{
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE))
		sched_yield();
	work_on(work, 10);
	return NULL;
}

/* One thread enters the sandbox while the others go on, or have not begun. */
static void with_threads(void *(*work)(void *work))
{
	pthread_t threads[THREADS];
	size_t i;

	for (i = 0; i < THREADS; i++)
		NEED(!pthread_create(&threads[i], NULL, work, &works[i]));
	enter_by_seccomp(SECCOMP_FILTER_FLAG_TSYNC);
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	for (i = 0; i < THREADS; i++)
		NEED(!pthread_join(threads[i], NULL));
	for (i = 0; i < THREADS; i++) {
		NEED(works[i].from_service >= 10 * OBJECTS);
		NEED(!works[i].from_libc);
	}
}

/*
 * Descriptors
 */

/* The heap's descriptor, found by what /proc says about it. */
static int heap_fd(void)
{
	char path[64], text[300];
	ssize_t length;
	int fd, info;

	for (fd = 0; fd < 5000; fd++) {
		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
		info = open(path, O_RDONLY);
		if (info < 0)
			continue;
		length = read(info, text, sizeof(text) - 1);
		close(info);
		text[length > 0 ? length : 0] = '\0';
		if (strstr(text, "pymalloc-heap:"))
			return fd;
	}
	return -1;
}

static off_t size_of(int file)
{
	return lseek(file, 0, SEEK_END);
}

/* The shim hides its descriptor past the numbers that the program may use. */
static void raise_limit(void)
{
	struct rlimit limit;

	NEED(!getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = limit.rlim_max;
	NEED(!setrlimit(RLIMIT_NOFILE, &limit));
}

/*
 * The tests
 */

static void test_kill(void)
{
	enter_by_prctl(SECCOMP_RET_KILL_PROCESS);
	work_alone();
}

static void test_seccomp(void)
{
	enter_by_seccomp(0);
	work_alone();
}

static void test_errno(void)
{
	enter_by_prctl(SECCOMP_RET_ERRNO | EPERM);
	work_alone();
}

static void test_strict(void)
{
	NEED(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
	work_alone();
	syscall(SYS_exit, 0);
}

static void test_strict_by_seccomp(void)
{
	NEED(!syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, NULL));
	work_alone();
	syscall(SYS_exit, 0);
}

static void *enter_strict(void *unused)
{
	(void)unused;
	NEED(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
	work_on(&works[1], 10);
	NEED(!works[1].from_libc);
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	syscall(SYS_exit, 0);
	return NULL;
}

/*
 * The thread had nothing of the heap when it entered. The other thread goes on.
 */
static void test_strict_in_a_thread(void)
{
	pthread_t thread;

	NEED(!pthread_create(&thread, NULL, enter_strict, NULL));
	while (pthread_tryjoin_np(thread, NULL))
		work_on(&works[0], 1);
	NEED(stop);
	NEED(!works[0].from_libc);
}

static void test_twice(void)
{
	enter_by_prctl(SECCOMP_RET_LOG);
	work_alone();
	enter_by_prctl(SECCOMP_RET_KILL_PROCESS);
	work_on(&works[0], 10);
	NEED(!works[0].from_libc);
}

static void test_threads(void)
{
	with_threads(work_until_told);
}

static void test_new_threads(void)
{
	with_threads(work_first_when_told);
}

static void test_fork(void)
{
	pid_t child;
	int status;

	enter_by_prctl(SECCOMP_RET_KILL_PROCESS);
	take(&works[0], 5, 100);
	child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (child)
		NEED(waitpid(child, &status, 0) == child && !status);
	drop(&works[0], 5);
	works[0].from_service = 0;
	work_alone();
}

static void test_fork_of_the_c_library(void)
{
	pid_t child;
	int status;

	enter_by_prctl(SECCOMP_RET_KILL_PROCESS);
	child = fork();
	if (child)
		NEED(waitpid(child, &status, 0) == child && !status);
	work_alone();
}

/*
 * A child is made in the middle of calls of other threads. Nothing tells the
 * library about it.
 */
static void test_clone_with_threads(void)
{
	pthread_t threads[THREADS];
	int round, status;
	pid_t child;
	size_t i;

	for (i = 0; i < THREADS; i++)
		NEED(!pthread_create(&threads[i], NULL, work_until_told, &works[i]));
	for (round = 0; round < 50; round++) {
		child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
		if (!child) {
			enter_by_prctl(SECCOMP_RET_KILL_PROCESS);
			for (i = 0; i < 5000; i++)
				NEED(malloc(i % LARGEST));
			syscall(SYS_exit_group, 0);
		}
		NEED(waitpid(child, &status, 0) == child && !status);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	for (i = 0; i < THREADS; i++)
		NEED(!pthread_join(threads[i], NULL));
}

static void test_larger_objects(void)
{
	size_t size;

	enter_by_prctl(SECCOMP_RET_KILL_PROCESS);
	for (size = 1; size < 100000; size += 1 + size / 10) {
		char *object = calloc(1, size);
		size_t i;

		NEED(object);
		object = realloc(object, 2 * size);
		NEED(object);
		for (i = 0; i < size; i++)
			NEED(!object[i]);
		NEED(realloc(object, size / 2 + 1));
	}
}

/* Another file has the number when the sandbox is entered. */
static void test_another_file(void)
{
	int file = memfd_create("file", 0), fd = heap_fd();

	NEED(file >= 0 && fd >= 0);
	raise_limit();
	NEED(dup2(file, fd) == fd);
	enter_by_prctl(SECCOMP_RET_ERRNO | EPERM);
	work_alone();
}

/*
 * The descriptor is closed in the sandbox. The C library serves, and the
 * library does nothing to the file that takes the number.
 */
static void test_lost_descriptor(void)
{
	int file = memfd_create("file", 0), fd = heap_fd();
	struct sock_filter everything[] = {
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = 1, .filter = everything };

	NEED(file >= 0 && fd >= 0);
	raise_limit();
	work_on(&works[0], 2);
	NEED(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	NEED(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
	NEED(!close(fd));
	work_on(&works[0], 2);
	NEED(works[0].from_libc);
	NEED(dup2(file, fd) == fd);
	work_on(&works[0], 50);
	NEED(!size_of(file));
}

/*
 * The entry is refused and changes nothing: a lost descriptor is opened again.
 */
static void test_refused(void)
{
	int fd = heap_fd();

	errno = 0;
	NEED(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) == -1);
	NEED(errno == EFAULT);
	NEED(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL) == -1);
	NEED(errno == EFAULT);
	NEED(syscall(SYS_seccomp, ~0U, 0, NULL) == -1);
	NEED(errno == EINVAL);
	NEED(!close(fd));
	work_alone();
	NEED(heap_fd() >= 0);
}

/* For everything else, the wrappers do what the C library's functions do. */
static void test_other_calls(void)
{
	char name[16] = "";

	NEED(!prctl(PR_SET_NAME, "a name"));
	NEED(!prctl(PR_GET_NAME, name) && !strcmp(name, "a name"));
	errno = 0;
	NEED(prctl(-1, 0, 0, 0, 0) == -1 && errno == EINVAL);
	NEED(syscall(SYS_getpid) == getpid());
	NEED(syscall(SYS_close, -1L) == -1 && errno == EBADF);
	/* A call with all six arguments. */
	NEED(syscall(SYS_mmap, NULL, 4096L, (long)PROT_READ, (long)MAP_PRIVATE,
		     (long)memfd_create("file", 0), -1L) == -1 && errno == EINVAL);
	NEED(syscall(SYS_mmap, NULL, 4096L, (long)PROT_READ, (long)MAP_PRIVATE,
		     (long)memfd_create("file", 0), 4096L) != -1);
}

static void test_double_free(void)
{
	static void *objects[3000];
	size_t i;

	enter_by_prctl(SECCOMP_RET_KILL_PROCESS);
	for (i = 0; i < 3000; i++)
		objects[i] = malloc(72);
	free(objects[0]);
	/* The bad free is found when the magazine is flushed, at the latest. */
	for (i = 0; i < 3000; i++)
		free(objects[i]);
}

/* A test, and the signal or the exit status with which it ends. */
struct test {
	const char *name;
	void (*run)(void);
	int signal;
	const char *says;
};

static const struct test tests[] = {
	{ "an allow-list that kills", test_kill, 0, NULL },
	{ "an allow-list, by seccomp()", test_seccomp, 0, NULL },
	{ "an allow-list that fails", test_errno, 0, NULL },
	{ "strict mode", test_strict, 0, NULL },
	{ "strict mode, by seccomp()", test_strict_by_seccomp, 0, NULL },
	{ "strict mode in a new thread", test_strict_in_a_thread, 0, NULL },
	{ "a sandbox in a sandbox", test_twice, 0, NULL },
	{ "threads at work", test_threads, 0, NULL },
	{ "threads that had nothing yet", test_new_threads, 0, NULL },
	{ "a child by clone()", test_fork, 0, NULL },
	{ "a child by fork()", test_fork_of_the_c_library, 0, NULL },
	{ "a child by clone(), of threads at work", test_clone_with_threads, 0, NULL },
	{ "larger objects", test_larger_objects, 0, NULL },
	{ "another file under the heap's number", test_another_file, 0, NULL },
	{ "a descriptor that is lost inside", test_lost_descriptor, 0, NULL },
	{ "an entry that is refused", test_refused, 0, NULL },
	{ "other calls of prctl() and syscall()", test_other_calls, 0, NULL },
	{ "a double free", test_double_free, SIGABRT, ": double free\n" },
};

#define NR_TESTS (sizeof(tests) / sizeof(*tests))

static void run(const struct test *test)
{
	char said[2000];
	ssize_t length;
	int status, ends[2];
	size_t bytes = 0;
	bool as_told;
	pid_t child;

	if (pipe(ends))
		ksft_exit_fail_msg("pipe: %m\n");
	fflush(stdout);
	child = fork();
	if (!child) {
		dup2(ends[1], STDERR_FILENO);
		test->run();
		syscall(SYS_exit_group, 0);
	}
	close(ends[1]);
	while ((length = read(ends[0], said + bytes, sizeof(said) - 1 - bytes)) > 0)
		bytes += length;
	said[bytes] = '\0';
	close(ends[0]);
	if (waitpid(child, &status, 0) != child)
		ksft_exit_fail_msg("waitpid: %m\n");
	if (status != test->signal)
		ksft_print_msg("status %#x, signal %d\n", status, WTERMSIG(status));
	if (bytes)
		ksft_print_msg("said: %s", said);
	as_told = test->says ? !!strstr(said, test->says) : !bytes;
	ksft_test_result(as_told && (status & ~0x80) == test->signal, "%s\n", test->name);
}

/* The command lies where it was built, in ../../userspace from here. */
static void run_on_the_shim(const char *self)
{
	char path[4096] = "", command[4200];

	if (readlink("/proc/self/exe", path, sizeof(path) - 1) < 0)
		ksft_exit_fail_msg("/proc/self/exe: %m\n");
	snprintf(command, sizeof(command), "%s/../../userspace/pymalloc", dirname(path));
	execl(command, "pymalloc", "run", "--", self, "on the shim", NULL);
	ksft_exit_fail_msg("%s: %m\n", command);
}

int main(int argc, char **argv)
{
	size_t i;

	if (argc < 2)
		run_on_the_shim(argv[0]);
	/*
	 * To find the C library's functions takes calls that a sandbox does not
	 * allow.
	 */
	if (!malloc_usable_size(malloc(2000)))
		ksft_exit_fail_msg("malloc_usable_size()\n");
	ksft_print_header();
	ksft_set_plan(NR_TESTS);
	for (i = 0; i < NR_TESTS; i++)
		run(&tests[i]);
	ksft_finished();
}
