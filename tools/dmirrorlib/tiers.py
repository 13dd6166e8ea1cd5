# SPDX-License-Identifier: GPL-2.0
"""The tiers: which kernel is built, what it runs on, what is expected of it.

Data only. Paths beginning with drivers/dmirror are those of the graft, so
they are relative to the kernel tree; the others are relative to the project.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from .errors import UsageError

GRAFT = 'drivers/dmirror'


@dataclass(frozen=True)
class Machine:
    """A QEMU machine: what a kernel needs to boot and be heard there."""
    qemu: str                   # the program
    arch: str                   # make's ARCH, and kunit.py's
    image: str                  # the kernel image, in the build directory
    console: str                # kernel arguments that make it talk
    kconfig: Tuple[str, ...]    # options the console depends on
    args: Tuple[str, ...]       # more QEMU arguments


X86_64 = Machine(
    qemu='qemu-system-x86_64',
    arch='x86_64',
    image='arch/x86/boot/bzImage',
    console='console=ttyS0',
    kconfig=('CONFIG_SERIAL_8250=y', 'CONFIG_SERIAL_8250_CONSOLE=y'),
    # qboot comes up faster than the default BIOS and prints nothing.
    args=('-bios', 'qboot.rom'))


@dataclass(frozen=True)
class Tier:
    """One way to build and boot the suites."""
    name: str
    about: str
    kunitconfigs: Tuple[str, ...]
    machine: Optional[Machine] = None   # None is UML
    memory: str = '1G'
    cpus: int = 1
    kernel_args: Tuple[str, ...] = ()
    silence: float = 60.0       # seconds without a console byte: hung
    limit: float = 600.0        # seconds for all boots together
    needs: Tuple[str, ...] = ()     # for packages.ensure
    hidden: bool = False        # only for the tests of the tools
    patches: str = ''           # the tree has to have these of tools/patches
    skips_of: str = ''          # the tier whose expected skips it shares
    modules: Tuple[str, ...] = ()   # loaded in this order (modules.py)
    llvm: bool = False          # built by clang and lld
    make_options: Tuple[str, ...] = ()  # more settings of make
    init_ends: bool = False     # its init ends the guest, not KUnit
    begins_as: str = ''         # a tier that differs in few options only

    @property
    def arch(self) -> str:
        """kunit.py's and make's name of the architecture."""
        return self.machine.arch if self.machine else 'um'

    @property
    def image(self) -> str:
        """The kernel image, relative to the build directory."""
        return self.machine.image if self.machine else 'linux'

    @property
    def qemu_config(self) -> Optional[str]:
        """The file for kunit.py's --qemu_config, in the tree, or None."""
        if self.machine is None:
            return None
        return f'{GRAFT}/tools/qemu/{self.machine.arch}.py'

    @property
    def skips(self) -> str:
        """The file of expected skips, relative to the project."""
        return f'kunit/skips/{self.skips_of or self.name}.txt'


_UM = f'{GRAFT}/.kunitconfig'
_X86_64 = f'{GRAFT}/kunit/x86_64.kunitconfig'

# What becomes device-coherent memory: memory that the CPU reaches and that the
# kernel does not use, and its name for the suites. It lies within the 1 GiB
# that kunit.py gives a guest, above the kernel, at a section's beginning.
_COHERENT = ('memmap=128M$0x20000000',
             'dmirror_fixture.coherent=0x20000000,0x8000000')

# Time is skipped while every thread of the guest waits. Nothing delays itself
# in a loop; to measure how fast one is would take half of the boot.
_SKIP = ('time-travel', 'lpj=40000000')

# RCU looks at once whether a grace period can end, not after a tick or more:
# most of a run was waiting for that.
_HURRY = ('rcutree.jiffies_till_first_fqs=0',)

# What tier modules loads, relative to the build directory.
_MODULES = ('lib/kunit/kunit.ko',
            f'{GRAFT}/drivers/dmirror/dmirror.ko',
            f'{GRAFT}/kunit/dmirror_fixture.ko',
            f'{GRAFT}/kunit/contracts/hmm_kunit.ko',
            f'{GRAFT}/kunit/dmirror_kunit.ko')

# What the kernels that watch pages do nothing without.
WATCH = ('page_owner=on', 'page_poison=1')

TIERS: Dict[str, Tier] = {t.name: t for t in (
    Tier('um', 'User Mode Linux with device memory, seconds',
         (_UM,), kernel_args=(*_COHERENT, *_SKIP), needs=('um',)),
    Tier('um-full', 'um plus huge pages, on a patched tree',
         (_UM, f'{GRAFT}/kunit/um-full.kunitconfig'),
         kernel_args=(*_COHERENT, *_SKIP), needs=('um',), patches='um-full'),
    Tier('um-stock', 'User Mode Linux as it is, without device memory',
         (f'{GRAFT}/kunit/um-stock.kunitconfig',), kernel_args=_SKIP,
         needs=('um',)),
    Tier('um-kasan', 'um under KASAN and with poisoned pages',
         (_UM, f'{GRAFT}/kunit/um-kasan.kunitconfig'),
         kernel_args=(*_COHERENT, *_SKIP, *WATCH),
         needs=('um',), skips_of='um'),
    Tier('um-smp', 'um with 4 CPUs, on the patched tree',
         (f'{GRAFT}/kunit/um-smp.kunitconfig',),
         kernel_args=(*_COHERENT, *_HURRY, 'ncpus=4', 'seccomp=on'),
         needs=('um',), patches='um-full', skips_of='um'),
    Tier('um-clang', 'um-full, built by clang and lld',
         (_UM, f'{GRAFT}/kunit/um-full.kunitconfig'),
         kernel_args=(*_COHERENT, *_SKIP), needs=('um', 'clang'),
         patches='um-full', llvm=True, skips_of='um-full'),
    Tier('x86_64', 'QEMU, with real page tables, device memory and 2 CPUs',
         (_X86_64,), X86_64, memory='2048M', cpus=2,
         kernel_args=(*_COHERENT, *_HURRY), limit=1200.0, needs=('x86_64',)),
    Tier('debug', 'x86_64 under KASAN, lockdep and the mm checkers',
         (_X86_64, f'{GRAFT}/kunit/debug.kunitconfig'), X86_64,
         memory='2048M', cpus=2, kernel_args=(*_COHERENT, *_HURRY, *WATCH),
         silence=180.0, limit=2400.0, needs=('x86_64',), skips_of='x86_64'),
    Tier('modules', 'x86_64 with the driver and the suites as modules',
         (f'{GRAFT}/kunit/modules.kunitconfig',), X86_64, memory='2048M',
         cpus=2, kernel_args=('printk.devkmsg=on', *_COHERENT, *_HURRY),
         limit=1200.0, needs=('x86_64',), modules=_MODULES),
    Tier('um-broken', 'um plus cases that are broken on purpose',
         (_UM, f'{GRAFT}/kunit/broken.kunitconfig'), kernel_args=_COHERENT,
         needs=('um',), hidden=True, skips_of='um', begins_as='um'),
)}

DEFAULT = 'um'


def names() -> List[str]:
    """Return the names of the tiers that people may ask for."""
    return [t.name for t in TIERS.values() if not t.hidden]


def get(name: str) -> Tier:
    """Return the tier called `name`.

    Raises:
        UsageError: there is none.
    """
    if name in TIERS:
        return TIERS[name]
    near = difflib.get_close_matches(name, names(), 1)
    hint = f' Did you mean "{near[0]}"?' if near else ''
    raise UsageError(f'there is no tier "{name}"; choose from '
                     f'{", ".join(names())}.{hint}')
