# SPDX-License-Identifier: GPL-2.0
"""dmirror kernel: find a kernel tree or get one, and print its path."""

from __future__ import annotations

import argparse

from . import apt, say, source
from .errors import ToolError

HELP = ('Print the path of a kernel tree: --kdir or $KDIR, or one in the '
        'cache, which is got through apt or from kernel.org if need be.')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    source.add_arguments(parser)
    parser.add_argument('--list', action='store_true',
                        help='list the trees in the cache and the kernels '
                             'that apt has; get nothing')


def main(args: argparse.Namespace) -> int:
    """Run the verb; only its result goes to stdout."""
    if args.list:
        return _list()
    tree = source.find_tree(args.kdir, args.kernel)
    say.say(f'Linux {tree.version}')
    print(tree.path)
    return 0


def _list() -> int:
    """Print the cached trees and what apt offers."""
    for tree in source.cached_trees():
        print(f'cached  {tree.version:<10} {tree.path}  '
              f'({source.origin(tree)})')
    try:
        for package in apt.available():
            print(f'apt     {package.kernel:<10} '
                  f'{package.name} {package.version}')
    except ToolError as err:
        say.warn(f'apt: {err.message}')
    return 0
