# SPDX-License-Identifier: GPL-2.0
"""dmirror ungraft: take the project out of a kernel tree."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from . import graft, patches, say, source
from .errors import UsageError

HELP = ('Take this project out of a kernel tree: what "dmirror graft" put '
        'there goes, its patches too, and nothing else changes.')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument('kdir', metavar='KDIR', nargs='?',
                        help='the top of the kernel tree (default: $KDIR)')


def main(args: argparse.Namespace) -> int:
    """Run the verb."""
    kdir = args.kdir or os.environ.get('KDIR')
    if not kdir:
        raise UsageError('which kernel tree? Say: dmirror ungraft KDIR')
    tree = Path(os.path.abspath(os.path.expanduser(kdir)))
    with source.tree_lock(source.Tree(tree, '', False)):
        changed = patches.take_back(tree)
        changed |= graft.ungraft(tree)
    say.say(f'the graft is gone from {tree}; nothing else was touched'
            if changed else f'{tree} has no graft; nothing was changed')
    return 0
