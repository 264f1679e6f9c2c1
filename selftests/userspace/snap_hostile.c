// SPDX-License-Identifier: GPL-2.0
/*
 * Files of snapshots that are cut off or changed: whatever is in them, the command prints
 * something or says what is wrong, and does not crash.  It is built into this program with
 * sanitizers, which abort.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"

#include "kselftest_harness.h"

/* In seconds, for all that a test does: none of it takes long. */
#define TIMEOUT		3000
#define SEEDS		500

/* What the command must not take longer for. */
#define SECONDS_MAX	100

FIXTURE(hostile) {
	char folder[32];
	char path[64];
	unsigned char *good;	/* the file as it is right */
	size_t bytes;
};

static void read_good(struct __test_metadata *_metadata, FIXTURE_DATA(hostile) *self)
{
	char path[PATH_MAX + 16];
	char folder[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", folder, sizeof(folder) - 1);
	FILE *file;

	ASSERT_GT(length, 0);
	folder[length] = '\0';
	*strrchr(folder, '/') = '\0';
	snprintf(path, sizeof(path), "%s/small.snap", folder);
	file = fopen(path, "r");
	ASSERT_NE(NULL, file);
	self->good = malloc(1 << 16);
	ASSERT_NE(NULL, self->good);
	self->bytes = fread(self->good, 1, 1 << 16, file);
	ASSERT_GT(self->bytes, 300);
	fclose(file);
}

FIXTURE_SETUP(hostile)
{
	snprintf(self->folder, sizeof(self->folder), "/tmp/hostile.XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->folder));
	snprintf(self->path, sizeof(self->path), "%s/snap", self->folder);
	read_good(_metadata, self);
}

FIXTURE_TEARDOWN(hostile)
{
	unlink(self->path);
	rmdir(self->folder);
	free(self->good);
}

static void write_file(struct __test_metadata *_metadata, const char *path,
		       const void *data, size_t bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(bytes, write(fd, data, bytes));
	close(fd);
}

static int run(int (*main)(int argc, char **argv), char **argv)
{
	int argc = 0;
	int null;
	int status;
	pid_t pid = fork();

	if (pid)
		return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ?
			WEXITSTATUS(status) : -1;
	while (argv[argc])
		argc++;
	null = open("/dev/null", O_WRONLY);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	alarm(SECONDS_MAX);
	exit(main(argc, argv));
}

/* What else a program holds when it ends is of no interest, and takes long to find. */
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

#define NR_LINES	7

/* Has one of the commands look at the file.  Returns its exit status, or -1. */
static int look(char *path, unsigned int which)
{
	char *lines[NR_LINES][8] = {
		{ "report", path, NULL },
		{ "report", "--json", path, NULL },
		{ "report", "--stacks", "--cached", path, NULL },
		{ "report", "--by", "thread", "--filter", "!f*", path, NULL },
		{ "leaks", "--older-than", "3", path, NULL },
		{ "diff", "--by", "age", path, path, NULL },
		{ "growing", path, path, path, NULL },
	};
	int (*mains[NR_LINES])(int argc, char **argv) = {
		report_main, report_main, report_main, report_main, leaks_main, diff_main,
		growing_main,
	};

	return run(mains[which % NR_LINES], lines[which % NR_LINES]);
}

TEST_F_TIMEOUT(hostile, the_file_is_good, TIMEOUT)
{
	unsigned int i;

	write_file(_metadata, self->path, self->good, self->bytes);
	for (i = 0; i < NR_LINES; i++)
		ASSERT_EQ(0, look(self->path, i));
}

TEST_F_TIMEOUT(hostile, cut_off_at_each_byte, TIMEOUT)
{
	size_t bytes;

	for (bytes = 0; bytes < self->bytes; bytes++) {
		write_file(_metadata, self->path, self->good, bytes);
		ASSERT_EQ(EXIT_FAILED, look(self->path, bytes));
	}
}

TEST_F_TIMEOUT(hostile, each_byte_is_changed, TIMEOUT)
{
	int status;
	size_t i;

	for (i = 0; i < self->bytes; i++) {
		self->good[i] ^= 0xff;
		write_file(_metadata, self->path, self->good, self->bytes);
		status = look(self->path, i);
		ASSERT_TRUE(status == 0 || status == EXIT_FAILED);
		self->good[i] ^= 0xff;
	}
}

TEST_F_TIMEOUT(hostile, bits_are_changed, TIMEOUT)
{
	unsigned char *copy = malloc(self->bytes);
	const char *wanted = getenv("PYMALLOC_SEEDS");
	unsigned int seed, seeds = wanted ? atoi(wanted) : SEEDS;
	int status;

	ASSERT_NE(NULL, copy);
	for (seed = 0; seed < seeds; seed++) {
		unsigned int n;

		srand(seed);
		memcpy(copy, self->good, self->bytes);
		for (n = 1 + rand() % 4; n; n--)
			copy[rand() % self->bytes] ^= 1 << rand() % 8;
		write_file(_metadata, self->path, copy, self->bytes);
		status = look(self->path, seed);
		ASSERT_TRUE(status == 0 || status == EXIT_FAILED);
	}
	free(copy);
}

TEST_HARNESS_MAIN
