# SPDX-License-Identifier: GPL-2.0
"""The engine of the verb `selftest`: a tier's kernel with the tree's own
hmm-tests as its user space, and a verdict on what they say.
"""

from __future__ import annotations

import errno
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from . import (cache, ktap, packages, run, selftest_build, selftest_tap,
               tiers, variants, verdict)
from .errors import ToolError, UsageError
from .guest import Line
from .run import PlanList
from .rundir import RunDir
from .selftest_build import Life
from .selftest_tap import Test
from .source import Tree
from .tiers import GRAFT, Tier
from .verdict import Boot, Verdict

BASES = ('um-full', 'x86_64', 'debug')  # the tiers it can be derived from
DEFAULT = 'x86_64'
USER_SPACE = 'selftest'     # in the build directory, ours alone
MAX_DEAD = 12           # guests that may die before the rest is given up
SILENCE = 180.0         # seconds: the benchmark is quiet for long under TCG
NOT_BEGUN = 'KUnit never began'     # what a verdict says of any test

# What User Mode Linux cannot run, and why. The host has one mapping for each
# page of a process that does not follow the one before in memory: coherent
# memory comes in single pages, and the benchmark uses 64 Ki of them.
NOT_ON_UML: Dict[Tuple[str, str], str] = {
    ('hmm_device_coherent', 'benchmark_thp_migration'):
        'needs more host mappings than vm.max_map_count allows',
}

# A figure and no promise: 256 MB go there and back ten times. It ends itself
# after 120 s of the guest's time. Under KASAN an emulated CPU is not through by
# then, unless time goes by instructions: one is a nanosecond, as on a CPU that
# is not emulated.
BENCHMARK = 'benchmark_thp_migration'
BY_INSTRUCTIONS = ('-icount', 'shift=0,sleep=off')
QUIET = 1200.0          # seconds: how long the benchmark may take for a line

_CONFIG = f'{GRAFT}/kunit/selftest-{{}}.kunitconfig'
_DEBUG = f'{GRAFT}/kunit/debug.kunitconfig'

# Two chunks of the size that lib/test_hmm.c gives each coherent device.
_CHUNK = 256 << 20

# Physical addresses for drivers that must not load: RAM of every guest, and
# what is nobody's. Where they would load, nothing is touched there.
_RAM = 512 << 20
_FREE = 8 << 30


@dataclass(frozen=True)
class Driver:
    """A driver that hmm-tests can drive.

    name: as the command line has it.
    option: the Kconfig option that builds it.
    module: its module file in the build directory, as the tree builds it.
    built_in: what its parameters are called where it is built in.
    """
    name: str
    option: str
    module: str
    built_in: str


DRIVERS: Dict[str, Driver] = {d.name: d for d in (
    Driver('ours', 'CONFIG_DMIRROR', f'{GRAFT}/drivers/dmirror/dmirror.ko',
           'dmirror'),
    Driver('test_hmm', 'CONFIG_TEST_HMM', 'lib/test_hmm.ko', 'test_hmm'),
)}


@dataclass(frozen=True)
class Setup:
    """One way to run hmm-tests.

    base: the tier whose kernel it is, one of BASES.
    driver: what they drive.
    coherent: with device-coherent memory too.
    """
    base: Tier
    driver: Driver
    coherent: bool = False

    @property
    def on_uml(self) -> bool:
        """True on User Mode Linux, where the driver is built in."""
        return self.base.machine is None

    def spm(self) -> Tuple[int, int]:
        """Return the addresses of the two coherent devices' memory.

        They are within the guest's RAM, which is large enough to do without
        (see tier), and aligned to the sections of both architectures.
        """
        start = 0x40000000 if self.on_uml else 0x80000000
        return start, start + _CHUNK

    def tier(self) -> Tier:
        """Return the tier to build and to judge."""
        kind = 'um' if self.on_uml else 'x86_64'
        configs = [_CONFIG.format(kind)]
        suffix = '-coherent' if self.coherent else ''
        peer = '' if self.driver.name == 'ours' else f'-{self.driver.name}'
        args: List[str] = ['printk.devkmsg=on']
        if self.base.name == 'debug':
            configs.append(_DEBUG)
            args += tiers.WATCH
        if self.coherent:
            args.append(f'memmap={2 * _CHUNK >> 20}M${self.spm()[0]:#x}')
        if self.on_uml:
            args += [f'{self.driver.built_in}.{p}' for p in self.params()]
        return replace(
            self.base, name=f'selftest-{self.base.name}{suffix}{peer}',
            kunitconfigs=tuple(configs), memory='3072M',
            kernel_args=tuple(args), skips_of=f'selftest-{kind}{suffix}',
            silence=max(SILENCE, self.base.silence))

    def build_tier(self) -> Tier:
        """Return the same, named so that all of a base share a build."""
        return replace(self.tier(), name=f'selftest-{self.base.name}')

    def params(self) -> List[str]:
        """Return the driver's parameters, as in 'name=value'."""
        if not self.coherent:
            return []
        return [f'spm_addr_dev{i}={at:#x}' for i, at in enumerate(self.spm())]

    def lives(self) -> List[Life]:
        """Return the cases of the driver's life cycle.

        Only of ours: what the other one does is no verdict on it.
        """
        if self.driver.name != 'ours':
            return []
        found: List[Life] = [] if self.on_uml else _module_lives()
        if not self.coherent:
            return found
        places = [(at, at + _CHUNK - 1) for at in self.spm()]
        params = self.params()
        if not self.on_uml:
            found.append(Life('coherent_pages_come_home', params, nodes=4,
                              deed='pages', device=2, places=places))
        return [*found, Life('coherent_devices_are_where_they_were_told',
                             params, nodes=4, deed='places', places=places)]

    def plan(self, folder: Path, args: Sequence[str],
             tests: Optional[Path] = Path('hmm-tests'),
             lives: Sequence[Life] = ()) -> selftest_build.Plan:
        """Return what the guest is to do.

        Args:
            folder: the build directory.
            args: the test program's arguments.
            tests: the test program; None to leave it out.
            lives: the cases of the driver's life cycle.
        """
        modules = [] if self.on_uml else [selftest_build.Module(
            folder / self.driver.module, self.params())]
        return selftest_build.Plan(
            modules, lives, devices=4 if self.coherent else 2, tests=tests,
            args=list(args), poweroff=self.on_uml)


def _module_lives() -> List[Life]:
    """Return the life cycle of a driver that is a module, private memory."""
    def at(first: int, second: int, *more: str) -> List[str]:
        return [f'spm_addr_dev0={first:#x}', f'spm_addr_dev1={second:#x}',
                *more]

    far = _FREE + _CHUNK
    return [
        Life('one_address_makes_no_coherent_device',
             [f'spm_addr_dev0={_FREE:#x}'], nodes=2),
        Life('other_address_makes_no_coherent_device',
             [f'spm_addr_dev1={_FREE:#x}'], nodes=2),
        Life('coherent_device_without_memory_is_refused',
             at(_FREE, far, 'spm_size=0'), errno.EINVAL),
        Life('odd_size_is_refused', at(_FREE, far, 'spm_size=0x300001'),
             errno.EINVAL),
        Life('first_odd_address_is_refused', at(_FREE + 4096, far),
             errno.EINVAL),
        Life('second_odd_address_is_refused', at(_FREE, far + 4096),
             errno.EINVAL),
        Life('ram_is_refused', at(_RAM, _FREE), errno.EBUSY),
        Life('ram_of_the_second_is_refused', at(_FREE, _RAM), errno.EBUSY),
        Life('one_place_for_two_is_refused', at(_FREE, _FREE + _CHUNK // 2),
             errno.EBUSY),
        Life('open_file_keeps_the_driver', nodes=2, deed='open'),
        Life('pages_come_home', nodes=2, deed='pages'),
        Life('secret_memory_is_left_alone', nodes=2, deed='secrets'),
    ]


def get_setup(tier: str, driver: str, coherent: bool) -> Setup:
    """Return the setup that the command line describes.

    Args:
        tier: one of BASES.
        driver: one of DRIVERS.
        coherent: with device-coherent memory too.

    Raises:
        UsageError: the tier is none of these.
    """
    if tier not in BASES:
        raise UsageError(f'hmm-tests cannot run on tier "{tier}"; choose '
                         f'from {", ".join(BASES)}.')
    return Setup(tiers.get(tier), DRIVERS[driver], coherent)


def cases(tree: Tree) -> List[Test]:
    """Return all cases of a tree's hmm-tests, in the order of a run.

    Args:
        tree: the kernel tree.

    Raises:
        ToolError: its source is not there, or has no case that can be found.
    """
    source = selftest_build.test_sources(tree.path)[0]
    found = selftest_tap.planned(source.read_text())
    if not found:
        raise ToolError(f'{source} has no TEST_F() case: use a kernel tree '
                        'of 7.2 or newer.')
    return found


def pairs(setup: Setup, tree: Tree) -> PlanList:
    """Return all that a setup runs, as (suite, case).

    Args:
        setup: the setup.
        tree: the kernel tree.

    Raises:
        ToolError: see cases.
    """
    return [*((selftest_tap.LIFE, life.name) for life in setup.lives()),
            *(test.pair for test in cases(tree))]


@contextmanager
def prepared(setup: Setup, tree: Tree,
             opts: run.Options) -> Iterator['Session']:
    """Build a setup's kernel and keep it ours.

    Args:
        setup: what to run.
        tree: the kernel tree.
        opts: the user's choices; glob is for 'variant.case'.

    Raises:
        ToolError: see run.run_tier.
    """
    packages.ensure(setup.base.needs)
    run.forget_orphans()
    tree = variants.tree_for(setup.base, tree, run.PROJECT)
    folder = run.build_dir(setup.build_tier(), tree)
    value = 'y' if setup.on_uml else 'm'
    opts = replace(opts, kconfig_add=[f'{setup.driver.option}={value}',
                                      *opts.kconfig_add])
    with cache.lock(f'build-{folder.name}',
                    f'running {setup.tier().name}'):
        session = Session(setup, tree, opts, folder)
        session.build()
        yield session


class Session(run.Session):
    """A kernel that runs hmm-tests, and how to boot it.

    Args:
        setup: what to run.
        tree: the kernel tree.
        opts: the user's choices.
        folder: the build directory.
    """

    apart = (selftest_tap.LIFE,)

    def __init__(self, setup: Setup, tree: Tree, opts: run.Options,
                 folder: Path) -> None:
        super().__init__(with_initramfs(setup.tier(), folder), tree, opts,
                         folder)
        self.setup = setup
        self._user_space = folder / USER_SPACE
        self._programs = (self._user_space / 'init',
                          self._user_space / 'hmm-tests')

    def build(self) -> None:
        """Graft and build the kernel, then its user space."""
        super().build()
        for module in self.setup.plan(self.folder, []).modules:
            if not module.path.is_file():
                raise ToolError(
                    f'the kernel was built without {module.path}: '
                    f'{self.setup.driver.option} is not =m; correct the '
                    'kunitconfig.')
        self.build_user_space()

    def build_user_space(self) -> None:
        """Compile the two programs of the guest."""
        self._user_space.mkdir(exist_ok=True)
        self._programs = (
            selftest_build.build_init(self._user_space),
            selftest_build.build_tests(self.tree.path, self._user_space))

    def plan(self) -> PlanList:
        """Return all cases, as (variant, case)."""
        return pairs(self.setup, self.tree)

    def barred(self) -> Dict[Tuple[str, str], str]:
        """Return the cases that are not run at all, with the reasons."""
        if self.setup.on_uml and self.setup.coherent:
            return NOT_ON_UML
        return {}

    def parts(self, plan: PlanList) -> List[Tuple[PlanList, Tier]]:
        """Return what is run together, and on which machine.

        Args:
            plan: all that is to be run, as (variant, case).
        """
        if self.setup.base.name != 'debug' or self._accel != 'tcg':
            return [(plan, self.tier)]
        machine = self.tier.machine
        assert machine is not None
        slow = replace(self.tier, silence=QUIET, limit=2 * QUIET,
                       machine=replace(machine, args=(*machine.args,
                                                      *BY_INSTRUCTIONS)))
        apart = [pair for pair in plan if pair[1] == BENCHMARK]
        rest = [pair for pair in plan if pair[1] != BENCHMARK]
        return [(part, tier) for part, tier in ((rest, self.tier),
                                                (apart, slow)) if part]

    def expected_skips(self) -> Dict[str, str]:
        """Return the skips of the cases that this tree has: the recorded
        ones, and what is not run at all."""
        have = {'.'.join(pair) for pair in self.plan()}
        skips = verdict.read_skips(run.PROJECT / self.tier.skips)
        skips.update({'.'.join(pair): reason
                      for pair, reason in self.barred().items()})
        return {key: reason for key, reason in skips.items() if key in have}

    def run(self) -> Verdict:
        """Boot, as often as needed, and judge; see run.Session.run."""
        result = super().run()
        result.reasons[:] = [
            reason.replace(NOT_BEGUN, 'The guest\'s init never began')
            for reason in result.reasons]
        return result

    def _boots(self, plan: PlanList, folder: RunDir) -> List[Boot]:
        """Boot for a plan; where a guest dies, again for all the rest."""
        barred = self.barred()
        if set(plan) <= set(barred):
            raise UsageError('there is nothing to run: ' + '; '.join(
                f'{".".join(pair)} {barred[pair]}' for pair in plan) + '.')
        boots: List[Boot] = []
        usual = self.tier
        for part, tier in self.parts(plan):
            self.tier = tier
            try:
                boots += self._boots_of(part, folder)
            finally:
                self.tier = usual
        return boots

    def _boots_of(self, plan: PlanList, folder: RunDir) -> List[Boot]:
        """Boot for one part of a plan; see _boots."""
        boots: List[Boot] = []
        end_at = time.monotonic() + self._limit()
        rest = plan
        while rest:
            left = end_at - time.monotonic()
            if boots and (left <= 0 or len(boots) >= MAX_DEAD):
                why = (f'the limit of {self._limit():g} s was used up'
                       if left <= 0 else f'{MAX_DEAD} guests had died before')
                run.give_up(boots[-1], rest, why)
                break
            boot = self._boot('', rest, folder.console(), left)
            boots.append(boot)
            died = any(c.status in ('crash', 'hang') for c in boot.cases)
            rest = boot.missing() if died else []
            if died:
                self._tell(boot, len(rest))
        return boots

    def _boot(self, glob: str, plan: PlanList, console: Path,
              limit: float) -> Boot:
        """Boot once and read the results as they come."""
        assert self._parser is not None, 'build() comes first'
        del glob    # the cases are named one by one
        tests = cases(self.tree)
        barred = self.barred()
        wanted = set(plan) - set(barred)
        chosen = [test for test in tests if test.pair in wanted]
        lives = [life for life in self.setup.lives()
                 if (selftest_tap.LIFE, life.name) in wanted]
        args: List[str] = []
        if len(chosen) < len(tests):
            args = [word for test in chosen for word in ('-r', test.full)]
        init, program = self._programs
        initramfs(self.folder).write_bytes(selftest_build.initramfs(
            init, self.setup.plan(self.folder, args,
                                  program if chosen else None, lives)))
        seen: List[Line] = []
        kernel_args = [*self.tier.kernel_args, *self.opts.kernel_args]
        with self._guest(kernel_args, console, limit) as guest:
            report = run.read_live(self._parser, guest, seen, self.opts.live)
            end = guest.end
        boot = selftest_tap.examine(
            chosen, [s.text for s in seen], [s.at for s in seen], report,
            end, console.name, [life.name for life in lives])
        for pair, why in barred.items():
            if pair in plan:
                boot.cases.append(ktap.Case(*pair, '', 'skip', why))
                boot.plan = [*boot.plan, pair]
        return boot

    def _versions(self, boots: Sequence[Boot]) -> Dict[str, str]:
        """Return what the outcome may depend on."""
        found = super()._versions(boots)
        found['kernel arguments'] = ' '.join(
            [*self.tier.kernel_args, *self.opts.kernel_args])
        found['driver'] = self.setup.driver.name
        found['driver parameters'] = ' '.join(self.setup.params())
        found['tests'] = selftest_build.TESTS_SOURCE
        del found['seed']       # hmm-tests has none
        return found


def initramfs(folder: Path) -> Path:
    """Return where a build directory's initramfs is."""
    return folder / USER_SPACE / 'initramfs.cpio'


def with_initramfs(tier: Tier, folder: Path) -> Tier:
    """Return a tier that boots with the initramfs of a build directory.

    Args:
        tier: the tier.
        folder: the build directory.
    """
    path = str(initramfs(folder))
    if tier.machine is None:
        return replace(tier, kernel_args=(*tier.kernel_args,
                                          f'initrd={path}'))
    return replace(tier, machine=replace(
        tier.machine, args=(*tier.machine.args, '-initrd', path)))
