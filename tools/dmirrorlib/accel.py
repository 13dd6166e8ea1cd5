# SPDX-License-Identifier: GPL-2.0
"""Whether KVM is usable here: measured, not guessed from /dev/kvm.

/dev/kvm may belong to a KVM that emulates each instruction in software; it
opens, and a kernel then seems to hang in it. So the same short loop is run
here and in a guest, and the times are compared. Only x86-64 is known.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import mmap
import os
import platform
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from . import cache
from .errors import ToolError

DEVICE = '/dev/kvm'
CHOICES = ('auto', 'kvm', 'tcg')
TOO_SLOW = 20.0         # times slower than here; TCG itself is about 5
TIME_LIMIT = 0.8        # seconds for the whole measurement
SHORT, LONG = 100_000, 1_000_000    # iterations

# <linux/kvm.h>, x86-64
_CREATE_VM, _VCPU_MMAP_SIZE, _CREATE_VCPU = 0xae01, 0xae04, 0xae41
_SET_MEMORY, _RUN = 0x4020ae46, 0xae80
_SET_REGS, _GET_SREGS, _SET_SREGS = 0x4090ae82, 0x8138ae83, 0x4138ae84
_SREGS_SIZE, _EXIT_REASON_AT, _EXIT_HLT = 312, 8, 5

# The loop, as machine code: dec rcx; jnz back.
_LOOP = bytes.fromhex('48ffc975fb')
_GUEST_CODE = _LOOP + bytes.fromhex('f4')                   # hlt
_HOST_CODE = bytes.fromhex('4889f9') + _LOOP + b'\xc3'      # mov rcx, rdi; ret


@dataclass(frozen=True)
class AccelVerdict:
    """accel: 'kvm' or 'tcg'; reason: why, a sentence for people."""
    accel: str
    reason: str


def choose(option: str) -> AccelVerdict:
    """Return the accelerator for an --accel option.

    Args:
        option: 'auto', 'kvm' or 'tcg'. For 'auto' the measurement is made
            once per boot of this machine and remembered.

    Raises:
        ToolError: the option is none of these, or KVM is asked for and is
            not there.
    """
    if option == 'tcg':
        return AccelVerdict('tcg', 'TCG was asked for.')
    if option == 'kvm':
        if not os.access(DEVICE, os.R_OK | os.W_OK):
            raise ToolError(f'KVM was asked for, but {DEVICE} cannot be '
                            'opened; use --accel tcg.')
        return AccelVerdict('kvm', 'KVM was asked for.')
    if option != 'auto':
        raise ToolError(f'"{option}" is no accelerator; choose from '
                        f'{", ".join(CHOICES)}.')
    state = cache.sub('state') / 'accel.json'
    key = _state_key()
    try:
        saved = json.loads(state.read_text())
        if saved['key'] == key and saved['accel'] in CHOICES[1:]:
            return AccelVerdict(saved['accel'], str(saved['reason']))
    except (OSError, ValueError, KeyError, TypeError):
        pass    # not measured yet
    verdict = probe()
    fresh = state.with_name(f'.accel.{os.getpid()}')
    try:
        fresh.write_text(json.dumps({'key': key, 'accel': verdict.accel,
                                     'reason': verdict.reason}))
        fresh.replace(state)
    except OSError:
        pass    # it will be measured again
    return verdict


def _state_key() -> str:
    """What a remembered verdict is good for: this boot, these rights."""
    boot = Path('/proc/sys/kernel/random/boot_id').read_text().strip()
    return f'{boot} {os.access(DEVICE, os.R_OK | os.W_OK)}'


def probe() -> AccelVerdict:
    """Measure whether KVM is usable. Takes at most about a second."""
    if platform.machine() != 'x86_64':
        return AccelVerdict('tcg', 'KVM cannot run an x86-64 guest on '
                            f'{platform.machine()}: using TCG.')
    if not os.path.exists(DEVICE):
        return AccelVerdict('tcg', f'There is no {DEVICE}: using TCG, which '
                            'is slower.')
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return AccelVerdict('tcg', f'{DEVICE} may not be opened by this '
                            'user (is the user in the group kvm?): using '
                            'TCG, which is slower.')
    return _judge(_measure_in_child())


def _judge(result: str) -> AccelVerdict:
    """Turn what the child said into a verdict.

    Args:
        result: 'ratio N' (times slower than here), 'limit N' (at least so
            slow), or what went wrong.
    """
    word, _, rest = result.partition(' ')
    try:
        ratio = float(rest) if word in ('ratio', 'limit') else None
    except ValueError:
        ratio = None
    if ratio is None:
        return AccelVerdict('tcg', f'KVM does not work here ({result}): '
                            'using TCG.')
    if word == 'ratio' and ratio <= TOO_SLOW:
        return AccelVerdict('kvm', f'KVM works (a loop takes {ratio:.1f} '
                            'times as long as outside).')
    why = '' if _cpu_has_virtualisation() else \
        ' (no hardware virtualisation)'
    over = 'more than ' if word == 'limit' else ''
    return AccelVerdict('tcg', f'KVM is present but {over}{_round(ratio)} '
                        f'times too slow here{why}: using TCG.')


def _round(value: float) -> str:
    """Two digits are all that is meant."""
    return f'{float(f"{value:.2g}"):g}' if value < 1e5 else f'{value:.0e}'


def _cpu_has_virtualisation() -> bool:
    try:
        words = set(Path('/proc/cpuinfo').read_text().split())
    except OSError:
        return False
    return bool(words & {'vmx', 'svm'})


def _measure_in_child() -> str:
    """Measure in a process that can be given up; see _judge."""
    library = str(Path(__file__).resolve().parent.parent)
    code = ('import sys; sys.dont_write_bytecode = True; '
            'sys.path.insert(0, sys.argv[1]); '
            'from dmirrorlib import accel; accel.child_main()')
    child = subprocess.Popen([sys.executable, '-c', code, library],
                             stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True)
    # The child tells each step; the last one that came counts.
    deadline = time.monotonic() + TIME_LIMIT
    try:
        said, _ = child.communicate(timeout=TIME_LIMIT)
    except subprocess.TimeoutExpired:
        child.kill()
        try:
            said, _ = child.communicate(timeout=0.5)
        except subprocess.TimeoutExpired:
            # Stuck in the kernel: it ends when it can.
            return 'a guest cannot be stopped'
    lines = said.split('\n')[:-1]
    if not lines:
        late = time.monotonic() >= deadline
        return 'no answer in time' if late else 'the probe died'
    return lines[-1]


def child_main() -> None:
    """The child's job: print one line per step, the best one last."""
    def tell(text: str) -> None:
        print(text, flush=True)

    here = host_seconds(LONG) / LONG
    try:
        guest = _Guest()
    except OSError as err:
        tell(err.strerror or 'it cannot make a guest')
        return
    # Should even the short loop not end, this is what remains said.
    tell(f'limit {TIME_LIMIT / 2 / SHORT / here:.1f}')
    try:
        best: Optional[float] = None
        for count in (SHORT, LONG, LONG, LONG):
            ratio = guest.seconds(count) / count / here
            best = ratio if best is None else min(best, ratio)
            tell(f'ratio {best:.1f}')
            if best > 10 * TOO_SLOW:
                break   # a longer loop would only take longer
    except OSError as err:
        tell(err.strerror or 'its guest does not run')


def host_seconds(count: int) -> float:
    """Return the seconds that the loop takes here, the best of three.

    Args:
        count: iterations.
    """
    try:
        code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ
                         | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:
        return count * 1e-9     # a rule forbids it: assume a usual machine
    code.write(_HOST_CODE)
    view = ctypes.c_char.from_buffer(code)
    loop = ctypes.CFUNCTYPE(None, ctypes.c_uint64)(ctypes.addressof(view))
    best = float('inf')
    for _ in range(3):
        start = time.perf_counter()
        loop(count)
        best = min(best, time.perf_counter() - start)
    return max(best, 1e-9)


class _Guest:
    """A virtual machine with one processor in 64-bit mode and 2 MiB.

    64-bit mode because some processors emulate the old ones. Page tables:
    the PML4 at 0x1000, a PDPT at 0x2000 and a PD at 0x3000 map the first
    2 MiB onto themselves; the code is at 0x4000.
    """

    def __init__(self) -> None:
        size = 1 << 21
        self._memory = mmap.mmap(-1, size)
        for at, entry in ((0x1000, 0x2003), (0x2000, 0x3003),
                          (0x3000, 0x0083)):
            struct.pack_into('<Q', self._memory, at, entry)
        self._memory[0x4000:0x4000 + len(_GUEST_CODE)] = _GUEST_CODE
        kvm = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
        vm = fcntl.ioctl(kvm, _CREATE_VM, 0)
        view = ctypes.c_char.from_buffer(self._memory)
        fcntl.ioctl(vm, _SET_MEMORY, struct.pack(
            '<IIQQQ', 0, 0, 0, size, ctypes.addressof(view)))
        self._cpu = fcntl.ioctl(vm, _CREATE_VCPU, 0)
        self._state = mmap.mmap(self._cpu,
                                fcntl.ioctl(kvm, _VCPU_MMAP_SIZE, 0))
        self._long_mode()

    def _long_mode(self) -> None:
        sregs = bytearray(_SREGS_SIZE)
        fcntl.ioctl(self._cpu, _GET_SREGS, sregs)
        # struct kvm_segment: base, limit, selector, type, present, dpl, db,
        # s, l, g, avl, unusable, padding. cs, ds, es, fs, gs, ss come first.
        code = struct.pack('<QIH10B', 0, 0xffffffff, 8,
                           11, 1, 0, 0, 1, 1, 1, 0, 0, 0)
        data = struct.pack('<QIH10B', 0, 0xffffffff, 16,
                           3, 1, 0, 1, 1, 0, 1, 0, 0, 0)
        sregs[:6 * 24] = code + 5 * data
        # After 8 segments and 2 tables: cr0, cr2, cr3, cr4, cr8, efer.
        struct.pack_into('<6Q', sregs, 8 * 24 + 2 * 16,
                         0x80000011,    # cr0: paging, protection
                         0, 0x1000,     # cr3: the PML4
                         0x20,          # cr4: PAE
                         0, 0x500)      # efer: long mode enabled and active
        fcntl.ioctl(self._cpu, _SET_SREGS, bytes(sregs))

    def seconds(self, count: int) -> float:
        """Run the loop and return the seconds it took.

        Args:
            count: iterations.

        Raises:
            OSError: the guest did something else.
        """
        # struct kvm_regs: rax rbx rcx rdx rsi rdi rsp rbp r8-r15 rip rflags
        fcntl.ioctl(self._cpu, _SET_REGS, struct.pack(
            '<18Q', 0, 0, count, 0, 0, 0, 0x8000, 0, *[0] * 8, 0x4000, 2))
        start = time.perf_counter()
        fcntl.ioctl(self._cpu, _RUN, 0)
        taken = time.perf_counter() - start
        reason, = struct.unpack_from('<I', self._state, _EXIT_REASON_AT)
        if reason != _EXIT_HLT:
            raise OSError(0, f'a guest stopped with reason {reason}')
        return taken
