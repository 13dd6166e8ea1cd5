# SPDX-License-Identifier: GPL-2.0
"""The verb `selftest`: the kernel's own hmm-tests against a driver."""

from __future__ import annotations

import argparse
import os
import sys
from typing import IO, Any, Dict, List

from . import accel, run, selftest, source, verb_run, verdict
from .errors import (EXIT_FAIL, EXIT_INFRA, EXIT_PASS, ToolError,
                     UsageError)

HELP = ('Run the kernel tree\'s own, unmodified hmm-tests as the user space '
        'of a small guest, and give a verdict.')


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
    source.add_arguments(parser)
    parser.add_argument('--graft', action='store_true',
                        help='graft the project into the tree of --kdir')
    parser.add_argument(
        '--accel', choices=accel.CHOICES,
        default=os.environ.get('DMIRROR_ACCEL') or 'auto',
        help='for QEMU: auto measures whether KVM is usable '
             '(default $DMIRROR_ACCEL or auto)')
    parser.add_argument('--timeout', type=float, metavar='S',
                        help='seconds for all boots')
    parser.add_argument(
        '--silence', type=float, metavar='S',
        help='seconds without output after which a guest counts as hung')
    parser.add_argument('--jobs', type=int, default=0, metavar='N',
                        help='jobs for make (default: one per processor)')
    parser.add_argument('--json', metavar='FILE',
                        help='write the results there as JSON; "-" is '
                             'stdout, which then has nothing else')
    parser.add_argument('--list', action='store_true',
                        help='only list the cases')
    parser.add_argument('--kernel-arg', action='append', default=[],
                        metavar='A', help='another kernel argument')
    parser.add_argument('--kconfig-add', action='append', default=[],
                        metavar='CONFIG_X=Y', help='another Kconfig option')


def main(args: argparse.Namespace) -> int:
    """Run the verb.

    Returns:
        EXIT_PASS if it is green, EXIT_FAIL if a test spoke against it, else
        EXIT_INFRA.
    """
    if args.jobs < 0:
        raise UsageError('--jobs needs at least 0.')
    for name in ('timeout', 'silence'):
        value = getattr(args, name)
        if value is not None and not 0 < value < 1e7:
            raise UsageError(f'--{name} needs a number of seconds above 0.')
    setup = selftest.get_setup(args.tier, args.driver, args.coherent)
    results = verb_run.Results(args.json)
    code = EXIT_INFRA
    try:
        code = _run(args, setup, results.runs)
    except ToolError as err:
        results.reasons.append(err.message)
        code = err.code
        raise
    finally:
        written = results.write(code)
    return code if written or code == EXIT_FAIL else EXIT_INFRA


def _run(args: argparse.Namespace, setup: selftest.Setup,
         data: List[Dict[str, Any]]) -> int:
    """Run the setup; put what came out into `data`; return the exit code."""
    out: IO[str] = sys.stderr if args.json == '-' else sys.stdout
    tree = source.find_tree(args.kdir, args.kernel)
    if args.list:
        pairs = [test.pair for test in selftest.cases(tree)]
        plan = verdict.check_filter(pairs, args.filter)
        for suite, case in plan:
            print(f'{suite}.{case}', file=out)
        data.append({'tier': setup.tier().name,
                     'plan': [f'{s}.{c}' for s, c in plan]})
        return EXIT_PASS
    opts = run.Options(
        glob=args.filter, accel=args.accel, timeout=args.timeout,
        silence=args.silence, jobs=args.jobs, kernel_args=args.kernel_arg,
        kconfig_add=args.kconfig_add, graft=args.graft, live=out)
    with selftest.prepared(setup, tree, opts) as session:
        result = session.run()
    data.append(result.data)
    verb_run.show(result, out)
    return result.code
