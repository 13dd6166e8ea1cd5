# SPDX-License-Identifier: GPL-2.0
"""The options that the verbs which boot kernels have in common."""

from __future__ import annotations

import argparse
import os
from typing import IO, Optional

from . import accel, run, source


def add_common(parser: argparse.ArgumentParser, boots: str) -> None:
    """Declare the options of run_options(), and --json and --list.

    Args:
        parser: of a verb that boots kernels.
        boots: what --timeout is for, as in 'all boots'.
    """
    source.add_arguments(parser)
    parser.add_argument('--graft', action='store_true',
                        help='graft the project into the tree of --kdir')
    parser.add_argument(
        '--accel', choices=accel.CHOICES,
        default=os.environ.get('DMIRROR_ACCEL') or 'auto',
        help='for QEMU: auto measures whether KVM is usable '
             '(default $DMIRROR_ACCEL or auto)')
    parser.add_argument('--timeout', type=seconds, metavar='S',
                        help=f'seconds for {boots}')
    parser.add_argument(
        '--silence', type=seconds, metavar='S',
        help='seconds without output after which a guest counts as hung')
    parser.add_argument('--jobs', type=_jobs, default=0, metavar='N',
                        help='jobs for make (default: one per processor)')
    parser.add_argument(
        '--json', metavar='FILE',
        help='write the results there as JSON; "-" is stdout, which then '
             'has nothing else')
    parser.add_argument('--list', action='store_true',
                        help='only list the cases')
    parser.add_argument('--kernel-arg', action='append', default=[],
                        metavar='A', help='another kernel argument')
    parser.add_argument('--kconfig-add', action='append', default=[],
                        metavar='CONFIG_X=Y', help='another Kconfig option')


def run_options(args: argparse.Namespace,
                live: Optional[IO[str]]) -> run.Options:
    """Return what the command line chose for a run.

    Args:
        args: has the options of add_common(), and the filter.
        live: where results are shown as they come.
    """
    ops = getattr(args, 'ops', None)
    extra = [f'dmirror_kunit.ops={ops}'] if ops else []
    return run.Options(
        glob=args.filter, fast=getattr(args, 'fast', False),
        accel=args.accel, timeout=args.timeout, silence=args.silence,
        seed=getattr(args, 'seed', None),
        jobs=args.jobs, kernel_args=[*extra, *args.kernel_arg],
        kconfig_add=args.kconfig_add, graft=args.graft, live=live)


def seconds(text: str) -> float:
    """Return a time that is long enough to mean something, for argparse.

    Args:
        text: the option's argument.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e7:
        raise argparse.ArgumentTypeError('it must be a number of seconds '
                                         'above 0')
    return value


def _jobs(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise argparse.ArgumentTypeError('it must be a whole number, 0 for '
                                         'one per processor')
    return int(text)
