# SPDX-License-Identifier: GPL-2.0
"""The whole path from a console to a verdict: what must be red is."""

from __future__ import annotations

import unittest
from typing import Tuple

from dmirrorlib import ktap, verdict
from dmirrorlib.errors import (EXIT_FAIL, EXIT_INFRA, EXIT_PASS, ToolError,
                               UsageError)
from dmirrorlib.guest import End

from . import consoles, support

SILENT = End('silent', None, 61.0, 60.0)
PANIC = End('exit', 1, 0.5)


@consoles.needs_tree
class Judged(unittest.TestCase):
    """Recorded consoles, parsed and judged."""

    def red(self, name: str, *words: str, end: End = consoles.CLEAN,
            code: int = EXIT_FAIL) -> verdict.Verdict:
        """Expect red, with one reason that has all these words."""
        result = consoles.judge(name, end)
        self.assertFalse(result.green, name)
        self.assertEqual(result.code, code, result.reasons)
        self.assertTrue(
            any(all(w in r for w in words) for r in result.reasons),
            f'{name}: no reason has {words}: {result.reasons}')
        return result

    def statuses(self, result: verdict.Verdict) -> 'dict[str, str]':
        """Return the status per case."""
        return {c.key: c.status for c in result.cases}

    def test_true_greens(self) -> None:
        for name in ('green', 'green-words', 'green-printk-time'):
            with self.subTest(name):
                result = consoles.judge(name)
                self.assertEqual(result.reasons, [])
                self.assertEqual(result.code, EXIT_PASS)
                self.assertEqual(
                    result.counts, {'pass': 5, 'fail': 0, 'skip': 1,
                                    'crash': 0, 'hang': 0, 'missing': 0})
                self.assertTrue(result.summary().startswith(
                    'um: PASS 5 passed, 0 failed, 1 skipped in '))

    def test_untrue_greens(self) -> None:
        """Each of them is green, or may be, for kunit.py."""
        rows: Tuple[Tuple[str, Tuple[str, ...], End], ...] = (
            ('warn', ('WARNING: drivers/dmirror', 'dmirror_pt.clear_range'),
             consoles.CLEAN),
            ('warn-refcount', ('refcount_t: underflow', 'clear_range'),
             consoles.CLEAN),
            ('lockdep', ('possible circular locking', 'clear_range'),
             consoles.CLEAN),
            ('lockdep-rcu', ('suspicious RCU usage', 'clear_range'),
             consoles.CLEAN),
            ('sleeping', ('sleeping function', 'dmirror_mirror.read'),
             consoles.CLEAN),
            ('kasan', ('BUG: KASAN', 'dmirror_mirror.write'),
             consoles.CLEAN),
            ('unknown-dump', ('stack dump', 'cannot create duplicate'),
             consoles.CLEAN),
            ('taint', ('tainted (W', 'dmirror_mirror'), consoles.CLEAN),
            ('taint-unsaid', ('dmirror_mirror', 'without saying'),
             consoles.CLEAN),
            ('panic-after-last-case', ('Kernel panic', 'dmirror_mirror'),
             PANIC),
            ('panic-after-last-case', ('no result line', 'dmirror_mirror'),
             PANIC),
            ('panic-after-last-suite', ('complete, then', 'code 1'), PANIC),
            ('dead-before-suite-result', ('no result line',),
             consoles.CLEAN),
            ('hang-at-shutdown', ('hung at shutdown', '60 s'), SILENT),
            ('triple-fault', ('without shutting down',), consoles.CLEAN),
            ('all-skipped', ('Every case was skipped',), consoles.CLEAN),
            ('suite-not-ok', ('dmirror_mirror reported failure',),
             consoles.CLEAN),
            ('new-skip', ('dmirror_mirror.read was skipped',
                          'no user mm', 'um.txt'), consoles.CLEAN),
            ('stale-skip', ('dmirror_mirror.huge runs now', 'delete'),
             consoles.CLEAN),
            ('case-missing', ('dmirror_mirror.write did not run',),
             consoles.CLEAN),
            ('stray-case', ('not planned', 'stranger'), consoles.CLEAN),
            ('wrong-number', ('KTAP output is wrong', 'found 7'),
             consoles.CLEAN),
            ('truncated', ('dmirror_mirror.read crashed',), consoles.CLEAN),
            ('suite-init-failed', ('dmirror_mirror.read did not run',
                                   'failed to initialize (-12)'),
             consoles.CLEAN),
            ('suite-skipped', ('dmirror_mirror.write was skipped',
                               'no device'), consoles.CLEAN),
        )
        for name, words, end in rows:
            with self.subTest(name):
                self.red(name, *words, end=end)

    def test_no_results_at_all(self) -> None:
        self.red('no-ktap', 'KUnit never began', code=EXIT_INFRA)
        self.red('empty', 'console is empty', code=EXIT_INFRA)
        self.red('boot-panic', 'Kernel panic', end=PANIC, code=EXIT_INFRA)

    def test_green_needs_a_clean_exit(self) -> None:
        self.red('green', 'code 3', end=End('exit', 3, 1.0))
        self.red('green', 'SIGSEGV', end=End('exit', -11, 1.0))
        self.red('green', 'hung at shutdown', end=SILENT)

    def test_failure_says_where(self) -> None:
        result = self.red('fail', 'dmirror_pt.clear_range failed',
                          'pt_kunit.c:77')
        self.assertEqual(len(result.reasons), 1, result.reasons)
        self.assertEqual(result.splats, [])     # the message's text is none
        case = next(c for c in result.cases if c.status == 'fail')
        self.assertIn('page 3, step clear', case.log)

    def test_failing_parameter_is_named(self) -> None:
        result = self.red('fail-param', 'dmirror_pt.orders failed',
                          'order 9', 'pt_kunit.c:99')
        self.assertEqual(self.statuses(result)['dmirror_pt.orders[order 0]'],
                         'pass')

    def test_crash_and_hang_are_named(self) -> None:
        for name, end, status in (
                ('panic-in-case', PANIC, 'crash'),
                ('hang-in-case', SILENT, 'hang'),
                ('hang-in-case', End('limit', None, 9.0, 9.0), 'hang'),
                ('hang-in-case', consoles.CLEAN, 'crash')):
            with self.subTest(name, end=end.why):
                statuses = self.statuses(consoles.judge(name, end))
                self.assertEqual(statuses['dmirror_pt.walk'], 'pass')
                self.assertEqual(statuses['dmirror_pt.clear_range'], status)
                self.assertEqual(statuses['dmirror_pt.orders'], 'missing')
        statuses = self.statuses(consoles.judge('panic-in-param', PANIC))
        self.assertEqual(statuses['dmirror_pt.orders'], 'crash')
        statuses = self.statuses(consoles.judge('panic-between-suites',
                                                PANIC))
        self.assertEqual(statuses['dmirror_pt.orders'], 'pass')
        self.assertEqual(statuses['dmirror_mirror.read'], 'crash')

    def test_panic_is_blamed_on_its_case(self) -> None:
        result = consoles.judge('panic-in-case', PANIC)
        self.assertEqual([(s.suite, s.case) for s in result.splats],
                         [('dmirror_pt', 'clear_range')])
        self.assertIn('1 crashed', result.summary())

    def test_filtered_stale_skip_is_a_note(self) -> None:
        result = consoles.judge('stale-skip', filtered=True)
        self.assertTrue(result.green, result.reasons)
        self.assertIn('delete its line', result.notes[0])

    def test_entry_without_a_case(self) -> None:
        boot = consoles.examine('green')
        expected = dict(consoles.EXPECTED, **{'dmirror_pt.gone': 'x'})
        result = verdict.judge('um', consoles.PLAN, [boot], expected, False)
        self.assertIn('dmirror_pt.gone', ' '.join(result.reasons))
        self.assertTrue(verdict.judge('um', consoles.PLAN, [boot], expected,
                                      True).green)

    def test_nothing_planned_is_red(self) -> None:
        self.assertEqual(verdict.judge('um', [], [], {}, False).code,
                         EXIT_INFRA)
        boot = consoles.examine('green', plan=[])
        self.assertEqual(verdict.judge('um', [], [boot], {}, False).code,
                         EXIT_FAIL)

    def test_a_skip_has_its_recorded_reason(self) -> None:
        boot = consoles.examine('green')
        result = verdict.judge('um', consoles.PLAN, [boot],
                               {'dmirror_mirror.huge': 'no swap'}, False)
        self.assertEqual(result.reasons, [
            'dmirror_mirror.huge was skipped for another reason: got "no '
            'transparent huge pages", wanted "no swap" (the list of expected '
            'skips).'])

    def test_known_kernel_bugs_are_counted_apart(self) -> None:
        reason = 'known kernel bug: set_ptes() maps the wrong pages'
        boot = consoles.examine('green')
        huge = next(c for c in boot.cases if c.name == 'huge')
        huge.reason = reason
        key = 'dmirror_mirror.huge'
        result = verdict.judge('um', consoles.PLAN, [boot], {key: reason},
                               False)
        self.assertTrue(result.green, result.reasons)
        self.assertTrue(result.summary().startswith(
            'um: PASS 5 passed, 0 failed, 0 skipped, 1 known kernel bug in '),
            result.summary())
        self.assertEqual(result.notes, [f'{key} shows a {reason}'])
        data = result.as_json()
        self.assertEqual(data['known_bugs'], {key: reason})
        self.assertEqual(data['counts']['skip'], 1)
        # It has to be in the list like any other skip.
        result = verdict.judge('um', consoles.PLAN, [boot], {}, False)
        self.assertIn('which is new', result.reasons[0])
        # And fixed, it has to leave it.
        huge.status, huge.reason = 'pass', ''
        result = verdict.judge('um', consoles.PLAN, [boot], {key: reason},
                               False)
        self.assertIn('runs now', result.reasons[0])
        self.assertNotIn('known', result.summary())

    def test_known_kernel_bug_for_one_parameter(self) -> None:
        reason = 'known kernel bug: order 9'
        boot = consoles.examine('green')
        case = next(c for c in boot.cases if c.param == 'order 9')
        case.status, case.reason = 'skip', reason
        skips = dict(consoles.EXPECTED, **{case.key: reason})
        result = verdict.judge('um', consoles.PLAN, [boot], skips, False)
        self.assertTrue(result.green, result.reasons)
        self.assertIn('5 passed, 0 failed, 1 skipped, 1 known kernel bug in',
                      result.summary())

    def test_a_crash_gives_no_advice_on_skips(self) -> None:
        expected = dict(consoles.EXPECTED,
                        **{'dmirror_pt.orders[order 9]': 'x'})
        for name in ('panic-in-param', 'panic-in-case'):
            boot = consoles.examine(name, PANIC)
            result = verdict.judge('um', consoles.PLAN, [boot], expected,
                                   False)
            self.assertNotIn('delete', ' '.join(result.reasons), name)

    def test_lost_parameters(self) -> None:
        lines = consoles.console('green')
        lines.remove('        ok 2 order 9')
        report = consoles.parser().parse(iter(lines), None)
        boot = verdict.examine(consoles.PLAN, lines, [], report,
                               consoles.CLEAN)
        result = verdict.judge('um', consoles.PLAN, [boot],
                               consoles.EXPECTED, False)
        self.assertIn('dmirror_pt.orders has 1 results of parameters but '
                      'says that it ran 2', ' '.join(result.reasons))

    def test_nameless_tests_of_the_parser(self) -> None:
        lines = consoles.console('green')
        # The suite ends before its plan is fulfilled, as after a crash.
        del lines[lines.index('    ok 2 clear_range'):
                  lines.index('ok 1 dmirror_pt')]
        report = consoles.parser().parse(iter(lines), None)
        boot = verdict.examine(consoles.PLAN, lines, [], report,
                               consoles.CLEAN)
        self.assertNotIn('', [c.name for c in boot.cases])

    def test_the_same_complaint_is_one_reason(self) -> None:
        boot = consoles.examine('warn')
        boot.splats *= 30
        result = verdict.judge('um', consoles.PLAN, [boot],
                               consoles.EXPECTED, False)
        told = [r for r in result.reasons if 'Kernel complaint' in r]
        self.assertEqual(len(told), 1)
        self.assertIn('30 times', told[0])

    def test_module_taint_only_where_allowed(self) -> None:
        boot = consoles.examine('green')
        boot.taints['dmirror_pt'] = 0x41000
        plan, skips = consoles.PLAN, consoles.EXPECTED
        self.assertFalse(verdict.judge('um', plan, [boot], skips,
                                       False).green)
        self.assertTrue(verdict.judge('um', plan, [boot], skips, False,
                                      allowed_taint=0x41000).green)

    def test_second_boot_completes_the_first(self) -> None:
        first = consoles.examine('panic-between-suites', PANIC)
        rest = [p for p in consoles.PLAN if p[0] == 'dmirror_mirror'][1:]
        second = consoles.examine('green', plan=rest)
        second.cases = [c for c in second.cases
                        if (c.suite, c.name) in rest]
        result = verdict.judge('um', consoles.PLAN, [first, second],
                               consoles.EXPECTED, False)
        self.assertEqual(result.counts['crash'], 1)
        self.assertEqual(result.counts['missing'], 0)
        self.assertEqual(result.code, EXIT_FAIL)
        self.assertEqual([c.name for c in result.cases if not c.param],
                         [n for _, n in consoles.PLAN])


class Merged(unittest.TestCase):
    """Several boots, one result."""

    def test_a_result_replaces_its_absence(self) -> None:
        boots = [verdict.Boot([('a', 'x')], [ktap.Case('a', 'x', '', status)],
                              [], {}, [], [], consoles.CLEAN, True, True,
                              True)
                 for status in ('missing', 'fail', 'pass')]
        cases = verdict.judge('um', [('a', 'x')], boots, {}, False).cases
        self.assertEqual([c.status for c in cases], ['fail'])


class Lists(support.TempCase):
    """Lists of expected skips, and filters."""

    def test_skip_list(self) -> None:
        path = self.tmp / 'um.txt'
        self.assertEqual(verdict.read_skips(path), {})
        path.write_text('# why\n\na.b  no THP\na.c[order 9]\tno split\n')
        self.assertEqual(verdict.read_skips(path),
                         {'a.b': 'no THP', 'a.c[order 9]': 'no split'})
        path.write_text('a.b  x\nnonsense\n')
        with self.assertRaises(ToolError) as caught:
            verdict.read_skips(path)
        self.assertIn(f'{path}:2', caught.exception.message)

    def test_filter(self) -> None:
        plan = consoles.PLAN
        self.assertEqual(verdict.check_filter(plan, ''), plan)
        self.assertEqual(verdict.check_filter(plan, 'dmirror_pt'), plan[:3])
        self.assertEqual(verdict.check_filter(plan, '*.r*'), plan[3:4])
        for glob, near in (('dmirror_pk', 'dmirror_pt'),
                           ('clear_rang', 'dmirror_pt.clear_range'),
                           ('zzzzz', '--list')):
            with self.assertRaises(UsageError) as caught:
                verdict.check_filter(plan, glob)
            self.assertIn(near, caught.exception.message)


if __name__ == '__main__':
    unittest.main()
