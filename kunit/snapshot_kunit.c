// SPDX-License-Identifier: GPL-2.0
/* Snapshots: the encoding as a table, and real VMAs of every protection. */
#include "mirror_fixture.h"

#include <linux/hmm.h>
#include <linux/mman.h>
#include <linux/pgtable.h>

#include "../drivers/dmirror/snapshot.h"
#include "../drivers/dmirror/uapi.h"
#include "race.h"

#define RW (PROT_READ | PROT_WRITE)

/* Short names, for the tables. */
#define E_ERROR HMM_DMIRROR_PROT_ERROR
#define E_NONE HMM_DMIRROR_PROT_NONE
#define E_READ HMM_DMIRROR_PROT_READ
#define E_WRITE HMM_DMIRROR_PROT_WRITE
#define E_ZERO HMM_DMIRROR_PROT_ZERO

#define ORDER(n) ((unsigned long)(n) << HMM_PFN_ORDER_SHIFT)
#define PMD_ORDER_BITS ORDER(PMD_SHIFT - PAGE_SHIFT)
#define PUD_ORDER_BITS ORDER(PUD_SHIFT - PAGE_SHIFT)

struct encode_row {
	const char *name;
	unsigned long hmm_pfn;
	enum dmirror_place place;
	u8 want;
};

static const struct encode_row encode_rows[] = {
	{ "nothing", 0, DMIRROR_PLACE_SYSTEM, E_NONE },
	{ "error", HMM_PFN_ERROR, DMIRROR_PLACE_SYSTEM, E_ERROR },
	{ "error_beats_valid", HMM_PFN_ERROR | HMM_PFN_VALID | HMM_PFN_WRITE,
	  DMIRROR_PLACE_ZERO, E_ERROR },
	{ "write_without_valid", HMM_PFN_WRITE, DMIRROR_PLACE_SYSTEM, E_NONE },
	{ "place_without_valid", 0, DMIRROR_PLACE_PRIVATE_LOCAL, E_NONE },
	{ "system_read", HMM_PFN_VALID, DMIRROR_PLACE_SYSTEM, E_READ },
	{ "system_write", HMM_PFN_VALID | HMM_PFN_WRITE, DMIRROR_PLACE_SYSTEM,
	  E_WRITE },
	{ "zero_read", HMM_PFN_VALID, DMIRROR_PLACE_ZERO, E_ZERO | E_READ },
	{ "private_local_write", HMM_PFN_VALID | HMM_PFN_WRITE,
	  DMIRROR_PLACE_PRIVATE_LOCAL, 0x22 },
	{ "private_local_read", HMM_PFN_VALID, DMIRROR_PLACE_PRIVATE_LOCAL,
	  0x21 },
	{ "private_remote_read", HMM_PFN_VALID, DMIRROR_PLACE_PRIVATE_REMOTE,
	  0x31 },
	{ "coherent_local_write", HMM_PFN_VALID | HMM_PFN_WRITE,
	  DMIRROR_PLACE_COHERENT_LOCAL, 0x42 },
	{ "coherent_remote_read", HMM_PFN_VALID, DMIRROR_PLACE_COHERENT_REMOTE,
	  0x51 },
	{ "order_one_is_no_pmd", HMM_PFN_VALID | ORDER(1),
	  DMIRROR_PLACE_SYSTEM, E_READ },
	{ "pmd_read", HMM_PFN_VALID | PMD_ORDER_BITS, DMIRROR_PLACE_SYSTEM,
	  E_READ | HMM_DMIRROR_PROT_PMD },
	{ "pmd_write", HMM_PFN_VALID | HMM_PFN_WRITE | PMD_ORDER_BITS,
	  DMIRROR_PLACE_SYSTEM, E_WRITE | HMM_DMIRROR_PROT_PMD },
	{ "pmd_private", HMM_PFN_VALID | HMM_PFN_WRITE | PMD_ORDER_BITS,
	  DMIRROR_PLACE_PRIVATE_LOCAL, 0x26 },
	{ "pmd_zero", HMM_PFN_VALID | PMD_ORDER_BITS, DMIRROR_PLACE_ZERO,
	  E_ZERO | E_READ | HMM_DMIRROR_PROT_PMD },
	{ "pud_write", HMM_PFN_VALID | HMM_PFN_WRITE | PUD_ORDER_BITS,
	  DMIRROR_PLACE_SYSTEM, E_WRITE | HMM_DMIRROR_PROT_PUD },
	{ "sticky_flags_do_not_matter",
	  HMM_PFN_VALID | HMM_PFN_DMA_MAPPED | HMM_PFN_P2PDMA,
	  DMIRROR_PLACE_SYSTEM, E_READ },
};

KUNIT_ARRAY_PARAM_DESC(encode, encode_rows, name);

static void encode(struct kunit *test)
{
	const struct encode_row *row = test->param_value;
	u8 got = dmirror_snapshot_encode(row->hmm_pfn, row->place);

	KUNIT_EXPECT_EQ_MSG(test, got, row->want,
			    "0x%lx at place %d: got 0x%02x wanted 0x%02x",
			    row->hmm_pfn, row->place, got, row->want);
}

static void place_of_ordinary_pages(struct kunit *test)
{
	struct page *page = alloc_page(GFP_KERNEL);
	enum dmirror_place place;

	KUNIT_ASSERT_NOT_NULL(test, page);
	place = dmirror_snapshot_place(page, NULL);
	__free_page(page);
	KUNIT_EXPECT_EQ(test, place, DMIRROR_PLACE_SYSTEM);
	KUNIT_EXPECT_EQ(test, dmirror_snapshot_place(ZERO_PAGE(0), NULL),
			DMIRROR_PLACE_ZERO);
}

/**
 * enum deed - what the CPU did with a page before the snapshot
 * @UNTOUCHED: nothing
 * @TOUCHED: read it
 * @WRITTEN: wrote it
 */
enum deed {
	UNTOUCHED,
	TOUCHED,
	WRITTEN,
};

/**
 * struct protection_row - one mapping and what a snapshot has to say
 * @name: as in the results
 * @prot: protection at the time of the snapshot
 * @want: by deed
 */
struct protection_row {
	const char *name;
	unsigned long prot;
	u8 want[3];
};

static const struct protection_row protection_rows[] = {
	{ "none", PROT_NONE, { E_ERROR, E_ERROR, E_ERROR } },
	{ "read", PROT_READ, { E_NONE, E_ZERO | E_READ, E_READ } },
	{ "write", PROT_WRITE, { E_ERROR, E_ERROR, E_ERROR } },
	{ "read_write", RW, { E_NONE, E_ZERO | E_READ, E_WRITE } },
	{ "exec", PROT_EXEC, { E_ERROR, E_ERROR, E_ERROR } },
	{ "read_exec", PROT_READ | PROT_EXEC,
	  { E_NONE, E_ZERO | E_READ, E_READ } },
	{ "write_exec", PROT_WRITE | PROT_EXEC, { E_ERROR, E_ERROR, E_ERROR } },
	{ "read_write_exec", RW | PROT_EXEC,
	  { E_NONE, E_ZERO | E_READ, E_WRITE } },
};

KUNIT_ARRAY_PARAM_DESC(protection, protection_rows, name);

/* Each protection times each deed, in one mapping of three pages. */
static void protections(struct kunit *test)
{
	const struct protection_row *row = test->param_value;
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr;
	u8 want[3];

	DMIRROR_REQUIRES_BUILTIN(test);
	addr = dmirror_user_map(test, 3, RW);
	dmirror_user_touch(test, addr + TOUCHED * PAGE_SIZE, 1);
	dmirror_user_fill(test, addr + WRITTEN * PAGE_SIZE, 1, 1);
	dmirror_user_protect(test, addr, 3, row->prot);
	memcpy(want, row->want, sizeof(want));
	dmirror_expect_snapshot(test, mirror, addr, want, 3,
				"untouched, read and written");
	dmirror_expect_pt(test, mirror, addr, "---",
			  "after a snapshot, which faults nothing in");
}

static void several_mappings_at_once(struct kunit *test)
{
	static const u8 want[] = {
		E_WRITE, E_ERROR, E_READ, E_READ, E_ERROR, E_NONE, E_ZERO | E_READ, E_WRITE,
	};
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr;

	DMIRROR_REQUIRES_BUILTIN(test);
	addr = dmirror_user_map(test, ARRAY_SIZE(want), RW);
	dmirror_user_fill(test, addr, 5, 1);
	dmirror_user_touch(test, addr + 6 * PAGE_SIZE, 1);
	dmirror_user_fill(test, addr + 7 * PAGE_SIZE, 1, 1);
	dmirror_user_unmap(test, addr + PAGE_SIZE, 1);
	dmirror_user_protect(test, addr + 2 * PAGE_SIZE, 2, PROT_READ);
	dmirror_user_protect(test, addr + 4 * PAGE_SIZE, 1, PROT_NONE);
	dmirror_expect_snapshot(test, mirror, addr, want, ARRAY_SIZE(want),
				"over mappings and a hole");
}

static void longer_than_a_batch(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long i, addr = dmirror_user_map(test, 150, RW);
	u8 *want = kunit_kzalloc(test, 150, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, want);
	for (i = 0; i < 150; i += 3) {
		dmirror_user_fill(test, addr + i * PAGE_SIZE, 1, 1);
		want[i] = E_WRITE;
	}
	dmirror_expect_snapshot(test, mirror, addr, want, 150,
				"with every third page written");
}

static void unmap_during_snapshot(struct kunit *test)
{
	static const u8 want[] = { E_WRITE, E_ERROR, E_WRITE };
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, 3, RW);
	struct dmirror_race race = {
		.disturb = dmirror_disturb_unmap, .addr = addr + PAGE_SIZE,
		.times = 1,
	};

	dmirror_user_fill(test, addr, 3, 1);
	dmirror_race_with(test, &race);
	dmirror_expect_snapshot(test, mirror, addr, want, 3,
				"with munmap of page 1 in the middle");
	dmirror_race_done(test, &race, 2);
}

static void unmap_elsewhere_does_not_repeat_it(struct kunit *test)
{
	static const u8 want[] = { E_WRITE, E_WRITE };
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, 4, RW);
	struct dmirror_race race = {
		.disturb = dmirror_disturb_unmap, .addr = addr + 2 * PAGE_SIZE,
		.times = 1,
	};

	dmirror_user_fill(test, addr, 4, 1);
	dmirror_race_with(test, &race);
	dmirror_expect_snapshot(test, mirror, addr, want, 2,
				"with munmap beside it");
	dmirror_race_done(test, &race, 1);
}

static void snapshot_gives_up_in_time(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, 2, RW);
	struct dmirror_race race = {
		.disturb = dmirror_disturb_replace, .addr = addr,
		.times = UINT_MAX,
	};
	unsigned long done = 9;
	u8 bytes[2];

	dmirror_race_with(test, &race);
	DMIRROR_EXPECT_ERRNO(test, dmirror_snapshot(mirror, addr, 2, bytes,
						    &done, 0),
			     -EBUSY, "snapshot with no time");
	dmirror_race_done(test, &race, 1);
	DMIRROR_EXPECT_ERRNO(test, dmirror_snapshot(mirror, addr, 2, bytes,
						    &done, 20),
			     -EBUSY, "snapshot that finds no quiet moment");
	KUNIT_EXPECT_EQ_MSG(test, done, 0UL, "bytes said to be true");
}

static void snapshot_can_be_killed(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, 130, RW);
	u8 *bytes = kunit_kzalloc(test, 130, GFP_KERNEL);
	struct dmirror_race race = {
		.disturb = dmirror_disturb_replace_and_kill, .addr = addr,
		.times = 1,
	};
	unsigned long done = 9;
	int ret;

	KUNIT_ASSERT_NOT_NULL(test, bytes);
	dmirror_race_with(test, &race);
	dmirror_killable(test);
	ret = dmirror_snapshot(mirror, addr, 130, bytes, &done,
			       DMIRROR_FAULT_TIMEOUT_MS);
	dmirror_unkill(test);
	DMIRROR_EXPECT_ERRNO(test, ret, -EINTR,
			     "snapshot killed during a collision");
	dmirror_race_done(test, &race, 1);

	/* Killed in the first batch, without a collision: ends after it. */
	race = (struct dmirror_race){
		.disturb = dmirror_disturb_kill, .times = 1,
	};
	dmirror_killable(test);
	ret = dmirror_snapshot(mirror, addr, 130, bytes, &done,
			       DMIRROR_FAULT_TIMEOUT_MS);
	dmirror_unkill(test);
	DMIRROR_EXPECT_ERRNO(test, ret, -EINTR,
			     "snapshot killed in its first batch");
	KUNIT_EXPECT_EQ_MSG(test, done, 64UL, "bytes said to be true");
	dmirror_race_done(test, &race, 1);
}

static void bad_ranges_are_refused(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, 1, RW);
	unsigned long done = 9;
	u8 byte;

	DMIRROR_EXPECT_ERRNO(test, dmirror_snapshot(mirror, addr + 1, 1, &byte,
						    &done, 0),
			     -EINVAL, "unaligned snapshot");
	KUNIT_EXPECT_EQ(test, done, 0UL);
	DMIRROR_EXPECT_ERRNO(test, dmirror_snapshot(mirror, addr, 0, &byte,
						    &done, 0),
			     -EINVAL, "snapshot of no pages");
	DMIRROR_EXPECT_ERRNO(test, dmirror_snapshot(mirror, addr, ULONG_MAX,
						    &byte,
						    &done, 0),
			     -EINVAL, "snapshot of ULONG_MAX pages");
}

static void dead_mm_has_no_snapshot(struct kunit *test)
{
	struct dmirror_mirror *mirror = dmirror_mirror_get(test, NULL);
	unsigned long addr = dmirror_user_map(test, 1, RW);
	unsigned long done = 9;
	u8 byte;

	dmirror_user_exit(test);
	DMIRROR_EXPECT_ERRNO(test, dmirror_snapshot(mirror, addr, 1, &byte,
						    &done, 0),
			     -EFAULT, "snapshot of a dead mm");
	KUNIT_EXPECT_EQ(test, done, 0UL);
}

static struct kunit_case snapshot_cases[] = {
	KUNIT_CASE_PARAM(encode, encode_gen_params),
	KUNIT_CASE(place_of_ordinary_pages),
	KUNIT_CASE_PARAM(protections, protection_gen_params),
	KUNIT_CASE(several_mappings_at_once),
	KUNIT_CASE(longer_than_a_batch),
	KUNIT_CASE(unmap_during_snapshot),
	KUNIT_CASE(unmap_elsewhere_does_not_repeat_it),
	KUNIT_CASE(snapshot_gives_up_in_time),
	KUNIT_CASE(snapshot_can_be_killed),
	KUNIT_CASE(bad_ranges_are_refused),
	KUNIT_CASE(dead_mm_has_no_snapshot),
	{}
};

DMIRROR_SUITE(snapshot, dmirror_fixture_init_mm, snapshot_cases);
