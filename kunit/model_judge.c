// SPDX-License-Identifier: GPL-2.0
#include "model_judge.h"

#include <linux/highmem.h>
#include <linux/hmm.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/string.h>

#include "../drivers/dmirror/devmem.h"
#include "../drivers/dmirror/mm.h"
#include "../drivers/dmirror/snapshot.h"
#include "../drivers/dmirror/uapi.h"
#include "mirror_fixture.h"
#include "model_exec.h"
#include "private_devmem.h"

/* How often a look is repeated when something moved meanwhile. */
#define LOOKS 100

/* Which bits of a snapshot's byte say where a page is. */
#define PLACE_BITS 0x70

/**
 * struct look - at one mm
 * @env: the environment
 * @mm: number of the mm
 * @side: the mm and its mirrors
 * @verdict: filled in if something is wrong
 */
struct look {
	struct model_env *env;
	unsigned int mm;
	struct model_side *side;
	struct model_verdict *verdict;
};

/* A mirror by which to see a device's own private pages. */
static struct dmirror_mirror *mirror_of_device(const struct model_side *side,
					       unsigned int device)
{
	return side->mirror[device ? MODEL_MIRRORS - 1 : 0];
}

__printf(4, 5)
static void complain(const struct look *look, unsigned int page,
		     const char *check, const char *fmt, ...)
{
	va_list args;
	char text[120];

	if (look->verdict->check)
		return;
	va_start(args, fmt);
	vscnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	model_complain(look->verdict, check, "%spage %u at 0x%lx: %s",
		       look->mm ? "child's " : "", page,
		       model_address(look->env, page), text);
}

static const char *describe_stamp(u64 stamp, char *buf, size_t size)
{
	if (stamp)
		scnprintf(buf, size, "0x%llx (%sstep %u, page %u)", stamp,
			  stamp & BIT(31) ? "child's " : "",
			  (u32)(stamp >> 32) - 1, (u32)stamp & 0xffff);
	else
		scnprintf(buf, size, "zeroes");

	return buf;
}

/* Every word of a page is the same; a look at all pages of many takes some. */
static u64 unlike(const u64 *words, u64 stamp, unsigned int words_apart)
{
	unsigned int i;

	for (i = 0; i < PAGE_SIZE / sizeof(u64); i += words_apart)
		if (words[i] != stamp)
			return words[i];

	return words[PAGE_SIZE / sizeof(u64) - 1];
}

static void judge_content(const struct look *look, unsigned int i,
			  const u64 *words, unsigned int words_apart,
			  const char *check)
{
	struct model_page *page = &look->env->model.pages[look->mm][i];
	u64 got = unlike(words, page->stamp, words_apart);
	char buf[2][48];

	if (got == page->stamp)
		return;
	if (page->lazy && !unlike(words, 0, words_apart)) {
		page->lazy = false;
		page->stamp = 0;
		return;
	}
	complain(look, i, check, "got %s wanted %s",
		 describe_stamp(got, buf[0], sizeof(buf[0])),
		 describe_stamp(page->stamp, buf[1], sizeof(buf[1])));
}

void model_judge_data(struct model_env *env, const struct model_op *op,
		      unsigned int nr, struct model_verdict *verdict)
{
	struct look look = {
		.env = env,
		.mm = op->child,
		.side = &env->side[op->child],
		.verdict = verdict,
	};
	unsigned int i;

	for (i = 0; i < nr; i++)
		judge_content(&look, op->page + i,
			      env->data + ((size_t)i << PAGE_SHIFT), 1,
			      "contents read");
}

static int walk_cpu(const struct look *look, unsigned int device)
{
	struct dmirror_mirror *mirror = mirror_of_device(look->side, device);
	unsigned int npages = look->env->config.npages;
	struct hmm_range range = {
		.notifier = &mirror->notifier,
		.notifier_seq = mmu_interval_read_begin(&mirror->notifier),
		.start = look->env->base,
		.end = model_address(look->env, npages),
		.hmm_pfns = look->env->pfns[device],
		.dev_private_owner = look->env->devmem[device],
	};
	int ret;

	memset(range.hmm_pfns, 0, npages * sizeof(*range.hmm_pfns));
	mmap_read_lock(look->side->mm);
	ret = hmm_range_fault(&range);
	mmap_read_unlock(look->side->mm);

	return ret;
}

static int take_look(const struct look *look)
{
	struct model_env *env = look->env;
	unsigned int device, i;
	int ret;

	for (device = 0; device < MODEL_DEVICES; device++) {
		struct dmirror_mirror *mirror =
			mirror_of_device(look->side, device);
		unsigned long done;

		ret = dmirror_snapshot(mirror, env->base, env->config.npages,
				       env->bytes[device], &done,
				       DMIRROR_FAULT_TIMEOUT_MS);
		for (i = 0; i < LOOKS && !ret; i++) {
			ret = walk_cpu(look, device);
			if (ret != -EBUSY)
				break;
			ret = 0;
		}
		if (ret || i == LOOKS)
			return ret ?: -EBUSY;
	}

	return 0;
}

/*
 * The page at @i, by the walk that sees it. What is mapped as one large folio
 * is aligned in both address spaces, and the entry may be of another page of it
 * (kernel-bugs.rst: a range inside a large device folio).
 */
static struct page *page_at(const struct look *look, unsigned int i)
{
	unsigned long vpn = model_address(look->env, i) >> PAGE_SHIFT;
	unsigned int device;

	for (device = 0; device < MODEL_DEVICES; device++) {
		unsigned long pfn = look->env->pfns[device][i];
		unsigned long nr = 1UL << hmm_pfn_to_map_order(pfn);
		struct page *page;

		if (!(pfn & HMM_PFN_VALID))
			continue;
		page = hmm_pfn_to_page(pfn);
		if (nr == 1 || folio_nr_pages(page_folio(page)) != nr)
			return page;

		return folio_page(page_folio(page), vpn & (nr - 1));
	}

	return NULL;
}

/* Where its bytes are. */
static struct page *storage_of(struct page *page)
{
	return is_device_private_page(page) ? dmirror_devmem_backing(page) :
					      page;
}

/* What the two snapshots together say; 0 if nothing is visible. */
static u8 place_at(const struct look *look, unsigned int i)
{
	u8 first = look->env->bytes[0][i], second = look->env->bytes[1][i];

	switch (first & PLACE_BITS) {
	case HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL:
	case HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL:
		return MODEL_DEVICE;
	case HMM_DMIRROR_PROT_DEV_COHERENT_REMOTE:
		return MODEL_DEVICE << 1;
	case HMM_DMIRROR_PROT_ZERO:
		return MODEL_ZERO;
	}
	if (first != HMM_DMIRROR_PROT_ERROR &&
	    first & (HMM_DMIRROR_PROT_READ | HMM_DMIRROR_PROT_WRITE))
		return MODEL_SYSTEM;
	if (second != HMM_DMIRROR_PROT_ERROR &&
	    (second & PLACE_BITS) == HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL)
		return MODEL_DEVICE << 1;

	return 0;
}

static bool is_error(const struct look *look, unsigned int i)
{
	return look->env->bytes[0][i] == HMM_DMIRROR_PROT_ERROR &&
	       look->env->bytes[1][i] == HMM_DMIRROR_PROT_ERROR;
}

static const char *describe_places(u8 places, char *buf, size_t size)
{
	static const char * const names[] = {
		"nothing", "zero page", "system", "exclusive", "device 0",
		"device 1",
	};
	unsigned int i;
	size_t at = 0;

	buf[0] = 0;
	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (places & BIT(i))
			at += scnprintf(buf + at, size - at, "%s%s",
					at ? " or " : "", names[i]);

	return buf;
}

static void judge_place(const struct look *look, unsigned int i)
{
	struct model_page *page = &look->env->model.pages[look->mm][i];
	const u8 hidden = MODEL_NONE | MODEL_EXCLUSIVE_PAGE;
	u8 place = place_at(look, i);
	char buf[2][64];

	/* Reclaim drops it when it likes, also where nobody sees it. */
	if (page->lazy)
		page->places |= MODEL_NONE;
	if (!page->mapped || page->prot == MODEL_PROT_NONE) {
		if (!is_error(look, i))
			complain(look, i, "access", "got 0x%02x for %s",
				 look->env->bytes[0][i],
				 page->mapped ? "PROT_NONE" : "no mapping");
		return;
	}
	if (!place)
		place = hidden;
	if (!(page->places & place))
		complain(look, i, "place", "got %s wanted %s",
			 describe_places(place, buf[0], sizeof(buf[0])),
			 describe_places(page->places, buf[1],
					 sizeof(buf[1])));
	page->places &= place;
}

static void judge_permission(const struct look *look, unsigned int i)
{
	struct model_page *page = &look->env->model.pages[look->mm][i];
	u8 bytes = 0;
	unsigned int device;

	for (device = 0; device < MODEL_DEVICES; device++)
		if (look->env->bytes[device][i] != HMM_DMIRROR_PROT_ERROR)
			bytes |= look->env->bytes[device][i];
	page->writable = bytes & HMM_DMIRROR_PROT_WRITE;
	if (!page->writable)
		return;
	if (page->prot < MODEL_PROT_WRITE)
		complain(look, i, "permission",
			 "writable, the mapping is read-only");
	else if (page->peer && !page->peer_unsure)
		complain(look, i, "copy-on-write",
			 "writable, and %spage %u shares it",
			 look->mm ? "" : "the child's ", page->peer - 1);
}

/* Only device pages are at rest for certain: the LRU has no hold on them. */
static void judge_rest(const struct look *look, unsigned int i,
		       struct page *cpu_page)
{
	struct folio *folio = page_folio(cpu_page);

	if (folio_test_locked(folio))
		complain(look, i, "at rest", "the folio is locked");
	if (folio_is_device_private(folio) && !folio_test_large(folio) &&
	    folio_ref_count(folio) != folio_mapcount(folio))
		complain(look, i, "at rest", "%d references, %d mappings",
			 folio_ref_count(folio), folio_mapcount(folio));
}

static void peek(const struct look *look, unsigned int i,
		 struct page *cpu_page)
{
	unsigned int apart = model_is_lax(&look->env->config) ? 128 : 1;
	const void *words;

	words = kmap_local_page(storage_of(cpu_page));
	judge_content(look, i, words, apart, "contents");
	kunmap_local(words);
}

/* Of one mirror: what it maps the CPU maps too, and may do as much with. */
static void judge_entry(const struct look *look, unsigned int nr,
			unsigned int i, struct page *entry, bool write,
			bool exclusive)
{
	struct model_page *page = &look->env->model.pages[look->mm][i];
	struct page *cpu_page = look->env->mapped[look->mm][i];
	struct page *storage = NULL;

	if (cpu_page)
		storage = storage_of(cpu_page);

	if (exclusive && page->exclusive != nr + 1)
		complain(look, i, "exclusive", "mirror %u has it", nr);
	if (!exclusive && page->exclusive == nr + 1 && page->exclusive_sure)
		complain(look, i, "exclusive", "mirror %u lost it", nr);
	if (!exclusive && page->exclusive == nr + 1)
		page->exclusive = 0;
	if (exclusive && cpu_page)
		complain(look, i, "exclusive",
			 "mirror %u has it, and the CPU as well", nr);
	/*
	 * The mirror's own wish for the page left its entry alone, and then
	 * something failed: the entry is true, and goes with the wish.
	 */
	if (entry && !cpu_page && page->places & MODEL_EXCLUSIVE_PAGE &&
	    (exclusive || page->claimant == nr + 1)) {
		peek(look, i, entry);
		return;
	}
	if (entry && entry != storage)
		complain(look, i, "mirror entry",
			 "mirror %u uses pfn 0x%lx, the CPU 0x%lx", nr,
			 page_to_pfn(entry),
			 storage ? page_to_pfn(storage) : 0);
	if (write && !page->writable)
		complain(look, i, "mirror entry",
			 "mirror %u may write, the CPU may not", nr);
}

static void judge_mirror(const struct look *look, unsigned int nr)
{
	struct dmirror_mirror *mirror = look->side->mirror[nr];
	struct dmirror_pt *pt = &mirror->pt;
	unsigned int i;

	mutex_lock(&pt->lock);
	for (i = 0; i < look->env->config.npages; i++) {
		unsigned long vpn = model_address(look->env, i) >> PAGE_SHIFT;

		judge_entry(look, nr, i,
			    dmirror_pt_lookup(pt, vpn, DMIRROR_PERM_READ),
			    dmirror_pt_lookup(pt, vpn, DMIRROR_PERM_WRITE),
			    dmirror_pt_lookup(pt, vpn, DMIRROR_PERM_EXCLUSIVE));
	}
	mutex_unlock(&pt->lock);
}

/* How many pages of a kind the mm has; -1 if some are hidden. */
static long count(const struct look *look, u8 places)
{
	unsigned int i;
	long nr = 0;

	for (i = 0; i < look->env->config.npages; i++) {
		const struct model_page *page =
			&look->env->model.pages[look->mm][i];

		/* Reclaim may have dropped it. */
		if (page->mapped && page->lazy)
			return -1;
		/* It may be in coherent memory. */
		if (look->env->config.coherent && !(places & MODEL_SYSTEM) &&
		    page->mapped && page->places & MODEL_EXCLUSIVE_PAGE)
			return -1;
		if (!page->mapped || !(page->places & places))
			continue;
		if (page->places & ~places)
			return -1;
		nr++;
	}

	return nr;
}

static void judge_counter(const struct look *look)
{
	long want = count(look, (u8)~(MODEL_NONE | MODEL_ZERO));
	long got = get_mm_counter_sum(look->side->mm, MM_ANONPAGES);

	if (want >= 0 && got != want && !model_is_lax(&look->env->config))
		model_complain(look->verdict, "counter",
			       "%s mm has %ld anonymous pages, wanted %ld",
			       look->mm ? "the child's" : "the", got, want);
}

static void judge_pages(const struct look *look)
{
	struct model_env *env = look->env;
	unsigned int i;
	int ret = take_look(look);

	if (ret)
		model_complain(look->verdict, "look", "%s", dmirror_errno(ret));
	for (i = 0; i < env->config.npages && !look->verdict->check; i++) {
		struct page *cpu_page = page_at(look, i);

		env->mapped[look->mm][i] = cpu_page;
		judge_place(look, i);
		judge_permission(look, i);
		if (!cpu_page)
			continue;
		judge_rest(look, i, cpu_page);
		peek(look, i, cpu_page);
	}
	for (i = 0; i < MODEL_MIRRORS && !look->verdict->check; i++)
		judge_mirror(look, i);
	if (!look->verdict->check)
		judge_counter(look);
}

/* Something moved meanwhile, which only khugepaged and reclaim can make. */
static bool has_moved(struct dmirror_mirror *mirror, unsigned long seq)
{
	bool moved;

	mutex_lock(&mirror->pt.lock);
	moved = mmu_interval_read_retry(&mirror->notifier, seq);
	mutex_unlock(&mirror->pt.lock);

	return moved;
}

static void judge_mm(const struct look *look)
{
	struct dmirror_mirror *mirror = look->side->mirror[0];
	unsigned int looks;

	for (looks = 0; looks < LOOKS; looks++) {
		unsigned long seq = mmu_interval_read_begin(&mirror->notifier);

		look->verdict->check = NULL;
		judge_pages(look);
		if (!look->verdict->check || !has_moved(mirror, seq))
			break;
	}
}

/* A page that both mms map is one page. */
static long shared(const struct model_env *env, u8 places)
{
	const unsigned int npages = env->config.npages;
	unsigned int i, k;
	long nr = 0;

	for (i = 0; env->model.child && i < npages; i++) {
		struct page *page = env->mapped[0][i];

		if (!page || !(env->model.pages[0][i].places & places))
			continue;
		for (k = 0; k < npages; k++)
			nr += env->mapped[1][k] == page;
	}

	return nr;
}

static void judge_books(struct model_env *env, struct model_verdict *verdict)
{
	struct look look = { .env = env };
	unsigned int device;

	if (model_is_lax(&env->config))
		return;
	for (device = 0; device < MODEL_DEVICES; device++) {
		u8 places = MODEL_DEVICE << device;
		struct dmirror_devmem_stats stats;
		long nr[MODEL_MMS] = { };
		unsigned long want, out;

		for (look.mm = 0; look.mm <= env->model.child; look.mm++)
			nr[look.mm] = count(&look, places);
		dmirror_devmem_stats(env->devmem[device], &stats);
		out = stats.total - stats.free;
		want = nr[0] + nr[1] - shared(env, places);
		if (nr[0] >= 0 && nr[1] >= 0 && out != want)
			model_complain(verdict, "books",
				       "device %u has %lu pages out, wanted %lu",
				       device, out, want);
	}
}

/* Pages that no one can see are counted twice: nothing is said of them. */
static bool any_hidden(const struct model_env *env)
{
	unsigned int i, mm;

	for (mm = 0; mm <= env->model.child; mm++)
		for (i = 0; i < env->config.npages; i++)
			if (env->model.pages[mm][i].mapped &&
			    !env->model.pages[mm][i].prot)
				return true;

	return false;
}

void model_judge(struct model_env *env, struct model_verdict *verdict)
{
	unsigned int mm;

	for (mm = 0; mm <= env->model.child && !verdict->check; mm++) {
		const struct look look = {
			.env = env,
			.mm = mm,
			.side = &env->side[mm],
			.verdict = verdict,
		};

		judge_mm(&look);
	}
	if (!verdict->check && !any_hidden(env))
		judge_books(env, verdict);
}

void model_judge_moved(struct model_env *env, const struct model_op *op,
		       unsigned long nr, struct model_verdict *verdict)
{
	u8 device = MODEL_DEVICE << model_device(op->mirror);
	bool to_dev = op->kind == MODEL_TO_DEV;
	unsigned long moved = 0;
	unsigned int i;

	if (model_is_lax(&env->config))
		return;
	for (i = 0; i < op->nr; i++) {
		u8 is = env->model.pages[op->child][op->page + i].places;
		u8 was = env->was[i];

		moved += (to_dev ? is : was) == device &&
			 !((to_dev ? was : is) & device);
	}
	if (moved != nr)
		model_complain(verdict, "pages moved", "told %lu, but it was %lu",
			       nr, moved);
}

void model_judge_end(struct model_env *env, struct model_verdict *verdict)
{
	struct mm_struct *mm = env->side[0].mm;
	unsigned int device;
	long left;

	for (device = 0; device < MODEL_DEVICES; device++) {
		unsigned long out = dmirror_pages_out(env->devmem[device]);

		if (out)
			model_complain(verdict, "end",
				       "device %u has %lu pages out, wanted 0",
				       device, out);
	}
	left = get_mm_counter_sum(mm, MM_ANONPAGES);
	if (left)
		model_complain(verdict, "end",
			       "the mm has %ld anonymous pages, wanted 0",
			       left);
}
