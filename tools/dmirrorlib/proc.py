# SPDX-License-Identifier: GPL-2.0
"""Running other programs: every command line is shown (-v) and recorded."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence

from . import say

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
