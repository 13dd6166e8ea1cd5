# SPDX-License-Identifier: GPL-2.0
"""Tests of graft and ungraft, on real git checkouts of small trees."""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import stat
import subprocess
import unittest
from pathlib import Path
from typing import Dict, Tuple
from unittest import mock

from dmirrorlib import cache, graft, verb_graft, verb_ungraft

from .support import TempCase, can_mount, make_tree, unmount

State = Dict[str, Tuple[str, int, int]]


def state_of(tree: Path) -> State:
    """Return digest, mode and mtime of each file outside .git."""
    state = {}
    for path in sorted(tree.rglob('*')):
        name = str(path.relative_to(tree))
        if name.split('/')[0] == '.git' or (path.is_dir()
                                            and not path.is_symlink()):
            continue
        info = path.lstat()
        data = (os.fsencode(os.readlink(path)) if path.is_symlink()
                else path.read_bytes())
        state[name] = (hashlib.sha256(data).hexdigest(),
                       stat.S_IMODE(info.st_mode), info.st_mtime_ns)
    return state


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


class GraftCase(TempCase):
    """A tree and a project."""

    def setUp(self) -> None:
        super().setUp()
        self.tree = make_tree(self.tmp / 'linux')
        self.project = self.make_project('project')
        self.makefile = self.tree / 'drivers/Makefile'
        self.kconfig = self.tree / 'drivers/Kconfig'
        self.link = self.tree / 'drivers/dmirror'
        self.header = self.tree / 'arch/um/include/asm/sparsemem.h'
        os.utime(self.makefile, ns=(1, 1_600_000_000_123_456_789))
        os.utime(self.kconfig, ns=(1, 1_600_000_000_987_654_321))

    def make_project(self, name: str) -> Path:
        """Make what looks like a clone of this project."""
        path = self.tmp / name
        (path / 'tools/dmirrorlib').mkdir(parents=True)
        (path / 'Kconfig').write_text('config DMIRROR\n')
        header = path / 'drivers/um_zone_device/include/asm/sparsemem.h'
        header.parent.mkdir(parents=True)
        header.write_text(f'of {name}\n')
        return path


class Graft(GraftCase):
    """What a graft is."""

    def test_adds_two_links_and_two_lines(self) -> None:
        self.assertTrue(graft.graft(self.tree, self.project))
        self.assertEqual(os.readlink(self.link), str(self.project))
        self.assertEqual(self.header.read_text(), 'of project\n')
        self.assertFalse(os.path.isabs(os.readlink(self.header)))
        self.assertEqual(self.makefile.read_text(),
                         'obj-y\t\t\t\t+= base/\n'
                         'obj-y\t\t\t\t+= dmirror/\n')
        self.assertEqual(self.kconfig.read_text(),
                         'menu "Device Drivers"\n\n'
                         'source "drivers/base/Kconfig"\n\n'
                         'source "drivers/dmirror/Kconfig"\n'
                         'endmenu\n')
        self.assertEqual(graft.grafted_to(self.tree), self.project)

    def test_twice_changes_nothing(self) -> None:
        graft.graft(self.tree, self.project)
        before = state_of(self.tree)
        self.assertFalse(graft.graft(self.tree, self.project))
        self.assertEqual(state_of(self.tree), before)

    def test_the_last_endmenu_counts(self) -> None:
        self.kconfig.write_text('menu "A"\nmenu "B"\nendmenu\nendmenu # A\n'
                                '# endmenu\n')
        graft.graft(self.tree, self.project)
        self.assertEqual(self.kconfig.read_text(),
                         'menu "A"\nmenu "B"\nendmenu\n'
                         'source "drivers/dmirror/Kconfig"\n'
                         'endmenu # A\n# endmenu\n')

    def test_no_endmenu(self) -> None:
        self.kconfig.write_text('config X\n')
        with self.fails('no endmenu'):
            graft.graft(self.tree, self.project)
        graft.ungraft(self.tree)
        self.assertFalse(os.path.lexists(self.link))

    def test_no_kernel_tree(self) -> None:
        with self.fails('not the top of a kernel source tree'):
            graft.graft(self.tmp, self.project)
        with self.fails('not the top of a kernel source tree'):
            graft.ungraft(self.tmp)

    def test_keeps_mode_owner_and_hard_links_apart(self) -> None:
        self.makefile.chmod(0o640)
        other = self.tmp / 'hard link in another tree'
        os.link(self.makefile, other)
        before = other.read_bytes()
        if os.geteuid() == 0:
            os.chown(self.makefile, 1234, 1235)
        owner = self.makefile.stat()
        graft.graft(self.tree, self.project)
        info = self.makefile.stat()
        self.assertEqual(stat.S_IMODE(info.st_mode), 0o640)
        self.assertEqual((info.st_uid, info.st_gid),
                         (owner.st_uid, owner.st_gid))
        self.assertEqual(other.read_bytes(), before)


class Ungraft(GraftCase):
    """A tree is afterwards as it was."""

    def test_byte_for_byte_with_mode_and_time(self) -> None:
        self.kconfig.chmod(0o755)
        before = state_of(self.tree)
        graft.graft(self.tree, self.project)
        self.assertTrue(graft.ungraft(self.tree))
        self.assertEqual(state_of(self.tree), before)
        self.assertFalse(graft.ungraft(self.tree))
        self.assertEqual(state_of(self.tree), before)
        self.assertIsNone(graft.grafted_to(self.tree))

    def test_odd_files(self) -> None:
        for makefile in (b'obj-y += base/', b'', b'\n\n', b'a\n\n',
                         b'obj-y += base/\r\n', b'\xff\xfe\n'):
            for kconfig in (b'endmenu', b'menu "x"\nendmenu\n\n',
                            b'menu "\xe9"\n\tendmenu\nendmenu'):
                self.makefile.write_bytes(makefile)
                self.kconfig.write_bytes(kconfig)
                before = state_of(self.tree)
                graft.graft(self.tree, self.project)
                self.assertEqual(graft.grafted_to(self.tree), self.project)
                graft.ungraft(self.tree)
                self.assertEqual(state_of(self.tree), before)

    def test_keeps_what_the_user_edited_meanwhile(self) -> None:
        graft.graft(self.tree, self.project)
        self.makefile.write_text('# mine\n' + self.makefile.read_text()
                                 + 'obj-y += mine/\n')
        self.kconfig.write_text(self.kconfig.read_text().replace(
            'endmenu', 'source "drivers/mine/Kconfig"\nendmenu'))
        edited = self.makefile.stat().st_mtime_ns
        graft.ungraft(self.tree)
        self.assertEqual(self.makefile.read_text(),
                         '# mine\nobj-y\t\t\t\t+= base/\nobj-y += mine/\n')
        self.assertEqual(self.kconfig.read_text(),
                         'menu "Device Drivers"\n\n'
                         'source "drivers/base/Kconfig"\n\n'
                         'source "drivers/mine/Kconfig"\nendmenu\n')
        self.assertGreaterEqual(self.makefile.stat().st_mtime_ns, edited)

    def test_keeps_lines_that_only_look_alike(self) -> None:
        text = ('# obj-y += dmirror/\nobj-$(CONFIG_X) += dmirror/\n'
                'obj-y += dmirror2/\n')
        self.makefile.write_text(text)
        graft.graft(self.tree, self.project)
        graft.ungraft(self.tree)
        self.assertEqual(self.makefile.read_text(), text)

    def test_without_the_cache(self) -> None:
        names = ('drivers/Makefile', 'drivers/Kconfig')
        before = {n: (self.tree / n).read_bytes() for n in names}
        graft.graft(self.tree, self.project)
        shutil.rmtree(cache.root())
        graft.ungraft(self.tree)
        self.assertEqual({n: (self.tree / n).read_bytes() for n in names},
                         before)

    def test_after_the_project_is_gone(self) -> None:
        before = state_of(self.tree)
        graft.graft(self.tree, self.project)
        shutil.rmtree(self.project)
        graft.ungraft(self.tree)
        self.assertEqual(state_of(self.tree), before)

    def test_git_sees_nothing(self) -> None:
        def git(*words: str) -> str:
            return subprocess.run(
                ['git', '-c', 'user.name=x', '-c', 'user.email=x', *words],
                cwd=self.tree, check=True, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout

        git('init', '-q')
        git('add', '.')
        git('commit', '-q', '-m', 'x')
        (self.tree / 'drivers/Kconfig').write_text(
            self.kconfig.read_text().replace('base', 'mine'))
        (self.tree / 'untracked').touch()
        before = git('status', '--porcelain'), git('diff')
        sums = state_of(self.tree)
        graft.graft(self.tree, self.project)
        self.assertNotEqual(git('status', '--porcelain'), before[0])
        graft.ungraft(self.tree)
        self.assertEqual((git('status', '--porcelain'), git('diff')), before)
        self.assertEqual(state_of(self.tree), sums)


class HalfDone(GraftCase):
    """A run that is killed leaves nothing that the next cannot mend."""

    def killed_at(self, step: int, function: str) -> bool:
        """Kill graft() or ungraft() before its n-th change of the tree.

        Args:
            step: which change.
            function: 'graft' or 'ungraft'.

        Returns:
            True if there was such a change.
        """
        count = 0

        def counting(real: 'object') -> 'object':
            def call(*args: object, **kwargs: object) -> object:
                nonlocal count
                if str(self.tree) in ' '.join(map(str, args)):
                    count += 1
                    if count == step:
                        raise Killed
                return real(*args, **kwargs)  # type: ignore[operator]
            return call

        with mock.patch.object(os, 'replace', counting(os.replace)), \
                mock.patch.object(Path, 'unlink', counting(Path.unlink)):
            try:
                if function == 'graft':
                    graft.graft(self.tree, self.project)
                else:
                    graft.ungraft(self.tree)
            except Killed:
                return True
        return False

    def check_it_builds(self) -> None:
        """Check that no line refers to what is not there."""
        if graft.has_line(self.tree, graft.KCONFIG) or graft.has_line(
                self.tree, graft.MAKEFILE):
            self.assertTrue((self.link / 'Kconfig').exists())
            self.assertTrue(self.header.exists())

    def test_at_each_step(self) -> None:
        before = state_of(self.tree)
        graft.graft(self.tree, self.project)
        after = {n: s[:2] for n, s in state_of(self.tree).items()}
        for function in ('graft', 'ungraft'):
            for mend in ('graft', 'ungraft'):
                step = 1
                while True:
                    if function == 'graft':
                        graft.ungraft(self.tree)
                    else:
                        graft.graft(self.tree, self.project)
                    if not self.killed_at(step, function):
                        break
                    self.check_it_builds()
                    if mend == 'graft':
                        graft.graft(self.tree, self.project)
                        self.assertEqual({n: s[:2] for n, s in state_of(
                            self.tree).items()}, after)
                    else:
                        graft.ungraft(self.tree)
                        self.assertEqual(state_of(self.tree), before)
                    step += 1
                self.assertEqual(step, 5, f'{function}: one step per part')

    def test_killed_before_a_rename(self) -> None:
        temp = self.header.with_name('.sparsemem.h.graft-tmp')
        temp.symlink_to('anywhere')
        graft.graft(self.tree, self.project)
        self.assertFalse(os.path.lexists(temp))
        self.assertTrue(graft.has_header(self.tree))

    def test_graft_of_a_former_version(self) -> None:
        before = state_of(self.tree)
        graft.graft(self.tree, self.project)
        whole = {n: s[:2] for n, s in state_of(self.tree).items()}
        self.header.unlink()
        self.assertIsNone(graft.grafted_to(self.tree))
        self.assertTrue(graft.half_done(self.tree))
        self.assertTrue(graft.graft(self.tree, self.project))
        self.assertEqual({n: s[:2] for n, s in state_of(self.tree).items()},
                         whole)
        self.header.unlink()
        self.assertTrue(graft.ungraft(self.tree))
        self.assertEqual(state_of(self.tree), before)

    def test_is_noticed(self) -> None:
        self.assertFalse(graft.half_done(self.tree))
        self.killed_at(2, 'graft')
        self.assertTrue(graft.half_done(self.tree))
        self.assertIsNone(graft.grafted_to(self.tree))
        graft.graft(self.tree, self.project)
        self.assertFalse(graft.half_done(self.tree))


class Header(GraftCase):
    """The link that gives User Mode Linux device memory."""

    def test_a_tree_with_its_own_keeps_it(self) -> None:
        for kind in ('file', 'link', 'dangling link', 'directory'):
            with self.subTest(kind):
                if kind == 'file':
                    self.header.write_text('upstream has it now\n')
                elif kind == 'directory':
                    self.header.mkdir()
                else:
                    self.header.symlink_to('page.h' if kind == 'link'
                                           else 'gone.h')
                before = state_of(self.tree)
                del self.said[:]
                self.assertTrue(graft.graft(self.tree, self.project))
                self.assertEqual(len(self.said), 1, self.said)
                self.assertIn('of its own', self.said[0])
                self.assertIn('steps aside', self.said[0])
                self.assertEqual(graft.grafted_to(self.tree), self.project)
                self.assertFalse(graft.half_done(self.tree))
                self.assertFalse(graft.graft(self.tree, self.project))
                self.assertTrue(graft.ungraft(self.tree))
                self.assertEqual(state_of(self.tree), before)
                self.assertTrue(os.path.lexists(self.header))
                if kind == 'directory':
                    self.header.rmdir()
                else:
                    self.header.unlink()

    def test_a_tree_without_that_architecture(self) -> None:
        shutil.rmtree(self.tree / 'arch')
        before = state_of(self.tree)
        self.assertTrue(graft.graft(self.tree, self.project))
        self.assertEqual(self.said, [])
        self.assertFalse((self.tree / 'arch').exists())
        self.assertEqual(graft.grafted_to(self.tree), self.project)
        self.assertFalse(graft.half_done(self.tree))
        graft.ungraft(self.tree)
        self.assertEqual(state_of(self.tree), before)

    def test_alone_it_is_removed(self) -> None:
        before = state_of(self.tree)
        self.header.symlink_to(graft.HEADER_TARGET)     # leads nowhere
        self.assertTrue(graft.half_done(self.tree))
        self.assertTrue(graft.ungraft(self.tree))
        self.assertEqual(state_of(self.tree), before)
        # Also where something else has our place.
        self.header.symlink_to(graft.HEADER_TARGET)
        self.link.mkdir()
        self.assertTrue(graft.ungraft(self.tree))
        self.assertEqual(state_of(self.tree), before)
        self.assertTrue(self.link.is_dir())

    def test_follows_the_tree_and_the_clone(self) -> None:
        other = self.make_project('other')
        graft.graft(self.tree, self.project)
        moved = self.tree.rename(self.tmp / 'moved')
        graft.graft(moved, other, repoint=True)
        self.assertEqual((moved / graft.HEADER).read_text(), 'of other\n')


class Refusals(GraftCase):
    """What must not be touched."""

    def test_something_else_in_our_place(self) -> None:
        (self.tmp / 'elsewhere').mkdir()
        for kind in ('directory', 'file', 'link'):
            if kind == 'directory':
                self.link.mkdir()
            elif kind == 'file':
                self.link.write_text('x')
            else:
                self.link.symlink_to(self.tmp / 'elsewhere')
            before = state_of(self.tree)
            with self.fails('is not a link to a dmirror project'):
                graft.graft(self.tree, self.project, repoint=True)
            self.assertFalse(graft.ungraft(self.tree))
            self.assertEqual(state_of(self.tree), before)
            self.assertTrue(os.path.lexists(self.link))
            if kind == 'directory':
                self.link.rmdir()
            else:
                self.link.unlink()

    def test_our_lines_but_not_our_link(self) -> None:
        graft.graft(self.tree, self.project)
        self.link.unlink()
        self.link.mkdir()
        before = state_of(self.tree)
        with self.fails('no graft of ours'):
            graft.ungraft(self.tree)
        self.assertEqual(state_of(self.tree), before)

    def test_another_clone(self) -> None:
        other = self.make_project('other')
        graft.graft(self.tree, other)
        with self.fails(str(other), '--repoint'):
            graft.graft(self.tree, self.project)
        self.assertEqual(graft.grafted_to(self.tree), other)
        self.assertTrue(graft.graft(self.tree, self.project, repoint=True))
        self.assertEqual(graft.grafted_to(self.tree), self.project)

    def test_a_clone_that_is_gone_is_replaced(self) -> None:
        other = self.make_project('other')
        graft.graft(self.tree, other)
        shutil.rmtree(other)
        self.assertTrue(graft.graft(self.tree, self.project))
        self.assertEqual(graft.grafted_to(self.tree), self.project)

    def test_read_only_tree(self) -> None:
        disk = self.tmp / 'disk'
        if not can_mount(disk, 'size=1m'):
            self.skipTest('no right to mount a tmpfs')
        self.addCleanup(unmount, disk)
        tree = make_tree(disk / 'linux')
        grafted = make_tree(disk / 'grafted')
        graft.graft(grafted, self.project)
        can_mount(disk, 'remount,ro')
        with self.fails('cannot be changed', 'Read-only file system'):
            graft.graft(tree, self.project)
        self.assertFalse(graft.ungraft(tree))
        self.assertFalse(graft.graft(grafted, self.project))

    def test_file_that_is_a_link(self) -> None:
        real = self.tmp / 'Makefile.real'
        self.makefile.rename(real)
        self.makefile.symlink_to(real)
        with self.fails('symbolic link'):
            graft.graft(self.tree, self.project)
        self.assertTrue(self.makefile.is_symlink())

    def test_many_at_once(self) -> None:
        code = f'''
import pathlib
from dmirrorlib import graft
tree = pathlib.Path({str(self.tree)!r})
for _ in range(40):
    graft.graft(tree, pathlib.Path({str(self.project)!r}))
    graft.ungraft(tree)
'''
        before = {n: s[:2] for n, s in state_of(self.tree).items()}
        runs = [self.python(code) for _ in range(3)]
        for run in runs:
            _, err = run.communicate(timeout=60)
            self.assertEqual(run.returncode, 0, err)
        self.assertEqual({n: s[:2] for n, s in state_of(self.tree).items()},
                         before)


class Verbs(GraftCase):
    """dmirror graft and ungraft."""

    def run_verb(self, module: 'object', *words: str) -> int:
        """Run a verb with a command line."""
        parser = argparse.ArgumentParser()
        module.add_arguments(parser)  # type: ignore[attr-defined]
        args = parser.parse_args(words)
        return int(module.main(args))  # type: ignore[attr-defined]

    def test_there_and_back(self) -> None:
        before = state_of(self.tree)
        self.assertEqual(self.run_verb(verb_graft, str(self.tree)), 0)
        self.assertEqual(graft.grafted_to(self.tree), verb_graft.PROJECT)
        told = '\n'.join(self.said)
        self.assertIn('./tools/testing/kunit/kunit.py run '
                      '--kunitconfig=drivers/dmirror\n', told)
        self.assertIn('--arch=x86_64', told)
        self.assertIn("'--kernel_args=memmap=128M$0x20000000' ", told)
        os.environ['KDIR'] = str(self.tree)
        self.assertEqual(self.run_verb(verb_ungraft), 0)
        self.assertEqual(state_of(self.tree), before)

    def test_which_tree(self) -> None:
        for module in (verb_graft, verb_ungraft):
            with self.fails('which kernel tree?', code=2):
                self.run_verb(module)

    def test_cached_trees_are_repointed(self) -> None:
        cached = make_tree(cache.sub('trees') / 'linux-7.3')
        graft.graft(cached, self.project)
        self.assertEqual(self.run_verb(verb_graft, str(cached)), 0)
        self.assertEqual(graft.grafted_to(cached), verb_graft.PROJECT)
        graft.graft(self.tree, self.project)
        with self.fails('--repoint'):
            self.run_verb(verb_graft, str(self.tree))
        self.assertEqual(
            self.run_verb(verb_graft, '--repoint', str(self.tree)), 0)


if __name__ == '__main__':
    unittest.main()
