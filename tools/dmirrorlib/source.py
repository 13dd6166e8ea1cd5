# SPDX-License-Identifier: GPL-2.0
"""Finding a kernel tree, or getting one."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import ContextManager, List, Optional

from . import apt, cache, say, tarball
from .errors import ToolError, UsageError

DEFAULT_KERNEL = '7.3'
TREE_BYTES = 2_600_000_000  # free space a tree and its download need

# In each tree of the cache: what it was unpacked from. Its presence says
# that the tree is complete.
MARKER = '.dmirror-tree.json'

_OWN_TREE = ('give a kernel tree of your own with KDIR=/path/to/linux or '
             '--kdir')


@dataclass(frozen=True)
class Tree:
    """A kernel source tree."""
    path: Path
    version: str  # from its Makefile, as in '7.3.4'
    owned: bool   # it is ours, in the cache


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that choose a tree: find_tree()'s arguments.

    Args:
        parser: of a verb that works on a tree.
    """
    parser.add_argument('--kdir', metavar='DIR',
                        help='use this kernel tree (default: $KDIR, else a '
                             'cached one)')
    parser.add_argument('--kernel', metavar='X.Y', default=DEFAULT_KERNEL,
                        help='which kernel to get if there is no tree '
                             '(default: %(default)s)')


def find_tree(kdir: Optional[str], kernel: str = DEFAULT_KERNEL) -> Tree:
    """Return the user's tree, or the cached one of a kernel, got if need be.

    Args:
        kdir: a kernel tree to use as it is; $KDIR when None or empty.
        kernel: major.minor of the tree to use when none is given.

    Returns:
        The tree.

    Raises:
        UsageError: `kernel` is no version, or `kdir` no kernel tree.
        ToolError: no tree could be had; the message says what to do.
    """
    check_kernel(kernel)
    kdir = kdir or os.environ.get('KDIR')
    if kdir:
        return open_tree(Path(kdir))
    tree = cached_tree(kernel)
    if tree:
        return tree
    with cache.lock(f'tree-{kernel}', f'getting Linux {kernel}'):
        # Another dmirror may have got it while this one waited.
        return cached_tree(kernel) or _get(kernel)


def check_kernel(kernel: str) -> None:
    """Raise UsageError unless `kernel` looks like '7.3'."""
    if not re.fullmatch(r'[1-9]\d*\.\d+', kernel, re.ASCII):
        raise UsageError(f'--kernel {kernel!r} is not a version like 7.3 '
                         '(its newest patch release is taken).')


def open_tree(path: Path) -> Tree:
    """Return the tree at `path`.

    Raises:
        UsageError: it is not a kernel tree with KUnit.
    """
    # One tree, one name: locks and build directories are found by it.
    path = Path(os.path.realpath(path.expanduser()))
    if cache.unfit(path):
        raise UsageError(f'the tree "{path}" cannot be built, because the '
                         'kernel\'s build works in no path with a blank or a '
                         'colon: move it, and name its new place.')
    version = read_version(path)
    if not path.is_dir():
        raise UsageError(f'{path} is not a directory: KDIR names the top of '
                         'a kernel source tree.')
    if not version or not (path / 'drivers' / 'Kconfig').is_file():
        raise UsageError(f'{path} is not the top of a kernel source tree: '
                         'it has no Makefile with a version and drivers.')
    if not (path / 'tools/testing/kunit/kunit.py').is_file():
        raise UsageError(f'{path} is Linux {version}, which has no '
                         'tools/testing/kunit/kunit.py: a complete tree of '
                         'a newer kernel is needed.')
    owned = (cache.root() / 'trees').resolve() in path.resolve().parents
    return Tree(path, version, owned)


def read_version(path: Path) -> str:
    """Return a tree's version as `make kernelversion` prints it.

    Args:
        path: the top of the tree.

    Returns:
        As in '7.3.4' or '7.4.0-rc1'; empty if there is none to read.
    """
    try:
        head = (path / 'Makefile').read_bytes()[:4096].decode('latin-1')
    except OSError:
        return ''
    fields = dict(re.findall(
        r'^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION) *=[ \t]*(\S*)', head,
        re.MULTILINE))
    numbers = [fields.get(k, '') for k in ('VERSION', 'PATCHLEVEL',
                                           'SUBLEVEL')]
    if not all(numbers):
        return ''
    return f'{".".join(numbers)}{fields.get("EXTRAVERSION", "")}'


def tree_dir(kernel: str) -> Path:
    """Return where the cache keeps the tree of a kernel ('7.3')."""
    return cache.root() / 'trees' / f'linux-{kernel}'


def cached_tree(kernel: str) -> Optional[Tree]:
    """Return the complete tree of a kernel in the cache, or None."""
    path = tree_dir(kernel)
    if not (path / MARKER).is_file():
        return None
    try:
        return open_tree(path)
    except UsageError:
        return None


def cached_trees() -> List[Tree]:
    """Return every complete tree in the cache, newest kernel first.

    Not their patched variants (see variants.py), which are no trees to choose
    from.
    """
    names = [p.name[len('linux-'):]
             for p in (cache.root() / 'trees').glob('linux-*')]
    names = [n for n in names if re.fullmatch(r'\d+\.\d+', n)]
    names.sort(key=lambda n: [int(d) for d in n.split('.')], reverse=True)
    return [tree for tree in map(cached_tree, names) if tree]


def tree_lock(tree: Tree) -> ContextManager[None]:
    """Return the lock of a tree: while it is held, graft and patches stay as
    they are."""
    name = os.path.realpath(tree.path)     # one lock, however it is called
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()
    return cache.lock(f'tree-{digest[:10]}', f'building in {tree.path}')


def origin(tree: Tree) -> str:
    """Return what a cached tree was unpacked from; empty if not known."""
    try:
        return str(json.loads((tree.path / MARKER).read_text())['origin'])
    except (OSError, ValueError, KeyError):
        return ''


def _get(kernel: str) -> Tree:
    """Get a tree into the cache; the caller holds its lock."""
    doing = f'getting Linux {kernel}'
    cache.sub('trees')
    final = tree_dir(kernel)
    cache.sweep(final)
    free = cache.free_bytes(final)
    if free < TREE_BYTES:
        raise cache.DiskError(
            f'Linux {kernel} needs {TREE_BYTES / 1e9:.1f} GB and '
            f'{final.parent} has only {free / 1e9:.1f} GB free: free some '
            'space, set XDG_CACHE_HOME to a directory on a larger disk, '
            f'or {_OWN_TREE}.')
    reasons = []
    details = []
    with cache.publish(final, doing) as tmp:
        for name, fetch in (('apt', apt.fetch), ('kernel.org',
                                                 tarball.fetch)):
            try:
                what = fetch(kernel, tmp)
                break
            except cache.DiskError:
                raise
            except ToolError as err:
                reasons.append(f'{name}: {err.message.rstrip(".")}')
                details.append(err.detail)
                _empty(tmp)
        else:
            raise ToolError(f'Linux {kernel} could not be had '
                            f'({"; ".join(reasons)}): {_OWN_TREE}.',
                            detail='\n'.join(filter(None, details)))
        version = read_version(tmp)
        if not (version + '.').startswith(kernel + '.'):
            raise ToolError(f'{what} holds Linux {version or "?"}, not '
                            f'{kernel}: {_OWN_TREE}.')
        marker = {'origin': what, 'version': version}
        (tmp / MARKER).write_text(json.dumps(marker) + '\n')
    tree = open_tree(final)
    say.say(f'Linux {tree.version} is ready in {tree.path}')
    return tree


def _empty(path: Path) -> None:
    """Remove what is in a directory."""
    for entry in os.scandir(path):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)
