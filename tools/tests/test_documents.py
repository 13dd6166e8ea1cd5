# SPDX-License-Identifier: GPL-2.0
"""The cases that the documentation names are there."""

from __future__ import annotations

import re
import unittest
from pathlib import Path
from typing import Dict, Set

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

    def test_expected_skips(self) -> None:
        for path in (PROJECT / 'kunit' / 'skips').glob('*.txt'):
            if not path.name.startswith('selftest'):
                self.check(path.read_text(), path.name)


if __name__ == '__main__':
    unittest.main()
