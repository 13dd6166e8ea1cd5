# SPDX-License-Identifier: GPL-2.0
"""The tree's parser made flat, and the place of each result."""

from __future__ import annotations

import io
import unittest
from typing import Iterator, List
from unittest import mock

from dmirrorlib import ktap

from . import consoles, support


@consoles.needs_tree
class Flat(unittest.TestCase):
    """Consoles through the tree's parser."""

    def cases(self, name: str) -> List[ktap.Case]:
        """Return a recorded console's cases."""
        lines = consoles.console(name)
        report = consoles.parser().parse(iter(lines), None)
        return ktap.flatten(report, ktap.walk(lines), lines)

    def test_green(self) -> None:
        for name in ('green', 'green-printk-time'):
            self.assertEqual(
                [(c.key, c.status, c.reason) for c in self.cases(name)],
                [('dmirror_pt.walk', 'pass', ''),
                 ('dmirror_pt.clear_range', 'pass', ''),
                 ('dmirror_pt.orders', 'pass', ''),
                 ('dmirror_pt.orders[order 0]', 'pass', ''),
                 ('dmirror_pt.orders[order 9]', 'pass', ''),
                 ('dmirror_mirror.read', 'pass', ''),
                 ('dmirror_mirror.huge', 'skip', 'no transparent huge pages'),
                 ('dmirror_mirror.write', 'pass', '')])

    def test_line_between_a_version_and_its_subtest(self) -> None:
        lines = consoles.console('green')
        wanted = [(c.key, c.status, c.reason) for c in self.cases('green')]
        nested = [number for number, line in enumerate(lines)
                  if line.strip() == 'KTAP version 1' and line[0] == ' ']
        self.assertGreater(len(nested), 2)
        for number in nested:
            torn = lines[:]
            torn.insert(number + 1, 'input: a mouse as /devices/serio1')
            report = consoles.parser().parse(iter(torn), None)
            cases = ktap.flatten(report, ktap.walk(torn), torn)
            self.assertEqual([(c.key, c.status, c.reason) for c in cases],
                             wanted, f'after line {number}')
            self.assertEqual(report.errors, [])

    def test_skip_reason_of_an_older_parser(self) -> None:
        lines = consoles.console('green')
        report = consoles.parser().parse(iter(lines), None)
        for suite in report.root.subtests:
            for case in suite.subtests:
                if hasattr(case, 'skip_reason'):
                    del case.skip_reason
        cases = ktap.flatten(report, ktap.walk(lines), lines)
        self.assertEqual([c.reason for c in cases if c.status == 'skip'],
                         ['no transparent huge pages'])

    def test_reason_of_a_case_without_any_parameter_left(self) -> None:
        lines = ['KTAP version 1', '1..1',
                 '    KTAP version 1', '    # Subtest: s', '    1..1',
                 '        KTAP version 1', '        # Subtest: c',
                 '        ok 1 a # SKIP needs X',
                 '        ok 2 b # SKIP needs X',
                 '        ok 3 d # SKIP needs Y',
                 '    # c: pass:0 fail:0 skip:3 total:3',
                 '    ok 1 c # SKIP ', '# s: pass:0 fail:0 skip:1 total:1',
                 'ok 1 s # SKIP']
        report = consoles.parser().parse(iter(lines), None)
        cases = ktap.flatten(report, ktap.walk(lines), lines)
        self.assertEqual([(c.key, c.status, c.reason) for c in cases],
                         [('s.c', 'skip', 'needs X, needs Y'),
                          ('s.c[a]', 'skip', 'needs X'),
                          ('s.c[b]', 'skip', 'needs X'),
                          ('s.c[d]', 'skip', 'needs Y')])

    def test_failure_has_its_log(self) -> None:
        case = next(c for c in self.cases('fail') if c.status == 'fail')
        self.assertEqual(case.reason, 'EXPECTATION FAILED at '
                         'drivers/dmirror/kunit/pt_kunit.c:77: page 3, step clear')
        self.assertIn('page 3, step clear', case.log)
        self.assertNotIn('    ok 1 walk', case.log)

    def test_dead_guest_gives_what_was_done(self) -> None:
        self.assertEqual([c.key for c in self.cases('panic-in-param')],
                         ['dmirror_pt.walk', 'dmirror_pt.clear_range'])
        self.assertEqual(self.cases('empty'), [])

    def test_live_until_the_end(self) -> None:
        out = io.StringIO()
        report = consoles.parser().parse(
            iter(consoles.console('panic-in-case')), out)
        self.assertIn('[PASSED] walk', out.getvalue())
        # Not a row of nameless crashes for what the guest never began.
        self.assertNotIn('CRASHED', out.getvalue())
        self.assertEqual(report.errors, [])

    def test_live_means_before_the_next_line(self) -> None:
        out = io.StringIO()
        for i, line in enumerate(consoles.console('green')):
            if line == '    ok 2 clear_range':
                break

        def lines() -> Iterator[str]:
            for j, text in enumerate(consoles.console('green')):
                if j == i + 1:
                    self.assertIn('[PASSED] clear_range', out.getvalue())
                yield text
        consoles.parser().parse(lines(), out)

    def test_errors_are_kept(self) -> None:
        report = consoles.parser().parse(
            iter(consoles.console('wrong-number')), None)
        self.assertEqual(len(report.errors), 1)
        self.assertIn('Expected test number 2 but found 7',
                      report.errors[0])

    def test_a_parser_that_fails_is_an_error(self) -> None:
        made = consoles.parser()
        with mock.patch.object(made, '_parser') as broken:
            broken.parse_run_tests.side_effect = ValueError('past EOF')
            report = made.parse(iter(['x']), None)
        self.assertIsNone(report.root)
        self.assertIn('past EOF', report.errors[0])
        self.assertEqual(ktap.flatten(report, ktap.walk(['x']), ['x']), [])

    def test_seconds(self) -> None:
        lines = consoles.console('green')
        times = [float(i) for i in range(len(lines))]
        report = consoles.parser().parse(iter(lines), None)
        cases = {c.key: c for c in ktap.flatten(report, ktap.walk(lines),
                                                lines, times)}
        self.assertEqual(cases['dmirror_pt.clear_range'].seconds, 1.0)

    def test_rendered_results_parse(self) -> None:
        cases = self.cases('fail-param') + [
            ktap.Case('dmirror_x', 'a', '', 'hang', 'the guest hung'),
            ktap.Case('dmirror_x', 'b', '', 'missing', 'x')]
        lines = ktap.render(cases).splitlines()
        report = consoles.parser().parse(iter(lines), None)
        self.assertEqual(report.errors, [])
        counts = report.root.counts
        self.assertEqual((counts.passed, counts.failed, counts.skipped,
                          counts.crashed), (4, 3, 1, 0))


class Settled(unittest.TestCase):
    """Lines in the order that the parser needs."""

    def test_order(self) -> None:
        version = '    KTAP version 1'
        for lines, wanted in (
                (['a', version, '    # Subtest: s'],
                 ['a', version, '    # Subtest: s']),
                (['a', version, 'b', 'c', '    # Subtest: s', 'd'],
                 ['a', 'b', 'c', version, '    # Subtest: s', 'd']),
                ([version, 'b', '    1..2'], ['b', version, '    1..2']),
                ([version, version, 'b'], [version, 'b', version]),
                (['KTAP version 1', 'b'], ['KTAP version 1', 'b']),
                (['[    1.000000] KTAP version 1', '[    1.100000] b'],
                 ['[    1.000000] KTAP version 1', '[    1.100000] b'])):
            self.assertEqual(list(ktap.settled(lines)), wanted, lines)


class Walk(support.TempCase):
    """The place of each result, without a parser."""

    def test_owners(self) -> None:
        lines = consoles.console('green')
        place = ktap.walk(lines)
        owner = dict(zip(lines, place.owners))
        self.assertEqual(owner['    # dmirror_pt: seed 0x5eed'],
                         ('dmirror_pt', 'walk'))
        self.assertEqual(owner['        ok 2 order 9'],
                         ('dmirror_pt', 'orders'))
        self.assertEqual(owner['Running RCU self tests'], ('', ''))
        self.assertEqual(place.owners[-1], ('', ''))
        self.assertEqual(place.open_suite, '')
        self.assertEqual(list(ktap.suite_results(place)),
                         ['dmirror_pt', 'dmirror_mirror'])

    def test_dead_guest(self) -> None:
        lines = consoles.console('panic-in-case')
        place = ktap.walk(lines)
        self.assertEqual(place.open_suite, 'dmirror_pt')
        self.assertIn('Kernel panic', lines[place.tail])

    def test_failure_tells_the_message(self) -> None:
        where = '    # walk: EXPECTATION FAILED at pt_kunit.c:62'
        rows = (
            ([where, 'page 3: got r wanted w', '    # walk: other FAILED at',
              'not this'], ': page 3: got r wanted w'),
            ([where, '    Expected a == b, but', '        a == 1', '',
              '  page 5 after munmap', '        not ok 1 x', 'nor this'],
             ': page 5 after munmap'),
            ([where, '    # walk: pass:0'], ''),
            ([where], ''),
            (['    # walk: try timed out', 'x'], None),
        )
        for log, want in rows:
            got = ktap.failure(log)
            if want is None:
                self.assertEqual(got, 'try timed out: x')
            else:
                self.assertEqual(
                    got, 'EXPECTATION FAILED at pt_kunit.c:62' + want)
        self.assertEqual(ktap.failure(['nothing of note']), '')

    def test_half_a_result_is_none(self) -> None:
        lines = ['KTAP version 1', '    # Subtest: s', '    ok 1 ']
        self.assertEqual(ktap.walk(lines).events, [])

    def test_list(self) -> None:
        self.assertEqual(ktap.listed(
            ['a.b', 'KTAP version 1', 's', 's.one', '[    1.2] s.two',
             'x y.z', 'a.b.c', 'reboot: System halted']),
            [('s', 'one'), ('s', 'two')])

    def test_no_parser(self) -> None:
        with self.fails('no KTAP parser', str(self.tmp)):
            ktap.Parser(self.tmp)


if __name__ == '__main__':
    unittest.main()
