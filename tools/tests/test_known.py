# SPDX-License-Identifier: GPL-2.0
"""Known failures: the list, and what they do to a verdict."""

from __future__ import annotations

import unittest
from typing import Dict, List

from dmirrorlib import ktap, known, splat, verdict
from dmirrorlib.errors import EXIT_FAIL, EXIT_PASS
from dmirrorlib.guest import End

from . import support

PLAN = [('dmirror_pt', 'walk'), ('dmirror_pt', 'clear')]


class File(support.TempCase):
    """Reading the list."""

    def read(self, text: str, version: str = '7.3.4') -> List[str]:
        """Return the cases that a list knows of a kernel."""
        path = self.tmp / 'known.txt'
        path.write_text(text)
        return list(known.read(path, version))

    def test_lines(self) -> None:
        text = ('# a comment\n\ndmirror_pt.walk  7.2-7.3  dies of it  '
                'https://lore.invalid/1\ndmirror_pt.clear\t7.2\treason\tx\n')
        self.assertEqual(self.read(text), ['dmirror_pt.walk'])
        self.assertEqual(self.read(text, '7.2.12'),
                         ['dmirror_pt.walk', 'dmirror_pt.clear'])
        self.assertEqual(known.read(self.tmp / 'none', '7.3'), {})

    def test_bad_lines(self) -> None:
        for line in ('walk  7.2  reason  link', 'a.b  7.2  reason',
                     'a.b  seven  reason  link', 'a.b  -  reason  link',
                     'a.b 7.2 reason link'):
            with self.subTest(line), self.fails('known.txt:1', 'write'):
                self.read(line + '\n')

    def test_ranges(self) -> None:
        rows = (('7.3.4', '7.3', True), ('7.3.4', '7.2', False),
                ('7.3.4', '7.3.4', True), ('7.3.4', '7.3.5-', False),
                ('7.3.4', '7.2-', True), ('7.3.4', '-7.2', False),
                ('7.3.4', '-7.3', True), ('7.3.4', '7.2-7.3', True),
                ('7.4.0-rc1', '7.2-7.3', False), ('7.4.0-rc1', 'all', True),
                ('7.10.1', '7.2-7.3', False), ('7.10.1', '7.9-', True),
                ('7.4.0-rc1', '7.4', True), ('8.0.0', '7.9-', True))
        for version, kernels, wanted in rows:
            with self.subTest(version=version, kernels=kernels):
                self.assertEqual(known.in_range(version, kernels), wanted)


class Judged(unittest.TestCase):
    """What a known failure does to a verdict."""

    def judged(self, status: str, listed: Dict[str, str],
               splats: int = 0, taint: int = 0,
               filtered: bool = False) -> verdict.Verdict:
        """Judge a boot in which dmirror_pt.walk got a status."""
        hung = status in ('hang', 'crash')
        cases = [ktap.Case('dmirror_pt', 'walk', '', status, 'why'),
                 ktap.Case('dmirror_pt', 'clear', '', 'pass')]
        boot = verdict.Boot(
            PLAN, cases, [splat.Splat(7, 'WARNING: x', 'dmirror_pt', 'walk')
                          ] * splats,
            {'dmirror_pt': splat.TAINT_TEST | taint}, [], [],
            End('silent', None, 9.0, 5.0) if hung else End('exit', 0, 0.5),
            True, not hung, not hung)
        list_ = {k: known.Known(k, '7.3', v, 'https://x.invalid/1')
                 for k, v in listed.items()}
        return verdict.judge('um', PLAN, [boot], {}, filtered, known=list_)

    def test_known_failures_are_not_red(self) -> None:
        why = {'dmirror_pt.walk': 'breaks'}
        for status in ('fail', 'crash', 'hang'):
            result = self.judged(status, why)
            self.assertEqual((result.reasons, result.code), ([], EXIT_PASS))
            self.assertEqual(result.known_failures, {
                'dmirror_pt.walk': 'breaks, see https://x.invalid/1'})
            self.assertIn('dmirror_pt.walk is known to fail',
                          result.notes[0])
            self.assertIn('0 failed, 0 skipped, 1 known failure in',
                          result.summary())
            self.assertEqual(self.judged(status, {}).code, EXIT_FAIL)
            self.assertEqual(self.judged(
                status, {'dmirror_pt.clear': 'x'}).code, EXIT_FAIL)

    def test_its_splat_and_taint_are_known_too(self) -> None:
        why = {'dmirror_pt.walk': 'breaks'}
        self.assertEqual(self.judged('pass', why, 1, 1 << 9).reasons, [])
        self.assertEqual(len(self.judged('pass', {}, 1, 1 << 9).reasons), 2)
        # But no taint that no splat explains.
        self.assertIn('tainted',
                      self.judged('fail', why, 0, 1 << 9).reasons[0])

    def test_unexpected_pass_is_told(self) -> None:
        result = self.judged('pass', {'dmirror_pt.walk': 'breaks'})
        self.assertEqual(result.code, EXIT_PASS)
        self.assertIn('walk passes, although', result.notes[0])
        result = self.judged('pass', {'dmirror_pt.walk': 'flaky: x'})
        self.assertEqual(result.notes, [])

    def test_case_that_does_not_exist(self) -> None:
        gone = {'dmirror_pt.gone': 'breaks'}
        self.assertIn('does not exist', self.judged('pass', gone).reasons[0])
        self.assertTrue(self.judged('pass', gone, filtered=True).green)
        self.assertTrue(self.judged('pass', {'hmm.other': 'x'}).green)


if __name__ == '__main__':
    unittest.main()
