# SPDX-License-Identifier: GPL-2.0
"""What two kernels' runs are said to differ in, and what not."""

from __future__ import annotations

import unittest
from typing import List, Sequence

from dmirrorlib import compare, compare_text, ktap, splat, trial
from dmirrorlib.compare import CHANGED, FIXED, FLAKY, SAME, WORSE
from dmirrorlib.store import Run

KEY = 'dmirror_pt.walk'


def run(words: str, seconds: float = 0.01, seed: str = '7',
        splats: Sequence[splat.Splat] = (), tier: str = 'um',
        complaints: Sequence[str] = ()) -> Run:
    """Return a run with 'case=status[:reason]' words; others pass."""
    cases = [ktap.Case('dmirror_pt', 'other', '', 'pass', '', [], 0.01)]
    for word in words.split(';'):
        name, _, status = word.strip().partition('=')
        status, _, reason = status.partition(':')
        if not status:
            continue
        name, _, param = name.partition('[')
        cases.append(ktap.Case('dmirror_pt', name, param.rstrip(']'), status,
                               reason, [], seconds))
    return Run(tier, 0, 'summary', cases, list(splats),
               {'project': 'f' * 40, 'compiler': 'gcc 99', 'host': 'x'},
               seeds=[seed], complaints=list(complaints))


def runs(*counts: 'tuple[str, int]') -> List[Run]:
    """Return runs in which `walk` had the given statuses so many times."""
    return [run(f'walk={status}' if status else '')
            for status, count in counts for _ in range(count)]


class Decisions(unittest.TestCase):
    """Rates."""

    def test_chance(self) -> None:
        self.assertAlmostEqual(compare.chance(0, 5, 5, 5), 1 / 252)
        self.assertAlmostEqual(compare.chance(0, 1, 1, 1), 0.5)
        self.assertAlmostEqual(compare.chance(0, 5, 2, 5), 10 / 45)
        self.assertAlmostEqual(compare.chance(2, 5, 2, 5), 0.5 + 0.2380952,
                               places=6)
        # All tables with the same sums make one.
        whole = sum(compare.chance(4 - k, 6, k, 7)
                    - (compare.chance(3 - k, 6, k + 1, 7) if k < 4 else 0)
                    for k in range(5))
        self.assertAlmostEqual(whole, 1.0)

    def test_decide(self) -> None:
        rows = (((0, 1, 0, 1), SAME), ((1, 1, 1, 1), SAME),
                ((0, 1, 1, 1), WORSE), ((1, 1, 0, 1), FIXED),
                ((0, 5, 5, 5), WORSE), ((0, 5, 2, 5), FLAKY),
                ((2, 5, 0, 5), FLAKY), ((2, 5, 2, 5), FLAKY),
                ((0, 20, 8, 20), WORSE), ((8, 20, 0, 20), FIXED),
                ((1, 20, 3, 20), FLAKY), ((1, 20, 19, 20), WORSE),
                ((19, 20, 1, 20), FIXED), ((0, 0, 1, 1), SAME),
                ((0, 20, 1, 1), WORSE))
        for numbers, wanted in rows:
            with self.subTest(numbers):
                self.assertEqual(compare.decide(*numbers), wanted)


class Cases(unittest.TestCase):
    """Rows."""

    def row(self, base: List[Run], head: List[Run],
            key: str = KEY, base_alone: Sequence[Run] = (),
            head_alone: Sequence[Run] = ()) -> compare.Row:
        """Return the row of a case; no other may differ."""
        found = compare.compare(base, head, base_alone, head_alone)
        rows = [r for r in found.rows if r.key == key]
        self.assertEqual(len(rows), 1, [r.key for r in found.rows])
        others = [r.key for r in found.rows
                  if r.key != key and r.change != SAME]
        self.assertEqual(others, [])
        return rows[0]

    def test_statuses(self) -> None:
        bug = 'skip:known kernel bug: x'
        rows = (
            ('pass', 'pass', SAME), ('fail', 'fail', SAME),
            ('skip:a', 'skip:a', SAME), (bug, bug, SAME), ('', '', SAME),
            ('pass', 'fail', WORSE), ('pass', 'crash', WORSE),
            ('pass', 'hang', WORSE), ('pass', 'missing', WORSE),
            ('pass', bug, WORSE), ('pass', 'skip:a', WORSE),
            ('pass', '', WORSE), ('skip:a', 'fail', WORSE),
            ('', 'fail', WORSE), (bug, 'fail', WORSE), ('fail', 'hang', WORSE),
            ('fail', 'crash', WORSE), (bug, 'hang', WORSE),
            ('fail', 'pass', FIXED), ('hang', 'pass', FIXED),
            (bug, 'pass', FIXED), ('missing', 'pass', FIXED),
            ('crash', 'fail', FIXED), ('fail', bug, FIXED),
            ('skip:a', 'pass', CHANGED), ('', 'pass', CHANGED),
            ('skip:a', 'skip:b', CHANGED), ('fail', 'skip:a', CHANGED),
            (bug, 'skip:a', CHANGED), ('skip:a', bug, CHANGED),
            ('crash', 'hang', CHANGED), ('fail', 'missing', CHANGED))
        for one, two, wanted in rows:
            for times in (1, 3):
                with self.subTest(base=one, head=two, times=times):
                    if one == two == '':
                        continue
                    row = self.row(runs((one, times)), runs((two, times)))
                    self.assertEqual(row.change, wanted)
                    compare_text.why(row)

    def test_flaky(self) -> None:
        half = runs(('pass', 3), ('fail', 2))
        self.assertEqual(self.row(half, half).change, FLAKY)
        self.assertEqual(self.row(runs(('pass', 5)), half).change, FLAKY)
        self.assertEqual(self.row(half, runs(('pass', 5))).change, FLAKY)
        often = runs(('pass', 10), ('fail', 10))
        row = self.row(runs(('pass', 20)), often)
        self.assertEqual((row.change, row.fails(True)), (WORSE, (10, 20)))
        row = self.row(runs(('skip:a', 2), ('pass', 1)), runs(('pass', 3)))
        self.assertEqual(row.change, FLAKY)

    def test_parameter_behind_an_unchanged_case(self) -> None:
        base = [run('walk=fail; walk[a]=fail; walk[b]=pass')]
        head = [run('walk=fail; walk[a]=pass; walk[b]=fail')]
        found = compare.compare(base, head)
        self.assertEqual({r.key: r.change for r in found.rows
                          if r.change != SAME},
                         {'dmirror_pt.walk[a]': FIXED,
                          'dmirror_pt.walk[b]': WORSE})
        # One that its case speaks for is not repeated.
        found = compare.compare([run('walk=pass; walk[a]=pass')],
                                [run('walk=fail; walk[a]=fail')])
        self.assertEqual([r.key for r in found.of(WORSE)], [KEY])

    def test_parameters_of_a_case_that_died(self) -> None:
        died = [run('walk=crash')]
        fine = [run('walk=pass; walk[order 0]=pass; walk[order 9]=pass')]
        for base, head, change in ((died, fine, FIXED), (fine, died, WORSE)):
            found = compare.compare(base, head)
            self.assertEqual([(r.key, r.change) for r in found.rows
                              if r.change != SAME], [(KEY, change)])

    def test_complaint_during_a_passing_case(self) -> None:
        warn = splat.Splat(9, 'WARNING: mm/x.c:1 at f', 'dmirror_pt', 'walk',
                           ['f', 'g'])
        head = [run('walk=pass', splats=[warn])]
        row = self.row([run('walk=pass')], head)
        self.assertEqual((row.change, row.word(True)), (WORSE, 'complaint'))
        self.assertIn('mm/x.c', row.message(True))
        found = compare.compare([run('walk=pass')], head)
        self.assertEqual([(s.base, s.head) for s in found.splats], [(0, 1)])
        self.assertIn('New kernel complaints:\n  dmirror_pt.walk: WARNING: '
                      'mm/x.c:1 at f [f < g]', compare_text.table(found))
        more = [run('walk=pass', splats=[splat.Splat(
            9, f'WARNING: mm/x.c:{i} at f', 'dmirror_pt', 'walk', [f'h{i}'])
            for i in range(5)])]
        text = compare_text.table(compare.compare([run('walk=pass')], more))
        self.assertIn('and 4 more with this title', text)
        # The same complaint on both sides is no difference.
        again = [run('walk=pass', splats=[splat.Splat(
            99, 'WARNING: mm/x.c:1 at f', 'dmirror_pt', 'walk',
            ['f', 'g'])])]
        found = compare.compare(again, head)
        self.assertEqual((found.of(WORSE), found.splats), ([], []))

    def test_complaint_outside_the_cases(self) -> None:
        for suite in ('', 'dmirror_pt'):
            warn = splat.Splat(9, 'BUG: x', suite, '')
            found = compare.compare([run('')], [run('', splats=[warn])])
            self.assertEqual([r.change for r in found.rows], [SAME, WORSE])
            self.assertIn('outside', found.rows[1].key)

    def test_complaints_about_a_run(self) -> None:
        def hung(seconds: str) -> Run:
            return run('', complaints=[
                'The tests were complete, then the guest hung at shutdown: '
                f'it printed nothing for {seconds} s and was ended.'])

        found = compare.compare([run('')], [hung('15')])
        self.assertTrue(found.worse)
        self.assertFalse(compare.compare([hung('15')], [hung('20.5')]).worse)
        self.assertFalse(compare.compare([hung('15')], [run('')]).worse)
        # A taint is explained by its splat.
        warn = splat.Splat(9, 'WARNING: x', 'dmirror_pt', 'other')
        found = compare.compare([run('')], [run('', splats=[warn], complaints=[
            'The kernel is tainted (W, mask 0x200) at the end of suite x.'])])
        self.assertEqual([r.key for r in found.of(WORSE)],
                         ['dmirror_pt.other'])

    def test_known_failures_are_never_worse(self) -> None:
        head = runs(('fail', 3))
        for one in head:
            one.known_failures[KEY] = 'breaks, see x'
        row = self.row(runs(('pass', 3)), head)
        self.assertEqual((row.change, row.word(True)),
                         (CHANGED, 'known failure'))

    def test_not_when_run_alone(self) -> None:
        full, fine = runs(('fail', 1)), runs(('pass', 1))
        row = self.row(fine, full, KEY, runs(('pass', 2)),
                       runs(('fail', 2)))
        self.assertEqual((row.change, row.fails(True), row.remark),
                         (WORSE, (3, 3), ''))
        row = self.row(fine, full, KEY, runs(('pass', 2)),
                       runs(('pass', 2)))
        self.assertEqual((row.change, row.fails(True), row.remark),
                         (WORSE, (1, 1), 'not when run alone (0:2)'))
        row = self.row(runs(('pass', 3)), runs(('fail', 1), ('pass', 2)), KEY,
                       runs(('pass', 2)), runs(('pass', 2)))
        self.assertEqual((row.change, row.fails(True)), (FLAKY, (1, 3)))

    def test_tiers_are_apart(self) -> None:
        base = [run('walk=pass'), run('walk=pass', tier='x86_64')]
        head = [run('walk=pass'), run('walk=fail', tier='x86_64')]
        found = compare.compare(base, head)
        self.assertEqual([(r.tier, r.key) for r in found.of(WORSE)],
                         [('x86_64', KEY)])
        self.assertIn('  x86_64 dmirror_pt.walk', compare_text.table(
            found, tiers=2))

    def test_slower(self) -> None:
        def timed(*seconds: float) -> List[Run]:
            return [run('walk=pass', s) for s in seconds]

        rows = (((0.1, 0.1), (0.3, 0.25), True), ((0.1,), (0.3,), False),
                ((0.1,), (0.9,), True), ((0.001, 0.001), (0.01, 0.01), False),
                ((0.1, 0.4), (0.3, 0.5), False))
        for base, head, wanted in rows:
            with self.subTest(base=base, head=head):
                found = compare.compare(timed(*base), timed(*head))
                self.assertEqual(bool(found.slower), wanted)
                self.assertFalse(found.worse)
        self.assertIn('0.100 s, now 0.900 s (9.0 times)', compare_text.table(
            compare.compare(timed(0.1), timed(0.9))))


class Unsettled(unittest.TestCase):
    """What is run again."""

    def unsettled(self, base: List[Run], head: List[Run]) -> List[str]:
        """Return the cases that more runs would tell more about."""
        return [r.key for r in compare.compare(base, head).rows
                if trial.unsettled(r)]

    def test_until_it_is_certain(self) -> None:
        rows = ((('pass', 1), ('fail', 1), True),
                (('pass', 3), ('fail', 3), False),
                (('pass', 1), ('hang', 1), True),
                (('pass', 2), ('hang', 2), False),
                (('pass', 1), ('pass', 1), False),
                (('pass', 1), ('skip:a', 1), False),
                (('pass', 1), ('missing', 1), False),
                (('fail', 1), ('pass', 1), True))
        for one, two, wanted in rows:
            with self.subTest(base=one, head=two):
                self.assertEqual(bool(self.unsettled(
                    runs(one), runs(two))), wanted)
        half = runs(('pass', 3), ('fail', 2))
        self.assertTrue(self.unsettled(half, half))
        half = runs(('pass', 15), ('fail', 5))
        self.assertFalse(self.unsettled(half, half))


class Words(unittest.TestCase):
    """Tables and replies."""

    def test_table(self) -> None:
        found = compare.compare(
            [run('walk=pass; bug=skip:known kernel bug: x; odd=skip:a')] * 5,
            [run('walk=fail:it broke; bug=pass; odd=skip:b')] * 5)
        text = compare_text.table(found)
        for line in ('Got worse:', 'Got better:', 'Differ otherwise:',
                     '  dmirror_pt.walk      0:5   +100%      5:5',
                     '      pass, now fail: it broke',
                     '  dmirror_pt.bug      5:5   -100%      0:5',
                     '      known bug, now pass: known kernel bug: x',
                     '  dmirror_pt.odd     skip             skip',
                     'WORSE: 1 worse, 1 better, 1 different otherwise, 1 as '
                     'before'):
            self.assertIn(line + '\n', text)
        self.assertLessEqual(max(map(len, text.splitlines())), 78)

    def test_many_of_a_kind_are_one(self) -> None:
        words = '; '.join(f'c{i}=STATUS:12 guests had died before'
                          for i in range(100))
        found = compare.compare([run(words.replace('STATUS', 'pass'))],
                                [run(words.replace('STATUS', 'missing'))])
        text = compare_text.table(found)
        self.assertIn('and 99 other cases in the same way', text)
        self.assertLess(len(text.splitlines()), 12)

    def test_reply(self) -> None:
        base = [run('walk=pass', seed=str(s)) for s in (1, 2)]
        head = [run('walk=fail:it broke', seed=str(s)) for s in (1, 2)]
        text = compare_text.reply('"mm: x"', 'v7.3', base,
                                  compare.compare(base, head))
        for words in ('dmirror (ffffffffffff)', 'with: "mm: x"',
                      'base: v7.3', '2 cases, 2 runs each, seeds 1, 2',
                      '1 case got worse (failures:runs):', '0:2', '2:2',
                      'it broke'):
            self.assertIn(words, text)
        for words in ('Tested-by', 'Reported-by', 'Nothing got worse'):
            self.assertNotIn(words, text)
        text = compare_text.reply('x', 'y', base, compare.compare(base, base))
        self.assertIn('Nothing got worse; 2 cases are as before.', text)

    def test_data(self) -> None:
        found = compare.compare([run('walk=pass')], [run('walk=fail:a\nb')])
        data = compare_text.as_data(found)
        self.assertEqual(data['rows'][0]['case'], KEY)
        self.assertEqual((data['rows'][0]['fails'], data['rows'][0]['runs'],
                          data['worse'], data['same']),
                         ([0, 1], [1, 1], True, 1))


if __name__ == '__main__':
    unittest.main()
