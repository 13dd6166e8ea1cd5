# SPDX-License-Identifier: GPL-2.0
"""Known failures: cases that may fail on some kernels without being red.

A case that recognises a defect of the kernel skips itself ("known kernel
bug:", see DMIRROR_KNOWN_DEFECT). This list is for what a case cannot say
itself, because it dies, hangs, makes the kernel complain, or only fails now
and then.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Tuple

from .errors import ToolError

FILE = 'kunit/known.txt'        # relative to the project
FLAKY = 'flaky'                 # how the reason of one begins that may pass

_RANGE = re.compile(r'all|(?:\d+(?:\.\d+)*)?-?(?:\d+(?:\.\d+)*)?', re.ASCII)


@dataclass(frozen=True)
class Known:
    """One known failure: `suite.case`, the kernels it is known on, why it
    fails, and where that is written up."""
    key: str
    kernels: str
    reason: str
    link: str

    @property
    def may_pass(self) -> bool:
        """True if a pass says nothing: it fails only now and then."""
        return self.reason.startswith(FLAKY)

    def sentence(self) -> str:
        """Say why it fails and where to read on."""
        return f'{self.reason}, see {self.link}'


def read(path: Path, version: str) -> Dict[str, Known]:
    """Read the list, as far as it is about a kernel.

    One failure per line, `suite.case  kernels  reason  link`; two blanks or a
    tab stand between. '#' begins a comment. See in_range for `kernels`.

    Args:
        path: the file; none means that no failure is known.
        version: the kernel's, as in '7.3.4'.

    Returns:
        The failures by `suite.case`.

    Raises:
        ToolError: a line is not of that form.
    """
    found: Dict[str, Known] = {}
    if not path.exists():
        return found
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.lstrip().startswith('#'):
            continue
        words = re.split(r'\t+| {2,}', line.strip())
        if (len(words) != 4 or '.' not in words[0]
                or not _RANGE.fullmatch(words[1]) or words[1] == '-'):
            raise ToolError(
                f'{path}:{number}: write "suite.case  kernels  reason  link" '
                'with two blanks between, and kernels as in 7.2-7.3, 7.3.4-, '
                '-7.2 or all.')
        one = Known(*words)
        if in_range(version, one.kernels):
            found[one.key] = one
    return found


def numbers(version: str) -> Tuple[int, ...]:
    """Return the numbers that a version begins with: 7.4.0-rc1 is 7, 4, 0."""
    match = re.match(r'\d+(?:\.\d+)*', version, re.ASCII)
    return tuple(int(n) for n in match.group().split('.')) if match else ()


def in_range(version: str, kernels: str) -> bool:
    """Return whether a kernel is one of a range.

    Args:
        version: the kernel's.
        kernels: 'all'; 'A' for A and its patch releases; 'A-B', 'A-' or
            '-B', where B includes its patch releases.
    """
    if kernels == 'all':
        return True
    have = numbers(version)
    first, dash, last = kernels.partition('-')
    low, high = numbers(first), numbers(last if dash else first)
    return have >= low and (not high or have[:len(high)] <= high)

