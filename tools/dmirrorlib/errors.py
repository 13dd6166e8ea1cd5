# SPDX-License-Identifier: GPL-2.0
"""Exit codes, and the one exception that ends a verb with a sentence."""

from __future__ import annotations

EXIT_PASS = 0      # every planned case ran and none failed
EXIT_FAIL = 1      # at least one case failed, crashed, hung or splatted
EXIT_USAGE = 2     # the command line is wrong
EXIT_INFRA = 3     # build, boot or the machine failed: no verdict on the code
EXIT_BISECT_SKIP = 125  # what EXIT_INFRA becomes under --bisect
EXIT_BISECT_STOP = 128  # a wrong command line under --bisect: git stops
# 128 + N: ended by signal N; 130 is Ctrl-C


class Ended(KeyboardInterrupt):
    """A signal that ends the program: it unwinds like Ctrl-C.

    Args:
        number: the signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class ToolError(Exception):
    """Ends a verb with one sentence on stderr.

    Args:
        message: one sentence that says what went wrong and what to do.
        code: the exit code, EXIT_INFRA unless told otherwise.
        detail: optional lines shown below the sentence (a compiler's first
            error, the tail of a log).
    """

    def __init__(self, message: str, code: int = EXIT_INFRA,
                 detail: str = '') -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.detail = detail


class UsageError(ToolError):
    """A ToolError whose cause is the command line."""

    def __init__(self, message: str) -> None:
        super().__init__(message, EXIT_USAGE)
