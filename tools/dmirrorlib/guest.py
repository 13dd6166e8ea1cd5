# SPDX-License-Identifier: GPL-2.0
"""Running one guest: live console lines, a watchdog, and nothing left behind.

A guest is any program whose stdout is a kernel console: a UML binary or QEMU.
It gets a session of its own, so that it can neither touch the terminal nor
leave processes that nobody finds (UML forks one per address space).
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence

from . import cache, proc
from .errors import ToolError
from .tiers import Tier

TERM_GRACE = 5.0        # seconds between SIGTERM and SIGKILL
FLOOD = 32 << 20        # bytes of console after which a guest is ended
MAX_LINE = 1 << 16      # bytes after which a line is cut
PR_SET_PDEATHSIG = 1    # <linux/prctl.h>

_libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class Line:
    """A console line and when it was complete, in seconds after the start."""
    text: str
    at: float


@dataclass(frozen=True)
class End:
    """How a guest ended.

    why: 'exit' (by itself), 'silent' (no console byte for too long),
        'stalled' (bytes, but no result), 'limit' (too long in total), 'flood'
        (too many bytes) or 'interrupted'.
    code: the exit code, negative for a signal, None if not by itself.
    seconds: from start to end.
    waited: the limit, in seconds, that was passed; 0 for the others.
    killed: SIGTERM was not enough.
    """
    why: str
    code: Optional[int]
    seconds: float
    waited: float = 0.0
    killed: bool = False

    def sentence(self) -> str:
        """Say it in words, as in 'the guest ...'."""
        if self.why == 'silent':
            return f'printed nothing for {self.waited:g} s and was ended'
        if self.why == 'stalled':
            return f'gave no result for {self.waited:g} s and was ended'
        if self.why == 'limit':
            return f'was not done after {self.waited:g} s and was ended'
        if self.why == 'flood':
            return f'printed more than {FLOOD >> 20} MB and was ended'
        if self.why == 'interrupted':
            return 'was interrupted'
        if self.code is not None and self.code < 0:
            return f'died of {signal.Signals(-self.code).name}'
        return f'exited with code {self.code}'


def _die_with_parent() -> None:
    """In the child: be killed when this program is, however that happens."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Guest:
    """One running guest; use it in a `with` statement.

    Args:
        argv: the program and its arguments.
        console: the file that gets the raw console as it arrives.
        silence: seconds without a console byte after which it is ended.
        limit: seconds in total after which it is ended.
        env: variables to add to the environment.

    Raises:
        ToolError: the program cannot be started.
    """

    def __init__(self, argv: Sequence[str], console: Path, silence: float,
                 limit: float, env: Optional[Dict[str, str]] = None) -> None:
        self._silence = silence
        self._limit = limit
        self._why = ''
        self._waited = 0.0
        self._killed = False
        self._kill_at = 0.0
        self._end: Optional[End] = None
        proc.record(argv, env=env)
        self._size = 0
        with cache.explain(f'opening {console}'):
            self._console = open(console, 'wb', buffering=0)
        self._start = self._last = time.monotonic()
        try:
            self._proc = subprocess.Popen(
                list(argv), env=proc.merged_env(env),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, start_new_session=True,
                preexec_fn=_die_with_parent)
        except OSError as err:
            self._console.close()
            raise ToolError(f'the guest {argv[0]} cannot be started '
                            f'({err.strerror}); build it first.') from err

    def __enter__(self) -> 'Guest':
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def lines(self) -> Iterator[Line]:
        """Yield the console's lines live, until the guest has ended."""
        rest = b''
        for chunk in self._chunks():
            rest += chunk
            *whole, rest = rest.split(b'\n')
            for raw in whole:
                yield self._line(raw)
            while len(rest) >= MAX_LINE:
                yield self._line(rest[:MAX_LINE])
                rest = rest[MAX_LINE:]
        if rest:
            yield self._line(rest)

    def hurry(self, silence: float) -> None:
        """Allow only `silence` more seconds: its work is done."""
        self._silence = min(self._silence, silence)
        self._last = time.monotonic()

    def stalled(self, waited: float) -> None:
        """End it: it talks, but what it says leads nowhere.

        Args:
            waited: seconds for which that was so.
        """
        if not self._why:
            self._stop('stalled', waited)

    @property
    def end(self) -> End:
        """How it ended; only once lines() is exhausted or it was closed."""
        assert self._end is not None, 'the guest has not ended'
        return self._end

    def close(self) -> None:
        """Make sure that it has ended, now, and that all of it has."""
        if self._end is None:
            self._why = self._why or 'interrupted'
            self._finish()

    def _line(self, raw: bytes) -> Line:
        text = raw.rstrip(b'\r').decode('utf-8', 'backslashreplace')
        return Line(text, time.monotonic() - self._start)

    def _chunks(self) -> Iterator[bytes]:
        assert self._proc.stdout is not None
        fd = self._proc.stdout.fileno()
        gone_at = 0.0
        while True:
            # First what is there: while the reader of yield was busy, the
            # guest was not silent.
            if select.select([fd], [], [], 0.1)[0]:
                data = os.read(fd, 1 << 16)
                if not data:
                    break
                self._last = time.monotonic()
                self._watch()
                self._size += len(data)
                if self._size > FLOOD:
                    if not self._why:
                        self._stop('flood', 0.0)
                    continue
                self._console.write(data)
                yield data
                continue
            self._watch()
            if gone_at:
                if time.monotonic() - gone_at > 1.0:
                    break   # somebody else holds the pipe open
            elif self._leader_gone():
                gone_at = time.monotonic()
                self._sweep()
        self._finish()

    def _watch(self) -> None:
        """Apply the limits: SIGTERM first, SIGKILL after a while."""
        now = time.monotonic()
        if self._why:
            if now >= self._kill_at and not self._killed:
                self._killed = not self._leader_gone()
                self._sweep()
        elif now - self._last > self._silence:
            self._stop('silent', self._silence)
        elif now - self._start > self._limit:
            self._stop('limit', self._limit)

    def _stop(self, why: str, waited: float) -> None:
        self._why, self._waited = why, waited
        self._kill_at = time.monotonic() + TERM_GRACE
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._proc.pid, number)
        except ProcessLookupError:
            pass

    def _leader_gone(self) -> bool:
        """True once the leader has ended; its pid stays taken till _finish."""
        if self._proc.returncode is not None:
            return True
        return os.waitid(os.P_PID, self._proc.pid, os.WEXITED | os.WNOHANG
                         | os.WNOWAIT) is not None

    def _sweep(self) -> None:
        """Kill all that is left of the session."""
        deadline = time.monotonic() + 2.0
        while time.monotonic() < deadline:
            self._signal(signal.SIGKILL)
            members = proc.session_members(self._proc.pid)
            if not members:
                return
            for pid in members:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.01)

    def _finish(self) -> None:
        """End what still runs, reap the leader and say how it ended."""
        while not self._why and not self._leader_gone():
            # The console is closed but the guest is not done.
            self._watch()
            time.sleep(0.02)
        if self._why in ('silent', 'stalled', 'limit', 'flood'):
            while time.monotonic() < self._kill_at and \
                    not self._leader_gone():
                time.sleep(0.02)
            self._killed = self._killed or not self._leader_gone()
        self._sweep()
        code = self._proc.wait()
        if self._proc.stdout:
            self._proc.stdout.close()
        self._console.close()
        self._end = End(self._why or 'exit', None if self._why else code,
                        time.monotonic() - self._start, self._waited,
                        self._killed)


def uml_argv(build: Path, tier: Tier, kernel_args: Sequence[str],
             scratch: Path) -> List[str]:
    """Return UML's command line.

    Args:
        build: the build directory.
        tier: gives the memory size.
        kernel_args: the kernel's arguments.
        scratch: a directory for UML's management socket, so that a killed
            guest leaves nothing in the home directory.
    """
    ends = [] if tier.init_ends else ['kunit_shutdown=halt']
    return [str(build / tier.image), *kernel_args, f'mem={tier.memory}',
            'console=tty', *ends, f'uml_dir={scratch}/']


def uml_env() -> Dict[str, str]:
    """Return the variables UML needs here.

    UML's memory is a sparse file in /dev/shm; a container's is often far too
    small and the guest then dies of SIGBUS. TMPDIR chooses another place.
    """
    if os.environ.get('TMPDIR'):
        return {}
    try:
        free = shutil.disk_usage('/dev/shm').free
    except OSError:
        free = 0
    return {} if free >= 1 << 29 else {'TMPDIR': tempfile.gettempdir()}


def qemu_argv(build: Path, tier: Tier, kernel_args: Sequence[str],
              accel: str) -> List[str]:
    """Return QEMU's command line.

    Args:
        build: the build directory.
        tier: gives the machine, its memory and its CPUs.
        kernel_args: the kernel's arguments.
        accel: 'kvm' or 'tcg'.
    """
    machine = tier.machine
    assert machine is not None
    ends = [] if tier.init_ends else ['kunit_shutdown=reboot']
    return [machine.qemu, '-nodefaults', '-display', 'none', '-monitor',
            'none', '-serial', 'stdio', '-no-reboot',
            '-accel', accel, '-m', tier.memory, '-smp', str(tier.cpus),
            *machine.args, '-kernel', str(build / machine.image), '-append',
            ' '.join([*kernel_args, machine.console, *ends, 'panic=-1'])]
