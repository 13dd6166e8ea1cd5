# SPDX-License-Identifier: GPL-2.0
"""Putting the project's kernel patches into a tree, and taking them out again.

The patches are applied to copies of the files that they change, which are in
the tree too (STAGE). Only if all apply are the copies renamed into place: the
tree has all of the patches or is as it was, and where a file has hard links
elsewhere, those keep the old content. What a killed run left is finished by
the next, because everything was ready before the first rename.

RECORD, at the top of the tree, says what was applied, word for word. So it can
be taken out also after the project's patches have changed.

The files that come back get a new time of last modification, unlike those of a
graft: an object that was compiled from the patched file must not look newer
than its source. A file whose content stays the same is not touched at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from . import graft, proc
from .errors import ToolError

RECORD = '.dmirror-patches'
STAGE = '.dmirror-patches.tmp'

# What state() returns.
NONE = 'none'           # no patches of ours
CURRENT = 'current'     # exactly these
OTHER = 'other'         # others, as of another version of the project
HALF = 'half'           # a killed run has to be finished
BROKEN = 'broken'       # they were edited and do not come off

_SERIES = re.compile(rb'# dmirror series (\S+)\n')
_PATCH = re.compile(rb'# dmirror patch (\S+) (\d+)\n')


@dataclass(frozen=True)
class Patch:
    """One patch: its file's name, and the text as from git format-patch."""
    name: str
    data: bytes


@dataclass(frozen=True)
class Series:
    """Patches that are applied together, in this order."""
    name: str
    patches: Tuple[Patch, ...]

    def text(self) -> bytes:
        """Return what the RECORD of this series holds: the patches one after
        the other, each below a line with its name and length in bytes."""
        parts = [f'# dmirror series {self.name}\n'.encode()]
        for patch in self.patches:
            size = len(patch.data)
            parts.append(f'# dmirror patch {patch.name} {size}\n'.encode())
            parts.append(patch.data)
        return b''.join(parts)


class _Refused(Exception):
    """git does not apply a patch: which one, and its words."""

    def __init__(self, patch: Patch, words: str) -> None:
        super().__init__(patch.name)
        self.patch = patch
        self.words = words


def read_series(folder: Path) -> Series:
    """Read the patches of a directory, *.patch in the order of their names.

    Raises:
        ToolError: it has none.
    """
    paths = sorted(folder.glob('*.patch'))
    if not paths:
        raise ToolError(f'{folder} holds no *.patch: get a complete copy of '
                        'the project.')
    return Series(folder.name, tuple(
        Patch(p.name, p.read_bytes().rstrip(b'\n') + b'\n') for p in paths))


def recorded(tree: Path) -> Optional[Series]:
    """Return what the RECORD of a tree says is applied; None without one.

    Raises:
        ToolError: the file is not what was written.
    """
    path = tree / RECORD
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    head = _SERIES.match(text)
    found: List[Patch] = []
    at = head.end() if head else 0
    while head and at < len(text):
        line = _PATCH.match(text, at)
        end = line.end() + int(line.group(2)) if line else len(text) + 1
        if not line or end > len(text):
            break
        found.append(Patch(line.group(1).decode(), text[line.end():end]))
        at = end
    if not head or not found or at != len(text):
        raise ToolError(f'{path} was changed, so nobody knows which patches '
                        'are in the tree: restore its files, for example '
                        'with git, then delete this one.')
    return Series(head.group(1).decode(), tuple(found))


def half_done(tree: Path) -> bool:
    """Return True if a killed run left a tree with a part of the patches."""
    return (tree / STAGE / 'plan').exists()


def state(tree: Path, series: Series) -> str:
    """Return whether a tree has a series: NONE, CURRENT, OTHER, HALF, BROKEN.

    Args:
        tree: the top of the kernel tree, which is only read.
        series: the patches asked for.

    Raises:
        ToolError: the record was changed, or git is not there.
    """
    if half_done(tree):
        return HALF
    old = recorded(tree)
    if old is None:
        return NONE
    with tempfile.TemporaryDirectory(prefix='dmirror-') as folder:
        try:
            _stage(Path(folder), tree, old, None)
        except _Refused:
            return BROKEN
    return CURRENT if old == series else OTHER


def apply(tree: Path, series: Series) -> bool:
    """Make sure that a tree has exactly this series.

    Args:
        tree: the top of the kernel tree. Patches of another version of the
            project are taken out of it.
        series: the patches.

    Returns:
        True if anything changed.

    Raises:
        ToolError: they do not all apply, or others do not come off. The tree
            was left as it was.
    """
    with graft.locked(tree), _leaving_no_stage(tree):
        changed = _finish(tree)
        old = recorded(tree)
        try:
            plan = _stage(tree / STAGE, tree, old, series)
        except _Refused as err:
            raise _explain(tree, old, err) from err
        if old == series:
            return changed
        _commit(tree, plan, series)
    return True


def take_back(tree: Path) -> bool:
    """Take the patches out of a tree that apply() put there.

    Args:
        tree: the top of the kernel tree.

    Returns:
        True if anything changed, False if there were none.

    Raises:
        ToolError: they do not come off. The tree was left as it was.
    """
    with graft.locked(tree), _leaving_no_stage(tree):
        changed = _finish(tree)
        old = recorded(tree)
        if old is None:
            return changed
        try:
            plan = _stage(tree / STAGE, tree, old, None)
        except _Refused as err:
            raise _explain(tree, old, err) from err
        _commit(tree, plan, None)
    return True


# Per file that changes, the digests of its content before and after; '' where
# there is no file. The RECORD is not among them.
_Plan = Dict[str, Tuple[str, str]]


def _stage(stage: Path, tree: Path, old: Optional[Series],
           new: Optional[Series]) -> _Plan:
    """Make copies of all files concerned and change those.

    Args:
        stage: a directory, made if need be; the copies are in 'tree' there.
        tree: the top of the kernel tree, which is only read.
        old: what is to come off.
        new: what is to be applied then.

    Raises:
        _Refused: a patch does not come off or apply.
    """
    copies = stage / 'tree'
    copies.mkdir(parents=True)
    undo = list(reversed(old.patches)) if old else []
    do = list(new.patches) if new else []
    names = _touched(stage, [*undo, *do])
    before: Dict[str, Tuple[str, Optional[os.stat_result]]] = {}
    for name in names:
        before[name] = _digest(tree / name), _copy(tree, name, copies)
    for patch in undo:
        _git_apply(stage, patch, '--reverse')
    for patch in do:
        _git_apply(stage, patch)
    plan: _Plan = {}
    for name in names:
        was, info = before[name]
        now = _digest(copies / name)
        if now != was:
            plan[name] = was, now
        if now != was and now:
            _settle(copies / name, info)
    return plan


def _touched(stage: Path, patches: Sequence[Patch]) -> List[str]:
    """Return the files that patches change, as paths in the tree."""
    names: Dict[str, None] = {}
    for patch in patches:
        done = _git(stage, patch, '--numstat', '-z')
        if done.returncode:
            raise _Refused(patch, done.stderr)
        for row in done.stdout.rstrip('\0').split('\0'):
            names[row.split('\t', 2)[2]] = None
    return list(names)


def _copy(tree: Path, name: str, copies: Path) -> Optional[os.stat_result]:
    """Copy a file of the tree, if it is there; return its lstat()."""
    real = os.path.realpath(tree)
    if os.path.realpath(tree / name) != os.path.join(real, name):
        raise ToolError(f'{tree / name} is reached through a symbolic link: '
                        'patch the tree that it leads to.')
    (copies / name).parent.mkdir(parents=True, exist_ok=True)
    if not os.path.lexists(tree / name):
        return None
    shutil.copyfile(tree / name, copies / name)
    return (tree / name).lstat()


def _settle(path: Path, info: Optional[os.stat_result]) -> None:
    """Give a changed copy the mode and owner that the file had, and make
    sure that it is on the disk."""
    with open(path, 'rb') as file:
        if info is not None:
            os.fchmod(file.fileno(), stat.S_IMODE(info.st_mode))
            if (info.st_uid, info.st_gid) != (os.geteuid(), os.getegid()):
                with contextlib.suppress(PermissionError):
                    os.fchown(file.fileno(), info.st_uid, info.st_gid)
        os.fsync(file.fileno())


def _git_apply(stage: Path, patch: Patch, *options: str) -> None:
    """Apply a patch to the copies; raises _Refused."""
    done = _git(stage, patch, '--whitespace=nowarn', *options)
    if done.returncode:
        raise _Refused(patch, done.stderr)


def _git(stage: Path, patch: Patch,
         *options: str) -> 'subprocess.CompletedProcess[str]':
    """Call `git apply` where the copies are.

    GIT_DIR says that there is no repository. Else git would find one around
    the tree, and silently change nothing in a directory that it ignores; and
    its settings (core.autocrlf, apply.whitespace) would count.
    """
    path = stage / 'patch'
    path.write_bytes(patch.data)
    env = {'GIT_DIR': os.devnull, 'GIT_CONFIG_GLOBAL': os.devnull,
           'GIT_CONFIG_NOSYSTEM': '1', 'GIT_ATTR_NOSYSTEM': '1',
           'LC_ALL': 'C'}
    argv = ['git', '-c', 'core.autocrlf=false', '-c', 'apply.whitespace=warn',
            '-c', 'apply.ignoreWhitespace=no', 'apply', *options, str(path)]
    try:
        return proc.run(argv, stage / 'tree', env, timeout=60)
    except FileNotFoundError as err:
        raise ToolError('git is not installed, which applies the patches '
                        'that this tree needs: install it '
                        '(apt-get install git).') from err


def _commit(tree: Path, plan: _Plan, record: Optional[Series]) -> None:
    """Put in place what was staged: once 'plan' is there, it will be done.

    Args:
        tree: the top of the kernel tree.
        plan: what _stage() returned.
        record: what the tree has afterwards, None for nothing.
    """
    stage = tree / STAGE
    if record:
        _write(stage / 'record', record.text())
    _write(stage / 'plan.new', json.dumps(
        {'files': plan, 'record': bool(record)}).encode())
    os.replace(stage / 'plan.new', stage / 'plan')
    _finish(tree)


def _finish(tree: Path) -> bool:
    """Finish what was begun, by this run or a killed one.

    Returns:
        True if there was anything to finish.

    Raises:
        ToolError: somebody changed a file since the run was killed.
    """
    stage = tree / STAGE
    if not half_done(tree):
        _remove_stage(tree)
        return False
    data = json.loads((stage / 'plan').read_text())
    plan: _Plan = {name: (was, will)
                   for name, (was, will) in data['files'].items()}
    for name, digests in plan.items():
        if _digest(tree / name) not in digests:
            raise ToolError(
                f'{tree / name} was edited after a run that changed it had '
                f'been killed: restore it, or delete {stage} and mend the '
                'tree by hand.')
    if (stage / 'record').exists():
        os.replace(stage / 'record', tree / RECORD)
    for name, (_, will) in plan.items():
        if _digest(tree / name) != will:
            _put(tree, name, bool(will))
    if not data['record']:
        with contextlib.suppress(FileNotFoundError):
            (tree / RECORD).unlink()
    _remove_stage(tree)
    return True


def _put(tree: Path, name: str, there: bool) -> None:
    """Rename a changed copy into the tree, or remove the file."""
    if there:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(tree / STAGE / 'tree' / name, tree / name)
    else:
        (tree / name).unlink()
        _remove_empty(tree, (tree / name).parent)


def _remove_empty(tree: Path, folder: Path) -> None:
    """Remove directories that a patch had made, if nothing is in them."""
    with contextlib.suppress(OSError):
        while folder != tree:
            folder.rmdir()
            folder = folder.parent


def _remove_stage(tree: Path) -> None:
    """Remove the stage, in an order that no half of it is taken for one."""
    with contextlib.suppress(FileNotFoundError):
        (tree / STAGE / 'plan').unlink()
    if os.path.lexists(tree / STAGE):
        shutil.rmtree(tree / STAGE)


@contextlib.contextmanager
def _leaving_no_stage(tree: Path) -> Iterator[None]:
    """Remove a stage from which nothing was put in place yet."""
    try:
        yield
    finally:
        if not half_done(tree):
            _remove_stage(tree)


def _explain(tree: Path, old: Optional[Series], err: _Refused) -> ToolError:
    """Return what to say of a patch that git refuses."""
    name = err.patch.name
    if old and err.patch in old.patches:
        return ToolError(
            f'the patches in {tree} do not come off ({name}), so it was left '
            'as it was: undo your edits of what they change, or restore these '
            f'files and delete {tree / RECORD}.', detail=err.words)
    with tempfile.TemporaryDirectory(prefix='dmirror-') as folder:
        there = Series('', (err.patch,))
        try:
            _stage(Path(folder), tree, there, None)
        except (_Refused, OSError):
            return ToolError(
                f'{name} does not apply to {tree}, which was left as it was: '
                'use a tree without other changes of the same lines.',
                detail=err.words)
    return ToolError(
        f'{name} is in {tree} already, which was left as it was: take it out '
        'of one of the two, the tree or tools/patches.')


def _write(path: Path, data: bytes) -> None:
    """Write a file and make sure that it is on the disk."""
    with open(path, 'xb') as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file's content; '' where there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return ''
