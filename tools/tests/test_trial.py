# SPDX-License-Identifier: GPL-2.0
"""compare, series and bisect-step with real git and fake kernels."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any, Dict, List
from unittest import mock

from dmirrorlib import cache, gittree, graft, run, tiers, trial
from dmirrorlib.errors import ToolError

from . import consoles, support, trials

WALK = trials.WALK


@consoles.needs_tree
class Compare(trials.TrialCase):
    """Two revisions, or two directories."""

    def compare(self, *words: str, fake: str = '') -> 'tuple[int, str]':
        """Compare the base with a commit of a kernel."""
        head = self.commit('the head', fake=fake)
        self.git('checkout', '-q', 'master')
        return self.call('compare', self.base, head, '--silence', '1',
                         *words)

    def folder(self) -> Path:
        """Return where the results are."""
        return (cache.sub('runs') / 'latest-compare').resolve()

    def test_nothing_changed(self) -> None:
        before = self.state()
        code, out = self.call('compare', 'HEAD', 'HEAD', '-n', '5')
        self.assertEqual(code, 0, self.err)
        self.assertIn('NOTHING GOT WORSE: 7 as before', out)
        self.assertIn('Nothing got worse; 7 cases are as before.', out)
        self.assertIn('7 cases, 5 runs each, seeds ', out)
        self.assertEqual(self.state(), before)
        self.assertEqual(len(list(self.folder().glob('*/um-*'))), 10)
        self.nothing_left()

    def test_worse(self) -> None:
        code, out = self.compare(fake=f'{WALK}=fail')
        self.assertEqual(code, 1, self.err)
        self.assertRegex(out, r'dmirror_pt.walk +0:3 +\+100% +3:3')
        self.assertIn('pass, now fail: EXPECTATION FAILED at fake.c:2', out)
        self.assertIn('WORSE: 1 worse, 6 as before', out)
        self.assertIn('1 case got worse (failures:runs):', out)
        self.nothing_left()

    def test_seeds_are_the_same_on_both_sides(self) -> None:
        code, out = self.compare('--seed', '40', '-n', '2')
        self.assertEqual(code, 0)
        self.assertIn('2 runs each, seeds 40, 41;', out)
        for side in ('base', 'head'):
            for number in (1, 2):
                self.assertIn(f'dmirror_fixture.seed={39 + number}', (
                    self.folder() / side / f'um-{number}' /
                    'commands.txt').read_text())

    def test_better(self) -> None:
        self.base = self.commit('bad', fake=f'{WALK}=warn')
        code, out = self.compare(fake='')
        self.assertEqual(code, 0, self.err)
        self.assertIn('complaint, now pass', out)
        self.assertIn('Kernel complaints that are gone:', out)

    def test_guests_that_die(self) -> None:
        for fake, word in (('panic', 'crash'), ('hang', 'hang')):
            code, out = self.compare(fake=f'{WALK}={fake}')
            self.assertEqual(code, 1)
            self.assertIn(f'pass, now {word}', out)
            self.assertRegex(out, r'dmirror_pt.walk +0:2 +\+100% +2:2')
            self.assertIn('WORSE: 1 worse, 6 as before', out)

    def test_talks_but_gets_nowhere(self) -> None:
        with mock.patch.object(run, 'STALLED', 0.5):
            code, out = self.compare('--once', fake=f'{WALK}=chatty')
        self.assertEqual(code, 1)
        self.assertIn('gave no result for 0.5 s', ' '.join(out.split()))
        self.assertIn('WORSE: 1 worse, 6 as before', out)

    def test_hang_at_shutdown(self) -> None:
        with mock.patch.object(run, 'SHUTDOWN', 0.2):
            code, out = self.compare('--once', fake='shutdown=hang')
        self.assertEqual(code, 1)
        self.assertIn('hung at shutdown', ' '.join(out.split()))

    def test_does_not_boot(self) -> None:
        code, out = self.compare(fake='boot=panic')
        self.assertEqual(code, 1, self.err)
        self.assertIn('um: does not boot: ', out)
        self.assertIn('head/um-list.log', out)
        self.assertTrue((self.folder() / 'head/um-list.log').is_file())
        self.nothing_left()

    def test_does_not_build(self) -> None:
        code, out = self.compare(fake='build=error')
        self.assertEqual(code, 1, self.err)
        self.assertIn('WORSE: um: does not build: hmm.c:7:3: error: expected '
                      '";"', out)
        self.assertNotIn('othing got worse', out)
        self.assertNotIn('NOTHING', out)
        self.assertTrue((self.folder() / 'head/um-build.log').is_file())
        self.nothing_left()

    def test_base_does_not_build(self) -> None:
        self.base = self.commit('bad', fake='build=error')
        code, _ = self.compare(fake='')
        self.assertEqual(code, 3)
        self.assertIn('does not build', self.err)
        self.nothing_left()

    def test_json_alone_on_stdout(self) -> None:
        code, out = self.compare('--json', '-', fake=f'{WALK}=fail')
        data = json.loads(out)
        self.assertEqual((code, data['verdict'], data['format']),
                         (1, 'worse', 'dmirror-comparison'))
        self.assertEqual([r['case'] for r in data['rows']], [WALK])
        self.assertEqual(len(data['rows'][0]['head']), 3)
        for outcome in data['rows'][0]['head']:
            self.assertTrue(Path(outcome['folder'], 'results.json').exists())
        saved = (self.folder() / 'comparison.json').read_text()
        self.assertEqual(json.loads(saved), data)

    def test_json_never_tells_of_a_former_run(self) -> None:
        path = self.tmp / 'out.json'
        path.write_text('{"verdict": "pass"}')
        code, _ = self.call('compare', 'HEAD', 'nothing', '--json',
                            str(path))
        data = json.loads(path.read_text())
        self.assertEqual((code, data['verdict'], data['exit_code']),
                         (2, 'error', 2))
        self.assertIn('no revision "nothing"', data['reasons'][0])

    def test_dirty_tree_is_told(self) -> None:
        (self.repo / 'hmm.c').write_text('mine')
        code, out = self.call('compare', 'HEAD', 'HEAD')
        self.assertEqual(code, 0)
        self.assertIn('uncommitted changes (hmm.c), which are not part', out)
        self.assertEqual((self.repo / 'hmm.c').read_text(), 'mine')

    def test_graft_is_not_dirt(self) -> None:
        graft.graft(self.repo, run.PROJECT)
        _, out = self.call('compare', 'HEAD', 'HEAD')
        self.assertNotIn('uncommitted', out)

    def test_bad_words(self) -> None:
        tree = support.make_tree(self.tmp / 'plain')
        old = support.make_tree(self.tmp / 'old', '6.12.1')
        for words, said in (
                (('HEAD', str(tree)), 'a directory and a revision'),
                (('HEAD', 'nothing'), 'has no revision "nothing"'),
                (('HEAD', 'HEAD', '-n', '0'), '-n needs at least 1'),
                (('HEAD', 'HEAD', '--tier', 'x'), 'no tier "x"'),
                (('HEAD', 'HEAD', '--filter', 'x'), 'matches none'),
                ((str(old), str(tree)), 'Linux 6.12.1, which is not'),
                (('HEAD', 'HEAD', '--kdir', str(tree)), 'not in a git')):
            with self.subTest(said):
                code, out = self.call('compare', *words)
                self.assertEqual((code, out), (2, ''), self.err)
                self.assertIn(said, self.err)
                self.nothing_left()

    def test_directories(self) -> None:
        trees = []
        for name, fake in (('one', ''), ('two', f'{WALK}=fail')):
            tree = support.make_tree(self.tmp / name)
            (tree / 'FAKE').write_text(fake)
            trees.append(str(tree))
        # Whether they are grafted is for Session.build(), which is a fake.
        code, out = self.call('compare', *trees)
        self.assertEqual(code, 1, self.err)
        self.assertRegex(out, r'dmirror_pt.walk +0:3 +\+100% +3:3')
        self.assertIn(f'base  {trees[0]}', out)
        self.assertEqual(list((cache.root() / 'trees').glob('*')), [])

    def test_fails_only_after_the_others(self) -> None:
        """A case that is fine when it runs alone is run in full again."""
        real = run.Session.run

        def fine_alone(session: run.Session) -> Any:
            if session.opts.glob and session.folder.parent.name == 'head':
                kernel = session.folder / 'linux'
                text = kernel.read_text()
                kernel.write_text(text.replace(f'{WALK}=fail', 'x=y'))
                try:
                    return real(session)
                finally:
                    kernel.write_text(text)
            return real(session)

        with mock.patch.object(run.Session, 'run', fine_alone), \
                mock.patch.object(run.Session, 'plan', self._plan):
            code, out = self.compare(fake=f'{WALK}=fail')
        self.assertEqual(code, 1)
        self.assertIn('not when run alone (0:1)', ' '.join(out.split()))
        self.assertRegex(out, r'dmirror_pt.walk +0:3 +\+100% +3:3')

    @staticmethod
    def _plan(session: run.Session) -> List[Any]:
        del session
        return [('dmirror_pt', c) for c in ('walk', 'clear_range', 'orders')
                ] + [('dmirror_mirror', c) for c in ('read', 'huge', 'write')
                     ] + [('dmirror_plan', 'sort')]

    def test_flaky(self) -> None:
        """Every third run fails, on both sides."""
        real, count = run.Session.run, [0]

        def now_and_then(session: run.Session) -> Any:
            count[0] += 1
            kernel = session.folder / 'linux'
            text = kernel.read_text()
            if count[0] // 2 % 3 == 1:
                kernel.write_text(text.replace(
                    'os.environ["FAKE"] = \'\'',
                    f'os.environ["FAKE"] = \'{WALK}=fail\''))
            try:
                return real(session)
            finally:
                kernel.write_text(text)

        with mock.patch.object(run.Session, 'run', now_and_then), \
                mock.patch.object(run.Session, 'plan', self._plan), \
                mock.patch.object(trial, 'UNSURE', 6):
            code, out = self.call('compare', 'HEAD', 'HEAD', '-n', '4')
        self.assertEqual(code, 0, out)
        self.assertIn('Fail now and then, no difference to be told:', out)
        self.assertRegex(out, r'dmirror_pt.walk +2:6 +\+0% +2:6')


@consoles.needs_tree
class Series(trials.TrialCase):
    """Patches on a base."""

    def series(self, *commits: Dict[str, str]) -> Path:
        """Make a series of commits; return the directory of its patches."""
        for number, files in enumerate(commits, 1):
            self.commit(f'change {number}', **files)
        return self.patches(self.base)

    def test_verdicts(self) -> None:
        folder = self.series({'fake': f'{WALK}=fail'})
        before = self.state()
        code, out = self.call('series', '--base', self.base, str(folder))
        self.assertEqual(code, 1, self.err)
        self.assertRegex(out, r'dmirror_pt.walk +0:3 +\+100% +3:3')
        self.assertIn('with: "change 1"', out)
        self.assertEqual(self.state(), before)
        self.nothing_left()
        (folder / '0002-x.patch').write_text('')
        code, out = self.call('series', str(folder / '0002-x.patch'))
        self.assertEqual(code, 2)
        self.assertIn('is empty', self.err)

    def test_each(self) -> None:
        folder = self.series({'fake': 'a'}, {'fake': 'build=error'},
                             {'fake': f'{WALK}=fail'}, {'fake': 'b'})
        code, out = self.call('series', '--each', '--silence', '1',
                              str(folder))
        self.assertEqual(code, 1, self.err)
        self.assertEqual(self.built, ['', 'a', 'build=error', f'{WALK}=fail',
                                      'b'])
        text = ' '.join(out.split())
        for words in (
                'patch 1/4 "change 1" NOTHING GOT WORSE',
                'patch 2/4 "change 2" WORSE: um: does not build: hmm.c:7:3',
                'patch 3/4 "change 3" WORSE: 1 worse',
                'patch 4/4 "change 4" NOTHING GOT WORSE: 1 better',
                'The whole series: NOTHING GOT WORSE: 7 as before',
                'patch 3/4 ("change 3") alone: WORSE'):
            self.assertIn(words, text)
        latest = (cache.sub('runs') / 'latest-series').resolve()
        data = json.loads((latest / 'comparison.json').read_text())
        self.assertEqual([s['worse'] for s in data['steps']],
                         [False, False, True, False])
        self.assertEqual([bool(s['broken']) for s in data['steps']],
                         [False, True, False, False])
        self.assertEqual(len(data['patches']), 4)

    def test_only_base_and_tip(self) -> None:
        folder = self.series({'fake': 'a'}, {'fake': 'b'})
        code, out = self.call('series', str(folder))
        self.assertEqual((code, self.built), (0, ['', 'b']))
        self.assertIn('with  2 patches, "change 1" to "change 2"', out)

    def test_which_patch_does_not_build(self) -> None:
        for bad in (1, 2, 3, 5):
            with self.subTest(bad):
                self.git('reset', '-q', '--hard', self.base)
                for i in range(1, 6):
                    self.commit(f'change {i}', fake=(
                        'build=error' if i >= bad else 'a') + f' x={i}')
                code, out = self.call('series', str(self.patches(
                    self.base, f'p{bad}')))
                self.assertEqual(code, 1)
                self.assertIn(f'error: expected ";", since patch {bad}/5 '
                              f'("change {bad}")', ' '.join(out.split()))
                self.nothing_left()

    def test_the_machines_fault_is_no_verdict(self) -> None:
        folder = self.series({'fake': 'build=error'})
        for detail, words in (
                ('cc1: error: x.o: No space left on device', 'is full'),
                ('gcc: fatal error: Killed signal terminated program cc1',
                 'the machine, not the kernel')):
            with mock.patch.object(trials, 'ERROR', detail):
                code, _ = self.call('series', str(folder))
            self.assertEqual(code, 3)
            self.assertIn(words, self.err)
            self.nothing_left()

    def test_does_not_apply(self) -> None:
        folder = self.series({'hmm': 'one'}, {'hmm': 'two'})
        other = self.commit('other', hmm='other')
        before = self.state()
        code, out = self.call('series', '--base', other, str(folder))
        self.assertEqual((code, out, self.built), (3, '', []))
        self.assertIn('patch 1 of 2 ("change 1", ', self.err)
        self.assertIn('does not apply to hmm.c', self.err)
        self.assertEqual(self.state(), before)
        self.nothing_left()

    def test_interrupted(self) -> None:
        folder = self.series({'fake': 'a'})
        before = self.state()
        for where in ('dmirrorlib.run.Session.run',
                      'dmirrorlib.run.Session.build',
                      'dmirrorlib.series.apply'):
            with mock.patch(where, side_effect=KeyboardInterrupt):
                code, _ = self.call('series', str(folder))
            self.assertEqual(code, 130)
            self.assertEqual(self.state(), before)
            self.nothing_left()
        self.assertEqual(self.call('series', str(folder))[0], 0)


class Killed(trials.TrialCase):
    """A run that is killed while git works."""

    def test_the_next_one_works(self) -> None:
        tree = gittree.Checkout(gittree.Repository(self.repo), run.PROJECT)
        tree.prepare()
        code = (
            'import os\nfrom pathlib import Path\n'
            'from dmirrorlib import gittree\n'
            f'repo = gittree.Repository(Path({str(self.repo)!r}))\n'
            f'tree = gittree.Checkout(repo, Path({str(run.PROJECT)!r}))\n'
            'print("ready", flush=True)\n'
            f'while True:\n    tree.checkout({self.base!r})\n')
        child = self.python(code)
        assert child.stdout
        child.stdout.readline()
        with self.assertRaises(subprocess.TimeoutExpired):
            child.wait(0.3)
        child.send_signal(signal.SIGKILL)
        child.wait()
        tree.prepare()
        tree.show(self.base, tiers.get('um'))
        self.assertEqual((tree.path / 'hmm.c').read_text(),
                         (self.repo / 'hmm.c').read_text())
        self.assertTrue(sys.executable)


@consoles.needs_tree
class Bisect(trials.TrialCase):
    """bisect-step, and git bisect run with it."""

    def step(self, *words: str, fake: str = '') -> int:
        """Judge a commit of a kernel; return the exit code."""
        self.commit('step', fake=fake)
        return self.call('bisect-step', '--silence', '1', *words)[0]

    def test_codes(self) -> None:
        for fake, code in (('', 0), (f'{WALK}=fail', 1), (f'{WALK}=warn', 1),
                           (f'{WALK}=hang', 1), (f'{WALK}=skip', 0),
                           ('build=error', 125), ('boot=panic', 125),
                           ('list=dies', 125), ('shutdown=panic', 1)):
            with self.subTest(fake):
                self.assertEqual(self.step(fake=fake), code, self.err)
                self.nothing_left()
        self.assertEqual(self.step('--find-fix', fake=f'{WALK}=fail'), 0)
        self.assertEqual(self.step('--find-fix', fake=''), 1)
        self.assertEqual(self.step('--filter', 'dmirror_mirror.*',
                                   fake=f'{WALK}=fail'), 0)
        self.assertEqual(self.step('--filter', WALK,
                                   fake=f'{WALK}=skip'), 125)

    def test_mistakes_stop_git(self) -> None:
        self.assertEqual(self.step('--filter', 'nothing'), 128)
        self.assertEqual(self.step('--tier', 'nothing'), 128)
        self.assertEqual(self.step('--nothing'), 128)
        self.assertEqual(self.step('--kdir', str(self.tmp)), 128)
        # A kernel that is too old is only one that cannot be told.
        (self.repo / 'Makefile').write_text(
            'VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 1\n')
        self.assertEqual(self.step(), 125)

    def test_uncommitted_changes_count(self) -> None:
        self.commit('good')
        (self.repo / 'FAKE').write_text(f'{WALK}=fail\n')
        before = self.state()
        code, out = self.call('bisect-step')
        self.assertEqual(code, 1)
        self.assertIn('with the uncommitted changes of FAKE', self.err)
        self.assertEqual(self.state(), before)
        self.git('checkout', '-q', 'FAKE')
        self.assertEqual(self.call('bisect-step')[0], 0)

    def test_what_git_sets_for_its_children(self) -> None:
        with mock.patch.dict(os.environ, {'GIT_DIR': '.git',
                                          'GIT_INDEX_FILE': '.git/index'}):
            self.assertEqual(self.step(fake=f'{WALK}=fail'), 1)

    def test_another_tree_in_the_environment(self) -> None:
        other = support.make_tree(self.tmp / 'other')
        with mock.patch.dict(os.environ, {'KDIR': str(other)}):
            self.assertEqual(self.step(fake=f'{WALK}=fail'), 1)
            self.assertEqual(self.step('--kdir', str(other)), 128)
            self.assertEqual(self.call('compare', 'HEAD', 'HEAD')[0], 2)

    def test_unexpected_trouble_is_not_bad(self) -> None:
        with mock.patch.object(run.Session, 'run',
                               side_effect=ToolError('disk')):
            self.assertEqual(self.step(), 125)
        with mock.patch.object(run.Session, 'run',
                               side_effect=RuntimeError('x')):
            self.assertEqual(self.step(), 125)
        with mock.patch.object(run.Session, 'run',
                               side_effect=KeyboardInterrupt):
            self.assertEqual(self.step(), 130)

    def test_git_finds_the_commit(self) -> None:
        oids = [self.commit(f'step {i}', fake=(
            'build=error' if i == 4 else f'{WALK}=fail x={i}' if i >= 7
            else f'x={i}')) for i in range(1, 11)]
        self.git('bisect', 'start', oids[-1], self.base)
        for _ in range(10):
            code, _ = self.call('bisect-step')
            word = {0: 'good', 1: 'bad', 125: 'skip'}[code]
            said = self.git('bisect', word)
            if 'is the first bad commit' in said:
                break
        self.assertIn(f'{oids[6]} is the first bad commit', said)


if __name__ == '__main__':
    unittest.main()
