# SPDX-License-Identifier: GPL-2.0
"""Tests of the cache directory, its locks and atomic directories."""

from __future__ import annotations

import errno
import fcntl
import os
import unittest
from pathlib import Path
from unittest import mock

from dmirrorlib import cache, say

from .support import TempCase, can_mount, unmount

HOLD = '''
import sys, time, pathlib
from dmirrorlib import cache, say
with cache.lock('x', 'unpacking linux 7.3'):
    pathlib.Path(sys.argv[1]).touch()
    time.sleep(60)
'''


class Places(TempCase):
    """Where the cache is."""

    def test_root_follows_xdg(self) -> None:
        self.assertEqual(cache.root(), self.tmp / 'cache/dmirror')

    def test_root_without_xdg_is_in_home(self) -> None:
        for value in ('', 'relative/path'):
            with mock.patch.dict(os.environ, XDG_CACHE_HOME=value,
                                 HOME='/nowhere'):
                self.assertEqual(cache.root(),
                                 Path('/nowhere/.cache/dmirror'))

    def test_sub_is_created(self) -> None:
        self.assertTrue(cache.sub('runs').is_dir())
        with self.assertRaises(ValueError):
            cache.sub('nonsense')

    def test_sub_that_cannot_be_created(self) -> None:
        (self.tmp / 'file').touch()
        with mock.patch.dict(os.environ,
                             XDG_CACHE_HOME=str(self.tmp / 'file')):
            with self.fails('XDG_CACHE_HOME', str(self.tmp / 'file')):
                cache.sub('runs')

    def test_free_bytes_of_what_does_not_exist_yet(self) -> None:
        free = cache.free_bytes(self.tmp / 'a/b/c')
        stat = os.statvfs(self.tmp)
        self.assertAlmostEqual(free, stat.f_bavail * stat.f_frsize,
                               delta=1 << 30)
        self.assertFalse((self.tmp / 'a').exists())


class Errors(TempCase):
    """Errors of the disk become sentences."""

    def test_full(self) -> None:
        for code in (errno.ENOSPC, errno.EDQUOT):
            with self.fails('full while unpacking', 'XDG_CACHE_HOME'):
                with cache.explain('unpacking'):
                    raise OSError(code, os.strerror(code))

    def test_denied(self) -> None:
        for code in (errno.EACCES, errno.EROFS):
            with self.fails('/x cannot be written', 'while unpacking'):
                with cache.explain('unpacking'):
                    raise OSError(code, os.strerror(code), '/x')

    def test_a_bug_stays_a_traceback(self) -> None:
        with self.assertRaises(OSError):
            with cache.explain('unpacking'):
                raise OSError(errno.EBADF, 'x')

    def test_tmpfs_that_is_full(self) -> None:
        small = self.tmp / 'small'
        if not can_mount(small, 'size=16k'):
            self.skipTest('no right to mount a tmpfs')
        self.addCleanup(unmount, small)
        with mock.patch.dict(os.environ, XDG_CACHE_HOME=str(small)):
            final = cache.sub('trees') / 'x'
            with self.fails('full while filling x'):
                with cache.publish(final, 'filling x') as tmp:
                    (tmp / 'big').write_bytes(b'x' * 100_000)
            self.assertEqual(os.listdir(final.parent), [])


class Locks(TempCase):
    """Locks between processes."""

    def holder(self) -> int:
        """Start a process that holds the lock; return its pid."""
        ready = self.tmp / 'ready'
        self.process = self.python(HOLD.replace('sys.argv[1]',
                                                repr(str(ready))))
        self.wait_for(ready)
        return self.process.pid

    def test_waits_and_says_why(self) -> None:
        pid = self.holder()

        def end(_: str) -> None:
            self.process.kill()

        with mock.patch.object(say, 'say', side_effect=end) as said:
            with cache.lock('x', 'waiting here'):
                self.assertIsNotNone(self.process.wait(5))
                with open(cache.sub('state') / 'x.lock') as file:
                    with self.assertRaises(BlockingIOError):
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        said.assert_called_once_with(
            f'another dmirror (pid {pid}) is unpacking linux 7.3; waiting')

    def test_other_names_do_not_wait(self) -> None:
        self.holder()
        with cache.lock('y', 'doing something else'):
            self.assertIsNone(self.process.poll())
        self.assertEqual(self.said, [])

    def test_ends_with_its_block(self) -> None:
        for _ in range(2):
            with self.assertRaises(KeyError):
                with cache.lock('x', 'failing'):
                    raise KeyError
        self.assertEqual(self.said, [])


class Publish(TempCase):
    """Directories that appear whole or not at all."""

    def setUp(self) -> None:
        super().setUp()
        self.final = cache.sub('trees') / 'x'

    def names(self) -> 'list[str]':
        """Return what is in the directory of self.final."""
        return sorted(os.listdir(self.final.parent))

    def test_appears_at_the_end(self) -> None:
        with cache.publish(self.final, 'testing') as tmp:
            (tmp / 'file').write_text('1')
            self.assertFalse(self.final.exists())
        self.assertEqual((self.final / 'file').read_text(), '1')
        self.assertEqual(self.names(), ['x'])

    def test_failure_leaves_the_old_one(self) -> None:
        self.test_appears_at_the_end()
        with self.assertRaises(KeyError):
            with cache.publish(self.final, 'testing') as tmp:
                (tmp / 'file').write_text('2')
                raise KeyError
        self.assertEqual((self.final / 'file').read_text(), '1')
        self.assertEqual(self.names(), ['x'])

    def test_replaces_the_old_one(self) -> None:
        self.test_appears_at_the_end()
        with cache.publish(self.final, 'testing') as tmp:
            (tmp / 'other').write_text('2')
        self.assertEqual(os.listdir(self.final), ['other'])
        self.assertEqual(self.names(), ['x'])

    def test_killed_runs_are_swept(self) -> None:
        ready = self.tmp / 'ready'
        process = self.python(f'''
import pathlib, time
from dmirrorlib import cache, say
with cache.publish(cache.sub('trees') / 'x', 'testing') as tmp:
    (tmp / 'half').touch()
    pathlib.Path({str(ready)!r}).touch()
    time.sleep(60)
''')
        self.wait_for(ready)
        process.kill()
        process.wait()
        self.assertEqual(len(self.names()), 1)
        self.assertFalse(self.final.exists())
        with cache.publish(self.final, 'testing'):
            pass
        self.assertEqual(self.names(), ['x'])
        self.assertIn('interrupted run', self.said[0])


if __name__ == '__main__':
    unittest.main()
