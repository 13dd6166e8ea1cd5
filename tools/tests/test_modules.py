# SPDX-License-Identifier: GPL-2.0
"""Suites that are modules, with a fake guest that loads them."""

from __future__ import annotations

import json
import os
import sys
import unittest
from pathlib import Path
from typing import Any, Dict
from unittest import mock

from dmirrorlib import (modules, modules_tap, run, selftest, tiers,
                        verb_run, verdict)
from dmirrorlib.errors import EXIT_FAIL, EXIT_INFRA, EXIT_PASS

from . import consoles, support

FILES = ('lib/kunit.ko', 'dmirror_fixture.ko', 'hmm.ko', 'dmirror.ko')
PLAN = [('hmm_a', 'one'), ('hmm_a', 'two'), ('dmirror_b', 'three'),
        ('dmirror_c', 'four')]
KEYS = [f'{s}.{c}' for s, c in PLAN]

# A "kernel" that reads the plan in its initramfs as the init would. FAKE has
# words "ROUND:case=fail", "ROUND:case=panic", "ROUND:case=warn",
# "ROUND:module=refused" and "ROUND:module=stays".
FAKE = '''
import fnmatch, os, re, sys
fake = dict(w.split('=') for w in os.environ['FAKE'].split())
path = next(a for a in sys.argv if a.startswith('initrd='))[7:]
with open(path, 'rb') as file:
    data = file.read()
text = data[data.index(b'module /'):data.index(b'end ')].decode()
params, names = {}, []
for line in text.splitlines():
    word, _, value = line.partition(' ')
    if word == 'module':
        names.append(value[1:-3])
    elif word == 'param':
        params.setdefault(names[-1], []).append(value)
    elif word == 'rounds':
        rounds = int(value)
kunit = dict(p.split('=') for p in params.get('kunit', []))
glob = kunit.get('filter_glob', '*')
suites = {'hmm': {'hmm_a': ['one', 'two']},
          'dmirror': {'dmirror_b': ['three'], 'dmirror_c': ['four']}}
def say(text):
    print(text, flush=True)
def result(name, good, number, indent):
    say('%s%sok %d %s' % (indent, '' if good else 'not ', number, name))
def chosen(suite, case):
    return fnmatch.fnmatch(suite + '.' + case, glob + ('' if '.' in glob
                                                       else '.*'))
say('Linux version 7.3.4')
if 'init' in fake:
    sys.exit('no init')
say('# selftest: begin')
for r in range(1, rounds + 1):
    say('# selftest: round %d' % r)
    number = 0
    for name in names:
        say('# selftest: loading %s' % name)
        if fake.get('%d:%s' % (r, name)) == 'refused':
            say('# selftest: problem: %s cannot be loaded' % name)
            break
        have = {s: [c for c in cases if chosen(s, c)]
                for s, cases in suites.get(name, {}).items()}
        have = {s: cases for s, cases in have.items() if cases}
        if kunit.get('action') == 'list':
            say('KTAP version 1')
            for s, cases in have.items():
                say(s)
                for c in cases:
                    say(s + '.' + c)
        elif have:
            say('KTAP version 1')
            say('1..%d' % len(have))
            for s, cases in have.items():
                number += 1
                say('    KTAP version 1')
                say('    # Subtest: ' + s)
                say('    1..%d' % len(cases))
                good = True
                for n, c in enumerate(cases, 1):
                    what = fake.get('%d:%s' % (r, c))
                    if what == 'panic':
                        say('Kernel panic - not syncing: oops')
                        sys.exit(1)
                    if what == 'warn':
                        say('WARNING: at mm/hmm.c')
                    good = good and what != 'fail'
                    result(c, what != 'fail', n, '    ')
                if s.startswith('dmirror_'):
                    say('    # dmirror: taint 0x40000')
                result(s, good, number, '')
        say('# selftest: loaded %s' % name)
    for name in reversed(names):
        if fake.get('%d:%s' % (r, name)) == 'stays':
            say('# selftest: problem: %s cannot be unloaded: busy' % name)
            break
        say('# selftest: unloaded %s' % name)
say('# selftest: taint %s' % fake.get('taint', '0x40000'))
say('# selftest: end')
say('reboot: Restarting system')
'''


class EngineCase(support.GuestCase):
    """A case with a fake guest that loads modules."""

    def setUp(self) -> None:
        super().setUp()
        self.tier = tiers.Tier(
            'modules', '', (), modules=FILES,
            kernel_args=('memmap=x', 'dmirror_fixture.coherent=1,2'))
        self.kernel(FAKE, *FILES, f'{selftest.USER_SPACE}/init')

    def session(self, fake: str = '', **options: Any) -> modules.Session:
        """Return a session with the fake guest."""
        os.environ['FAKE'] = fake
        options.setdefault('silence', 2.0)
        made = modules.Session(self.tier, self.tree, run.Options(
            live=self.live, **options), self.build)
        made._parser = consoles.parser()
        return made

    def judged(self, fake: str = '', **options: Any) -> verdict.Verdict:
        """Run the fake guest."""
        return self.session(fake, **options).run()


@consoles.needs_tree
class Engine(EngineCase):
    """Runs."""

    def test_green(self) -> None:
        result = self.judged()
        self.assertEqual((result.reasons, result.code), ([], EXIT_PASS))
        self.assertEqual([c.key for c in result.cases], KEYS)
        self.assertEqual({c.status for c in result.cases}, {'pass'})
        self.assertEqual(self.live.getvalue().count('dmirror_c'), 4)
        self.assertNotIn('ERROR', self.live.getvalue())
        saved = json.loads((Path(result.folder) / 'results.json')
                           .read_text())
        self.assertEqual(saved['versions']['rounds'], '2')

    def test_plan_has_the_modules(self) -> None:
        made = self.session()
        self.assertEqual(made.plan(), PLAN)
        self.assertEqual([m for _, _, m in made._listed()],
                         ['hmm', 'hmm', 'dmirror', 'dmirror'])
        os.environ['FAKE'] = 'init=none'    # it is not asked again
        self.assertEqual(made.plan(), PLAN)

    def test_new_modules_are_listed_anew(self) -> None:
        self.session().plan()
        (self.build / FILES[-1]).write_text('another')
        with self.fails('did not list all'):
            self.session('init=none').plan()

    def test_filter(self) -> None:
        result = self.judged(glob='dmirror_c.f*')
        self.assertEqual([c.key for c in result.cases], ['dmirror_c.four'])
        self.assertTrue(result.green, result.reasons)

    def test_failure_in_each_round(self) -> None:
        result = self.judged('1:three=fail')
        self.assertEqual((result.reasons, result.code),
                         (['dmirror_b.three failed.'], EXIT_FAIL))
        result = self.judged('2:three=fail')
        self.assertEqual(
            (result.reasons, result.code),
            (['In round 2: dmirror_b.three failed.'], EXIT_FAIL))

    def test_complaint_is_told_once_and_where(self) -> None:
        result = self.judged('2:two=warn')
        self.assertEqual(len(result.reasons), 1, result.reasons)
        self.assertIn('during hmm_a.two', result.reasons[0])

    def test_guest_dies(self) -> None:
        result = self.judged('1:three=panic')
        said = ' | '.join(result.reasons)
        self.assertIn('dmirror_b.three crashed', said)
        self.assertIn('dmirror_c.four did not run', said)
        self.assertNotIn('round 2', said)
        self.assertEqual(result.counts['pass'], 2)
        result = self.judged('2:one=panic')
        self.assertIn('In round 2: hmm_a.one crashed',
                      ' | '.join(result.reasons))

    def test_what_unloading_leaves(self) -> None:
        for number in (1, 2):
            result = self.judged(f'{number}:hmm=stays')
            self.assertEqual((result.reasons, result.code), ([
                'The guest\'s init reports: hmm cannot be unloaded: busy.'],
                EXIT_FAIL))
        result = self.judged('taint=0x40200')
        self.assertIn('tainted (W, mask 0x200) after the last module',
                      result.reasons[0])

    def test_module_that_cannot_be_loaded(self) -> None:
        with self.fails('did not list all'):
            self.judged('1:hmm=refused')

    def test_new_skip_list_counts_in_both_rounds(self) -> None:
        skips = self.project / 'kunit/skips/modules.txt'
        skips.write_text('hmm_a.one  needs more\n')
        reasons = self.judged().reasons
        self.assertEqual(len(reasons), 2)
        self.assertIn('hmm_a.one runs now', reasons[0])

    def test_no_init(self) -> None:
        with self.fails('did not list all of their cases'):
            self.judged('init=none')
        self.session().plan()
        result = self.judged('init=none')
        self.assertEqual(result.code, EXIT_INFRA)

    def test_arguments_of_modules(self) -> None:
        made = self.session(seed=7, kernel_args=['hmm.x=1', 'quiet'])
        kernel = made._load(['kunit.filter_glob=a'], 3)
        self.assertEqual([w for w in kernel if 'initrd=' not in w],
                         ['memmap=x', 'quiet'])
        data = selftest.initramfs(self.build).read_bytes().decode('latin-1')
        self.assertIn('module /kunit.ko\nparam enable=1\nparam timeout=1\n'
                      'param filter_glob=a\nmodule /dmirror_fixture.ko\n'
                      'param coherent=1,2\nparam seed=7\nmodule /hmm.ko\n'
                      'param x=1\nmodule /dmirror.ko\nrounds 3\n', data)


class Prepared(EngineCase):
    """What is built, with nothing that really builds."""

    def built(self) -> None:
        """Build."""
        with mock.patch('dmirrorlib.build.build_kernel', return_value=1.0), \
                mock.patch.object(run, 'ensure_graft'), \
                mock.patch('dmirrorlib.ktap.Parser'), \
                mock.patch.object(run, 'build_dir',
                                  return_value=self.build), \
                verb_run.prepared(self.tier, self.tree,
                                  run.Options()) as session:
            self.assertIsInstance(session, modules.Session)

    def test_init_is_compiled(self) -> None:
        self.program('gcc', '')
        self.built()
        self.assertEqual(len(self.logged('gcc')), 1)

    def test_module_that_was_not_built(self) -> None:
        (self.build / FILES[2]).unlink()
        with self.fails('built without', 'hmm.ko', 'not =m'):
            self.built()


class Tiers(unittest.TestCase):
    """The real tier."""

    def test_kunit_comes_first_and_names_are_unlike(self) -> None:
        tier = tiers.get('modules')
        names: Dict[str, str] = {}
        for path in tier.modules:
            names[Path(path).stem] = path
        self.assertEqual(len(names), len(tier.modules))
        self.assertEqual(list(names)[0], 'kunit')
        self.assertLess(list(names).index('dmirror_fixture'),
                        list(names).index('dmirror_kunit'))

    def test_listed_without_a_console(self) -> None:
        self.assertEqual(modules_tap.listed([]), [])
        self.assertEqual(modules_tap.problems(['x']),
                         ['the guest\'s init never began'])


if __name__ == '__main__':
    unittest.main()
