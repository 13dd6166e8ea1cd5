# SPDX-License-Identifier: GPL-2.0
"""What counts as a kernel complaint, and whose it is."""

from __future__ import annotations

import unittest
from typing import List

from dmirrorlib import ktap, splat

from . import consoles

# First lines as kernels print them, one splat each.
COMPLAINTS = '''\
WARNING: mm/hmm.c:12 at hmm_range_fault+0x12/0x34, CPU#0: kunit_try_catch/91
WARNING: CPU: 0 PID: 91 at mm/hmm.c:12 hmm_range_fault+0x12/0x34
------------[ cut here ]------------
kernel BUG at mm/rmap.c:1234!
BUG: kernel NULL pointer dereference, address: 0000000000000010
BUG: unable to handle page fault for address: ffffdeadbeef0000
Unable to handle kernel paging request at virtual address 0000dead
Oops: 0002 [#1] SMP KASAN NOPTI
Oops: general protection fault, probably for non-canonical address 0x1: 0000
general protection fault, probably for non-canonical address 0x1: 0000 [#1]
BUG: KASAN: use-after-free in dmirror_read+0x1/0x2
BUG: KCSAN: data-race in dmirror_read / dmirror_write
UBSAN: shift-out-of-bounds in drivers/dmirror/pt.c:7:9
WARNING: possible circular locking dependency detected
WARNING: possible recursive locking detected
WARNING: inconsistent lock state
WARNING: suspicious RCU usage
WARNING: held lock freed!
WARNING: bad unlock balance detected!
WARNING: kunit_try_catch/91 still has locks held!
[ BUG: Invalid wait context ]
BUG: sleeping function called from invalid context at mm/slab.h:321
BUG: scheduling while atomic: kunit_try_catch/91/0x00000002
BUG: Bad page state in process kunit_try_catch  pfn:12345
BUG: Bad rss-counter state mm:0000000012345678 type:MM_ANONPAGES val:3
BUG: non-zero pgtables_bytes on freeing mm: 4096
page: refcount:0 mapcount:0 mapping:0000000000000000 index:0x0 pfn:0x6d5e
refcount_t: underflow; use-after-free.
list_del corruption. prev->next should be ffff, but was dead
Kernel panic - not syncing: Segfault with no mm
Kernel panic - not syncing: Kernel mode fault at addr 0x10, ip 0x602e7c75
watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [kunit_try_catch:91]
rcu: INFO: rcu_sched self-detected stall on CPU
INFO: task kunit_try_catch:91 blocked for more than 120 seconds.
BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 33s!
kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)
page_owner tracks the page as allocated
DEBUG_LOCKS_WARN_ON(depth <= 0)
Bus error - the host /dev/shm or /tmp mount likely just ran out of space
INFO: lockdep is turned off.
CPU: 0 UID: 0 PID: 91 Comm: kunit Tainted: G        W        N  7.3.4 #1
Tainted: [D]=DIE, [N]=TEST
Call Trace:
** 57 printk messages dropped **
mm/pgtable-generic.c:54: bad pmd 00000000deadbeef(80000000000000e7)
mm/memory.c:501: bad pte 00000000deadbeef(80000000000000e7)
mm/pgtable-generic.c:29: bad pgd 00000000deadbeef(80000000000000e7)
get_swap_device: Bad swap file entry 3ffffffffffff
get_swap_device: Bad swap offset entry 3ffffffffffff
Trying to free nonexistent resource <0x0000000000000010-0x000000000000001f>
Disabling lock debugging due to kernel taint
softirq: huh, entered softirq 1 TIMER 0000 with preempt_count 00000100
watchdog: Watchdog detected hard LOCKUP on cpu 1
turning off the locking correctness validator.
note: kunit_try_catch[91] exited with preempt_count 1
Memory failure: 0x1234: recovery action for dirty LRU page: Recovered
something before it WARNING: mm/hmm.c:12 at hmm_range_fault+0x12/0x34
Booting kernel: `x' invalid for parameter `dmirror_fixture.seed'
Booting kernel: `x' invalid for parameter `kunit.timeout'
Unknown kernel command line parameters "dmirror_kunit.sed=1", will be passed
BUG: KASAN: use-after-free in x KTAP version 1
ODEBUG: free active (active state 0) object: 00000000deadbeef
half a line from another CPU BUG: KASAN: use-after-free in x+0x1/0x2
'''.splitlines()

HARMLESS = '''\
Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on
Speculative Return Stack Overflow: WARNING: See https://kernel.org/doc
rcu: \tRCU lockdep checking is enabled.
kmemleak: Kernel memory leak detector initialized (mem pool available: 15)
kasan: KernelAddressSanitizer initialized (generic)
page_owner is disabled
Lock dependency validator: Copyright (c) 2006 Red Hat, Inc., Ingo Molnar
Kernel command line: panic=-1 oops=panic panic_on_warn=0
MDS CPU bug present and SMT on, data leak possible
debug_vm_pgtable: [debug_vm_pgtable]: Validating architecture page table
CPU: 0 UID: 0 PID: 91 Comm: kunit_try_catch Tainted: G                 N  7.3
Tainted: [N]=TEST
Tainted: [O]=OOT_MODULE, [N]=TEST
    # walk: WARNING: a diagnostic
# dmirror_pt: BUG: a diagnostic too
    ok 1 WARNING: a name
Kernel command line: slab_nomerge
slab_nomerge enabled
kfence: initialized - using 2097152 bytes for 255 objects at 0x(____ptrval____)
ODEBUG: selftest passed
Unknown kernel command line parameters "mem=1G", will be passed to user space.
clocksource: Watchdog remote CPU 1 read timed out
printk: legacy console [ttyS0] enabled
Running RCU self tests
'''.splitlines()


def scan(lines: List[str]) -> List[splat.Splat]:
    """Scan lines that stand inside a case."""
    whole = ['KTAP version 1', '1..1', '    KTAP version 1',
             '    # Subtest: dmirror_pt', '    1..1', *lines,
             '    ok 1 walk', 'ok 1 dmirror_pt']
    return splat.scan(whole, ktap.walk(whole))


class Scan(unittest.TestCase):
    """One line, one complaint or none."""

    def test_complaints(self) -> None:
        for line in COMPLAINTS:
            for prefix in ('', '[   12.345678] ', '[    0.1][   T91] ',
                           '<4>[    1.000000] '):
                with self.subTest(prefix + line):
                    found = scan([prefix + line])
                    self.assertEqual(len(found), 1)
                    self.assertEqual(found[0].line, 6)
                    self.assertEqual((found[0].suite, found[0].case),
                                     ('dmirror_pt', 'walk'))

    def test_harmless(self) -> None:
        for line in HARMLESS:
            for prefix in ('', '[   12.345678] '):
                with self.subTest(prefix + line):
                    self.assertEqual(scan([prefix + line]), [])

    def test_outside_the_suites(self) -> None:
        lines = ['BUG: early', 'KTAP version 1', '1..0', 'BUG: late']
        found = splat.scan(lines, ktap.walk(lines))
        self.assertEqual([(s.line, s.suite) for s in found],
                         [(1, ''), (4, '')])

    def test_two_complaints_are_two(self) -> None:
        dump = ['------------[ cut here ]------------',
                'WARNING: a.c:1 at a+0x1/0x2, CPU#0: k/1', 'Call Trace:',
                ' b+0x1/0x2', '---[ end trace 0000000000000000 ]---']
        self.assertEqual([s.title for s in scan(dump + dump)],
                         ['WARNING: a.c:1 at a+0x1/0x2, CPU#0: k/1'] * 2)

    def test_dropped_messages_are_told_as_such(self) -> None:
        found = scan(['BUG: x', '** 57 printk messages dropped **'])
        self.assertEqual(len(found), 2)
        self.assertIn('The console is not complete, console line 7',
                      found[1].reason())

    def test_the_same_again_is_folded(self) -> None:
        lines: List[str] = []
        for number in range(9):
            lines += ['------------[ cut here ]------------',
                      f'WARNING: a.c:1 at a+0x1/0x2, CPU#0: k/{number}',
                      'Call Trace:', ' b+0x1/0x2',
                      '---[ end trace 0000000000000000 ]---']
        folded = splat.fold(scan(lines + ['BUG: another']))
        self.assertEqual([s.count for s in folded], [9, 1])
        self.assertIn('9 times', folded[0].reason())

    def test_recorded(self) -> None:
        for name, title, functions in (
                ('warn', 'WARNING: drivers/dmirror/drivers/dmirror/pt.c:101',
                 ['dmirror_pt_clear', 'dmirror_pt_clear_range',
                  'clear_range_test', 'kunit_try_run_case', 'kthread']),
                ('warn-refcount', 'refcount_t: underflow', None),
                ('lockdep', 'WARNING: possible circular', None),
                ('kasan', 'BUG: KASAN: slab-use-after-free',
                 ['dmirror_pt_clear', 'dmirror_pt_clear_range',
                  'clear_range_test', 'kunit_try_run_case', 'kthread'])):
            with self.subTest(name):
                lines = consoles.console(name)
                found = splat.scan(lines, ktap.walk(lines))
                self.assertEqual(len(found), 1, found)
                self.assertTrue(found[0].title.startswith(title))
                if functions:
                    self.assertEqual(found[0].functions, functions)
                self.assertIn(found[0].title, found[0].sentence())

    def test_expectation_text_is_quoted(self) -> None:
        for name in ('fail', 'fail-param', 'green-words'):
            lines = consoles.console(name)
            self.assertEqual(splat.scan(lines, ktap.walk(lines)), [], name)
        # but what follows it at the margin is the kernel's.
        found = scan(['    # walk: EXPECTATION FAILED at a.c:1',
                      '    Expected BUG: KASAN: x', 'BUG: real'])
        self.assertEqual([s.title for s in found], ['BUG: real'])

    def test_reliable_functions_first(self) -> None:
        self.assertEqual(splat.fingerprint(
            ['x', 'Call Trace:', ' <TASK>', ' dump_stack_lvl+0x1/0x2',
             ' ? guess+0x1/0x2', ' sure.cold+0x1/0x2', ' next+0x1/0x2',
             '---[ end trace 0 ]---', ' after+0x1/0x2']),
            ['sure.cold', 'next'])


class Taints(unittest.TestCase):
    """The masks that suites print."""

    def masks(self, name: str) -> object:
        """Return the masks of a recorded console."""
        lines = consoles.console(name)
        return splat.taints(lines, ktap.walk(lines))

    def test_masks(self) -> None:
        both = {'dmirror_pt': 0x40000, 'dmirror_mirror': 0x40000}
        self.assertEqual(self.masks('green'), both)
        self.assertEqual(self.masks('green-printk-time'), both)
        self.assertEqual(self.masks('taint'),
                         dict(both, dmirror_mirror=0x40200))
        self.assertEqual(self.masks('taint-unsaid'),
                         dict(both, dmirror_mirror=None))
        # Skipped as a whole: its end was never reached, nothing to say.
        self.assertEqual(self.masks('suite-skipped'),
                         {'dmirror_pt': 0x40000})
        # No result line: that is told elsewhere.
        self.assertEqual(self.masks('hang-in-case'), {})

    def test_only_ours(self) -> None:
        lines = ['KTAP version 1', '1..1', '    # Subtest: example',
                 '    ok 1 a', 'ok 1 example']
        self.assertEqual(splat.taints(lines, ktap.walk(lines)), {})

    def test_names(self) -> None:
        self.assertEqual(splat.taint_names(1 << 9 | 1 << 7 | 1 << 18), 'DWN')
        self.assertEqual(splat.taint_names(1 << 30), '?30')


if __name__ == '__main__':
    unittest.main()
