# SPDX-License-Identifier: GPL-2.0
"""The engine: from a tier and a tree to a verdict."""

from __future__ import annotations

import hashlib
import json
import math
import platform
import shutil
import subprocess
import tempfile
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import (IO, Deque, Dict, Iterator, List,
                    Optional, Sequence, Tuple)

from . import (accel, build, cache, graft, known, ktap, packages, patches,
               proc, say, tiers, variants, verdict)
from .errors import ToolError
from .guest import End, Guest, Line, qemu_argv, uml_argv, uml_env
from .rundir import RunDir
from .source import Tree, tree_lock
from .tiers import Tier

PROJECT = Path(__file__).resolve().parents[2]
OWNER_FILE = '.dmirror-project'     # in a build directory: whose it is
PLAN_FILE = '.dmirror-plan.json'    # and its kernel's cases
STALLED = 4.0       # times the silence allowed without a result: KUnit gives
                    # a very slow case three times
SHUTDOWN = 15.0     # seconds of silence allowed once the tests are complete
TRIAL = 'trial'     # how the names of trees begin that gittree.py makes
MAX_DEAD = 12       # guests that may die before the rest is given up
MAX_BOOTS = 150

# The reason of cases that run on a tree with the patches of tier um-full.
PATCHED_BUG = 'known kernel bug: arch/um'

PlanList = List[Tuple[str, str]]


@dataclass
class Options:
    """What a user may choose for a run.

    glob: the filter, 'suite' or 'suite.case'; '' for all.
    fast: without the cases that are marked slow.
    accel: see accel.choose.
    timeout: seconds for all boots of the tier; None is the tier's own.
    silence: seconds without a console byte; None is the tier's own.
    seed: for the suites' random numbers; None lets them choose.
    jobs: of make; 0 is one per processor.
    kernel_args, kconfig_add: further ones.
    graft: a user's tree may be grafted.
    live: where results are shown as they come; None shows nothing.
    """
    glob: str = ''
    fast: bool = False
    accel: str = 'auto'
    timeout: Optional[float] = None
    silence: Optional[float] = None
    seed: Optional[int] = None
    jobs: int = 0
    kernel_args: List[str] = field(default_factory=list)
    kconfig_add: List[str] = field(default_factory=list)
    graft: bool = False
    live: Optional[IO[str]] = None

    @property
    def partial(self) -> bool:
        """Whether a run is not of all cases."""
        return bool(self.glob) or self.fast

    @property
    def filters(self) -> List[str]:
        """The arguments of KUnit that leave cases out by what they are."""
        return ['kunit.filter=speed>slow'] if self.fast else []


def run_tier(tier: Tier, tree: Tree, opts: Options) -> verdict.Verdict:
    """Build, boot and judge one tier once.

    Args:
        tier: the tier.
        tree: the kernel tree.
        opts: the user's choices.

    Raises:
        ToolError: there can be no verdict (graft, build or boot failed).
        UsageError: the filter matches nothing.
    """
    packages.ensure(tier.needs)
    with prepared(tier, tree, opts) as session:
        return session.run()


@contextmanager
def prepared(tier: Tier, tree: Tree, opts: Options) -> Iterator['Session']:
    """Build a tier's kernel and keep it ours, to be run any number of times.

    Where the tier needs patches, that is from the tree's patched variant.

    Args, Raises: see run_tier.
    """
    forget_orphans()
    tree = variants.tree_for(tier, tree, PROJECT)
    folder = build_dir(tier, tree)
    with cache.lock(f'build-{folder.name}', f'running tier {tier.name}'):
        begin_as_another(tier, tree, folder)
        session = Session(tier, tree, opts, folder)
        session.build()
        yield session


def begin_as_another(tier: Tier, tree: Tree, folder: Path) -> None:
    """Fill a tier's new build directory with the objects of a similar one.

    kbuild then compiles only what looks at the options that differ. Nothing
    happens where there is a build already, or nothing to begin with.

    Args:
        tier: the tier that is to be built.
        tree: the tree that it is built from.
        folder: its build directory, which the caller has locked.
    """
    if not tier.begins_as or folder.exists():
        return
    similar = build_dir(tiers.get(tier.begins_as), tree)
    if not (similar / '.config').exists():
        return
    with cache.lock(f'build-{similar.name}', f'copying it to {tier.name}'), \
            cache.publish(folder, f'copying {similar}') as copy:
        # With the files' times, by which kbuild tells what is old.
        shutil.copytree(similar, copy, symlinks=True, dirs_exist_ok=True)


def build_dir(tier: Tier, tree: Tree) -> Path:
    """Return the build directory of a tier for this project and tree.

    A tree of the cache that shows one revision after the other has one for
    all of them, whatever their versions.
    """
    both = f'{PROJECT}\n{tree.path}'.encode()
    digest = hashlib.sha256(both).hexdigest()[:10]
    name = TRIAL if tree.path.name.startswith(f'{TRIAL}-') else tree.version
    return cache.sub('build') / f'{name}-{tier.name}-{digest}'


def forget_orphans() -> None:
    """Remove the build directories of projects that no longer exist."""
    for folder in cache.sub('build').iterdir():
        try:
            owner = (folder / OWNER_FILE).read_text().strip()
        except OSError:
            continue
        if owner and not Path(owner).is_dir():
            say.note(f'removing {folder}: its project {owner} is gone')
            shutil.rmtree(folder, ignore_errors=True)


def ensure_graft(tree: Tree, allowed: bool) -> None:
    """Make sure that the project is part of the tree.

    Args:
        tree: the tree; a cached one is grafted without asking.
        allowed: the user wants his tree grafted.

    Raises:
        ToolError: it is a user's tree and he did not say so.
    """
    there = graft.grafted_to(tree.path)
    if there is not None and there.resolve() == PROJECT:
        return
    if tree.owned:
        graft.graft(tree.path, PROJECT, repoint=True)
        return
    if allowed:
        graft.graft(tree.path, PROJECT, repoint=there is not None)
        return
    state = (f'holds the graft of another copy ({there})' if there
             else 'holds a part of a graft only' if graft.half_done(tree.path)
             else 'is not grafted')
    raise ToolError(f'the tree {tree.path} is yours and {state}: run '
                    f'"tools/dmirror graft {tree.path}" first, or add '
                    '--graft.')


def kernel_arguments(tier: Tier, opts: Options) -> List[str]:
    """Return the kernel arguments of all boots of a run.

    KUnit's own limit per case is a quarter of the watchdog's silence: so it
    comes first, also for a case marked slow, which gets three times as long.
    """
    silence = opts.silence or tier.silence
    args = ['kunit.enable=1', f'kunit.timeout={max(1, int(silence / 4))}',
            *tier.kernel_args, *opts.filters]
    if opts.seed is not None:
        args.append(f'dmirror_fixture.seed={opts.seed}')
    return args + opts.kernel_args


class Session:
    """A tier's kernel and how to boot it.

    Args:
        tier: the tier.
        tree: the kernel tree.
        opts: the user's choices.
        folder: the build directory.

    into: where the next run leaves its folder; None is the cache.
    apart: suites that are not in the counts of the verdict.
    """

    apart: Sequence[str] = ()

    def __init__(self, tier: Tier, tree: Tree, opts: Options,
                 folder: Path) -> None:
        self.into: Optional[Path] = None
        self.tier = tier
        self.tree = tree
        self.opts = opts
        self.folder = folder
        self._accel = 'none (UML)'
        self._began = time.monotonic()
        self._parser: Optional[ktap.Parser] = None
        self._commands = len(proc.command_log())
        self._setup: Optional[List[str]] = None     # to build and list
        self._tree_state = ''
        self._tree_patches = ''

    def build(self) -> None:
        """Graft and build."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / OWNER_FILE).write_text(f'{PROJECT}\n')
        if self.tier.machine:
            chosen = accel.choose(self.opts.accel)
            if chosen.accel == 'tcg' and self.opts.accel == 'auto':
                say.say(chosen.reason)
            self._accel = chosen.accel
        with tree_lock(self.tree):
            ensure_graft(self.tree, self.opts.graft)
            seconds = build.build_kernel(
                self.tree.path, self.folder, self.tier,
                self.opts.jobs or build.default_jobs(),
                self.opts.kconfig_add)
        say.say(f'{self.tier.name}: Linux {self.release()} built in '
                f'{seconds:.1f} s')
        self._parser = ktap.Parser(self.tree.path)

    def keep(self, folder: Path) -> 'Session':
        """Keep the kernel that was built, whatever is built there next.

        Args:
            folder: a new directory that gets what a run needs.

        Returns:
            A session of that kernel, which cannot build.
        """
        folder.mkdir(parents=True)
        for name in (self.tier.image, '.config', 'build.log',
                     'include/config/kernel.release'):
            if (self.folder / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(self.folder / name, folder / name)
        kept = Session(self.tier, self.tree, self.opts, folder)
        kept._accel = self._accel
        kept._parser = self._parser
        kept._setup = proc.command_log()[self._commands:]
        kept._tree_state = _tree_state(self.tree)
        kept._tree_patches = variants.describe(self.tree, PROJECT)
        return kept

    def release(self) -> str:
        """Return the kernel's release, or the tree's version."""
        try:
            path = self.folder / 'include' / 'config' / 'kernel.release'
            return path.read_text().strip()
        except OSError:
            return self.tree.version

    def plan(self) -> PlanList:
        """Return all cases of the kernel, by asking it (kunit.action=list).

        Raises:
            ToolError: it does not boot, or lists none.
        """
        image = self.folder / self.tier.image
        digest = hashlib.sha256(image.read_bytes()).hexdigest()
        digest += ''.join(self.opts.filters)
        saved = self.folder / PLAN_FILE
        try:
            data = json.loads(saved.read_text())
            if data['image'] == digest:
                return [(str(s), str(c)) for s, c in data['plan']]
        except (OSError, ValueError, KeyError, TypeError):
            pass    # not asked yet
        console = self.folder / 'list.log'
        with self._guest(['kunit.enable=1', 'kunit.action=list',
                          *self.opts.filters], console,
                         self._limit()) as guest:
            lines = [line.text for line in guest.lines()]
        plan = ktap.listed(lines)
        whole = (guest.end.why == 'exit' and guest.end.code == 0
                 and verdict.shut_down(lines))
        if not plan or not whole:
            tail = [text for text in lines if text.strip()][-12:]
            if ktap.walk(lines).started and whole:
                raise ToolError(
                    f'the {self.tier.name} kernel has no KUnit cases: enable '
                    'a suite in '
                    f'{", ".join(self.tier.kunitconfigs)}.')
            raise ToolError(
                f'the {self.tier.name} kernel did not list all of its cases: '
                f'the guest {guest.end.sentence()}'
                f'{"" if verdict.shut_down(lines) else " without a shutdown"}'
                f'; its console is in {console}, try again or mend the boot.',
                detail='\n'.join(tail))
        saved.write_text(json.dumps({'image': digest, 'plan': plan}))
        return plan

    def chosen(self) -> PlanList:
        """Return the cases that the filter chooses.

        Raises:
            UsageError: it chooses none.
            ToolError: see plan.
        """
        return verdict.check_filter(self.plan(), self.opts.glob)

    def expected_skips(self) -> Dict[str, str]:
        """Return the recorded skips of the tier, those of the kernel's version
        on every tier, and those of the two together, with their reasons."""
        folder = PROJECT / 'kunit/skips'
        version = '.'.join(self.tree.version.split('.')[:2])
        tier = PROJECT / self.tier.skips
        skips: Dict[str, str] = {}
        for path in (tier, folder / f'linux-{version}.txt',
                     folder / f'linux-{version}-{tier.name}'):
            skips.update(verdict.read_skips(path))
        if patches.recorded(self.tree.path):
            # This runs there.
            skips = {key: reason for key, reason in skips.items()
                     if not reason.startswith(PATCHED_BUG)}
        return skips

    def known_failures(self) -> Dict[str, known.Known]:
        """Return the failures that are known of this kernel's version."""
        return known.read(PROJECT / known.FILE, self.tree.version)

    def run(self) -> verdict.Verdict:
        """Boot, as often as needed, and judge.

        Returns:
            The verdict; its data and folder are those of the run folder.
        """
        # The first run of a session counts its build.
        began = self._began if self._setup is None else time.monotonic()
        tier = self.tier
        chosen = self.chosen()
        expected = self.expected_skips()
        if self._setup is None:
            self._setup = proc.command_log()[self._commands:]
        run_folder = RunDir(tier.name, self._setup, self.into)
        run_folder.keep(self.folder / '.config', 'config')
        run_folder.keep(self.folder / 'build.log', 'build.log')
        try:
            boots = self._boots(chosen, run_folder)
        finally:
            run_folder.write_commands()
        result = verdict.judge(tier.name, chosen, boots, expected,
                               self.opts.partial, tier.skips,
                               known=self.known_failures(),
                               apart=self.apart)
        result.seconds = time.monotonic() - began
        result.folder = str(run_folder.path)
        result.data = run_folder.write_results(result,
                                               self._versions(boots))
        self._began = time.monotonic()
        return result

    def _limit(self) -> float:
        return self.opts.timeout or self.tier.limit

    @contextmanager
    def _guest(self, args: Sequence[str], console: Path,
               limit: float) -> Iterator[Guest]:
        """Start a guest; it is gone when the context ends."""
        silence = self.opts.silence or self.tier.silence
        with tempfile.TemporaryDirectory(prefix='dmirror-') as scratch:
            if self.tier.machine:
                argv = qemu_argv(self.folder, self.tier, args, self._accel)
                env: Dict[str, str] = {}
            else:
                argv = uml_argv(self.folder, self.tier, args, Path(scratch))
                env = uml_env()
            with Guest(argv, console, silence, limit, env) as guest:
                yield guest

    def _boots(self, plan: PlanList, folder: RunDir) -> List[verdict.Boot]:
        """Boot for all of a plan; where a guest dies, again for the rest."""
        boots: List[verdict.Boot] = []
        queue: Deque[Tuple[str, PlanList]] = deque([(self.opts.glob, plan)])
        end_at = time.monotonic() + self._limit()
        dead = 0
        while queue:
            left = end_at - time.monotonic()
            if boots and (left <= 0 or dead >= MAX_DEAD
                          or len(boots) >= MAX_BOOTS):
                why = (f'the limit of {self._limit():g} s was used up'
                       if left <= 0 else f'{dead} guests had died before')
                give_up(boots[-1], [p for _, part in queue for p in part],
                        why)
                break
            glob, part = queue.popleft()
            boot = self._boot(glob, part, folder.console(), left)
            boots.append(boot)
            if boot.complete or not boot.started:
                continue
            dead += 1
            rest = remaining(boot, self.opts.glob)
            self._tell(boot, sum(len(p) for _, p in rest))
            queue.extend(rest)
        self._shift_blame(boots, folder, end_at)
        return boots

    def _shift_blame(self, boots: List[verdict.Boot], folder: RunDir,
                     end_at: float) -> None:
        """Blame the case that hung, not the one before it.

        The last result before a hang does not always reach the console of
        User Mode Linux, and then that case seems to have hung. Where the next
        one hung when it ran alone, the first one is run alone, too.

        Args:
            boots: what there was; gets the further boots.
            folder: of the run.
            end_at: when all boots have to be over.
        """
        hung = {boot.plan[0] for boot in boots if len(boot.plan) == 1
                and any(c.status in ('crash', 'hang') for c in boot.cases)}
        for boot in list(boots):
            culprit = next((c for c in boot.cases if c.status == 'hang'
                            and (c.suite, c.name) in boot.plan), None)
            left = end_at - time.monotonic()
            if culprit is None or left <= 0:
                continue
            pair = culprit.suite, culprit.name
            after = [*boot.plan, ('', '')][list(boot.plan).index(pair) + 1]
            if after not in hung or after[0] != pair[0]:
                continue
            again = self._boot('.'.join(pair), [pair], folder.console(), left)
            boots.append(again)
            if any(c.status in ('pass', 'skip') and not c.param
                   and (c.suite, c.name) == pair for c in again.cases):
                say.say(f'{culprit.key} is fine when it runs alone: what '
                        f'hung is {".".join(after)}')
                culprit.name = after[1]
                for one in boot.splats:
                    if (one.suite, one.case) == pair:
                        one.case = after[1]

    def _tell(self, boot: verdict.Boot, rest: int) -> None:
        for case in boot.cases:
            if case.status in ('crash', 'hang'):
                word = 'hung' if case.status == 'hang' else 'crashed'
                say.warn(f'{case.key} {word}: {case.reason}')
        if rest:
            say.say(f'booting again for the remaining {rest} cases')

    def _boot(self, glob: str, plan: PlanList, console: Path,
              limit: float) -> verdict.Boot:
        """Boot once and read the results as they come."""
        assert self._parser is not None, 'build() comes first'
        args = kernel_arguments(self.tier, self.opts)
        if glob:
            args.append(f'kunit.filter_glob={glob}')
        seen: List[Line] = []
        with self._guest(args, console, limit) as guest:
            silence = self.opts.silence or self.tier.silence
            report = read_live(self._parser, guest, seen, self.opts.live,
                               STALLED * silence)
            end: End = guest.end
        return verdict.examine(plan, [s.text for s in seen],
                               [s.at for s in seen], report, end,
                               console.name)

    def _versions(self, boots: Sequence[verdict.Boot]) -> Dict[str, str]:
        """Return what the outcome may depend on."""
        seeds = list(dict.fromkeys(s for b in boots for s in b.seeds))
        compiler = build.config_value(self.folder, 'CONFIG_CC_VERSION_TEXT')
        if not self._tree_state:
            self._tree_state = _tree_state(self.tree)
        found = {
            'kernel': self.release(),
            'tree': str(self.tree.path),
            'tree revision': self._tree_state,
            'tree patches': self._tree_patches
                            or variants.describe(self.tree, PROJECT),
            'tier': self.tier.name,
            'compiler': (compiler or 'not known').strip('"'),
            'accelerator': self._accel,
            'python': platform.python_version(),
            'host': f'{platform.system()} {platform.release()} '
                    f'{platform.machine()}',
            'project': _revision(PROJECT),
            'seed': ', '.join(seeds) or 'no suite told one',
            'filter': self.opts.glob,
            'kconfig_add': ' '.join(self.opts.kconfig_add),
            'kernel arguments': ' '.join(kernel_arguments(self.tier,
                                                          self.opts)),
        }
        if self.tier.machine:
            found['qemu'] = _first_line([self.tier.machine.qemu,
                                         '--version'])
        return found


def read_live(parser: ktap.Parser, guest: Guest, seen: List[Line],
              live: Optional[IO[str]],
              stalled: float = math.inf) -> ktap.Report:
    """Feed a guest's console to the parser, then wait for the guest's end.

    Args:
        parser: the tree's parser.
        guest: the guest.
        seen: gets the console's lines.
        live: where the parser's printer prints; None for nowhere.
        stalled: seconds of talk without a result after which it is ended.
    """
    stream = _remember(guest, seen, stalled)
    report = parser.parse((line.text for line in stream), live)
    # The parser stops where the tests are complete; what the kernel says
    # afterwards counts too, and it must end.
    guest.hurry(SHUTDOWN)
    for _ in stream:
        pass
    return report


def _remember(guest: Guest, seen: List[Line],
              stalled: float) -> Iterator[Line]:
    last = 0.0
    for line in guest.lines():
        seen.append(line)
        if ktap.progress(line.text):
            last = line.at
        elif line.at - last > stalled:
            guest.stalled(stalled)
        yield line


def remaining(boot: verdict.Boot, glob: str) -> List[Tuple[str, PlanList]]:
    """Return what to boot for after a guest died: filters with their cases.

    The suite that it died in is run case by case, the others as they are.

    Args:
        boot: the boot in which it died.
        glob: the user's filter.
    """
    missing = boot.missing()
    broken = {c.suite for c in boot.cases if c.status in ('crash', 'hang')}
    rest: List[Tuple[str, PlanList]] = []
    suites: Dict[str, PlanList] = {}
    for suite, case in missing:
        if suite in broken:
            rest.append((f'{suite}.{case}', [(suite, case)]))
        else:
            suites.setdefault(suite, []).append((suite, case))
    _, dot, case_glob = glob.partition('.')
    for suite, part in suites.items():
        rest.append((f'{suite}{dot}{case_glob}', part))
    return rest


def give_up(boot: verdict.Boot, plan: PlanList, why: str) -> None:
    """Record that cases were not tried.

    Args:
        boot: the last boot.
        plan: the cases.
        why: the reason, half a sentence.
    """
    boot.cases += [ktap.Case(suite, name, '', 'missing', why)
                   for suite, name in plan]
    boot.plan = [*boot.plan, *(p for p in plan if p not in boot.plan)]


def _first_line(argv: Sequence[str]) -> str:
    try:
        done = proc.run(argv, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return 'not found'
    return done.stdout.split('\n', 1)[0]


def _tree_state(tree: Tree) -> str:
    """Return the revision of a kernel tree in git."""
    if not (tree.path / '.git').exists():
        return 'not in git'
    # The graft's two lines say nothing about the kernel.
    return _revision(tree.path, '--untracked-files=no', '--', '.',
                     ':!drivers/Kconfig', ':!drivers/Makefile')


def _revision(folder: Path, *which: str) -> str:
    """Return a folder's git revision, and whether files differ.

    Args:
        folder: the folder.
        which: arguments for git status: the files that count.
    """
    git = ['git', '-C', str(folder)]
    try:
        head = proc.run([*git, 'rev-parse', 'HEAD'], timeout=20)
        state = proc.run([*git, 'status', '--porcelain', *which], timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return 'git did not answer'
    name = head.stdout.strip() if head.returncode == 0 else 'no commit'
    return name + (' (dirty)' if state.stdout.strip() else '')
