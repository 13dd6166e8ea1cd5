# SPDX-License-Identifier: GPL-2.0
"""Building the user space of a guest that runs hmm-tests or loads modules: the
tree's own test program, the init around it, and the initramfs with both.

The tree is only read. Everything is linked statically, so that the guest
needs no libraries.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from . import proc, selftest_cpio as cpio
from .errors import ToolError

SELFTESTS = 'tools/testing/selftests'
TESTS_SOURCE = f'{SELFTESTS}/mm/hmm-tests.c'
_INIT = Path(__file__).resolve().parents[1] / 'init'
INIT_SOURCES = tuple(_INIT / name for name in ('init.c', 'modules.c',
                                               'life.c'))

# What hmm-tests has been linked with over the versions, for a Makefile that
# does not say it in the way known here.
_HELPERS = ('vm_util.c', 'hugepage_settings.c', 'thp_settings.c')
_RULE = re.compile(r'^\$\(TEST_GEN_FILES\):(.*)$', re.M)
_ERROR_LINES = 12       # of the compiler's, shown when it fails
_TIMEOUT = 300.0        # seconds for one run of the compiler


@dataclass(frozen=True)
class Module:
    """A module that the init loads.

    path: the file, on this machine.
    params: its parameters, as in 'name=value'.
    """
    path: Path
    params: Sequence[str] = ()

    @property
    def name(self) -> str:
        """The module's name, as the init has it."""
        return self.path.stem.replace('-', '_')


@dataclass(frozen=True)
class Life:
    """A case of the driver's life cycle; see tools/init/init.c.

    name: its name.
    params: parameters of the driver.
    fails: the errno for which it must not load; 0 if it has to load.
    nodes: how many devices it makes.
    deed: what to do while it is loaded; '' for nothing.
    device: the device that this is about.
    places: first and last physical address of each coherent device.
    """
    name: str
    params: Sequence[str] = ()
    fails: int = 0
    nodes: int = 0
    deed: str = ''
    device: int = 0
    places: Sequence[Tuple[int, int]] = ()

    def lines(self) -> List[str]:
        """Return it as the init reads it."""
        lines = [f'life {self.name}', *(f'with {p}' for p in self.params),
                 f'fails {self.fails}', f'nodes {self.nodes}',
                 f'device {self.device}']
        if self.deed:
            lines.append(f'deed {self.deed}')
        return lines + [f'place {first:#x}-{last:#x}'
                        for first, last in self.places]


@dataclass
class Plan:
    """What the init is to do; see tools/init/init.c.

    modules: to be loaded, in order, and unloaded.
    lives: the life cycle of the last module, or of a driver that is built in.
    rounds: how often.
    devices: how many nodes the driver has to make.
    tests: the test program on this machine; None if loading is all.
    args: its arguments.
    poweroff: power the guest off at the end; else it reboots.
    """
    modules: Sequence[Module] = ()
    lives: Sequence[Life] = ()
    rounds: int = 1
    devices: int = 0
    tests: Optional[Path] = None
    args: List[str] = field(default_factory=list)
    poweroff: bool = False

    def text(self) -> str:
        """Return it as the init reads it."""
        lines: List[str] = []
        for module in self.modules:
            lines.append(f'module /{module.path.name}')
            lines += [f'param {param}' for param in module.params]
        for life in self.lives:
            lines += life.lines()
        lines += [f'rounds {self.rounds}', f'devices {self.devices}',
                  f'end {"poweroff" if self.poweroff else "reboot"}']
        if self.tests:
            lines.append(f'tests /{self.tests.name}')
        lines += [f'arg {arg}' for arg in self.args]
        return ''.join(line + '\n' for line in lines)


def test_sources(tree: Path) -> List[Path]:
    """Return the C files that a tree's hmm-tests is made of.

    Args:
        tree: the kernel tree.

    Raises:
        ToolError: it has none.
    """
    main = tree / TESTS_SOURCE
    folder = main.parent
    if not main.is_file():
        raise ToolError(f'the tree {tree} has no {TESTS_SOURCE}: use a '
                        'complete kernel tree.')
    try:
        rule = _RULE.search((folder / 'Makefile').read_text())
    except OSError:
        rule = None
    helpers = [n for n in rule.group(1).split() if n.endswith('.c')] \
        if rule else [n for n in _HELPERS if (folder / n).is_file()]
    return [main, *(folder / name for name in helpers)]


def build_tests(tree: Path, folder: Path) -> Path:
    """Compile a tree's hmm-tests.

    Args:
        tree: the kernel tree, which is not written to.
        folder: where to put the program.

    Returns:
        The program.

    Raises:
        ToolError: it does not compile.
    """
    # The flags of the selftests' own lib.mk and mm/Makefile. Names are
    # relative to the tree, because a failed check tells its file's.
    flags = ['-D_GNU_SOURCE=', '-U_FORTIFY_SOURCE', '-I.',
             f'-I{SELFTESTS}', '-isystem', 'tools/include/uapi']
    sources = [str(p.relative_to(tree)) for p in test_sources(tree)]
    return _compile(tree, [*flags, *sources, '-lrt', '-lpthread', '-lm'],
                    folder / 'hmm-tests')


def build_init(folder: Path, flags: Sequence[str] = ()) -> Path:
    """Compile the guest's init.

    Args:
        folder: where to put the program.
        flags: more flags for the compiler.

    Returns:
        The program.

    Raises:
        ToolError: it does not compile.
    """
    return _compile(folder, ['-Wextra', *flags, *map(str, INIT_SOURCES)],
                    folder / 'init')


def build_program(source: Path, folder: Path) -> Path:
    """Compile another program of one file for a guest.

    Args:
        source: the file.
        folder: where to put the program, which is called init.

    Returns:
        The program.

    Raises:
        ToolError: it does not compile.
    """
    return _compile(folder, ['-Wextra', str(source)], folder / 'init')


def _compile(where: Path, words: Sequence[str], program: Path) -> Path:
    """Compile and link one program, its compiler started in `where`."""
    argv = ['gcc', '-static', '-O2', '-Wall', '-o', str(program), *words]
    done = proc.run_build(argv, where, timeout=_TIMEOUT)
    if done.returncode:
        lines = done.stderr.splitlines()
        first = next((i for i, line in enumerate(lines) if 'error' in line
                      or 'cannot find' in line), 0)
        raise ToolError(f'{program.name} does not compile: all that is '
                        'needed are gcc and a static C library (Debian: '
                        'gcc, libc6-dev).', detail='\n'.join(
                            lines[first:first + _ERROR_LINES]))
    return program


def initramfs(init: Path, plan: Plan) -> bytes:
    """Return the initramfs of a guest.

    Args:
        init: the program.
        plan: what to do there; the files that it names go with it.
    """
    entries = [cpio.directory(name) for name in
               ('dev', 'proc', 'sys', 'tmp')]
    # The kernel opens the console before devtmpfs can be there.
    entries += [cpio.char_device('dev/console', 5, 1),
                cpio.char_device('dev/null', 1, 3, 0o666),
                cpio.char_device('dev/kmsg', 1, 11, 0o644),
                cpio.program('init', init),
                cpio.file('plan', plan.text().encode())]
    if plan.tests:
        entries.append(cpio.program(plan.tests.name, plan.tests))
    entries += [cpio.file(module.path.name, module.path.read_bytes())
                for module in plan.modules]
    return cpio.archive(entries)
