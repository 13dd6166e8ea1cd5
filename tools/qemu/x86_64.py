# SPDX-License-Identifier: GPL-2.0
"""x86-64 for plain kunit.py, with an accelerator that really works.

Use: kunit.py run --qemu_config=drivers/dmirror/tools/qemu/x86_64.py ...

kunit.py always asks QEMU for KVM first, and a KVM that is emulated in
software lets the kernel hang. kunit.py builds QEMU's command line as
`its own list + extra_qemu_params`, and the right side of such a sum may
decide what it gives: AccelParams leaves out the accelerators on the left and
puts one that was measured (or $DMIRROR_ACCEL: auto, kvm, tcg) there instead.
"""

import contextlib
import dataclasses
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, List

sys.path.append(str(Path(__file__).resolve().parents[1]))

from dmirrorlib import accel, errors, tiers  # noqa: E402
from qemu_config import QemuArchParams  # type: ignore  # noqa: E402


class AccelParams(List[str]):
    """QEMU parameters that choose the accelerator when added to a list.

    Args:
        params: the parameters.
        choice: returns 'kvm' or 'tcg'; called only when QEMU is to start.
    """

    def __init__(self, params: List[str], choice: Callable[[], str]) -> None:
        super().__init__(params)
        self._choice = choice

    def __radd__(self, left: List[str]) -> List[str]:
        if '-accel' in self:    # from --qemu_args: the user has chosen
            mine = list(self)
        else:
            mine = ['-accel', self._choice(), *self]
        return without_accel(left) + mine


def without_accel(params: List[str]) -> List[str]:
    """Return QEMU parameters without any '-accel X' pair."""
    kept: List[str] = []
    words = iter(params)
    for word in words:
        if word == '-accel':
            next(words, None)
        else:
            kept.append(word)
    return kept


def choose() -> str:
    """Return the accelerator to use, and say why if it is not KVM."""
    option = os.environ.get('DMIRROR_ACCEL') or 'auto'
    try:
        verdict = accel.choose(option)
    except errors.ToolError as err:
        sys.exit(f'{__file__}: {err.message}')
    if option == 'auto' and verdict.accel == 'tcg':
        print(verdict.reason, file=sys.stderr)
    return verdict.accel


def check(kunit_kernel: Any) -> None:
    """Make sure that this kunit.py lets AccelParams decide.

    Its own start() is called, with a Popen that only looks.

    Args:
        kunit_kernel: kunit.py's module of that name.

    Raises:
        SystemExit: it does not; kunit.py would seem to hang later.
    """
    seen: List[str] = []

    def look(argv: List[str], **_: object) -> None:
        seen.extend(argv)

    params = dataclasses.replace(QEMU_ARCH, extra_qemu_params=AccelParams(
        list(QEMU_ARCH.extra_qemu_params), lambda: 'none-but-this'))
    real = subprocess.Popen
    subprocess.Popen = look  # type: ignore
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            kunit_kernel.LinuxSourceTreeOperationsQemu(
                params, cross_compile=None).start([], '')
    finally:
        subprocess.Popen = real  # type: ignore
    chosen = [b for a, b in zip(seen, seen[1:]) if a == '-accel']
    if chosen != ['none-but-this']:
        sys.exit(f'{__file__}: this kunit.py makes the command line of QEMU '
                 f'in a way that leaves the accelerators {chosen}; use '
                 '"tools/dmirror run" instead.')


QEMU_ARCH = QemuArchParams(
    linux_arch=tiers.X86_64.arch,
    kconfig='\n'.join(tiers.X86_64.kconfig),
    qemu_arch=tiers.X86_64.qemu[len('qemu-system-'):],
    kernel_path=tiers.X86_64.image,
    # With what sets coherent memory aside, as tools/dmirror does.
    kernel_command_line=' '.join((tiers.X86_64.console, 'panic=-1',
                                  *tiers.get('x86_64').kernel_args)),
    extra_qemu_params=AccelParams(list(tiers.X86_64.args), choose))

# kunit.py loads this file from there; anything else only wants the data.
if 'kunit_kernel' in sys.modules:
    check(sys.modules['kunit_kernel'])
