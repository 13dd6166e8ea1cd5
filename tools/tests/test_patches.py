# SPDX-License-Identifier: GPL-2.0
"""Tests of putting kernel patches into a tree and taking them out."""

from __future__ import annotations

import difflib
import os
import shutil
import stat
import subprocess
import unittest
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple
from unittest import mock

from dmirrorlib import patches, source, variants
from dmirrorlib.errors import ToolError

from . import consoles
from .support import TOOLS, TempCase, can_mount, make_tree, unmount
from .test_graft import Killed, State, state_of

A, B, NEW = 'mm/a.c', 'arch/um/b.h', 'arch/um/deep/new.h'
NUMBERS = ''.join(f'line {i}\n' for i in range(40))


def diff(name: str, old: Optional[str], new: Optional[str]) -> str:
    """Return how git writes a file's change; None is no file."""
    head = f'diff --git a/{name} b/{name}\n'
    if old is None:
        head += 'new file mode 100644\n'
    if new is None:
        head += 'deleted file mode 100644\n'
    lines = difflib.unified_diff(
        (old or '').splitlines(True), (new or '').splitlines(True),
        '/dev/null' if old is None else f'a/{name}',
        '/dev/null' if new is None else f'b/{name}')
    return head + ''.join(lines)


def patch(number: int, what: str, *diffs: str) -> patches.Patch:
    """Return a patch as from git format-patch."""
    text = (f'From {number:040x} Mon Sep 17 00:00:00 2001\n'
            f'From: X <x@y>\nSubject: [PATCH] {what}\n\nWhy.\n---\n'
            + ''.join(diffs) + '-- \n2.39.5\n')
    return patches.Patch(f'{number:04}-{what}.patch', text.encode())


class PatchCase(TempCase):
    """A tree with two files, and a series of two patches: the second builds
    on the first, adds a file in a new directory and removes another."""

    def setUp(self) -> None:
        super().setUp()
        self.tree = make_tree(self.tmp / 'linux')
        for name, text in ((A, NUMBERS), (B, 'old\n')):
            (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
            (self.tree / name).write_text(text)
            os.utime(self.tree / name, ns=(1, 1_600_000_000_000_000_001))
        self.one = NUMBERS.replace('line 20\n', 'line twenty\n')
        self.two = self.one.replace('line twenty\n', 'line 20\nline 20.5\n')
        first = patch(1, 'first', diff(A, NUMBERS, self.one))
        second = patch(2, 'second', diff(A, self.one, self.two),
                       diff(B, 'old\n', None), diff(NEW, None, 'new\n'))
        self.series = patches.Series('um-full', (first, second))
        self.newer = patches.Series('um-full', (first, patch(
            3, 'third', diff(NEW, None, 'newer\n'))))

    def content(self, tree: Optional[Path] = None) -> Dict[str, str]:
        """Return the text of each file but those of make_tree()."""
        tree = tree or self.tree
        return {name: (tree / name).read_text() for name in (A, B, NEW)
                if (tree / name).exists()}

    def check_patched(self) -> None:
        """Check that the tree has the series, and nothing is left over."""
        self.assertEqual(self.content(), {A: self.two, NEW: 'new\n'})
        self.assertFalse((self.tree / patches.STAGE).exists())
        self.assertEqual(patches.state(self.tree, self.series),
                         patches.CURRENT)

    @staticmethod
    def no_times(state: State) -> Dict[str, Tuple[str, int]]:
        """Return digests and modes only."""
        return {name: entry[:2] for name, entry in state.items()}


class There(PatchCase):
    """Into the tree and out again."""

    def test_and_back(self) -> None:
        (self.tree / A).chmod(0o755)
        if os.geteuid() == 0:
            os.chown(self.tree / A, 1234, 1235)
        owner = (self.tree / A).stat()
        before = state_of(self.tree)
        self.assertTrue(patches.apply(self.tree, self.series))
        self.check_patched()
        info = (self.tree / A).stat()
        self.assertEqual(stat.S_IMODE(info.st_mode), 0o755)
        self.assertEqual((info.st_uid, info.st_gid),
                         (owner.st_uid, owner.st_gid))
        self.assertEqual((self.tree / patches.RECORD).read_bytes(),
                         self.series.text())
        self.assertTrue(patches.take_back(self.tree))
        after = state_of(self.tree)
        self.assertEqual(self.no_times(after), self.no_times(before))
        self.assertFalse((self.tree / NEW).parent.exists())
        # An object made from the patched file must not look new.
        self.assertGreater(after[A][2], before[A][2])
        self.assertFalse(patches.take_back(self.tree))

    def test_twice_changes_nothing(self) -> None:
        patches.apply(self.tree, self.series)
        before = state_of(self.tree)
        self.assertFalse(patches.apply(self.tree, self.series))
        self.assertEqual(state_of(self.tree), before)

    def test_another_version_takes_its_place(self) -> None:
        patches.apply(self.tree, self.series)
        os.utime(self.tree / 'Makefile', ns=(1, 1))
        self.assertEqual(patches.state(self.tree, self.newer), patches.OTHER)
        self.assertTrue(patches.apply(self.tree, self.newer))
        self.assertEqual(self.content(),
                         {A: self.one, B: 'old\n', NEW: 'newer\n'})
        self.assertEqual(patches.state(self.tree, self.newer),
                         patches.CURRENT)
        patches.take_back(self.tree)
        self.assertEqual(self.content(), {A: NUMBERS, B: 'old\n'})

    def test_what_stays_the_same_keeps_its_time(self) -> None:
        patches.apply(self.tree, self.series)
        before = state_of(self.tree)
        words = patches.Series('um-full', tuple(
            patches.Patch(p.name, p.data.replace(b'Why.', b'Because.'))
            for p in self.series.patches))
        self.assertEqual(patches.state(self.tree, words), patches.OTHER)
        self.assertTrue(patches.apply(self.tree, words))
        after = state_of(self.tree)
        self.assertNotEqual(after.pop(patches.RECORD),
                            before.pop(patches.RECORD))
        self.assertEqual(after, before)

    def test_hard_links_keep_the_old_content(self) -> None:
        os.link(self.tree / A, self.tmp / 'a')
        os.link(self.tree / B, self.tmp / 'b')
        patches.apply(self.tree, self.series)
        os.link(self.tree / A, self.tmp / 'patched')
        self.assertEqual((self.tmp / 'a').read_text(), NUMBERS)
        self.assertEqual((self.tmp / 'b').read_text(), 'old\n')
        patches.take_back(self.tree)
        self.assertEqual((self.tmp / 'patched').read_text(), self.two)

    def test_offsets_are_fine_and_stay(self) -> None:
        (self.tree / A).write_text('mine\n' * 7 + NUMBERS)
        patches.apply(self.tree, self.series)
        self.assertEqual((self.tree / A).read_text(),
                         'mine\n' * 7 + self.two)
        (self.tree / A).write_text('mine\n' + self.two + 'mine\n')
        patches.take_back(self.tree)
        self.assertEqual((self.tree / A).read_text(),
                         'mine\n' + NUMBERS + 'mine\n')


class Git(PatchCase):
    """Whatever surrounds the tree, git does the same."""

    def git(self, folder: Path, *words: str) -> str:
        """Run git there."""
        return subprocess.run(
            ['git', '-c', 'user.name=x', '-c', 'user.email=x', *words],
            cwd=folder, check=True, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT).stdout

    def test_tree_inside_another_repository(self) -> None:
        self.git(self.tmp, 'init', '-q')
        (self.tmp / '.gitignore').write_text('linux\n')
        patches.apply(self.tree, self.series)
        self.check_patched()
        patches.take_back(self.tree)
        self.assertEqual(self.content(), {A: NUMBERS, B: 'old\n'})

    def test_settings_that_change_line_ends(self) -> None:
        self.git(self.tree, 'init', '-q')
        for word, value in (('core.autocrlf', 'true'), ('core.eol', 'crlf'),
                            ('apply.whitespace', 'error-all'),
                            ('apply.ignoreWhitespace', 'change')):
            self.git(self.tree, 'config', word, value)
        home = self.tmp / 'home'
        home.mkdir()
        shutil.copy(self.tree / '.git/config', home / '.gitconfig')
        (self.tree / '.gitattributes').write_text('* text eol=crlf\n')
        with mock.patch.dict(os.environ, HOME=str(home)):
            patches.apply(self.tree, self.series)
        self.assertNotIn(b'\r', (self.tree / A).read_bytes())
        self.assertNotIn(b'\r', (self.tree / NEW).read_bytes())
        self.check_patched()

    def test_environment_of_a_hook(self) -> None:
        other = self.tmp / 'other'
        other.mkdir()
        self.git(other, 'init', '-q')
        with mock.patch.dict(os.environ, GIT_DIR=f'{other}/.git',
                             GIT_WORK_TREE=str(other), GIT_PREFIX='x/',
                             GIT_INDEX_FILE='index'):
            patches.apply(self.tree, self.series)
            self.check_patched()
        self.assertEqual(os.listdir(other), ['.git'])

    def test_git_is_as_before_afterwards(self) -> None:
        (self.tree / '.gitignore').write_text('.*\n!.gitignore\n')
        self.git(self.tree, 'init', '-q')
        self.git(self.tree, 'add', '.')
        self.git(self.tree, 'commit', '-q', '-m', 'x')
        patches.apply(self.tree, self.series)
        self.assertEqual(
            sorted(self.git(self.tree, 'status', '--porcelain').split('\n')),
            ['', f' D {B}', f' M {A}', '?? arch/um/deep/'])
        patches.take_back(self.tree)
        self.assertEqual(self.git(self.tree, 'status', '--porcelain'), '')

    def test_no_git(self) -> None:
        before = state_of(self.tree)
        with mock.patch.dict(os.environ, PATH=str(self.bin)), \
                self.fails('git is not installed', 'apt-get install git'):
            patches.apply(self.tree, self.series)
        self.assertEqual(state_of(self.tree), before)


class Refusals(PatchCase):
    """All or nothing."""

    def unchanged(self, *words: str,
                  call: Optional[Callable[[], object]] = None) -> ToolError:
        """Expect a refusal that has these words and changes nothing."""
        before = state_of(self.tree)
        with self.assertRaises(ToolError) as caught:
            (call or (lambda: patches.apply(self.tree, self.series)))()
        self.assertEqual(state_of(self.tree), before)
        self.assertFalse((self.tree / patches.STAGE).exists())
        for word in words:
            self.assertIn(word, caught.exception.message)
        self.assertNotIn('\n', caught.exception.message)
        return caught.exception

    def test_the_last_one_does_not_apply(self) -> None:
        (self.tree / B).write_text('another\n')
        err = self.unchanged('0002-second.patch does not apply',
                             'left as it was')
        self.assertIn(B, err.detail)
        self.assertEqual(patches.state(self.tree, self.series), patches.NONE)

    def test_no_fuzz(self) -> None:
        # Two lines from the change: patch(1) would apply it with a fuzz of 2.
        (self.tree / A).write_text(NUMBERS.replace('line 18\n', 'mine\n'))
        self.unchanged('0001-first.patch does not apply')

    def test_file_in_the_way(self) -> None:
        (self.tree / NEW).parent.mkdir()
        (self.tree / NEW).write_text('mine\n')
        self.unchanged('0002-second.patch')

    def test_in_the_tree_already(self) -> None:
        (self.tree / A).write_text(self.one)
        self.unchanged('0001-first.patch is in', 'already')

    def test_no_patch_at_all(self) -> None:
        empty = patches.Series('um-full', (patches.Patch('0.patch', b'x\n'),))
        self.unchanged('0.patch',
                       call=lambda: patches.apply(self.tree, empty))
        with self.fails('no *.patch'):
            patches.read_series(self.tmp)

    def test_edited_since(self) -> None:
        patches.apply(self.tree, self.series)
        (self.tree / A).write_text(self.two.replace('line 20.5', 'mine'))
        self.assertEqual(patches.state(self.tree, self.series),
                         patches.BROKEN)
        words = ('do not come off', '0002-second.patch', patches.RECORD)
        self.unchanged(*words, call=lambda: patches.take_back(self.tree))
        self.unchanged(*words)
        self.unchanged(*words, call=lambda: patches.apply(self.tree,
                                                          self.newer))

    def test_record_that_was_changed(self) -> None:
        patches.apply(self.tree, self.series)
        good = (self.tree / patches.RECORD).read_bytes()
        for text in (b'', b'x', good[:-1], good + b'x\n', good[1:],
                     b'# dmirror series x\n',
                     good.replace(b'first.patch ', b'first.patch 9')):
            (self.tree / patches.RECORD).write_bytes(text)
            self.unchanged('was changed',
                           call=lambda: patches.take_back(self.tree))

    def test_links_are_not_followed(self) -> None:
        real = self.tmp / 'real.c'
        (self.tree / A).rename(real)
        (self.tree / A).symlink_to(real)
        self.unchanged('symbolic link')
        (self.tree / A).unlink()
        (self.tree / 'mm').rmdir()
        (self.tmp / 'mm').mkdir()
        real.rename(self.tmp / A)
        (self.tree / 'mm').symlink_to(self.tmp / 'mm')
        self.unchanged('symbolic link')

    def test_no_kernel_tree(self) -> None:
        with self.fails('not the top of a kernel source tree'):
            patches.apply(self.tmp, self.series)

    def test_read_only_tree(self) -> None:
        disk = self.tmp / 'disk'
        if not can_mount(disk, 'size=1m'):
            self.skipTest('no right to mount a tmpfs')
        self.addCleanup(unmount, disk)
        shutil.copytree(self.tree, disk / 'linux')
        patches.apply(disk / 'linux', self.series)
        can_mount(disk, 'remount,ro')
        self.assertEqual(patches.state(disk / 'linux', self.series),
                         patches.CURRENT)
        with self.fails('cannot be changed', 'Read-only file system'):
            patches.take_back(disk / 'linux')


class KilledRuns(PatchCase):
    """A run that is killed leaves nothing that the next cannot mend."""

    def killed_at(self, step: int, call: Callable[[], object]) -> bool:
        """Kill a call before its n-th change of the tree.

        Returns:
            True if there was such a change.
        """
        count = 0

        def counting(real: 'Callable[..., object]'
                     ) -> 'Callable[..., object]':
            def does(*args: object, **kwargs: object) -> object:
                nonlocal count
                if str(self.tree) in ' '.join(map(str, args)):
                    count += 1
                    if count == step:
                        raise Killed
                return real(*args, **kwargs)
            return does

        # As SIGKILL would: what cleans up does not run either.
        with mock.patch.object(os, 'replace', counting(os.replace)), \
                mock.patch.object(Path, 'unlink', counting(Path.unlink)), \
                mock.patch.object(Path, 'mkdir', counting(Path.mkdir)), \
                mock.patch.object(shutil, 'rmtree',
                                  counting(shutil.rmtree)), \
                mock.patch.object(patches, '_leaving_no_stage',
                                  mock.MagicMock()):
            try:
                call()
            except Killed:
                return True
        return False

    def test_at_each_step(self) -> None:
        calls: List[Callable[[], object]] = [
            lambda: patches.apply(self.tree, self.series),
            lambda: patches.take_back(self.tree),
            lambda: patches.apply(self.tree, self.newer)]
        mends = calls[:2]
        pristine = self.no_times(state_of(self.tree))
        for call in calls:
            for mend in mends:
                step = 1
                while True:
                    (mends[0] if call is not calls[0] else mends[1])()
                    if not self.killed_at(step, call):
                        break
                    mend()
                    if mend is mends[0]:
                        self.check_patched()
                    else:
                        self.assertEqual(self.no_times(state_of(self.tree)),
                                         pristine)
                    step += 1
                self.assertGreater(step, 6)

    def test_half_is_noticed_and_finished(self) -> None:
        real = os.replace
        moved: List[str] = []

        def replace(old: object, new: object) -> None:
            moved.append(str(new))
            if str(new) == str(self.tree / A):
                raise Killed
            real(str(old), str(new))

        with mock.patch.object(os, 'replace', replace), \
                self.assertRaises(Killed):
            patches.apply(self.tree, self.series)
        # The record was there before the first file changed.
        self.assertEqual(moved[-2:], [str(self.tree / patches.RECORD),
                                      str(self.tree / A)])
        self.assertEqual(patches.state(self.tree, self.series), patches.HALF)
        self.assertTrue(patches.take_back(self.tree))
        self.assertEqual(self.content(), {A: NUMBERS, B: 'old\n'})

    def test_edited_after_the_kill(self) -> None:
        real = os.replace

        def replace(old: object, new: object) -> None:
            if str(new) == str(self.tree / A):
                raise Killed
            real(str(old), str(new))

        with mock.patch.object(os, 'replace', replace), \
                self.assertRaises(Killed):
            patches.apply(self.tree, self.series)
        (self.tree / A).write_text('mine\n')
        calls: List[Callable[[], object]] = [
            lambda: patches.apply(self.tree, self.series),
            lambda: patches.take_back(self.tree)]
        for call in calls:
            with self.fails(str(self.tree / A), 'was edited'):
                call()
            self.assertEqual((self.tree / A).read_text(), 'mine\n')
        (self.tree / A).write_text(NUMBERS)
        patches.apply(self.tree, self.series)
        self.check_patched()

    def test_many_at_once(self) -> None:
        folder = self.tmp / 'um-full'
        folder.mkdir()
        for each in self.series.patches:
            (folder / each.name).write_bytes(each.data)
        code = f'''
from pathlib import Path
from dmirrorlib import patches
tree = Path({str(self.tree)!r})
series = patches.read_series(Path({str(folder)!r}))
for _ in range(6):
    patches.apply(tree, series)
    patches.take_back(tree)
'''
        for run in [self.python(code) for _ in range(3)]:
            _, err = run.communicate(timeout=60)
            self.assertEqual(run.returncode, 0, err)
        self.assertEqual(self.content(), {A: NUMBERS, B: 'old\n'})


@consoles.needs_tree
class Real(TempCase):
    """The project's own patches, on the files of a real tree."""

    def test_apply_and_come_off(self) -> None:
        assert consoles.TREE is not None
        version = source.read_version(consoles.TREE)
        if version.split('.')[:2] not in (['7', '2'], ['7', '3']):
            self.skipTest(f'the patches are for 7.2 and 7.3, not {version}')
        folder = variants.folder_of(TOOLS.parent, 'um-full')
        series = patches.read_series(folder)
        tree = self.tmp / 'linux'
        tree.mkdir()
        for name in ('Makefile', 'drivers/Kconfig', 'drivers/Makefile',
                     patches.RECORD, *self.touched(series)):
            if (consoles.TREE / name).exists():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(consoles.TREE / name, tree / name)
        patches.take_back(tree)
        before = state_of(tree)
        self.assertTrue(patches.apply(tree, series))
        self.assertEqual(patches.state(tree, series), patches.CURRENT)
        after = state_of(tree)
        self.assertTrue(all(after.get(name) != before.get(name)
                            for name in self.touched(series)))
        patches.take_back(tree)
        self.assertEqual({n: s[:2] for n, s in state_of(tree).items()},
                         {n: s[:2] for n, s in before.items()})

    def touched(self, series: patches.Series) -> List[str]:
        """Return the files that a series changes."""
        (self.tmp / 'stage').mkdir(exist_ok=True)
        (self.tmp / 'stage/tree').mkdir(exist_ok=True)
        return patches._touched(self.tmp / 'stage', series.patches)


if __name__ == '__main__':
    unittest.main()
