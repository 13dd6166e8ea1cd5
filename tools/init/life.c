// SPDX-License-Identifier: GPL-2.0
/*
 * The driver's life cycle: it is loaded as it must not be, unloaded when
 * somebody needs it, and each time what is left of it is looked for.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../drivers/dmirror/uapi.h"
#include "init.h"

/* Pages that are out when the driver ends: several batches, and no more. */
#define NR_PAGES	1000UL

/* Pages of secret memory, which are locked: of these one may have few. */
#define NR_SECRETS	4UL

/* Of an entry of /proc/self/pagemap. */
#define PAGEMAP_PFN	0x007fffffffffffffULL
#define PAGEMAP_SWAP	0x4000000000000000ULL
#define PAGEMAP_PRESENT	0x8000000000000000ULL

/* Where device 2's memory is, device 3's follows: coherent memory. */
#define FIRST_COHERENT	2

static unsigned long page_size;

static uint64_t *page_at(void *memory, unsigned long page)
{
	return memory + page * page_size;
}

static uint64_t pattern(unsigned long page)
{
	return 0x9e3779b97f4a7c15ULL * (page + 1);
}

/* Maps memory of our own and writes a word to each page, its number's. */
static void *map_pattern(unsigned long npages)
{
	void *memory = mmap(NULL, npages * page_size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned long i;

	if (memory == MAP_FAILED) {
		problem("there is no memory for %lu pages", npages);
		return NULL;
	}
	for (i = 0; i < npages; i++)
		*page_at(memory, i) = pattern(i);
	return memory;
}

/* Returns the first page that is not as it was written, or @npages. */
static unsigned long first_bad(void *memory, unsigned long npages)
{
	unsigned long i;

	for (i = 0; i < npages; i++)
		if (*page_at(memory, i) != pattern(i))
			break;
	return i;
}

static void check_pattern(void *memory, unsigned long npages, const char *step)
{
	unsigned long bad = first_bad(memory, npages);

	if (bad < npages)
		problem("page %lu at %p of %lu: got %#llx wanted %#llx %s", bad,
			page_at(memory, bad), npages,
			(unsigned long long)*page_at(memory, bad),
			(unsigned long long)pattern(bad), step);
}

/* One ioctl of the driver's about a range. */
static void command(int fd, unsigned long cmd, const char *name, void *memory,
		    unsigned long npages)
{
	struct hmm_dmirror_cmd args = {
		.addr = (uintptr_t)memory,
		.npages = npages,
	};
	void *copy = malloc(npages * page_size);

	args.ptr = (uintptr_t)copy;
	if (!copy) {
		problem("there is no memory for the results of %s", name);
		return;
	}
	if (ioctl(fd, cmd, &args))
		problem("%s of %lu pages: %s", name, npages, strerror(errno));
	else if (args.cpages != npages)
		problem("%s: got %llu pages wanted %lu", name,
			(unsigned long long)args.cpages, npages);
	else
		check_pattern(copy, npages, "in what the device has read");
	free(copy);
}

/* Returns the entry of the page tables for an address; 0 if unknown. */
static uint64_t pagemap_entry(const void *address)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	off_t at = (uintptr_t)address / page_size * sizeof(uint64_t);
	uint64_t entry = 0;

	if (fd < 0 || pread(fd, &entry, sizeof(entry), at) != sizeof(entry))
		problem("/proc/self/pagemap cannot be read: %s",
			strerror(errno));
	if (fd >= 0)
		close(fd);
	return entry;
}

static unsigned long physical(const void *address)
{
	uint64_t entry = pagemap_entry(address);

	return entry & PAGEMAP_PRESENT ? (entry & PAGEMAP_PFN) * page_size : 0;
}

/* Where the CPU cannot reach the device's memory the page counts as swapped. */
static bool is_out(const struct life *life, const void *address)
{
	const struct place *place;

	if (life->device < FIRST_COHERENT)
		return pagemap_entry(address) & PAGEMAP_SWAP;
	place = &life->places[life->device - FIRST_COHERENT];
	return physical(address) >= place->from &&
	       physical(address) <= place->to;
}

static void check_out(const struct life *life, void *memory, bool want,
		      const char *step)
{
	unsigned long i, out = 0;

	for (i = 0; i < NR_PAGES; i++)
		out += is_out(life, page_at(memory, i));
	if (out != (want ? NR_PAGES : 0))
		problem("%lu of %lu pages are on the device %s, wanted %s", out,
			NR_PAGES, step, want ? "all" : "none");
}

static void check_refused(const struct module *module, const char *step)
{
	int error = try_unload(module);

	if (error != EWOULDBLOCK)
		problem("unloading %s: got \"%s\" wanted \"%s\"", step,
			error ? strerror(error) : "gone",
			strerror(EWOULDBLOCK));
}

/* Whoever has a file of it, or a mapping, keeps the module. */
static void be_open(const struct life *life, const struct module *module)
{
	int fd = open_node(life->device);
	void *memory = map_pattern(1), *mapped;

	if (fd < 0 || !memory) {
		problem("no file: %s", fd < 0 ? strerror(-fd) : "no memory");
		if (fd >= 0)
			close(fd);
		return;
	}
	mapped = mmap(NULL, page_size, PROT_READ, MAP_SHARED, fd, 0);
	if (mapped == MAP_FAILED)
		problem("no mapping of the device: %s", strerror(errno));
	check_refused(module, "with a file open");
	command(fd, HMM_DMIRROR_READ, "READ", memory, 1);
	close(fd);
	check_refused(module, "with a mapping of the device");
	if (mapped != MAP_FAILED)
		munmap(mapped, page_size);
	munmap(memory, page_size);
}

/**
 * struct reader - a process that reads while the driver ends
 * @go: it may begin
 * @stop: it may end
 * @passes: how often it has read everything
 * @bad: the first page that was wrong, or NR_PAGES
 */
struct reader {
	atomic_bool	go;
	atomic_bool	stop;
	atomic_ulong	passes;
	atomic_ulong	bad;
};

static pid_t start_reader(struct reader *reader, void *memory)
{
	pid_t child = fork();

	if (child)
		return child;
	while (!reader->go)
		sched_yield();
	do {
		reader->bad = first_bad(memory, NR_PAGES);
		reader->passes++;
	} while (reader->bad == NR_PAGES && !reader->stop);
	_exit(0);
}

static void end_reader(struct reader *reader, pid_t child)
{
	bool gone = false;
	int status = -1;

	while (!reader->passes && !gone) {
		gone = waitpid(child, &status, WNOHANG) == child;
		sched_yield();
	}
	reader->stop = true;
	while (!gone && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (status)
		problem("the reader ended with status %#x", status);
	if (reader->bad != NR_PAGES)
		problem("the reader found page %lu of %lu wrong in pass %lu",
			reader->bad, NR_PAGES, reader->passes);
}

/*
 * Pages are on the device, its file is closed, and two processes have them
 * when the driver ends; one of them is reading.
 */
static void leave_pages(const struct life *life, const struct module *module)
{
	struct reader *reader = mmap(NULL, page_size, PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	void *memory = map_pattern(NR_PAGES);
	int fd = open_node(life->device);
	pid_t child;

	if (fd < 0 || !memory || reader == MAP_FAILED) {
		problem("no file: %s", fd < 0 ? strerror(-fd) : "no memory");
		if (fd >= 0)
			close(fd);
		unload(module);
		return;
	}
	command(fd, HMM_DMIRROR_MIGRATE_TO_DEV, "MIGRATE_TO_DEV", memory,
		NR_PAGES);
	close(fd);
	child = start_reader(reader, memory);
	check_out(life, memory, true, "with the file closed");
	reader->go = true;
	unload(module);
	if (child < 0)
		problem("there is no reader: %s", strerror(errno));
	else
		end_reader(reader, child);
	check_out(life, memory, false, "with the driver gone");
	check_pattern(memory, NR_PAGES, "with the driver gone");
	munmap(memory, NR_PAGES * page_size);
	munmap(reader, page_size);
}

/* Each coherent device has its pages where it was told to have them. */
static void find_places(const struct life *life, const struct module *module)
{
	unsigned int i;

	(void)module;
	for (i = 0; i < life->nplaces; i++) {
		const struct place *place = &life->places[i];
		void *memory = map_pattern(1);
		int fd = open_node(FIRST_COHERENT + i);
		unsigned long at;

		if (fd < 0 || !memory) {
			problem("no file of device %u: %s", FIRST_COHERENT + i,
				fd < 0 ? strerror(-fd) : "no memory");
			continue;
		}
		command(fd, HMM_DMIRROR_MIGRATE_TO_DEV, "MIGRATE_TO_DEV",
			memory, 1);
		at = physical(memory);
		if (at < place->from || at > place->to)
			problem("device %u has a page at %#lx, wanted [%#lx,%#lx]",
				FIRST_COHERENT + i, at, place->from,
				place->to);
		munmap(memory, page_size);
		close(fd);
	}
}

/* One ioctl of the driver's about memory that it must not touch. */
static void refused(int fd, unsigned long cmd, const char *name, void *memory,
		    void *copy, int error)
{
	struct hmm_dmirror_cmd args = {
		.addr = (uintptr_t)memory,
		.ptr = (uintptr_t)copy,
		.npages = NR_SECRETS,
	};

	if (!ioctl(fd, cmd, &args))
		problem("%s of secret memory: got success wanted \"%s\"", name,
			strerror(error));
	else if (errno != error)
		problem("%s of secret memory: got \"%s\" wanted \"%s\"",
			name, strerror(errno), strerror(error));
}

/*
 * The kernel has no mapping of what memfd_secret(2) gives: a driver that copies
 * such a page dies with its locks held.
 */
static void look_at_secrets(const struct life *life,
			    const struct module *module)
{
	size_t size = NR_SECRETS * page_size;
	int secret = syscall(SYS_memfd_secret, 0), fd = open_node(life->device);
	void *copy = map_pattern(NR_SECRETS), *memory = MAP_FAILED;
	unsigned long i;

	(void)module;
	if (secret >= 0 && !ftruncate(secret, size))
		memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
			      secret, 0);
	if (fd < 0 || !copy || memory == MAP_FAILED) {
		problem("no file of the device, or no secret memory: %s",
			strerror(fd < 0 ? -fd : errno));
		goto out_close;
	}
	for (i = 0; i < NR_SECRETS; i++)
		*page_at(memory, i) = pattern(i);
	refused(fd, HMM_DMIRROR_READ, "READ", memory, copy, EFAULT);
	refused(fd, HMM_DMIRROR_WRITE, "WRITE", memory, copy, EFAULT);
	refused(fd, HMM_DMIRROR_MIGRATE_TO_DEV, "MIGRATE_TO_DEV", memory, copy,
		ENOENT);
	check_pattern(memory, NR_SECRETS, "in secret memory");
	munmap(memory, size);
out_close:
	if (copy)
		munmap(copy, size);
	if (secret >= 0)
		close(secret);
	if (fd >= 0)
		close(fd);
}

/* What can be done with a driver that is loaded. */
static const struct deed {
	const char	*word;
	void		(*carry_out)(const struct life *life,
				     const struct module *module);
	bool		unloads;
} deeds[] = {
	{ "open", be_open, false },
	{ "pages", leave_pages, true },
	{ "places", find_places, false },
	{ "secrets", look_at_secrets, false },
};

/* Returns the deed of a case; NULL for none. */
static const struct deed *find_deed(const struct life *life)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(deeds); i++)
		if (!strcmp(deeds[i].word, life->deed))
			return &deeds[i];
	if (life->deed[0])
		problem("\"%s\" is no deed", life->deed);
	return NULL;
}

/* Loads it as the case says; returns whether it is there. */
static bool load_for(const struct life *life, const struct module *module)
{
	int error;

	if (!life->fails)
		return load(module, life->params);
	error = try_load(module, life->params);
	if (error == life->fails)
		return false;
	problem("loading with %s: got \"%s\" wanted \"%s\"", life->params,
		error ? strerror(error) : "loaded", strerror(life->fails));
	return !error;
}

static void run_life(const struct life *life, const struct module *module)
{
	const struct deed *deed = find_deed(life);
	struct traces *before = read_traces();

	if (!module || load_for(life, module)) {
		check_nodes(life->nodes);
		if (deed)
			deed->carry_out(life, module);
		if (module && !(deed && deed->unloads))
			unload(module);
	}
	if (module)
		compare_traces(before);
	/* Whatever it was, it works again, as if nothing had been. */
	if (module && load(module, module->params))
		unload(module);
	if (module)
		compare_traces(before);
	free_traces(before);
}

void run_lives(const struct plan *plan)
{
	const struct module *module = NULL;
	unsigned int i;

	page_size = sysconf(_SC_PAGESIZE);
	if (plan->nmodules)
		module = &plan->modules[plan->nmodules - 1];
	for (i = 0; i < plan->nlives; i++) {
		begin_case(plan->lives[i].name);
		run_life(&plan->lives[i], module);
		end_case(plan->lives[i].name);
	}
}
