# SPDX-License-Identifier: GPL-2.0
"""dmirror doctor: what this machine has, lacks, and what each lack costs."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import mmap
import os
import platform
import re
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator, Optional

from . import apt, cache, graft, packages, proc, source
from .errors import EXIT_INFRA, EXIT_PASS, ToolError
from .verb_graft import PROJECT

HELP = ('Check what the tiers need of this machine: one line per check, with '
        'what a lack costs and the command that mends it.')

OK, WARN, FAIL = 'ok', 'warn', 'FAIL'

GB = 1_000_000_000
BUILD_BYTES = GB        # free space for the builds of all tiers, ccache too
MEMORY_BYTES = 2 * GB   # what a build on two CPUs and a guest take
UML_BYTES = GB          # the UML guest's memory, mem=1G
UML_MIN_BYTES = 256_000_000     # what booting it and running a suite touch


@dataclass(frozen=True)
class Line:
    """The outcome of one check."""
    level: str  # OK, WARN, or FAIL: the um tier cannot run
    text: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    source.add_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Run the verb.

    Returns:
        EXIT_PASS if the um tier can run, EXIT_INFRA if not.
    """
    source.check_kernel(args.kernel)
    kdir = args.kdir or os.environ.get('KDIR')
    worst = EXIT_PASS
    for line in _lines(kdir, args.kernel):
        print(f'{line.level:<4}  {line.text}', flush=True)
        if line.level == FAIL:
            worst = EXIT_INFRA
    return worst


def _lines(kdir: Optional[str], kernel: str) -> Iterator[Line]:
    """Make all checks, in the order in which things are needed."""
    yield check_python()
    yield from check_packages()
    yield from check_gcov()
    yield check_memory()
    yield from check_disk(kernel, bool(kdir))
    if kdir:
        yield from check_own_tree(Path(kdir))
    else:
        yield check_kernel_source(kernel)
    yield check_uml_memory()
    yield check_ptrace()
    yield check_seccomp()
    yield check_accel()


def check_python() -> Line:
    """Check Python's version."""
    version = platform.python_version()
    if sys.version_info < (3, 9):
        return Line(FAIL, f'Python {version} is too old: install 3.9 or '
                          'newer.')
    return Line(OK, f'Python {version}')


def check_packages() -> Iterator[Line]:
    """Check what has to be installed."""
    absent = packages.missing(packages.TIERS)
    by_itself = (shutil.which('apt-get') is not None
                 and packages.root_prefix() is not None)
    for item in packages.ITEMS:
        if item not in absent:
            yield Line(OK, item.name)
            continue
        needs_it = ', '.join(t for t in packages.TIERS if t in item.needs)
        mend = (f'`dmirror run` installs it, or {packages.command([item])}'
                if by_itself else packages.command([item]))
        stops_um = item.required and 'um' in item.needs and not by_itself
        yield Line(FAIL if stops_um else WARN,
                   f'{item.name} is missing ({needs_it}): {item.cost}; '
                   f'{mend}')


def check_gcov() -> Iterator[Line]:
    """Check that gcov is of the compiler's version, or says nothing."""
    versions = []
    for program in ('gcc', 'gcov'):
        with contextlib.suppress(FileNotFoundError):
            text = proc.run([program, '--version']).stdout.split('\n')[0]
            versions.append((re.findall(r'\d+\.\d+\.\d+', text) or ['?'])[-1])
    if len(versions) != 2:
        yield Line(WARN, 'gcov is missing: no coverage of kernel code; it '
                         'comes with gcc.')
    elif versions[0] != versions[1]:
        yield Line(WARN, f'gcov is {versions[1]} and gcc {versions[0]}: no '
                         'coverage of kernel code; make them the same '
                         'version.')
    else:
        yield Line(OK, f'gcc and gcov {versions[0]}')


def check_memory() -> Line:
    """Check the memory that is available."""
    text = Path('/proc/meminfo').read_text()
    found = re.search(r'^MemAvailable: *(\d+) kB', text, re.MULTILINE)
    free = int(found.group(1)) * 1024 if found else 0
    if free < MEMORY_BYTES:
        return Line(WARN, f'{free / GB:.1f} GB of memory available: a build '
                          f'and a guest want {MEMORY_BYTES / GB:.0f} GB, '
                          'less may end in an out-of-memory kill.')
    return Line(OK, f'{free / GB:.1f} GB of memory available')


def check_disk(kernel: str, own_tree: bool) -> Iterator[Line]:
    """Check the free space where the cache is, or will be.

    Args:
        kernel: the kernel that is wanted, major.minor.
        own_tree: the user gives a tree, so none is got.
    """
    need = BUILD_BYTES
    if not own_tree and not source.cached_tree(kernel):
        need += source.TREE_BYTES
    free = cache.free_bytes(cache.root())
    text = f'{free / GB:.1f} GB free for the cache, {cache.root()}'
    if free < need:
        yield Line(FAIL, f'{text}: {need / GB:.1f} GB are needed; free some '
                         'or set XDG_CACHE_HOME to a directory on a larger '
                         'disk.')
    else:
        yield Line(OK, text)
    try:
        with cache.explain('looking for a place to write'):
            with tempfile.TemporaryFile(dir=cache.sub('state')):
                pass
    except ToolError as err:
        yield Line(FAIL, err.message)


def check_kernel_source(kernel: str) -> Line:
    """Check where a kernel tree would come from."""
    tree = source.cached_tree(kernel)
    if tree:
        return Line(OK, f'Linux {tree.version} in {tree.path}')
    try:
        for package in apt.available():
            if package.kernel == kernel:
                return Line(OK, f'no tree of Linux {kernel} yet: `dmirror '
                                f'run` gets {package.name} '
                                f'{package.version} through apt')
        reason = f'apt has no linux-source-{kernel}'
    except ToolError as err:
        reason = err.message.rstrip('.')
    return Line(WARN, f'no tree of Linux {kernel} yet, and none through apt '
                      f'({reason}): `dmirror run` will ask kernel.org; or '
                      'set KDIR to a tree of your own.')


def check_own_tree(path: Path) -> Iterator[Line]:
    """Check the kernel tree that the user names."""
    try:
        tree = source.open_tree(path)
    except ToolError as err:
        yield Line(FAIL, err.message)
        return
    yield Line(OK, f'Linux {tree.version} in {tree.path}')
    # kbuild refuses to build elsewhere from such a tree.
    leftovers = [name for name in ('.config', 'include/config',
                                   'arch/x86/include/generated',
                                   'arch/um/include/generated')
                 if (tree.path / name).exists()]
    if leftovers:
        yield Line(FAIL, f'{tree.path} has been built in ({leftovers[0]}): '
                         'kunit.py stops with "The source tree is not '
                         f'clean"; `make -C {tree.path} mrproper`, or use a '
                         'git worktree of it.')
    if (tree.path / 'mAKEFILE').exists():
        yield Line(FAIL, f'{tree.path} is on a file system that ignores '
                         'case: the kernel has files that differ only in '
                         'it; use another.')
    project = graft.grafted_to(tree.path)
    if graft.half_done(tree.path):
        yield Line(WARN, 'the tree has half of a graft: complete it with '
                         f'`dmirror graft {tree.path}` or remove it with '
                         f'`dmirror ungraft {tree.path}`.')
    elif project and not project.exists():
        yield Line(FAIL, f'the tree is grafted to {project}, which is gone: '
                         f'no kernel builds; `dmirror graft {tree.path}`.')
    elif project and project.resolve() != PROJECT:
        yield Line(WARN, f'the tree is grafted to another clone, {project}: '
                         f'`dmirror graft --repoint {tree.path}`.')
    elif project:
        yield Line(OK, 'the tree is grafted to this project')
    elif os.access(tree.path / 'drivers', os.W_OK):
        yield Line(OK, 'the tree has no graft')
    else:
        yield Line(FAIL, f'{tree.path}/drivers cannot be written, so the '
                         'tree cannot be grafted: use a copy or a git '
                         'worktree of it.')


def uml_tempdir() -> Path:
    """Return the directory UML puts its memory file in.

    The rule is UML's own: the first variable that is set, else /dev/shm if
    it is a tmpfs, else /tmp.
    """
    for name in ('TMPDIR', 'TMP', 'TEMP'):
        if os.environ.get(name):
            return Path(os.environ[name])
    shm = Path('/dev/shm')
    return shm if fs_type(shm) == 'tmpfs' else Path('/tmp')


def fs_type(path: Path) -> str:
    """Return the type of the file system that `path` is on, as in 'tmpfs'."""
    best, kind = '', ''
    real = os.path.realpath(path)
    for row in Path('/proc/self/mounts').read_text().splitlines():
        point = row.split()[1].replace('\\040', ' ')
        inside = os.path.commonpath([real, point]) == point
        if inside and len(point) >= len(best):
            best, kind = point, row.split()[2]
    return kind


def check_uml_memory() -> Line:
    """Check that UML can map its memory from a file, and run code in it."""
    folder = uml_tempdir()
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.truncate(mmap.PAGESIZE)
            mmap.mmap(file.fileno(), mmap.PAGESIZE, mmap.MAP_PRIVATE,
                      mmap.PROT_READ | mmap.PROT_WRITE
                      | mmap.PROT_EXEC).close()
    except OSError as err:
        return Line(FAIL, f'{folder} does not let UML map executable memory '
                          f'({err.strerror}): set TMPDIR to a directory on '
                          'a tmpfs that is not mounted noexec.')
    free = cache.free_bytes(folder)
    if free < UML_MIN_BYTES:
        return Line(FAIL, f'{folder} has {free / 1e6:.0f} MB free and holds '
                          'UML\'s memory: its guest will die of SIGBUS; '
                          f'`mount -o remount,size=2G {folder}` or set '
                          'TMPDIR to a larger tmpfs.')
    if free < UML_BYTES:
        return Line(WARN, f'{folder} has {free / 1e6:.0f} MB free and holds '
                          'UML\'s memory: a guest that uses more dies of '
                          f'SIGBUS; `mount -o remount,size=2G {folder}` or '
                          'set TMPDIR to a larger tmpfs.')
    if fs_type(folder) != 'tmpfs':
        return Line(WARN, f'UML keeps its memory in {folder}, which is no '
                          'tmpfs: slow, as the host writes it to the disk; '
                          'set TMPDIR to a tmpfs such as /dev/shm.')
    return Line(OK, f'UML can keep its memory in {folder}, '
                    f'{free / GB:.1f} GB free')


def check_ptrace() -> Line:
    """Check that a process can be run under PTRACE_SYSEMU, as UML does."""
    reason = _in_child(_ptrace_probe)
    if reason:
        return Line(FAIL, f'ptrace is not usable here ({reason}): UML cannot '
                          'run; in a container add --cap-add=SYS_PTRACE, or '
                          'use another machine.')
    return Line(OK, 'ptrace with syscall emulation works, which UML needs')


_PTRACE_TRACEME, _PTRACE_SYSEMU = 0, 31
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p,
                         ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request: int, pid: int) -> None:
    """Call ptrace(); raises OSError."""
    if _libc.ptrace(request, pid, None, None) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _ptrace_probe() -> None:
    """Run a child to its next system call with PTRACE_SYSEMU."""
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(OSError):
            _ptrace(_PTRACE_TRACEME, 0)
            os.kill(os.getpid(), signal.SIGSTOP)
            os.getppid()
        os._exit(0)
    try:
        _, status = os.waitpid(pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            raise OSError(1, 'PTRACE_TRACEME failed')
        _ptrace(_PTRACE_SYSEMU, pid)
        _, status = os.waitpid(pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status) or os.WSTOPSIG(status) != signal.SIGTRAP:
            raise OSError(1, 'PTRACE_SYSEMU did not stop the child')
    finally:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _in_child(probe: Callable[[], None]) -> str:
    """Run a probe in a process of its own, for at most 5 seconds.

    Returns:
        The reason for which it failed; empty if it did not.
    """
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(5)
        try:
            probe()
        except OSError as err:
            os.write(write_end, (err.strerror or str(err)).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, 'rb') as file:
        reason = file.read().decode()
    _, status = os.waitpid(pid, 0)
    return reason or ('' if status == 0 else 'no answer in 5 s')


def check_seccomp() -> Line:
    """Check what UML with several CPUs needs."""
    path = Path('/proc/sys/kernel/seccomp/actions_avail')
    with contextlib.suppress(OSError):
        if 'trap' in path.read_text().split():
            return Line(OK, 'seccomp filters can trap, which UML with '
                            'several CPUs needs')
    return Line(WARN, 'this kernel has no seccomp filters that trap: no UML '
                      'with several CPUs, the um tier does without.')


def check_accel() -> Line:
    """Check whether KVM can be used for the x86_64 tiers."""
    try:
        from . import accel
    except ImportError:
        return Line(WARN, 'whether KVM is usable is not known')
    verdict = accel.probe()
    if verdict.accel == 'kvm':
        return Line(OK, f'KVM: {verdict.reason}')
    return Line(WARN, 'x86_64 kernels run under TCG, which is slower: '
                      f'{verdict.reason}')
