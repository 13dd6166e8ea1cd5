# SPDX-License-Identifier: GPL-2.0
"""Running suites that are modules: a guest whose init loads them, and with
that runs them, unloads all, looks for what is left, and does it again.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Tuple

from . import (cache, modules_tap, run, selftest, selftest_build,
               variants, verdict)
from .errors import ToolError
from .guest import Line
from .rundir import RunDir
from .selftest_build import Module
from .source import Tree
from .tiers import Tier
from .verdict import Boot

ROUNDS = 2              # how often all modules are loaded
PLAN_FILE = '.dmirror-modules.json'     # in the build directory


@contextmanager
def prepared(tier: Tier, tree: Tree,
             opts: run.Options) -> Iterator['Session']:
    """Build a tier of modules and keep it ours, to be run several times.

    Args, Raises: see run.run_tier.
    """
    run.forget_orphans()
    tree = variants.tree_for(tier, tree, run.PROJECT)
    folder = run.build_dir(tier, tree)
    with cache.lock(f'build-{folder.name}', f'running tier {tier.name}'):
        session = Session(tier, tree, opts, folder)
        session.build()
        yield session


class Session(run.Session):
    """A kernel that loads suites, and how to boot it.

    Args:
        tier: a tier with modules.
        tree: the kernel tree.
        opts: the user's choices.
        folder: the build directory.
    """

    def __init__(self, tier: Tier, tree: Tree, opts: run.Options,
                 folder: Path) -> None:
        super().__init__(selftest.with_initramfs(tier, folder), tree, opts,
                         folder)
        self._init = folder / selftest.USER_SPACE / 'init'

    def build(self) -> None:
        """Graft and build the kernel, its modules, and the init."""
        super().build()
        for path in self._files():
            if not path.is_file():
                raise ToolError(f'the kernel was built without {path}: its '
                                'option is not =m; correct the kunitconfig.')
        self._init.parent.mkdir(exist_ok=True)
        self._init = selftest_build.build_init(self._init.parent)

    def plan(self) -> run.PlanList:
        """Return all cases of the modules, by loading them to be listed.

        Raises:
            ToolError: the kernel does not boot, or lists none.
        """
        return [(suite, case) for suite, case, _ in self._listed()]

    def _files(self) -> List[Path]:
        return [self.folder / path for path in self.tier.modules]

    def _listed(self) -> List[Tuple[str, str, str]]:
        """Return all cases, as (suite, case, module)."""
        digest = hashlib.sha256()
        for path in (self.folder / self.tier.image, *self._files()):
            digest.update(path.read_bytes())
        digest.update(''.join(self.opts.filters).encode())
        saved = self.folder / PLAN_FILE
        try:
            data = json.loads(saved.read_text())
            if data['image'] == digest.hexdigest():
                return [(str(s), str(c), str(m)) for s, c, m in data['plan']]
        except (OSError, ValueError, KeyError, TypeError):
            pass    # not asked yet
        console = self.folder / 'list.log'
        lines: List[str] = []
        with self._guest(self._load(['kunit.action=list'], 1), console,
                         self._limit()) as guest:
            lines += [line.text for line in guest.lines()]
        plan = modules_tap.listed(lines)
        lacking = ({Module(path).name for path in self._files()}
                   - modules_tap.loaded(lines))
        # What they leave behind is for the run to find, and to judge.
        if not plan or lacking or not verdict.shut_down(lines):
            problems = modules_tap.problems(lines)
            raise ToolError(
                f'the modules of tier {self.tier.name} did not list all of '
                f'their cases: the guest {guest.end.sentence()}; its console '
                f'is in {console}, mend what it shows and try again.',
                detail='\n'.join(problems or [t for t in lines
                                              if t.strip()][-12:]))
        saved.write_text(json.dumps({'image': digest.hexdigest(),
                                     'plan': plan}))
        return plan

    def _load(self, words: Sequence[str], rounds: int) -> List[str]:
        """Make the initramfs; return the kernel's own arguments.

        What the kernel would hand to a module that is built in has to be
        given to the module.

        Args:
            words: arguments of the kernel and of modules.
            rounds: how often to load the modules.
        """
        files = self._files()
        params: Dict[str, List[str]] = {Module(f).name: [] for f in files}
        kernel: List[str] = []
        for word in (*run.kernel_arguments(self.tier, self.opts), *words):
            name, dot, rest = word.partition('.')
            params.get(name, kernel).append(
                rest if dot and name in params else word)
        plan = selftest_build.Plan(
            [Module(f, params[Module(f).name]) for f in files],
            rounds=rounds)
        selftest.initramfs(self.folder).write_bytes(
            selftest_build.initramfs(self._init, plan))
        return kernel

    def _boots(self, plan: run.PlanList, folder: RunDir) -> List[Boot]:
        """Boot once; what later rounds say against the modules counts as
        much as the first."""
        words = ([f'kunit.filter_glob={self.opts.glob}'] if self.opts.glob
                 else [])
        owners = {(suite, case): module
                  for suite, case, module in self._listed()}
        console = folder.console()
        seen: List[Line] = []
        assert self._parser is not None, 'build() comes first'
        with self._guest(self._load(words, ROUNDS), console,
                         self._limit()) as guest:
            parts = modules_tap.read_live(self._parser, guest, seen,
                                          self.opts.live)
            end = guest.end
        first, *later = modules_tap.examine(
            [(*pair, owners[pair]) for pair in plan], seen, parts, ROUNDS,
            end, console.name)
        if first.missing():
            later = []      # it died, and the first round says in what
        for number, boot in enumerate(later, 2):
            judged = verdict.judge(
                self.tier.name, plan, [boot], self.expected_skips(),
                self.opts.partial, self.tier.skips)
            first.bad_suites += [f'In round {number}: {reason}'
                                 for reason in judged.reasons]
        return [first]

    def _versions(self, boots: Sequence[Boot]) -> Dict[str, str]:
        """Return what the outcome may depend on."""
        found = super()._versions(boots)
        found['modules'] = ' '.join(self.tier.modules)
        found['rounds'] = str(ROUNDS)
        return found
