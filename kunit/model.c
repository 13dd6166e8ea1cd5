// SPDX-License-Identifier: GPL-2.0
/* The shadow: what each operation does to what is known of a page. */
#include "model.h"

#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/stdarg.h>
#include <linux/string.h>

#include "fixture.h"

#define ALL_DEVICES (MODEL_DEVICE | MODEL_DEVICE << 1)

void model_complain(struct model_verdict *verdict, const char *check,
		    const char *fmt, ...)
{
	va_list args;

	if (verdict->check)
		return;

	verdict->check = check;
	va_start(args, fmt);
	vscnprintf(verdict->text, sizeof(verdict->text), fmt, args);
	va_end(args);
}

static struct model_page *page_of(const struct model *model,
				  const struct model_op *op, unsigned int i)
{
	return &model->pages[op->child][op->page + i];
}

static void part(const struct model *model, unsigned int mm,
		 struct model_page *page)
{
	if (page->peer) {
		model->pages[!mm][page->peer - 1].peer = 0;
		model->pages[!mm][page->peer - 1].peer_unsure = false;
	}
	page->peer = 0;
	page->peer_unsure = false;
}

/* An access that failed may have made the copy already. */
static void perhaps_part(const struct model *model, unsigned int mm,
			 struct model_page *page)
{
	if (!page->peer)
		return;
	model->pages[!mm][page->peer - 1].peer_unsure = true;
	page->peer_unsure = true;
}

static void renew(const struct model *model, unsigned int mm,
		  struct model_page *page, bool mapped, enum model_prot prot)
{
	part(model, mm, page);
	*page = (struct model_page){
		.mapped = mapped, .prot = prot, .places = MODEL_NONE,
	};
}

void model_start(struct model *model)
{
	unsigned int i, mm;

	model->child = false;
	for (mm = 0; mm < MODEL_MMS; mm++)
		for (i = 0; i < model->config->npages; i++) {
			model->pages[mm][i].peer = 0;
			model->pages[mm][i].peer_unsure = false;
			renew(model, mm, &model->pages[mm][i], true,
			      MODEL_PROT_WRITE);
		}
}

bool model_is_idle(const struct model *model, const struct model_op *op)
{
	unsigned int apart;

	if (model->config->avoid_shared_large && model->child &&
	    op->kind >= MODEL_TO_DEV && op->kind <= MODEL_EVICT)
		return true;

	switch (op->kind) {
	case MODEL_FORK:
		return model->child;
	case MODEL_EXIT:
		return !model->child;
	case MODEL_REMAP:
		apart = abs_diff(op->page, op->to);
		return apart < op->nr || (op->child && !model->child);
	case MODEL_FREE:
	case MODEL_PAGEOUT:
		if (!model->config->lazy_free)
			return true;
		break;
	case MODEL_COLLAPSE:
	case MODEL_SPLIT:
		if (!model_is_lax(model->config))
			return true;
		break;
	default:
		break;
	}

	return op->child && !model->child;
}

unsigned int model_run(const struct model *model, const struct model_op *op,
		       enum model_prot prot)
{
	unsigned int i;

	for (i = 0; i < op->nr; i++) {
		const struct model_page *page = page_of(model, op, i);

		if (!page->mapped || page->prot < prot)
			break;
	}

	return i;
}

static bool fails_on_purpose(const struct model_op *op)
{
	return op->fail != MODEL_NO_FAILURE;
}

/* A page moved, or may have: so did the other mm's, if it is the same one. */
static void move(const struct model *model, const struct model_op *op,
		 struct model_page *page, u8 places)
{
	if (page->peer)
		model->pages[!op->child][page->peer - 1].places |= places;
	page->places = places;
}

/* A coherent page that a device has for itself stays where it is. */
static u8 back_from_exclusive(const struct model *model)
{
	return model->config->coherent ? MODEL_SYSTEM | ALL_DEVICES :
					 MODEL_SYSTEM;
}

/* Where a page is after the CPU read it. */
static u8 after_cpu_read(const struct model *model, u8 places)
{
	u8 after = places & (MODEL_ZERO | MODEL_SYSTEM);

	if (places & MODEL_NONE)
		after |= MODEL_ZERO | MODEL_SYSTEM;
	if (places & MODEL_EXCLUSIVE_PAGE)
		after |= back_from_exclusive(model);
	if (places & ALL_DEVICES)
		after |= model->config->coherent ? places & ALL_DEVICES :
						   MODEL_SYSTEM;

	return after;
}

/* Where a page is after the CPU wrote to it. */
static u8 after_cpu_write(const struct model *model,
			  const struct model_page *page)
{
	u8 after = MODEL_SYSTEM;

	if (page->places & MODEL_EXCLUSIVE_PAGE)
		after |= back_from_exclusive(model);
	if (!model->config->coherent || !(page->places & ALL_DEVICES))
		return after;

	after |= page->places & ALL_DEVICES;
	/* No reason to copy it. */
	if (page->writable)
		after &= ~MODEL_SYSTEM;

	return after;
}

/* Is every page of the range in the device's own memory, and ready for use? */
static bool all_own(const struct model *model, const struct model_op *op,
		    bool write)
{
	u8 own = MODEL_DEVICE << model_device(op->mirror);
	unsigned int i;

	for (i = 0; i < op->nr; i++) {
		const struct model_page *page = page_of(model, op, i);

		if (page->places != own || (write && !page->writable))
			return false;
	}

	return true;
}

/*
 * Where a page is after a device used it. That a page of its own memory comes
 * home because one before it in the range had to be faulted in is a defect of
 * hmm_range_fault(), of which kernel-bugs.rst tells.
 */
static u8 after_device(const struct model *model, const struct model_op *op,
		       const struct model_page *page, bool write)
{
	u8 own = MODEL_DEVICE << model_device(op->mirror);
	u8 after = write ? after_cpu_write(model, page) :
			   after_cpu_read(model, page->places);

	/* An entry of its own is all it needs. */
	if (page->claimant == op->mirror + 1)
		after |= page->places & MODEL_EXCLUSIVE_PAGE;
	if (model->config->coherent || !(page->places & own))
		return after;

	return all_own(model, op, write) ? own : after | own;
}

static void expect_ret(struct model_verdict *verdict, int got, int want)
{
	if (got != want)
		model_complain(verdict, "errno", "got %s wanted %s",
			       dmirror_errno(got), dmirror_errno(want));
}

static void expect_done(struct model_verdict *verdict, unsigned long got,
			unsigned long want)
{
	if (got != want)
		model_complain(verdict, "pages done", "got %lu wanted %lu", got,
			       want);
}

static void write_page(const struct model *model, const struct model_op *op,
		       unsigned int i)
{
	struct model_page *page = page_of(model, op, i);

	page->stamp = model_stamp(op, op->page + i);
	page->lazy = false;
	part(model, op->child, page);
}

static void apply_cpu(const struct model *model, const struct model_op *op,
		      const struct model_result *result,
		      struct model_verdict *verdict)
{
	bool write = op->kind == MODEL_CPU_WRITE;
	unsigned int i, want, touched;

	want = model_run(model, op, write ? MODEL_PROT_WRITE : MODEL_PROT_READ);
	touched = max_t(unsigned int, want, result->done);
	/* Then a page is read before it is written to, also when it fails. */
	if (write && model->config->lax_cpu)
		touched = min_t(unsigned int, touched + 1, op->nr);
	/* At most one page fails of a failure's own: the access ends there. */
	if (!fails_on_purpose(op) && !(model->config->lax_cpu && !write)) {
		expect_done(verdict, result->done, want);
		expect_ret(verdict, result->ret, want < op->nr ? -EFAULT : 0);
	} else if (result->done < want && !fails_on_purpose(op)) {
		expect_done(verdict, result->done, want);
	}

	for (i = 0; i < touched; i++) {
		struct model_page *page = page_of(model, op, i);
		bool sure = i < result->done;
		u8 after = write ? after_cpu_write(model, page) :
				   after_cpu_read(model, page->places);

		if (!page->mapped || page->prot < MODEL_PROT_READ)
			continue;
		if (!sure)
			after |= page->places |
				 after_cpu_read(model, page->places);
		move(model, op, page, after);
		if (sure)
			page->exclusive = 0;
		if (write && sure)
			write_page(model, op, i);
		else if (write)
			perhaps_part(model, op->child, page);
	}
}

/* Any page of the range may be the one that is told. */
static void expect_device_error(const struct model *model,
				const struct model_op *op, int ret, bool write,
				struct model_verdict *verdict)
{
	unsigned int i;

	if (fails_on_purpose(op) &&
	    (ret == -ENOMEM || ret == -EFAULT || ret == -EBUSY))
		return;
	for (i = 0; i < op->nr; i++) {
		const struct model_page *page = page_of(model, op, i);

		if (!page->mapped || page->prot < MODEL_PROT_READ) {
			if (ret == -EFAULT)
				return;
		} else if (write && page->prot < MODEL_PROT_WRITE) {
			if (ret == -EPERM)
				return;
		}
	}
	model_complain(verdict, "errno", "got %s, which no page is good for",
		       dmirror_errno(ret));
}

static void apply_device(const struct model *model, const struct model_op *op,
			 const struct model_result *result,
			 struct model_verdict *verdict)
{
	bool write = op->kind == MODEL_DEV_WRITE;
	unsigned int i, want;

	want = model_run(model, op, write ? MODEL_PROT_WRITE : MODEL_PROT_READ);
	if (result->ret || want < op->nr)
		expect_device_error(model, op, result->ret, write, verdict);
	if (!result->ret)
		expect_done(verdict, result->done, op->nr);
	if (result->done > want)
		expect_done(verdict, result->done, want);

	/* Also after a page that is no good: a fault is for all of them. */
	for (i = 0; i < op->nr; i++) {
		struct model_page *page = page_of(model, op, i);
		bool sure = i < result->done;
		bool own = page->exclusive == op->mirror + 1;
		u8 after = after_device(model, op, page, write);

		if (!page->mapped || page->prot < MODEL_PROT_READ)
			continue;
		move(model, op, page, sure ? after : after | page->places);
		if (sure && !own)
			page->exclusive = 0;
		if (write && sure)
			write_page(model, op, i);
		else if (write && page->prot == MODEL_PROT_WRITE)
			perhaps_part(model, op->child, page);
	}
}

/* A page of which somebody holds a reference does not migrate. */
static const struct model_page *held(const struct model *model,
				     const struct model_op *op)
{
	const struct model_page *page = page_of(model, op, op->nr / 2);

	if (!op->hold || page->exclusive || !page->places ||
	    page->places & ~(MODEL_SYSTEM | ALL_DEVICES))
		return NULL;

	return page;
}

static bool is_full_excuse(const struct model *model, const struct model_op *op,
			   const struct model_result *result)
{
	/* The executor has looked at the device's books. */
	return op->kind == MODEL_TO_DEV && result->ret == -ENOSPC;
}

static void apply_migration(const struct model *model,
			    const struct model_op *op,
			    const struct model_result *result,
			    struct model_verdict *verdict)
{
	u8 device = MODEL_DEVICE << model_device(op->mirror);
	bool to_dev = op->kind == MODEL_TO_DEV;
	bool full = is_full_excuse(model, op, result);
	unsigned int i, want = model_run(model, op, MODEL_PROT_READ);
	const struct model_page *stays = held(model, op);
	bool sure = !fails_on_purpose(op) && !full;

	if (!full && !(fails_on_purpose(op) && result->ret == -ENOMEM))
		expect_ret(verdict, result->ret, want < op->nr ? -EINVAL : 0);
	for (i = 0; i < want; i++) {
		struct model_page *page = page_of(model, op, i);
		u8 from = to_dev ? MODEL_NONE | MODEL_ZERO | MODEL_SYSTEM :
				   device;
		u8 to = to_dev ? device : MODEL_SYSTEM;
		bool goes = sure && !(page->places & ~from);

		if (page == stays)
			continue;
		if (page->places & from)
			move(model, op, page, goes ? to : page->places | to);
	}
}

static void apply_evict(const struct model *model, const struct model_op *op,
			const struct model_result *result,
			struct model_verdict *verdict)
{
	u8 device = MODEL_DEVICE << model_device(op->mirror);
	const struct model_page *stays = held(model, op);
	bool sure = !fails_on_purpose(op) && !op->hold;
	unsigned int i, mm;

	if (!(fails_on_purpose(op) && result->ret == -ENOMEM) &&
	    !(op->hold && result->ret == -EBUSY) &&
	    !(fails_on_purpose(op) && result->ret == -EBUSY))
		expect_ret(verdict, result->ret, 0);
	for (mm = 0; mm < MODEL_MMS; mm++)
		for (i = 0; i < model->config->npages; i++) {
			struct model_page *page = &model->pages[mm][i];

			if (page->places & MODEL_EXCLUSIVE_PAGE)
				page->places |= back_from_exclusive(model);
			if (page == stays || !(page->places & device))
				continue;
			if (sure)
				page->places &= ~device;
			page->places |= MODEL_SYSTEM;
		}
}

static void apply_exclusive(const struct model *model,
			    const struct model_op *op,
			    const struct model_result *result,
			    struct model_verdict *verdict)
{
	unsigned int i, want = model_run(model, op, MODEL_PROT_WRITE);

	if (!fails_on_purpose(op)) {
		expect_done(verdict, result->done, want);
		expect_ret(verdict, result->ret, want < op->nr ? -EFAULT : 0);
	} else if (result->done > want) {
		expect_done(verdict, result->done, want);
	}
	for (i = 0; i < want; i++) {
		struct model_page *page = page_of(model, op, i);
		u8 after = MODEL_EXCLUSIVE_PAGE | back_from_exclusive(model);

		page->claimant = op->mirror + 1;
		/* It comes home first, for the other mm as well. */
		move(model, op, page, page->places | after);
		if (i < result->done) {
			page->exclusive = op->mirror + 1;
			/* The next page's way home may have taken it back. */
			page->exclusive_sure =
				op->nr == 1 && !model_is_lax(model->config);
			page->places = MODEL_EXCLUSIVE_PAGE;
			part(model, op->child, page);
		} else {
			perhaps_part(model, op->child, page);
		}
	}
}

static void apply_protect(const struct model *model, const struct model_op *op,
			  const struct model_result *result,
			  struct model_verdict *verdict)
{
	unsigned int i, want = model_run(model, op, MODEL_PROT_NONE);

	expect_ret(verdict, result->ret, want < op->nr ? -ENOMEM : 0);
	for (i = 0; i < want; i++) {
		struct model_page *page = page_of(model, op, i);

		if (page->prot == op->prot)
			continue;
		page->prot = op->prot;
		page->exclusive = 0;
		if (page->places & MODEL_EXCLUSIVE_PAGE)
			page->places |= back_from_exclusive(model);
	}
}

static void apply_map(const struct model *model, const struct model_op *op,
		      const struct model_result *result,
		      struct model_verdict *verdict)
{
	unsigned int i;

	expect_ret(verdict, result->ret, 0);
	for (i = 0; i < op->nr; i++)
		renew(model, op->child, page_of(model, op, i),
		      op->kind == MODEL_MAP, op->prot);
}

static void apply_remap(const struct model *model, const struct model_op *op,
			const struct model_result *result,
			struct model_verdict *verdict)
{
	bool begins = page_of(model, op, 0)->mapped;
	struct model_page *pages = model->pages[op->child];
	unsigned int i;

	expect_ret(verdict, result->ret, begins ? 0 : -EFAULT);
	for (i = 0; begins && i < op->nr; i++) {
		struct model_page *from = page_of(model, op, i);
		struct model_page *to = &pages[op->to + i];

		/* A gap moves nothing, so the destination stays there. */
		if (!from->mapped)
			continue;
		part(model, op->child, to);
		*to = *from;
		to->exclusive = 0;
		if (to->peer)
			model->pages[!op->child][to->peer - 1].peer =
				op->to + i + 1;
		from->peer = 0;
		from->peer_unsure = false;
		renew(model, op->child, from, op->keep, from->prot);
	}
}

static void apply_advice(const struct model *model, const struct model_op *op,
			 const struct model_result *result,
			 struct model_verdict *verdict)
{
	unsigned int i, mapped = 0;

	for (i = 0; i < op->nr; i++) {
		struct model_page *page = page_of(model, op, i);

		if (!page->mapped)
			continue;
		mapped++;
		if (op->kind == MODEL_DONTNEED)
			renew(model, op->child, page, true, page->prot);
		else if (op->kind == MODEL_FREE)
			page->lazy = true;
	}
	/* What does not fit the others is told in many ways. */
	if (op->kind == MODEL_DONTNEED || op->kind == MODEL_FREE)
		expect_ret(verdict, result->ret,
			   mapped < op->nr ? -ENOMEM : 0);
}

static void apply_fork(struct model *model, const struct model_result *result,
		       struct model_verdict *verdict)
{
	unsigned int i;

	expect_ret(verdict, result->ret, 0);
	if (result->ret)
		return;

	model->child = true;
	for (i = 0; i < model->config->npages; i++) {
		struct model_page *page = &model->pages[0][i];
		struct model_page *child = &model->pages[1][i];

		page->exclusive = 0;
		if (page->places & MODEL_EXCLUSIVE_PAGE)
			page->places |= back_from_exclusive(model);
		page->peer = 0;
		*child = *page;
		if (!page->mapped)
			continue;
		page->peer = i + 1;
		child->peer = i + 1;
		/* A copy of nothing, or of the zero page, need not be made. */
		page->peer_unsure = page->places & (MODEL_NONE | MODEL_ZERO);
		child->peer_unsure = page->peer_unsure;
		if (page->peer_unsure)
			child->places |= MODEL_NONE;
	}
}

static void apply_exit(struct model *model)
{
	unsigned int i;

	model->child = false;
	for (i = 0; i < model->config->npages; i++)
		renew(model, 1, &model->pages[1][i], false, MODEL_PROT_NONE);
}

/*
 * A migration looks for a page wherever it may be mapped, which takes exclusive
 * access away also from what has taken its place.
 */
static void be_unsure(const struct model *model)
{
	unsigned int i, mm;

	for (mm = 0; mm < MODEL_MMS; mm++)
		for (i = 0; i < model->config->npages; i++)
			model->pages[mm][i].exclusive_sure = false;
}

/* Of large folios nobody keeps the books: a page may be where any may be. */
static void relax(const struct model *model, const struct model_page *stays,
		  u8 stay_places)
{
	unsigned int i, mm;

	for (mm = 0; mm < MODEL_MMS; mm++)
		for (i = 0; i < model->config->npages; i++) {
			struct model_page *page = &model->pages[mm][i];

			page->places |= MODEL_SYSTEM | ALL_DEVICES;
			if (!page->stamp || page->lazy)
				page->places |= MODEL_NONE | MODEL_ZERO;
			/*
			 * A split maps the zero page for what is all zeroes,
			 * and khugepaged makes copies when it likes.
			 */
			perhaps_part(model, mm, page);
			if (page == stays)
				page->places = stay_places;
		}
}

void model_apply(struct model *model, const struct model_op *op,
		 const struct model_result *result,
		 struct model_verdict *verdict)
{
	static void (*const appliers[])(const struct model *model,
					const struct model_op *op,
					const struct model_result *result,
					struct model_verdict *verdict) = {
		[MODEL_CPU_READ] = apply_cpu,
		[MODEL_CPU_WRITE] = apply_cpu,
		[MODEL_DEV_READ] = apply_device,
		[MODEL_DEV_WRITE] = apply_device,
		[MODEL_TO_DEV] = apply_migration,
		[MODEL_TO_RAM] = apply_migration,
		[MODEL_EVICT] = apply_evict,
		[MODEL_EXCLUSIVE] = apply_exclusive,
		[MODEL_PROTECT] = apply_protect,
		[MODEL_UNMAP] = apply_map,
		[MODEL_MAP] = apply_map,
		[MODEL_REMAP] = apply_remap,
		[MODEL_DONTNEED] = apply_advice,
		[MODEL_FREE] = apply_advice,
		[MODEL_PAGEOUT] = apply_advice,
		[MODEL_COLLAPSE] = apply_advice,
		[MODEL_SPLIT] = apply_advice,
	};
	const struct model_page *stays = NULL;
	u8 stay_places = 0;

	be_unsure(model);
	if (op->kind >= MODEL_TO_DEV && op->kind <= MODEL_EVICT)
		stays = held(model, op);
	if (stays)
		stay_places = stays->places;

	if (op->kind == MODEL_FORK)
		apply_fork(model, result, verdict);
	else if (op->kind == MODEL_EXIT)
		apply_exit(model);
	else
		appliers[op->kind](model, op, result, verdict);
	if (model_is_lax(model->config))
		relax(model, stays, stay_places);
}
