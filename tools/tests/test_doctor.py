# SPDX-License-Identifier: GPL-2.0
"""Tests of the doctor: each check can be red, and says what to do."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from dmirrorlib import cache, graft, packages, patches, verb_doctor
from dmirrorlib.doctor_line import FAIL, OK, WARN, Line
from dmirrorlib.packages import Item
from dmirrorlib.verb_graft import PROJECT

from .support import TempCase, fake_apt, make_deb, make_tree


class Checks(TempCase):
    """The checks one by one."""

    def expect(self, line: Line, level: str,
               *words: str) -> None:
        """Check the level and the words of a line."""
        for word in words:
            self.assertIn(word, line.text)
        self.assertEqual(line.level, level, line.text)
        self.assertNotIn('\n', line.text)

    def test_python(self) -> None:
        self.expect(verb_doctor.check_python(), OK, 'Python 3')
        with mock.patch.object(sys, 'version_info', (3, 8, 0)):
            self.expect(verb_doctor.check_python(), FAIL, '3.9')

    def test_packages(self) -> None:
        items = (
            Item('sh', 'dash', frozenset(('um',)), '', program='sh'),
            Item('frob', 'frob-pkg', frozenset(('um', 'x86_64')),
                 'no frobbing', program='dmt-frob'),
            Item('twist', 'twist-pkg', frozenset(('x86_64',)), 'no twist',
                 program='dmt-twist'),
            Item('speed', 'speed-pkg', frozenset(('um',)), 'all is slow',
                 program='dmt-speed', required=False))
        with mock.patch.object(packages, 'ITEMS', items):
            with mock.patch.object(packages, 'root_prefix',
                                   return_value=None):
                lines = list(verb_doctor.check_packages())
            self.assertEqual([line.level for line in lines],
                             [OK, FAIL, WARN, WARN])
            self.expect(lines[1], FAIL, 'frob is missing (um, x86_64)',
                        'no frobbing', 'apt-get install', 'frob-pkg')
            self.expect(lines[3], WARN, 'all is slow', 'speed-pkg')
            # Where `run` installs them itself, it is possible.
            self.program('apt-get', 'true')
            with mock.patch.object(packages, 'root_prefix',
                                   return_value=[]):
                lines = list(verb_doctor.check_packages())
            self.expect(lines[1], WARN, '`dmirror run` installs it')

    def test_gcov(self) -> None:
        self.program('gcc', 'echo "gcc (Debian 12.2.0-14) 12.2.0"')
        self.program('gcov', 'echo "gcov (Debian 12.2.0-14) 12.2.0"')
        self.expect(next(verb_doctor.check_gcov()), OK, '12.2.0')
        self.program('gcov', 'echo "gcov (GCC) 11.1.0"')
        self.expect(next(verb_doctor.check_gcov()), WARN, '11.1.0', 'gcc '
                    '12.2.0', 'no coverage')
        with mock.patch.dict(os.environ, PATH=str(self.tmp)):
            self.expect(next(verb_doctor.check_gcov()), WARN, 'missing')

    def test_memory(self) -> None:
        for amount, level in ((1_000_000, WARN), (8_000_000, OK)):
            text = f'MemTotal: 1 kB\nMemAvailable:   {amount} kB\n'
            with mock.patch.object(Path, 'read_text', return_value=text):
                self.expect(verb_doctor.check_memory(), level, 'GB of memory')

    def test_disk(self) -> None:
        def levels(free: int, own_tree: bool) -> 'list[str]':
            with mock.patch.object(cache, 'free_bytes', return_value=free):
                return [line.level for line in
                        verb_doctor.check_disk('7.3', own_tree)]

        self.assertEqual(levels(4 * 10 ** 9, False), [OK])
        self.assertEqual(levels(2 * 10 ** 9, False), [FAIL])
        self.assertEqual(levels(2 * 10 ** 9, True), [OK])
        self.assertEqual(levels(10 ** 8, True), [FAIL])
        (self.tmp / 'file').touch()
        os.environ['XDG_CACHE_HOME'] = str(self.tmp / 'file')
        self.assertEqual(levels(4 * 10 ** 9, False), [OK, FAIL])

    def test_kernel_source(self) -> None:
        archive = fake_apt(self)
        self.expect(verb_doctor.check_kernel_source('7.3'), WARN,
                    'apt has no linux-source-7.3', 'KDIR')
        make_deb(archive)
        self.expect(verb_doctor.check_kernel_source('7.3'), OK,
                    'linux-source-7.3 7.3.4-1~bpo1', 'apt')
        tree = make_tree(cache.sub('trees') / 'linux-7.3')
        (tree / '.dmirror-tree.json').write_text('{}')
        self.expect(verb_doctor.check_kernel_source('7.3'), OK, str(tree))
        with mock.patch.dict(os.environ, PATH=str(self.tmp)):
            self.expect(verb_doctor.check_kernel_source('7.2'), WARN,
                        'apt-get is not installed', 'kernel.org')

    def own_tree(self, tree: Path) -> 'list[Line]':
        """Return the lines about a user's tree but the first, its name."""
        first, *rest = verb_doctor.check_own_tree(tree)
        self.expect(first, OK, 'Linux 7.3.4')
        return rest

    def test_own_tree(self) -> None:
        self.expect(next(verb_doctor.check_own_tree(self.tmp)), FAIL,
                    'not the top of a kernel')
        tree = make_tree(self.tmp / 'linux')
        lines = self.own_tree(tree)
        self.expect(lines[0], OK, 'has no graft')
        self.assertEqual(len(lines), 1)

    def test_own_tree_that_was_built_in(self) -> None:
        for name in ('.config', 'include/config/x',
                     'arch/x86/include/generated/x'):
            tree = make_tree(self.tmp / name.replace('/', '-'))
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).touch()
            self.expect(self.own_tree(tree)[0], FAIL, 'not clean',
                        'mrproper', 'worktree')

    def test_own_tree_and_its_graft(self) -> None:
        tree = make_tree(self.tmp / 'linux')
        other = self.tmp / 'other'
        (other / 'tools/dmirrorlib').mkdir(parents=True)
        graft.graft(tree, other)
        self.expect(self.own_tree(tree)[0], WARN, str(other), '--repoint')
        graft.graft(tree, PROJECT, repoint=True)
        lines = self.own_tree(tree)
        self.expect(lines[0], OK, 'grafted to this project')
        self.expect(lines[1], WARN, 'no tier um-full', '--patches')
        graft.graft(tree, other, repoint=True)
        (other / 'tools/dmirrorlib').rmdir()
        (other / 'tools').rmdir()
        other.rmdir()
        self.expect(self.own_tree(tree)[0], FAIL, 'gone', 'dmirror graft')
        (tree / 'drivers/dmirror').unlink()
        self.expect(self.own_tree(tree)[0], WARN, 'half of a graft',
                    'dmirror ungraft')

    def test_own_tree_with_patches(self) -> None:
        tree = make_tree(self.tmp / 'linux')
        graft.graft(tree, PROJECT)
        with mock.patch.object(patches, 'state',
                               return_value=patches.CURRENT):
            self.expect(self.own_tree(tree)[1], OK, 'um-full')
        cached = make_tree(cache.sub('trees') / 'linux-7.3')
        graft.graft(cached, PROJECT)
        self.expect(self.own_tree(cached)[1], OK, 'a copy of the tree')
        self.assertEqual(os.listdir(cached.parent), ['linux-7.3'])

    def test_own_tree_with_its_own_header(self) -> None:
        tree = make_tree(self.tmp / 'linux')
        (tree / graft.HEADER).write_text('upstream has it now\n')
        graft.graft(tree, PROJECT)
        lines = self.own_tree(tree)
        self.expect(lines[0], OK, 'grafted to this project')
        self.expect(lines[1], WARN, 'brings its own', 'steps aside')

    def test_own_tree_read_only(self) -> None:
        tree = make_tree(self.tmp / 'linux')
        with mock.patch.object(os, 'access', return_value=False):
            self.expect(self.own_tree(tree)[0], FAIL, 'cannot be written')

    def test_own_tree_on_a_disk_that_ignores_case(self) -> None:
        tree = make_tree(self.tmp / 'linux')
        (tree / 'mAKEFILE').touch()
        self.expect(self.own_tree(tree)[0], FAIL, 'ignores case')

    def test_accel(self) -> None:
        for accel, level in (('kvm', OK), ('tcg', WARN)):
            fake = SimpleNamespace(probe=lambda: SimpleNamespace(
                accel=accel, reason='because.'))
            with mock.patch.dict(sys.modules, {'dmirrorlib.accel': fake}), \
                    mock.patch('dmirrorlib.accel', fake, create=True):
                self.expect(verb_doctor.check_accel(), level, 'because.')


class Verb(TempCase):
    """dmirror doctor."""

    def run_verb(self, *lines: Line) -> 'tuple[int, str]':
        """Run the verb with these outcomes; return exit code and stdout."""
        parser = argparse.ArgumentParser()
        verb_doctor.add_arguments(parser)
        out = io.StringIO()
        with contextlib.redirect_stdout(out), mock.patch.object(
                verb_doctor, '_lines', return_value=lines):
            code = verb_doctor.main(parser.parse_args([]))
        return code, out.getvalue()

    def test_exit_code(self) -> None:
        good = Line(OK, 'a')
        poor = Line(WARN, 'b')
        bad = Line(FAIL, 'c')
        self.assertEqual(self.run_verb(good, poor), (0, 'ok    a\nwarn  b\n'))
        self.assertEqual(self.run_verb(bad, good), (3, 'FAIL  c\nok    a\n'))

    def test_all_checks_together(self) -> None:
        make_deb(fake_apt(self))
        for kdir in (None, str(make_tree(self.tmp / 'linux'))):
            lines = list(verb_doctor._lines(kdir, '7.3'))
            self.assertGreater(len(lines), len(packages.ITEMS) + 7)


if __name__ == '__main__':
    unittest.main()
