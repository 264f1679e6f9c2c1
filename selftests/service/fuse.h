/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A file whose server never answers a read: what has asked for one, and is to end, waits for
 * it until the server is killed.
 */
#ifndef SELFTESTS_FUSE_H
#define SELFTESTS_FUSE_H

#include <linux/aio_abi.h>
#include <linux/fuse.h>
#include <sys/mount.h>
#include <sys/prctl.h>

#include "service.h"

struct silent_file {
	char path[32];
	pid_t server;
};

struct silent_answer {
	struct fuse_out_header head;
	union {
		struct fuse_init_out init;
		struct fuse_attr_out attr;
		struct fuse_open_out open;
	};
};

/* Returns the bytes behind the head, or -errno. */
static inline int silent_fill(__u32 opcode, struct silent_answer *answer)
{
	switch (opcode) {
	case FUSE_INIT:
		answer->init = (struct fuse_init_out){
			.major = FUSE_KERNEL_VERSION, .minor = 31, .flags = FUSE_ASYNC_DIO,
			.max_write = 4096,
		};
		return sizeof(answer->init);
	case FUSE_GETATTR:
		answer->attr = (struct fuse_attr_out){
			.attr = { .ino = FUSE_ROOT_ID, .mode = S_IFREG | 0644, .nlink = 1,
				  .size = POOL, .blksize = POOL },
		};
		return sizeof(answer->attr);
	case FUSE_OPEN:
		answer->open = (struct fuse_open_out){ .fh = 1 };
		return sizeof(answer->open);
	default:
		/* The kernel does without it. */
		return -EOPNOTSUPP;
	}
}

/* Answer all that wants an answer, except reads, until the file is unmounted. */
static inline void silent_serve(int fd)
{
	static union {
		struct fuse_in_header head;
		char bytes[4 * FUSE_MIN_READ_BUFFER];
	} request;

	while (read(fd, &request, sizeof(request)) > 0) {
		struct silent_answer answer = { .head.unique = request.head.unique };
		__u32 opcode = request.head.opcode;
		int bytes = silent_fill(opcode, &answer);

		if (opcode == FUSE_READ || opcode == FUSE_INTERRUPT || opcode == FUSE_FORGET)
			continue;
		answer.head.error = bytes < 0 ? bytes : 0;
		answer.head.len = sizeof(answer.head) + (bytes < 0 ? 0 : bytes);
		if (write(fd, &answer, answer.head.len) < 0)
			return;
	}
}

/* Has the kernel FUSE?  To ask for it loads its module. */
static inline bool fuse_is_known(void)
{
	return !mount("silent", "/", "fuse", 0, "") || errno != ENODEV;
}

/* Only root may mount. */
static inline void silent_start(struct __test_metadata *_metadata, struct silent_file *file)
{
	char options[64];
	int fd;

	*file = (struct silent_file){ .path = "/tmp/silent.XXXXXX" };
	fd = mkstemp(file->path);
	ASSERT_LE(0, fd) TH_LOG("%m");
	close(fd);
	fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd) TH_LOG("/dev/fuse: %m");
	snprintf(options, sizeof(options), "fd=%d,rootmode=%o,user_id=0,group_id=0", fd, S_IFREG);
	ASSERT_EQ(0, mount("silent", file->path, "fuse", MS_NOSUID | MS_NODEV, options)) {
		TH_LOG("%m");
	}
	IN_CHILD(file->server, {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		silent_serve(fd);
	});
	close(fd);
}

/* All reads end with an error. */
static inline void silent_end(struct __test_metadata *_metadata, struct silent_file *file)
{
	ASSERT_EQ(0, kill(file->server, SIGKILL));
	ASSERT_EQ(file->server, waitpid(file->server, NULL, 0));
	ASSERT_EQ(0, umount2(file->path, MNT_DETACH)) TH_LOG("%m");
	ASSERT_EQ(0, unlink(file->path));
}

/* Ask for a read of a page into memory, and do not wait for it. */
static inline void silent_read_to(struct __test_metadata *_metadata,
				  const struct silent_file *file, void *memory)
{
	int fd = open(file->path, O_RDONLY | O_DIRECT);
	struct iocb iocb = {
		.aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = fd,
		.aio_buf = user_ptr(memory), .aio_nbytes = POOL,
	}, *iocbs = &iocb;
	aio_context_t context = 0;

	ASSERT_LE(0, fd) TH_LOG("%m");
	ASSERT_EQ(0, syscall(SYS_io_setup, 1, &context)) TH_LOG("%m");
	ASSERT_EQ(1, syscall(SYS_io_submit, context, 1, &iocbs)) TH_LOG("%m");
}

static inline void silent_read(struct __test_metadata *_metadata, const struct silent_file *file)
{
	silent_read_to(_metadata, file, edge_buffer(_metadata, POOL, PROT_NONE));
}

#endif /* SELFTESTS_FUSE_H */
