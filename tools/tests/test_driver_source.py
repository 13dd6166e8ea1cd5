# SPDX-License-Identifier: GPL-2.0
"""The driver's source: what lib/test_hmm.c has in it and no case can show."""

from __future__ import annotations

import re
import unittest
from pathlib import Path
from typing import List

from . import support

DRIVER = support.TOOLS.parent / 'drivers' / 'dmirror'

# Messages that are compiled, but that nobody sees unless he asks for them:
# what is wrong with them stays.
DEBUG = re.compile(r'\b(?:pr_debug|pr_devel|dev_dbg|dev_vdbg|trace_printk)\b')

DEFINE = re.compile(r'^#define\s+(\w+)[( ]', re.MULTILINE)
COMMENT = re.compile(r'/\*.*?\*/|//[^\n]*', re.DOTALL)


def sources() -> List[Path]:
    """Return the driver's files; uapi.h is an ABI, used by programs too."""
    return sorted(p for p in DRIVER.glob('*.[ch]') if p.name != 'uapi.h')


def code(path: Path) -> str:
    """Return a file without its comments."""
    return COMMENT.sub('', path.read_text())


class DriverSource(unittest.TestCase):
    """Rows 29 and 39 of Documentation/differences.rst."""

    def test_there_is_a_driver(self) -> None:
        self.assertGreater(len(sources()), 20)

    def test_no_debug_messages(self) -> None:
        for path in sources():
            with self.subTest(path.name):
                self.assertIsNone(DEBUG.search(code(path)))

    def test_every_constant_is_used(self) -> None:
        everything = '\n'.join(map(code, sources()))
        found = 0
        for path in sources():
            for name in DEFINE.findall(code(path)):
                found += 1
                with self.subTest(f'{path.name}: {name}'):
                    uses = re.findall(rf'\b{name}\b', everything)
                    self.assertGreater(len(uses), 1)
        self.assertGreater(found, 5)


if __name__ == '__main__':
    unittest.main()
