# SPDX-License-Identifier: GPL-2.0
"""The cache directory: where it is, its locks, and directories that appear
in it whole or not at all."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Iterator, List, Optional, Tuple

from . import say
from .errors import ToolError

NAMES = ('trees', 'build', 'downloads', 'runs', 'state')

_held: List[int] = []   # the descriptors of the locks held

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


class DiskError(ToolError):
    """The disk that holds the cache is full or cannot be written: trying
    another source of the same data will not help."""


def root() -> Path:
    """Return the cache directory, which need not exist yet.

    $XDG_CACHE_HOME/dmirror, or ~/.cache/dmirror where XDG_CACHE_HOME is unset
    or, as the XDG specification has it, not an absolute path.

    Raises:
        DiskError: kbuild cannot work below such a path.
    """
    base = os.environ.get('XDG_CACHE_HOME', '')
    if not os.path.isabs(base):
        base = os.path.join(os.path.expanduser('~'), '.cache')
    path = Path(base) / 'dmirror'
    if unfit(path):
        raise DiskError(f'the cache cannot be in "{path}", because the '
                        'kernel\'s build works in no path with a blank or a '
                        'colon: set XDG_CACHE_HOME to another directory.')
    return path


def unfit(path: Path) -> bool:
    """Return whether kbuild cannot work with a path."""
    return any(c.isspace() or c == ':' for c in str(path))


def sub(name: str) -> Path:
    """Return one of the cache's directories (NAMES), created if need be.

    Raises:
        DiskError: it cannot be created.
    """
    if name not in NAMES:
        raise ValueError(f'no such part of the cache: {name}')
    path = root() / name
    with explain(f'creating {path}'):
        path.mkdir(parents=True, exist_ok=True)
    return path


def free_bytes(path: Path) -> int:
    """Return how many bytes an ordinary user can still write at `path`.

    Args:
        path: a file or directory; where it does not exist, its nearest
            existing parent counts.
    """
    path = Path(os.path.abspath(path))
    while not path.exists():
        path = path.parent
    stat = os.statvfs(path)
    return stat.f_bavail * stat.f_frsize


def disk_full(doing: str) -> DiskError:
    """Return the error for a disk that is full while `doing` something."""
    return DiskError(f'the disk that holds {root()} is full while {doing}: '
                     'free some space there, or set XDG_CACHE_HOME to a '
                     'directory on a larger disk.')


@contextlib.contextmanager
def explain(doing: str) -> Iterator[None]:
    """Turn an OSError about the disk into a sentence that says what to do.

    Args:
        doing: what is being done in the cache, as in 'unpacking Linux 7.3'.

    Raises:
        DiskError: the disk is full, read-only, or not ours to write.
    """
    try:
        yield
    except OSError as err:
        said = translate(err, doing)
        if said is None:
            raise
        raise said from err


def translate(err: OSError, doing: str) -> Optional[DiskError]:
    """Return the sentence for an OSError about the disk, None for another.

    Args:
        err: the error.
        doing: see explain.
    """
    if err.errno in _FULL:
        return disk_full(doing)
    if err.errno in _DENIED + (errno.ENOTDIR, errno.EEXIST):
        return DiskError(
            f'{err.filename or root()} cannot be written '
            f'({err.strerror}) while {doing}: set XDG_CACHE_HOME to a '
            'directory that you may write.')
    return None


@contextlib.contextmanager
def lock(name: str, doing: str) -> Iterator[None]:
    """Hold one of the cache's locks; wait, and say why, if another has it.

    The lock is the kernel's (flock): it ends with its holder, however that
    ends. It does not nest with itself.

    Args:
        name: which lock; a plain file name.
        doing: what the holder does, as in 'unpacking Linux 7.3'; shown to
            those who wait.
    """
    path = sub('state') / f'{name}.lock'
    with explain(f'opening {path}'):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say.say(f'{_holder(fd)}; waiting')
            fcntl.flock(fd, fcntl.LOCK_EX)
        # Only words for those who wait: a full disk must not stop us here.
        with contextlib.suppress(OSError):
            os.ftruncate(fd, 0)
            os.pwrite(fd, f'{os.getpid()}\n{doing}\n'.encode(), 0)
        _held.append(fd)
        try:
            yield
        finally:
            _held.remove(fd)
    finally:
        os.close(fd)


def held() -> Tuple[int, ...]:
    """Return the descriptors of the locks held now.

    A child that is given them (pass_fds) holds the locks as well: should
    this program be killed, they stay taken until the child has ended.
    """
    return tuple(_held)


def _holder(fd: int) -> str:
    """Return who holds the lock file and why, in words."""
    # The holder may have the lock and not have written its words yet.
    for _ in range(10):
        words = os.pread(fd, 4096, 0).decode(errors='replace').split('\n')
        if len(words) >= 2:
            return f'another dmirror (pid {words[0]}) is {words[1]}'
        time.sleep(0.02)
    return 'another dmirror holds the lock'


def sweep(final: Path) -> None:
    """Remove what killed runs left beside `final`.

    The caller holds the lock that guards `final`, so whatever unfinished
    directory is found belongs to no living process.

    Args:
        final: the path that publish() would fill.
    """
    for old in final.parent.glob(f'.{final.name}.*.tmp'):
        say.say(f'removing what an interrupted run left in {old}')
        _remove(old)


@contextlib.contextmanager
def publish(final: Path, doing: str) -> Iterator[Path]:
    """Fill a directory out of sight and show it whole, or never.

    The caller holds the lock that guards `final`. An existing `final` is
    replaced. What a reader sees under that name has reached the disk.

    Args:
        final: the directory's name once it is complete.
        doing: what is being done, for error messages.

    Yields:
        A new empty directory beside `final`, to be filled.

    Raises:
        DiskError: the disk is full or cannot be written.
    """
    sweep(final)
    tmp = _temp_for(final, doing)
    old = None
    try:
        with explain(doing):
            yield tmp
            _flush(tmp, whole=True)
            if os.path.lexists(final):
                old = _temp_for(final, doing)
                os.rename(final, old / 'old')
            os.rename(tmp, final)
            _flush(final.parent, whole=False)
    except BaseException:
        _remove(tmp)
        raise
    if old:
        _remove(old)


def _temp_for(final: Path, doing: str) -> Path:
    """Return a new empty directory beside `final` that sweep() knows."""
    with explain(doing):
        tmp = Path(tempfile.mkdtemp(prefix=f'.{final.name}.', suffix='.tmp',
                                    dir=final.parent))
        tmp.chmod(0o755)
    return tmp


def _flush(path: Path, whole: bool) -> None:
    """Write a directory to the disk.

    Args:
        path: the directory.
        whole: with all else that its file system holds (fsync of each of a
            kernel's files would take minutes).
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if whole and ctypes.CDLL(None, use_errno=True).syncfs(fd) != 0:
            raise OSError(ctypes.get_errno(),
                          os.strerror(ctypes.get_errno()), str(path))
        os.fsync(fd)
    finally:
        os.close(fd)


def _remove(path: Path) -> None:
    """Remove a directory that a child of a killed run may still write to."""
    for _ in range(20):
        shutil.rmtree(path, ignore_errors=True)
        if not os.path.lexists(path):
            return
        time.sleep(0.1)
    say.warn(f'{path} could not be removed; remove it by hand.')
