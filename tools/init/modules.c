// SPDX-License-Identifier: GPL-2.0
/* Modules come and go, and are looked for afterwards. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "init.h"

#define FILE_SIZE	(256 * 1024)
#define MAX_NODES	16

/*
 * Where modules leave traces. Files have a line for each thing, directories an
 * entry. A module that has ended may have taken nothing away from the first
 * two.
 */
static const char * const where[] = {
	"/proc/iomem",
	"/proc/devices",
	"/proc/modules",
	"/dev",
	"/sys/class",
	"/sys/dev/char",
	"/sys/devices",
	"/sys/devices/virtual",
	"/sys/kernel/slab",
	"/sys/module",
};

#define NR_WHOLE	2

struct traces {
	char	*texts[ARRAY_SIZE(where)];
};

/* Nodes that devtmpfs had not made. */
static bool made[MAX_NODES];

/* Returns a directory's names, a line each, as read_text() does. */
static char *read_names(const char *path)
{
	DIR *dir = opendir(path);
	char *text = calloc(1, FILE_SIZE);
	struct dirent *entry;
	size_t used = 0;

	if (!dir || !text)
		goto fail;
	while ((entry = readdir(dir))) {
		if (used + strlen(entry->d_name) + 2 > FILE_SIZE)
			goto fail;
		used += sprintf(text + used, "%s\n", entry->d_name);
	}
	closedir(dir);
	return text;
fail:
	if (dir)
		closedir(dir);
	free(text);
	return NULL;
}

struct traces *read_traces(void)
{
	struct traces *traces = calloc(1, sizeof(*traces));
	struct stat sb;
	unsigned int i;

	if (!traces)
		return NULL;
	for (i = 0; i < ARRAY_SIZE(where); i++) {
		if (stat(where[i], &sb))
			continue;	/* the kernel was built without */
		traces->texts[i] = S_ISDIR(sb.st_mode) ? read_names(where[i]) :
							 read_text(where[i]);
		if (!traces->texts[i])
			problem("%s cannot be read", where[i]);
	}
	return traces;
}

void free_traces(struct traces *traces)
{
	unsigned int i;

	for (i = 0; traces && i < ARRAY_SIZE(where); i++)
		free(traces->texts[i]);
	free(traces);
}

/* Is there such a line, between newlines or at the text's ends? */
static bool has_line(const char *text, const char *line, size_t length)
{
	while (text) {
		if (!strncmp(text, line, length) &&
		    (text[length] == '\n' || !text[length]))
			return true;
		text = strchr(text, '\n');
		text += !!text;
	}
	return false;
}

static void tell_lines(const char *file, const char *what, const char *text,
		       const char *other)
{
	size_t length;

	for (; text && *text; text += length + (text[length] == '\n')) {
		length = strcspn(text, "\n");
		if (!has_line(other, text, length))
			problem("%s %s \"%.*s\" after unloading", file, what,
				(int)length, text);
	}
}

void compare_traces(const struct traces *before)
{
	struct traces *after = read_traces();
	unsigned int i;

	for (i = 0; before && after && i < ARRAY_SIZE(where); i++) {
		tell_lines(where[i], "has", after->texts[i], before->texts[i]);
		if (i < NR_WHOLE)
			tell_lines(where[i], "lacks", before->texts[i],
				   after->texts[i]);
	}
	free_traces(after);
}

int try_load(const struct module *module, const char *params)
{
	int fd = open(module->path, O_RDONLY | O_CLOEXEC), error = 0;

	if (fd < 0)
		return errno;
	if (syscall(SYS_finit_module, fd, params, 0))
		error = errno;
	close(fd);
	return error;
}

bool load(const struct module *module, const char *params)
{
	int error;

	say("loading %s", module->name);
	error = try_load(module, params);
	if (error)
		problem("%s cannot be loaded: %s", module->name,
			strerror(error));
	else
		say("loaded %s", module->name);
	return !error;
}

int try_unload(const struct module *module)
{
	return syscall(SYS_delete_module, module->name, O_NONBLOCK) ? errno : 0;
}

/*
 * A page that its process has given back may still wait on a CPU's way to the
 * LRU, with a reference. The kernel would call it leaked by the module that
 * allocated it. Dropping caches begins with such pages.
 */
static void drain_lru(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "1", 1) != 1)
		problem("/proc/sys/vm/drop_caches cannot be written: %s",
			strerror(errno));
	if (fd >= 0)
		close(fd);
}

bool unload(const struct module *module)
{
	char path[2 * LINE_SIZE];
	struct stat sb;
	char *count;
	int error;

	snprintf(path, sizeof(path), "/sys/module/%s/refcnt", module->name);
	count = read_text(path);
	if (!count || strcmp(count, "0\n"))
		problem("%s has %.20s users after the tests", module->name,
			count ? strtok(count, "\n") : "an unknown number of");
	free(count);
	drain_lru();
	error = try_unload(module);
	if (error) {
		problem("%s cannot be unloaded: %s", module->name,
			strerror(error));
		return false;
	}
	say("unloaded %s", module->name);
	snprintf(path, sizeof(path), "/sys/module/%s", module->name);
	if (!stat(path, &sb))
		problem("/sys has %s after unloading", module->name);
	return true;
}

/* The driver's major number from /proc/devices; 0 if it has none. */
static unsigned int driver_major(void)
{
	char *text = read_text("/proc/devices");
	unsigned int major = 0;
	char *line, *next;

	if (!text)
		return 0;
	for (line = strtok_r(text, "\n", &next); line && !major;
	     line = strtok_r(NULL, "\n", &next))
		if (strcasestr(line, "dmirror"))
			major = strtoul(line, NULL, 10);
	free(text);
	return major;
}

static char *node_path(unsigned int number)
{
	static char path[LINE_SIZE];

	snprintf(path, sizeof(path), "%s%u", NODE, number);
	return path;
}

int open_node(unsigned int number)
{
	int fd = open(node_path(number), O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/*
 * devtmpfs makes the nodes of a driver that has a struct device for each. A
 * node alone proves nothing, so each is opened once.
 */
void check_nodes(unsigned int devices)
{
	unsigned int i, major = driver_major();
	int fd;

	for (i = 0; i < devices && i < MAX_NODES; i++) {
		if (access(node_path(i), F_OK) && major &&
		    !mknod(node_path(i), S_IFCHR | 0600, makedev(major, i)))
			made[i] = true;
		fd = open_node(i);
		if (fd < 0)
			problem("%s cannot be opened: %s", node_path(i),
				strerror(-fd));
		else
			close(fd);
	}
	if (devices && !access(node_path(devices), F_OK))
		problem("%s is one device too many", node_path(devices));
}

void remove_nodes(void)
{
	unsigned int i;

	for (i = 0; i < MAX_NODES; i++) {
		if (made[i])
			unlink(node_path(i));
		made[i] = false;
	}
}
