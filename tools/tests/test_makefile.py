# SPDX-License-Identifier: GPL-2.0
"""The Makefile's half for people: variables reach the tool as they are."""

from __future__ import annotations

import os
import shutil
import subprocess
import unittest
from typing import List

from dmirrorlib import tiers

from . import support

MAKEFILE = support.TOOLS.parent / 'Makefile'


@unittest.skipUnless(shutil.which('make'), 'make is not installed')
class Make(support.TempCase):
    """make with a tool that only says its arguments."""

    def make(self, *words: str, **env: str) -> List[str]:
        """Return what the tool was called with, one word per line."""
        tool = self.tmp / 'tools' / 'dmirror'
        tool.parent.mkdir(exist_ok=True)
        tool.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        tool.chmod(0o755)
        (self.tmp / 'a file').touch()
        clean = {k: v for k, v in os.environ.items()
                 if not k.startswith(('MAKE', 'MFLAGS'))}
        done = subprocess.run(
            ['make', '-s', '-f', str(MAKEFILE), *words], cwd=self.tmp,
            env=dict(clean, **env), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout.splitlines()

    def test_no_shell_sees_them(self) -> None:
        self.assertEqual(self.make('run', 'FILTER=*'), ['run', '*'])
        self.assertEqual(self.make('run', "FILTER=it's; echo"),
                         ['run', "it's; echo"])
        self.assertEqual(self.make('run', 'KDIR=a b'),
                         ['run', '--kdir', 'a b'])
        self.assertEqual(self.make('doctor', KDIR='a b'),
                         ['doctor', '--kdir', 'a b'])

    def test_all_variables(self) -> None:
        self.assertEqual(
            self.make('run', 'TIER=x86_64', 'KERNEL=7.2', 'KDIR=/k',
                      'ACCEL=tcg', 'FILTER=a.b*', 'SEED=7', 'REPEAT=3',
                      'V=1'),
            ['run', '--tier', 'x86_64', '--seed', '7', '--repeat', '3',
             '--kernel', '7.2', '--kdir', '/k', '--accel', 'tcg', '-v',
             'a.b*'])
        self.assertEqual(self.make('test', 'KDIR=/k'),
                         ['test', '--kdir', '/k'])
        self.assertEqual(self.make('test'), ['test'])
        self.assertEqual(self.make('test-all', 'KDIR=/k'),
                         ['test', '--all', '--kdir', '/k'])

    def test_help_lists_the_tiers(self) -> None:
        said = self.make('help')
        start = said.index(next(line for line in said if 'TIER=' in line))
        listed = [line.split()[0] for line in said[start + 1:]
                  if line.startswith(' ' * 9)]
        self.assertEqual(listed[:len(tiers.names())], tiers.names())

    def test_obj_of_the_environment(self) -> None:
        self.assertEqual(self.make('run', obj='/somewhere'), ['run'])

    def test_obj_of_kbuild(self) -> None:
        (self.tmp / 'Makefile.build').write_text(
            'obj-y :=\n$(obj)/:\n\t@echo $(obj-y)\n'
            f'include {MAKEFILE}\n')
        for words, overlay in (((), 'drivers/um_zone_device/ '),
                               (('KBUILD_EXTMOD=x',), '')):
            done = subprocess.run(
                ['make', '-s', '-f', 'Makefile.build', 'obj=drivers/dmirror',
                 *words],
                cwd=self.tmp, stdout=subprocess.PIPE, text=True, check=False)
            self.assertEqual(done.stdout,
                             f'{overlay}drivers/dmirror/ kunit/\n')


if __name__ == '__main__':
    unittest.main()
