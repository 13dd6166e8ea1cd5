# SPDX-License-Identifier: GPL-2.0
"""The verb `export`: results of runs, merged, in another form."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import List, Optional

from . import exporters, store, tiers
from .errors import UsageError

HELP = ('Write the results of runs, merged, as KTAP, JUnit XML, JSON or a '
        'table.')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument(
        'runs', nargs='*', default=[tiers.DEFAULT], metavar='RUN',
        help="a run's folder, what \"run --json FILE\" wrote, or a tier, for "
             f'its latest run (default: {tiers.DEFAULT})')
    parser.add_argument('--format', choices=sorted(exporters.FORMATS),
                        default='table', help='default: %(default)s')
    parser.add_argument('-o', '--output', metavar='FILE',
                        help='write there instead of to stdout')


def main(args: argparse.Namespace) -> int:
    """Run the verb.

    Returns:
        The exit code of the run that was the worst.
    """
    runs: List[store.Run] = []
    for name in args.runs:
        runs += store.load(name)
    merged = store.merge(runs)
    write(exporters.FORMATS[args.format](merged), args.output)
    return max((run.code for run in merged), key=(0, 3, 1).index)


def write(text: str, where: Optional[str]) -> None:
    """Write a text to a file, whole or not at all, or to stdout.

    Args:
        text: what to write.
        where: the file; None or '-' is stdout.

    Raises:
        UsageError: the file cannot be written.
    """
    if not where or where == '-':
        sys.stdout.write(text)
        return
    path = Path(where)
    try:
        if path.exists() and not path.is_file():    # a device or a pipe
            path.write_text(text, encoding='utf-8')
            return
        fresh = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
        try:
            fresh.write_text(text, encoding='utf-8')
            os.replace(fresh, path)
        except OSError:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise
    except OSError as err:
        raise UsageError(f'{where} cannot be written ({err.strerror}); name '
                         'another file.') from err
