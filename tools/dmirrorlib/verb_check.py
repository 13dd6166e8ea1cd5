# SPDX-License-Identifier: GPL-2.0
"""The verb `check`: static checks."""

from __future__ import annotations

import argparse
from typing import Callable, Dict, List, Tuple

from . import checks, configs, packages, say, source
from .errors import EXIT_FAIL, EXIT_PASS, UsageError

HELP = ('Check the project\'s files: checkpatch, sparse and W=1, shellcheck, '
        'Python types.')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument('checks', nargs='*', metavar='CHECK',
                        help='only these: ' + ', '.join(known()))
    parser.add_argument('--configs', action='store_true',
                        help='compile the odd configurations (config-*)')
    source.add_arguments(parser)


def known() -> Dict[str, Callable[[source.Tree], checks.Outcome]]:
    """Return all checks by name, those of `make test` first."""
    return {**checks.all_checks(), **configs.all_checks()}


def run_checks(tree: source.Tree, names: List[str]) -> Tuple[int, int]:
    """Run checks and show what they said.

    Args:
        tree: the kernel tree, for its scripts and headers.
        names: of the checks.

    Returns:
        How many passed and how many failed.
    """
    passed = failed = 0
    every = known()
    for name in names:
        outcome = every[name](tree)
        for line in outcome.complaints:
            print(line, flush=True)
        if outcome.complaints:
            failed += 1
            print(f'{name}: FAIL {len(outcome.complaints)} complaints',
                  flush=True)
        else:
            passed += 1
            print(f'{name}: PASS', flush=True)
    return passed, failed


def main(args: argparse.Namespace) -> int:
    """Run the verb.

    Returns:
        EXIT_PASS if no check complained, else EXIT_FAIL.
    """
    names = list(args.checks) or list(
        configs.all_checks() if args.configs else checks.all_checks())
    every = known()
    for name in names:
        if name not in every:
            raise UsageError(f'there is no check "{name}"; choose from '
                             f'{", ".join(every)}.')
    packages.ensure(['um', 'x86_64', 'checks', *configs.needs(names)])
    tree = source.find_tree(args.kdir, args.kernel)
    _, failed = run_checks(tree, names)
    if failed:
        say.note('Exceptions to checkpatch are listed in '
                 'tools/dmirrorlib/checks.py with their reasons.')
    return EXIT_FAIL if failed else EXIT_PASS
