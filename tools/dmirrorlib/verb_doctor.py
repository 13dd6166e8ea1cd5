# SPDX-License-Identifier: GPL-2.0
"""dmirror doctor: what this machine has, lacks, and what each lack costs."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Iterator, Optional

from . import (apt, cache, doctor_uml, graft, packages, proc, source, tiers,
               variants)
from .doctor_line import FAIL, OK, WARN, Line
from .errors import EXIT_INFRA, EXIT_PASS, ToolError
from .verb_graft import PROJECT

HELP = ('Check what the tiers need of this machine: one line per check, with '
        'what a lack costs and the command that mends it.')

GB = 1_000_000_000
BUILD_BYTES = GB        # free space for the builds of all tiers, ccache too
MEMORY_BYTES = 2 * GB   # what a build on two CPUs and a guest take


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
    yield from doctor_uml.all_checks()
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
        verb = 'run' if item.needs & {'um', 'x86_64'} else 'test --all'
        mend = (f'`dmirror {verb}` installs it, or '
                f'{packages.command([item])}'
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
        yield from check_overlay(tree.path)
        yield check_patches(tree)
    elif os.access(tree.path / 'drivers', os.W_OK):
        yield Line(OK, 'the tree has no graft')
    else:
        yield Line(FAIL, f'{tree.path}/drivers cannot be written, so the '
                         'tree cannot be grafted: use a copy or a git '
                         'worktree of it.')


def check_overlay(tree: Path) -> Iterator[Line]:
    """Check that a grafted tree gets its device memory on UML from us."""
    if graft.has_own_header(tree):
        yield Line(WARN, f'the tree brings its own {graft.HEADER}: the '
                         'overlay steps aside, and whether UML has device '
                         'memory is up to the tree.')


def check_patches(tree: source.Tree) -> Line:
    """Check whether a user's tree can serve the tier that needs patches."""
    if tree.owned:
        return Line(OK, 'tier um-full patches a copy of the tree')
    try:
        variants.tree_for(tiers.get('um-full'), tree, PROJECT)
    except ToolError as err:
        return Line(WARN, f'no tier um-full here: {err.message}')
    return Line(OK, 'the tree has the kernel patches of tier um-full')


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
