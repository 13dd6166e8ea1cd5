# SPDX-License-Identifier: GPL-2.0
"""Tests of the doctor: each check can be red, and says what to do."""

from __future__ import annotations

import argparse
import contextlib
import io
import mmap
import os
import sys
import time
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from dmirrorlib import cache, graft, packages, verb_doctor
from dmirrorlib.packages import Item
from dmirrorlib.verb_doctor import FAIL, OK, WARN
from dmirrorlib.verb_graft import PROJECT

from .support import (TempCase, can_mount, fake_apt, make_deb, make_tree,
                      unmount)


class Checks(TempCase):
    """The checks one by one."""

    def expect(self, line: verb_doctor.Line, level: str,
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

    def own_tree(self, tree: Path) -> 'list[verb_doctor.Line]':
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
        self.expect(self.own_tree(tree)[0], OK, 'grafted to this project')
        graft.graft(tree, other, repoint=True)
        (other / 'tools/dmirrorlib').rmdir()
        (other / 'tools').rmdir()
        other.rmdir()
        self.expect(self.own_tree(tree)[0], FAIL, 'gone', 'dmirror graft')
        (tree / 'drivers/dmirror').unlink()
        self.expect(self.own_tree(tree)[0], WARN, 'half of a graft',
                    'dmirror ungraft')

    def test_own_tree_read_only(self) -> None:
        tree = make_tree(self.tmp / 'linux')
        with mock.patch.object(os, 'access', return_value=False):
            self.expect(self.own_tree(tree)[0], FAIL, 'cannot be written')

    def test_own_tree_on_a_disk_that_ignores_case(self) -> None:
        tree = make_tree(self.tmp / 'linux')
        (tree / 'mAKEFILE').touch()
        self.expect(self.own_tree(tree)[0], FAIL, 'ignores case')

    def test_uml_tempdir(self) -> None:
        env = {k: v for k, v in os.environ.items()
               if k not in ('TMPDIR', 'TMP', 'TEMP')}
        with mock.patch.dict(os.environ, env, clear=True):
            with mock.patch.object(verb_doctor, 'fs_type',
                                   return_value='tmpfs'):
                self.assertEqual(verb_doctor.uml_tempdir(), Path('/dev/shm'))
            with mock.patch.object(verb_doctor, 'fs_type',
                                   return_value='ext4'):
                self.assertEqual(verb_doctor.uml_tempdir(), Path('/tmp'))
            os.environ['TEMP'] = '/x'
            self.assertEqual(verb_doctor.uml_tempdir(), Path('/x'))

    def test_fs_type(self) -> None:
        self.assertEqual(verb_doctor.fs_type(Path('/proc/self/status')),
                         'proc')
        table = ('d / ext4 rw 0 0\nd /a tmpfs rw 0 0\nd /a/b\\040c xfs rw 0 '
                 '0\nd /a/b proc rw 0 0\n')
        with mock.patch.object(Path, 'read_text', return_value=table):
            for path, kind in (('/a', 'tmpfs'), ('/ab', 'ext4'),
                               ('/a/b c/d', 'xfs'), ('/a/b', 'proc')):
                self.assertEqual(verb_doctor.fs_type(Path(path)), kind)

    def test_uml_memory(self) -> None:
        os.environ['TMPDIR'] = str(self.tmp)
        for free, kind, level, word in (
                (4 * 10 ** 9, 'tmpfs', OK, 'GB free'),
                (64 * 2 ** 20, 'tmpfs', FAIL, 'SIGBUS'),
                (512 * 2 ** 20, 'tmpfs', WARN, 'remount,size=2G'),
                (4 * 10 ** 9, 'ext4', WARN, 'no tmpfs')):
            with mock.patch.object(cache, 'free_bytes', return_value=free), \
                    mock.patch.object(verb_doctor, 'fs_type',
                                      return_value=kind):
                self.expect(verb_doctor.check_uml_memory(), level, word)
        os.environ['TMPDIR'] = str(self.tmp / 'nothing')
        self.expect(verb_doctor.check_uml_memory(), FAIL, 'TMPDIR')
        os.environ['TMPDIR'] = str(self.tmp)
        with mock.patch.object(mmap, 'mmap', side_effect=PermissionError(
                1, 'Operation not permitted')):
            self.expect(verb_doctor.check_uml_memory(), FAIL, 'noexec')

    def test_uml_memory_on_noexec(self) -> None:
        disk = self.tmp / 'disk'
        if not can_mount(disk, 'size=1m,noexec'):
            self.skipTest('no right to mount a tmpfs')
        self.addCleanup(unmount, disk)
        os.environ['TMPDIR'] = str(disk)
        self.expect(verb_doctor.check_uml_memory(), FAIL, 'noexec')

    def test_ptrace(self) -> None:
        real = verb_doctor._ptrace

        def no_sysemu(request: int, pid: int) -> None:
            if request == verb_doctor._PTRACE_SYSEMU:
                raise OSError(5, 'Input/output error')
            real(request, pid)

        def no_traceme(request: int, pid: int) -> None:
            raise OSError(1, 'Operation not permitted')

        with mock.patch.object(verb_doctor, '_ptrace', no_sysemu):
            self.expect(verb_doctor.check_ptrace(), FAIL,
                        'Input/output error', 'SYS_PTRACE')
        with mock.patch.object(verb_doctor, '_ptrace', no_traceme):
            self.expect(verb_doctor.check_ptrace(), FAIL, 'TRACEME')

    def test_a_probe_that_hangs(self) -> None:
        with mock.patch('signal.alarm', lambda _: real_alarm()), \
                mock.patch.object(verb_doctor, '_ptrace_probe',
                                  lambda: time.sleep(60)):
            self.expect(verb_doctor.check_ptrace(), FAIL, 'no answer')

    def test_seccomp(self) -> None:
        with mock.patch.object(Path, 'read_text',
                               return_value='kill trap log\n'):
            self.expect(verb_doctor.check_seccomp(), OK)
        with mock.patch.object(Path, 'read_text', return_value='kill log\n'):
            self.expect(verb_doctor.check_seccomp(), WARN, 'several CPUs')
        with mock.patch.object(Path, 'read_text',
                               side_effect=FileNotFoundError):
            self.expect(verb_doctor.check_seccomp(), WARN)

    def test_accel(self) -> None:
        for accel, level in (('kvm', OK), ('tcg', WARN)):
            fake = SimpleNamespace(probe=lambda: SimpleNamespace(
                accel=accel, reason='because.'))
            with mock.patch.dict(sys.modules, {'dmirrorlib.accel': fake}), \
                    mock.patch('dmirrorlib.accel', fake, create=True):
                self.expect(verb_doctor.check_accel(), level, 'because.')


def real_alarm() -> None:
    """Stand for signal.alarm(5), without the wait."""
    import signal
    signal.setitimer(signal.ITIMER_REAL, 0.2)


class Verb(TempCase):
    """dmirror doctor."""

    def run_verb(self, *lines: verb_doctor.Line) -> 'tuple[int, str]':
        """Run the verb with these outcomes; return exit code and stdout."""
        parser = argparse.ArgumentParser()
        verb_doctor.add_arguments(parser)
        out = io.StringIO()
        with contextlib.redirect_stdout(out), mock.patch.object(
                verb_doctor, '_lines', return_value=lines):
            code = verb_doctor.main(parser.parse_args([]))
        return code, out.getvalue()

    def test_exit_code(self) -> None:
        good = verb_doctor.Line(OK, 'a')
        poor = verb_doctor.Line(WARN, 'b')
        bad = verb_doctor.Line(FAIL, 'c')
        self.assertEqual(self.run_verb(good, poor), (0, 'ok    a\nwarn  b\n'))
        self.assertEqual(self.run_verb(bad, good), (3, 'FAIL  c\nok    a\n'))

    def test_all_checks_together(self) -> None:
        make_deb(fake_apt(self))
        for kdir in (None, str(make_tree(self.tmp / 'linux'))):
            lines = list(verb_doctor._lines(kdir, '7.3'))
            self.assertGreater(len(lines), len(packages.ITEMS) + 7)


if __name__ == '__main__':
    unittest.main()
