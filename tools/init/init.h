/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of the init of guests share; init.c says what it does. */
#ifndef DMIRROR_INIT_H
#define DMIRROR_INIT_H

#include <stdarg.h>
#include <stdbool.h>

#define NODE		"/dev/hmm_dmirror"
#define MAX_ARGS	1024
#define MAX_MODULES	8
#define MAX_LIVES	16
#define MAX_PLACES	2
#define LINE_SIZE	512

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))
#define __printf(a, b)		__attribute__((__format__(printf, a, b)))

struct module {
	char	path[LINE_SIZE];
	char	name[LINE_SIZE];
	char	params[4 * LINE_SIZE];
};

/* Physical addresses, both inside. */
struct place {
	unsigned long	from;
	unsigned long	to;
};

/* A case of the driver's life cycle. */
struct life {
	char		name[LINE_SIZE];
	char		params[4 * LINE_SIZE];
	int		fails;
	unsigned int	nodes;
	char		deed[LINE_SIZE];
	unsigned int	device;
	struct place	places[MAX_PLACES];
	unsigned int	nplaces;
};

/* What PLAN says. */
struct plan {
	struct module	modules[MAX_MODULES];
	unsigned int	nmodules;
	unsigned int	rounds;
	unsigned int	devices;
	struct life	lives[MAX_LIVES];
	unsigned int	nlives;
	bool		poweroff;
	char		*tests;
	char		*args[MAX_ARGS + 2];	/* of the tests, then NULL */
	unsigned int	nargs;
};

/* What shows what modules have registered, at one time; see modules.c. */
struct traces;

/* One line of the init's own. */
__printf(1, 2) void say(const char *fmt, ...);

/* Something that no green run may have; within a case, that fails it. */
__printf(1, 2) void problem(const char *fmt, ...);

/* Begins a case and ends it, with its result. */
void begin_case(const char *name);
void end_case(const char *name);

/* Returns a file's text, to be freed, or NULL if it cannot be read. */
char *read_text(const char *path);

struct traces *read_traces(void);
void free_traces(struct traces *traces);

/* Modules that are gone have left everything as it was. */
void compare_traces(const struct traces *before);

/* Returns 0, or the errno for which the module was not loaded. */
int try_load(const struct module *module, const char *params);
bool load(const struct module *module, const char *params);

/* Returns 0, or the errno for which the module is still there. */
int try_unload(const struct module *module);
bool unload(const struct module *module);

/* Opens a device; returns the file, or a negative errno. */
int open_node(unsigned int number);

/* Opens each of the devices once, and expects no more of them. */
void check_nodes(unsigned int devices);

/* Removes the nodes that had to be made by hand. */
void remove_nodes(void);

/* Carries out the driver's life cycle; the last module is the driver. */
void run_lives(const struct plan *plan);

#endif /* DMIRROR_INIT_H */
