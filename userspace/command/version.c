// SPDX-License-Identifier: LGPL-2.1-or-later
/* pymalloc --version: the command's own, and that of the module that is loaded. */
#include <argp.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "service.h"

static void print_version(FILE *stream, struct argp_state *state)
{
	struct pymalloc_info info = { .argsz = sizeof(info) };
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);

	(void)state;
	fprintf(stream, "pymalloc %s\n", PYMALLOC_VERSION);
	if (fd < 0)
		return;
	if (ioctl(fd, PYMALLOC_IOC_INFO, &info) == 0 && info.version[0])
		fprintf(stream, "module %s\n", info.version);
	close(fd);
}

/* argp calls it for -V and --version, of every subcommand. */
void (*argp_program_version_hook)(FILE *stream, struct argp_state *state) =
	print_version;
