/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A cgroup for tests: how it is made, entered and left.
 */
#ifndef SELFTESTS_CGROUP_H
#define SELFTESTS_CGROUP_H

#include <sys/stat.h>

#include "service.h"

/* A program may define another name. */
#ifndef GROUP
#define GROUP "/sys/fs/cgroup/pymalloc-test"
#endif

#define MIB (1024 * 1024ULL)

static inline void write_group(struct __test_metadata *_metadata, const char *file, __u64 value)
{
	char path[128], text[32];

	snprintf(path, sizeof(path), GROUP "/%s", file);
	snprintf(text, sizeof(text), "%llu", value);
	write_text(_metadata, path, text);
}

/* The number in @file. If the file has keys, it is the number after @key. */
static inline __u64 read_group(struct __test_metadata *_metadata, const char *file,
			       const char *key)
{
	char path[128], word[64];
	__u64 value = ~0ULL;
	FILE *stream;

	snprintf(path, sizeof(path), GROUP "/%s", file);
	stream = fopen(path, "r");
	ASSERT_NE(NULL, stream) TH_LOG("%s: %m", path);
	if (!key) {
		ASSERT_EQ(1, fscanf(stream, "%llu", &value));
	}
	while (key && fscanf(stream, "%63s %llu", word, &value) == 2 && strcmp(word, key))
		;
	fclose(stream);
	return value;
}

static inline __u64 charged(struct __test_metadata *_metadata)
{
	return read_group(_metadata, "memory.current", NULL);
}

/*
 * Each CPU adds to the counter in lots of 64 pages. Allow for some of these
 * lots.
 */
#define SLACK (2 * MIB)

/* Make the group and enter it. */
static inline void group_make(struct __test_metadata *_metadata)
{
	ASSERT_EQ(0, mkdir(GROUP, 0755)) TH_LOG("%m; is cgroup2 mounted?");
	write_group(_metadata, "cgroup.procs", getpid());
}

/* From now on, the caller is in the topmost group. */
static inline void group_leave(struct __test_metadata *_metadata)
{
	FILE *up = fopen("/sys/fs/cgroup/cgroup.procs", "w");

	ASSERT_NE(NULL, up);
	fprintf(up, "%d", getpid());
	ASSERT_EQ(0, fclose(up));
}

#endif /* SELFTESTS_CGROUP_H */
