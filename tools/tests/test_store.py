# SPDX-License-Identifier: GPL-2.0
"""The results of runs: read, merged, and written in other forms."""

from __future__ import annotations

import io
import json
import unittest
from pathlib import Path
from typing import Any, Dict, List
from unittest import mock
from xml.etree import ElementTree

from dmirrorlib import (cache, cli, exporters, ktap, splat, store,
                        verb_export)
from dmirrorlib.errors import UsageError

from . import consoles, support

VERSIONS = {'kernel': '7.3.4', 'project': 'f' * 40, 'compiler': 'gcc 99',
            'seed': '7', 'filter': ''}


def made(*cases: ktap.Case, tier: str = 'um', code: int = 0,
         **other: Any) -> store.Run:
    """Return a run."""
    versions = {**VERSIONS, **other.pop('versions', {})}
    return store.Run(tier, code, f'{tier}: x', list(cases),
                     other.pop('splats', []), versions, **other)


def case(name: str, status: str = 'pass', reason: str = '', param: str = '',
         log: 'tuple[str, ...]' = ()) -> ktap.Case:
    """Return a case of suite.case."""
    suite, _, name = name.partition('.')
    return ktap.Case(suite, name, param, status, reason, list(log), 0.25)


def all_kinds() -> store.Run:
    """Return a run with every kind of result."""
    warn = splat.Splat(9, 'WARNING: <x> & \x1b[31m', 'a', 'warned', ['f'])
    return made(
        case('a.fine'), case('a.wrong', 'fail', 'got 1 & "2"', '',
                             ('line <1>', '\x00\ufffeodd\x1b')),
        case('a.table', 'fail'), case('a.table', 'pass', '', 'one'),
        case('a.table', 'fail', 'two is wrong', 'two'),
        case('a.warned'), case('b.skipped', 'skip', 'needs CONFIG_X'),
        case('b.dead', 'crash', 'the guest died'),
        case('b.stuck', 'hang', 'it\nwas silent'),
        case('b.none', 'missing', 'no result'),
        case('b.known', 'fail', 'as ever'),
        code=1, splats=[warn], reasons=['a.wrong failed.', 'and <more>.'],
        known_failures={'b.known': 'breaks, see x'}, seeds=['7'],
        began='2026-11-21T12:00:00Z', seconds=3.5)


class Loading(support.TempCase):
    """Files, folders, tiers, and what is none of them."""

    def save(self, path: Path, data: Any) -> Path:
        """Write JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data))
        return path

    def test_round_trip(self) -> None:
        run = all_kinds()
        data = exporters.run_as_data(run)
        self.assertEqual(store.from_data(json.loads(json.dumps(data))), run)
        path = self.save(self.tmp / 'run/results.json', data)
        for name in (path, path.parent):
            self.assertEqual(store.load(str(name)), [run])
        whole = self.tmp / 'all.json'
        whole.write_text(exporters.as_json([run, made(tier='um-full')]))
        self.assertEqual([r.tier for r in store.load(str(whole))],
                         ['um', 'um-full'])

    def test_latest_of_a_tier(self) -> None:
        runs = cache.sub('runs')
        self.save(runs / 'x-um/results.json',
                  exporters.run_as_data(made(case('a.b'))))
        (runs / 'latest-um').symlink_to('x-um')
        self.assertEqual(len(store.load('um')[0].cases), 1)
        with self.fails('neither a file', code=2):
            store.load('x86_64')

    def test_later_additions_are_no_error(self) -> None:
        data: Dict[str, Any] = exporters.run_as_data(made(case('a.b')))
        data['new'] = 1
        data['cases'][0]['new'] = 2
        self.assertEqual(store.from_data(data), made(case('a.b')))

    def test_what_is_no_result(self) -> None:
        good: Dict[str, Any] = exporters.run_as_data(made(case('a.b')))
        odd = json.loads(json.dumps(good))
        odd['cases'][0]['status'] = 'odd'
        rows: List[Any] = [
            [], 7, {}, {'format': 'dmirror-results'}, {**good, 'version': 2},
            odd, {**good, 'cases': None}, {**good, 'format': 'other'}]
        for number, data in enumerate(rows):
            path = self.save(self.tmp / f'{number}.json', data)
            with self.subTest(number), self.fails('cannot be read', code=2):
                store.load(str(path))
        (self.tmp / 'x.json').write_text('{"format": "dmirror-re')
        with self.fails('cannot be read', code=2):
            store.load(str(self.tmp / 'x.json'))
        with self.fails('holds no results.json', code=2):
            store.load(str(self.tmp))
        broken = {'format': 'dmirror-runs', 'runs': [
            {'tier': 'um', 'verdict': 'error'}, good]}
        path = self.save(self.tmp / 'broken.json', broken)
        with self.fails('not every tier', code=2):
            store.load(str(path))


class Merging(unittest.TestCase):
    """Several runs of one kernel."""

    def test_parts(self) -> None:
        one = made(case('a.x'), case('b.x', 'fail', 'why'), code=1,
                   seeds=['1'], versions={'filter': 'a.*'})
        two = made(case('a.y', 'hang', 'stuck'), case('a.y', 'pass', '', 'p'),
                   code=1, seeds=['2'], versions={'filter': 'a.y'})
        merged, = store.merge([one, two])
        self.assertEqual([(c.key, c.status) for c in merged.cases],
                         [('a.x', 'pass'), ('a.y', 'hang'),
                          ('a.y[p]', 'pass'), ('b.x', 'fail')])
        self.assertEqual((merged.code, merged.seeds), (1, ['1', '2']))
        self.assertEqual(merged.versions['filter'], 'a.* a.y')
        self.assertEqual(merged.versions['seed'], '1, 2')

    def test_worst_is_kept_with_its_rate(self) -> None:
        rows = ((('pass', 'pass'), 'pass', ''),
                (('pass', 'fail', 'pass'), 'fail', 'in 1 of 3 runs: why'),
                (('fail', 'crash'), 'crash', 'in 2 of 2 runs: why'),
                (('missing', 'pass'), 'pass', 'why'),
                (('missing', 'fail'), 'fail', 'why'),
                (('skip', 'pass'), 'pass', 'why'),
                (('missing', 'missing'), 'missing', 'why'))
        for statuses, wanted, reason in rows:
            with self.subTest(statuses):
                merged, = store.merge([made(case('a.x', s, 'why'))
                                       for s in statuses])
                self.assertEqual(merged.cases[0].status, wanted)
                if reason != 'why':
                    self.assertEqual(merged.cases[0].reason,
                                     reason or 'why')

    def test_parameter_that_failed_once(self) -> None:
        merged, = store.merge([
            made(case('a.x', 'pass'), case('a.x', 'pass', '', 'p')),
            made(case('a.x', 'pass'), case('a.x', 'fail', 'why', 'p'))])
        self.assertEqual([c.status for c in merged.cases], ['pass', 'fail'])

    def test_other_kernels_are_refused(self) -> None:
        with self.assertRaises(UsageError) as caught:
            store.merge([made(), made(versions={'kernel': '7.2.1'})])
        self.assertIn('kernel: "7.3.4" and "7.2.1"', caught.exception.message)
        self.assertEqual(len(store.merge([made(), made(tier='um-full')])), 2)


class Forms(unittest.TestCase):
    """KTAP, JUnit XML, JSON, a table."""

    def test_junit(self) -> None:
        text = exporters.as_junit([all_kinds()])
        root = ElementTree.fromstring(text.encode())
        suites = {s.get('name'): s for s in root}
        self.assertEqual(list(suites), ['um.a', 'um.b', 'um.verdict'])
        self.assertEqual([(root.get(k)) for k in
                          ('tests', 'failures', 'errors', 'skipped')],
                         ['10', '4', '3', '2'])
        cases = {c.get('name'): c for c in root.iter('testcase')}
        self.assertEqual(cases['fine'].attrib, {
            'classname': 'um.a', 'name': 'fine', 'time': '0.250'})
        self.assertEqual(len(cases['fine']), 0)

        def said(name: str) -> 'tuple[str, str, str]':
            element = cases[name][0]
            return (element.tag, element.get('message', ''),
                    element.get('type', ''))

        self.assertEqual(said('wrong'), ('failure', 'got 1 & "2"', 'fail'))
        self.assertIn('line <1>\n\ufffd\ufffdodd', cases['wrong'][0].text
                      or '')
        self.assertEqual(said('table')[:2],
                         ('failure', '[two] two is wrong'))
        self.assertEqual(said('warned')[0::2],
                         ('failure', 'kernel complaint'))
        self.assertEqual(said('skipped'), ('skipped', 'needs CONFIG_X', ''))
        self.assertEqual(said('dead')[0::2], ('error', 'crash'))
        self.assertEqual(said('stuck'), ('error', 'it was silent', 'hang'))
        self.assertEqual(said('none')[0::2], ('error', 'missing'))
        self.assertEqual(said('known')[:2],
                         ('skipped', 'known failure: breaks, see x'))
        self.assertEqual(said('green')[0], 'failure')
        self.assertEqual(suites['um.a'].get('timestamp'),
                         '2026-11-21T12:00:00')
        names = [p.get('name') for p in suites['um.a'].iter('property')]
        self.assertIn('compiler', names)

    def test_junit_of_green_runs_has_no_verdict(self) -> None:
        root = ElementTree.fromstring(exporters.as_junit(
            [made(case('a.x')), made(case('a.x'), tier='um-full')]))
        self.assertEqual([s.get('name') for s in root],
                         ['um.a', 'um-full.a'])
        self.assertEqual((root.get('failures'), root.get('errors')),
                         ('0', '0'))

    @consoles.needs_tree
    def test_ktap_for_the_trees_own_parser(self) -> None:
        for runs, passed, failed in (
                ([all_kinds()], 2, 7),     # the verdict's, too
                ([made(case('a.x')), made(case('a.x'), tier='x')], 2, 0)):
            text = exporters.as_ktap(runs)
            report = consoles.parser().parse(iter(text.splitlines()), None)
            self.assertEqual(report.errors, [])
            counts = report.root.counts
            self.assertEqual((counts.passed, counts.failed),
                             (passed, failed))

    def test_ktap_of_a_run_that_is_red_without_a_failed_case(self) -> None:
        cases = [case('a.x')]
        self.assertNotIn('not ok', ktap.render(ktap.with_verdict(cases, [])))
        text = ktap.render(ktap.with_verdict(
            cases, ['the kernel is\ntainted.', 'a new skip.']))
        self.assertIn('not ok 2 verdict\n', text)
        self.assertIn('# green: fail: the kernel is tainted. | a new skip.\n',
                      text)

    def test_table(self) -> None:
        text = exporters.as_table([all_kinds()])
        rows = [line.split() for line in text.splitlines()]
        self.assertEqual(rows[1], ['a', '2', '2', '-', '-', '-', '-', '1.00'])
        self.assertEqual(rows[3][:3], ['um:', 'FAIL', '2'])
        self.assertIn('  um: a.wrong failed.', text)


class Verb(support.TempCase):
    """The command line."""

    def call(self, *words: str) -> 'tuple[int, str]':
        """Run the verb; return its code and stdout."""
        out = io.StringIO()
        with mock.patch('sys.stdout', out), \
                mock.patch('sys.stderr', io.StringIO()), \
                mock.patch.object(cli, 'VERBS', {'export': 'verb_export'}):
            return cli.main(['export', *words]), out.getvalue()

    def test_formats(self) -> None:
        folder = self.tmp / 'run'
        folder.mkdir()
        (folder / 'results.json').write_text(json.dumps(
            exporters.run_as_data(all_kinds())))
        code, out = self.call(str(folder), '--format', 'json')
        self.assertEqual((code, json.loads(out)['verdict']), (1, 'fail'))
        for name in exporters.FORMATS:
            path = self.tmp / f'out.{name}'
            code, out = self.call(str(folder), '--format', name, '-o',
                                  str(path))
            self.assertEqual((code, out), (1, ''))
            self.assertTrue(path.read_text().endswith('\n'))
        self.assertEqual(self.call(str(folder), '-o',
                                   str(self.tmp / 'none/x'))[0], 2)
        self.assertEqual(self.call(str(self.tmp / 'none'))[0], 2)

    def test_no_half_a_file(self) -> None:
        path = self.tmp / 'out'
        path.write_text('before')
        with mock.patch('os.replace', side_effect=OSError(28, 'full')), \
                self.fails('cannot be written', code=2):
            verb_export.write('after', str(path))
        self.assertEqual(path.read_text(), 'before')
        self.assertEqual([p.name for p in self.tmp.glob('.out*')], [])


if __name__ == '__main__':
    unittest.main()
