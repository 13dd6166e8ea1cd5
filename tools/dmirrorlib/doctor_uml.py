# SPDX-License-Identifier: GPL-2.0
"""What User Mode Linux needs of its host: each thing is tried, not looked up.

Trying may kill or cripple a process, so it is done in a child.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import platform
import resource
import signal
import struct
import tempfile
from pathlib import Path
from typing import Callable, Iterator

from . import cache, guest
from .doctor_line import FAIL, OK, WARN, Line

GB = 1_000_000_000
UML_BYTES = GB          # the guest's memory, mem=1G
UML_MIN_BYTES = 256_000_000     # what booting it and running a suite touch

MEMMAP_AT = 0x200000000000      # VMEMMAP_START of the overlay's sparsemem.h
MEMMAP_BYTES = 32 << 20         # for 1 GiB and some device memory
SHADOW_AT = 0x100000000000      # CONFIG_KASAN_SHADOW_OFFSET, the default
SHADOW_BYTES = 1 << 44          # KASAN maps it all, untouched
MAPPINGS = 16384        # per process: a guest's page is one, at worst


def all_checks() -> Iterator[Line]:
    """Make all checks of this module."""
    yield check_uml_memory()
    yield check_address_space()
    yield check_memory_map()
    yield check_shadow()
    yield check_mappings()
    yield check_ptrace()
    yield check_seccomp()


def uml_tempdir() -> Path:
    """Return the directory UML puts its memory file in.

    The rule is UML's own: the first variable that is set, else /dev/shm if
    it is a tmpfs, else /tmp.
    """
    for name in ('TMPDIR', 'TMP', 'TEMP'):
        if os.environ.get(name):
            return Path(os.environ[name])
    shm = Path('/dev/shm')
    there = shm.is_dir() and fs_type(shm) == 'tmpfs'
    return shm if there else Path('/tmp')


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
    instead = guest.uml_env().get('TMPDIR')
    if free < UML_MIN_BYTES and instead and \
            cache.free_bytes(Path(instead)) >= UML_MIN_BYTES:
        return Line(WARN, f'{folder} has {free / 1e6:.0f} MB free, too few '
                          'for UML\'s memory: `dmirror run` keeps it in '
                          f'{instead} instead, plain kunit.py dies of SIGBUS; '
                          f'`mount -o remount,size=2G {folder}`.')
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


def _in_child(probe: Callable[[], object]) -> str:
    """Run a probe in a process of its own, for at most 5 seconds.

    Returns:
        The reason for which it failed; empty if it did not.
    """
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(5)
        code = 1
        try:
            probe()
            code = 0
        except OSError as err:
            os.write(write_end, (err.strerror or str(err)).encode())
        except BaseException as err:    # the probe itself is broken: not ok
            os.write(write_end, repr(err).encode())
        finally:
            os._exit(code)
    os.close(write_end)
    with os.fdopen(read_end, 'rb') as file:
        reason = file.read().decode()
    _, status = os.waitpid(pid, 0)
    return reason or ('' if status == 0 else 'no answer in 5 s')


def check_address_space() -> Line:
    """Check that a process may have as much address space as UML takes."""
    reason = _in_child(lambda: _map(0, UML_BYTES * 5 // 4, 0))
    if reason:
        return Line(FAIL, f'a process cannot reserve {UML_BYTES * 5 // 4 / GB}'
                          f' GB of address space ({reason}): UML does not '
                          f'boot; {_mend()}.')
    return Line(OK, 'a process can reserve the address space UML takes')


def check_memory_map() -> Line:
    """Check that the memory map of tier um can be where it has to be."""
    reason = _in_child(lambda: _map(MEMMAP_AT, MEMMAP_BYTES))
    if reason:
        return Line(FAIL, f'{MEMMAP_BYTES >> 20} MiB at {MEMMAP_AT:#x} cannot '
                          f'be mapped ({reason}): UML with device memory does '
                          f'not boot, only tier um-stock runs; {_mend()}.')
    return Line(OK, f'UML\'s memory map can be at {MEMMAP_AT:#x}')


def check_shadow() -> Line:
    """Check what KASAN on UML needs."""
    reason = _in_child(lambda: _map(SHADOW_AT, SHADOW_BYTES))
    if reason:
        return Line(WARN, f'{SHADOW_BYTES >> 40} TiB of untouched address '
                          f'space cannot be mapped ({reason}): no tier '
                          f'um-kasan; {_mend()}.')
    return Line(OK, 'KASAN\'s shadow can be mapped, which um-kasan needs')


def check_mappings() -> Line:
    """Check that a process may have many mappings (vm.max_map_count)."""
    reason = _in_child(_mappings_probe)
    if reason:
        return Line(WARN, f'a process cannot have {MAPPINGS} mappings '
                          f'({reason}): guests with much scattered memory '
                          'fail on UML; `sysctl vm.max_map_count=65530`.')
    return Line(OK, f'a process can have {MAPPINGS} mappings')


def check_seccomp() -> Line:
    """Check what UML with several CPUs needs (seccomp=on)."""
    reason = _in_child(_seccomp_probe)
    if reason:
        return Line(WARN, 'a seccomp filter cannot turn a system call into '
                          f'SIGSYS ({reason}): no tier um-smp, the others do '
                          'without; in a container add '
                          '--security-opt seccomp=unconfined.')
    return Line(OK, 'seccomp filters can trap, which um-smp needs')


_MAP_NORESERVE, _MAP_FIXED_NOREPLACE = 0x4000, 0x100000
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int,
                       ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.mmap.restype = ctypes.c_void_p
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def _map(at: int, size: int,
         protection: int = mmap.PROT_READ | mmap.PROT_WRITE) -> int:
    """Map memory of the host as UML does; raises OSError.

    Args:
        at: the address, where nothing is replaced; 0 for any.
        size: in bytes.
        protection: as for mmap().

    Returns:
        The address.
    """
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
    if at:
        flags |= _MAP_FIXED_NOREPLACE
    got = _libc.mmap(at, size, protection, flags, -1, 0)
    if got == ctypes.c_void_p(-1).value:
        raise _os_error()
    if at and got != at:
        raise OSError(errno.EEXIST, 'something else is mapped there')
    return int(got)


def _mend() -> str:
    """Return what probably lets a process map more."""
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        return '`ulimit -v unlimited`'
    with contextlib.suppress(OSError):
        policy = Path('/proc/sys/vm/overcommit_memory').read_text().strip()
        if policy == '2':
            return '`sysctl vm.overcommit_memory=0`'
    return 'use another machine or container'


def _mappings_probe() -> None:
    """Give every other page of a mapping another protection."""
    page = mmap.PAGESIZE
    base = _map(0, MAPPINGS * page, 0)
    for at in range(base, base + MAPPINGS * page, 2 * page):
        if _libc.mprotect(at, page, mmap.PROT_READ) != 0:
            raise _os_error()


def _os_error() -> OSError:
    """Return the error of the C library's last call."""
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))


# x86-64's numbers; tier um-smp is for x86-64 only.
_SYS_CLOCK_NANOSLEEP, _SYS_SECCOMP, _SYS_CLOSE_RANGE = 230, 317, 436
_PR_SET_NO_NEW_PRIVS = 38
_SET_MODE_FILTER, _FILTER_FLAG_TSYNC = 1, 1
_RET_ALLOW, _RET_TRAP = 0x7fff0000, 0x00030000
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06


def _seccomp_probe() -> None:
    """Let a filter trap one system call, and make that call."""
    if platform.machine() != 'x86_64':
        raise OSError(errno.ENOSYS, 'this is no x86-64')
    if _libc.syscall(_SYS_CLOSE_RANGE, 1 << 30, 1 << 30, 0) != 0:
        raise OSError(errno.ENOSYS, 'no close_range()')
    caught = []
    signal.signal(signal.SIGSYS, lambda number, frame: caught.append(number))
    program = b''.join(struct.pack('HBBI', *step) for step in (
        (_LOAD, 0, 0, 0),       # the number of the system call
        (_JUMP_IF_EQUAL, 0, 1, _SYS_CLOCK_NANOSLEEP),
        (_RETURN, 0, 0, _RET_TRAP),
        (_RETURN, 0, 0, _RET_ALLOW)))
    steps = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(
        struct.pack('HP', len(program) // 8, ctypes.addressof(steps)))
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or _libc.syscall(
            _SYS_SECCOMP, _SET_MODE_FILTER, _FILTER_FLAG_TSYNC, header) != 0:
        raise _os_error()
    _libc.syscall(_SYS_CLOCK_NANOSLEEP, 0, 0, 0, 0)
    if not caught:
        raise OSError(errno.EIO, 'no SIGSYS came')
