# SPDX-License-Identifier: GPL-2.0
"""Messages for people, on stderr; stdout belongs to a verb's result."""

from __future__ import annotations

import os
import sys
from typing import IO, Optional

_verbose = False


def set_verbose(on: bool) -> None:
    """Turn the display of command lines (-v) on or off."""
    global _verbose
    _verbose = on


def verbose() -> bool:
    """Return True when -v was given."""
    return _verbose


def use_colour(stream: Optional[IO[str]] = None) -> bool:
    """Return True if `stream` (default stderr) should get ANSI colours.

    Follows NO_COLOR, TERM=dumb and whether the stream is a terminal.
    """
    stream = stream or sys.stderr
    if os.environ.get('NO_COLOR') or os.environ.get('TERM') == 'dumb':
        return False
    return stream.isatty()


def say(message: str) -> None:
    """Print one line for people."""
    print(message, file=sys.stderr, flush=True)


def note(message: str) -> None:
    """Print one indented line of lesser weight."""
    say('  ' + message)


def warn(message: str) -> None:
    """Print a warning."""
    text = 'warning: ' + message
    if use_colour():
        text = '\033[33m' + text + '\033[0m'
    say(text)


def error(message: str, detail: str = '') -> None:
    """Print the sentence that ends a verb, then its detail."""
    text = 'dmirror: ' + message
    if use_colour():
        text = '\033[31m' + text + '\033[0m'
    say(text)
    if detail:
        for line in detail.rstrip('\n').split('\n'):
            say('    ' + line)
