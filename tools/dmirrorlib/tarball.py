# SPDX-License-Identifier: GPL-2.0
"""Kernel trees from kernel.org's tarballs."""

from __future__ import annotations

import hashlib
import os
import re
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Optional, Tuple

from . import cache, proc, say
from .errors import ToolError

KERNEL_ORG = 'https://cdn.kernel.org/pub/linux/kernel'
TIMEOUT = 30  # seconds without a byte from the server


def base_url() -> str:
    """Return where the vN.x directories are; $DMIRROR_KERNEL_ORG overrides."""
    return (os.environ.get('DMIRROR_KERNEL_ORG') or KERNEL_ORG).rstrip('/')


def newest(kernel: str) -> Tuple[str, str]:
    """Return the newest patch release of a kernel.

    Args:
        kernel: major.minor, as in '7.3'.

    Returns:
        The tarball's address and its SHA-256 in hexadecimal.

    Raises:
        ToolError: the list of checksums cannot be read or does not name it.
    """
    folder = f'{base_url()}/v{kernel.split(".")[0]}.x'
    with _open(f'{folder}/sha256sums.asc') as reply:
        text = _read(reply).decode('ascii', errors='replace')
    pattern = re.compile(
        rf'^([0-9a-f]{{64}})  (linux-{re.escape(kernel)}(?:\.(\d+))?\.tar\.xz)$',
        re.MULTILINE)
    found = [(int(patch or 0), name, digest)
             for digest, name, patch in pattern.findall(text)]
    if not found:
        raise ToolError(f'{folder} has no Linux {kernel}.')
    _, name, digest = max(found)
    return f'{folder}/{name}', digest


def fetch(kernel: str, into: Path) -> str:
    """Download, verify and unpack the newest tarball of a kernel.

    The checksum comes over the same authenticated connection (https) as the
    tarball; its signature is not checked, for no key of kernel.org's is at
    hand.

    Args:
        kernel: major.minor, as in '7.3'.
        into: an empty directory that becomes the top of the tree.

    Returns:
        What was unpacked, as in 'linux-7.3.4.tar.xz'.

    Raises:
        ToolError: kernel.org cannot provide this kernel.
        DiskError: the disk is full or cannot be written.
    """
    url, digest = newest(kernel)
    name = url.rsplit('/', 1)[1]
    path = cache.sub('downloads') / name
    with cache.explain(f'downloading {name}'):
        if not path.is_file() or _sha256(path) != digest:
            say.say(f'downloading {url}')
            _download(url, digest, path)
    say.say(f'unpacking it into {cache.root()}')
    done = proc.run(['tar', '-xJf', str(path), '--strip-components=1',
                     '--no-same-owner', '-C', str(into)],
                    env={'LC_ALL': 'C'})
    if done.returncode != 0:
        if 'No space left' in done.stderr:
            raise cache.disk_full(f'unpacking {name}')
        raise ToolError(f'tar could not unpack {name}.',
                        detail=done.stderr[-2000:])
    path.unlink()
    return name


def _download(url: str, digest: str, path: Path) -> None:
    """Fetch a file; it gets its name only once its checksum is right."""
    part = path.with_name(path.name + '.part')
    seen = hashlib.sha256()
    with _open(url) as reply, open(part, 'wb') as out:
        while True:
            block = _read(reply, 1 << 20)
            if not block:
                break
            seen.update(block)
            out.write(block)
    if seen.hexdigest() != digest:
        part.unlink()
        raise ToolError(f'what {url} sent does not have the checksum that '
                        'sha256sums.asc names.')
    os.replace(part, path)


def _sha256(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    seen = hashlib.sha256()
    with open(path, 'rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            seen.update(block)
    return seen.hexdigest()


def _open(url: str) -> HTTPResponse:
    """Open an address; what goes wrong becomes one sentence."""
    try:
        reply: HTTPResponse = urllib.request.urlopen(url, timeout=TIMEOUT)
        return reply
    except urllib.error.HTTPError as err:
        raise ToolError(f'{url} answers {err.code} {err.reason}.') from err
    except (OSError, ValueError, HTTPException) as err:
        reason = getattr(err, 'reason', err)
        reason = getattr(reason, 'strerror', None) or reason
        raise ToolError(f'{url} cannot be reached ({reason}).') from err


def _read(reply: HTTPResponse, limit: Optional[int] = None) -> bytes:
    """Read from a server; a broken connection becomes one sentence.

    Args:
        reply: what _open() returned.
        limit: at most this many bytes; all that remains by default.
    """
    try:
        block = reply.read(limit)
    except (OSError, HTTPException) as err:
        raise ToolError('the connection broke while downloading '
                        f'({err}); try again.') from err
    if not block and reply.length:  # read(limit) takes this for the end
        raise ToolError('the connection broke while downloading '
                        f'({reply.length} bytes are missing); try again.')
    return block
