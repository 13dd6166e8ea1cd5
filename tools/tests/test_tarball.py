# SPDX-License-Identifier: GPL-2.0
"""Tests of kernels from kernel.org, played by a server on the loopback."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import socket
import threading
import unittest
from pathlib import Path
from unittest import mock

from dmirrorlib import cache, tarball

from .support import TempCase, make_tarball


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a directory, silently; /cut/ breaks off in the middle."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Serve; counts the requests."""
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        if self.path in self.server.cut:  # type: ignore[attr-defined]
            self.send_response(200)
            self.send_header('Content-Length', '1000000')
            self.end_headers()
            self.wfile.write(b'x' * 1000)
            return
        super().do_GET()


class Server:
    """An HTTP server on the loopback.

    Args:
        case: at whose end the server ends.
        folder: what it serves.
    """

    def __init__(self, case: TempCase, folder: Path) -> None:
        handler = functools.partial(Handler, directory=str(folder))
        self.http = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
        self.asked: 'list[str]' = []
        self.cut: 'set[str]' = set()
        self.http.asked = self.asked  # type: ignore[attr-defined]
        self.http.cut = self.cut  # type: ignore[attr-defined]
        thread = threading.Thread(target=self.http.serve_forever,
                                  kwargs={'poll_interval': 0.01})
        thread.start()
        case.addCleanup(self.http.server_close)
        case.addCleanup(thread.join)
        case.addCleanup(self.http.shutdown)
        self.url = f'http://127.0.0.1:{self.http.server_address[1]}'
        os.environ['DMIRROR_KERNEL_ORG'] = self.url + '/'


def make_kernel_org(folder: Path, version: str = '7.3.4') -> Path:
    """Fill a directory as kernel.org does; return the tarball's path."""
    major = folder / f'v{version.split(".")[0]}.x'
    major.mkdir(parents=True)
    path = make_tarball(major, f'linux-{version}', version, ballast=100_000)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (major / 'sha256sums.asc').write_text(
        '-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n'
        f'{"1" * 64}  linux-7.3.tar.xz\n'
        f'{"2" * 64}  linux-7.3.3.tar.xz\n'
        f'{"3" * 64}  linux-{version}.tar.gz\n'
        f'{"6" * 64}  linux-{version}.tar.zst\n'
        f'{digest}  linux-{version}.tar.xz\n'
        f'{"4" * 64}  linux-7.30.99.tar.xz\n'
        f'{"5" * 64}  patch-7.3.99.xz\n'
        '-----BEGIN PGP SIGNATURE-----\n\nabc\n'
        '-----END PGP SIGNATURE-----\n')
    return path


class Fetch(TempCase):
    """From the list of checksums to an unpacked tree."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.tmp / 'site'
        self.tarball = make_kernel_org(self.folder, '7.3.10')
        self.server = Server(self, self.folder)
        self.into = self.tmp / 'into'
        self.into.mkdir()

    def downloads(self) -> 'list[str]':
        """Return what the cache has downloaded."""
        return sorted(os.listdir(cache.sub('downloads')))

    def test_the_newest_by_number(self) -> None:
        url, digest = tarball.newest('7.3')
        self.assertEqual(url,
                         f'{self.server.url}/v7.x/linux-7.3.10.tar.xz')
        self.assertEqual(
            digest, hashlib.sha256(self.tarball.read_bytes()).hexdigest())

    def test_get(self) -> None:
        self.assertEqual(tarball.fetch('7.3', self.into),
                         'linux-7.3.10.tar.xz')
        self.assertTrue((self.into / 'Makefile').is_file())
        self.assertEqual(self.downloads(), [])

    def test_no_such_kernel(self) -> None:
        with self.fails('has no Linux 7.4'):
            tarball.fetch('7.4', self.into)
        with self.fails('v8.x', '404'):
            tarball.fetch('8.0', self.into)

    def test_wrong_checksum(self) -> None:
        data = bytearray(self.tarball.read_bytes())
        data[5000] ^= 1
        self.tarball.write_bytes(data)
        with self.fails('checksum', 'sha256sums.asc'):
            tarball.fetch('7.3', self.into)
        self.assertEqual(os.listdir(self.into), [])
        self.assertEqual(self.downloads(), [])

    def test_interrupted_download_is_redone(self) -> None:
        downloads = cache.sub('downloads')
        (downloads / 'linux-7.3.10.tar.xz.part').write_bytes(b'half')
        (downloads / 'linux-7.3.10.tar.xz').write_bytes(b'damaged')
        tarball.fetch('7.3', self.into)
        self.assertTrue((self.into / 'Makefile').is_file())
        self.assertEqual(self.downloads(), [])

    def test_complete_download_is_used(self) -> None:
        (cache.sub('downloads') / 'linux-7.3.10.tar.xz').write_bytes(
            self.tarball.read_bytes())
        tarball.fetch('7.3', self.into)
        self.assertEqual(self.server.asked, ['/v7.x/sha256sums.asc'])

    def test_connection_breaks(self) -> None:
        self.server.cut.add('/v7.x/linux-7.3.10.tar.xz')
        with self.fails('broke while downloading', '999000 bytes'):
            tarball.fetch('7.3', self.into)
        self.assertNotIn('linux-7.3.10.tar.xz', self.downloads())
        self.server.cut.add('/v7.x/sha256sums.asc')
        with self.fails('broke while downloading'):
            tarball.fetch('7.3', self.into)

    def test_nobody_answers(self) -> None:
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]
        os.environ['DMIRROR_KERNEL_ORG'] = f'http://127.0.0.1:{port}'
        with self.fails('cannot be reached (Connection refused)'):
            tarball.fetch('7.3', self.into)

    def test_silent_server(self) -> None:
        with socket.socket() as mute, mock.patch.object(tarball, 'TIMEOUT',
                                                        0.2):
            mute.bind(('127.0.0.1', 0))
            mute.listen()
            os.environ['DMIRROR_KERNEL_ORG'] = (
                f'http://127.0.0.1:{mute.getsockname()[1]}')
            with self.fails('cannot be reached (', 'timed out'):
                tarball.fetch('7.3', self.into)

    def test_default_is_kernel_org(self) -> None:
        del os.environ['DMIRROR_KERNEL_ORG']
        self.assertTrue(tarball.base_url().startswith('https://'))


if __name__ == '__main__':
    unittest.main()
