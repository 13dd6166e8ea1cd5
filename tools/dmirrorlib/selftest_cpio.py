# SPDX-License-Identifier: GPL-2.0
"""Writing an initramfs: a cpio archive in the newc format, as the kernel's
Documentation/driver-api/early-userspace/buffer-format.rst describes it.

The archive is made in memory, so device nodes need no root, and the same
contents give the same bytes.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import List, Sequence, Set

_MAGIC = b'070701'
_TRAILER = 'TRAILER!!!'
_ALIGN = 4              # of each header with its name, and of each content
_MAX_SIZE = 0xffffffff  # bytes of a content: eight hexadecimal digits


@dataclass(frozen=True)
class Entry:
    """One thing in the archive.

    name: its path, without a leading slash.
    mode: type and permissions, as in st_mode.
    data: a file's content.
    major, minor: a device node's numbers.
    """
    name: str
    mode: int
    data: bytes = b''
    major: int = 0
    minor: int = 0


def directory(name: str, mode: int = 0o755) -> Entry:
    """Return an entry for a directory.

    Args:
        name: its path.
        mode: its permissions.
    """
    return Entry(name, stat.S_IFDIR | mode)


def file(name: str, data: bytes, mode: int = 0o644) -> Entry:
    """Return an entry for a file.

    Args:
        name: its path.
        data: its content.
        mode: its permissions.
    """
    return Entry(name, stat.S_IFREG | mode, data)


def program(name: str, source: Path) -> Entry:
    """Return an entry for a file that can be run.

    Args:
        name: its path.
        source: where the content is.

    Raises:
        OSError: it cannot be read.
    """
    return file(name, source.read_bytes(), 0o755)


def char_device(name: str, major: int, minor: int,
                mode: int = 0o600) -> Entry:
    """Return an entry for the node of a character device.

    Args:
        name: its path.
        major, minor: the device's numbers.
        mode: its permissions.
    """
    return Entry(name, stat.S_IFCHR | mode, b'', major, minor)


def archive(entries: Sequence[Entry]) -> bytes:
    """Return an archive with these entries.

    Args:
        entries: a directory before what is in it.

    Raises:
        ValueError: a name is absolute, empty, not whole or there twice, its
            directory does not come before it, or a content is too large.
    """
    directories, names = {''}, {_TRAILER}
    parts: List[bytes] = []
    for number, entry in enumerate(entries, 1):
        _check(entry, directories, names)
        names.add(entry.name)
        if stat.S_ISDIR(entry.mode):
            directories.add(entry.name)
        parts.append(_record(entry, number))
    parts.append(_record(Entry(_TRAILER, 0), 0))
    return b''.join(parts)


def _check(entry: Entry, directories: Set[str], names: Set[str]) -> None:
    parent, _, base = entry.name.rpartition('/')
    if not base or '\0' in entry.name or entry.name in names:
        raise ValueError(f'not a new name in the archive: {entry.name!r}')
    if entry.name.startswith('/') or parent not in directories:
        raise ValueError(f'no directory in the archive for {entry.name!r}')
    if len(entry.data) > _MAX_SIZE:
        raise ValueError(f'{entry.name!r} is too large for an archive')


def _record(entry: Entry, number: int) -> bytes:
    """Return an entry as it stands in the archive.

    Args:
        entry: the entry.
        number: its inode, which no other entry may have.
    """
    name = entry.name.encode() + b'\0'
    fields = (number, entry.mode, 0, 0,         # root's
              2 if stat.S_ISDIR(entry.mode) else 1,
              0,                                # the time: always the same
              len(entry.data), 0, 0,            # the file system's device
              entry.major, entry.minor, len(name),
              0)                                # no checksum in this format
    header = _MAGIC + b''.join(b'%08X' % field for field in fields)
    return _padded(header + name) + _padded(entry.data)


def _padded(data: bytes) -> bytes:
    return data + b'\0' * (-len(data) % _ALIGN)
