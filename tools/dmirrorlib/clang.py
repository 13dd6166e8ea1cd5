# SPDX-License-Identifier: GPL-2.0
"""Finding a clang, with lld, that is new enough for a kernel tree."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import List, Optional, Tuple

from . import proc
from .errors import ToolError

DEBIAN = 19     # the newest that Debian 12 has packages of
NEWEST = 30     # nobody looks further
_VERSION = re.compile(r'clang version (\d+)\.(\d+)\.(\d+)')

Version = Tuple[int, int, int]


def make_words(tree: Path) -> List[str]:
    """Return make's variables for the best clang that is installed.

    Args:
        tree: the kernel tree.

    Raises:
        ToolError: there is none, or none is new enough for the tree.
    """
    least = minimum(tree)
    found = {suffix: version(suffix) for suffix in suffixes()}
    usable = [s for s, have in found.items() if have >= least]
    if usable:
        suffix = usable[0]
        words = [f'LLVM={suffix or 1}']
        if shutil.which('ccache'):
            words += [f'CC=ccache clang{suffix}',
                      f'HOSTCC=ccache clang{suffix}']
        return words
    newest = max(found.values(), default=None)
    state = (f'clang {".".join(map(str, newest))} is too old' if newest
             else 'there is no clang with ld.lld and llvm-nm')
    raise ToolError(
        f'{state} for the kernel {tree}, which needs '
        f'{".".join(map(str, least))} or newer: install {packages_()} '
        'or newer ones.')


def packages_() -> str:
    """Return Debian's packages, for people."""
    return ' '.join(f'{name}-{DEBIAN}' for name in ('clang', 'lld', 'llvm'))


def suffixes() -> List[str]:
    """Return the endings of the complete sets of programs, the plain one
    first, then the newest: '' or '-19'."""
    every = ['', *(f'-{n}' for n in range(NEWEST, 10, -1))]
    return [s for s in every if all(
        shutil.which(f'{name}{s}') for name in ('clang', 'ld.lld',
                                                'llvm-nm', 'llvm-objcopy'))]


def version(suffix: str) -> Version:
    """Return the version of a clang, zeroes if it does not tell."""
    done = proc.run([f'clang{suffix}', '--version'])
    return _version(_VERSION.search(done.stdout))


def minimum(tree: Path) -> Version:
    """Return the oldest clang that a tree can be built with.

    Args:
        tree: the kernel tree.
    """
    done = proc.run(['sh', str(tree / 'scripts' / 'min-tool-version.sh'),
                     'llvm'])
    return _version(re.search(r'(\d+)\.(\d+)\.(\d+)', done.stdout))


def _version(match: Optional['re.Match[str]']) -> Version:
    if not match:
        return (0, 0, 0)
    first, second, third = match.groups()
    return (int(first), int(second), int(third))
