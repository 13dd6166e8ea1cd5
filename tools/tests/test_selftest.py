# SPDX-License-Identifier: GPL-2.0
"""The engine of `selftest` with a fake guest, what it builds, and its verb."""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shutil
import sys
import unittest
from pathlib import Path
from typing import Any, Dict, List
from unittest import mock

from dmirrorlib import (run, selftest, selftest_build, selftest_tap, source,
                        tiers, verb_selftest, verdict)
from dmirrorlib.errors import EXIT_FAIL, EXIT_INFRA, EXIT_PASS, UsageError

from . import consoles, support, test_selftest_cpio

TESTS_C = '''
FIXTURE(hmm)
FIXTURE_VARIANT_ADD(hmm, private)
FIXTURE_VARIANT_ADD(hmm, coherent)
TEST_F(hmm, read)
TEST_F(hmm, write)
TEST_F(hmm, fork)
'''
ALL = [f'{v}.{c}' for v in ('private', 'coherent')
       for c in ('read', 'write', 'fork')]

# A "kernel" that reads the plan in its initramfs as the init would. FAKE has
# case=panic, case=hang or case=fail words, and no-init.
FAKE = '''
import os, re, sys, time
words = dict(w.split('=') for w in os.environ['FAKE'].split())
path = next(a for a in sys.argv if a.startswith('initrd='))[7:]
with open(path, 'rb') as file:
    data = file.read()
args = [m.decode() for m in re.findall(rb'^arg (.*)$', data, re.M)]
chosen = args[1::2] or os.environ['ALL'].split()
def say(text):
    print(text, flush=True)
say('Linux version 7.3.4')
if 'init' in words:
    say('Kernel panic - not syncing: no init')
    sys.exit(1)
say('# selftest: begin')
for name in re.findall(rb'life (\w+)$', data, re.M):
    name = name.decode()
    say('# selftest: life %s' % name)
    what = words.get(name)
    if what == 'panic':
        say('Kernel panic - not syncing: oops')
        sys.exit(1)
    if what == 'fail':
        say('# selftest: wrong: it is lost')
        say('# selftest: not ok %s: it is lost' % name)
    else:
        say('# selftest: ok %s' % name)
def end():
    say('# selftest: taint 0')
    say('# selftest: end')
    say('reboot: Power down')
if not re.search(rb'^tests ', data, re.M):
    end()
    sys.exit(0)
say('TAP version 13')
say('1..%d' % len(chosen))
code = 0
for number, name in enumerate(chosen, 1):
    say('#  RUN           %s ...' % name)
    what = words.get(name)
    if what == 'panic':
        say('Kernel panic - not syncing: oops')
        sys.exit(1)
    if what == 'hang':
        time.sleep(60)
    if what == 'fail':
        code = 1
        say('# a.c:1:%s:Expected 1 == 2' % name.split('.')[-1])
    say('%sok %d %s' % ('not ' if what == 'fail' else '', number, name))
say('# selftest: tests exited with %d' % code)
end()
'''
# What a driver that is built in has of a life cycle.
LIFE = 'coherent_devices_are_where_they_were_told'
LIFE_KEY = f'{selftest_tap.LIFE}.{LIFE}'


def full(key: str) -> str:
    """Return a case's name as the program prints it."""
    return f'hmm.{key}'


class EngineCase(support.GuestCase):
    """A case with a fake guest and a small tree."""

    def setUp(self) -> None:
        super().setUp()
        tests = self.top / selftest_build.TESTS_SOURCE
        tests.parent.mkdir(parents=True)
        tests.write_text(TESTS_C)
        self.kernel(FAKE, *(f'{selftest.USER_SPACE}/{name}'
                            for name in ('init', 'hmm-tests')))

    def judged(self, fake: str = '', coherent: bool = False,
               **options: Any) -> verdict.Verdict:
        """Run the fake guest on User Mode Linux."""
        os.environ['FAKE'] = fake
        os.environ['ALL'] = ' '.join(full(key) for key in ALL)
        options.setdefault('silence', 1.0)
        session = selftest.Session(
            uml(coherent), self.tree,
            run.Options(live=self.live, **options), self.build)
        session._parser = consoles.parser()
        return session.run()

    def statuses(self, result: verdict.Verdict) -> Dict[str, str]:
        """Return the status per case."""
        return {c.key: c.status for c in result.cases}


def uml(coherent: bool = False) -> selftest.Setup:
    """Return a setup on User Mode Linux."""
    base = tiers.get('um')
    return selftest.Setup(base, selftest.DRIVERS['ours'], coherent)


@consoles.needs_tree
class Engine(EngineCase):
    """Runs."""

    def test_green(self) -> None:
        result = self.judged()
        self.assertEqual((result.reasons, result.code), ([], EXIT_PASS))
        self.assertEqual(self.statuses(result), dict.fromkeys(ALL, 'pass'))
        self.assertIn('[PASSED] hmm.private.read', self.live.getvalue())
        saved = json.loads((Path(result.folder) / 'results.json')
                           .read_text())
        self.assertEqual(saved['verdict'], 'pass')
        self.assertEqual(saved['versions']['driver'], 'ours')
        self.assertNotIn('kunit', saved['versions']['kernel arguments'])
        self.assertNotIn('seed', saved['versions'])

    def test_filter(self) -> None:
        result = self.judged(glob='private.*r*')
        self.assertEqual(list(self.statuses(result)),
                         ['private.read', 'private.write', 'private.fork'])
        self.assertTrue(result.green, result.reasons)
        with self.assertRaisesRegex(UsageError, 'private.read'):
            self.judged(glob='private.reed')

    def test_failed(self) -> None:
        result = self.judged('hmm.coherent.read=fail')
        self.assertEqual(result.reasons, [
            'coherent.read failed (Expected 1 == 2).'])
        self.assertEqual(result.code, EXIT_FAIL)

    def test_the_rest_runs_after_a_panic(self) -> None:
        result = self.judged('hmm.private.write=panic '
                             'hmm.coherent.read=hang')
        expected = dict.fromkeys(ALL, 'pass')
        expected['private.write'] = 'crash'
        expected['coherent.read'] = 'hang'
        self.assertEqual(self.statuses(result), expected)
        self.assertEqual(result.boots, 3)
        # Those two, and the panic itself.
        self.assertEqual(len(result.reasons), 3, result.reasons)
        self.assertIn('booting again for the remaining 4 cases', self.said)

    def test_too_many_die(self) -> None:
        with mock.patch.object(selftest, 'MAX_DEAD', 2):
            result = self.judged(' '.join(f'{full(k)}=panic' for k in ALL))
        self.assertEqual(result.boots, 2)
        self.assertEqual(result.counts['missing'], 4)
        self.assertIn('2 guests had died before', ' '.join(result.reasons))

    def test_no_init(self) -> None:
        result = self.judged('init=no')
        self.assertEqual(result.code, EXIT_INFRA)
        self.assertEqual(result.boots, 1)
        self.assertIn('init never began', ' '.join(result.reasons))
        self.assertNotIn('KUnit', ' '.join(result.reasons))

    def test_skips_of_cases_that_the_tree_lacks(self) -> None:
        skips = self.project / 'kunit/skips/selftest-um.txt'
        skips.write_text('private.read  no memory\nprivate.new  no memory\n')
        session = selftest.Session(uml(), self.tree, run.Options(),
                                   self.build)
        self.assertEqual(session.expected_skips(),
                         {'private.read': 'no memory'})

    def test_what_user_mode_linux_cannot_run(self) -> None:
        skips = self.project / 'kunit/skips/selftest-um-coherent.txt'
        skips.write_text('coherent.read  too much\n')
        with mock.patch.dict(selftest.NOT_ON_UML,
                             {('coherent', 'read'): 'too much'}, clear=True):
            result = self.judged('hmm.coherent.read=fail', coherent=True)
            self.assertTrue(result.green, result.reasons)
            self.assertEqual(self.statuses(result),
                             {LIFE_KEY: 'pass',
                              **dict.fromkeys(ALL, 'pass'),
                              'coherent.read': 'skip'})
            # Without coherent memory it skips by itself.
            result = self.judged('hmm.coherent.read=fail')
            self.assertEqual(result.code, EXIT_FAIL)

    def parts(self, base: str, accelerator: str,
              plan: 'list[tuple[str, str]]') -> 'list[tuple[Any, bool]]':
        """Return what runs together, and whether by instructions."""
        session = selftest.Session(
            selftest.get_setup(base, 'ours', True), self.tree, run.Options(),
            self.build)
        session._accel = accelerator
        found = []
        for part, tier in session.parts(plan):
            assert tier.machine is not None
            found.append((part, '-icount' in tier.machine.args))
        return found

    def test_the_clock_of_what_an_emulated_cpu_is_too_slow_for(self) -> None:
        bench, read = ('private', selftest.BENCHMARK), ('private', 'read')
        plan = [bench, read]
        self.assertEqual(self.parts('debug', 'tcg', plan),
                         [([read], False), ([bench], True)])
        self.assertEqual(self.parts('debug', 'kvm', plan), [(plan, False)])
        self.assertEqual(self.parts('x86_64', 'tcg', plan), [(plan, False)])
        # What is not asked for takes no boot.
        self.assertEqual(self.parts('debug', 'tcg', [read]), [([read], False)])
        self.assertEqual(self.parts('debug', 'tcg', [bench]),
                         [([bench], True)])

    def test_life_cycle_is_counted_apart(self) -> None:
        with mock.patch.dict(selftest.NOT_ON_UML, clear=True):
            result = self.judged(coherent=True)
        self.assertEqual(result.reasons, [])
        self.assertEqual(list(self.statuses(result)), [LIFE_KEY, *ALL])
        self.assertEqual(result.counts['pass'], len(ALL))
        self.assertEqual(result.apart, {selftest_tap.LIFE: (1, 1)})
        self.assertIn(f'{len(ALL)} passed, 0 failed, 0 skipped, life_cycle '
                      '1 of 1 in', result.summary())
        self.assertEqual(result.data['apart'], {selftest_tap.LIFE: [1, 1]})

    def test_life_cycle_that_fails(self) -> None:
        with mock.patch.dict(selftest.NOT_ON_UML, clear=True):
            result = self.judged(f'{LIFE}=fail', coherent=True)
        self.assertEqual(result.reasons,
                         [f'{LIFE_KEY} failed (it is lost).'])
        self.assertEqual(result.code, EXIT_FAIL)
        self.assertEqual(result.counts['fail'], 0)
        self.assertIn('life_cycle 0 of 1', result.summary())

    def test_guest_dies_in_the_life_cycle(self) -> None:
        with mock.patch.dict(selftest.NOT_ON_UML, clear=True):
            result = self.judged(f'{LIFE}=panic', coherent=True)
        self.assertEqual(self.statuses(result), {
            LIFE_KEY: 'crash', **dict.fromkeys(ALL, 'pass')})
        self.assertEqual(result.boots, 2)

    def test_life_cycle_alone(self) -> None:
        result = self.judged(coherent=True, glob='life_cycle.*')
        self.assertEqual(result.reasons, [])
        self.assertEqual(self.statuses(result), {LIFE_KEY: 'pass'})
        self.assertEqual(sum(result.counts.values()), 0)

    def test_new_skip_list(self) -> None:
        skips = self.project / 'kunit/skips/selftest-um.txt'
        skips.write_text('private.read  no memory\n')
        self.assertIn('private.read runs now', self.judged().reasons[0])


@consoles.needs_tree
class Prepared(EngineCase):
    """What is built, with nothing that really builds."""

    def built(self, setup: selftest.Setup, make: str = '') -> List[Any]:
        """Prepare a setup; return the arguments of build_kernel().

        Args:
            setup: the setup.
            make: a file that the build makes in the build directory.
        """
        calls: List[Any] = []

        def build_kernel(*args: Any) -> float:
            calls.append(args)
            if make:
                (args[1] / make).parent.mkdir(parents=True)
                (args[1] / make).write_text('')
            return 1.0

        patched = source.Tree(consoles.TREE or self.tmp, '7.3.4', False)
        with mock.patch('dmirrorlib.build.build_kernel', build_kernel), \
                mock.patch('dmirrorlib.variants.tree_for',
                           return_value=patched), \
                mock.patch('dmirrorlib.packages.ensure'), \
                mock.patch.object(run, 'ensure_graft'), \
                mock.patch.object(selftest_build, 'build_tests'), \
                selftest.prepared(setup, self.tree, run.Options(
                    accel='tcg', kconfig_add=['CONFIG_Y=y'])) as session:
            self.assertIs(session.tree, patched)
        return list(calls[0])

    def test_module_on_qemu(self) -> None:
        setup = selftest.get_setup('x86_64', 'test_hmm', True)
        made = self.built(setup, 'lib/test_hmm.ko')
        self.assertIn('7.3.4-selftest-x86_64-', made[1].name)
        self.assertEqual(made[4], ['CONFIG_TEST_HMM=m', 'CONFIG_Y=y'])
        self.assertTrue((made[1] / 'selftest' / 'init').exists())

    def test_built_in_on_uml(self) -> None:
        self.assertEqual(self.built(uml())[4],
                         ['CONFIG_DMIRROR=y', 'CONFIG_Y=y'])

    def test_module_that_was_not_built(self) -> None:
        setup = selftest.get_setup('x86_64', 'test_hmm', True)
        with self.fails('without', 'test_hmm.ko', 'CONFIG_TEST_HMM'):
            self.built(setup)


class Setups(unittest.TestCase):
    """What a setup asks for."""

    def setup_of(self, *words: Any) -> selftest.Setup:
        """Return the setup of a tier, a driver and coherent."""
        return selftest.get_setup(*words)

    def test_x86_64(self) -> None:
        made = self.setup_of('x86_64', 'ours', False)
        tier = made.tier()
        self.assertEqual(tier.name, 'selftest-x86_64')
        self.assertEqual(tier.kernel_args, ('printk.devkmsg=on',))
        self.assertEqual(tier.skips, 'kunit/skips/selftest-x86_64.txt')
        plan = made.plan(Path('/b'), ['-r', 'x'])
        self.assertEqual(plan.text(), (
            'module /dmirror.ko\nrounds 1\ndevices 2\nend reboot\n'
            'tests /hmm-tests\narg -r\narg x\n'))

    def test_coherent(self) -> None:
        made = self.setup_of('x86_64', 'test_hmm', True)
        self.assertIn('memmap=512M$0x80000000', made.tier().kernel_args)
        self.assertEqual(made.tier().skips,
                         'kunit/skips/selftest-x86_64-coherent.txt')
        self.assertEqual(made.tier().name,
                         'selftest-x86_64-coherent-test_hmm')
        self.assertEqual(made.build_tier().name, 'selftest-x86_64')
        self.assertEqual(made.plan(Path('/b'), []).text(), (
            'module /test_hmm.ko\nparam spm_addr_dev0=0x80000000\n'
            'param spm_addr_dev1=0x90000000\nrounds 1\ndevices 4\n'
            'end reboot\ntests /hmm-tests\n'))

    def test_uml_has_the_driver_built_in(self) -> None:
        made = uml(coherent=True)
        self.assertEqual(made.tier().kernel_args, (
            'printk.devkmsg=on', 'memmap=512M$0x40000000',
            'dmirror.spm_addr_dev0=0x40000000',
            'dmirror.spm_addr_dev1=0x50000000'))
        self.assertEqual(made.plan(Path('/b'), []).text(),
                         'rounds 1\ndevices 4\nend poweroff\n'
                         'tests /hmm-tests\n')

    def test_coherent_memory_is_within_ram_and_aligned(self) -> None:
        for made in (uml(True), self.setup_of('x86_64', 'ours', True)):
            start, second = made.spm()
            memory = int(made.tier().memory[:-1]) << 20
            self.assertEqual(start % (128 << 20), 0)
            self.assertGreaterEqual(second - start, 256 << 20)
            self.assertLessEqual(second + (256 << 20), memory)

    def test_lives(self) -> None:
        def names(*words: Any) -> List[str]:
            return [life.name for life in self.setup_of(*words).lives()]

        private = names('x86_64', 'ours', False)
        self.assertIn('open_file_keeps_the_driver', private)
        self.assertEqual(names('x86_64', 'ours', True), [
            *private, 'coherent_pages_come_home', LIFE])
        self.assertEqual(names('debug', 'ours', False), private)
        # Built in it is neither loaded nor unloaded.
        self.assertEqual(names('um-full', 'ours', False), [])
        self.assertEqual(names('um-full', 'ours', True), [LIFE])
        # What the other driver does is no verdict on it.
        self.assertEqual(names('x86_64', 'test_hmm', True), [])

    def test_lives_of_drivers_that_must_not_load(self) -> None:
        for life in self.setup_of('x86_64', 'ours', True).lives():
            with self.subTest(life.name):
                refused = life.name.endswith('_is_refused')
                self.assertEqual(refused, life.fails != 0)
                self.assertEqual(refused, life.nodes == 0)
                self.assertFalse(refused and life.deed)

    def test_lives_are_within_the_limits_of_the_init(self) -> None:
        header = (support.TOOLS / 'init' / 'init.h').read_text()
        sizes = {name: int(value) for name, value in re.findall(
            r'^#define\s+(MAX_\w+|LINE_SIZE)\s+(\d+)$', header, re.M)}
        made = self.setup_of('x86_64', 'ours', True)
        self.assertLessEqual(len(made.lives()), sizes['MAX_LIVES'])
        for life in made.lives():
            self.assertLessEqual(len(life.places), sizes['MAX_PLACES'])
            for line in life.lines():
                self.assertLess(len(line), sizes['LINE_SIZE'])

    def test_plan_of_a_life(self) -> None:
        life = selftest_build.Life('all', ['a=1', 'b=2'], 22, 4, 'places', 2,
                                   [(0x1000, 0x1fff), (0x2000, 0x2fff)])
        self.assertEqual(life.lines(), [
            'life all', 'with a=1', 'with b=2', 'fails 22', 'nodes 4',
            'device 2', 'deed places', 'place 0x1000-0x1fff',
            'place 0x2000-0x2fff'])
        text = self.setup_of('x86_64', 'ours', False).plan(
            Path('/b'), [], None, [selftest_build.Life('one')]).text()
        self.assertEqual(text, (
            'module /dmirror.ko\nlife one\nfails 0\nnodes 0\ndevice 0\n'
            'rounds 1\ndevices 2\nend reboot\n'))

    def test_debug_shares_the_lists(self) -> None:
        made = self.setup_of('debug', 'ours', True)
        self.assertEqual(made.tier().skips,
                         'kunit/skips/selftest-x86_64-coherent.txt')
        self.assertEqual(len(made.tier().kunitconfigs), 2)
        self.assertEqual(made.build_tier().name, 'selftest-debug')

    def test_wrong_tier(self) -> None:
        with self.assertRaisesRegex(UsageError, 'um-full, x86_64, debug'):
            self.setup_of('um-stock', 'ours', False)

    def test_kunitconfigs_exist(self) -> None:
        project = support.TOOLS.parent
        for name in ('x86_64', 'um'):
            self.assertTrue((project / 'kunit'
                             / f'selftest-{name}.kunitconfig').is_file())


class Built(support.TempCase):
    """The user space."""

    def tree_with(self, *names: str) -> Path:
        """Make a tree whose hmm-tests has these helpers; return the tree."""
        tree = support.make_tree(self.tmp / 'linux')
        folder = (tree / selftest_build.TESTS_SOURCE).parent
        folder.mkdir(parents=True)
        for name in ('hmm-tests.c', *names):
            (folder / name).write_text('')
        return tree

    def names(self, tree: Path) -> List[str]:
        """Return the names of the sources found."""
        return [p.name for p in selftest_build.test_sources(tree)]

    def test_sources_as_the_makefile_says(self) -> None:
        tree = self.tree_with('vm_util.c', 'thp_settings.c')
        makefile = (tree / selftest_build.TESTS_SOURCE).parent / 'Makefile'
        makefile.write_text('$(TEST_GEN_PROGS): a.c\n'
                            '$(TEST_GEN_FILES): vm_util.c new.c\n')
        self.assertEqual(self.names(tree),
                         ['hmm-tests.c', 'vm_util.c', 'new.c'])

    def test_sources_without_such_a_rule(self) -> None:
        tree = self.tree_with('vm_util.c', 'thp_settings.c')
        self.assertEqual(self.names(tree),
                         ['hmm-tests.c', 'vm_util.c', 'thp_settings.c'])

    def test_no_tests(self) -> None:
        tree = support.make_tree(self.tmp / 'linux')
        with self.fails('hmm-tests.c', 'complete kernel tree'):
            selftest_build.test_sources(tree)

    @unittest.skipUnless(shutil.which('gcc'), 'gcc is not installed')
    def test_init_compiles_without_a_warning(self) -> None:
        path = selftest_build.build_init(self.tmp, ['-Werror'])
        self.assertTrue(os.access(path, os.X_OK))

    def test_what_the_compiler_says_is_shown(self) -> None:
        self.program('gcc', 'echo "x.c:1: error: no" >&2; exit 1')
        with self.fails('init does not compile', 'libc6-dev'):
            selftest_build.build_init(self.tmp)

    def test_tests_are_compiled_outside_of_the_tree(self) -> None:
        self.program('gcc', 'pwd >> "$LOG"')
        tree = self.tree_with('vm_util.c')
        selftest_build.build_tests(tree, self.tmp)
        line, where = self.log.read_text().splitlines()
        self.assertIn(f'-o {self.tmp}/hmm-tests ', line)
        self.assertIn(f' {selftest_build.SELFTESTS}/mm/vm_util.c ', line)
        self.assertEqual(where, str(tree))

    def test_initramfs(self) -> None:
        for name in ('init', 'tests', 'driver.ko'):
            (self.tmp / name).write_text(name)
        plan = selftest_build.Plan([selftest_build.Module(
            self.tmp / 'driver.ko', ['a=1'])], tests=self.tmp / 'tests')
        got = test_selftest_cpio.read(selftest_build.initramfs(
            self.tmp / 'init', plan))
        self.assertEqual(got['plan'].data, plan.text().encode())
        self.assertEqual(got['tests'].mode & 0o777, 0o755)
        self.assertEqual(got['driver.ko'].data, b'driver.ko')
        self.assertEqual(got['init'].mode & 0o777, 0o755)
        self.assertEqual(got['dev/console'].device, (5, 1))
        self.assertEqual(got['dev/kmsg'].device, (1, 11))


@consoles.needs_tree
class RealTree(unittest.TestCase):
    """The kernel tree that is here."""

    def test_cases(self) -> None:
        assert consoles.TREE is not None
        found = selftest.cases(source.Tree(consoles.TREE, '', False))
        names = [test.full for test in found]
        self.assertIn('hmm.hmm_device_private.open_close', names)
        self.assertIn('hmm2.hmm2_device_coherent.double_map', names)
        self.assertEqual(len(set(names)), len(names))
        self.assertGreaterEqual(len(names), 70)

    def test_recorded_skips_are_cases(self) -> None:
        assert consoles.TREE is not None
        tree = source.Tree(consoles.TREE, '', False)
        if not source.read_version(tree.path).startswith('7.3.'):
            self.skipTest('the lists are of Linux 7.3')
        keys = {'.'.join(test.pair) for test in selftest.cases(tree)}
        folder = support.TOOLS.parent / 'kunit' / 'skips'
        files = sorted(folder.glob('selftest-*.txt'))
        self.assertTrue(files)
        for path in files:
            with self.subTest(path.name):
                self.assertLessEqual(set(verdict.read_skips(path)), keys)


class Verb(EngineCase):
    """The command line."""

    def parsed(self, *words: str) -> argparse.Namespace:
        """Parse a command line."""
        parser = argparse.ArgumentParser()
        verb_selftest.add_arguments(parser)
        return parser.parse_args([*words, '--kdir', str(self.top)])

    def test_list_builds_nothing(self) -> None:
        with mock.patch('sys.stdout', new_callable=io.StringIO) as out:
            code = verb_selftest.main(self.parsed('--list', 'private'))
        self.assertEqual(code, EXIT_PASS)
        self.assertEqual(out.getvalue().split(), ALL[:3])
        self.assertEqual(self.logged('gcc'), [])

    def test_wrong_words(self) -> None:
        for words in (('--tier', 'um-stock'), ('--list', 'nothing.*')):
            with self.subTest(words), self.assertRaises(UsageError):
                verb_selftest.main(self.parsed(*words))
        # Those of argparse end a bisection, as a wrong word has to.
        for words in (('--timeout', '0'), ('--silence', '-1'),
                      ('--jobs', '-1'), ('--timeout', 'x')):
            with self.subTest(words), self.assertRaises(SystemExit), \
                    mock.patch('sys.stderr', io.StringIO()):
                self.parsed(*words)

    def test_json_has_the_reason_of_an_error(self) -> None:
        path = self.tmp / 'out.json'
        with self.fails('not a version', code=2):
            verb_selftest.main(self.parsed('--kernel', 'x', '--json',
                                           str(path)))
        data = json.loads(path.read_text())
        self.assertEqual(data['verdict'], 'error')
        self.assertIn('not a version', data['reasons'][0])

    def test_planned_is_what_tap_knows(self) -> None:
        self.assertEqual([t.full for t in selftest_tap.planned(TESTS_C)],
                         [full(key) for key in ALL])


if __name__ == '__main__':
    unittest.main()
