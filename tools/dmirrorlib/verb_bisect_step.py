# SPDX-License-Identifier: GPL-2.0
"""The verb `bisect-step`: the command for `git bisect run`."""

from __future__ import annotations

import argparse
from typing import Dict, List

from . import compare, say, trial_verb
from .errors import (EXIT_BISECT_SKIP, EXIT_BISECT_STOP, EXIT_FAIL,
                     EXIT_PASS, ToolError, UsageError)
from .gittree import Commit
from .store import Run
from .trial import Point, Trial

HELP = ('For "git bisect run": test the commit that is checked out; exit 0 '
        'if it is good, 1 if it is bad, 125 if that cannot be told.')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    trial_verb.add_arguments(parser)
    parser.add_argument(
        '--known-bugs', action='store_true',
        help='a case that shows a known kernel bug is bad too')
    parser.add_argument(
        '--find-fix', action='store_true',
        help='exit 0 if it is bad and 1 if it is good: to find the commit '
             'that mended it')


def main(args: argparse.Namespace) -> int:
    """Run the verb.

    Returns:
        EXIT_PASS, EXIT_FAIL or EXIT_BISECT_SKIP. Mistakes of the command line
        end with a code at which git stops (see cli.main).
    """
    try:
        settings = trial_verb.settings(args)
        repo = trial_verb.repository(args, here=True)
    except UsageError as err:
        raise ToolError(err.message, EXIT_BISECT_STOP) from err
    commit = repo.commit('HEAD')
    changed = repo.dirty()
    patch = repo.changes(changed) if changed else ''
    with trial_verb.checkout(repo) as tree:
        if changed:
            say.say(f'with the uncommitted changes of {", ".join(changed)}')
            tree.checkout(commit.oid)
            commit = Commit('HEAD', tree.apply_changes(patch),
                            commit.subject + ', changed', commit.version)
        with Trial('bisect', settings) as trial:
            code = _step(trial, trial_verb.point('step', commit, tree), args)
    return code


def _step(trial: Trial, one: Point, args: argparse.Namespace) -> int:
    """Build, run and judge a commit; return the exit code."""
    try:
        trial.build(one)
    except UsageError as err:   # the filter, which no commit will please
        raise ToolError(err.message, EXIT_BISECT_STOP) from err
    for kernel in one.kernels.values():
        if kernel.error:
            say.error(trial_verb.sentence(kernel), kernel.error.detail)
            print(f'cannot tell: {one.about}', flush=True)
            return EXIT_BISECT_SKIP
    trial.run([one])
    return _judge(one, args.known_bugs, args.find_fix)


def _judge(one: Point, known_bugs: bool, find_fix: bool) -> int:
    """Say whether a commit is good; return the exit code."""
    runs = [r for k in one.kernels.values() for r in k.runs]
    bad = _bad(runs, 1 if known_bugs else 2)
    if bad:
        for key, messages in list(bad.items())[:20]:
            say.say(f'bad in {len(messages)} of {len(runs)} runs: {key}: '
                    f'{messages[0]}')
        print(f'bad: {one.about}', flush=True)
        return EXIT_PASS if find_fix else EXIT_FAIL
    if not any(c.status == 'pass' for r in runs for c in r.cases):
        print(f'cannot tell: {one.about}: every case was skipped',
              flush=True)
        return EXIT_BISECT_SKIP
    print(f'good: {one.about}', flush=True)
    return EXIT_FAIL if find_fix else EXIT_PASS


def _bad(runs: List[Run], level: int) -> Dict[str, List[str]]:
    """Return what did badly, with what each run says of it."""
    found: Dict[str, List[str]] = {}
    for run in runs:
        for key, outcome in compare.outcomes(run).items():
            if outcome.severity >= level and \
                    outcome.word != 'known failure':
                found.setdefault(key, []).append(
                    f'{outcome.word}: {outcome.message}')
    return found
