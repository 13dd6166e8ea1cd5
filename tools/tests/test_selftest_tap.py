# SPDX-License-Identifier: GPL-2.0
"""From the console of a guest that ran hmm-tests to a verdict: what must be
red is."""

from __future__ import annotations

import re
import unittest
from typing import Dict, List, Optional, Sequence

from dmirrorlib import ktap, selftest_tap, verdict
from dmirrorlib.errors import EXIT_FAIL, EXIT_INFRA, EXIT_PASS
from dmirrorlib.guest import End

from . import consoles, support

SOURCE = '''
FIXTURE(hmm)
{
};
FIXTURE_VARIANT(hmm)
{
};
FIXTURE_VARIANT_ADD(hmm, private)
{
};
FIXTURE_VARIANT_ADD(hmm, coherent)
{
};
FIXTURE(hmm2)
{
};
/* TEST_F(hmm, not_this) */
TEST_F(hmm, read)
{
}
TEST_F(hmm2, two)
{
}
TEST_F_TIMEOUT(hmm, benchmark, 120)
{
}
'''
PLAN = selftest_tap.planned(SOURCE)
SKIPS = {'coherent.read': 'no memory', 'coherent.benchmark': 'no memory'}
SILENT = End('silent', None, 200.0, 180.0)
PANIC = End('exit', 1, 0.5)
CLEAN = consoles.CLEAN
BOOT = ['Linux version 7.3.4', '# selftest: begin',
        '# selftest: loaded test_hmm', '# [INFO] huge pages: 2048 KiB']
AFTER = ['# selftest: tests exited with 0', '# selftest: unloaded test_hmm',
         '# selftest: taint 0', '# selftest: end',
         'reboot: Restarting system']
WARN = ['------------[ cut here ]------------',
        'WARNING: lib/test_hmm.c:7 at dmirror_x+0x1/0x2, CPU#0: a/1',
        'Call Trace:', ' dmirror_x+0x1/0x2',
        '---[ end trace 0000000000000000 ]---']


LIVES = ['pages_come_home', 'ram_is_refused']
LIVED = ['# selftest: life pages_come_home', '# selftest: loaded dmirror',
         '# selftest: ok pages_come_home', '# selftest: life ram_is_refused',
         '# selftest: ok ram_is_refused']


def run_line(name: str) -> str:
    """Return what the harness prints before a case."""
    return f'#  RUN           {name} ...'


def results(**other: Sequence[str]) -> List[str]:
    """Return the harness's output.

    Args:
        other: for a case, its number's `r1` and so on: lines instead of its
            result.
    """
    out = ['TAP version 13', f'1..{len(PLAN)}',
           f'# Starting {len(PLAN)} tests from 3 test cases.']
    for number, test in enumerate(PLAN, 1):
        skip = ' # SKIP no memory' if test.variant == 'coherent' else ''
        out.append(run_line(test.full))
        out += other.get(f'r{number}') or [
            f'#            OK  {test.full}', f'ok {number} {test.full}{skip}']
    return out + ['# PASSED: 5 / 5 tests passed.']


def until(lines: List[str], word: str) -> List[str]:
    """Return the lines up to the first that has a word, with it."""
    return lines[:next(i for i, x in enumerate(lines) if word in x) + 1]


def fails(number: int, *log: str) -> List[str]:
    """Return the lines of a case that fails."""
    name = PLAN[number - 1].full
    return [*log, f'# {PLAN[number - 1].name}: Test terminated by assertion',
            f'#          FAIL  {name}', f'not ok {number} {name}']


def exit_with(code: int) -> List[str]:
    """Return AFTER with another exit code of the tests."""
    return [f'# selftest: tests exited with {code}', *AFTER[1:]]


def examine(lines: List[str], end: End = CLEAN,
            plan: Optional[Sequence[selftest_tap.Test]] = None,
            times: Sequence[float] = (),
            lives: Sequence[str] = ()) -> verdict.Boot:
    """Read a console as if a guest had just printed it."""
    report = consoles.parser().parse(iter(lines), None)
    return selftest_tap.examine(PLAN if plan is None else plan, lines, times,
                                report, end, lives=lives)


def judge(lines: List[str], end: End = CLEAN,
          lives: Sequence[str] = ()) -> verdict.Verdict:
    """Judge a console."""
    boot = examine(lines, end, lives=lives)
    return verdict.judge('selftest', boot.plan, [boot], SKIPS, False,
                         apart=[selftest_tap.LIFE])


def statuses(result: verdict.Verdict) -> Dict[str, str]:
    """Return the status per case."""
    return {c.key: c.status for c in result.cases}


class Planned(unittest.TestCase):
    """The cases that a source has."""

    def test_order_and_names(self) -> None:
        self.assertEqual([t.full for t in PLAN], [
            'hmm.private.read', 'hmm.private.benchmark', 'hmm.coherent.read',
            'hmm.coherent.benchmark', 'hmm2.two'])
        self.assertEqual(PLAN[1].pair, ('private', 'benchmark'))
        self.assertEqual(PLAN[4].pair, ('hmm2', 'two'))

    def test_none(self) -> None:
        self.assertEqual(selftest_tap.planned('int main(void)\n'), [])


class Walked(unittest.TestCase):
    """The place of each result."""

    def test_owners(self) -> None:
        lines = BOOT + results() + AFTER
        place = selftest_tap.walk(lines, PLAN)
        self.assertEqual(len(place.events), 5)
        self.assertEqual(place.announced, 5)
        self.assertEqual(place.running, ('', ''))
        at = lines.index(run_line('hmm.private.benchmark'))
        self.assertEqual(place.owners[at - 1], ('private', 'read'))
        self.assertEqual(set(place.owners[at:at + 3]),
                         {('private', 'benchmark')})
        self.assertEqual(place.owners[-1], ('', ''))
        self.assertEqual(place.owners[0], ('', ''))

    def test_with_times_of_printk(self) -> None:
        lines = [f'[    1.{i:06}] {line}' for i, line in enumerate(
            BOOT + results() + AFTER)]
        self.assertEqual(len(selftest_tap.walk(lines, PLAN).events), 5)
        self.assertTrue(selftest_tap.said(lines).ended)

    def test_unknown_names(self) -> None:
        place = selftest_tap.walk(['TAP version 13', 'ok 1 a.b.c',
                                   'ok 2 lonely'], PLAN)
        self.assertEqual([(e.suite, e.case) for e in place.events],
                         [('b', 'c'), ('hmm-tests', 'lonely')])

    def test_said(self) -> None:
        got = selftest_tap.said(BOOT + ['# selftest: problem: a b', *AFTER])
        self.assertEqual(got, selftest_tap.Said(
            True, True, ['a b'], 'exited with 0', 0))
        cut = selftest_tap.said(['# selftest: taint 0x'])
        self.assertIsNone(cut.taint)

    def test_failure(self) -> None:
        for log, reason in (
                (['# hmm-tests.c:12:read:Expected a (1) == b (2)',
                  '# hmm-tests.c:13:read:Expected c (1) == d (2)'],
                 'Expected a (1) == b (2)'),
                (['# read: Test terminated by timeout'],
                 'Test terminated by timeout'),
                (['BUG: x', '# read: Test terminated unexpectedly by signal '
                  '9'], 'Test terminated unexpectedly by signal 9'),
                (['nothing'], '')):
            with self.subTest(reason):
                self.assertEqual(selftest_tap.failure(log), reason)


@consoles.needs_tree
class Judged(unittest.TestCase):
    """Consoles, parsed and judged."""

    def red(self, lines: List[str], *words: str, end: End = CLEAN,
            code: int = EXIT_FAIL, reasons: int = 1) -> verdict.Verdict:
        """Expect red, and one reason that has all these words.

        Args:
            reasons: how many reasons there are; 0 for any number.
        """
        result = judge(lines, end)
        self.assertEqual(result.code, code, result.reasons)
        self.assertTrue(any(all(w in r for w in words)
                            for r in result.reasons), result.reasons)
        if reasons:
            self.assertEqual(len(result.reasons), reasons, result.reasons)
        return result

    def test_green(self) -> None:
        result = judge(BOOT + results() + AFTER)
        self.assertEqual((result.reasons, result.code), ([], EXIT_PASS))
        self.assertEqual(statuses(result), {
            'private.read': 'pass', 'private.benchmark': 'pass',
            'coherent.read': 'skip', 'coherent.benchmark': 'skip',
            'hmm2.two': 'pass'})

    def test_seconds(self) -> None:
        lines = BOOT + results() + AFTER
        boot = examine(lines, times=[0.5 * i for i in range(len(lines))])
        # From the line before the case's first to its result.
        self.assertEqual([c.seconds for c in boot.cases], [1.5] * 5)

    def test_failed(self) -> None:
        bad = fails(2, '# hmm-tests.c:12:benchmark:Expected a (1) == b (2)')
        result = self.red(BOOT + results(r2=bad) + exit_with(1),
                          'private.benchmark failed',
                          'Expected a (1) == b (2)')
        self.assertEqual(statuses(result)['hmm2.two'], 'pass')

    def test_exit_code_that_nothing_explains(self) -> None:
        self.red(BOOT + results() + exit_with(1), 'exited with 1', 'explain')
        self.red(BOOT + results(r2=fails(2)) + exit_with(0),
                 'exited with 0', 'explain', reasons=2)
        killed = ['# selftest: tests died of signal 11', *AFTER[1:]]
        self.red(BOOT + results() + killed, 'died of signal 11')
        self.red(BOOT + results() + AFTER[1:], 'how hmm-tests ended')

    def test_splat_belongs_to_its_case(self) -> None:
        ok = [*WARN, f'ok 1 {PLAN[0].full}']
        self.red(BOOT + results(r1=ok) + AFTER, 'lib/test_hmm.c:7',
                 'during private.read')
        at_exit = [AFTER[0], *WARN, *AFTER[1:]]
        self.red(BOOT + results() + at_exit, 'lib/test_hmm.c:7',
                 'outside the suites')

    def test_taint(self) -> None:
        self.red(BOOT + results() + [*AFTER[:2], '# selftest: taint 0x200',
                                     *AFTER[3:]], 'tainted (W', '0x200')
        self.red(BOOT + results() + AFTER[:2] + AFTER[3:],
                 'without saying the kernel\'s taint')

    def test_allowed_taint(self) -> None:
        lines = [*AFTER[:2], '# selftest: taint 0x40000', *AFTER[3:]]
        self.assertEqual(judge(BOOT + results() + lines).reasons, [])

    def test_init_found_a_problem(self) -> None:
        for problem in ('test_hmm has 1 users after the tests',
                        'test_hmm cannot be unloaded: Resource temporarily '
                        'unavailable',
                        '/proc/iomem has "1-2 : x" after the driver'):
            with self.subTest(problem):
                lines = [AFTER[0], f'# selftest: problem: {problem}',
                         *AFTER[2:]]
                self.red(BOOT + results() + lines, problem)

    def test_driver_does_not_load(self) -> None:
        lines = [*BOOT[:2], '# selftest: problem: test_hmm cannot be loaded:'
                 ' Invalid argument', *AFTER[2:]]
        self.red(lines, 'cannot be loaded: Invalid argument', reasons=0)

    def test_no_end_marker(self) -> None:
        self.red(BOOT + results() + AFTER[:3] + AFTER[4:], 'end marker',
                 'exited with code 0')
        self.red(BOOT + results() + AFTER[:1], 'end marker', end=PANIC)
        self.red(BOOT + results() + AFTER[:2], 'end marker',
                 'printed nothing for 180 s', end=SILENT)

    def test_bad_shutdown(self) -> None:
        self.red(BOOT + results() + AFTER[:4], 'without shutting down')
        self.red(BOOT + results() + AFTER[:4], 'hung at shutdown',
                 end=SILENT)
        self.red(BOOT + results() + AFTER, 'exited with code 1', end=PANIC)

    def test_hang(self) -> None:
        lines = until(BOOT + results(), run_line('hmm.coherent.read'))
        result = self.red(lines, 'coherent.read hung', '180 s', end=SILENT,
                          reasons=0)
        self.assertEqual(statuses(result), {
            'private.read': 'pass', 'private.benchmark': 'pass',
            'coherent.read': 'hang', 'coherent.benchmark': 'missing',
            'hmm2.two': 'missing'})
        self.assertFalse(any('end marker' in r for r in result.reasons))

    def test_panic(self) -> None:
        lines = until(BOOT + results(), run_line('hmm.coherent.read'))
        lines.append('Kernel panic - not syncing: Fatal exception')
        result = self.red(lines, 'coherent.read crashed',
                          'Fatal exception', end=PANIC, reasons=0)
        self.assertEqual(statuses(result)['coherent.read'], 'crash')

    def test_truncated(self) -> None:
        """Whatever the console ends with, it is red."""
        lines = BOOT + results() + AFTER
        for length in range(len(lines)):
            with self.subTest(length=length):
                self.assertFalse(judge(lines[:length]).green)

    def test_lost_line(self) -> None:
        """Whichever line of those that count is lost, it is red."""
        lines = BOOT + results() + AFTER
        counts = [i for i, line in enumerate(lines) if ' ok ' in f' {line}'
                  or 'TAP version' in line or '# selftest: ' in line]
        harmless = ('loaded test_hmm', 'unloaded test_hmm')
        for i in counts:
            if lines[i].endswith(harmless):
                continue    # said for people; a problem is said as such
            with self.subTest(lines[i]):
                self.assertFalse(judge(lines[:i] + lines[i + 1:]).green)

    def test_never_began(self) -> None:
        result = self.red(['Linux version 7.3.4', 'Kernel panic - not '
                           'syncing: VFS'], 'never began', 'VFS', end=PANIC,
                          code=EXIT_INFRA, reasons=0)
        self.assertEqual(result.counts['missing'], 5)

    def test_other_number_than_announced(self) -> None:
        lines = results()
        lines[1] = '1..6'
        self.red(BOOT + lines + AFTER, 'announced 6', '5 were to run',
                 reasons=0)

    def test_case_that_nobody_planned(self) -> None:
        lines = results(r5=['ok 5 hmm2.three'])
        self.red(BOOT + lines + AFTER, 'not planned', 'hmm2.three',
                 reasons=0)

    def test_skips(self) -> None:
        other = ['ok 5 hmm2.two # SKIP new reason']
        self.red(BOOT + results(r5=other) + AFTER, 'hmm2.two was skipped '
                 '(new reason)')
        self.red(BOOT + results(r3=['ok 3 hmm.coherent.read']) + AFTER,
                 'coherent.read runs now')

    def test_the_rest_after_a_crash(self) -> None:
        lines = until(BOOT + results(), run_line('hmm.private.benchmark'))
        first = examine(lines, PANIC)
        self.assertEqual(first.missing(), [
            ('coherent', 'read'), ('coherent', 'benchmark'),
            ('hmm2', 'two')])
        out = ['TAP version 13', '1..3']
        for number, test in enumerate(PLAN[2:], 1):
            skip = ' # SKIP no memory' if test.variant else ''
            out += [run_line(test.full), f'ok {number} {test.full}{skip}']
        second = examine(BOOT + out + AFTER, plan=PLAN[2:])
        result = verdict.judge('selftest', [t.pair for t in PLAN],
                               [first, second], SKIPS, False)
        self.assertEqual(list(statuses(result).values()),
                         ['pass', 'crash', 'skip', 'skip', 'pass'])
        self.assertEqual(len(result.reasons), 1, result.reasons)

    def test_life_cycle(self) -> None:
        lines = BOOT + LIVED + results() + AFTER
        result = judge(lines, lives=LIVES)
        self.assertEqual((result.reasons, result.code), ([], EXIT_PASS))
        self.assertEqual(result.apart, {'life_cycle': (2, 2)})
        self.assertEqual(sum(result.counts.values()), len(PLAN))
        self.assertEqual(list(statuses(result))[:2],
                         [f'life_cycle.{name}' for name in LIVES])
        boot = examine(lines, times=[0.5 * i for i in range(len(lines))],
                       lives=LIVES)
        self.assertEqual([c.seconds for c in boot.cases[:2]], [1.0, 0.5])

    def test_life_cycle_without_tests(self) -> None:
        boot = examine(BOOT + LIVED + AFTER[1:], plan=[], lives=LIVES)
        result = verdict.judge('selftest', boot.plan, [boot], {}, True,
                               apart=[selftest_tap.LIFE])
        self.assertEqual((result.reasons, result.code), ([], EXIT_PASS))

    def test_life_cycle_that_fails(self) -> None:
        bad = [*LIVED[:2], '# selftest: wrong: /proc/iomem has "1-2 : x"',
               '# selftest: not ok pages_come_home: /proc/iomem has "1-2 : '
               'x"', *LIVED[3:]]
        result = judge(BOOT + bad + results() + AFTER, lives=LIVES)
        self.assertEqual(result.reasons, [
            'life_cycle.pages_come_home failed (/proc/iomem has "1-2 : x").'])
        self.assertEqual(result.apart, {'life_cycle': (1, 2)})
        self.assertIn('# selftest: loaded dmirror', result.cases[0].log)

    def test_life_cycle_loses_a_line(self) -> None:
        for i in (0, 2, 3, 4):
            lines = BOOT + LIVED[:i] + LIVED[i + 1:] + results() + AFTER
            with self.subTest(LIVED[i]):
                # That a case began is told by its result, too.
                self.assertEqual(judge(lines, lives=LIVES).green,
                                 ': life ' in LIVED[i])

    def test_life_cycle_that_nobody_planned(self) -> None:
        result = judge(BOOT + LIVED + results() + AFTER, lives=LIVES[:1])
        self.assertTrue(any('not planned' in r and LIVES[1] in r
                            for r in result.reasons), result.reasons)

    def test_life_cycle_ends_the_guest(self) -> None:
        lines = BOOT + [*LIVED[:4], 'Kernel panic - not syncing: Fatal']
        result = judge(lines, PANIC, LIVES)
        self.assertEqual(statuses(result), {
            'life_cycle.pages_come_home': 'pass',
            'life_cycle.ram_is_refused': 'crash',
            **dict.fromkeys((f'{a}.{b}' for a, b in
                             (t.pair for t in PLAN)), 'missing')})
        self.assertIn('life_cycle.ram_is_refused crashed: the guest died '
                      '(Kernel panic - not syncing: Fatal).', result.reasons)

    def test_splat_belongs_to_the_life_cycle(self) -> None:
        lines = BOOT + [*LIVED[:2], *WARN, *LIVED[2:]] + results() + AFTER
        result = judge(lines, lives=LIVES)
        self.assertEqual(len(result.reasons), 1, result.reasons)
        self.assertIn('during life_cycle.pages_come_home', result.reasons[0])

    def test_memory_that_a_module_keeps(self) -> None:
        leak = ('alloc_tag: drivers/dmirror/drivers/dmirror/device.c:57 module '
                'dmirror func:dmirror_device_create has 1024 allocated at '
                'module unload')
        lines = [AFTER[0], leak, *AFTER[1:]]
        self.red(BOOT + results() + lines, 'func:dmirror_device_create',
                 '1024 allocated')

    def test_pages_that_a_process_keeps(self) -> None:
        life = (support.TOOLS / 'init' / 'life.c').read_text()
        pages = re.search(r'^#define NR_PAGES\s+(\d+)UL$', life, re.M)
        assert pages
        size = int(pages.group(1)) * 4096
        leak = ('alloc_tag: drivers/dmirror/drivers/dmirror/plan.c:157 module '
                'dmirror func:to_ram_folio has {} allocated at module unload')
        lines = [AFTER[0], leak.format(size), *AFTER[1:]]
        self.assertTrue(judge(BOOT + results() + lines).green)
        for wrong in (4096, size + 4096, size - 4096):
            lines[1] = leak.format(wrong)
            self.red(BOOT + results() + lines, f'{wrong} allocated')

    def test_log_of_a_failure(self) -> None:
        boot = examine(BOOT + results(r2=fails(2, 'a kernel line'))
                       + exit_with(1))
        case = boot.cases[1]
        self.assertEqual(case.status, 'fail')
        self.assertIn('a kernel line', case.log)
        self.assertLessEqual(len(case.log), ktap.LOG_LINES)


if __name__ == '__main__':
    unittest.main()
