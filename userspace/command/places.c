// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The places where a heap's blocks were allocated, for pymalloc top.
 *
 * A snapshot is taken and put together as for pymalloc report, in a process of its own: that
 * may take long, and needs memory for each name in the table of sites, while the user goes on
 * pressing keys.  A table that is wrong ends only that process.
 */
#include <err.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "groups.h"
#include "places.h"
#include "screen.h"
#include "take.h"
#include "tree.h"

/* Looking takes one part in so many of the time, however large the heap is. */
#define LOOKS_SHARE	10

/* A number for a text: FNV-1a of Fowler, Noll and Vo. */
static __u64 hash(const char *text)
{
	__u64 value = 0xcbf29ce484222325;

	while (*text)
		value = (value ^ (unsigned char)*text++) * 0x100000001b3;
	return value;
}

static void add_place(struct places *places, const struct view *view, const struct group *group)
{
	struct place *place;
	char *text;

	places->all++;
	if (places->count == PLACES_MAX)
		return;
	text = group_text(view, group);
	place = &places->list[places->count++];
	place->id = hash(group->key);
	place->bytes = group->bytes;
	place->blocks = group->blocks;
	panel_text_end(place->text, text);
	free(text);
}

static struct places *look_at(__u64 id)
{
	const struct view view = { .by = BY_LINE };
	struct places *places = allocate(1, sizeof(*places));
	struct snapshot snapshot = { 0 };
	struct groups groups;
	size_t i;

	take_snapshots(&snapshot, &id, 1);
	snapshot_check(&snapshot, "the heap");
	groups = groups_make(&view, &snapshot);
	places->bytes = groups.bytes;
	places->estimated = groups.estimated;
	for (i = 0; i < groups.count && groups.list[i].blocks > 0; i++)
		add_place(places, &view, &groups.list[i]);
	return places;
}

/* A message goes where the places would; the exit status tells them apart. */
static void answer(int fd, __u64 id)
{
	struct places *places;
	const char *from;
	ssize_t done, left;

	screen_forget();
	if (dup2(fd, STDERR_FILENO) < 0)
		_exit(EXIT_FAILED);
	places = look_at(id);
	left = offsetof(struct places, list) + places->count * sizeof(*places->list);
	for (from = (const char *)places; left > 0; from += done, left -= done) {
		done = write(fd, from, left);
		if (done < 0)
			err(EXIT_FAILED, NULL);
	}
	_exit(0);
}

/**
 * places_begin() - begin to look at the places of a heap
 * @look: the looks so far; nothing happens if one goes on, or if the next is not due
 * @id: the heap's number
 * @now: the time
 *
 * @fd of the look can be read when it is at its end.
 */
void places_begin(struct places_look *look, __u64 id, double now)
{
	int fds[2];

	if (look->pid || now < look->due)
		return;
	if (pipe(fds))
		err(EXIT_FAILED, NULL);
	look->pid = fork();
	if (look->pid < 0)
		err(EXIT_FAILED, NULL);
	if (!look->pid) {
		close(fds[0]);
		answer(fds[1], id);
	}
	close(fds[1]);
	look->fd = fds[0];
	look->begun = now;
}

static size_t read_all(int fd, void *data, size_t bytes)
{
	size_t done = 0;
	ssize_t got = 1;

	for (; got > 0 && done < bytes; done += got > 0 ? got : 0)
		got = read(fd, (char *)data + done, bytes - done);
	return done;
}

/* Returns whether the process has ended as it should. */
static bool wait_for(struct places_look *look)
{
	pid_t pid = look->pid;
	int status;

	close(look->fd);
	look->fd = -1;
	look->pid = 0;
	return waitpid(pid, &status, 0) == pid && !status;
}

/* What the process has said instead of an answer: a line, if anything. */
static void take_message(char message[TEXT_LEN], char *said, size_t length)
{
	said[length] = '\0';
	said[strcspn(said, "\n")] = '\0';
	panel_text(message, *said ? said : "the process that looked at the sites has ended");
}

static void add_places(struct places_look *look, struct places *places)
{
	free(look->places[1]);
	look->places[1] = look->places[0];
	look->places[0] = places;
	look->seen[1] = look->seen[0];
	look->seen[0] = look->begun;
}

/**
 * places_end() - take the answer of a look, or wait for it
 * @look: the looks, of which one goes on
 * @now: the time
 * @message: out: what has gone wrong, if something has
 *
 * Return: true if there are new places.
 */
bool places_end(struct places_look *look, double now, char message[TEXT_LEN])
{
	/* One more byte, for the end of what may be a message. */
	struct places *places = allocate(1, sizeof(*places) + 1);
	size_t length = read_all(look->fd, places, sizeof(*places));

	look->due = look->begun + LOOKS_SHARE * (now - look->begun);
	if (wait_for(look)) {
		add_places(look, places);
		return true;
	}
	take_message(message, (char *)places, length);
	free(places);
	return false;
}

/**
 * places_forget() - forget what looks have found, and end the one that goes on
 * @look: the looks
 */
void places_forget(struct places_look *look)
{
	size_t i;

	if (look->pid) {
		kill(look->pid, SIGKILL);
		wait_for(look);
	}
	for (i = 0; i < 2; i++) {
		free(look->places[i]);
		look->places[i] = NULL;
	}
	look->due = 0;
}
