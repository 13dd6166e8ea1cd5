// SPDX-License-Identifier: GPL-2.0
/*
 * The only user space of a guest whose kernel counts what it executes: KUnit's
 * suites have run before it, and it writes the counters to the console and ends
 * the guest.
 *
 * Each file of counters (/sys/kernel/debug/gcov/.../x.gcda) becomes lines of
 *   # gcov: PATH HEX
 * in order, and the last line is "# gcov: end N", N being the number of files.
 * The guest reboots, or is powered off if there is a file /poweroff.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOT		"/sys/kernel/debug/gcov"
#define PATH_SIZE	4096
#define CHUNK		1024

static unsigned int nr_files;

static void print_file(const char *path)
{
	unsigned char data[CHUNK];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got, i;

	if (fd < 0) {
		printf("# gcov: problem: %s: %s\n", path, strerror(errno));
		return;
	}
	for (;;) {
		got = read(fd, data, sizeof(data));
		if (got <= 0)
			break;
		printf("# gcov: %s ", path + strlen(ROOT));
		for (i = 0; i < got; i++)
			printf("%02x", data[i]);
		printf("\n");
	}
	if (got < 0)
		printf("# gcov: problem: %s: %s\n", path, strerror(errno));
	close(fd);
	nr_files++;
}

static int is_counters(const char *name)
{
	size_t len = strlen(name);

	return len > 5 && !strcmp(name + len - 5, ".gcda");
}

/* Links lead out to the build directory, which the guest does not have. */
static void walk(const char *where)
{
	char path[PATH_SIZE];
	struct dirent *entry;
	struct stat st;
	DIR *dir = opendir(where);

	if (!dir) {
		printf("# gcov: problem: %s: %s\n", where, strerror(errno));
		return;
	}
	while ((entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		snprintf(path, sizeof(path), "%s/%s", where, entry->d_name);
		if (lstat(path, &st))
			continue;
		if (S_ISDIR(st.st_mode))
			walk(path);
		else if (S_ISREG(st.st_mode) && is_counters(entry->d_name))
			print_file(path);
	}
	closedir(dir);
}

int main(void)
{
	mkdir("/sys", 0755);
	if (mount("sysfs", "/sys", "sysfs", 0, NULL) ||
	    mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL))
		printf("# gcov: problem: debugfs: %s\n", strerror(errno));
	walk(ROOT);
	printf("# gcov: end %u\n", nr_files);
	fflush(stdout);
	sync();
	reboot(access("/poweroff", F_OK) ? RB_AUTOBOOT : RB_POWER_OFF);

	return 1;
}
