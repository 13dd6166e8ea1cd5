# SPDX-License-Identifier: GPL-2.0
"""The verb `selftest`: the kernel's own hmm-tests against a driver."""

from __future__ import annotations

import argparse
import sys
from typing import IO, Any, Dict, List

from . import options, selftest, source, verb_run

HELP = ('Run the kernel tree\'s own, unmodified hmm-tests as the user space '
        'of a small guest, after the driver\'s own life cycle, and give a '
        'verdict.')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument(
        'filter', nargs='?', default='',
        help='only these: "variant" or "variant.case", with wildcards')
    parser.add_argument(
        '--tier', default=selftest.DEFAULT, metavar='T',
        help=f'one of {", ".join(selftest.BASES)} '
             f'(default {selftest.DEFAULT})')
    parser.add_argument(
        '--driver', default='ours', choices=tuple(selftest.DRIVERS),
        help='which driver they drive: ours, or the tree\'s lib/test_hmm.c '
             '(default ours)')
    parser.add_argument('--coherent', action='store_true',
                        help='give the driver device-coherent memory too')
    options.add_common(parser, 'all boots')


def main(args: argparse.Namespace) -> int:
    """Run the verb.

    Returns:
        EXIT_PASS if it is green, EXIT_FAIL if a test spoke against it, else
        EXIT_INFRA.
    """
    setup = selftest.get_setup(args.tier, args.driver, args.coherent)
    return verb_run.recorded(args.json,
                             lambda runs: _run(args, setup, runs))


def _run(args: argparse.Namespace, setup: selftest.Setup,
         data: List[Dict[str, Any]]) -> int:
    """Run the setup; put what came out into `data`; return the exit code."""
    out: IO[str] = sys.stderr if args.json == '-' else sys.stdout
    tree = source.find_tree(args.kdir, args.kernel)
    if args.list:
        return verb_run.list_plan(setup.tier().name,
                                  selftest.pairs(setup, tree), args.filter,
                                  out, data)
    opts = options.run_options(args, out)
    with selftest.prepared(setup, tree, opts) as session:
        result = session.run()
    data.append(result.data)
    verb_run.show(result, out)
    return result.code
