/* SPDX-License-Identifier: GPL-2.0 */
/* Sectors of the VM's disk, which the kernel reads into a heap's memory. */
#ifndef DISK_H
#define DISK_H

#include <linux/aio_abi.h>

#include "service.h"

#define DISK "/dev/vda"
#define SECTOR 512
#define SECTORS 128

struct disk {
	aio_context_t context;
	int fd;
	char data[SECTORS * SECTOR];
};

static inline void disk_open(struct __test_metadata *_metadata, struct disk *disk)
{
	int fd = open(DISK, O_RDONLY);

	ASSERT_LE(0, fd) TH_LOG("%s: %m", DISK);
	ASSERT_EQ(sizeof(disk->data), pread(fd, disk->data, sizeof(disk->data), 0));
	close(fd);
	disk->fd = open(DISK, O_RDONLY | O_DIRECT);
	ASSERT_LE(0, disk->fd) TH_LOG("%s: %m", DISK);
	ASSERT_EQ(0, syscall(SYS_io_setup, 1, &disk->context)) TH_LOG("%m");
}

/* Begin to read a sector.  @iocb is in use until disk_await().  Returns false with errno. */
static inline bool disk_submit(const struct disk *disk, struct iocb *iocb, __u32 sector,
			       void *memory)
{
	*iocb = (struct iocb){
		.aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = disk->fd,
		.aio_buf = user_ptr(memory), .aio_nbytes = SECTOR,
		.aio_offset = sector * SECTOR,
	};
	return syscall(SYS_io_submit, disk->context, 1, &iocb) == 1;
}

/* Wait for the read to end.  Returns the bytes read, or an error. */
static inline long long disk_await(const struct disk *disk)
{
	struct io_event event = {};

	if (syscall(SYS_io_getevents, disk->context, 1, 1, &event, NULL) != 1)
		return -errno;
	return event.res;
}

static inline bool disk_has(const struct disk *disk, __u32 sector, const void *memory)
{
	return !memcmp(memory, disk->data + sector * SECTOR, SECTOR);
}

#endif /* DISK_H */
