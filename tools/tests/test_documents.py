# SPDX-License-Identifier: GPL-2.0
"""The cases that the documentation names are there."""

from __future__ import annotations

import re
import subprocess
import unittest
from pathlib import Path
from typing import Dict, Set, Tuple

from . import consoles

PROJECT = Path(__file__).resolve().parents[2]

_SUITE = re.compile(r'^DMIRROR_SUITE(_AS)?\((\w+),\s', re.M)
_CASE = re.compile(r'\b(?:KUNIT|DMIRROR)_CASE\w*\(\s*(\w+)')


def suites() -> Dict[str, Set[str]]:
    """Return the cases of every suite, by their names."""
    found: Dict[str, Set[str]] = {}
    for path in sorted((PROJECT / 'kunit').rglob('*_kunit.c')):
        text = path.read_text()
        for whole, name in _SUITE.findall(text):
            suite = name if whole else f'dmirror_{name}'
            found.setdefault(suite, set()).update(_CASE.findall(text))
    return found


# What looks like the beginning of a function, and a range that it fills in: by
# the call for it, or member by member.
_FUNCTION = re.compile(r'^(?:[a-z_][\w *]*?\b)?(\w+)\(', re.M)
_PRODUCER = re.compile(r'(?:mmu_notifier_range_init(?:_owner)?\(\s*[^,;]*,\s*'
                       r'|\.event\s*=\s*)MMU_NOTIFY_(\w+)')


def producers(tree: Path) -> Set[Tuple[str, str, str]]:
    """Return the function, file and event of those who tell MMU notifiers.

    Args:
        tree: a kernel tree.
    """
    files = subprocess.run(['grep', '-rl', '--include=*.[ch]', 'MMU_NOTIFY_',
                            '.'], cwd=tree, stdout=subprocess.PIPE, check=True,
                           text=True).stdout.split()
    found = set()
    for name in files:
        text = (tree / name).read_text(errors='replace')
        for call in _PRODUCER.finditer(text):
            begins = list(_FUNCTION.finditer(text, 0, call.start()))
            found.add((begins[-1].group(1), name[len('./'):], call.group(1)))
    return found


class Names(unittest.TestCase):
    """Names in Documentation and in the lists of expected skips."""

    def setUp(self) -> None:
        self.suites = suites()
        self.named = re.compile(
            r'(?<![\w/])(' + '|'.join(self.suites) + r')\.(\w+)')

    def check(self, text: str, where: str) -> int:
        """Check what a text names; return how many names it had."""
        found = self.named.findall(text)
        for suite, case in found:
            self.assertIn(case, self.suites[suite], f'{where}: {suite}')
        return len(found)

    def test_suites_are_found(self) -> None:
        self.assertIn('unmap_during_fault', self.suites['dmirror_mirror'])
        self.assertGreater(len(self.suites), 40)

    def test_documentation(self) -> None:
        names = sum(self.check(re.sub(r'\s+', ' ', path.read_text()),
                               path.name)
                    for path in (PROJECT / 'Documentation').glob('*.rst'))
        self.assertGreater(names, 100)

    def test_history(self) -> None:
        """Every bug has a row, and a row has cases or the reason."""
        text = (PROJECT / 'Documentation' / 'history.rst').read_text()
        rows = {row.split('\n')[0]: re.sub(r'\s+', ' ', row.rsplit('- ', 1)[1])
                for row in re.split(r'^   \* - ', text, flags=re.M)[1:]}
        for number in [*(f'B{i}' for i in range(1, 43)),
                       *(f'C{i}' for i in range(3, 11))]:
            cases = rows[number].strip()
            # Also of a suite that is not there.
            for suite, case in re.findall(
                    r'\b([a-z_]+)\.([a-z_0-9]{3,})\b(?![.(])',
                    cases.replace('kernel-bugs.rst', '')):
                self.assertIn(case, self.suites.get(suite, set()),
                              f'{number}: {suite}')
            if not self.named.search(cases):
                self.assertRegex(cases, r'^None\. \w', number)

    @consoles.needs_tree
    def test_producers(self) -> None:
        """Every place that begins an invalidation has a row."""
        tree = consoles.TREE
        assert tree is not None
        makefile = (tree / 'Makefile').read_text()
        if not re.search(r'^VERSION = 7\nPATCHLEVEL = 3$', makefile, re.M):
            self.skipTest('the table is about Linux 7.3')
        text = (PROJECT / 'Documentation' / 'notifiers.rst').read_text()
        rows = {tuple(row[:3]) for row in re.findall(
            r'^   \* - ``(\w+)\(\)``, (\S+)\n     - (\w+)(, owner)?$', text,
            re.M)}
        self.assertEqual(producers(tree), rows)
        self.assertEqual(len(rows), text.count('   * - ``'))

    def test_expected_skips(self) -> None:
        for path in (PROJECT / 'kunit' / 'skips').glob('*.txt'):
            if not path.name.startswith('selftest'):
                self.check(path.read_text(), path.name)


if __name__ == '__main__':
    unittest.main()
