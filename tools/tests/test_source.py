# SPDX-License-Identifier: GPL-2.0
"""Tests of finding and getting kernel trees."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import signal
import unittest
from pathlib import Path
from unittest import mock

from dmirrorlib import apt, cache, source, verb_kernel
from dmirrorlib.errors import ToolError

from .support import (TempCase, can_mount, fake_apt, make_deb, make_tree,
                      unmount)
from .test_tarball import Server, make_kernel_org

FIND = '''
from dmirrorlib import source
print(source.find_tree(None).path)
'''


class OwnTree(TempCase):
    """Trees that the user gives."""

    def test_argument_and_environment(self) -> None:
        one = make_tree(self.tmp / 'one', '6.1.7')
        two = make_tree(self.tmp / 'two', '7.4.0')
        with mock.patch.dict(os.environ, KDIR=str(two)):
            self.assertEqual(source.find_tree(str(one)),
                             source.Tree(one, '6.1.7', False))
            self.assertEqual(source.find_tree(None),
                             source.Tree(two, '7.4.0', False))

    def test_extraversion(self) -> None:
        tree = make_tree(self.tmp / 'x', '7.4.0')
        makefile = tree / 'Makefile'
        makefile.write_text(makefile.read_text().replace(
            'EXTRAVERSION =', 'EXTRAVERSION = -rc3'))
        self.assertEqual(source.find_tree(str(tree)).version, '7.4.0-rc3')

    def test_no_directory(self) -> None:
        with self.fails('not a directory', 'KDIR', code=2):
            source.find_tree(str(self.tmp / 'nothing'))

    def test_no_kernel(self) -> None:
        (self.tmp / 'Makefile').write_text('all:\n')
        with self.fails('not the top of a kernel source tree', code=2):
            source.find_tree(str(self.tmp))

    def test_no_kunit(self) -> None:
        tree = make_tree(self.tmp / 'x')
        (tree / 'tools/testing/kunit/kunit.py').unlink()
        with self.fails('Linux 7.3.4', 'kunit.py', code=2):
            source.find_tree(str(tree))

    def test_bad_versions(self) -> None:
        for bad in ('', '7', '7.3.4', 'v7.3', '7.3-rc1', '../7.3', '7.x',
                    '7.\u0663', '7.3\n'):
            with self.fails('like 7.3', code=2):
                source.find_tree(None, bad)


class Getting(TempCase):
    """Trees that the cache gets."""

    def setUp(self) -> None:
        super().setUp()
        self.archive = fake_apt(self)
        self.trees = cache.root() / 'trees'
        os.environ['DMIRROR_KERNEL_ORG'] = 'http://127.0.0.1:9'

    def names(self) -> 'list[str]':
        """Return what is in the cache's directory of trees."""
        return sorted(os.listdir(self.trees))

    def test_through_apt_and_then_from_the_cache(self) -> None:
        make_deb(self.archive)
        expected = source.Tree(self.trees / 'linux-7.3', '7.3.4', True)
        self.assertEqual(source.find_tree(None), expected)
        self.log.write_text('')
        self.assertEqual(source.find_tree(None), expected)
        self.assertEqual(self.log.read_text(), '')
        self.assertEqual(source.cached_trees(), [expected])
        self.assertEqual(source.origin(expected),
                         'linux-source-7.3 7.3.4-1~bpo1')
        # The path that `dmirror kernel` prints, given back as KDIR.
        self.assertTrue(source.find_tree(str(expected.path)).owned)

    def test_cached_tree_needs_no_lock(self) -> None:
        make_deb(self.archive)
        tree = source.find_tree(None)
        with cache.lock('tree-7.3', 'getting it again'):
            self.assertEqual(source.find_tree(None), tree)

    def test_another_version(self) -> None:
        make_deb(self.archive, '7.2', '7.2.12')
        self.assertEqual(source.find_tree(None, '7.2').version, '7.2.12')
        self.assertEqual(self.names(), ['linux-7.2'])

    def test_from_kernel_org_when_apt_cannot(self) -> None:
        make_deb(self.archive, '7.2', '7.2.12')
        make_kernel_org(self.tmp / 'site', '7.3.5')
        Server(self, self.tmp / 'site')
        tree = source.find_tree(None)
        self.assertEqual(tree.version, '7.3.5')
        self.assertEqual(source.origin(tree), 'linux-7.3.5.tar.xz')

    def test_half_unpacked_by_apt_then_kernel_org(self) -> None:
        deb = make_deb(self.archive, ballast=100_000)
        os.truncate(deb, 60_000)
        make_kernel_org(self.tmp / 'site', '7.3.5')
        Server(self, self.tmp / 'site')
        tree = source.find_tree(None)
        self.assertEqual(tree.version, '7.3.5')

    def test_nothing_stays_of_what_failed(self) -> None:
        def fetch(kernel: str, into: Path) -> str:
            make_tree(into / 'stray')
            (into / 'stray file').touch()
            raise ToolError('It broke.')

        make_kernel_org(self.tmp / 'site', '7.3.5')
        Server(self, self.tmp / 'site')
        with mock.patch.object(apt, 'fetch', fetch):
            tree = source.find_tree(None)
        self.assertEqual(tree.version, '7.3.5')
        self.assertEqual(list(tree.path.glob('stray*')), [])

    def test_nothing_works(self) -> None:
        with self.fails('Linux 7.3 could not be had', 'apt: ',
                        'kernel.org: ', 'cannot be reached', 'KDIR='):
            source.find_tree(None)
        self.assertEqual(self.names(), [])

    def test_no_apt_and_no_network(self) -> None:
        with mock.patch.dict(os.environ, PATH=str(self.tmp)):
            with self.fails('apt-get is not installed', 'kernel.org: ',
                            'KDIR='):
                source.find_tree(None)

    def test_package_of_another_kernel(self) -> None:
        make_deb(self.archive, '7.3', '7.30.1')
        with self.fails('holds Linux 7.30.1, not 7.3', 'KDIR='):
            source.find_tree(None)
        self.assertEqual(self.names(), [])

    def test_tree_without_marker_is_redone(self) -> None:
        make_deb(self.archive)
        make_tree(self.trees / 'linux-7.3', '7.3.1')
        self.assertEqual(source.find_tree(None).version, '7.3.4')
        self.assertEqual(self.names(), ['linux-7.3'])

    def test_damaged_tree_is_redone(self) -> None:
        make_deb(self.archive)
        tree = source.find_tree(None)
        (tree.path / 'Makefile').unlink()
        self.assertEqual(source.find_tree(None), tree)

    def test_too_little_space(self) -> None:
        with mock.patch.object(cache, 'free_bytes', return_value=10 ** 9):
            with self.fails('2.6 GB', '1.0 GB free', 'XDG_CACHE_HOME',
                            'KDIR='):
                source.find_tree(None)
        self.assertEqual(self.logged('apt-get'), [])

    def test_disk_full_at_any_time(self) -> None:
        make_deb(self.archive, ballast=300_000)
        small = self.tmp / 'small'
        if not can_mount(small, 'size=4k'):
            self.skipTest('no right to mount a tmpfs')
        self.addCleanup(unmount, small)
        os.environ['XDG_CACHE_HOME'] = str(small)
        with mock.patch.object(source, 'TREE_BYTES', 0):
            for size in range(16, 640, 48):
                can_mount(small, f'remount,size={size}k')
                with self.assertRaisesRegex(cache.DiskError,
                                            'is full while .*XDG_CACHE_HOME'):
                    source.find_tree(None)
                left = cache.root() / 'trees'
                self.assertEqual(os.listdir(left) if left.exists() else [],
                                 [])
            can_mount(small, 'remount,size=2m')
            self.assertEqual(source.find_tree(None).version, '7.3.4')

    def test_cache_that_cannot_be_written(self) -> None:
        error = PermissionError(13, 'Permission denied', str(self.trees))
        with mock.patch.object(Path, 'mkdir', side_effect=error):
            with self.fails('cannot be written', 'XDG_CACHE_HOME'):
                source.find_tree(None)

    def test_killed_while_unpacking(self) -> None:
        make_deb(self.archive)
        ready = self.tmp / 'ready'
        self.program('dpkg-deb', f'head -c 3000 "$2"; touch {ready}; '
                                 'exec sleep 60')
        process = self.python(FIND)
        self.wait_for(ready)
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.assertIsNone(source.cached_tree('7.3'))
        self.assertTrue(self.names()[0].endswith('.tmp'))
        self.program('dpkg-deb', 'cat "$2"')
        self.assertEqual(source.find_tree(None).version, '7.3.4')
        self.assertEqual(self.names(), ['linux-7.3'])

    def test_two_at_once(self) -> None:
        make_deb(self.archive)
        self.program('dpkg-deb', 'sleep 0.5; cat "$2"')
        runs = [self.python(FIND) for _ in range(3)]
        ends = [run.communicate(timeout=30) for run in runs]
        for out, _ in ends:
            self.assertEqual(out.strip(), str(self.trees / 'linux-7.3'))
        self.assertEqual(len(self.logged('dpkg-deb')), 1)
        waited = [err for _, err in ends if 'getting Linux 7.3; waiting'
                  in err]
        self.assertEqual(len(waited), 2)

    def test_two_versions_at_once(self) -> None:
        make_deb(self.archive, '7.3', '7.3.4')
        make_deb(self.archive, '7.2', '7.2.4')
        other = FIND.replace('None', "None, '7.2'")
        runs = [self.python(code) for code in (FIND, other)]
        for run, kernel in zip(runs, ('7.3', '7.2')):
            out, err = run.communicate(timeout=30)
            self.assertEqual(out.strip(),
                             str(self.trees / f'linux-{kernel}'), err)


class Verb(TempCase):
    """dmirror kernel."""

    def run_verb(self, *words: str) -> str:
        """Run the verb and return its stdout."""
        parser = argparse.ArgumentParser()
        verb_kernel.add_arguments(parser)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            self.assertEqual(verb_kernel.main(parser.parse_args(words)), 0)
        return out.getvalue()

    def test_prints_only_the_path(self) -> None:
        make_deb(fake_apt(self))
        path = cache.root() / 'trees/linux-7.3'
        self.assertEqual(self.run_verb(), f'{path}\n')
        own = make_tree(self.tmp / 'own')
        self.assertEqual(self.run_verb('--kdir', str(own)), f'{own}\n')

    def test_list(self) -> None:
        make_deb(fake_apt(self))
        self.assertNotIn('cached', self.run_verb('--list'))
        self.run_verb()
        rows = self.run_verb('--list').splitlines()
        self.assertEqual(rows[0].split()[:2], ['cached', '7.3.4'])
        self.assertEqual(rows[1].split()[:2], ['apt', '7.3'])


if __name__ == '__main__':
    unittest.main()
