# SPDX-License-Identifier: GPL-2.0
"""What the tests of run, ktap, splat and verdict share: the kernel tree whose
parser is used, recorded consoles, and a fake kernel."""

from __future__ import annotations

import os
import shutil
import sys
import unittest
from pathlib import Path
from typing import List, Optional, Tuple

from dmirrorlib import ktap, verdict
from dmirrorlib.guest import End

DATA = Path(__file__).resolve().parent / 'data'
EXPECTED = {'dmirror_mirror.huge': 'no transparent huge pages'}
PLAN = [('dmirror_pt', 'walk'), ('dmirror_pt', 'clear_range'),
        ('dmirror_pt', 'orders'), ('dmirror_mirror', 'read'),
        ('dmirror_mirror', 'huge'), ('dmirror_mirror', 'write')]
CLEAN = End('exit', 0, 0.5)


def _original_env() -> 'dict[str, str]':
    """Return the environment this program was started with: tests of other
    modules may have changed it by now."""
    words = Path('/proc/self/environ').read_bytes().split(b'\0')
    return dict((os.fsdecode(k), os.fsdecode(v)) for k, _, v in
                (w.partition(b'=') for w in words) if k)


def kernel_tree() -> Optional[Path]:
    """Return a kernel tree that is here already: $KDIR or a cached one."""
    env = _original_env()
    base = env.get('XDG_CACHE_HOME') or os.path.join(
        env.get('HOME', '/nonexistent'), '.cache')
    trees = sorted(Path(base, 'dmirror', 'trees').glob('linux-?.?'),
                   reverse=True)
    for tree in [Path(env['KDIR'])] if env.get('KDIR') else trees:
        if (tree / 'tools/testing/kunit/kunit_parser.py').exists():
            return tree.resolve()
    return None


TREE = kernel_tree()
needs_tree = unittest.skipUnless(
    TREE, 'no kernel tree here: set KDIR or run "dmirror kernel" first')


def parser() -> ktap.Parser:
    """Return the tree's KTAP parser, for tests marked needs_tree."""
    assert TREE is not None
    sys.dont_write_bytecode = True
    return ktap.Parser(TREE)


def console(name: str) -> List[str]:
    """Return the lines of a recorded console."""
    return (DATA / 'consoles' / f'{name}.txt').read_text().splitlines()


def examine(name: str, end: End = CLEAN,
            plan: Optional[List[Tuple[str, str]]] = None) -> verdict.Boot:
    """Read a recorded console as if a guest had just printed it."""
    lines = console(name)
    report = parser().parse(iter(lines), None)
    return verdict.examine(PLAN if plan is None else plan, lines, [], report,
                           end)


def judge(name: str, end: End = CLEAN,
          filtered: bool = False) -> verdict.Verdict:
    """Judge a recorded console."""
    boot = examine(name, end)
    return verdict.judge('um', PLAN, [boot], EXPECTED, filtered,
                         'kunit/skips/um.txt')


def fake_kernel(folder: Path) -> Path:
    """Make a build directory with the fake kernel in it.

    Args:
        folder: the directory, made if need be.

    Returns:
        The kernel.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / 'linux'
    shutil.copy(DATA / 'fake_linux.py', path)
    text = path.read_text().split('\n', 1)[1]
    path.write_text(f'#!{sys.executable}\n{text}')
    path.chmod(0o755)
    return path
