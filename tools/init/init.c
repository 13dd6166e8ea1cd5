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
 *   life NAME       a case of the driver's life cycle, with the last module
 *                   alone (life.c); these belong to it:
 *     with NAME=X   a parameter, may come several times
 *     fails ERRNO   that the module is not loaded, and the errno
 *     nodes N       else, how many of /dev/hmm_dmirror0... there are
 *     place A-B     a place in /proc/iomem that is the driver's, may come twice
 *     deed NAME     what is done while it is loaded
 *     device N      to which of its devices
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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init.h"

#define PLAN		"/plan"
#define FILE_SIZE	(256 * 1024)

static int kmsg = -1;

/* A case is under way, and the first thing that speaks against it. */
static bool in_case;
static char first_wrong[LINE_SIZE];

/* One write is one record. Should it fail, nobody could be told. */
static void write_record(const char *text)
{
	if (write(kmsg, text, strlen(text)) < 0)
		return;
}

static void vsay(const char *head, const char *fmt, va_list args)
{
	char text[LINE_SIZE], record[2 * LINE_SIZE];

	vsnprintf(text, sizeof(text), fmt, args);
	snprintf(record, sizeof(record), "# selftest: %s%s", head, text);
	write_record(record);
}

void say(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsay("", fmt, args);
	va_end(args);
}

void problem(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsay(in_case ? "wrong: " : "problem: ", fmt, args);
	va_end(args);
	if (!in_case || first_wrong[0])
		return;
	va_start(args, fmt);
	vsnprintf(first_wrong, sizeof(first_wrong), fmt, args);
	va_end(args);
}

void begin_case(const char *name)
{
	say("life %s", name);
	first_wrong[0] = '\0';
	in_case = true;
}

void end_case(const char *name)
{
	in_case = false;
	if (first_wrong[0])
		say("not ok %s: %s", name, first_wrong);
	else
		say("ok %s", name);
}

char *read_text(const char *path)
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
		problem("%s on %s: %s", type, where, strerror(errno));
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
		problem("%s does not take \"%s\": %s", path, value,
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

static bool add_word(char *words, size_t size, const char *word)
{
	if (strlen(words) + strlen(word) + 2 > size)
		return false;
	strcat(words, word);
	strcat(words, " ");
	return true;
}

static bool add_param(struct plan *plan, const char *param)
{
	struct module *module;

	if (!plan->nmodules)
		return false;
	module = &plan->modules[plan->nmodules - 1];
	return add_word(module->params, sizeof(module->params), param);
}

static bool add_life(struct plan *plan, const char *name)
{
	if (plan->nlives == MAX_LIVES)
		return false;
	snprintf(plan->lives[plan->nlives++].name, LINE_SIZE, "%s", name);
	return true;
}

static bool add_place(struct life *life, const char *value)
{
	struct place place;

	if (life->nplaces == MAX_PLACES ||
	    sscanf(value, "%lx-%lx", &place.from, &place.to) != 2)
		return false;
	life->places[life->nplaces++] = place;
	return true;
}

/* What belongs to the case that was named last. */
static bool life_line(struct plan *plan, const char *word, const char *value)
{
	struct life *life;

	if (!plan->nlives)
		return false;
	life = &plan->lives[plan->nlives - 1];
	if (!strcmp(word, "with"))
		return add_word(life->params, sizeof(life->params), value);
	if (!strcmp(word, "place"))
		return add_place(life, value);
	if (!strcmp(word, "fails"))
		life->fails = strtoul(value, NULL, 10);
	else if (!strcmp(word, "nodes"))
		life->nodes = strtoul(value, NULL, 10);
	else if (!strcmp(word, "deed"))
		snprintf(life->deed, sizeof(life->deed), "%s", value);
	else if (!strcmp(word, "device"))
		life->device = strtoul(value, NULL, 10);
	else
		return false;
	return true;
}

static bool plan_line(struct plan *plan, const char *word, const char *value)
{
	if (!strcmp(word, "module"))
		return add_module(plan, value);
	if (!strcmp(word, "param"))
		return add_param(plan, value);
	if (!strcmp(word, "life"))
		return add_life(plan, value);
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
		return life_line(plan, word, value);
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
		problem("%s cannot be read", PLAN);
		return;
	}
	for (line = strtok_r(text, "\n", &next); line;
	     line = strtok_r(NULL, "\n", &next)) {
		value = strchr(line, ' ');
		if (value)
			*value++ = '\0';
		if (!value || strlen(value) >= LINE_SIZE ||
		    !plan_line(plan, line, value))
			problem("%s: \"%s\" is not understood", PLAN,
				line);
	}
	plan->args[0] = plan->tests;
	free(text);
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
		problem("the tests cannot be started: %s",
			strerror(errno));
		return;
	}
	/* Orphans of the tests end up here too. */
	do {
		got = waitpid(-1, &status, 0);
	} while (got != child && (got >= 0 || errno == EINTR));
	if (got < 0) {
		problem("the tests are lost: %s", strerror(errno));
		return;
	}
	if (WIFSIGNALED(status))
		say("tests died of signal %d", WTERMSIG(status));
	else
		say("tests exited with %d", WEXITSTATUS(status));
}

static void tell_taint(void)
{
	char *text = read_text("/proc/sys/kernel/tainted");

	if (text)
		say("taint %#lx", strtoul(text, NULL, 10));
	else
		problem("the kernel's taint cannot be read");
	free(text);
}

/* Loads all modules, runs the tests and unloads what was loaded. */
static void run_round(const struct plan *plan)
{
	struct traces *before = read_traces();
	const struct module *module;
	unsigned int loaded = 0;

	for (; loaded < plan->nmodules; loaded++) {
		module = &plan->modules[loaded];
		if (!load(module, module->params))
			break;
	}
	if (loaded == plan->nmodules) {
		check_nodes(plan->devices);
		if (plan->tests)
			run_tests(plan);
	}
	while (loaded && unload(&plan->modules[loaded - 1]))
		loaded--;
	if (plan->nmodules && !loaded) {
		remove_nodes();
		compare_traces(before);
	}
	free_traces(before);
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
	run_lives(&plan);
	for (round = 1; round <= plan.rounds; round++) {
		say("round %u", round);
		run_round(&plan);
	}
	tell_taint();
	say("end");
	sync();
	reboot(plan.poweroff ? RB_POWER_OFF : RB_AUTOBOOT);
	/* Only a kernel that cannot do that comes here; init must not end. */
	problem("the guest cannot be ended: %s", strerror(errno));
	for (;;)
		pause();
}
