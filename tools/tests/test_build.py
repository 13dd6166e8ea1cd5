# SPDX-License-Identifier: GPL-2.0
"""Building through a fake kunit.py: progress, errors, Ctrl-C; the tiers; and
the qemu_config file against the tree's real kunit.py."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
import unittest
from pathlib import Path
from unittest import mock

from dmirrorlib import (build, cache, graft, missing, patches, proc, tiers,
                        variants)
from dmirrorlib.errors import ToolError, UsageError

from . import consoles, support

KUNIT = '''
import os, signal, sys, time
build = [a.split('=', 1)[1] for a in sys.argv if '--build_dir' in a][0]
print('Building with:')
print('$ make all compile_commands.json scripts_gdb ARCH=um')
what = os.environ['WHAT']
for i in range(3):
    os.makedirs(f'{build}/mm', exist_ok=True)
    open(f'{build}/mm/new{i}.o', 'w').close()
if what == 'compiler':
    print('ERROR:root:../mm/hmm.c: In function f:', file=sys.stderr)
    print('../mm/hmm.c:7:9: error: no such thing', file=sys.stderr)
    print('    7 |  f();', file=sys.stderr)
    sys.exit(1)
if what == 'missing':
    print('ERROR:root:Not all Kconfig options selected\\n'
          'Missing: CONFIG_A=y, CONFIG_B=m\\nNote: many', file=sys.stderr)
    sys.exit(1)
if what == 'dirty':
    print('*** The source tree is not clean, please run make mrproper')
    sys.exit(1)
if what == 'slow':
    open(f'{build}/pid', 'w').write(str(os.getpid()))
    os.rename(f'{build}/pid', f'{build}/started')
    if os.fork() == 0:
        time.sleep(60)
    time.sleep(60)
if what == 'tidy':
    # kunit.py dies at once, make takes a while.
    if os.fork() == 0:
        def tidy(*unused):
            time.sleep(4)
            open(f'{build}/tidied', 'w').close()
            os._exit(1)
        signal.signal(signal.SIGTERM, tidy)
        open(f'{build}/started', 'w').close()
        time.sleep(60)
    time.sleep(60)
if what == 'warning':
    print('../mm/hmm.c:8:1: warning: odd\\n')
print('[12:00:00] Elapsed time: 1.000s')
open(f'{build}/linux', 'w').close()
'''


class Build(support.TempCase):
    """Builds by a kunit.py that is none."""

    def setUp(self) -> None:
        super().setUp()
        self.tree = support.make_tree(self.tmp / 'tree')
        (self.tree / 'tools/testing/kunit/kunit.py').write_text(KUNIT)
        self.build = self.tmp / 'build'
        self.build.mkdir()

    def make(self, what: str) -> float:
        """Build, with this outcome."""
        os.environ['WHAT'] = what
        return build.build_kernel(self.tree, self.build, tiers.get('um'), 2)

    def test_good(self) -> None:
        self.make('good')
        self.assertEqual((self.build / build.TOTAL_FILE).read_text(), '3\n')
        self.assertIn('kunit.py build', proc.command_log()[-1])
        self.assertFalse((self.tree / 'tools/testing/kunit/__pycache__')
                         .exists())

    def test_warning_is_shown(self) -> None:
        self.make('warning')
        self.assertEqual(self.said, ['warning: ../mm/hmm.c:8:1: warning: odd'])

    def test_compiler_error(self) -> None:
        with self.assertRaises(ToolError) as caught:
            self.make('compiler')
        self.assertEqual(caught.exception.code, 3)
        self.assertTrue(caught.exception.detail.startswith(
            '../mm/hmm.c:7:9: error: no such thing\n    7 |'))
        self.assertIn('build.log', caught.exception.message)

    def test_an_old_kernel_does_not_hide_it(self) -> None:
        self.make('good')
        self.assertTrue((self.build / 'linux').exists())
        with self.fails('does not build'):
            self.make('compiler')

    def test_missing_options(self) -> None:
        with self.fails('CONFIG_A=y, CONFIG_B=m', 'depends'):
            self.make('missing')

    def test_dirty_tree(self) -> None:
        with self.fails('make mrproper'):
            self.make('dirty')

    def test_interrupt_kills_all(self) -> None:
        os.environ['WHAT'] = 'slow'
        tool = self.python(
            'from pathlib import Path\nfrom dmirrorlib import build, tiers\n'
            f'build.build_kernel(Path({str(self.tree)!r}), '
            f'Path({str(self.build)!r}), tiers.get("um"), 1)')
        self.wait_for(self.build / 'started')
        pid = int((self.build / 'started').read_text())
        tool.send_signal(2)
        tool.wait(10)
        end = time.monotonic() + 5
        while proc.session_members(pid) and time.monotonic() < end:
            time.sleep(0.02)
        self.assertEqual(proc.session_members(pid), [])

    def test_interrupt_lets_make_tidy_up(self) -> None:
        os.environ['WHAT'] = 'tidy'
        tool = self.python(
            'from pathlib import Path\nfrom dmirrorlib import build, tiers\n'
            f'build.build_kernel(Path({str(self.tree)!r}), '
            f'Path({str(self.build)!r}), tiers.get("um"), 1)')
        self.wait_for(self.build / 'started')
        tool.send_signal(2)
        tool.wait(20)
        self.assertTrue((self.build / 'tidied').exists())

    def test_a_killed_tool_keeps_the_lock_till_the_build_ends(self) -> None:
        os.environ['WHAT'] = 'slow'
        tool = self.python(
            'from pathlib import Path\n'
            'from dmirrorlib import build, cache, tiers\n'
            'with cache.lock("b", "building"):\n'
            f'    build.build_kernel(Path({str(self.tree)!r}), '
            f'Path({str(self.build)!r}), tiers.get("um"), 1)')
        self.wait_for(self.build / 'started')
        pid = int((self.build / 'started').read_text())
        tool.kill()
        tool.wait(10)
        path = cache.sub('state') / 'b.lock'
        with path.open('r+') as file:
            with self.assertRaises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            proc.end_session(pid, 1.0)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def test_environment_does_not_choose(self) -> None:
        os.environ.update(ARCH='arm64', KCFLAGS='-O3', KBUILD_OUTPUT='/x',
                          MAKEFLAGS='-n', MAKELEVEL='1', CC='clang', O='/y',
                          V='1', KCONFIG_CONFIG='/z', LLVM='1',
                          CCACHE_DIR='/cc', obj='here')
        env = proc.build_env({'WHAT': 'x'})
        self.assertFalse(set(env) & {
            'ARCH', 'KCFLAGS', 'KBUILD_OUTPUT', 'MAKEFLAGS', 'MAKELEVEL',
            'CC', 'O', 'V', 'KCONFIG_CONFIG', 'LLVM', 'obj'})
        self.assertEqual((env['CCACHE_DIR'], env['WHAT'], env['PATH']),
                         ('/cc', 'x', os.environ['PATH']))
        with mock.patch.object(build, '_told', set()):
            self.make('good')
            self.make('good')
        self.assertEqual([s for s in self.said if 'ignoring' in s], [
            'warning: ignoring ARCH, CC, KBUILD_OUTPUT, KCFLAGS, '
            'KCONFIG_CONFIG, LLVM of the environment: the tier says what is '
            'built (--kconfig-add adds options).'])

    def test_count(self) -> None:
        (self.build / 'mm').mkdir()
        (self.build / 'source.tree').mkdir()
        for name in ('mm/a.o', 'mm/b.o', 'c.o', 'mm/a.c'):
            (self.build / name).touch()
        old = time.time() - 100
        os.utime(self.build / 'c.o', (old, old))
        objects = build.count_objects(self.build, old + 50)
        self.assertEqual((objects.total, objects.fresh), (3, 2))
        self.assertIn(objects.newest, ('mm/a.o', 'mm/b.o'))

    def test_heartbeat(self) -> None:
        with mock.patch.object(build, 'HEARTBEAT', 0.0):
            progress = build.Progress(self.build, 10, time.time() - 1)
            (self.build / 'a.o').touch()
            progress.tick()
        self.assertEqual(len(self.said), 1)
        self.assertIn('1/10 objects', self.said[0])
        self.assertIn('a.o', self.said[0])
        progress.tick()     # too early for another
        self.assertEqual(len(self.said), 1)

    def test_command(self) -> None:
        self.program('ccache', '')
        argv = build.command(self.tree, self.build, tiers.get('debug'), 3,
                             ['CONFIG_X=y'])
        for word in ('--kunitconfig=drivers/dmirror/kunit/debug.kunitconfig',
                     '--kconfig_add=CONFIG_X=y', '--jobs=3',
                     '--make_options=CC=ccache gcc',
                     f'--qemu_config={self.tree}/drivers/dmirror/tools/qemu/'
                     'x86_64.py'):
            self.assertIn(word, argv)


class Missing(support.TempCase):
    """Why User Mode Linux has no device memory, or no huge pages."""

    DEVICE = ('CONFIG_ZONE_DEVICE=y', 'CONFIG_MEMORY_HOTPLUG=y')
    HUGE = ('CONFIG_TRANSPARENT_HUGEPAGE=y',)

    def setUp(self) -> None:
        super().setUp()
        self.tree = support.make_tree(self.tmp / 'tree')
        self.project = self.tmp / 'project'
        (self.project / 'tools/dmirrorlib').mkdir(parents=True)
        self.header = self.tree / graft.HEADER

    def why(self, *options: str, tier: str = 'um') -> str:
        """Return the sentence without its beginning."""
        said = missing.explain(options, tiers.get(tier), self.tree)
        self.assertNotIn('\n', said)
        start = f'the {tier} kernel cannot have {", ".join(options)}: '
        self.assertTrue(said.startswith(start), said)
        return said[len(start):]

    def test_graft(self) -> None:
        command = f'"tools/dmirror graft {self.tree}"'
        for option in ('SPARSEMEM_MANUAL', 'SPARSEMEM_VMEMMAP', 'ZONE_DEVICE',
                       'DEVICE_PRIVATE', 'UM_ZONE_DEVICE',
                       'MEMORY_HOTREMOVE'):
            said = self.why(f'CONFIG_{option}=y')
            self.assertIn('the tree is not grafted', said)
            self.assertIn(command, said)
        graft.graft(self.tree, self.project)
        said = self.why(*self.DEVICE)
        self.assertIn('leads nowhere', said)
        self.assertIn(command, said)
        self.header.unlink()
        said = self.why(*self.DEVICE)
        self.assertIn('a part of the graft', said)
        self.assertIn(command, said)
        self.header.write_text('upstream\n')
        said = self.why(*self.DEVICE, *self.HUGE)
        self.assertIn('brings its own', said)
        self.assertIn('um-stock', said)
        shutil.rmtree(self.tree / 'arch')
        self.assertIn('no User Mode Linux', self.why(*self.DEVICE))

    def test_patches(self) -> None:
        said = self.why(*self.HUGE)
        self.assertIn(f'"tools/dmirror graft --patches {self.tree}"', said)
        (self.tree / patches.RECORD).touch()
        self.assertIn('correct the kunitconfigs', self.why(*self.HUGE))

    def test_other_causes(self) -> None:
        said = self.why('CONFIG_A=y')
        self.assertIn('correct the kunitconfigs', said)
        for options in (self.DEVICE, self.HUGE):
            self.assertIn('correct the kunitconfigs',
                          self.why(*options, tier='x86_64'))
        for option in ('CONFIG_MY_ZONE_DEVICE=y', 'CONFIG_ZONE_DEVICES=y'):
            self.assertIn('correct the kunitconfigs', self.why(option))
        graft.graft(self.tree, self.project)
        target = self.project / 'drivers/um_zone_device/include/asm'
        target.mkdir(parents=True)
        (target / 'sparsemem.h').touch()
        self.assertIn('correct the kunitconfigs', self.why(*self.DEVICE))


class Tiers(unittest.TestCase):
    """The table of tiers."""

    def test_names(self) -> None:
        self.assertEqual(tiers.names(), [
            'um', 'um-full', 'um-stock', 'um-kasan', 'um-smp', 'um-clang',
            'x86_64', 'debug', 'modules'])
        self.assertEqual(tiers.get('um-broken').skips, 'kunit/skips/um.txt')
        with self.assertRaises(UsageError) as caught:
            tiers.get('x86-64')
        self.assertIn('Did you mean "x86_64"', caught.exception.message)

    def test_memory_for_the_coherent_kind_is_inside(self) -> None:
        for tier in tiers.TIERS.values():
            found = [a for a in tier.kernel_args if a.startswith('memmap=')]
            if tier.name == 'um-stock':
                self.assertEqual(found, [])
                continue
            self.assertEqual(len(found), 1, tier.name)
            match = re.fullmatch(r'memmap=(\d+)M\$(0x[0-9a-f]+)', found[0])
            assert match is not None
            size, start = int(match.group(1)) << 20, int(match.group(2), 16)
            self.assertIn(f'dmirror_fixture.coherent={start:#x},{size:#x}',
                          tier.kernel_args)
            self.assertLess(start + size, 1 << 30)  # plain kunit.py's
            self.assertEqual(start % (128 << 20), 0)    # x86's sections
            self.assertEqual(size % (8 << 20), 0)       # UML's

    def test_the_kernel_can_have_as_many_cpus_as_it_gets(self) -> None:
        config = (support.TOOLS.parent / 'kunit/um-smp.kunitconfig')
        found = re.search(r'^CONFIG_NR_CPUS=(\d+)$', config.read_text(), re.M)
        assert found is not None
        self.assertIn(f'ncpus={found.group(1)}', tiers.get('um-smp')
                      .kernel_args)

    def test_patches_are_named_by_a_directory(self) -> None:
        project = support.TOOLS.parent
        for tier in tiers.TIERS.values():
            if tier.patches:
                folder = variants.folder_of(project, tier.patches)
                self.assertTrue(patches.read_series(folder).patches)

    def test_files_exist(self) -> None:
        project = support.TOOLS.parent
        for tier in tiers.TIERS.values():
            for path in tier.kunitconfigs + ((tier.qemu_config,)
                                             if tier.qemu_config else ()):
                inside = Path(path).relative_to(tiers.GRAFT)
                self.assertTrue((project / inside).exists(), path)
            self.assertTrue((project / tier.skips).exists(), tier.skips)


ASK = '''
import subprocess, sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import kunit_kernel
_, ops = kunit_kernel._get_qemu_ops(sys.argv[2], sys.argv[3:], None)
subprocess.Popen = lambda argv, **_: print('\\n'.join(argv))
ops.start([], '/build')
'''
CONFIG = support.TOOLS / 'qemu' / 'x86_64.py'


@consoles.needs_tree
class QemuConfig(support.TempCase):
    """The qemu_config file and the tree's real kunit.py."""

    def ask(self, *args: str, kunit: Path = Path(),
            **env: str) -> 'subprocess.CompletedProcess[str]':
        """Return the QEMU command that kunit.py would run, word by line."""
        assert consoles.TREE is not None
        folder = kunit if kunit != Path() else (consoles.TREE
                                                / 'tools/testing/kunit')
        # As in a grafted tree, where it is reached through a link.
        link = self.tmp / 'graft'
        if not link.exists():
            link.symlink_to(support.TOOLS.parent)
        return subprocess.run(
            [sys.executable, '-c', ASK, str(folder),
             str(link / 'tools/qemu/x86_64.py'), *args],
            env=dict(os.environ, **env), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, check=False)

    def accels(self, done: 'subprocess.CompletedProcess[str]') -> 'list[str]':
        """Return the accelerators in the command."""
        self.assertEqual(done.returncode, 0, done.stderr)
        words = done.stdout.split('\n')
        return [b for a, b in zip(words, words[1:]) if a == '-accel']

    def test_one_accelerator(self) -> None:
        done = self.ask('-smp', '2', DMIRROR_ACCEL='tcg')
        self.assertEqual(self.accels(done), ['tcg'])
        words = done.stdout.split()
        for word in ('-smp', '-bios', '/build/arch/x86/boot/bzImage'):
            self.assertIn(word, words)
        self.assertIn('console=ttyS0', done.stdout)

    def test_users_own(self) -> None:
        self.assertEqual(self.accels(self.ask('-accel', 'kvm')), ['kvm'])

    def test_bad_choice(self) -> None:
        done = self.ask(DMIRROR_ACCEL='fast')
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('"fast" is no accelerator', done.stderr)

    def test_another_kunit_is_found_out(self) -> None:
        assert consoles.TREE is not None
        folder = self.tmp / 'kunit'
        folder.mkdir()
        for path in (consoles.TREE / 'tools/testing/kunit').glob('*.py'):
            text = path.read_text()
            if path.name == 'kunit_kernel.py':
                self.assertIn('+ self._extra_qemu_params', text)
                text = text.replace('self._serial] + self._extra_qemu_params',
                                    'self._serial, *self._extra_qemu_params]')
            (folder / path.name).write_text(text)
        done = self.ask(kunit=folder, DMIRROR_ACCEL='tcg')
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('tools/dmirror run', done.stderr)


if __name__ == '__main__':
    unittest.main()
