# SPDX-License-Identifier: GPL-2.0
"""Kernels that are built, kept and run side by side, until it is known what
differs between them.

All kernels are built first, one after the other, in as few object trees as
there are source trees: a change costs what depends on it. What boots is copied
aside, so that any of them can be run at any time. The runs take turns, with
the same seeds on each side, so that a machine that is busy for a while is busy
for both.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Sequence

from . import cache, compare, packages, run, say, store
from .errors import EXIT_USAGE, ToolError
from .rundir import RunDir
from .source import Tree
from .tiers import Tier

CONFIRM = 3         # runs of each side before a difference is believed
CONFIRM_DEAD = 2    # the same where the guest dies, which costs a minute
UNSURE = 20         # runs of each side of what fails now and then
UNSURE_DEAD = 6
SCARCE = 1 << 20    # bytes; a disk with less is full
MANY = 8            # so many cases are run again all together
ROUNDS = 40
SETTLE = 900.0      # seconds for all runs that are done again

_FULL = re.compile(r'No space left|Disk quota exceeded')
_MACHINE = re.compile(r'\bKilled\b|Cannot allocate memory|Input/output error|'
                      r'virtual memory exhausted|Segmentation fault')


@dataclass
class Kernel:
    """One kernel of one tier.

    session: what runs it; None if there is none because of `error`.
    stage: 'build' or 'boot', where the error came up.
    runs: of all cases; alone: of single ones, later.
    """
    tier: Tier
    session: Optional[run.Session] = None
    error: Optional[ToolError] = None
    stage: str = ''
    runs: List[store.Run] = field(default_factory=list)
    alone: List[store.Run] = field(default_factory=list)


@dataclass
class Point:
    """A state of the kernel's source.

    label: its folder's name: 'base', 'head', 'patch-2'.
    name: what the user called it.
    about: what it is: a commit and its subject, or a directory.
    tree: makes it be there for a tier and returns it; until the next point's
        is called.
    version: the kernel's, '' if not known yet.
    kernels: by tier.
    """
    label: str
    name: str
    about: str
    tree: Callable[[Tier], Tree]
    version: str = ''
    kernels: Dict[str, Kernel] = field(default_factory=dict)


@dataclass
class Settings:
    """What a user may choose for a trial.

    tiers, opts: what is run and how; opts.seed is the first run's.
    runs: of each kernel.
    again: repeat what differs until it is certain.
    """
    tiers: Sequence[Tier]
    opts: run.Options
    runs: int = 1
    again: bool = True


class Trial:
    """Builds points, runs them and compares; use it in a `with` statement.

    Args:
        verb: what the folder with all results is called.
        settings: the user's choices.
    """

    def __init__(self, verb: str, settings: Settings) -> None:
        self.settings = settings
        self.folder = RunDir(verb).path
        self.seeds = _seeds(settings.opts.seed, settings.runs)
        self.seconds_again = 0.0
        self._verb = verb
        self._kernels: Optional[Path] = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> 'Trial':
        for tier in self.settings.tiers:
            packages.ensure(tier.needs)
        self._kernels = self._stack.enter_context(_kernels_folder())
        return self

    def __exit__(self, *unused: object) -> None:
        self._stack.close()

    def build(self, point: Point) -> None:
        """Build a point's kernels of all tiers, and see that they boot.

        A failure is the kernel's error.

        Raises:
            ToolError: it is not the point's fault (the filter, the disk).
        """
        assert self._kernels is not None
        for tier in self.settings.tiers:
            kernel = point.kernels[tier.name] = Kernel(tier, stage='build')
            say.say(f'{point.label}: {point.about}')
            try:
                tree = point.tree(tier)
                point.version = tree.version
                with run.prepared(tier, tree, self.settings.opts) as built:
                    kernel.session = built.keep(
                        self._kernels / point.label / tier.name)
                    kernel.stage = 'boot'
                    kernel.session.chosen()
            except cache.DiskError:
                raise
            except ToolError as err:
                if err.code == EXIT_USAGE:
                    raise
                self._blame(kernel, err)
                kernel.session = None
                kernel.error = self._kept(point, kernel, err)
                say.warn(f'{point.label}: {kernel.error.message}')

    def builds(self, point: Point, tier: Tier) -> bool:
        """Return whether a point's kernel can be built; it is not kept."""
        say.say(f'{point.name}: {point.about}')
        try:
            with run.prepared(tier, point.tree(tier), self.settings.opts):
                return True
        except cache.DiskError:
            raise
        except ToolError as err:
            self._blame(Kernel(tier, stage='build'), err)
            return False

    @staticmethod
    def _blame(kernel: Kernel, err: ToolError) -> None:
        """Raise an error again that is the machine's fault, not the
        kernel's."""
        if kernel.stage != 'build':
            return
        if _FULL.search(err.detail) or \
                cache.free_bytes(cache.root()) < SCARCE:
            raise cache.disk_full('building a kernel') from err
        if _MACHINE.search(err.detail):
            raise ToolError(
                'the machine, not the kernel, made a build fail (too little '
                'memory, or a broken disk): mend that and try again, --jobs 1 '
                'needs the least.', err.code, err.detail) from err

    def _kept(self, point: Point, kernel: Kernel,
              err: ToolError) -> ToolError:
        """Keep the log that an error names; return the error with its new
        place."""
        match = re.search(r'/\S+/(list\.log|build\.log)', err.message)
        if not match or not Path(match.group()).is_file():
            return err
        place = self.folder / point.label / \
            f'{kernel.tier.name}-{match.group(1)}'
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(match.group(), place)
        return ToolError(err.message.replace(match.group(), str(place)),
                         err.code, err.detail)

    def run(self, points: Sequence[Point]) -> None:
        """Run all kernels of points, the chosen number of times each."""
        for number, seed in enumerate(self.seeds, 1):
            for tier in self.settings.tiers:
                for point in points:
                    self._once(point, tier, number, seed)

    def _once(self, point: Point, tier: Tier, number: int,
              seed: int) -> None:
        kernel = point.kernels[tier.name]
        if kernel.session is None:
            return
        kernel.session.opts = replace(self.settings.opts, seed=seed)
        kernel.session.into = (self.folder / point.label
                               / f'{tier.name}-{number}')
        result = kernel.session.run()
        kernel.runs.append(store.from_data(result.data))
        say.say(f'{point.label} {number}/{max(len(self.seeds), number)}: '
                f'{result.summary()}')

    def difference(self, base: Point, head: Point) -> compare.Comparison:
        """Compare two points; run again what differs until it is certain.

        Returns:
            The comparison of all tiers that both have a kernel of.
        """
        parts = []
        for tier in self.settings.tiers:
            one, two = base.kernels[tier.name], head.kernels[tier.name]
            if one.session is None or two.session is None:
                continue
            parts.append(self._settle(base, head, tier))
        whole = compare.Comparison([])
        for part in parts:
            whole.rows += part.rows
            whole.splats += part.splats
            whole.slower += part.slower
            whole.same += part.same
        return whole

    def _settle(self, base: Point, head: Point,
                tier: Tier) -> compare.Comparison:
        one, two = base.kernels[tier.name], head.kernels[tier.name]
        began = time.monotonic()
        for _ in range(ROUNDS):
            found = compare.compare(one.runs, two.runs, one.alone, two.alone)
            todo = [row for row in found.rows if unsettled(row)]
            spent = self.seconds_again + time.monotonic() - began
            if not todo or not self.settings.again or spent > SETTLE:
                break
            self._again(base, head, tier, todo)
        self.seconds_again += time.monotonic() - began
        return found

    def _again(self, base: Point, head: Point, tier: Tier,
               rows: Sequence[compare.Row]) -> None:
        """Run once more, on both sides, what a few rows are about."""
        cases = list(dict.fromkeys(r.key.partition('[')[0] for r in rows))
        together = (len(cases) > MANY or any(map(compare.general, cases))
                    or all(r.remark for r in rows))
        if together:
            say.say(f'{len(cases)} differences: running everything again')
            number = 1 + max(len(base.kernels[tier.name].runs),
                             len(head.kernels[tier.name].runs))
            seed = self.seeds[0] + number - 1
            for point in (base, head):
                self._once(point, tier, number, seed)
            return
        for row in rows:
            if row.remark or '[' in row.key and row.key.partition('[')[0] in \
                    (r.key for r in rows):
                continue
            case = row.key.partition('[')[0]
            for point in (base, head):
                self._alone(point, tier, case, _seed_of(row, self.seeds[0]))

    def _alone(self, point: Point, tier: Tier, case: str,
               seed: int) -> None:
        kernel = point.kernels[tier.name]
        assert kernel.session is not None
        kernel.session.opts = replace(self.settings.opts, seed=seed,
                                      glob=case)
        number = 1 + sum(case in r.versions.get('filter', '')
                         for r in kernel.alone)
        kernel.session.into = (self.folder / point.label
                               / f'{tier.name}-{case}-{number}')
        result = kernel.session.run()
        kernel.alone.append(store.from_data(result.data))
        say.note(f'{point.label}: {case} again: {result.summary()}')


def unsettled(row: compare.Row) -> bool:
    """Return whether more runs would tell more about a row."""
    if row.change not in (compare.WORSE, compare.FIXED, compare.FLAKY):
        return False
    words = {o.word for o in [*row.base, *row.head]}
    if words <= {'not run', 'pass'} and 'not run' in words:
        return False    # because others died; nothing is to be learned
    dead = bool(words & {'hang', 'crash'})
    if row.change == compare.FLAKY:
        want = UNSURE_DEAD if dead else UNSURE
    else:
        want = CONFIRM_DEAD if dead else CONFIRM
    if words & set(compare.IDLE):
        return False
    return min(row.fails(False)[1], row.fails(True)[1]) < want


def _seed_of(row: compare.Row, other: int) -> int:
    """Return the seed of a run in which the case did badly."""
    bad = [o.seed for o in [*row.head, *row.base]
           if o.severity and o.seed.isdigit()]
    return int(bad[0]) if bad else other


def _seeds(first: Optional[int], runs: int) -> List[int]:
    """Return the seeds of a number of runs, above 0."""
    first = first or 1 + secrets.randbelow(1 << 31)
    return [first + i for i in range(runs)]


@contextlib.contextmanager
def _kernels_folder() -> Iterator[Path]:
    """Yield a new directory for kernels, which is gone afterwards.

    There is one for all, under a lock: two trials at a time would only
    disturb each other, and what a killed one left is removed by the next.
    """
    folder = cache.sub('build') / 'trial-kernels'
    with cache.lock('trial', 'comparing kernels'):
        shutil.rmtree(folder, ignore_errors=True)
        with cache.explain(f'creating {folder}'):
            folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
