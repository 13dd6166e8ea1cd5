# SPDX-License-Identifier: GPL-2.0
"""Tests of patched trees: made from cached ones, asked for of a user's."""

from __future__ import annotations

import argparse
import errno
import os
import shutil
import signal
import unittest
from pathlib import Path
from unittest import mock

from dmirrorlib import (cache, graft, patches, run, source, tiers, variants,
                        verb_graft, verb_ungraft)
from dmirrorlib.source import Tree

from .support import can_mount, unmount
from .test_graft import state_of
from .test_patches import A, B, NUMBERS, PatchCase

UM, FULL = tiers.get('um'), tiers.get('um-full')


class VariantCase(PatchCase):
    """A project with patches, a cached tree that is grafted to it, and a
    user's tree."""

    def setUp(self) -> None:
        super().setUp()
        self.project = self.tmp / 'project'
        (self.project / 'tools/dmirrorlib').mkdir(parents=True)
        self.folder = variants.folder_of(self.project, 'um-full')
        self.folder.mkdir(parents=True)
        self.write(self.series)
        path = cache.sub('trees') / 'linux-7.3'
        shutil.copytree(self.tree, path)
        (path / 'link').symlink_to('Makefile')
        (path / source.MARKER).write_text('{"origin": "x"}')
        self.plain = source.open_tree(path)
        self.user = Tree(self.tree, '7.3.4', False)
        graft.graft(path, self.project)

    def write(self, series: patches.Series) -> None:
        """Make these the project's patches."""
        for path in self.folder.iterdir():
            path.unlink()
        for each in series.patches:
            (self.folder / each.name).write_bytes(each.data)

    def variant(self) -> Tree:
        """Return the tree of tier um-full for the cached one."""
        return variants.tree_for(FULL, self.plain, self.project)


class Cached(VariantCase):
    """What comes beside a cached tree."""

    def test_is_the_plain_tree_and_the_patches(self) -> None:
        before = state_of(self.plain.path)
        tree = self.variant()
        self.assertEqual(tree.path.name, 'linux-7.3-um-full')
        self.assertTrue(tree.owned)
        self.assertEqual(tree.version, '7.3.4')
        self.assertEqual(self.content(tree.path),
                         {A: self.two, 'arch/um/deep/new.h': 'new\n'})
        self.assertEqual(os.readlink(tree.path / 'link'), 'Makefile')
        self.assertFalse(graft.half_done(tree.path))
        self.assertIsNone(graft.grafted_to(tree.path))
        # Untouched files are the same ones, with their times.
        self.assertTrue(os.path.samefile(tree.path / 'Makefile',
                                         self.plain.path / 'Makefile'))
        self.assertEqual(state_of(self.plain.path), before)

    def test_the_plain_tree_is_never_changed(self) -> None:
        before = state_of(self.plain.path)
        tree = self.variant()
        graft.graft(tree.path, self.project)
        self.write(self.newer)
        self.variant()
        patches.take_back(tree.path)
        graft.ungraft(tree.path)
        self.assertEqual(state_of(self.plain.path), before)
        made = state_of(tree.path)
        graft.ungraft(self.plain.path)
        self.assertEqual(state_of(tree.path), made)

    def test_other_tiers_take_the_plain_tree(self) -> None:
        self.assertIs(variants.tree_for(UM, self.plain, self.project),
                      self.plain)
        full, plain = self.variant(), self.plain
        self.assertNotEqual(run.build_dir(FULL, full),
                            run.build_dir(FULL, plain))
        self.assertEqual(source.cached_trees(), [plain])
        self.assertEqual(source.find_tree(None), plain)

    def test_twice_changes_nothing(self) -> None:
        tree = self.variant()
        graft.graft(tree.path, self.project)
        before = state_of(tree.path)
        self.assertEqual(self.variant(), tree)
        self.assertEqual(state_of(tree.path), before)
        # Also if the variant itself is named.
        self.assertEqual(variants.tree_for(FULL, tree, self.project), tree)
        self.assertEqual(os.listdir(cache.sub('trees')).count(
            'linux-7.3-um-full'), 1)
        self.assertEqual(len(os.listdir(cache.sub('trees'))), 2)

    def test_follows_the_project(self) -> None:
        tree = self.variant()
        self.write(self.newer)
        makefile = (tree.path / 'Makefile').stat()
        self.variant()
        self.assertEqual(self.content(tree.path), {
            A: self.one, B: 'old\n', 'arch/um/deep/new.h': 'newer\n'})
        self.assertEqual((tree.path / 'Makefile').stat(), makefile)

    def test_does_not_change_under_a_build(self) -> None:
        tree = self.variant()
        self.write(self.newer)
        held: 'list[bool]' = []
        real = patches.apply

        def apply(path: Path, series: patches.Series) -> bool:
            held.append(bool(cache.held()))
            with mock.patch.object(cache, 'held', return_value=()):
                other = self.python(
                    'from dmirrorlib import source\n'
                    'from pathlib import Path\n'
                    f'with source.tree_lock(source.Tree(Path({str(path)!r}),'
                    ' "7.3.4", True)):\n    pass')
            while True:
                assert other.stderr is not None
                line = other.stderr.readline()
                if not line or 'waiting' in line:
                    break
            held.append('waiting' in line)
            return real(path, series)

        with mock.patch.object(patches, 'apply', apply):
            self.assertEqual(self.variant(), tree)
        self.assertEqual(held, [True, True])

    def test_follows_the_plain_tree(self) -> None:
        tree = self.variant()
        (self.plain.path / source.MARKER).write_text('{"origin": "y"}')
        other = self.plain.path / 'mm/fresh.c'
        other.write_text('from y\n')
        self.assertEqual(self.variant(), tree)
        self.assertTrue((tree.path / 'mm/fresh.c').exists())

    def test_damaged_one_is_made_again(self) -> None:
        tree = self.variant()
        (tree.path / 'Makefile').unlink()
        self.assertEqual(self.variant(), tree)
        self.assertTrue((tree.path / 'Makefile').exists())
        shutil.rmtree(tree.path / 'tools')
        self.assertEqual(self.variant(), tree)

    def test_patches_that_do_not_apply(self) -> None:
        (self.plain.path / A).write_text('another kernel\n')
        with self.fails('0001-first.patch does not apply',
                        f'{self.plain.path},'):
            self.variant()
        self.assertEqual(os.listdir(cache.sub('trees')), ['linux-7.3'])

    def test_killed_while_it_is_made(self) -> None:
        ready = self.tmp / 'ready'
        self.program('git', f'touch {ready}; exec sleep 60')
        code = ('from pathlib import Path\n'
                'from dmirrorlib import source, tiers, variants\n'
                'variants.tree_for(tiers.get("um-full"), '
                f'source.open_tree(Path({str(self.plain.path)!r})), '
                f'Path({str(self.project)!r}))')
        process = self.python(code)
        self.wait_for(ready)
        process.send_signal(signal.SIGKILL)
        process.wait()
        names = os.listdir(cache.sub('trees'))
        self.assertNotIn('linux-7.3-um-full', names)
        self.assertEqual(len(names), 2)
        (self.bin / 'git').unlink()
        self.assertEqual(self.content(self.variant().path)[A], self.two)
        self.assertEqual(len(os.listdir(cache.sub('trees'))), 2)

    def test_without_hard_links(self) -> None:
        with mock.patch.object(os, 'link', side_effect=OSError(
                errno.EPERM, 'Operation not permitted')):
            tree = self.variant()
        self.assertEqual((tree.path / 'Makefile').stat().st_mtime_ns,
                         (self.plain.path / 'Makefile').stat().st_mtime_ns)
        self.assertEqual(self.content(tree.path)[A], self.two)

    def test_disk_full(self) -> None:
        small = self.tmp / 'small'
        if not can_mount(small, 'size=1m,nr_inodes=40'):
            self.skipTest('no right to mount a tmpfs')
        self.addCleanup(unmount, small)
        shutil.copytree(cache.root(), small / 'dmirror', symlinks=True)
        os.environ['XDG_CACHE_HOME'] = str(small)
        plain = source.open_tree(cache.root() / 'trees/linux-7.3')
        with self.fails('is full while making linux-7.3-um-full'):
            variants.tree_for(FULL, plain, self.project)
        self.assertEqual(os.listdir(plain.path.parent), ['linux-7.3'])


class Users(VariantCase):
    """A tree of the user's own is never patched by a run."""

    def refused(self, words: str) -> None:
        """Expect a refusal that names the command."""
        before = state_of(self.tree)
        with self.fails(words, f'tools/dmirror graft --patches {self.tree}'):
            variants.tree_for(FULL, self.user, self.project)
        self.assertEqual(state_of(self.tree), before)

    def test_needs_the_present_patches(self) -> None:
        self.refused('does not have the kernel patches')
        patches.apply(self.tree, self.newer)
        self.refused('other kernel patches')
        patches.apply(self.tree, self.series)
        self.assertIs(variants.tree_for(FULL, self.user, self.project),
                      self.user)
        (self.tree / A).write_text(NUMBERS)
        self.refused('edited since')
        (self.tree / A).write_text(self.two)
        (self.tree / patches.STAGE).mkdir()
        (self.tree / patches.STAGE / 'plan').touch()
        self.refused('only a part')
        with self.fails('only a part', 'graft --patches', 'ungraft'):
            variants.tree_for(UM, self.user, self.project)

    def test_other_tiers_run_and_say_so(self) -> None:
        def said() -> str:
            return variants.describe(self.user, self.project)

        self.assertEqual(said(), 'none')
        patches.apply(self.tree, self.newer)
        self.assertIs(variants.tree_for(UM, self.user, self.project),
                      self.user)
        self.assertEqual(said(), 'patched (um-full, of another version of '
                                 'the project)')
        patches.apply(self.tree, self.series)
        self.assertEqual(said(), 'patched (um-full)')
        (self.tree / A).write_text('x')
        self.assertEqual(said(), 'patched (um-full, edited since)')
        (self.tree / patches.RECORD).write_text('x')
        self.assertIn('patched, not known with what', said())


class Verbs(VariantCase):
    """dmirror graft --patches, and ungraft."""

    def run_verb(self, module: 'object', *words: str) -> str:
        """Run a verb; return what it said."""
        parser = argparse.ArgumentParser()
        module.add_arguments(parser)  # type: ignore[attr-defined]
        args = parser.parse_args(words)
        del self.said[:]
        with mock.patch.object(verb_graft, 'PROJECT', self.project):
            self.assertEqual(
                module.main(args), 0)  # type: ignore[attr-defined]
        return '\n'.join(self.said)

    def test_only_when_asked(self) -> None:
        before = self.no_times(state_of(self.tree))
        said = self.run_verb(verb_graft, str(self.tree))
        self.assertNotIn('patches', said)
        self.assertNotIn('um-full', said)
        self.assertEqual(self.content()[A], NUMBERS)
        said = self.run_verb(verb_graft, '--patches', str(self.tree))
        self.assertIn('2 patches are applied', said)
        self.assertIn('--kunitconfig=drivers/dmirror --kunitconfig='
                      'drivers/dmirror/kunit/um-full.kunitconfig', said)
        self.check_patched()
        said = self.run_verb(verb_graft, '--patches', str(self.tree))
        self.assertIn('2 patches were already applied', said)
        # A graft alone leaves them.
        self.run_verb(verb_graft, str(self.tree))
        self.check_patched()
        self.run_verb(verb_ungraft, str(self.tree))
        self.assertEqual(self.no_times(state_of(self.tree)), before)
        self.assertIn('has no graft',
                      self.run_verb(verb_ungraft, str(self.tree)))

    def test_ungraft_refuses_edited_patches(self) -> None:
        self.run_verb(verb_graft, '--patches', str(self.tree))
        (self.tree / A).write_text('mine\n')
        before = state_of(self.tree)
        with self.fails('do not come off'):
            self.run_verb(verb_ungraft, str(self.tree))
        self.assertEqual(state_of(self.tree), before)

    def test_patches_alone_come_off(self) -> None:
        before = self.no_times(state_of(self.tree))
        patches.apply(self.tree, self.series)
        self.assertIn('the graft is gone',
                      self.run_verb(verb_ungraft, str(self.tree)))
        self.assertEqual(self.no_times(state_of(self.tree)), before)


if __name__ == '__main__':
    unittest.main()
