# SPDX-License-Identifier: GPL-2.0
"""Making the project part of a kernel tree, and taking it out again.

A graft is four things, and nothing else in the tree is touched: the symbolic
link drivers/dmirror to the project; through it, the symbolic link
arch/um/include/asm/sparsemem.h, which gives User Mode Linux device memory; one
line in drivers/Makefile and one in drivers/Kconfig. They are put in place in
this order and removed in the reverse one, each in one step: a tree builds at
every moment in between, and whatever a killed run left is completed or removed
by the next.

A tree that has a sparsemem.h of its own for User Mode Linux keeps it, and one
without that architecture gets none: there a graft is the other three.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import stat
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Tuple

from . import cache, say
from .errors import ToolError

LINK = 'drivers/dmirror'
HEADER = 'arch/um/include/asm/sparsemem.h'
# Relative, and through the first link: moving the tree or taking it over for
# another clone leaves it right.
HEADER_TARGET = ('../../../../drivers/dmirror/drivers/um_zone_device/'
                 'include/asm/sparsemem.h')
KCONFIG = 'drivers/Kconfig'
MAKEFILE = 'drivers/Makefile'
KCONFIG_LINE = b'source "drivers/dmirror/Kconfig"'
MAKEFILE_LINE = b'obj-y\t\t\t\t+= dmirror/'

_OURS = {
    KCONFIG: re.compile(rb'^source[ \t]+"drivers/dmirror/Kconfig"[ \t]*$',
                        re.MULTILINE),
    MAKEFILE: re.compile(rb'^obj-y[ \t]*\+=[ \t]*dmirror/[ \t]*$',
                         re.MULTILINE),
}


def graft(tree: Path, project: Path, repoint: bool = False) -> bool:
    """Make the project part of a kernel tree.

    Args:
        tree: the top of the kernel tree.
        project: the top of this project.
        repoint: also when the tree is grafted to another clone of the
            project, which it is then not any more.

    Returns:
        True if anything changed, False if the graft was in place already.

    Raises:
        ToolError: it cannot be done; the message says why.
    """
    project = project.resolve()
    with locked(tree):
        changed = _link(tree, project, repoint)
        changed |= _link_header(tree)
        changed |= _edit(tree, MAKEFILE, _with_makefile_line)
        changed |= _edit(tree, KCONFIG, _with_kconfig_line)
    if has_own_header(tree):
        say.say(f'{tree} has a {HEADER} of its own, so it is left as it is '
                'and the overlay for User Mode Linux steps aside.')
    return changed


def ungraft(tree: Path) -> bool:
    """Remove a graft, whole or half done, and nothing else.

    Args:
        tree: the top of the kernel tree.

    Returns:
        True if anything changed, False if there was no graft.

    Raises:
        ToolError: it cannot be done; the message says why.
    """
    with locked(tree):
        link = tree / LINK
        if os.path.lexists(link) and _target(tree) is None:
            if has_line(tree, KCONFIG) or has_line(tree, MAKEFILE):
                raise ToolError(
                    f'{link} is not a link to a dmirror project, so this is '
                    'no graft of ours: move it away first, then ungraft.')
            return _unlink_header(tree)
        changed = _edit(tree, KCONFIG, _without_line(KCONFIG))
        changed |= _edit(tree, MAKEFILE, _without_line(MAKEFILE))
        changed |= _unlink_header(tree)
        if os.path.lexists(link):
            link.unlink()
            changed = True
        _forget(tree)
    return changed


def grafted_to(tree: Path) -> Optional[Path]:
    """Return the project a tree is grafted to.

    Args:
        tree: the top of the kernel tree.

    Returns:
        The project's path, which need not exist any more; None where there
        is no graft or only a part of one, such as that of a former version
        of this program.
    """
    return _target(tree) if all(_parts(tree)) else None


def half_done(tree: Path) -> bool:
    """Return True if a tree has parts of a graft, but not all."""
    parts = _parts(tree)
    return any(parts) and not all(parts)


def has_header(tree: Path) -> bool:
    """Return True if a tree has our HEADER, also if it leads nowhere."""
    path = tree / HEADER
    return path.is_symlink() and os.readlink(path) == HEADER_TARGET


def has_own_header(tree: Path) -> bool:
    """Return True if a tree has a HEADER that is not ours."""
    return os.path.lexists(tree / HEADER) and not has_header(tree)


def _wants_header(tree: Path) -> bool:
    """Return True if our HEADER is part of a graft of this tree."""
    return (tree / HEADER).parent.is_dir() and not has_own_header(tree)


def _parts(tree: Path) -> List[bool]:
    """Return, for each part that a graft of this tree has, if it is there."""
    parts = [_target(tree) is not None, has_line(tree, KCONFIG),
             has_line(tree, MAKEFILE)]
    if _wants_header(tree):
        parts.append(has_header(tree))
    return parts


def has_line(tree: Path, name: str) -> bool:
    """Return True if a file of the tree (KCONFIG, MAKEFILE) has our line."""
    try:
        return bool(_OURS[name].search((tree / name).read_bytes()))
    except OSError:
        return False


def _target(tree: Path) -> Optional[Path]:
    """Return where the tree's link points if it is a graft's, else None.

    A link that leads nowhere is a graft's too: of a project that was moved
    or deleted.
    """
    link = tree / LINK
    if not link.is_symlink():
        return None
    target = link.parent / os.readlink(link)
    if os.path.lexists(target) and not (target / 'tools/dmirrorlib').is_dir():
        return None
    return target


def _link(tree: Path, project: Path, repoint: bool) -> bool:
    """Put the link in place; return True if it was not."""
    link = tree / LINK
    if os.path.lexists(link):
        target = _target(tree)
        if target is None:
            raise ToolError(f'{link} exists and is not a link to a dmirror '
                            'project: it is left alone, and so is the tree.')
        if target.resolve() == project:
            return False
        if target.exists() and not repoint:
            raise ToolError(
                f'{tree} is grafted to another clone, {target}: ungraft it '
                'first, or use --repoint to take it over.')
    temp = _temp(link)
    temp.symlink_to(project)
    os.replace(temp, link)
    return True


def _link_header(tree: Path) -> bool:
    """Put our HEADER in place; return True if it was not."""
    if not _wants_header(tree) or has_header(tree):
        return False
    temp = _temp(tree / HEADER)
    temp.symlink_to(HEADER_TARGET)
    os.replace(temp, tree / HEADER)
    return True


def _unlink_header(tree: Path) -> bool:
    """Remove our HEADER; return True if it was there."""
    if not has_header(tree):
        return False
    (tree / HEADER).unlink()
    return True


def _edit(tree: Path, name: str, change: Callable[[bytes], bytes]) -> bool:
    """Change a file of the tree in one step, keeping mode and owner.

    When this brings back the content that graft() found, the time of last
    modification comes back too, so that nothing is rebuilt for it.

    Args:
        tree: the top of the kernel tree.
        name: the file, KCONFIG or MAKEFILE.
        change: gives the new content for the present one.

    Returns:
        True if the content changed.
    """
    path = tree / name
    info = path.stat()
    old = path.read_bytes()
    new = change(old)
    if new == old:
        return False
    if path.is_symlink():
        raise ToolError(f'{path} is a symbolic link: graft the tree that it '
                        'leads to.')
    times = _load(tree)
    if not _OURS[name].search(old):
        times[name] = (_digest(old), info.st_mtime_ns)
        _save(tree, times)
    temp = _temp(path)
    with open(temp, 'xb') as file:
        file.write(new)
        file.flush()
        os.fchmod(file.fileno(), stat.S_IMODE(info.st_mode))
        if (info.st_uid, info.st_gid) != (os.geteuid(), os.getegid()):
            with contextlib.suppress(PermissionError):
                os.fchown(file.fileno(), info.st_uid, info.st_gid)
        os.fsync(file.fileno())
    digest, mtime_ns = times.get(name, ('', 0))
    if digest == _digest(new):
        os.utime(temp, ns=(info.st_atime_ns, mtime_ns))
    os.replace(temp, path)
    return True


def _temp(path: Path) -> Path:
    """Return the name that `path` has while it is being made."""
    return path.with_name(f'.{path.name}.graft-tmp')


def _with_makefile_line(text: bytes) -> bytes:
    """Return drivers/Makefile with our line, at its end."""
    if _OURS[MAKEFILE].search(text):
        return text
    if text and not text.endswith(b'\n'):
        return text + b'\n' + MAKEFILE_LINE  # _without_line() undoes this
    return text + MAKEFILE_LINE + b'\n'


def _with_kconfig_line(text: bytes) -> bytes:
    """Return drivers/Kconfig with our line, last in its menu."""
    if _OURS[KCONFIG].search(text):
        return text
    ends = list(re.finditer(rb'^endmenu\b', text, re.MULTILINE))
    if not ends:
        raise ToolError(f'{KCONFIG} has no endmenu: is this a kernel tree?')
    at = ends[-1].start()
    return text[:at] + KCONFIG_LINE + b'\n' + text[at:]


def _without_line(name: str) -> Callable[[bytes], bytes]:
    """Return the change that takes our line out of a file."""
    def change(text: bytes) -> bytes:
        while True:
            found = _OURS[name].search(text)
            if not found:
                return text
            start, end = found.span()
            if end < len(text):
                end += 1    # with its newline
            elif start > 0:
                start -= 1  # the last line, and the file has no newline there
            text = text[:start] + text[end:]
    return change


@contextlib.contextmanager
def locked(tree: Path) -> Iterator[None]:
    """Keep other grafts away from a tree, and explain what fails in it."""
    for name in ('Makefile', KCONFIG, MAKEFILE):
        if not (tree / name).is_file():
            raise ToolError(f'{tree} is not the top of a kernel source tree: '
                            f'it has no {name}.')
    try:
        fd = os.open(tree / 'drivers', os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            for name in (LINK, HEADER, KCONFIG, MAKEFILE):
                if os.path.lexists(_temp(tree / name)):  # of a killed run
                    _temp(tree / name).unlink()
            yield
        finally:
            os.close(fd)
    except OSError as err:
        raise ToolError(
            f'{tree} cannot be changed ({err.strerror}): make it writable, '
            'or use a copy or a git worktree of it.') from err


def _digest(data: bytes) -> str:
    """Return the SHA-256 of a file's content."""
    return hashlib.sha256(data).hexdigest()


# What the files were before the graft: the digest of the content and the time
# of last modification in nanoseconds. Only that time depends on it, so where
# the cache cannot be written or was removed, the graft works without.
_Times = Dict[str, Tuple[str, int]]


def _times_path(tree: Path) -> Path:
    """Return the file of the cache that describes a tree before its graft."""
    name = _digest(os.fsencode(tree.resolve()))[:16]
    return cache.sub('state') / f'graft-{name}.json'


def _load(tree: Path) -> _Times:
    """Return what _save() wrote."""
    try:
        data = json.loads(_times_path(tree).read_text())
        return {str(k): (str(v[0]), int(v[1])) for k, v in data.items()}
    except (OSError, ToolError, ValueError, LookupError, AttributeError):
        return {}


def _save(tree: Path, times: _Times) -> None:
    """Remember what a tree's files were before the graft."""
    with contextlib.suppress(OSError, ToolError):
        _times_path(tree).write_text(json.dumps(times) + '\n')


def _forget(tree: Path) -> None:
    """Drop what _save() wrote."""
    with contextlib.suppress(OSError, ToolError):
        _times_path(tree).unlink()
