# SPDX-License-Identifier: GPL-2.0
"""What one check of the doctor says."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARN, FAIL = 'ok', 'warn', 'FAIL'


@dataclass(frozen=True)
class Line:
    """The outcome of one check."""
    level: str  # OK, WARN, or FAIL: the um tier cannot run
    text: str
