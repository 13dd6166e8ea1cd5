# SPDX-License-Identifier: GPL-2.0
"""Odd configurations: does what the project adds compile in each of them?

Only the project's own objects are compiled, with W=1, where a warning is a
failure. The configurations of one architecture share a build directory, so
that each costs the project's objects and little else. Nothing is linked: what
a module lacks of the kernel's exports is found where tier modules is built.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Tuple

from . import build, cache, checks, clang, packages, proc, run, tiers
from .errors import ToolError
from .source import Tree, tree_lock

KUNIT = ('KUNIT=y', 'DMIRROR=y', 'DMIRROR_KUNIT_TEST=y', 'HMM_KUNIT_TEST=y')
MODULES = ('MODULES=y', 'KUNIT=m', 'DMIRROR=m', 'DMIRROR_KUNIT_TEST=m',
           'HMM_KUNIT_TEST=m')
SECTIONS = ('SPARSEMEM_MANUAL=y',)
HOTPLUG = ('MEMORY_HOTPLUG=y', 'MEMORY_HOTREMOVE=y', 'ZONE_DEVICE=y')
DEVICE = (*HOTPLUG, 'DEVICE_PRIVATE=y')
THP = ('TRANSPARENT_HUGEPAGE=y',)
SMP = ('SMP=y',)
DEBUG = ('DEBUG_KERNEL=y', 'DEBUG_VM=y', 'PROVE_LOCKING=y')
INJECT = ('DMIRROR_INJECT=y',)


@dataclass(frozen=True)
class Config:
    """One configuration. Options are without CONFIG_, as 'X=y' or 'X=n'.

    name: of the check, without 'config-'.
    arch: make's ARCH.
    options: what is asked for, and has to be there in the end.
    gives: what has to be there in the end without being asked for.
    make: more variables for make.
    llvm: with clang and lld.
    main: on other kernel versions than the default too.
    needs: for packages.ensure.
    """
    name: str
    arch: str
    options: Tuple[str, ...]
    gives: Tuple[str, ...] = ()
    make: Tuple[str, ...] = ()
    llvm: bool = False
    main: bool = False
    needs: Tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """What names the build directory that it shares."""
        words = [self.arch, *(w.partition('=')[2] for w in self.make),
                 *(['clang'] if self.llvm else [])]
        return '-'.join(words)


CONFIGS: Dict[str, Config] = {c.name: c for c in (
    Config('um-no-device-private', 'um',
           (*KUNIT, *SECTIONS, *HOTPLUG, 'DEVICE_PRIVATE=n'), INJECT,
           main=True),
    Config('um-flatmem', 'um', (*KUNIT, 'UM_ZONE_DEVICE=n'), INJECT),
    Config('um-driver-alone', 'um',
           ('KUNIT=n', 'DMIRROR=y', *SECTIONS, *DEVICE),
           ('DMIRROR_INJECT=n',)),
    Config('um-driver-with-inject', 'um',
           ('KUNIT=n', 'DMIRROR=y', *INJECT)),
    Config('um-hmm-suites-alone', 'um',
           ('KUNIT=y', 'HMM_KUNIT_TEST=y', 'DMIRROR=n', *SECTIONS, *DEVICE),
           ('DMIRROR_FIXTURE=y', 'HMM_MIRROR=y')),
    Config('um-all-tests', 'um', ('KUNIT=y', 'KUNIT_ALL_TESTS=y',
                                  'DMIRROR=y'),
           ('DMIRROR_KUNIT_TEST=y', 'HMM_KUNIT_TEST=y',
            'DMIRROR_KUNIT_BROKEN=n')),
    Config('um-modules', 'um', (*MODULES, *SECTIONS, *DEVICE), INJECT,
           main=True),
    Config('um-i386', 'um', KUNIT, make=('SUBARCH=i386',), needs=('i386',)),
    Config('um-clang', 'um', (*KUNIT, *SECTIONS, *DEVICE, *DEBUG), llvm=True,
           main=True, needs=('clang',)),
    Config('x86_64-no-thp', 'x86_64',
           (*KUNIT, *SMP, *DEVICE, 'TRANSPARENT_HUGEPAGE=n'), main=True),
    Config('x86_64-no-device-private', 'x86_64',
           (*KUNIT, *SMP, *HOTPLUG, *THP, 'DEVICE_PRIVATE=n'), main=True),
    Config('x86_64-no-smp', 'x86_64', (*KUNIT, *DEVICE, *THP, 'SMP=n'),
           main=True),
    Config('x86_64-hugetlbfs', 'x86_64',
           (*KUNIT, *SMP, *DEVICE, *THP, 'HUGETLBFS=y'),
           ('HUGETLB_PAGE=y',), main=True),
    Config('x86_64-least', 'x86_64',
           (*KUNIT, 'SMP=n', 'TRANSPARENT_HUGEPAGE=n', 'ZONE_DEVICE=n',
            'MEMORY_HOTPLUG=n')),
    Config('x86_64-numa-debug', 'x86_64',
           (*KUNIT, *SMP, *DEVICE, *THP, *DEBUG, 'NUMA=y',
            'CGROUPS=y', 'MEMCG=y', 'USERFAULTFD=y', 'KSM=y', 'PREEMPT=y')),
    Config('x86_64-modules', 'x86_64', (*MODULES, *SMP, *DEVICE, *THP),
           INJECT, main=True),
    Config('x86_64-driver-module', 'x86_64',
           ('MODULES=y', 'KUNIT=n', 'DMIRROR=m', *SMP, *DEVICE, *THP),
           ('DMIRROR_INJECT=n',)),
    Config('x86_64-kunit-module', 'x86_64',
           ('MODULES=y', 'KUNIT=m', 'DMIRROR=y', 'DMIRROR_KUNIT_TEST=m',
            'HMM_KUNIT_TEST=m', *SMP, *DEVICE, *THP), INJECT),
    Config('x86_64-clang', 'x86_64', (*KUNIT, *SMP, *DEVICE, *THP, *DEBUG),
           llvm=True, main=True, needs=('clang',)),
    Config('x86_64-clang-modules', 'x86_64', (*MODULES, *SMP, *DEVICE, *THP),
           llvm=True, needs=('clang',)),
    Config('i386', 'i386', (*KUNIT, *SMP), INJECT, main=True),
    Config('i386-modules', 'i386', (*MODULES, *SMP)),
)}


def all_checks(main: bool = False
               ) -> Dict[str, Callable[[Tree], checks.Outcome]]:
    """Return the checks by name, as checks.all_checks() does.

    Args:
        main: only those for any kernel version.
    """
    def check(config: Config) -> Callable[[Tree], checks.Outcome]:
        return lambda tree: compiled(tree, config)

    return {f'config-{c.name}': check(c) for c in CONFIGS.values()
            if c.main or not main}


def needs(names: List[str]) -> List[str]:
    """Return what some checks need of the machine, for packages.ensure.

    Args:
        names: of checks, also of others than these.
    """
    configs = [CONFIGS[name[len('config-'):]] for name in names
               if name.startswith('config-')]
    return sorted({need for config in configs for need in config.needs})


def compiled(tree: Tree, config: Config) -> checks.Outcome:
    """Compile the project's C in one configuration.

    What cannot be tried at all is a complaint too, so that the other
    configurations are.

    Args:
        tree: the kernel tree.
        config: the configuration.
    """
    tier = tiers.Tier(f'config-{config.place}', '', ())
    folder = run.build_dir(tier, tree)
    with cache.lock(f'build-{folder.name}', f'checking {config.name}'):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / run.OWNER_FILE).write_text(f'{run.PROJECT}\n')
        with tree_lock(tree):
            run.ensure_graft(tree, False)
            try:
                lines = _compile(tree, config, folder)
            except ToolError as err:
                lines = [err.message, *err.detail.splitlines()]
    return checks.Outcome(f'config-{config.name}', lines)


def fragment(options: Tuple[str, ...]) -> str:
    """Return a .config with these options.

    Args:
        options: as in Config.
    """
    return ''.join(f'# CONFIG_{name} is not set\n' if value == 'n'
                   else f'CONFIG_{name}={value}\n' for name, _, value
                   in (option.partition('=') for option in options))


def lost(folder: Path, options: Tuple[str, ...]) -> List[str]:
    """Return a complaint for each option that the .config has otherwise.

    Args:
        folder: the build directory.
        options: as in Config.
    """
    said = []
    for option in options:
        name, _, want = option.partition('=')
        got = build.config_value(folder, f'CONFIG_{name}') or 'n'
        if got != want:
            said.append(f'CONFIG_{name} is {got} instead of {want} once '
                        'Kconfig is done.')
    return said


def _compile(tree: Tree, config: Config, folder: Path) -> List[str]:
    """Configure, prepare and compile; return the complaints."""
    absent = [] if config.llvm else packages.missing(config.needs)
    if absent:
        return [f'{item.name}: missing; run  {packages.command([item])}'
                for item in absent]
    make = ['make', f'ARCH={config.arch}', f'O={folder}',
            f'-j{build.default_jobs()}', *config.make,
            *(clang.make_words(tree.path) if config.llvm
              else build.compilers())]
    (folder / '.config').write_text(fragment(config.options))
    _make(tree, config, [*make, 'olddefconfig'])
    bad = lost(folder, (*config.options, *config.gives))
    if bad:
        return bad
    _make(tree, config, [*make, 'prepare'])
    checks.forget_objects(folder)
    done = proc.run_build([*make, 'W=1', f'{tiers.GRAFT}/'], tree.path)
    bad = checks.warnings_of(tree, done.stderr)
    if done.returncode and not bad:
        raise _broken(config, done.stdout + done.stderr)
    if not bad and not any((folder / tiers.GRAFT).glob('**/*.o')):
        return ['Nothing was compiled.']
    return bad


def _make(tree: Tree, config: Config, argv: List[str]) -> None:
    done = proc.run_build(argv, tree.path)
    if done.returncode:
        raise _broken(config, done.stdout + done.stderr)


def _broken(config: Config, said: str) -> ToolError:
    return ToolError(
        f'the configuration {config.name} could not be compiled; the last '
        'lines of make are below.',
        detail='\n'.join(said.splitlines()[-12:]))

