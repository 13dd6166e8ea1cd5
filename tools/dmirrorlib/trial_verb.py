# SPDX-License-Identifier: GPL-2.0
"""What the verbs compare, series and bisect-step have in common."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

from . import (accel, cache, compare, compare_text, exporters, run, say,
               tiers, verb_export)
from .errors import (EXIT_FAIL, EXIT_INFRA, EXIT_PASS, ToolError, UsageError)
from .gittree import Checkout, Commit, Repository
from .trial import Kernel, Point, Settings, Trial

FORMAT = 'dmirror-comparison'
VERSION = 1


def seed(text: str) -> int:
    """Read a seed: the kernel's is a signed number of 64 bits."""
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 1 << 62):
        raise argparse.ArgumentTypeError('it must be a whole number from 1 '
                                         'to 2^62 - 1')
    return int(text)


def positive(text: str) -> float:
    """Read a number of seconds."""
    value = float(text)
    if not 0 < value < 1e7:
        raise argparse.ArgumentTypeError('it must be above 0')
    return value


def add_arguments(parser: argparse.ArgumentParser, runs: int = 1) -> None:
    """Declare the options that say what is run, and how often.

    Args:
        parser: of a verb.
        runs: the default of -n.
    """
    parser.add_argument(
        '--filter', default='', metavar='GLOB',
        help='only these: "suite" or "suite.case", with wildcards')
    parser.add_argument('--tier', default=tiers.DEFAULT, metavar='T[,T...]',
                        help=f'{", ".join(tiers.names())} '
                             f'(default: {tiers.DEFAULT})')
    parser.add_argument('--kdir', metavar='DIR',
                        help='the git repository of the kernel (default: '
                             '$KDIR, which bisect-step ignores, else the '
                             'current directory)')
    parser.add_argument('-n', '--runs', type=int, default=runs, metavar='N',
                        help='run each kernel N times (default: %(default)s)')
    parser.add_argument('--seed', type=seed, metavar='N',
                        help="seed of the first run's random numbers, above "
                             '0; the next run has the next one')
    parser.add_argument(
        '--accel', choices=accel.CHOICES,
        default=os.environ.get('DMIRROR_ACCEL') or 'auto',
        help='for QEMU (default: $DMIRROR_ACCEL or auto)')
    parser.add_argument('--timeout', type=positive, metavar='S',
                        help='seconds for all boots of a run')
    parser.add_argument(
        '--silence', type=positive, metavar='S',
        help='seconds without output after which a guest counts as hung')
    parser.add_argument('--jobs', type=int, default=0, metavar='N',
                        help='jobs for make (default: one per processor)')
    parser.add_argument('--kernel-arg', action='append', default=[],
                        metavar='A', help='another kernel argument')
    parser.add_argument('--kconfig-add', action='append', default=[],
                        metavar='CONFIG_X=Y', help='another Kconfig option')


def add_output(parser: argparse.ArgumentParser) -> None:
    """Declare the options of verbs that compare."""
    parser.add_argument('--once', action='store_true',
                        help='do not run again what differs')
    parser.add_argument(
        '--json', metavar='FILE',
        help='write the comparison there as JSON; "-" is stdout, which then '
             'has nothing else')


def settings(args: argparse.Namespace, graft: bool = False) -> Settings:
    """Return what the command line says.

    Raises:
        UsageError: a value is wrong.
    """
    if args.runs < 1 or args.jobs < 0:
        raise UsageError('-n needs at least 1, --jobs at least 0.')
    wanted = [tiers.get(name) for name in
              dict.fromkeys(args.tier.split(',')) if name]
    if not wanted:
        raise UsageError(f'--tier needs a name: {", ".join(tiers.names())}.')
    opts = run.Options(
        glob=args.filter, accel=args.accel, timeout=args.timeout,
        silence=args.silence, seed=args.seed, jobs=args.jobs,
        kernel_args=args.kernel_arg, kconfig_add=args.kconfig_add,
        graft=graft)
    return Settings(wanted, opts, args.runs, not getattr(args, 'once', False))


def repository(args: argparse.Namespace, here: bool = False) -> Repository:
    """Return the user's repository.

    Args:
        args: the command line.
        here: without --kdir it is that of the current directory, whatever
            $KDIR says.
    """
    kdir = None if here else os.environ.get('KDIR')
    path = Path(args.kdir or kdir or '.')
    return Repository(Path(os.path.realpath(path.expanduser())))


@contextlib.contextmanager
def checkout(repo: Repository) -> Iterator[Checkout]:
    """Yield the tree that shows a repository's revisions; it is ours until
    the end."""
    tree = Checkout(repo, run.PROJECT)
    with cache.lock(tree.name, f'using {tree.path}'):
        tree.prepare()
        try:
            yield tree
        finally:
            tree.tidy()


def point(label: str, commit: Commit, tree: Checkout) -> Point:
    """Return the point of a commit."""
    return Point(label, commit.name, commit.about(),
                 lambda tier: tree.show(commit.oid, tier), commit.version)


def tell_dirty(repo: Repository, commits: List[Commit]) -> List[str]:
    """Warn of changes that no commit has, where they may be meant; return the
    warning."""
    names = repo.dirty()
    if not names or repo.head() not in [c.oid for c in commits]:
        return []
    more = f' and {len(names) - 3} more' if len(names) > 3 else ''
    text = (f'{repo.top} has uncommitted changes ({", ".join(names[:3])}'
            f'{more}), which are not part of what is tested.')
    say.warn(text)
    return [text]


@dataclass
class Step:
    """What one point is, compared with another.

    broken: (tier, what is wrong) where the other has a kernel and this one
        has none.
    unknown: the same where the other has none, so that there is no verdict.
    """
    base: Point
    head: Point
    found: compare.Comparison
    broken: List[Tuple[str, str]] = field(default_factory=list)
    unknown: List[Tuple[str, str]] = field(default_factory=list)

    @property
    def code(self) -> int:
        """The exit code."""
        return (EXIT_FAIL if self.worse else
                EXIT_INFRA if self.unknown else EXIT_PASS)

    @property
    def worse(self) -> bool:
        """True if anything got worse."""
        return self.found.worse or bool(self.broken)

    def summary(self) -> str:
        """Return it in a line."""
        if self.broken:
            return 'WORSE: ' + '; '.join(text for _, text in self.broken)
        return compare_text.summary(self.found)


def build_base(trial: Trial, base: Point) -> None:
    """Build what others are to be compared with.

    Raises:
        ToolError: there is no tier on which it has a kernel.
    """
    trial.build(base)
    errors = [k.error for k in base.kernels.values() if k.error]
    if len(errors) == len(base.kernels):
        err = errors[0]
        raise ToolError(f'{base.label} ({base.about}): {err.message}',
                        err.code, err.detail)


def step(trial: Trial, base: Point, head: Point) -> Step:
    """Compare two points that were built and run."""
    broken = [(name, sentence(kernel)) for name, kernel in
              head.kernels.items()
              if kernel.error and not base.kernels[name].error]
    unknown = [(name, f'no verdict, because the base has no kernel: '
                f'{sentence(kernel)}')
               for name, kernel in base.kernels.items() if kernel.error]
    return Step(base, head, trial.difference(base, head), broken, unknown)


def sentence(kernel: Kernel) -> str:
    """Say why there is no kernel, with the first error of a compiler."""
    assert kernel.error
    name = kernel.tier.name
    lines = [' '.join(line.split()) for line in
             kernel.error.detail.splitlines() if line.strip()]
    if kernel.stage == 'build' and lines:
        first = re.sub(rf'\S*/{run.TRIAL}-[0-9a-f]+/', '', lines[0])
        return f'{name}: does not build: {first}'
    word = 'build' if kernel.stage == 'build' else 'boot'
    return f'{name}: does not {word}: {kernel.error.message}'


def table(one: Step, base: str, head: str, tiers_: int) -> str:
    """Return a step in words, with its summary last."""
    text = ''
    if one.found.rows:
        text = compare_text.table(one.found, base, head, tiers_)
    for _, line in one.unknown:
        text += f'{line}\n'
    if one.broken:
        text += f'{one.summary()}\n'
    return text


class Output:
    """The report: on stdout, in the folder, and as JSON where it was asked
    for. Until it is written, the JSON says "error": no former one can be
    taken for it.

    Args:
        where: the file for JSON, '-' for stdout, None for none.
    """

    def __init__(self, where: Optional[str]) -> None:
        self._where = where
        if where and where != '-':
            verb_export.write(self._text({}, EXIT_INFRA,
                                         ['It has not ended.']), where)

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """Write the reason for which there is no report."""
        try:
            yield
        except ToolError as err:
            if self._where:
                verb_export.write(self._text({}, err.code, [err.message]),
                                  self._where)
            raise

    def write(self, trial: Trial, report: str, reply: str,
              data: Dict[str, Any], code: int) -> None:
        """Write all there is."""
        folder = trial.folder
        data = {**data, 'folder': str(folder)}
        (folder / 'report.txt').write_text(report)
        (folder / 'reply.txt').write_text(reply)
        text = self._text(data, code, [])
        (folder / 'comparison.json').write_text(text)
        if self._where == '-':
            print(text, end='', flush=True)
            return
        if self._where:
            verb_export.write(text, self._where)
        print(report)
        print('-' * 20 + ' for a reply ' + '-' * 20)
        print(reply)
        print(f'All results are in {folder}.', flush=True)

    def _text(self, data: Dict[str, Any], code: int,
              reasons: List[str]) -> str:
        return json.dumps({
            'format': FORMAT, 'version': VERSION,
            'verdict': {EXIT_PASS: 'pass', EXIT_FAIL: 'worse'}.get(
                code, 'error'), 'exit_code': code, 'reasons': reasons,
            **data}, indent=1) + '\n'


def about(one: Point) -> Dict[str, str]:
    """Return a point as plain data."""
    return {'label': one.label, 'name': one.name, 'about': one.about,
            'kernel': one.version}


def step_data(one: Step) -> Dict[str, Any]:
    """Return a step as plain data."""
    return {'base': about(one.base), 'head': about(one.head),
            'broken': [{'tier': t, 'why': exporters.one_line(w)}
                       for t, w in one.broken],
            'unknown': [{'tier': t, 'why': exporters.one_line(w)}
                        for t, w in one.unknown],
            **compare_text.as_data(one.found)}
