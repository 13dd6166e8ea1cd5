# SPDX-License-Identifier: GPL-2.0
"""coverage.py and coverage_info.py: counters off a console, lcov's files, the
table and the holes."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path
from typing import List

from dmirrorlib import coverage, coverage_info as info
from dmirrorlib.errors import ToolError

CONSOLE = '''\
ok 1 dmirror_pt
# gcov: /objects/mm/hmm.gcda 0102
[    3.000000] # gcov: /objects/mm/hmm.gcda ff
# gcov: /objects/drivers/dmirror/pt.gcda 00
# gcov: end 2
reboot: Power down
'''

INFO = '''\
TN:
SF:mm/hmm.c
FN:10,walk
FN:20,fault
DA:11,3
DA:12,0
DA:13,0
DA:21,0
DA:22,1
BRDA:11,0,0,2
BRDA:11,0,1,0
BRDA:21,0,0,-
end_of_record
SF:drivers/dmirror/pt.c
FN:1,clear
DA:2,1
DA:3,1
end_of_record
'''


class Counters(unittest.TestCase):
    """Files of counters that came over a console."""

    def test_pieces_are_put_together(self) -> None:
        files = coverage.counters(CONSOLE.splitlines())
        self.assertEqual(files, {'/objects/mm/hmm.gcda': b'\x01\x02\xff',
                                 '/objects/drivers/dmirror/pt.gcda': b'\0'})

    def test_a_console_without_any(self) -> None:
        self.assertEqual(coverage.counters(['ok 1 dmirror_pt']), {})

    def test_missing_files_are_told(self) -> None:
        for cut in ('# gcov: end 2\n',
                    '# gcov: /objects/drivers/dmirror/pt.gcda 00\n'):
            with self.assertRaises(ToolError):
                coverage.counters(CONSOLE.replace(cut, '').splitlines())

    def test_the_guests_problem_is_told(self) -> None:
        lines = ['# gcov: problem: debugfs: No such device']
        with self.assertRaisesRegex(ToolError, 'No such device'):
            coverage.counters(lines)


class Names(unittest.TestCase):
    """Names in lcov's files do not depend on where they were made."""

    def test_relative_and_only_what_counts(self) -> None:
        roots = [Path('/tree/drivers/dmirror'), Path('/tree')]
        text = ''.join(f'SF:{name}\nDA:1,1\nend_of_record\n' for name in (
            '/tree/mm/hmm.c', '/tree/drivers/dmirror/drivers/dmirror/pt.c',
            '/tree/mm/gup.c', '/elsewhere/mm/hmm.c'))
        kept = coverage.relative(text, roots, Path('/objects'))
        self.assertEqual(
            [line for line in kept.splitlines() if line.startswith('SF:')],
            ['SF:mm/hmm.c', 'SF:drivers/dmirror/pt.c'])

    def test_every_file_that_counts_is_named_to_make(self) -> None:
        options = coverage.make_options()
        self.assertIn('GCOV_PROFILE_hmm.o=y', options)
        self.assertIn('DMIRROR_GCOV=y', options)
        self.assertEqual(len(options), len(set(options)))


class Info(unittest.TestCase):
    """What lcov's files say."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / 'x.info').write_text(INFO)
        self.sources = info.read(self.folder / 'x.info')

    def reasons(self, text: str) -> List[info.Reason]:
        """Return the reasons that a file with this text holds."""
        (self.folder / 'reasons').write_text(text)
        return info.read_reasons(self.folder / 'reasons')

    def test_shares(self) -> None:
        hmm = self.sources['mm/hmm.c']
        self.assertEqual(info.lines_of([hmm]), info.Share(2, 5))
        self.assertEqual(info.branches_of([hmm]), info.Share(1, 3))
        self.assertEqual(info.lines_of([]).percent(), 100.0)
        self.assertEqual(hmm.function_at(13), 'walk')
        self.assertEqual(hmm.function_at(20), 'fault')
        self.assertEqual(hmm.function_at(1), '?')

    def test_what_is_no_such_file(self) -> None:
        (self.folder / 'bad').write_text('SF:x\nDA:one,two\n')
        for name in ('bad', 'none'):
            with self.assertRaises(ToolError):
                info.read(self.folder / name)

    def test_table(self) -> None:
        rows = info.table({'um': self.sources, 'x86': {}})
        hmm = next(r for r in rows if r.startswith('mm/hmm.c'))
        self.assertEqual(hmm.split(), ['mm/hmm.c', '40.0', '%', '33.3', '%',
                                       '-', '-'])
        driver = next(r for r in rows if 'in all' in r)
        self.assertEqual(driver.split()[3:5], ['100.0', '%'])

    def test_goals(self) -> None:
        missed = info.missed_goals(self.sources)
        self.assertTrue(any(m.startswith('mm/hmm.c: 40.0 %')
                            for m in missed), missed)
        self.assertTrue(any(m == 'mm/memremap.c was not counted at all.'
                            for m in missed), missed)
        self.assertFalse(any(m.startswith('drivers/dmirror')
                             for m in missed), missed)

    def test_holes_by_function_and_reason(self) -> None:
        texts = {'mm/hmm.c': [f'line {n};' for n in range(1, 30)]}
        found = info.holes(self.sources, texts, [])
        self.assertEqual([h.text() for h in found], [
            'mm/hmm.c:12-13 walk(): no reason on record',
            'mm/hmm.c:21 fault(): no reason on record'])
        reasons = self.reasons('# why\n\nmm/hmm.c wa* /line 13/ for a test\n')
        found = info.holes(self.sources, texts, reasons)
        self.assertEqual([h.text() for h in found], [
            'mm/hmm.c:12 walk(): no reason on record',
            'mm/hmm.c:13 walk(): for a test',
            'mm/hmm.c:21 fault(): no reason on record'])

    def test_reasons_of_another_form(self) -> None:
        with self.assertRaisesRegex(ToolError, 'reasons:2'):
            self.reasons('# fine\nmm/hmm.c walk no expression\n')

    def test_the_projects_own_reasons(self) -> None:
        project = Path(__file__).resolve().parents[2]
        for reason in info.read_reasons(project / 'kunit' / 'uncovered.txt'):
            self.assertTrue(reason.file in coverage.CORE
                            or (project / reason.file).is_file(), reason)


if __name__ == '__main__':
    unittest.main()
