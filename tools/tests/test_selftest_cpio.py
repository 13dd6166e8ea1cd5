# SPDX-License-Identifier: GPL-2.0
"""The cpio writer, read back by an independent reader and by cpio itself."""

from __future__ import annotations

import shutil
import stat
import subprocess
import unittest
from typing import Dict, NamedTuple

from dmirrorlib import selftest_cpio as cpio

from . import support


class Read(NamedTuple):
    """What an archive says of one entry."""
    number: int
    mode: int
    links: int
    data: bytes
    device: 'tuple[int, int]'


def read(archive: bytes) -> Dict[str, Read]:
    """Read a newc archive, and check what the format demands."""
    found: Dict[str, Read] = {}
    at = 0
    while True:
        assert at % 4 == 0 and archive[at:at + 6] == b'070701', at
        fields = [int(archive[at + 6 + 8 * i:at + 14 + 8 * i], 16)
                  for i in range(13)]
        name_at = at + 110
        name = archive[name_at:name_at + fields[11]]
        assert name.endswith(b'\0') and b'\0' not in name[:-1]
        data_at = (name_at + fields[11] + 3) & ~3
        data = archive[data_at:data_at + fields[6]]
        assert len(data) == fields[6]
        at = (data_at + fields[6] + 3) & ~3
        text = name[:-1].decode()
        if text == 'TRAILER!!!':
            assert at == len(archive) and not data
            return found
        assert text not in found
        found[text] = Read(fields[0], fields[1], fields[4], data,
                           (fields[9], fields[10]))


class Archive(unittest.TestCase):
    """Whole archives."""

    def test_all_kinds(self) -> None:
        got = read(cpio.archive([
            cpio.directory('dev'), cpio.char_device('dev/console', 5, 1),
            cpio.file('plan', b'devices 2\n'), cpio.file('empty', b''),
            cpio.file('run', b'#!/bin/sh\n', 0o755)]))
        self.assertEqual(list(got), ['dev', 'dev/console', 'plan', 'empty',
                                     'run'])
        self.assertTrue(stat.S_ISDIR(got['dev'].mode))
        self.assertTrue(stat.S_ISCHR(got['dev/console'].mode))
        self.assertEqual(got['dev/console'].device, (5, 1))
        self.assertEqual(got['plan'].data, b'devices 2\n')
        self.assertEqual(got['run'].mode, stat.S_IFREG | 0o755)
        # Entries with the same number would be links to one file.
        self.assertEqual(len({entry.number for entry in got.values()}), 5)
        self.assertEqual([got[n].links for n in ('dev', 'plan')], [2, 1])

    def test_every_alignment(self) -> None:
        for size in range(9):
            for length in range(1, 9):
                with self.subTest(size=size, length=length):
                    name, data = 'n' * length, bytes(range(size))
                    got = read(cpio.archive([cpio.file(name, data)]))
                    self.assertEqual(got[name].data, data)

    def test_the_same_twice(self) -> None:
        entries = [cpio.directory('a'), cpio.file('a/b', b'x')]
        self.assertEqual(cpio.archive(entries), cpio.archive(entries))

    def test_refused(self) -> None:
        for words, entries in (
                ('no directory', [cpio.file('/plan', b'')]),
                ('no directory', [cpio.file('dev/null', b'')]),
                ('no directory', [cpio.file('a', b''),
                                  cpio.file('a/b', b'')]),
                ('not a new name', [cpio.file('', b'')]),
                ('not a new name', [cpio.directory('dev/')]),
                ('not a new name', [cpio.file('a\0b', b'')]),
                ('not a new name', [cpio.file('a', b'x'),
                                    cpio.file('a', b'y')]),
                ('not a new name', [cpio.file('TRAILER!!!', b'')])):
            with self.subTest([e.name for e in entries]), \
                    self.assertRaisesRegex(ValueError, words):
                cpio.archive(entries)


class Extracted(support.TempCase):
    """Archives as cpio reads them."""

    @unittest.skipUnless(shutil.which('cpio'), 'cpio is not installed')
    def test_by_cpio(self) -> None:
        archive = cpio.archive([
            cpio.directory('bin'), cpio.file('bin/x', b'12345', 0o755)])
        subprocess.run(['cpio', '-i', '--quiet'], input=archive,
                       cwd=self.tmp / 'bin', check=True)
        path = self.tmp / 'bin' / 'bin' / 'x'
        self.assertEqual(path.read_bytes(), b'12345')
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o755)


if __name__ == '__main__':
    unittest.main()
