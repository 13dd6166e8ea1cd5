# SPDX-License-Identifier: GPL-2.0
"""Running other programs: every command line is shown (-v) and recorded."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence

from . import cache, say

_log: List[str] = []


def command_log() -> List[str]:
    """Return the command lines run so far, copy-pasteable, oldest first."""
    return list(_log)


def record(argv: Sequence[str], cwd: Optional[Path] = None,
           env: Optional[Mapping[str, str]] = None) -> None:
    """Show (-v) and remember a command line that is about to run.

    Args:
        argv: the program and its arguments.
        cwd: the directory it runs in, if not the current one.
        env: only the variables that differ from this process's.
    """
    text = ' '.join(shlex.quote(a) for a in argv)
    if env:
        text = ' '.join(f'{k}={shlex.quote(v)}'
                        for k, v in sorted(env.items())) + ' ' + text
    if cwd:
        text = f'(cd {shlex.quote(str(cwd))} && {text})'
    _log.append(text)
    if say.verbose():
        say.say('$ ' + text)


def merged_env(extra: Optional[Mapping[str, str]]) -> Dict[str, str]:
    """Return this process's environment with `extra` laid over it."""
    env = dict(os.environ)
    env.update(extra or {})
    return env


# Variables that change what make or kunit.py builds, or how make talks. What
# an outer make or a developer's shell left in them is not the user's choice.
_NOISE = re.compile(r'MAKEFLAGS|MFLAGS|MAKEOVERRIDES|GNUMAKEFLAGS|MAKEFILES|'
                    r'MAKELEVEL|MAKE_TERMOUT|MAKE_TERMERR|[OMCWV]|obj|src|'
                    r'objtree|srctree|quiet|need-.*')
_CHOICE = re.compile(r'ARCH|SUBARCH|SRCARCH|CROSS_COMPILE\w*|LLVM|LLVM_IAS|'
                     r'(?:HOST)?(?:CC|LD|AR|CXX)|HOST\w*FLAGS|'
                     r'K(?:C|CPP|A|RUST)FLAGS|KBUILD_\w*|KCONFIG_\w*|'
                     r'KUNIT\w*|LOCALVERSION|'
                     r'[ACR]FLAGS_(?:KERNEL|MODULE)|LDFLAGS_\w+|KERNELRELEASE')


def build_env(extra: Optional[Mapping[str, str]] = None) -> Dict[str, str]:
    """Return the environment for make and kunit.py: nothing in it but
    `extra` changes what is built."""
    env = {name: value for name, value in os.environ.items()
           if not _NOISE.fullmatch(name) and not _CHOICE.fullmatch(name)}
    env['PYTHONDONTWRITEBYTECODE'] = '1'    # the tree is not ours to fill
    env.update(extra or {})
    return env


def ignored_choices() -> List[str]:
    """Return the variables build_env() drops that a user may have meant."""
    return sorted(name for name in os.environ if _CHOICE.fullmatch(name)
                  and os.environ[name])


def session_members(session: int) -> List[int]:
    """Return the processes of a session, zombies not counted."""
    found = []
    for entry in os.listdir('/proc'):
        if not entry.isdigit():
            continue
        try:
            stat = Path('/proc', entry, 'stat').read_bytes()
        except OSError:
            continue    # it ended meanwhile
        # pid (comm) state ppid pgrp session ...; comm may hold anything.
        fields = stat[stat.rindex(b')') + 2:].split()
        if fields[0] not in b'ZX' and int(fields[3]) == session:
            found.append(int(entry))
    return found


def end_session(session: int, grace: float) -> None:
    """End all processes of a session: SIGTERM, and SIGKILL to those that
    are still there after a while (make deletes what it had half written).

    Args:
        session: its leader's pid; the leader may be gone.
        grace: seconds to wait before SIGKILL.
    """
    for number, wait in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(session, number)
        except ProcessLookupError:
            pass
        end = time.monotonic() + wait
        while session_members(session):
            if time.monotonic() > end:
                break
            if number == signal.SIGKILL:
                for pid in session_members(session):
                    try:
                        os.kill(pid, number)
                    except ProcessLookupError:
                        pass
            time.sleep(0.02)
        else:
            return


def run_build(argv: Sequence[str], cwd: Path,
              env: Optional[Mapping[str, str]] = None,
              timeout: Optional[float] = None
              ) -> 'subprocess.CompletedProcess[str]':
    """Run make or kunit.py to its end, in build_env(), output captured.

    However this ends, no process of it is left.

    Args:
        argv: the program and its arguments.
        cwd: the directory to run in.
        env: variables to add.
        timeout: seconds after which subprocess.TimeoutExpired is raised.
    """
    record(argv, cwd, env)
    with subprocess.Popen(list(argv), cwd=cwd, env=build_env(env),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True,
                          errors='backslashreplace',
                          pass_fds=cache.held(),
                          start_new_session=True) as child:
        try:
            out, err = child.communicate(timeout=timeout)
        except BaseException:
            end_session(child.pid, 5.0)
            raise
    return subprocess.CompletedProcess(list(argv), child.returncode, out,
                                       err)


def run(argv: Sequence[str], cwd: Optional[Path] = None,
        env: Optional[Mapping[str, str]] = None,
        timeout: Optional[float] = None,
        stdin: Optional[str] = None) -> 'subprocess.CompletedProcess[str]':
    """Run a program to its end, its stdout and stderr captured as text.

    Args:
        argv: the program and its arguments.
        cwd: the directory to run in.
        env: variables to add to the environment.
        timeout: seconds after which subprocess.TimeoutExpired is raised.
        stdin: text for its standard input; /dev/null when absent.

    Returns:
        The completed process; a non-zero exit is the caller's to judge.

    Raises:
        FileNotFoundError: the program is not installed.
        subprocess.TimeoutExpired: it did not end in time (it is killed).
    """
    record(argv, cwd, env)
    if stdin is None:
        return subprocess.run(list(argv), cwd=cwd, env=merged_env(env),
                              stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, errors='backslashreplace',
                              timeout=timeout, check=False)
    return subprocess.run(list(argv), cwd=cwd, env=merged_env(env),
                          input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True,
                          errors='backslashreplace', timeout=timeout,
                          check=False)
