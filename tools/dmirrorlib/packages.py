# SPDX-License-Identifier: GPL-2.0
"""What building, running and checking need of the machine, and installing
what is missing."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import FrozenSet, List, Optional, Sequence

from . import cache, clang, proc, say
from .errors import ToolError

TIERS = ('um', 'x86_64', 'checks', 'clang', 'i386', 'coverage')

LISTS = Path('/var/lib/apt/lists')
LISTS_MAX_AGE = 24 * 3600   # seconds until the system's lists count as old
LOCK_TIMEOUT = 300          # seconds to wait for another user of apt
RETRY_AFTER = 24 * 3600     # seconds between attempts at optional packages


@dataclass(frozen=True)
class Item:
    """One thing that the machine has to have, or had better have."""
    name: str                # as people call it
    package: str             # Debian's
    needs: FrozenSet[str]    # who needs it: some of TIERS
    cost: str                # what is lost without it, in one phrase
    program: str = ''        # detected as a program of one of these names,
    header: str = ''         # or as a header that the C compiler finds
    required: bool = True

    def present(self) -> bool:
        """Return True if the machine has it."""
        if self.program:
            return any(which(name) for name in self.program.split())
        return _header_found(self.header)


_ALL = frozenset(TIERS)
_BUILD = frozenset(('um', 'x86_64'))
_X86_64 = frozenset(('x86_64',))
_CHECKS = frozenset(('checks',))
_CLANG = frozenset(('clang',))
_I386 = frozenset(('i386',))

_NO_BUILD = 'no kernel can be built'
_NO_CLANG = 'nothing is compiled with clang'


def _llvm(program: str) -> str:
    """Return what a program of LLVM can be called: Debian names each after
    its version, and a kernel needs a new one (see clang.py)."""
    return ' '.join(f'{program}-{number}' for number in range(
        clang.DEBIAN, clang.NEWEST + 1))


# What a KUnit kernel needs for both architectures was found by what its build
# calls; Documentation/process/changes.rst in a tree has the versions.
ITEMS = (
    Item('gcc', 'gcc', _ALL, _NO_BUILD, program='gcc'),
    Item('C library headers', 'libc6-dev', _ALL, _NO_BUILD,
         header='stdlib.h'),
    Item('make', 'make', _ALL, _NO_BUILD, program='make'),
    Item('flex', 'flex', _ALL, 'no kernel can be configured',
         program='flex'),
    Item('bison', 'bison', _ALL, 'no kernel can be configured',
         program='bison'),
    Item('bc', 'bc', _ALL, _NO_BUILD, program='bc'),
    Item('awk', 'mawk', _ALL, _NO_BUILD, program='awk'),
    Item('python3', 'python3', _ALL,
         'no compile_commands.json, no kunit.py', program='python3'),
    Item('tar', 'tar', _ALL, 'no kernel tree can be unpacked',
         program='tar'),
    Item('xz', 'xz-utils', _ALL, 'no kernel tree can be unpacked',
         program='xz'),
    Item('libelf headers', 'libelf-dev', _X86_64,
         'no objtool, so no x86_64 kernel', header='gelf.h'),
    Item('QEMU for x86_64', 'qemu-system-x86', _X86_64,
         'no x86_64 kernel can be run', program='qemu-system-x86_64'),
    Item('perl', 'perl', _CHECKS, 'no checkpatch', program='perl'),
    Item('sparse', 'sparse', _CHECKS, 'no sparse run', program='sparse'),
    Item('shellcheck', 'shellcheck', _CHECKS, 'shell scripts go unchecked',
         program='shellcheck'),
    Item('mypy', 'mypy', _CHECKS, 'Python types go unchecked',
         program='mypy'),
    Item('clang', f'clang-{clang.DEBIAN}', _CLANG, _NO_CLANG,
         program=_llvm('clang'), required=False),
    Item('ld.lld', f'lld-{clang.DEBIAN}', _CLANG, _NO_CLANG,
         program=_llvm('ld.lld'), required=False),
    Item('llvm-objcopy', f'llvm-{clang.DEBIAN}', _CLANG, _NO_CLANG,
         program=_llvm('llvm-objcopy'), required=False),
    Item('32-bit C library headers', 'gcc-multilib', _I386,
         'no 32-bit User Mode Linux is compiled', header='gnu/stubs-32.h',
         required=False),
    Item('lcov', 'lcov', frozenset(('coverage',)), 'no coverage is counted',
         program='lcov'),
    Item('ccache', 'ccache', _BUILD,
         'a rebuild in a new place takes as long as the first',
         program='ccache', required=False),
    Item('git', 'git', _ALL, 'no tier um-full, which needs patches, and '
         'results do not name the commit they are of', program='git',
         required=False),
    Item('libssl headers', 'libssl-dev', _X86_64,
         'no kernel with signed modules (the tiers have none)',
         header='openssl/opensslv.h', required=False),
    Item('cpio', 'cpio', _X86_64,
         'no kernel with CONFIG_IKHEADERS (the tiers have none)',
         program='cpio', required=False),
)


def missing(needs: Sequence[str]) -> List[Item]:
    """Return what the machine lacks, required or not.

    Args:
        needs: some of TIERS.
    """
    unknown = set(needs) - _ALL
    if unknown:
        raise ValueError(f'no such tier: {sorted(unknown)}')
    return [item for item in ITEMS
            if item.needs & set(needs) and not item.present()]


def ensure(needs: Sequence[str]) -> None:
    """Install what is missing, where that can be done without asking.

    Args:
        needs: some of TIERS.

    Raises:
        ToolError: something required is missing and could not be installed;
            the message has the command to run.
    """
    if not missing(needs):
        return
    prefix = root_prefix()
    if prefix is None or not shutil.which('apt-get'):
        _give_up_on(missing(needs), 'this user may not install packages')
        return
    with cache.lock('packages', 'installing packages'):
        # Another dmirror may have installed them while this one waited.
        required = [i for i in missing(needs) if i.required]
        if required:
            _install(prefix, required)
        _install_optional(prefix, [i for i in missing(needs)
                                   if not i.required])
        _give_up_on(missing(needs),
                    'apt installed their packages and they are still not '
                    'found')


def command(items: Sequence[Item]) -> str:
    """Return the shell command that installs `items`, for people."""
    words = ['apt-get', 'install', '-y', '--no-install-recommends']
    if os.geteuid() != 0:
        words.insert(0, 'sudo')
    return ' '.join(words + sorted({item.package for item in items}))


def root_prefix() -> Optional[List[str]]:
    """Return the words to put before a command to run it as root.

    Returns:
        Nothing or sudo's words; None if that would need a password.
    """
    if os.geteuid() == 0:
        return []
    if not shutil.which('sudo'):
        return None
    if proc.run(['sudo', '-n', 'true']).returncode == 0:
        return ['sudo', '-n']
    return None


def which(program: str) -> bool:
    """Return True if a program is on PATH or where root's programs are."""
    path = os.environ.get('PATH', os.defpath) + ':/usr/sbin:/sbin'
    return shutil.which(program, path=path) is not None


def _header_found(header: str) -> bool:
    """Return True if the C compiler finds a header."""
    for compiler in ('gcc', 'cc'):
        if which(compiler):
            done = proc.run([compiler, '-E', '-x', 'c', '-'],
                            stdin=f'#include <{header}>\n')
            return done.returncode == 0
    return os.path.exists(f'/usr/include/{header}')


def _give_up_on(items: Sequence[Item], why: str) -> None:
    """Warn of what is optional among `items`; end if anything is required."""
    required = [i for i in items if i.required]
    for item in items:
        if not item.required:
            say.warn(f'{item.name} is missing: {item.cost} '
                     f'({command([item])})')
    if not required:
        return
    names = ' and '.join(', '.join(i.name for i in required)
                         .rsplit(', ', 1))
    verb = 'are' if len(required) > 1 else 'is'
    if not shutil.which('apt-get'):
        raise ToolError(f'{names} {verb} missing: install with the package '
                        'manager of this machine, then try again.')
    raise ToolError(f'{names} {verb} missing and {why}: '
                    f'run  {command(required)}')


def _install(prefix: List[str], items: Sequence[Item]) -> None:
    """Install packages.

    Args:
        prefix: see root_prefix().
        items: what to install.

    Raises:
        ToolError: apt failed.
    """
    packages = sorted({item.package for item in items})
    say.say(f'installing {" ".join(packages)}')
    apt = prefix + ['env', 'DEBIAN_FRONTEND=noninteractive', 'LC_ALL=C',
                    'apt-get', '-q', '-y',
                    '-o', f'DPkg::Lock::Timeout={LOCK_TIMEOUT}']
    install = apt + ['install', '--no-install-recommends', *packages]
    updated = _lists_are_old()
    if updated:
        _update(apt)
    done = _apt(install)
    if done.returncode != 0 and not updated:
        _update(apt)
        done = _apt(install)
    if done.returncode != 0:
        raise ToolError('apt could not install what is missing: run  '
                        f'{command(items)}  by hand and see.',
                        detail='\n'.join(
                            (done.stdout + done.stderr).splitlines()[-20:]))


def _install_optional(prefix: List[str], items: Sequence[Item]) -> None:
    """Try to install what is optional, but not again soon after a failure."""
    stamp = cache.sub('state') / 'optional-packages-failed'
    with contextlib.suppress(OSError):
        if time.time() - stamp.stat().st_mtime < RETRY_AFTER:
            return
    if items:
        try:
            _install(prefix, items)
        except ToolError:
            with contextlib.suppress(OSError):
                stamp.touch()


def _update(apt: List[str]) -> None:
    """Fetch the package lists; the install that follows tells if it failed.

    apt waits for the lock of dpkg by itself, but not for that of its lists.
    """
    end = time.monotonic() + LOCK_TIMEOUT
    while True:
        done = _apt(apt + ['update'])
        if ('Could not get lock' not in done.stderr
                or time.monotonic() > end):
            return
        time.sleep(2)


def _apt(argv: List[str]) -> 'subprocess.CompletedProcess[str]':
    """Run apt-get, its output shown only under -v."""
    done = proc.run(argv)
    if say.verbose():
        for line in (done.stdout + done.stderr).splitlines():
            say.note(line)
    return done


def _lists_are_old() -> bool:
    """Return True if the system's package lists are missing or old."""
    if not any(LISTS.glob('*_Packages*')):
        return True
    # A list has the time at which the archive made it, but `apt-get update`
    # changes these directories.
    changed = max(path.stat().st_mtime
                  for path in (LISTS, LISTS / 'partial') if path.exists())
    return time.time() - changed > LISTS_MAX_AGE
