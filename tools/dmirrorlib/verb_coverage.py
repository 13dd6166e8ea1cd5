# SPDX-License-Identifier: GPL-2.0
"""The verb `coverage`: which lines of the driver and of core mm the suites
reach."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Dict, List

from . import (accel, cache, coverage, coverage_info as info, run, source,
               verb_run)
from .errors import EXIT_FAIL, EXIT_PASS, UsageError

HELP = ('Count which lines and branches of the driver and of core mm the '
        'suites reach, per tier and together.')
REASONS = run.PROJECT / 'kunit' / 'uncovered.txt'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument(
        '--tier', default=','.join(coverage.BASES), metavar='T,T',
        help=f'of {", ".join(coverage.BASES)} (default both)')
    parser.add_argument('--html', metavar='DIR',
                        help='also make pages there that show the sources')
    parser.add_argument('--holes', action='store_true',
                        help='list only what nothing reaches and has no '
                             'reason on record')
    source.add_arguments(parser)
    parser.add_argument(
        '--accel', choices=accel.CHOICES,
        default=os.environ.get('DMIRROR_ACCEL') or 'auto',
        help='for QEMU (default $DMIRROR_ACCEL or auto)')


def main(args: argparse.Namespace) -> int:
    """Run the verb.

    Returns:
        EXIT_PASS; EXIT_FAIL if a suite is red or a goal is not reached.
    """
    names = args.tier.split(',')
    for name in names:
        if name not in coverage.BASES:
            raise UsageError(f'coverage cannot be counted on tier "{name}"; '
                             f'choose from {", ".join(coverage.BASES)}.')
    tree = source.find_tree(args.kdir, args.kernel)
    counted = []
    for name in dict.fromkeys(names):
        opts = run.Options(accel=args.accel,
                           live=sys.stdout if args.verbose else None)
        with coverage.prepared(name, tree, opts) as session:
            counted.append(session.count())
        verb_run.show(counted[-1].result, sys.stdout)
    columns = {c.tier: info.read(c.info) for c in counted}
    with tempfile.TemporaryDirectory(prefix='dmirror-') as scratch:
        whole = Path(scratch) / 'merged.info'
        coverage.combine([c.info for c in counted], whole)
        merged = info.read(whole)
        if args.html:
            with cache.explain(f'writing to {args.html}'):
                page = coverage.html(whole, tree, Path(args.html))
            print(f'pages: {page}')
    red = not all(c.result.green for c in counted)
    return EXIT_FAIL if report(columns, merged, tree, args.holes) or red \
        else EXIT_PASS


def report(columns: Dict[str, Dict[str, info.Source]],
           merged: Dict[str, info.Source], tree: source.Tree,
           only_unknown: bool) -> bool:
    """Print the table, the goals and the holes.

    Args:
        columns: what each tier reaches.
        merged: what all reach together.
        tree: the kernel tree.
        only_unknown: leave out the holes with a reason.

    Returns:
        True if a goal is not reached.
    """
    both = {**columns, 'merged': merged} if len(columns) > 1 else columns
    print('\n'.join(info.table(both)))
    texts = {name: _text(name, tree) for name in merged}
    found = info.holes(merged, texts, info.read_reasons(REASONS))
    unknown = [hole for hole in found if not hole.why]
    print(f'\nnot reached: {len(found)} places, {len(unknown)} of them '
          'without a reason on record')
    for hole in unknown if only_unknown else found:
        print(f'  {hole.text()}')
    missed = info.missed_goals(merged)
    for sentence in missed:
        print(f'goal missed: {sentence}')
    if not missed:
        print('all goals are reached')
    return bool(missed)


def _text(name: str, tree: source.Tree) -> List[str]:
    root = run.PROJECT if name.startswith(coverage.DRIVER) else tree.path
    try:
        return (root / name).read_text().splitlines()
    except OSError:
        return []
