// SPDX-License-Identifier: GPL-2.0
#include "bench.h"

#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmap_lock.h>

#include "../drivers/dmirror/migrate.h"
#include "mirror_fixture.h"
#include "private_devmem.h"
#include "user.h"

struct dmirror_bench bench_on(struct kunit *test, struct dmirror_devmem *devmem,
			      unsigned long addr)
{
	return (struct dmirror_bench){
		.devmem = devmem,
		.mirror = dmirror_mirror_get(test, devmem),
		.addr = addr,
	};
}

static struct dmirror_bench bench_filled(struct kunit *test,
					 struct dmirror_devmem *devmem,
					 unsigned long npages)
{
	unsigned long addr = dmirror_user_map(test, npages,
					      PROT_READ | PROT_WRITE);

	dmirror_user_fill(test, addr, npages, 1);

	return bench_on(test, devmem, addr);
}

struct dmirror_bench bench_get_private(struct kunit *test, unsigned long npages)
{
	return bench_filled(test,
			    dmirror_private_get(test, 0, PRIVATE_CHUNK, 1),
			    npages);
}

struct dmirror_bench bench_get_coherent(struct kunit *test,
					unsigned long npages)
{
	return bench_filled(test,
			    dmirror_coherent_get(test, 0, PRIVATE_CHUNK, 1),
			    npages);
}

void bench_to_device_part(struct kunit *test, const struct dmirror_bench *bench,
			  unsigned long addr, unsigned long npages,
			  unsigned long want)
{
	unsigned long moved = ULONG_MAX;

	DMIRROR_ASSERT_OK(test, dmirror_migrate_to_devmem(bench->mirror, addr,
							  npages, &moved),
			  "migration to the device");
	KUNIT_EXPECT_EQ_MSG(test, moved, want,
			    "pages of [0x%lx,0x%lx) that went to the device",
			    addr, addr + (npages << PAGE_SHIFT));
}

void bench_to_device(struct kunit *test, const struct dmirror_bench *bench,
		     unsigned long addr, unsigned long npages)
{
	bench_to_device_part(test, bench, addr, npages, npages);
}

void bench_to_ram_part(struct kunit *test, const struct dmirror_bench *bench,
		       unsigned long addr, unsigned long npages, int error,
		       unsigned long want)
{
	unsigned long moved = ULONG_MAX;

	DMIRROR_EXPECT_ERRNO(test, dmirror_migrate_to_ram(bench->mirror, addr,
							  npages, &moved),
			     error, "migration back");
	KUNIT_EXPECT_EQ_MSG(test, moved, want,
			    "pages of [0x%lx,0x%lx) that came home",
			    addr, addr + (npages << PAGE_SHIFT));
}

void bench_to_ram(struct kunit *test, const struct dmirror_bench *bench,
		  unsigned long addr, unsigned long npages,
		  unsigned long want)
{
	bench_to_ram_part(test, bench, addr, npages, 0, want);
}

void bench_evict(struct kunit *test, const struct dmirror_bench *bench)
{
	unsigned long left = ULONG_MAX;

	DMIRROR_EXPECT_ERRNO(test, dmirror_migrate_evict(bench->devmem, &left),
			     0, "eviction");
	KUNIT_EXPECT_EQ_MSG(test, left, 0UL, "pages that the eviction left");
	bench_expect_out(test, bench, 0, "after the eviction");
}

int bench_cpu_fault(unsigned long addr)
{
	struct mm_struct *mm = current->mm;
	int ret;

	mmap_read_lock(mm);
	ret = fixup_user_fault(mm, addr, 0, NULL);
	mmap_read_unlock(mm);

	return ret;
}

void bench_expect_all(struct kunit *test, const struct dmirror_bench *bench,
		      unsigned long addr, unsigned long npages, u8 byte,
		      const char *step)
{
	u8 *want = kunit_kmalloc(test, npages, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, want);
	memset(want, byte, npages);
	dmirror_expect_snapshot(test, bench->mirror, addr, want, npages, step);
	kunit_kfree(test, want);
}

void bench_expect_out(struct kunit *test, const struct dmirror_bench *bench,
		      unsigned long want, const char *step)
{
	unsigned long out = dmirror_pages_out(bench->devmem);

	KUNIT_EXPECT_EQ_MSG(test, out, want, "device pages in use %s", step);
}

void bench_expect_at_rest(struct kunit *test, const struct dmirror_bench *bench,
			  unsigned long addr, unsigned long npages,
			  bool on_device, const char *step)
{
	struct page **pages = kunit_kcalloc(test, npages, sizeof(*pages),
					    GFP_KERNEL);
	bool refs_known;
	unsigned long i;

	KUNIT_ASSERT_NOT_NULL(test, pages);
	/* Pages new to the LRU have one reference more until they are on it. */
	refs_known = on_device || !user_lru_drain();
	dmirror_cpu_pages(test, bench->mirror, addr, pages, npages);
	for (i = 0; i < npages; i++) {
		struct folio *folio;

		KUNIT_ASSERT_NOT_NULL_MSG(test, pages[i],
					  "page %lu %s is not mapped", i, step);
		folio = page_folio(pages[i]);
		if (is_device_private_page(pages[i]) == on_device &&
		    folio_mapcount(folio) == 1 && folio_test_anon(folio) &&
		    !folio_test_locked(folio) &&
		    (!refs_known || folio_ref_count(folio) == 1))
			continue;
		KUNIT_FAIL(test,
			   "page %lu of [0x%lx,0x%lx) at 0x%lx %s: on device %d wanted %d, mapcount %d wanted 1, refcount %d wanted 1, anon %d wanted 1, locked %d wanted 0",
			   i, addr, addr + (npages << PAGE_SHIFT),
			   addr + (i << PAGE_SHIFT), step,
			   is_device_private_page(pages[i]), on_device,
			   folio_mapcount(folio), folio_ref_count(folio),
			   folio_test_anon(folio), folio_test_locked(folio));
		break;
	}
	kunit_kfree(test, pages);
}

/* Exact: the counter's cheap reading is off by up to a batch per CPU. */
void bench_expect_anon(struct kunit *test, unsigned long want,
		       const char *step)
{
	struct mm_struct *mm = dmirror_fixture(test)->mm;

	KUNIT_EXPECT_EQ_MSG(test, get_mm_counter_sum(mm, MM_ANONPAGES), want,
			    "anonymous pages of the mm %s", step);
}
