# SPDX-License-Identifier: GPL-2.0
"""What the tests of the tools share: a place of their own, fake programs
that come first on PATH, small kernel trees."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest
from pathlib import Path
from typing import Iterator, List
from unittest import mock

from dmirrorlib import run, say, source
from dmirrorlib.errors import ToolError

TOOLS = Path(__file__).resolve().parent.parent


class TempCase(unittest.TestCase):
    """A case with a temporary directory, a cache in it, and no $KDIR.

    self.tmp is the directory, self.bin the first entry of PATH, self.said
    what was said to people.
    """

    def setUp(self) -> None:
        self.tmp = Path(tempfile.mkdtemp(prefix='dmirror-test-'))
        self.addCleanup(shutil.rmtree, self.tmp, ignore_errors=True)
        self.bin = self.tmp / 'bin'
        self.bin.mkdir()
        self.log = self.tmp / 'log'  # fake programs append their arguments
        self.log.touch()
        env = dict(os.environ, XDG_CACHE_HOME=str(self.tmp / 'cache'),
                   PATH=f'{self.bin}:{os.environ["PATH"]}',
                   PYTHONPATH=str(TOOLS), PYTHONDONTWRITEBYTECODE='1',
                   LOG=str(self.log))
        for name in ('KDIR', 'DMIRROR_KERNEL_ORG', 'http_proxy',
                     'https_proxy'):
            env.pop(name, None)
        patch = mock.patch.dict(os.environ, env, clear=True)
        patch.start()
        self.addCleanup(patch.stop)
        self.said: List[str] = []
        patch_say = mock.patch.object(say, 'say', self.said.append)
        patch_say.start()
        self.addCleanup(patch_say.stop)

    def program(self, name: str, script: str) -> None:
        """Put a shell script on PATH; it logs its arguments first."""
        path = self.bin / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> "$LOG"\n{script}\n')
        path.chmod(0o755)

    def logged(self, start: str) -> List[str]:
        """Return the command lines of fake programs that begin so."""
        return [line for line in self.log.read_text().splitlines()
                if line.startswith(start)]

    def python(self, code: str) -> 'subprocess.Popen[str]':
        """Start Python code that can import dmirrorlib.

        It can be interrupted, also where these tests run in the background
        of a shell, which makes a program ignore SIGINT.
        """
        heed = ('import signal\n'
                'signal.signal(signal.SIGINT, signal.default_int_handler)\n')
        process = subprocess.Popen(
            [sys.executable, '-c', heed + code], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self._end, process)
        return process

    @staticmethod
    def _end(process: 'subprocess.Popen[str]') -> None:
        process.kill()
        process.communicate()

    def wait_for(self, path: Path, seconds: float = 20.0) -> None:
        """Wait until a file exists."""
        end = time.monotonic() + seconds
        while not path.exists():
            self.assertLess(time.monotonic(), end, f'no {path}')
            time.sleep(0.01)

    @contextlib.contextmanager
    def fails(self, *words: str, code: int = 3) -> Iterator[None]:
        """Expect a ToolError: one sentence that has all these words."""
        with self.assertRaises(ToolError) as caught:
            yield
        message = caught.exception.message
        for word in words:
            self.assertIn(word, message)
        self.assertNotIn('\n', message)
        self.assertEqual(caught.exception.code, code)


class GuestCase(TempCase):
    """A case with a project, a kernel tree, and a kernel that is a script.

    self.project, self.top and self.build are the directories; self.live is
    where a run can show its results.
    """

    def setUp(self) -> None:
        super().setUp()
        self.project = self.tmp / 'project'
        (self.project / 'kunit' / 'skips').mkdir(parents=True)
        patch = mock.patch.object(run, 'PROJECT', self.project)
        patch.start()
        self.addCleanup(patch.stop)
        self.top = make_tree(self.tmp / 'linux')
        self.tree = source.Tree(self.top, '7.3.4', False)
        self.build = self.tmp / 'build'
        self.build.mkdir()
        (self.build / '.config').write_text('CONFIG_X=y\n')
        self.live = io.StringIO()

    def kernel(self, script: str, *files: str) -> None:
        """Make what a build would: the kernel, and empty files.

        Args:
            script: the kernel, in Python.
            files: relative to the build directory.
        """
        image = self.build / 'linux'
        image.write_text(f'#!{sys.executable}\n{script}')
        image.chmod(0o755)
        for name in files:
            path = self.build / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b'x')


def make_tree(path: Path, version: str = '7.3.4') -> Path:
    """Make what looks like a kernel tree; return its path."""
    numbers = version.split('.')
    files = {
        'Makefile': '# SPDX-License-Identifier: GPL-2.0\n'
                    f'VERSION = {numbers[0]}\nPATCHLEVEL = {numbers[1]}\n'
                    f'SUBLEVEL = {numbers[2]}\nEXTRAVERSION =\nNAME = X\n',
        'drivers/Kconfig': 'menu "Device Drivers"\n\n'
                           'source "drivers/base/Kconfig"\n\nendmenu\n',
        'drivers/Makefile': 'obj-y\t\t\t\t+= base/\n',
        'tools/testing/kunit/kunit.py': '#!/usr/bin/env python3\n',
        'arch/um/include/asm/page.h': '/* pages of User Mode Linux */\n',
    }
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return path


def make_tarball(folder: Path, top: str, version: str = '7.3.4',
                 ballast: int = 0) -> Path:
    """Make TOP.tar.xz with a kernel tree in it.

    Args:
        folder: where to put it.
        top: the name of the tree's directory.
        version: the kernel's.
        ballast: bytes of data to add.

    Returns:
        The tarball's path.
    """
    tree = make_tree(folder / top, version)
    if ballast:
        (tree / 'ballast').write_bytes(os.urandom(ballast))
    path = folder / f'{top}.tar.xz'
    with tarfile.open(path, 'w:xz') as tar:
        tar.add(tree, arcname=top)
    shutil.rmtree(tree)
    return path


def make_deb(folder: Path, kernel: str = '7.3', version: str = '7.3.4',
             ballast: int = 0) -> Path:
    """Make what FakeApt delivers as a linux-source package: a plain tar."""
    name = f'linux-source-{kernel}'
    inner = make_tarball(folder, name, version, ballast)
    path = folder / f'{name}.deb'
    with tarfile.open(path, 'w') as tar:
        tar.add(inner, arcname=f'./usr/src/{name}.tar.xz')
    return path


def fake_apt(case: TempCase, unpack: str = 'cat "$2"') -> Path:
    """Put an apt on PATH that has the packages of a directory.

    Args:
        case: whose PATH.
        unpack: what dpkg-deb --fsys-tarfile does.

    Returns:
        The directory; make_deb() fills it.
    """
    folder = case.tmp / 'archive'
    folder.mkdir()
    case.program('apt-get', f'''
case "$*" in
*indextargets*) printf 'http://mirror.invalid/debian\\tDebian\\tDebian\\tx\\n' ;;
*update*) ;;
*download*)
    for last; do :; done
    name=${{last%%=*}}
    cp "{folder}/$name.deb" "${{name}}_${{last#*=}}_all.deb" ;;
esac''')
    case.program('apt-cache', f'''
case "$*" in
*pkgnames*) cd "{folder}" && for f in *.deb; do echo "${{f%.deb}}"; done
    echo linux-source ;;
*madison*)
    while [ "$1" != madison ]; do shift; done
    shift
    for name; do
        v=${{name#linux-source-}}
        echo " $name | $v.4-1~bpo1 | http://mirror.invalid/debian x/main"
        echo " $name | $v.2-1~bpo1 | http://mirror.invalid/debian x/main"
    done ;;
esac''')
    case.program('dpkg-deb', unpack)
    return folder


def can_mount(folder: Path, options: str) -> bool:
    """Mount a tmpfs there, where this user may; return whether it worked."""
    if os.geteuid() != 0:
        return False
    folder.mkdir(exist_ok=True)
    return subprocess.run(['mount', '-t', 'tmpfs', '-o', options, 'tmpfs',
                           str(folder)], capture_output=True,
                          check=False).returncode == 0


def unmount(folder: Path) -> None:
    """Undo can_mount()."""
    subprocess.run(['umount', '-l', str(folder)], check=False)
