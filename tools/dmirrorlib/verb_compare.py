# SPDX-License-Identifier: GPL-2.0
"""The verb `compare`: two kernels, and what differs between them."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import List

from . import compare_text, gittree, source, trial_verb
from .errors import UsageError
from .tiers import Tier
from .trial import Point, Trial

HELP = ('Run two kernels, git revisions or directories, and tell what got '
        'worse, what got better and what only fails now and then.')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument('base', metavar='BASE',
                        help='a git revision, or a kernel tree')
    parser.add_argument('head', metavar='HEAD', help='another one')
    trial_verb.add_arguments(parser)
    trial_verb.add_output(parser)
    parser.add_argument('--graft', action='store_true',
                        help='graft the project into two directories')


def main(args: argparse.Namespace) -> int:
    """Run the verb.

    Returns:
        EXIT_FAIL if anything got worse, else EXIT_PASS.
    """
    output = trial_verb.Output(args.json)
    stack = contextlib.ExitStack()
    with output.telling(), stack:
        settings = trial_verb.settings(args, args.graft)
        notes: List[str] = []
        if is_directory(args.base) != is_directory(args.head):
            raise UsageError(f'{args.base} and {args.head} are a directory '
                             'and a revision: name two of a kind.')
        if is_directory(args.base):
            points = [directory('base', args.base),
                      directory('head', args.head)]
        else:
            repo = trial_verb.repository(args)
            commits = [repo.commit(args.base), repo.commit(args.head)]
            notes = trial_verb.tell_dirty(repo, commits)
            tree = stack.enter_context(trial_verb.checkout(repo))
            points = [trial_verb.point(label, commit, tree) for label, commit
                      in zip(('base', 'head'), commits)]
        trial = stack.enter_context(Trial('compare', settings))
        trial_verb.build_base(trial, points[0])
        trial.build(points[1])
        trial.run(points)
        step = trial_verb.step(trial, *points)
        code = report(output, trial, step, notes)
    return code


def is_directory(word: str) -> bool:
    """Return whether a word means a directory, not a revision."""
    path = Path(word).expanduser()
    return path.is_dir() and (word.startswith(('.', '/', '~'))
                              or (path / 'drivers/Kconfig').is_file())


def directory(label: str, word: str) -> Point:
    """Return the point of a kernel tree, which is used as it is."""
    tree = source.open_tree(Path(word))
    gittree.check_version(tree.version, str(tree.path))

    def same(tier: Tier) -> source.Tree:
        del tier
        return tree

    return Point(label, word, str(tree.path), same, tree.version)


def report(output: trial_verb.Output, trial: Trial, step: trial_verb.Step,
           notes: List[str]) -> int:
    """Write what a trial of two points found; return the exit code."""
    code = step.code
    tiers = len(trial.settings.tiers)
    lines = [f'base  {step.base.name}  {step.base.about}, '
             f'Linux {step.base.version}',
             f'head  {step.head.name}  {step.head.about}, '
             f'Linux {step.head.version}', *notes]
    runs = [r for k in step.base.kernels.values() for r in k.runs]
    lines += compare_text.environment(runs)
    text = '\n'.join([*lines, '']) + '\n' + trial_verb.table(
        step, 'base', 'head', tiers)
    reply = compare_text.reply(
        f'{step.head.name}, {step.head.about}',
        f'{step.base.name}, {step.base.about}, Linux {step.base.version}',
        runs, step.found,
        [f'Not every kernel works. {t}.'
         for _, t in [*step.broken, *step.unknown]])
    output.write(trial, text, reply, trial_verb.step_data(step), code)
    return code
