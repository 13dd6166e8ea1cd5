// SPDX-License-Identifier: GPL-2.0
/*
 * The first and only user space of a guest that runs hmm-tests, or suites that
 * are modules: it makes the kernel ready, loads the modules (a suite runs as
 * that is done), runs the tests, unloads the modules, looks for what they left
 * behind, and ends the guest.
 *
 * All output, also that of the tests, goes to /dev/kmsg: there each line stays
 * whole, and stands where it happened among the kernel's own.
 *
 * What to do is in the file PLAN, one "word value" per line:
 *   module PATH     a module to load, in this order; none is needed
 *   param NAME=X    a parameter of the module before, may come several times
 *   rounds N        load and unload them so often (default 1)
 *   devices N       how many of /dev/hmm_dmirror0... the driver has to make
 *   tests PATH      the program to run; none is needed
 *   arg WORD        an argument of the tests, may come several times
 *   end HOW         "reboot" or "poweroff"
 *
 * What it says, each after "# selftest: ":
 *   begin                      the first line
 *   round N                    from 1
 *   loading NAME, loaded NAME, unloaded NAME
 *   tests exited with N, or tests died of signal N
 *   problem: TEXT              something that no green run may have
 *   taint 0xN                  the kernel's, once all modules are unloaded
 *   end                        the last line
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLAN		"/plan"
#define NODE		"/dev/hmm_dmirror"
#define MAX_ARGS	1024
#define MAX_MODULES	8
#define LINE_SIZE	512
#define FILE_SIZE	(256 * 1024)

struct module {
	char	path[LINE_SIZE];
	char	name[LINE_SIZE];
	char	params[4 * LINE_SIZE];
};

/* What PLAN says. */
struct plan {
	struct module	modules[MAX_MODULES];
	unsigned int	nmodules;
	unsigned int	rounds;
	unsigned int	devices;
	bool		poweroff;
	char		*tests;
	char		*args[MAX_ARGS + 2];	/* of the tests, then NULL */
	unsigned int	nargs;
};

/* The files that show what modules have registered, at one time. */
struct traces {
	char	*iomem;
	char	*devices;
	char	*modules;
};

static int kmsg = -1;

/* One write is one record. Should it fail, nobody could be told. */
static void write_record(const char *text)
{
	if (write(kmsg, text, strlen(text)) < 0)
		return;
}

#define say(fmt, ...)							\
do {									\
	char record[2 * LINE_SIZE];					\
									\
	snprintf(record, sizeof(record), "# selftest: " fmt,		\
		 ##__VA_ARGS__);					\
	write_record(record);						\
} while (0)

/* Returns a file's text, to be freed, or NULL if it cannot be read. */
static char *read_text(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = malloc(FILE_SIZE);
	size_t used = 0;
	ssize_t got;

	if (fd < 0 || !text)
		goto fail;
	do {
		got = read(fd, text + used, FILE_SIZE - 1 - used);
		if (got < 0)
			goto fail;
		used += got;
	} while (got);
	text[used] = '\0';
	close(fd);
	return text;
fail:
	if (fd >= 0)
		close(fd);
	free(text);
	return NULL;
}

static void mount_one(const char *type, const char *where)
{
	mkdir(where, 0755);
	/* Built with CONFIG_DEVTMPFS_MOUNT the kernel may have been first. */
	if (mount(type, where, type, 0, NULL) && errno != EBUSY)
		say("problem: %s on %s: %s", type, where, strerror(errno));
}

static void mount_all(void)
{
	kmsg = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	say("begin");
	mount_one("devtmpfs", "/dev");
	mount_one("proc", "/proc");
	mount_one("sysfs", "/sys");
	mount_one("debugfs", "/sys/kernel/debug");
	mount_one("tmpfs", "/tmp");
	mount_one("tmpfs", "/dev/shm");
}

/*
 * A file that is not there is no problem here: the kernel lacks what it is
 * about, and the case that needs it says so.
 */
static void set(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, value, strlen(value)) < 0)
		say("problem: %s does not take \"%s\": %s", path, value,
		    strerror(errno));
	close(fd);
}

static void prepare_memory(void)
{
	/* Huge pages wherever they fit, made at once: no case left to luck. */
	set("/sys/kernel/mm/transparent_hugepage/enabled", "always");
	set("/sys/kernel/mm/transparent_hugepage/defrag", "always");
	/* Two cases take one each, of the default size. */
	set("/proc/sys/vm/nr_hugepages", "8");
}

/* The module's name is that of its file, as the kernel spells it. */
static void name_module(struct module *module)
{
	const char *base = strrchr(module->path, '/');
	char *c;

	snprintf(module->name, sizeof(module->name), "%s",
		 base ? base + 1 : module->path);
	c = strstr(module->name, ".ko");
	if (c)
		*c = '\0';
	for (c = module->name; *c; c++)
		if (*c == '-')
			*c = '_';
}

static bool add_module(struct plan *plan, const char *path)
{
	struct module *module = &plan->modules[plan->nmodules];

	if (plan->nmodules == MAX_MODULES)
		return false;
	snprintf(module->path, sizeof(module->path), "%s", path);
	name_module(module);
	plan->nmodules++;
	return true;
}

static bool add_param(struct plan *plan, const char *param)
{
	char *params;

	if (!plan->nmodules)
		return false;
	params = plan->modules[plan->nmodules - 1].params;
	if (strlen(params) + strlen(param) + 2 >
	    sizeof(plan->modules[0].params))
		return false;
	strcat(params, param);
	strcat(params, " ");
	return true;
}

static bool plan_line(struct plan *plan, const char *word, const char *value)
{
	if (!strcmp(word, "module"))
		return add_module(plan, value);
	if (!strcmp(word, "param"))
		return add_param(plan, value);
	if (!strcmp(word, "rounds")) {
		plan->rounds = strtoul(value, NULL, 10);
	} else if (!strcmp(word, "devices")) {
		plan->devices = strtoul(value, NULL, 10);
	} else if (!strcmp(word, "tests")) {
		plan->tests = strdup(value);
	} else if (!strcmp(word, "arg")) {
		if (plan->nargs > MAX_ARGS)
			return false;
		plan->args[plan->nargs++] = strdup(value);
	} else if (!strcmp(word, "end")) {
		plan->poweroff = !strcmp(value, "poweroff");
	} else {
		return false;
	}
	return true;
}

static void read_plan(struct plan *plan)
{
	char *text = read_text(PLAN);
	char *line, *value, *next;

	plan->rounds = 1;
	/* Their name comes first, once it is known. */
	plan->nargs = 1;
	if (!text) {
		say("problem: %s cannot be read", PLAN);
		return;
	}
	for (line = strtok_r(text, "\n", &next); line;
	     line = strtok_r(NULL, "\n", &next)) {
		value = strchr(line, ' ');
		if (value)
			*value++ = '\0';
		if (!value || strlen(value) >= LINE_SIZE ||
		    !plan_line(plan, line, value))
			say("problem: %s: \"%s\" is not understood", PLAN,
			    line);
	}
	plan->args[0] = plan->tests;
	free(text);
}

static void read_traces(struct traces *traces)
{
	traces->iomem = read_text("/proc/iomem");
	traces->devices = read_text("/proc/devices");
	traces->modules = read_text("/proc/modules");
	if (!traces->iomem || !traces->devices || !traces->modules)
		say("problem: /proc cannot be read");
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
			say("problem: %s %s \"%.*s\" after unloading", file,
			    what, (int)length, text);
	}
}

static void free_traces(struct traces *traces)
{
	free(traces->iomem);
	free(traces->devices);
	free(traces->modules);
}

/* Modules that are gone have left everything as it was. */
static void compare_traces(const struct traces *before)
{
	struct traces after;

	read_traces(&after);
	tell_lines("/proc/iomem", "has", after.iomem, before->iomem);
	tell_lines("/proc/iomem", "lacks", before->iomem, after.iomem);
	tell_lines("/proc/devices", "has", after.devices, before->devices);
	tell_lines("/proc/devices", "lacks", before->devices, after.devices);
	tell_lines("/proc/modules", "has", after.modules, before->modules);
	free_traces(&after);
}

static bool load(const struct module *module)
{
	int fd = open(module->path, O_RDONLY | O_CLOEXEC);

	say("loading %s", module->name);
	if (fd < 0 || syscall(SYS_finit_module, fd, module->params, 0)) {
		say("problem: %s cannot be loaded: %s", module->name,
		    strerror(errno));
		if (fd >= 0)
			close(fd);
		return false;
	}
	close(fd);
	say("loaded %s", module->name);
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

/*
 * devtmpfs makes the nodes of a driver that has a struct device for each. A
 * node alone proves nothing, so each is opened once.
 */
static void check_nodes(const struct plan *plan)
{
	unsigned int i, major = driver_major();
	char path[LINE_SIZE];
	int fd;

	for (i = 0; i < plan->devices; i++) {
		snprintf(path, sizeof(path), "%s%u", NODE, i);
		if (access(path, F_OK) && major)
			mknod(path, S_IFCHR | 0600, makedev(major, i));
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			say("problem: %s cannot be opened: %s", path,
			    strerror(errno));
		else
			close(fd);
	}
}

static void run_tests(const struct plan *plan)
{
	pid_t child = fork(), got;
	int status;

	if (!child) {
		int null = open("/dev/null", O_RDONLY);

		/* The copies outlive execv(), kmsg itself does not. */
		if (dup2(null, 0) < 0 || dup2(kmsg, 1) < 0 ||
		    dup2(kmsg, 2) < 0)
			_exit(126);
		execv(plan->tests, plan->args);
		_exit(127);
	}
	if (child < 0) {
		say("problem: the tests cannot be started: %s",
		    strerror(errno));
		return;
	}
	/* Orphans of the tests end up here too. */
	do {
		got = waitpid(-1, &status, 0);
	} while (got != child && (got >= 0 || errno == EINTR));
	if (got < 0) {
		say("problem: the tests are lost: %s", strerror(errno));
		return;
	}
	if (WIFSIGNALED(status))
		say("tests died of signal %d", WTERMSIG(status));
	else
		say("tests exited with %d", WEXITSTATUS(status));
}

/* Returns whether the module is gone. */
static bool unload(const struct module *module)
{
	char path[2 * LINE_SIZE];
	struct stat sb;
	char *count;

	snprintf(path, sizeof(path), "/sys/module/%s/refcnt", module->name);
	count = read_text(path);
	if (!count || strcmp(count, "0\n"))
		say("problem: %s has %.20s users after the tests", module->name,
		    count ? strtok(count, "\n") : "an unknown number of");
	free(count);
	if (syscall(SYS_delete_module, module->name, O_NONBLOCK)) {
		say("problem: %s cannot be unloaded: %s", module->name,
		    strerror(errno));
		return false;
	}
	say("unloaded %s", module->name);
	snprintf(path, sizeof(path), "/sys/module/%s", module->name);
	if (!stat(path, &sb))
		say("problem: /sys has %s after unloading", module->name);
	return true;
}

static void tell_taint(void)
{
	char *text = read_text("/proc/sys/kernel/tainted");

	if (text)
		say("taint %#lx", strtoul(text, NULL, 10));
	else
		say("problem: the kernel's taint cannot be read");
	free(text);
}

/* Loads all modules, runs the tests and unloads what was loaded. */
static void run_round(const struct plan *plan)
{
	unsigned int loaded = 0;
	struct traces before;

	read_traces(&before);
	while (loaded < plan->nmodules && load(&plan->modules[loaded]))
		loaded++;
	if (loaded == plan->nmodules) {
		check_nodes(plan);
		if (plan->tests)
			run_tests(plan);
	}
	while (loaded && unload(&plan->modules[loaded - 1]))
		loaded--;
	if (plan->nmodules && !loaded)
		compare_traces(&before);
	free_traces(&before);
}

int main(void)
{
	static struct plan plan;
	unsigned int round;

	/* Anywhere else this would reboot somebody's machine. */
	if (getpid() != 1) {
		fprintf(stderr, "init: this is for the guests of dmirror\n");
		return 2;
	}
	mount_all();
	read_plan(&plan);
	prepare_memory();
	for (round = 1; round <= plan.rounds; round++) {
		say("round %u", round);
		run_round(&plan);
	}
	tell_taint();
	say("end");
	sync();
	reboot(plan.poweroff ? RB_POWER_OFF : RB_AUTOBOOT);
	/* Only a kernel that cannot do that comes here; init must not end. */
	say("problem: the guest cannot be ended: %s", strerror(errno));
	for (;;)
		pause();
}
