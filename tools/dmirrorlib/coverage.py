# SPDX-License-Identifier: GPL-2.0
"""The engine of the verb `coverage`: a tier's kernel that counts what it
executes, its suites, and lcov's files of what was counted.

The kernel's own gcov (CONFIG_GCOV_KERNEL) counts, in the files that are named
here and in no other. The counters come out over the console: an init of ours
prints debugfs' gcov directory once KUnit is done.
"""

from __future__ import annotations

import re
import shutil
from contextlib import _GeneratorContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Sequence, Set

from . import (cache, packages, proc, run, selftest_build,
               selftest_cpio as cpio, tiers, variants)
from .errors import ToolError
from .guest import Guest
from .source import Tree
from .tiers import GRAFT, Tier
from .verdict import Verdict

BASES = ('um-full', 'x86_64')
USER_SPACE = 'coverage'         # in the build directory, ours alone
INIT_SOURCE = Path(__file__).resolve().parents[1] / 'init' / 'gcov.c'

# Core mm's files that the suites are about, relative to the tree.
CORE = ('mm/hmm.c', 'mm/memremap.c', 'mm/migrate_device.c',
        'mm/mmu_notifier.c')
DRIVER = 'drivers/dmirror'      # ours, relative to the project

# In place of um-full's, which has lockdep.
_UM = f'{GRAFT}/kunit/coverage-um.kunitconfig'

_LINE = re.compile(r'^(?:\[ *[\d.]+\] )?# gcov: (/\S+\.gcda) ([0-9a-f]+)$')
_PROBLEM = re.compile(r'# gcov: problem: (.*)$')
_END = re.compile(r'# gcov: end (\d+)$')
_LCOV_TIMEOUT = 600.0           # seconds for one run of lcov
# Names of the same setting in lcov 1 and in lcov 2.
_BRANCHES = ('--rc', 'lcov_branch_coverage=1', '--rc', 'branch_coverage=1')


@dataclass(frozen=True)
class Counted:
    """What came out of one tier.

    tier: the base tier's name.
    result: the verdict on its suites.
    info: lcov's file, with names relative to the tree or the project.
    """
    tier: str
    result: Verdict
    info: Path


def driver_files() -> List[str]:
    """Return the driver's C files, relative to the project."""
    folder = run.PROJECT / DRIVER
    return [f'{DRIVER}/{path.name}' for path in sorted(folder.glob('*.c'))]


def make_options() -> List[str]:
    """Return the settings of make that choose what is counted.

    Core mm's objects are named by their file names alone: another one of the
    same name elsewhere in the tree counts as well, and is left out later.
    """
    return ['DMIRROR_GCOV=y',
            *(f'GCOV_PROFILE_{Path(name).stem}.o=y' for name in CORE)]


def coverage_tier(base: str) -> Tier:
    """Return the tier that counts.

    Args:
        base: one of BASES.
    """
    tier = tiers.get(base)
    own = tier.kunitconfigs if tier.machine else (_UM,)
    return replace(
        tier, name=f'{base}-coverage', hidden=True,
        kunitconfigs=(*own, f'{GRAFT}/kunit/coverage.kunitconfig'),
        make_options=tuple(make_options()), init_ends=True,
        skips_of=tier.skips_of or tier.name)


@contextmanager
def prepared(base: str, tree: Tree,
             opts: run.Options) -> Iterator['Session']:
    """Build a tier's kernel that counts, and keep it ours.

    Args:
        base: one of BASES.
        tree: the kernel tree.
        opts: the user's choices.

    Raises:
        ToolError: see run.run_tier.
    """
    tier = coverage_tier(base)
    packages.ensure([*tier.needs, 'coverage'])
    run.forget_orphans()
    tree = variants.tree_for(tier, tree, run.PROJECT)
    folder = run.build_dir(tier, tree)
    with cache.lock(f'build-{folder.name}', f'counting tier {base}'):
        session = Session(base, tier, tree, opts, folder)
        session.build()
        yield session


class Session(run.Session):
    """A kernel that counts, and how to boot it.

    Args:
        base: the name of the tier that it is made of.
        tier: from coverage_tier().
        tree: the kernel tree.
        opts: the user's choices.
        folder: the build directory.
    """

    def __init__(self, base: str, tier: Tier, tree: Tree, opts: run.Options,
                 folder: Path) -> None:
        self._base = base
        self._user_space = folder / USER_SPACE
        super().__init__(self._with_initramfs(tier), tree, opts, folder)

    def _with_initramfs(self, tier: Tier) -> Tier:
        if tier.machine is None:
            return tier     # see _guest()
        return replace(tier, machine=replace(
            tier.machine, args=(*tier.machine.args, '-initrd',
                                str(self._initramfs()))))

    def _initramfs(self) -> Path:
        return self._user_space / 'initramfs.cpio'

    def _guest(self, args: Sequence[str], console: Path,
               limit: float) -> '_GeneratorContextManager[Guest]':
        """Start a guest, also the one that only lists its cases."""
        if self.tier.machine is None:
            args = [*args, f'initrd={self._initramfs()}']
        return super()._guest(args, console, limit)

    def build(self) -> None:
        """Graft and build the kernel, then its user space."""
        super().build()
        self._user_space.mkdir(exist_ok=True)
        init = selftest_build.build_program(INIT_SOURCE, self._user_space)
        entries = [cpio.directory('dev'), cpio.directory('sys'),
                   cpio.char_device('dev/console', 5, 1),
                   cpio.program('init', init)]
        if self.tier.machine is None:
            # There a reboot would begin everything anew.
            entries.append(cpio.file('poweroff', b''))
        self._initramfs().write_bytes(cpio.archive(entries))

    def count(self) -> Counted:
        """Run the suites and take the counters.

        Raises:
            ToolError: there are none, or lcov cannot read them.
        """
        result = self.run()
        parts = []
        for number, console in enumerate(
                sorted(Path(result.folder).glob('console*.log'))):
            with open(console, encoding='utf-8',
                      errors='backslashreplace') as file:
                files = counters(file)
            if files:
                parts.append(self._capture(files, number))
        if not parts:
            raise ToolError(
                f'no counters came out of the {self._base} kernel: its '
                f'console is in {result.folder}; mend what ended it early.')
        info = self._user_space / 'all.info'
        combine(parts, info)
        return Counted(self._base, result, info)

    def _capture(self, files: Dict[str, bytes], number: int) -> Path:
        """Return lcov's file made of one boot's counters."""
        here = self._user_space / f'boot-{number}'
        shutil.rmtree(here, ignore_errors=True)
        for name, data in files.items():
            path = here / Path(name).relative_to(self.folder)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            notes = Path(name).with_suffix('.gcno')
            path.with_suffix('.gcno').symlink_to(notes)
        raw, info = here / 'raw.info', here / 'own.info'
        lcov(['--capture', '--directory', str(here), '--base-directory',
              str(self.folder), '--output-file', str(raw)])
        roots = [self.tree.path / GRAFT, run.PROJECT, self.tree.path]
        text = relative(raw.read_text(), roots, self.folder)
        info.write_text(text)
        return info


def counters(lines: Iterable[str]) -> Dict[str, bytes]:
    """Return the files of counters that a console holds, by name.

    Args:
        lines: the console.

    Raises:
        ToolError: the guest had a problem with them, or some are missing.
    """
    files: Dict[str, bytearray] = {}
    told = None
    for line in lines:
        line = line.rstrip('\r\n')
        if '# gcov: ' not in line:
            continue
        match = _LINE.match(line)
        if match:
            files.setdefault(match.group(1), bytearray()).extend(
                bytes.fromhex(match.group(2)))
            continue
        problem = _PROBLEM.search(line)
        if problem:
            raise ToolError('the guest could not read its counters '
                            f'({problem.group(1)}); its console has more.')
        end = _END.search(line)
        told = int(end.group(1)) if end else told
    if files and told != len(files):
        raise ToolError(f'{len(files)} files of counters came out of the '
                        f'guest, which told of {told}: run it again.')
    return {name: bytes(data) for name, data in files.items()}


def relative(text: str, roots: Sequence[Path], build: Path) -> str:
    """Return lcov's text with names that do not depend on where it was made.

    Only the files that are to be counted stay.

    Args:
        text: lcov's.
        roots: names are relative to the first of these that holds them.
        build: what names that are not absolute are relative to.
    """
    wanted: Set[str] = {*CORE, *driver_files()}
    kept: List[str] = []
    for record in text.split('end_of_record\n'):
        match = re.search(r'^SF:(.*)$', record, re.M)
        if not match:
            continue
        path = build / match.group(1)
        names = [str(path)[len(str(root)) + 1:] for root in roots
                 if str(path).startswith(f'{root}/')]
        if not names or names[0] not in wanted:
            continue
        kept.append(record.replace(match.group(0), f'SF:{names[0]}', 1))
    return ''.join(f'{record}end_of_record\n' for record in kept)


def lcov(words: Sequence[str]) -> None:
    """Run lcov.

    Args:
        words: its arguments.

    Raises:
        ToolError: it failed.
    """
    done = proc.run(['lcov', '--quiet', *_BRANCHES, *words],
                    timeout=_LCOV_TIMEOUT)
    if done.returncode:
        raise ToolError('lcov failed; what it said is below.',
                        detail=done.stderr.strip())


def combine(infos: Sequence[Path], out: Path) -> None:
    """Add lcov's files up.

    Args:
        infos: the files.
        out: where to put the sum.

    Raises:
        ToolError: lcov failed.
    """
    if len(infos) == 1:
        shutil.copyfile(infos[0], out)
        return
    words = [word for info in infos for word in ('--add-tracefile', str(info))]
    lcov([*words, '--output-file', str(out)])


def html(info: Path, tree: Tree, folder: Path) -> Path:
    """Make pages that show the sources with their counts.

    Args:
        info: lcov's file.
        tree: the kernel tree.
        folder: where to put them.

    Returns:
        The page to open.

    Raises:
        ToolError: genhtml failed.
    """
    text = re.sub(r'^SF:(.*)$', lambda m: 'SF:' + str(
        (run.PROJECT if m.group(1).startswith(DRIVER) else tree.path)
        / m.group(1)), info.read_text(), flags=re.M)
    full = folder / 'full.info'
    folder.mkdir(parents=True, exist_ok=True)
    full.write_text(text)
    done = proc.run(['genhtml', '--quiet', *_BRANCHES, '--output-directory',
                     str(folder), str(full)], timeout=_LCOV_TIMEOUT)
    if done.returncode:
        raise ToolError('genhtml failed; what it said is below.',
                        detail=done.stderr.strip())
    return folder / 'index.html'
