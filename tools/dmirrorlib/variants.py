# SPDX-License-Identifier: GPL-2.0
"""The tree that a tier is built from: the plain one, or one with patches.

A cached tree is never patched itself. Beside it comes a variant, whose files
are hard links to the plain tree's, except for those that the patches change:
so it costs next to nothing, untouched files keep their time of last
modification, and the builds of different tiers leave each other alone. Nothing
may ever write into a file of either tree; graft and patches put new files in
the place of old ones.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Dict

from . import cache, graft, patches, say, source
from .errors import ToolError
from .source import Tree
from .tiers import Tier

# Where hard links are not to be had, a file is copied.
_NO_LINKS = (errno.EPERM, errno.EMLINK, errno.EXDEV, errno.ENOTSUP,
             errno.ENOSYS)


def tree_for(tier: Tier, tree: Tree, project: Path) -> Tree:
    """Return the tree that a tier is built from.

    Args:
        tier: the tier.
        tree: the tree that the user or the cache gives.
        project: the top of this project.

    Returns:
        The tree itself, or a patched variant of a cached one.

    Raises:
        ToolError: it is a user's tree without the patches, or they do not
            apply.
    """
    if patches.half_done(tree.path) and not tier.patches:
        raise ToolError(
            f'{tree.path} has only a part of the kernel patches, because a '
            f'run was killed: run "tools/dmirror graft --patches {tree.path}" '
            'or "ungraft" to finish or undo it.')
    if not tier.patches:
        return tree
    series = patches.read_series(folder_of(project, tier.patches))
    if tree.owned:
        return _variant(tree, series)
    found = patches.state(tree.path, series)
    if found == patches.CURRENT:
        return tree
    words = {patches.NONE: 'does not have the kernel patches',
             patches.OTHER: 'has other kernel patches than those',
             patches.HALF: 'has only a part of the kernel patches',
             patches.BROKEN: 'has, edited since, the kernel patches'}
    raise ToolError(
        f'the tree {tree.path} is yours and {words[found]} of tier '
        f'{tier.name}: run "tools/dmirror graft --patches {tree.path}" first.')


def folder_of(project: Path, name: str) -> Path:
    """Return the directory of a series of patches."""
    return project / 'tools' / 'patches' / name


def describe(tree: Tree, project: Path) -> str:
    """Return which patches of ours a tree has, for a run's versions."""
    try:
        series = patches.recorded(tree.path)
        if series is None:
            return 'none'
        folder = folder_of(project, series.name)
        now = patches.read_series(folder) if folder.is_dir() else series
        found = patches.state(tree.path, now)
    except ToolError as err:
        return f'patched, not known with what ({err.message})'
    words = {patches.CURRENT: '', patches.BROKEN: ', edited since',
             patches.HALF: ', in part'}
    return f'patched ({series.name}' + words.get(
        found, ', of another version of the project') + ')'


def _variant(tree: Tree, series: patches.Series) -> Tree:
    """Return a cached tree's variant with a series, made if need be."""
    ending = f'-{series.name}'
    if tree.path.name.endswith(ending):
        path, plain = tree.path, None
    else:
        path, plain = tree.path.with_name(tree.path.name + ending), tree
    with cache.lock(f'tree-{path.name}', f'patching {path.name}'):
        if plain and not _is_of(path, plain):
            _make(path, plain, series)
        variant = source.open_tree(path)
        if patches.state(path, series) != patches.CURRENT:
            with source.tree_lock(variant):     # not under a build
                patches.apply(path, series)
                say.say(f'{path} has the present patches now')
    return variant


def _marker(tree: Tree) -> Dict[str, str]:
    """Return what the marker of a variant of this tree holds."""
    return {'origin': source.origin(tree), 'version': tree.version,
            'variant of': tree.path.name}


def _is_of(path: Path, plain: Tree) -> bool:
    """Return whether there is a complete variant of the plain tree as it is
    now."""
    try:
        marker = json.loads((path / source.MARKER).read_text())
        return bool(marker == _marker(plain)
                    and source.open_tree(path).version == plain.version)
    except (OSError, ValueError, ToolError):
        return False


def _make(path: Path, plain: Tree, series: patches.Series) -> None:
    """Make a variant; the caller holds its lock."""
    doing = f'making {path.name}'
    with source.tree_lock(plain), cache.publish(path, doing) as tmp:
        _link_all(plain.path, tmp)
        graft.ungraft(tmp)  # the links are not there; the two lines go
        try:
            patches.apply(tmp, series)
        except ToolError as err:
            raise ToolError(err.message.replace(str(tmp), str(plain.path)),
                            err.code, err.detail) from err
        (tmp / source.MARKER).write_text(json.dumps(_marker(plain)) + '\n')
    say.say(f'{path} has the patches of {series.name}, the rest is that of '
            f'{plain.path}')


def _link_all(old: Path, new: Path) -> None:
    """Link the files of a tree into another, without what is ours in it.

    Args:
        old: the plain tree.
        new: an empty directory on the same file system.
    """
    ours = {source.MARKER, graft.LINK, patches.RECORD, patches.STAGE}
    if graft.has_header(old):
        ours.add(graft.HEADER)
    todo = ['']
    while todo:
        folder = todo.pop()
        with os.scandir(old / folder) as entries:
            for entry in entries:
                name = os.path.join(folder, entry.name)
                if name in ours:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    (new / name).mkdir()
                    todo.append(name)
                elif entry.is_symlink():
                    os.symlink(os.readlink(entry.path), new / name)
                else:
                    _link(entry.path, new / name)


def _link(old: str, new: Path) -> None:
    """Link a file, or copy it where that cannot be."""
    try:
        os.link(old, new)
    except OSError as err:
        if err.errno not in _NO_LINKS:
            raise
        shutil.copy2(old, new)
