# SPDX-License-Identifier: GPL-2.0
"""The engine with a fake kernel: reboots, merged results, run folders."""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import time
import unittest
from pathlib import Path
from typing import Any, Dict, List, Optional
from unittest import mock

from dmirrorlib import (accel, cache, cli, graft, guest, ktap, proc, run,
                        rundir, source, tiers, variants, verb_run, verdict)
from dmirrorlib.errors import (EXIT_FAIL, EXIT_INFRA, EXIT_PASS, EXIT_USAGE,
                               ToolError, UsageError)

from . import consoles, support

ALL = ['dmirror_pt.walk', 'dmirror_pt.clear_range', 'dmirror_pt.orders',
       'dmirror_mirror.read', 'dmirror_mirror.huge', 'dmirror_mirror.write',
       'dmirror_plan.sort']


class EngineCase(support.TempCase):
    """A case with a fake kernel, built as it were, and a project."""

    def setUp(self) -> None:
        super().setUp()
        self.project = self.tmp / 'project'
        (self.project / 'kunit' / 'skips').mkdir(parents=True)
        self.live = io.StringIO()
        self.tree = source.Tree(consoles.TREE or self.tmp, '7.3.4', False)
        self.build = self.tmp / 'build'
        consoles.fake_kernel(self.build)
        (self.build / '.config').write_text('CONFIG_KUNIT=y\n')
        patch = mock.patch.object(run, 'PROJECT', self.project)
        patch.start()
        self.addCleanup(patch.stop)

    def skips(self, text: str) -> None:
        """Write the list of expected skips."""
        (self.project / 'kunit/skips/um.txt').write_text(text)

    def session(self, fake: str = '', **options: Any) -> run.Session:
        """Return a session with the fake kernel."""
        os.environ['FAKE'] = fake
        options.setdefault('silence', 1.0)
        opts = run.Options(live=self.live, **options)
        made = run.Session(tiers.get('um'), self.tree, opts, self.build)
        made._parser = consoles.parser()
        return made

    def judged(self, fake: str = '', **options: Any) -> verdict.Verdict:
        """Run the fake kernel."""
        return self.session(fake, **options).run()

    def statuses(self, result: verdict.Verdict) -> Dict[str, str]:
        """Return the status per case."""
        return {c.key: c.status for c in result.cases if not c.param}


@consoles.needs_tree
class Engine(EngineCase):
    """Runs."""

    def test_green(self) -> None:
        result = self.judged()
        self.assertEqual((result.reasons, result.code), ([], EXIT_PASS))
        self.assertEqual(list(self.statuses(result)), ALL)
        self.assertIn('[PASSED] clear_range', self.live.getvalue())
        self.assertEqual(result.boots, 1)

    def test_hang_is_named_and_the_rest_runs(self) -> None:
        result = self.judged('dmirror_pt.clear_range=hang')
        expected = dict.fromkeys(ALL, 'pass')
        expected['dmirror_pt.clear_range'] = 'hang'
        self.assertEqual(self.statuses(result), expected)
        self.assertEqual(result.code, EXIT_FAIL)
        # The first, the rest of the suite case by case, the other suites.
        self.assertEqual(result.boots, 4)
        self.assertIn('dmirror_pt.clear_range hung', result.reasons[0])
        self.assertEqual(len(result.reasons), 1, result.reasons)

    def test_hang_whose_predecessor_is_not_heard_of(self) -> None:
        result = self.judged('dmirror_pt.clear_range=hang late=1')
        expected = dict.fromkeys(ALL, 'pass')
        expected['dmirror_pt.clear_range'] = 'hang'
        self.assertEqual(self.statuses(result), expected)
        self.assertEqual((result.boots, len(result.reasons)), (6, 1),
                         result.reasons)
        # Two that hang are two that hang.
        result = self.judged('dmirror_pt.clear_range=hang '
                             'dmirror_pt.walk=hang')
        expected['dmirror_pt.walk'] = 'hang'
        self.assertEqual(self.statuses(result), expected)

    def test_panic_in_a_parameter(self) -> None:
        result = self.judged('dmirror_pt.orders=panic')
        self.assertEqual(self.statuses(result)['dmirror_pt.orders'], 'crash')
        self.assertEqual(result.counts['missing'], 0)
        self.assertEqual(result.counts['pass'], 6)

    def test_two_die(self) -> None:
        result = self.judged('dmirror_pt.walk=panic dmirror_pt.orders=hang '
                             'dmirror_mirror.huge=exit')
        wrong = {k: v for k, v in self.statuses(result).items()
                 if v != 'pass'}
        self.assertEqual(wrong, {'dmirror_pt.walk': 'crash',
                                 'dmirror_pt.orders': 'hang',
                                 'dmirror_mirror.huge': 'crash'})

    def test_hang_at_shutdown(self) -> None:
        with mock.patch.object(run, 'SHUTDOWN', 0.5):
            began = time.monotonic()
            result = self.judged('shutdown=hang', silence=30.0)
        self.assertLess(time.monotonic() - began, 8.0)
        self.assertEqual(result.boots, 1)
        self.assertIn('hung at shutdown', result.reasons[0])
        self.assertEqual(result.counts['pass'], 7)

    def test_other_ends(self) -> None:
        self.assertIn('code 3', ' '.join(self.judged(
            'shutdown=exit3').reasons))
        self.assertIn('Kernel panic', ' '.join(self.judged(
            'shutdown=panic').reasons))
        self.assertIn('WARNING: fake.c:1', ' '.join(self.judged(
            'dmirror_mirror.read=warn').reasons))
        self.assertIn('dmirror_pt.walk failed (EXPECTATION FAILED at '
                      'fake.c:2)', ' '.join(self.judged(
                          'dmirror_pt.walk=fail').reasons))

    def test_expected_skips_of_a_kernel_version(self) -> None:
        skips = run.PROJECT / 'kunit/skips'
        self.assertTrue(self.judged('dmirror_pt.walk=pass').green)
        (skips / 'linux-7.3.txt').write_text('dmirror_pt.walk  too old\n')
        self.assertIn('dmirror_pt.walk runs now', self.judged().reasons[0])
        (skips / 'linux-7.3.txt').rename(skips / 'linux-7.2.txt')
        self.assertTrue(self.judged().green)

    def test_expected_skips(self) -> None:
        self.skips('dmirror_mirror.huge  fake reason\n')
        self.assertTrue(self.judged('dmirror_mirror.huge=skip').green)
        self.assertIn('huge runs now', ' '.join(self.judged().reasons))
        self.assertIn('read was skipped', ' '.join(self.judged(
            'dmirror_mirror.huge=skip dmirror_mirror.read=skip').reasons))

    def test_filter(self) -> None:
        self.skips('dmirror_mirror.huge  fake reason\n')
        result = self.judged(glob='dmirror_pt.*r*')
        self.assertEqual(list(self.statuses(result)), ALL[1:3])
        self.assertTrue(result.green, result.reasons)
        result = self.judged('dmirror_pt.clear_range=hang', glob='*.*r*')
        self.assertEqual(list(self.statuses(result)),
                         [ALL[i] for i in (1, 2, 3, 5, 6)])
        self.assertEqual(result.counts['pass'], 4)
        with self.assertRaises(UsageError):
            self.judged(glob='nothing')

    def test_without_slow_cases(self) -> None:
        self.skips('dmirror_mirror.huge  fake reason\n')
        fast = [c for c in ALL if not c.endswith(('.huge', '.orders'))]
        made = self.session(fast=True)
        self.assertEqual([f'{s}.{c}' for s, c in made.plan()], fast)
        result = made.run()
        self.assertEqual(list(self.statuses(result)), fast)
        self.assertTrue(result.green, result.reasons)
        result = self.judged('dmirror_pt.walk=hang', fast=True)
        self.assertEqual(list(self.statuses(result)), fast)
        self.assertEqual(len(self.session().plan()), len(ALL))

    def test_limit_for_all_boots(self) -> None:
        result = self.judged('dmirror_pt.walk=chatty', timeout=1.0)
        statuses = self.statuses(result)
        self.assertEqual(statuses['dmirror_pt.walk'], 'hang')
        self.assertEqual(statuses['dmirror_plan.sort'], 'missing')
        self.assertIn('limit of 1 s', ' '.join(result.reasons))

    def test_deaths_are_bounded(self) -> None:
        with mock.patch.object(run, 'MAX_DEAD', 2):
            result = self.judged(' '.join(f'{c}=panic' for c in ALL))
        self.assertEqual((result.counts['crash'], result.boots), (2, 2))
        self.assertIn('2 guests had died', ' '.join(result.reasons))

    def test_kernel_that_does_not_boot(self) -> None:
        for fake, words in (('boot=panic', 'code 1'),
                            ('boot=silent', 'printed nothing'),
                            ('boot=zero', 'no KUnit cases')):
            with self.assertRaises(ToolError) as caught:
                self.judged(fake)
            self.assertIn(words, caught.exception.message)
            self.assertEqual(caught.exception.code, EXIT_INFRA)

    def test_plan_is_asked_once_per_kernel(self) -> None:
        made = self.session()
        plan = made.plan()
        self.assertEqual([f'{s}.{c}' for s, c in plan], ALL)
        with mock.patch.object(run, 'Guest', side_effect=AssertionError):
            self.assertEqual(made.plan(), plan)
        with (self.build / 'linux').open('a') as kernel:
            kernel.write('# another kernel\n')
        with mock.patch.object(run, 'Guest', side_effect=KeyError), \
                self.assertRaises(KeyError):
            made.plan()

    def test_half_a_list_is_no_plan(self) -> None:
        made = self.session('list=dies')
        with self.fails('did not list all', 'without a shutdown'):
            made.plan()
        os.environ['FAKE'] = ''
        self.assertEqual(len(made.plan()), len(ALL))

    def test_kernel_dies_before_kunit_although_it_listed(self) -> None:
        made = self.session()
        made.plan()
        os.environ['FAKE'] = 'boot=panic'
        result = made.run()
        self.assertEqual((result.code, result.boots), (EXIT_INFRA, 1))
        self.assertIn('um: ERROR', result.summary())

    def test_run_folder(self) -> None:
        (self.build / '.config').write_text(
            'CONFIG_KUNIT=y\nCONFIG_CC_VERSION_TEXT="gcc 99"\n')
        made = self.session('dmirror_pt.clear_range=panic', seed=7,
                            kconfig_add=['CONFIG_X=y'])
        proc.record(['make', 'it'])
        result = made.run()
        folder = Path(result.folder)
        latest = folder.parent / 'latest-um'
        self.assertEqual(latest.resolve(), folder.resolve())
        self.assertIn('CONFIG_KUNIT=y\n', (folder / 'config').read_text())
        for line in ('kconfig_add: CONFIG_X=y', 'compiler: gcc 99\n',
                     'tree revision: ', 'tree patches: none\n'):
            self.assertIn(line, (folder / 'versions.txt').read_text())
        self.assertEqual(self.judged().data['versions']['seed'], '4711')
        self.assertEqual(latest.resolve().parent, folder.parent)
        self.assertIn('Kernel panic', (folder / 'console.log').read_text())
        self.assertTrue((folder / 'console-2.log').exists())
        commands = (folder / 'commands.txt').read_text()
        self.assertIn('kunit.filter_glob=dmirror_pt.orders', commands)
        self.assertIn('dmirror_fixture.seed=7', commands)
        self.assertIn('kunit.action=list', commands)
        self.assertIn('make it', commands)
        self.assertIn('seed: 7', (folder / 'versions.txt').read_text())
        data = json.loads((folder / 'results.json').read_text())
        self.assertEqual(data, json.loads(json.dumps(result.data)))
        self.assertEqual((data['format'], data['verdict'],
                          data['exit_code']), ('dmirror-results', 'fail', 1))
        self.assertEqual(data['counts']['crash'], 1)
        self.assertIn('orders', [c['name'] for c in data['cases']])
        # The merged KTAP says the same to the tree's own parser.
        # The failed case, and the verdict that it turned red.
        text = (folder / 'results.ktap').read_text()
        report = consoles.parser().parse(iter(text.splitlines()), None)
        self.assertEqual(report.errors, [])
        self.assertEqual((report.root.counts.passed,
                          report.root.counts.failed), (6, 2))

    def test_repeat_builds_once_and_counts(self) -> None:
        out = io.StringIO()
        made = self.session()
        codes = verb_run._repeat(made, 3, out, [])
        self.assertEqual(codes, [EXIT_PASS] * 3)
        self.assertIn('um: 3 of 3 runs green', out.getvalue())
        os.environ['FAKE'] = 'dmirror_pt.walk=fail'
        self.assertEqual(verb_run._repeat(made, 2, out, []), [EXIT_FAIL] * 2)
        self.assertIn('um: 0 of 2 runs green', out.getvalue())

    def test_interrupt_leaves_nothing(self) -> None:
        started: List[guest.Guest] = []

        class Watched(guest.Guest):
            """Remembers itself, then Ctrl-C comes."""

            def hurry(self, silence: float) -> None:
                started.append(self)
                raise KeyboardInterrupt

        made = self.session()
        made.plan()
        os.environ['FAKE'] = 'shutdown=hang'
        with mock.patch.object(run, 'Guest', Watched), \
                self.assertRaises(KeyboardInterrupt):
            made.run()
        self.assertEqual(proc.session_members(started[0]._proc.pid), [])


class Parts(EngineCase):
    """What needs no kernel tree."""

    def test_timeout_of_a_case_comes_before_the_watchdog(self) -> None:
        for name in tiers.names():
            tier = tiers.get(name)
            args = run.kernel_arguments(tier, run.Options())
            base = int(args[1].split('=')[1])
            self.assertEqual(args[1], f'kunit.timeout={base}')
            self.assertLess(3 * base, tier.silence)     # a slow case too

    def test_what_remains(self) -> None:
        boot = verdict.Boot(
            [('a', 'x'), ('a', 'y'), ('a', 'z'), ('b', 'x'), ('c', 'x')],
            [ktap.Case('a', 'x', '', 'pass'),
             ktap.Case('a', 'y', '', 'hang')], [], {}, [], [],
            guest.End('silent', None, 1.0, 1.0), True, False, False)
        self.assertEqual(run.remaining(boot, ''), [
            ('a.z', [('a', 'z')]), ('b', [('b', 'x')]), ('c', [('c', 'x')])])
        self.assertEqual(run.remaining(boot, '*.[xyz]')[1],
                         ('b.[xyz]', [('b', 'x')]))

    def test_graft_of_a_users_tree_needs_consent(self) -> None:
        tree = source.Tree(support.make_tree(self.tmp / 'tree'), '7.3.4',
                           False)
        with self.fails('is not grafted', '--graft',
                        f'graft {tree.path}'):
            run.ensure_graft(tree, False)
        (tree.path / graft.HEADER).symlink_to(graft.HEADER_TARGET)
        with self.fails('a part of a graft only', '--graft',
                        f'graft {tree.path}'):
            run.ensure_graft(tree, False)
        owned = source.Tree(tree.path, '7.3.4', True)
        with mock.patch.object(graft, 'graft') as done:
            run.ensure_graft(tree, True)
            run.ensure_graft(owned, False)
        self.assertEqual(done.call_count, 2)
        other = self.tmp / 'other'
        with mock.patch.object(graft, 'grafted_to', return_value=other), \
                self.fails('another copy', str(other)):
            run.ensure_graft(tree, False)
        with mock.patch.object(graft, 'grafted_to',
                               return_value=self.project), \
                mock.patch.object(graft, 'graft') as done:
            run.ensure_graft(tree, False)
        done.assert_not_called()

    def test_a_tier_with_patches_is_built_from_its_variant(self) -> None:
        variant = source.Tree(self.tmp / 'variant', '7.3.4', True)
        tier = tiers.get('um-full')
        with mock.patch.object(variants, 'tree_for',
                               return_value=variant) as asked, \
                mock.patch.object(run.Session, 'build'), \
                run.prepared(tier, self.tree, run.Options()) as session:
            self.assertEqual(session.tree, variant)
            self.assertEqual(session.folder, run.build_dir(tier, variant))
        asked.assert_called_once_with(tier, self.tree, self.project)

    def test_build_directories(self) -> None:
        tier, tree = tiers.get('um'), self.tree
        mine = run.build_dir(tier, tree)
        self.assertTrue(mine.name.startswith('7.3.4-um-'))
        self.assertEqual(run.build_dir(tier, tree), mine)
        with mock.patch.object(run, 'PROJECT', self.tmp / 'elsewhere'):
            self.assertNotEqual(run.build_dir(tier, tree), mine)
        for folder, owner in ((mine, self.project),
                              (mine.with_name('old'), self.tmp / 'gone')):
            folder.mkdir(parents=True)
            (folder / run.OWNER_FILE).write_text(f'{owner}\n')
        mine.with_name('unknown').mkdir()
        run.forget_orphans()
        self.assertEqual(sorted(p.name for p in mine.parent.iterdir()),
                         sorted([mine.name, 'unknown']))

    def test_a_new_build_begins_as_a_similar_one(self) -> None:
        broken, um = tiers.get('um-broken'), tiers.get('um')
        folder = run.build_dir(broken, self.tree)
        similar = run.build_dir(um, self.tree)
        run.begin_as_another(broken, self.tree, folder)
        self.assertFalse(folder.exists())   # nothing to begin with
        (similar / 'mm').mkdir(parents=True)
        (similar / '.config').write_text('CONFIG_KUNIT=y\n')
        (similar / 'mm/hmm.o').write_text('an object')
        os.utime(similar / 'mm/hmm.o', (1e9, 1e9))

        run.begin_as_another(broken, self.tree, folder)
        self.assertEqual((folder / 'mm/hmm.o').read_text(), 'an object')
        self.assertEqual((folder / 'mm/hmm.o').stat().st_mtime, 1e9)
        (similar / 'mm/hmm.o').write_text('a newer object')
        run.begin_as_another(broken, self.tree, folder)
        self.assertEqual((folder / 'mm/hmm.o').read_text(), 'an object')

    def test_most_builds_begin_as_nothing(self) -> None:
        folder = run.build_dir(tiers.get('um-full'), self.tree)
        similar = run.build_dir(tiers.get('um'), self.tree)
        similar.mkdir(parents=True)
        (similar / '.config').write_text('')
        run.begin_as_another(tiers.get('um-full'), self.tree, folder)
        self.assertFalse(folder.exists())


class Verb(EngineCase):
    """The command line."""

    def call(self, *words: str, fake: str = '',
             builds: Optional[Exception] = None,
             strict: bool = False) -> 'tuple[int, str]':
        """Run the verb with the fake kernel; return its code and stdout.

        strict: what it does not foresee comes through.
        """
        os.environ['FAKE'] = fake
        out = io.StringIO()

        def build(session: run.Session) -> None:
            if builds:
                raise builds
            session._parser = consoles.parser()

        with mock.patch('sys.stdout', out), \
                mock.patch('sys.stderr', io.StringIO()), \
                mock.patch.object(source, 'find_tree',
                                  return_value=self.tree), \
                mock.patch('dmirrorlib.packages.ensure'), \
                mock.patch.object(run, 'build_dir',
                                  return_value=self.build), \
                mock.patch.object(run.Session, 'build', build):
            if strict:
                try:
                    args = cli.build_parser().parse_args(['run', *words])
                    code = int(args.main(args))
                except ToolError as err:
                    code = err.code
            else:
                code = cli.main(['run', *words])
        return code, out.getvalue()

    def setUp(self) -> None:
        super().setUp()
        parts = mock.patch.object(cli, 'VERBS', {'run': 'verb_run'})
        parts.start()
        self.addCleanup(parts.stop)
        before = signal.getsignal(signal.SIGTERM)
        self.addCleanup(signal.signal, signal.SIGTERM, before)

    @consoles.needs_tree
    def test_green_and_red(self) -> None:
        code, out = self.call()
        self.assertEqual(code, EXIT_PASS)
        self.assertIn('um: PASS 7 passed', out.splitlines()[-1])
        code, out = self.call(fake='dmirror_pt.walk=fail')
        self.assertEqual(code, EXIT_FAIL)
        self.assertIn('um: FAIL 6 passed, 1 failed', out.splitlines()[-1])
        self.assertIn('dmirror_pt.walk failed', out)

    @consoles.needs_tree
    def test_json_alone_on_stdout(self) -> None:
        code, out = self.call('--json', '-', fake='dmirror_pt.walk=fail')
        data = json.loads(out)
        self.assertEqual((code, data['runs'][0]['verdict']), (1, 'fail'))
        path = self.tmp / 'out.json'
        self.assertEqual(self.call('--json', str(path))[0], EXIT_PASS)
        self.assertEqual(json.loads(path.read_text())['runs'][0]['verdict'],
                         'pass')

    @consoles.needs_tree
    def test_json_never_tells_of_a_former_run(self) -> None:
        path = self.tmp / 'out.json'
        path.write_text('{"verdict": "pass"}')
        with self.assertRaises(AssertionError):
            self.call('--json', str(path),
                      builds=AssertionError('unforeseen'), strict=True)
        self.assertEqual(json.loads(path.read_text())['verdict'], 'error')
        self.assertEqual(self.call('--json', str(path))[0], EXIT_PASS)
        self.assertEqual(json.loads(path.read_text())['verdict'], 'pass')
        self.assertEqual(self.call('--json', str(path), 'nothing')[0],
                         EXIT_USAGE)
        data = json.loads(path.read_text())
        self.assertEqual(data['verdict'], 'error')
        self.assertIn('matches none', data['reasons'][0])
        self.assertEqual([p.name for p in self.tmp.glob('out*')],
                         ['out.json'])
        self.assertEqual(self.call('--json', '/dev/null')[0], EXIT_PASS)
        self.assertFalse(os.path.isfile('/dev/null'))

    @consoles.needs_tree
    def test_json_that_cannot_be_written(self) -> None:
        never = AssertionError('no work may be done')
        code, _ = self.call('--json', str(self.tmp / 'none' / 'x'),
                            builds=never, strict=True)
        self.assertEqual(code, EXIT_USAGE)
        save = verb_run.Results._save

        def full(results: verb_run.Results, word: str, code: int,
                 reasons: List[str]) -> None:
            if word != 'error':
                raise OSError(28, 'No space left on device')
            save(results, word, code, reasons)

        path = str(self.tmp / 'out.json')
        with mock.patch.object(verb_run.Results, '_save', full):
            self.assertEqual(self.call('--json', path)[0], EXIT_INFRA)
            self.assertEqual(self.call(
                '--json', path, fake='dmirror_pt.walk=fail')[0], EXIT_FAIL)

    def test_seeds(self) -> None:
        for text in ('0', '-1', 'x', str(1 << 63)):
            with self.assertRaises(argparse.ArgumentTypeError):
                verb_run._seed(text)
        self.assertEqual(verb_run._seed(str((1 << 63) - 1)), (1 << 63) - 1)

    def test_reasons_shown_are_bounded(self) -> None:
        out = io.StringIO()
        result = verdict.judge('um', [('a', f'c{i}') for i in range(60)],
                               [], {}, False)
        verb_run.show(result, out)
        self.assertIn('  ... and 10 more.\n', out.getvalue())

    @consoles.needs_tree
    def test_list(self) -> None:
        code, out = self.call('--list', 'dmirror_pt')
        self.assertEqual((code, out.split()), (EXIT_PASS, ALL[:3]))

    @consoles.needs_tree
    def test_usage(self) -> None:
        self.assertEqual(self.call('nothing')[0], EXIT_USAGE)
        self.assertEqual(self.call('--tier', 'umm')[0], EXIT_USAGE)
        self.assertEqual(self.call('--repeat', '0')[0], EXIT_USAGE)

    @consoles.needs_tree
    def test_broken_build_is_no_verdict(self) -> None:
        broken = ToolError('it does not build')
        self.assertEqual(self.call(builds=broken)[0], EXIT_INFRA)
        self.assertEqual(self.call('--bisect', builds=broken)[0], 125)
        code, out = self.call('--json', '-', builds=broken)
        self.assertEqual((code, json.loads(out)['runs'][0]['verdict']),
                         (EXIT_INFRA, 'error'))


class RunFolders(EngineCase):
    """Only the last ones are kept."""

    def test_prune(self) -> None:
        runs = cache.sub('runs')
        old = [f'20200101T0000{i:02}Z-um-1' for i in range(25)]
        other = [f'20190101T0000{i:02}Z-um-broken-1' for i in range(20)]
        mine = f'20180101T000000Z-um-{os.getpid()}-2'
        today = time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(
            time.time() - 3600))
        young = [f'{today}-um-1-{i}' for i in range(2, 30)]
        for name in [*old, *other, mine, *young, 'mine-own-folder']:
            (runs / name).mkdir()
        (runs / 'latest-x86_64').symlink_to(old[0])
        folder = rundir.RunDir('um')
        kept = {p.name for p in runs.iterdir() if not p.is_symlink()}
        self.assertEqual(kept, {old[0], *other, mine, *young,
                                'mine-own-folder', folder.path.name})
        self.assertNotEqual(rundir.RunDir('um').path, folder.path)

    def test_never_too_many(self) -> None:
        runs = cache.sub('runs')
        today = time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())
        for i in range(210):
            (runs / f'{today}-um-1-{i + 2}').mkdir()
        rundir.RunDir('x86_64')
        kept = [p for p in runs.iterdir() if not p.is_symlink()]
        self.assertLessEqual(len(kept), rundir.KEEP_ALL + 1)
        self.assertTrue((runs / f'{today}-um-1-211').exists())

    def test_tree_in_git(self) -> None:
        tree = support.make_tree(self.tmp / 'tree')
        state = run._tree_state(source.Tree(tree, '7.3.4', False))
        self.assertEqual(state, 'not in git')
        git = ['git', '-C', str(tree), '-c', 'user.name=x', '-c',
               'user.email=x@y']
        for words in (['init', '-q'], ['add', '.'], ['commit', '-qm', 'x']):
            self.assertEqual(proc.run([*git, *words]).returncode, 0)
        (tree / 'drivers/Kconfig').write_text('grafted')
        state = run._tree_state(source.Tree(tree, '7.3.4', False))
        self.assertRegex(state, '^[0-9a-f]{40}$')
        (tree / 'Makefile').write_text('changed')
        state = run._tree_state(source.Tree(tree, '7.3.4', False))
        self.assertRegex(state, r'^[0-9a-f]{40} \(dirty\)$')


class Accelerator(support.TempCase):
    """The choice, and what the measurement says."""

    def test_options(self) -> None:
        self.assertEqual(accel.choose('tcg').accel, 'tcg')
        with mock.patch.object(accel, 'DEVICE', str(self.tmp / 'kvm')), \
                self.fails('--accel tcg'):
            accel.choose('kvm')

    def test_results(self) -> None:
        for said, chosen, words in (
                ('ratio 1.2', 'kvm', '1.2 times'),
                ('ratio 19', 'kvm', ''), ('ratio 21', 'tcg', '21 times'),
                ('ratio 923.4', 'tcg', '920 times too slow'),
                ('limit 5000', 'tcg', 'more than 5000 times'),
                ('Permission denied', 'tcg', 'Permission denied'),
                ('ratio', 'tcg', 'does not work')):
            result = accel._judge(said)
            self.assertEqual(result.accel, chosen, said)
            self.assertIn(words, result.reason)

    def test_no_device(self) -> None:
        with mock.patch.object(accel, 'DEVICE', str(self.tmp / 'kvm')):
            self.assertEqual(accel.probe().accel, 'tcg')

    def test_measured_once_per_boot(self) -> None:
        fake = accel.AccelVerdict('kvm', 'because')
        with mock.patch.object(accel, 'probe', return_value=fake) as probe:
            self.assertEqual(accel.choose('auto'), fake)
            self.assertEqual(accel.choose('auto'), fake)
            self.assertEqual(probe.call_count, 1)
            with mock.patch.object(accel, '_state_key', return_value='b'):
                accel.choose('auto')
            self.assertEqual(probe.call_count, 2)
            (cache.sub('state') / 'accel.json').write_text('{broken')
            accel.choose('auto')
            self.assertEqual(probe.call_count, 3)

    def test_a_stuck_probe_does_not_hang_the_caller(self) -> None:
        slow = mock.patch.object(accel, 'TIME_LIMIT', 0.3)
        stub = self.tmp / 'python'
        stub.write_text('#!/bin/sh\necho "limit 77"\nexec sleep 60\n')
        stub.chmod(0o755)
        began = time.monotonic()
        with slow, mock.patch('sys.executable', str(stub)):
            self.assertEqual(accel._measure_in_child(), 'limit 77')
        self.assertLess(time.monotonic() - began, 2.0)

    @unittest.skipUnless(os.access('/dev/kvm', os.R_OK | os.W_OK),
                         'no /dev/kvm here that may be opened')
    def test_real_probe_is_quick_and_has_a_reason(self) -> None:
        began = time.monotonic()
        result = accel.probe()
        self.assertLess(time.monotonic() - began, 3.0)
        self.assertIn(result.accel, ('kvm', 'tcg'))
        self.assertIn('KVM', result.reason)


if __name__ == '__main__':
    unittest.main()
