# SPDX-License-Identifier: GPL-2.0
"""Tests of what the doctor says of a host for User Mode Linux.

Where a host can be made to lack something, it is, in a process of its own.
"""

from __future__ import annotations

import mmap
import os
import time
import unittest
from pathlib import Path
from unittest import mock

from dmirrorlib import cache, doctor_uml
from dmirrorlib.doctor_line import FAIL, OK, WARN, Line

from .support import TOOLS, TempCase, can_mount, unmount

LIMIT = '''
import resource
resource.setrlimit(resource.RLIMIT_AS, ({0}, {0}))
'''
NO_SECCOMP = '''
good = doctor_uml._SYS_CLOCK_NANOSLEEP, doctor_uml._RET_TRAP
doctor_uml._SYS_CLOCK_NANOSLEEP = doctor_uml._SYS_SECCOMP
doctor_uml._RET_TRAP = {}
try:
    doctor_uml._seccomp_probe()
except OSError:
    pass    # the filter is there, which was the aim
doctor_uml._SYS_CLOCK_NANOSLEEP, doctor_uml._RET_TRAP = good
'''


class Uml(TempCase):
    """The checks one by one."""

    def expect(self, line: Line, level: str, *words: str) -> None:
        """Check the level and the words of a line."""
        for word in words:
            self.assertIn(word, line.text)
        self.assertEqual(line.level, level, line.text)
        self.assertNotIn('\n', line.text)

    def elsewhere(self, check: str, before: str) -> Line:
        """Make a check in a process that did something before."""
        process = self.python(
            f'from dmirrorlib import doctor_uml\n{before}\n'
            f'line = doctor_uml.{check}()\nprint(line.level, line.text)')
        out, err = process.communicate(timeout=30)
        self.assertEqual(err, '')
        level, _, text = out.rstrip('\n').partition(' ')
        return Line(level, text)

    def test_uml_tempdir(self) -> None:
        env = {k: v for k, v in os.environ.items()
               if k not in ('TMPDIR', 'TMP', 'TEMP')}
        with mock.patch.dict(os.environ, env, clear=True):
            with mock.patch.object(doctor_uml, 'fs_type',
                                   return_value='tmpfs'):
                self.assertEqual(doctor_uml.uml_tempdir(), Path('/dev/shm'))
            with mock.patch.object(doctor_uml, 'fs_type',
                                   return_value='ext4'):
                self.assertEqual(doctor_uml.uml_tempdir(), Path('/tmp'))
            # In a container all of /dev may be a tmpfs.
            with mock.patch.object(doctor_uml, 'fs_type',
                                   return_value='tmpfs'), \
                    mock.patch.object(Path, 'is_dir', return_value=False):
                self.assertEqual(doctor_uml.uml_tempdir(), Path('/tmp'))
            os.environ.update(TMPDIR='', TEMP='/x')
            self.assertEqual(doctor_uml.uml_tempdir(), Path('/x'))

    def test_fs_type(self) -> None:
        self.assertEqual(doctor_uml.fs_type(Path('/proc/self/status')),
                         'proc')
        table = ('d / ext4 rw 0 0\nd /a tmpfs rw 0 0\nd /a/b\\040c xfs rw 0 '
                 '0\nd /a/b proc rw 0 0\n')
        with mock.patch.object(Path, 'read_text', return_value=table):
            for path, kind in (('/a', 'tmpfs'), ('/ab', 'ext4'),
                               ('/a/b c/d', 'xfs'), ('/a/b', 'proc')):
                self.assertEqual(doctor_uml.fs_type(Path(path)), kind)

    def test_uml_memory(self) -> None:
        os.environ['TMPDIR'] = str(self.tmp)
        for free, kind, level, word in (
                (4 * 10 ** 9, 'tmpfs', OK, 'GB free'),
                (64 * 2 ** 20, 'tmpfs', FAIL, 'SIGBUS'),
                (512 * 2 ** 20, 'tmpfs', WARN, 'remount,size=2G'),
                (4 * 10 ** 9, 'ext4', WARN, 'no tmpfs')):
            with mock.patch.object(cache, 'free_bytes', return_value=free), \
                    mock.patch.object(doctor_uml, 'fs_type',
                                      return_value=kind):
                self.expect(doctor_uml.check_uml_memory(), level, word)
        os.environ['TMPDIR'] = str(self.tmp / 'nothing')
        self.expect(doctor_uml.check_uml_memory(), FAIL, 'TMPDIR')
        os.environ['TMPDIR'] = str(self.tmp)
        with mock.patch.object(mmap, 'mmap', side_effect=PermissionError(
                1, 'Operation not permitted')):
            self.expect(doctor_uml.check_uml_memory(), FAIL, 'noexec')

    def test_uml_memory_on_noexec(self) -> None:
        disk = self.tmp / 'disk'
        if not can_mount(disk, 'size=1m,noexec'):
            self.skipTest('no right to mount a tmpfs')
        self.addCleanup(unmount, disk)
        os.environ['TMPDIR'] = str(disk)
        self.expect(doctor_uml.check_uml_memory(), FAIL, 'noexec')

    def test_small_shm(self) -> None:
        os.environ.pop('TMPDIR', None)
        free = {str(self.tmp): 4 * 10 ** 9}
        with mock.patch.object(doctor_uml, 'uml_tempdir',
                               return_value=self.tmp / 'bin'), \
                mock.patch.object(cache, 'free_bytes', lambda path:
                                  free.get(str(path), 64 << 20)), \
                mock.patch('shutil.disk_usage',
                           return_value=mock.Mock(free=64 << 20)), \
                mock.patch('tempfile.gettempdir',
                           return_value=str(self.tmp)):
            self.expect(doctor_uml.check_uml_memory(), WARN,
                        f'keeps it in {self.tmp} instead', 'SIGBUS',
                        'remount,size=2G')
            free.clear()
            self.expect(doctor_uml.check_uml_memory(), FAIL, 'SIGBUS')

    def test_ptrace(self) -> None:
        real = doctor_uml._ptrace

        def no_sysemu(request: int, pid: int) -> None:
            if request == doctor_uml._PTRACE_SYSEMU:
                raise OSError(5, 'Input/output error')
            real(request, pid)

        def no_traceme(request: int, pid: int) -> None:
            raise OSError(1, 'Operation not permitted')

        with mock.patch.object(doctor_uml, '_ptrace', no_sysemu):
            self.expect(doctor_uml.check_ptrace(), FAIL,
                        'Input/output error', 'SYS_PTRACE')
        with mock.patch.object(doctor_uml, '_ptrace', no_traceme):
            self.expect(doctor_uml.check_ptrace(), FAIL, 'TRACEME')

    def test_a_probe_that_hangs(self) -> None:
        with mock.patch('signal.alarm', lambda _: real_alarm()), \
                mock.patch.object(doctor_uml, '_ptrace_probe',
                                  lambda: time.sleep(60)):
            self.expect(doctor_uml.check_ptrace(), FAIL, 'no answer')

    def test_address_space(self) -> None:
        self.expect(doctor_uml.check_address_space(), OK)
        self.expect(self.elsewhere('check_address_space',
                                   LIMIT.format(1 << 30)),
                    FAIL, 'Cannot allocate memory', 'ulimit -v unlimited')

    def test_memory_map(self) -> None:
        self.expect(doctor_uml.check_memory_map(), OK, '0x200000000000')
        self.expect(self.elsewhere('check_memory_map',
                                   LIMIT.format(256 << 20)
                                   + 'doctor_uml.MEMMAP_BYTES = 1 << 28'),
                    FAIL, 'Cannot allocate', 'um-stock', 'ulimit -v')
        there = ('place = doctor_uml._map(doctor_uml.MEMMAP_AT + (1 << 20), '
                 '4096)\n')
        self.expect(self.elsewhere('check_memory_map', there),
                    FAIL, 'File exists', 'um-stock')
        # And it was not replaced.
        self.expect(self.elsewhere('check_memory_map', there
                                   + 'import ctypes\n'
                                   'ctypes.memset(place, 7, 1)\n'
                                   'doctor_uml.check_memory_map()\n'
                                   'assert ctypes.string_at(place, 1) == '
                                   'b"\\7"'), FAIL)

    def test_old_hosts_take_the_address_for_a_hint(self) -> None:
        self.expect(self.elsewhere(
            'check_memory_map',
            'doctor_uml._map(doctor_uml.MEMMAP_AT, 4096)\n'
            'doctor_uml._MAP_FIXED_NOREPLACE = 0\n'),
                    FAIL, 'something else is mapped there')

    def test_overcommit(self) -> None:
        with mock.patch.object(doctor_uml, '_map', side_effect=OSError(
                12, 'Cannot allocate memory')):
            for policy, words in (('2\n', 'vm.overcommit_memory=0'),
                                  ('0\n', 'another machine')):
                with mock.patch.object(Path, 'read_text',
                                       return_value=policy):
                    self.expect(doctor_uml.check_memory_map(), FAIL, words)

    def test_shadow(self) -> None:
        self.expect(doctor_uml.check_shadow(), OK, 'um-kasan')
        self.expect(self.elsewhere('check_shadow', LIMIT.format(1 << 40)),
                    WARN, 'no tier um-kasan', 'ulimit -v')

    def test_mappings(self) -> None:
        self.expect(doctor_uml.check_mappings(), OK, '16384')
        limit = int(Path('/proc/sys/vm/max_map_count').read_text())
        if limit > 300_000:
            self.skipTest(f'this host allows {limit} mappings')
        with mock.patch.object(doctor_uml, 'MAPPINGS', 2 * limit):
            self.expect(doctor_uml.check_mappings(), WARN,
                        'Cannot allocate memory', 'vm.max_map_count')

    def test_seccomp(self) -> None:
        self.expect(doctor_uml.check_seccomp(), OK, 'um-smp')
        errno_eperm, allow = 0x00050001, doctor_uml._RET_ALLOW
        self.expect(self.elsewhere('check_seccomp',
                                   NO_SECCOMP.format(errno_eperm)),
                    WARN, 'Operation not permitted', 'no tier um-smp',
                    'seccomp=unconfined')
        self.expect(self.elsewhere(
            'check_seccomp', f'doctor_uml._RET_TRAP = {allow}'),
                    WARN, 'no SIGSYS came')
        with mock.patch('platform.machine', return_value='riscv64'):
            self.expect(doctor_uml.check_seccomp(), WARN, 'no x86-64')
        with mock.patch.object(doctor_uml, '_SYS_CLOSE_RANGE', 9999):
            self.expect(doctor_uml.check_seccomp(), WARN, 'close_range')

    def test_the_address_is_the_overlays(self) -> None:
        header = (TOOLS.parent / 'drivers/um_zone_device/include/asm'
                  / 'sparsemem.h').read_text()
        self.assertIn(f'VMEMMAP_START\t\t{doctor_uml.MEMMAP_AT:#x}UL',
                      header)

    def test_all_are_made(self) -> None:
        self.assertEqual(len(list(doctor_uml.all_checks())), 7)


def real_alarm() -> None:
    """Stand for signal.alarm(5), without the wait."""
    import signal
    signal.setitimer(signal.ITIMER_REAL, 0.2)


if __name__ == '__main__':
    unittest.main()
