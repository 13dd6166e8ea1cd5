# SPDX-License-Identifier: GPL-2.0
"""Configuring and building a kernel with the tree's own kunit.py.

kunit.py says nothing while make runs, so the objects that appear in the
build directory are counted from outside.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Sequence, Set, Tuple

from . import cache, clang, missing, proc, say
from .errors import ToolError
from .tiers import GRAFT, Tier

KILL_GRACE = 10.0   # seconds for make to tidy up, before SIGKILL
POLL = 2.0          # seconds between two counts of the objects
HEARTBEAT = 15.0    # seconds between two progress lines off a terminal
USUAL_OBJECTS = {'um': 660, 'x86_64': 1300}     # before the first build
ERROR_LINES = 12    # of the compiler's, shown when a build fails
TOTAL_FILE = '.dmirror-objects'

_COMPILER_ERROR = re.compile(
    r'(?:fatal )?error: |undefined reference|No rule to make target|'
    r'ld: |modpost: |No space left|Killed$|cannot find|not found$')


@dataclass(frozen=True)
class Objects:
    """The objects of a build directory: all, those newer than a time, and
    the newest one's path."""
    total: int
    fresh: int
    newest: str


def count_objects(build: Path, since: float) -> Objects:
    """Count the object files below a build directory.

    Args:
        build: the directory.
        since: a time as of time.time(); files changed later are fresh.
    """
    total = fresh = 0
    newest, newest_at = '', since
    todo = [str(build)]
    while todo:
        try:
            entries = list(os.scandir(todo.pop()))
        except OSError:
            continue    # gone meanwhile
        for entry in entries:
            name = entry.name
            if name.endswith('.o'):
                try:
                    changed = entry.stat(follow_symlinks=False).st_mtime
                except OSError:
                    continue
                total += 1
                if changed >= since:
                    fresh += 1
                    if changed >= newest_at:
                        newest, newest_at = entry.path, changed
            elif '.' not in name and entry.is_dir(follow_symlinks=False):
                todo.append(entry.path)
    return Objects(total, fresh, os.path.relpath(newest, build)
                   if newest else '')


class Progress:
    """Shows how far a build is: one rewritten line, or one now and then.

    Args:
        build: the build directory.
        usual: how many objects a whole build makes.
        began: when the build began, as of time.time().
    """

    def __init__(self, build: Path, usual: int, began: float) -> None:
        self._build = build
        self._usual = usual
        self._began = began
        self._tty = sys.stderr.isatty() and os.environ.get('TERM') != 'dumb'
        self._told = began
        # A build directory that has most objects only redoes a few.
        self._whole = count_objects(build, began).total < usual // 2

    def tick(self) -> None:
        """Count, and show the count if it is time to."""
        now = time.time()
        if not self._tty and now - self._told < HEARTBEAT:
            return
        self._told = now
        objects = count_objects(self._build, self._began)
        of = f'/{max(self._usual, objects.fresh)}' if self._whole else ''
        text = (f'building: {objects.fresh}{of} objects, '
                f'{now - self._began:.0f} s  {objects.newest}')
        if self._tty:
            width = shutil.get_terminal_size().columns - 1
            print('\r' + text[:width].ljust(width), end='', file=sys.stderr,
                  flush=True)
        else:
            say.say(text)

    def done(self) -> None:
        """Wipe the rewritten line."""
        if self._tty:
            width = shutil.get_terminal_size().columns - 1
            print('\r' + ' ' * width + '\r', end='', file=sys.stderr,
                  flush=True)


def command(tree: Path, build: Path, tier: Tier, jobs: int,
            kconfig_add: Sequence[str] = ()) -> List[str]:
    """Return the kunit.py command that builds a tier.

    Args:
        tree: the kernel tree, which it must be run from.
        build: the build directory.
        tier: what to build.
        jobs: how many jobs make may run at once.
        kconfig_add: more options, as CONFIG_X=y.
    """
    argv = [sys.executable, str(Path('tools/testing/kunit/kunit.py')),
            'build', f'--build_dir={build}', f'--jobs={jobs}']
    argv += [f'--kunitconfig={path}' for path in tier.kunitconfigs]
    argv += [f'--kconfig_add={option}' for option in kconfig_add]
    if tier.qemu_config:
        argv.append(f'--qemu_config={tree / tier.qemu_config}')
    chosen = clang.make_words(tree) if tier.llvm else compilers()
    argv += [f'--make_options={setting}'
             for setting in (*chosen, *tier.make_options)]
    return argv


def compilers() -> List[str]:
    """Return make's settings for the compilers: with ccache, if it is there.
    """
    if shutil.which('ccache'):
        return ['CC=ccache gcc', 'HOSTCC=ccache gcc']
    return []


def build_kernel(tree: Path, build: Path, tier: Tier, jobs: int,
                 kconfig_add: Sequence[str] = ()) -> float:
    """Configure and build a tier's kernel.

    Args:
        tree: the kernel tree, grafted.
        build: the build directory, which exists.
        tier: what to build.
        jobs: how many jobs make may run at once.
        kconfig_add: more options, as CONFIG_X=y.

    Returns:
        Seconds taken.

    Raises:
        ToolError: it failed; the detail has the first errors.
    """
    argv = command(tree, build, tier, jobs, kconfig_add)
    tell_ignored()
    log = build / 'build.log'
    began = time.time()
    status = _watch(argv, tree, log, Progress(
        build, _usual_total(build, tier), began))
    text = log.read_text(errors='backslashreplace')
    if status or not (build / tier.image).exists():
        raise _explain(text, log, tier, tree)
    for line in warnings(text):
        say.warn(line)
    objects = count_objects(build, began)
    (build / TOTAL_FILE).write_text(f'{objects.total}\n')
    return time.time() - began


def _usual_total(build: Path, tier: Tier) -> int:
    try:
        return int((build / TOTAL_FILE).read_text())
    except (OSError, ValueError):
        return USUAL_OBJECTS.get(tier.arch, 1500)


_told: Set[str] = set()     # choices that were said to be ignored


def tell_ignored() -> None:
    """Say, once, which variables of the environment do not count."""
    names = [n for n in proc.ignored_choices() if n not in _told]
    if names:
        _told.update(names)
        say.warn(f'ignoring {", ".join(names)} of the environment: the tier '
                 'says what is built (--kconfig-add adds options).')


def _watch(argv: Sequence[str], tree: Path, log: Path,
           progress: Progress) -> int:
    """Run the build, showing progress; return its exit code."""
    proc.record(argv, tree)
    with open(log, 'wb') as out:
        # A session of its own, so that Ctrl-C is ours to pass on: kunit.py
        # would swallow it and make would go on. It holds our locks: should
        # this program be killed, the next run waits for the build's end.
        child = subprocess.Popen(list(argv), cwd=tree,
                                 env=proc.build_env(),
                                 pass_fds=cache.held(),
                                 stdin=subprocess.DEVNULL, stdout=out,
                                 stderr=subprocess.STDOUT,
                                 start_new_session=True)
        try:
            while True:
                try:
                    return child.wait(POLL)
                except subprocess.TimeoutExpired:
                    progress.tick()
        except BaseException:
            proc.end_session(child.pid, KILL_GRACE)
            child.wait()
            raise
        finally:
            progress.done()


def warnings(text: str) -> List[str]:
    """Return the compiler's and make's complaints from a build that passed.

    Args:
        text: what kunit.py printed.
    """
    # kunit.py prints make's stderr as one block after its command line.
    _, _, rest = text.rpartition('\n$ make all ')
    lines = rest.split('\n')[1:] if rest else []
    return [line for line in lines
            if line.strip() and not re.match(r'\[[\d:]+\] ', line)]


def missing_options(text: str) -> List[str]:
    """Return the Kconfig options that did not survive, if that is the error.

    Args:
        text: what kunit.py printed.
    """
    match = re.search(r'^Missing: (.*)$', text, re.M)
    return match.group(1).split(', ') if match else []


def first_errors(text: str) -> List[str]:
    """Return the first telling lines of a failed build.

    Args:
        text: what kunit.py printed.
    """
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines)
                  if _COMPILER_ERROR.search(line)), None)
    if first is None:
        return [line for line in lines if line.strip()][-ERROR_LINES:]
    return lines[first:first + ERROR_LINES]


def _explain(text: str, log: Path, tier: Tier, tree: Path) -> ToolError:
    options = missing_options(text)
    if options:
        return ToolError(missing.explain(options, tier, tree))
    where, what = _split_kind(text)
    return ToolError(f'the {tier.name} kernel {where}; all of the output is '
                     f'in {log}.', detail='\n'.join(what))


def _split_kind(text: str) -> Tuple[str, List[str]]:
    errors = first_errors(text)
    if 'is not clean, please run' in text:
        return ('cannot be built because the tree holds a build of its own; '
                'run "make mrproper" there', [])
    if re.search(r'Specified kunitconfig \((.*)\) does not exist', text):
        return (f'has no kunitconfig: the graft in {GRAFT} is not complete; '
                'graft the tree again', errors)
    return 'does not build', errors


def default_jobs() -> int:
    """Return how many processors this program may use."""
    return len(os.sched_getaffinity(0))


def config_value(build: Path, option: str) -> Optional[str]:
    """Return an option's value from a build directory's .config, or None."""
    try:
        text = (build / '.config').read_text()
    except OSError:
        return None
    match = re.search(rf'^{re.escape(option)}=(.*)$', text, re.M)
    return match.group(1) if match else None
