# SPDX-License-Identifier: GPL-2.0
"""The verb `series`: what a patch series changes."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Sequence

from . import compare_text, say, series, trial_verb
from .errors import EXIT_FAIL
from .gittree import Checkout, Commit
from .trial import Point, Trial
from .trial_verb import Step

HELP = ('Apply a patch series in a tree of our own and tell what it makes '
        'worse and better; your tree is not touched.')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument('patches', nargs='+', metavar='MBOX|DIR|PATCH|MSGID',
                        help='the series: an mbox, a directory of patches, '
                             'patches, or a message-id (with b4)')
    parser.add_argument('--base', default='HEAD', metavar='REV',
                        help='the revision it is for (default: HEAD)')
    parser.add_argument('--each', action='store_true',
                        help='also run the kernel after each patch')
    trial_verb.add_arguments(parser)
    trial_verb.add_output(parser)


def main(args: argparse.Namespace) -> int:
    """Run the verb.

    Returns:
        EXIT_FAIL if anything got worse, else EXIT_PASS.
    """
    output = trial_verb.Output(args.json)
    stack = contextlib.ExitStack()
    with output.telling(), stack:
        settings = trial_verb.settings(args)
        repo = trial_verb.repository(args)
        commit = repo.commit(args.base)
        scratch = stack.enter_context(
            tempfile.TemporaryDirectory(prefix='dmirror-'))
        mails = series.collect(args.patches, Path(scratch))
        notes = trial_verb.tell_dirty(repo, [commit])
        tree = stack.enter_context(trial_verb.checkout(repo))
        tree.checkout(commit.oid)
        oids = series.apply(mails, tree)
        say.say(f'{len(mails)} patch{"es" if len(mails) > 1 else ""} '
                f'applied on {commit.about()}')
        base = trial_verb.point('base', commit, tree)
        points = _points(mails, oids, commit, tree, args.each)
        trial = stack.enter_context(Trial('series', settings))
        trial_verb.build_base(trial, base)
        for one in points:
            trial.build(one)
        trial.run([base, *points])
        steps = _steps(trial, base, points)
        if not args.each:
            _blame(trial, mails, oids, tree, steps[-1])
        code = _report(output, trial, mails, steps, notes)
    return code


def _points(mails: Sequence[series.Mail], oids: Sequence[str],
            base: Commit, tree: Checkout, each: bool) -> List[Point]:
    """Return the points after each patch, or only the last one."""
    made = []
    for number, (mail, oid) in enumerate(zip(mails, oids), 1):
        if not each and number < len(mails):
            continue
        name = f'patch {number}/{len(mails)}' if len(mails) > 1 else 'patch'
        commit = Commit(name, oid, mail.title(), base.version)
        label = f'patch-{number}' if each else 'head'
        made.append(Point(label, name, f'"{commit.subject}"',
                          _shower(tree, oid), base.version))
    return made


def _blame(trial: Trial, mails: Sequence[series.Mail], oids: Sequence[str],
           tree: Checkout, step: Step) -> None:
    """Where the whole series does not build, say with which patch it stops
    to: one after which it does not, though it does before."""
    for at, (name, text) in enumerate(step.broken):
        kernel = step.head.kernels[name]
        if kernel.stage != 'build' or len(mails) == 1:
            continue
        good, bad = 0, len(mails)   # how many patches are applied
        while bad - good > 1:
            half = (good + bad) // 2
            one = Point('try', f'patch {half}/{len(mails)}',
                        f'"{mails[half - 1].title()}"',
                        _shower(tree, oids[half - 1]))
            if trial.builds(one, kernel.tier):
                good = half
            else:
                bad = half
        step.broken[at] = name, (
            f'{text}, since patch {bad}/{len(mails)} '
            f'("{mails[bad - 1].title()}")')


def _shower(tree: Checkout, oid: str) -> Any:
    """Return what makes a commit be there."""
    return lambda tier: tree.show(oid, tier)


def _steps(trial: Trial, base: Point, points: Sequence[Point]) -> List[Step]:
    """Compare each point with the one before that has kernels, and, last,
    the whole series with its base."""
    steps = []
    before = base
    for one in points:
        steps.append(trial_verb.step(trial, before, one))
        if not any(k.error for k in one.kernels.values()):
            before = one
    if len(points) > 1:
        steps.append(trial_verb.step(trial, base, points[-1]))
    return steps


def _report(output: trial_verb.Output, trial: Trial,
            mails: Sequence[series.Mail], steps: Sequence[Step],
            notes: List[str]) -> int:
    """Write what was found; return the exit code."""
    whole = steps[-1]
    singles = steps[:-1] if len(steps) > 1 else []
    code = EXIT_FAIL if any(s.worse for s in steps) else whole.code
    runs = [r for k in whole.base.kernels.values() for r in k.runs]
    tiers = len(trial.settings.tiers)
    title = f'"{mails[0].title()}"' if len(mails) == 1 else \
        f'{len(mails)} patches, "{mails[0].title()}" to ' \
        f'"{mails[-1].title()}"'
    lines = [f'base  {whole.base.name}  {whole.base.about}, '
             f'Linux {whole.base.version}', f'with  {title}', *notes,
             *compare_text.environment(runs), '']
    for one in singles:
        lines += [f'{one.head.name}  {one.head.about}', f'  {one.summary()}']
        if one.worse or one.found.of('fixed', 'flaky', 'changed'):
            text = trial_verb.table(one, 'before', 'after', tiers)
            lines += ['  ' + line if line else '' for line in
                      text.splitlines()[:-1]]
    if singles:
        lines += ['', 'The whole series:']
    text = '\n'.join(lines) + '\n'
    text += trial_verb.table(whole, 'base', 'with', tiers)
    said = [f'{s.head.name} ({s.head.about}) alone: {s.summary()}.'
            for s in singles if s.worse]
    said += [f'Not every kernel works. {t}.'
             for _, t in [*whole.broken, *whole.unknown]]
    reply = compare_text.reply(
        title, f'{whole.base.name}, {whole.base.about}, '
        f'Linux {whole.base.version}', runs, whole.found,
        said)
    data: Dict[str, Any] = trial_verb.step_data(whole)
    data['patches'] = [{'number': n, 'subject': m.subject,
                        'origin': m.origin} for n, m in enumerate(mails, 1)]
    data['steps'] = [trial_verb.step_data(s) for s in singles]
    output.write(trial, text, reply, data, code)
    return code
