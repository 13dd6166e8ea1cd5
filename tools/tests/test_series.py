# SPDX-License-Identifier: GPL-2.0
"""Patches from mails, and revisions from a user's repository."""

from __future__ import annotations

import os
import unittest
from pathlib import Path
from typing import List
from unittest import mock

from dmirrorlib import (cache, gittree, graft, patches, run, series, tiers,
                        trial_verb)
from dmirrorlib.errors import ToolError, UsageError

from . import support, trials

FIX = 'hmm.c: mend line 7'


class Mails(trials.TrialCase):
    """What the words of a command line mean."""

    def setUp(self) -> None:
        super().setUp()
        text = ''.join(f'line {i}\n' for i in range(1, 30))
        self.commit(FIX, hmm=text.replace('line 7\n', 'line seven\n'))
        self.commit('hmm.c: mend line 20',
                    hmm=text.replace('line 7\n', 'line seven\n').replace(
                        'line 20\n', 'line twenty\n'))
        self.commit('Fäke: ünusual', fake='dmirror_pt.walk=fail')
        self.folder = self.patches(self.base)

    def collect(self, *words: object) -> List[series.Mail]:
        """Collect mails."""
        scratch = self.tmp / f'scratch{len(list(self.tmp.iterdir()))}'
        scratch.mkdir()
        return series.collect([str(w) for w in words], scratch)

    def mbox(self, *order: int) -> Path:
        """Return a mailbox with the patches in some order."""
        files = sorted(self.folder.iterdir())
        path = self.tmp / 'box'
        path.write_bytes(b''.join(files[i].read_bytes() for i in order))
        return path

    def titles(self, *words: object) -> List[str]:
        """Collect mails; return their subjects."""
        return [m.title() for m in self.collect(*words)]

    def test_forms(self) -> None:
        wanted = [FIX, 'hmm.c: mend line 20', 'Fäke: ünusual']
        files = sorted(self.folder.iterdir())
        self.assertEqual(self.titles(self.folder), wanted)
        self.assertEqual(self.titles(*files), wanted)
        self.assertEqual(self.titles(self.mbox(0, 1, 2)), wanted)
        self.assertEqual(self.titles(files[1]), wanted[1:2])
        self.assertEqual(self.titles(files[2], files[0]),
                         [wanted[2], wanted[0]])

    def test_order_is_that_of_the_numbers(self) -> None:
        mails = self.collect(self.mbox(2, 0, 1))
        self.assertEqual([m.number for m in mails], [1, 2, 3])

    def test_cover_letter_and_answers(self) -> None:
        cover = (b'From 0 Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\n'
                 b'Subject: [PATCH 0/3] all\n\nHello\n\n')
        answer = (b'From 0 Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\n'
                  b'Subject: Re: [PATCH 1/3] x\n\n> diff --git a/x b/x\n\n'
                  b'Rather:\n\ndiff --git a/x b/x\n--- a/x\n+++ b/x\n'
                  b'@@ -1 +1 @@\n-a\n+b\n')
        path = self.mbox(0, 1, 2)
        path.write_bytes(cover + path.read_bytes() + answer)
        self.assertEqual(len(self.collect(path)), 3)
        (self.folder / '0000-cover-letter.patch').write_bytes(cover)
        self.assertEqual(len(self.collect(self.folder)), 3)
        path.write_bytes(cover)
        with self.fails('holds no patch', code=2):
            self.collect(path)

    def test_what_is_no_series(self) -> None:
        empty = self.tmp / 'empty'
        empty.write_text('\n')
        bare = self.tmp / 'x.diff'
        bare.write_text('diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n'
                        '-a\n+b\n')
        binary = self.tmp / 'binary'
        binary.write_bytes(os.urandom(4096))
        nothing = self.tmp / 'nothing'
        nothing.mkdir()
        for path, words in ((empty, 'is empty'), (bare, 'bare diff'),
                            (binary, 'holds no patch'),
                            (nothing, 'no *.patch'),
                            (self.tmp / 'none', 'cannot be read')):
            with self.subTest(words), self.fails(str(path), words, code=2):
                self.collect(path)

    def test_incomplete_and_double(self) -> None:
        with self.fails('lacks patch 2/3', code=2):
            self.collect(self.mbox(0, 2))
        with self.fails('patch 2/3 twice', code=2):
            self.collect(self.mbox(0, 1, 1, 2))

    def test_message_id(self) -> None:
        with mock.patch('shutil.which', return_value=None), \
                self.fails('b4', 'is not installed'):
            self.collect('20260101.1-x@y.invalid')
        box = self.mbox(0, 1, 2)
        self.program('b4', f'cp {box} "$3/x.mbx"')
        self.assertEqual(len(self.collect('<20260101.1-x@y.invalid>')), 3)
        self.assertEqual(self.logged('b4')[0].split()[-1],
                         '20260101.1-x@y.invalid')
        self.program('b4', 'echo no network >&2; exit 1')
        with self.fails('b4 did not get'):
            self.collect('20260101.1-x@y.invalid')


class Tree(trials.TrialCase):
    """The tree in the cache."""

    def setUp(self) -> None:
        super().setUp()
        self.made = gittree.Checkout(gittree.Repository(self.repo),
                                     run.PROJECT)

    def show(self, oid: str, tier: str = 'um') -> str:
        """Show a commit; return what its hmm.c begins with."""
        self.made.prepare()
        tree = self.made.show(oid, tiers.get(tier))
        self.assertEqual(graft.grafted_to(tree.path), run.PROJECT.resolve())
        self.assertFalse(tree.owned)
        return (tree.path / 'hmm.c').read_text().split('\n', 1)[0]

    def test_one_tree_for_all(self) -> None:
        other = self.commit('other', hmm='other')
        before = self.state()
        self.assertEqual(self.show(self.base), 'line 1')
        kept = (self.made.path / 'arch/um/include/asm/page.h').stat()
        self.assertEqual(self.show(other), 'other')
        self.assertEqual(self.show(self.base), 'line 1')
        now = (self.made.path / 'arch/um/include/asm/page.h').stat()
        self.assertEqual(kept.st_mtime_ns, now.st_mtime_ns)
        self.assertEqual(self.state(), before)
        self.assertEqual(self.checkout(), self.made.path)

    def test_what_a_killed_run_left(self) -> None:
        self.show(self.base)
        path = self.made.path
        (path / '.git/index.lock').write_text('')
        (path / '.git/rebase-apply').mkdir()
        (path / 'hmm.c').write_text('half')
        (path / 'stray.c').write_text('x')
        (path / 'drivers/Makefile').unlink()
        self.assertEqual(self.show(self.base), 'line 1')
        self.assertFalse((path / 'stray.c').exists())
        (path / '.git/index').write_bytes(b'broken')
        self.assertEqual(self.show(self.base), 'line 1')
        (path / '.git/HEAD').write_text('0' * 40 + '\n')
        self.assertEqual(self.show(self.base), 'line 1')

    def test_repository_that_is_gone(self) -> None:
        self.show(self.base)
        other = self.tmp / 'other'
        self.git('clone', '-q', str(self.repo), str(other))
        (self.repo / '.git').rename(self.tmp / 'elsewhere')
        made = gittree.Checkout(gittree.Repository(other), run.PROJECT)
        made.prepare()
        self.assertFalse(self.made.path.exists())
        self.assertTrue(made.path.is_dir())

    def test_interrupted_am_is_tidied(self) -> None:
        with trial_verb.checkout(gittree.Repository(self.repo)) as tree:
            with self.assertRaises(KeyboardInterrupt), \
                    trial_verb.checkout(gittree.Repository(
                        self.other())) as second:
                (second.path / '.git/rebase-apply').mkdir()
                raise KeyboardInterrupt
            self.assertFalse((second.path / '.git/rebase-apply').exists())
            self.assertNotEqual(tree.path, second.path)

    def other(self) -> Path:
        """Return another repository."""
        path = self.tmp / 'second'
        self.git('clone', '-q', str(self.repo), str(path))
        return path

    def test_commit_that_the_user_dropped(self) -> None:
        gone = self.commit('gone', hmm='gone')
        self.show(gone)
        self.git('reset', '-q', '--hard', self.base)
        self.git('reflog', 'expire', '--expire=now', '--all')
        self.git('gc', '-q', '--prune=now')
        self.assertEqual(self.show(self.base), 'line 1')

    def test_bare_worktree_and_shallow(self) -> None:
        self.commit('second', hmm='second')
        bare, linked = self.tmp / 'bare.git', self.tmp / 'linked'
        shallow = self.tmp / 'shallow'
        self.git('clone', '-q', '--bare', str(self.repo), str(bare))
        self.git('worktree', 'add', '-q', '--detach', str(linked))
        self.git('clone', '-q', '--depth=1', f'file://{self.repo}',
                 str(shallow))
        for path in (bare, linked, shallow, self.repo / 'drivers'):
            repo = gittree.Repository(path)
            found = repo.commit('HEAD')
            self.assertEqual((found.subject, found.version),
                             ('second', '7.3.4'))
            self.made = gittree.Checkout(repo, run.PROJECT)
            self.assertEqual(self.show(found.oid), 'second')
        self.assertEqual(gittree.Repository(bare).dirty(), [])

    def test_the_users_environment_and_settings(self) -> None:
        hook = self.repo / '.git/hooks/post-checkout'
        hook.parent.mkdir(exist_ok=True)
        hook.write_text('#!/bin/sh\ntouch hooked\n')
        hook.chmod(0o755)
        with mock.patch.dict(os.environ, {
                'GIT_DIR': '/nonexistent', 'GIT_INDEX_FILE': '/nonexistent',
                'GIT_WORK_TREE': '/nonexistent'}):
            made = gittree.Checkout(gittree.Repository(self.repo),
                                    run.PROJECT)
            made.prepare()
            made.checkout(self.base)
        self.assertFalse((made.path / 'hooked').exists())
        self.assertEqual((made.path / FAKE).read_text(), '\n')

    def test_patches_of_a_tier(self) -> None:
        folder = run.PROJECT / 'tools/patches/um-full'
        folder.mkdir(parents=True)
        (self.repo / 'hmm.c').write_text('patched\n')
        (folder / '0001-x.patch').write_text(
            'From: A <a@b>\nSubject: x\n\n---\n' + self.git('diff') + '\n')
        self.git('checkout', '-q', 'hmm.c')
        self.assertEqual(self.show(self.base, 'um-full'), 'patched')
        self.assertTrue((self.made.path / patches.RECORD).exists())
        self.assertEqual(self.show(self.base), 'line 1')
        self.assertFalse((self.made.path / patches.RECORD).exists())

    def test_what_is_no_revision(self) -> None:
        repo = gittree.Repository(self.repo)
        for name in ('nothing', '', '--all', 'HEAD:hmm.c', 'v7.3^{tree}'):
            with self.subTest(name), self.fails('no revision', code=2):
                repo.commit(name)
        (self.repo / 'Makefile').write_text('VERSION = 6\nPATCHLEVEL = 12\n'
                                            'SUBLEVEL = 1\n')
        self.commit('old')
        with self.fails('Linux 6.12.1', '7.2 or newer', code=2):
            repo.commit('HEAD')
        (self.repo / 'Makefile').write_text('all:\n')
        self.commit('none')
        with self.fails('no kernel', code=2):
            repo.commit('HEAD')
        plain = support.make_tree(self.tmp / 'plain')
        with self.fails('not in a git repository', code=2):
            gittree.Repository(plain)
        with self.fails('not a directory', code=2):
            gittree.Repository(self.tmp / 'none')

    def test_full_disk(self) -> None:
        with mock.patch.object(gittree, 'TREE_BYTES', 1 << 60), \
                self.fails('GB free'):
            self.made.prepare()
        self.assertFalse(self.made.path.exists())
        self.made.prepare()
        folder = self.tmp / 'small'
        if not support.can_mount(folder, 'size=200k'):
            self.skipTest('needs root to mount a small file system')
        self.addCleanup(support.unmount, folder)
        big = self.commit('big', hmm='x' * 4000000)
        with mock.patch.dict(os.environ, {'XDG_CACHE_HOME': str(folder)}):
            made = gittree.Checkout(gittree.Repository(self.repo),
                                    run.PROJECT)
            with mock.patch.object(gittree, 'TREE_BYTES', 1):
                with self.fails('is full'):
                    made.prepare()
                    made.checkout(big)


FAKE = trials.FAKE


class Applying(trials.TrialCase):
    """Patches on a commit."""

    def apply(self, base: str, folder: Path) -> List[str]:
        """Apply a directory's patches; return the commits."""
        made = gittree.Checkout(gittree.Repository(self.repo), run.PROJECT)
        made.prepare()
        made.checkout(base)
        scratch = self.tmp / 'scratch'
        scratch.mkdir(exist_ok=True)
        return series.apply(series.collect([str(folder)], scratch), made)

    def test_the_same_commits_each_time(self) -> None:
        self.commit('one', hmm='one')
        tip = self.commit('two', hmm='two', fake='x')
        folder = self.patches(self.base)
        before = self.state()
        oids = self.apply(self.base, folder)
        self.assertEqual(len(oids), 2)
        self.assertEqual(self.state(), before)
        made = gittree.Checkout(gittree.Repository(self.repo), run.PROJECT)
        self.assertEqual(made.subject(oids[1]), 'two')
        for oid in (oids[1], tip):
            self.assertEqual(made._git('rev-parse', f'{oid}^{{tree}}').stdout,
                             made._git('rev-parse', f'{tip}^{{tree}}').stdout)

    def test_refused(self) -> None:
        self.commit('one', hmm='one')
        self.commit('two', hmm='two')
        folder = self.patches(self.base)
        other = self.commit('other', hmm='other')
        with self.fails('patch 1 of 2 ("one"', 'does not apply to hmm.c'):
            self.apply(other, folder)
        self.nothing_left()
        self.git('rm', '-q', 'hmm.c')
        other = self.commit('gone')
        (self.tmp / 'scratch').rename(self.tmp / 'scratch1')
        with self.fails('does not apply to hmm.c'):
            self.apply(other, folder)

    def test_full_disk_is_not_the_patchs_fault(self) -> None:
        made = gittree.Checkout(gittree.Repository(self.repo), run.PROJECT)
        done = mock.Mock(returncode=128, stderr='fatal: No space left on '
                                                'device', stdout='')
        with mock.patch.object(gittree, '_run', return_value=done), \
                self.assertRaises(cache.DiskError):
            made.apply_mail(self.tmp / 'mail')
        self.assertTrue(issubclass(UsageError, ToolError))


if __name__ == '__main__':
    unittest.main()
