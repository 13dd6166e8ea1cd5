# SPDX-License-Identifier: GPL-2.0
"""The command line: verbs, their options, and what exit code they end with."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import sys
import threading
import traceback
from typing import IO, Iterator, List, Optional

from . import cache, say
from .errors import (EXIT_BISECT_SKIP, EXIT_BISECT_STOP, EXIT_FAIL, EXIT_INFRA,
                     EXIT_PASS, EXIT_USAGE, Ended, ToolError)

# Each verb is a module with HELP, add_arguments(parser) and main(args) -> int.
VERBS = {
    'run': 'verb_run',
    'kernel': 'verb_kernel',
    'graft': 'verb_graft',
    'ungraft': 'verb_ungraft',
    'doctor': 'verb_doctor',
    'selftest': 'verb_selftest',
    'coverage': 'verb_coverage',
    'compare': 'verb_compare',
    'series': 'verb_series',
    'bisect-step': 'verb_bisect_step',
    'export': 'verb_export',
    'check': 'verb_check',
    'test': 'verb_test',
}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser for all verbs."""
    parser = argparse.ArgumentParser(
        prog='dmirror',
        description='Test heterogeneous memory in a real kernel, '
                    'and trust the verdict.',
        epilog='Exit codes: 0 pass, 1 a test failed, 2 usage, '
               '3 build, boot or the machine failed (125 with --bisect). '
               '"dmirror help VERB" explains a verb.')
    subs = parser.add_subparsers(dest='verb', metavar='VERB')
    for verb, module_name in VERBS.items():
        module = importlib.import_module('dmirrorlib.' + module_name)
        sub = subs.add_parser(verb, help=module.HELP, description=module.HELP)
        sub.add_argument('-v', '--verbose', action='store_true',
                         help='show every command line that is run')
        sub.add_argument('--bisect', action='store_true',
                         help='exit 125 instead of 2 and 3, for git bisect '
                              'run')
        module.add_arguments(sub)
        sub.set_defaults(main=module.main)
    return parser


def main(argv: Optional[List[str]] = None) -> int:
    """Run one verb.

    Args:
        argv: the arguments after the program's name; sys.argv by default.

    Returns:
        The exit code (see errors.py).
    """
    words = list(sys.argv[1:] if argv is None else argv)
    bisect = '--bisect' in words or words[:1] == ['bisect-step']
    try:
        with _signals():
            code = _main(words)
            sys.stdout.flush()
    except SystemExit as err:   # argparse's, for --help or a usage error
        if err.code in (0, None):
            raise
        return EXIT_BISECT_STOP if bisect else EXIT_USAGE
    except KeyboardInterrupt as err:
        number = err.number if isinstance(err, Ended) else signal.SIGINT
        with contextlib.suppress(OSError):  # the terminal may be gone
            say.error('interrupted; nothing is left running.')
        return 128 + number
    except Exception as err:
        code = _unexpected(err)
    if bisect and code not in (EXIT_PASS, EXIT_FAIL, EXIT_BISECT_STOP):
        code = EXIT_BISECT_SKIP
    return code


def _main(words: List[str]) -> int:
    """Parse the command line and run its verb; return the exit code."""
    parser = build_parser()
    if words[:1] == ['help']:
        words = words[1:2] + ['--help']
    args = parser.parse_args(words)
    if not args.verb:
        parser.print_help()
        return 0
    say.set_verbose(args.verbose)
    try:
        code = int(args.main(args))
    except ToolError as err:
        say.error(err.message, err.detail)
        return err.code
    try:
        sys.stdout.flush()
    except OSError as err:
        # What is lost is the output; a bad verdict stays.
        lost = _unexpected(err)
        return code if code == EXIT_FAIL else lost
    return code


def _unexpected(err: Exception) -> int:
    """Say what no verb had foreseen; return the exit code."""
    if isinstance(err, BrokenPipeError):
        _hush(sys.stdout)
        return EXIT_INFRA
    message = (f'unexpected {type(err).__name__} '
               f'({" ".join(str(err).split())}): this is a fault of dmirror; '
               'report what the same command says with -v.')
    if isinstance(err, OSError):
        said = cache.translate(err, 'working')
        message = said.message if said else (
            f'{err.filename or "the system"} did not do what is needed '
            f'({err.strerror or err}): mend that and try again, -v shows '
            'more.')
    with contextlib.suppress(OSError):
        say.error(message, traceback.format_exc() if say.verbose() else '')
    try:
        sys.stdout.flush()
    except OSError:
        _hush(sys.stdout)
    return EXIT_INFRA


def _hush(stream: IO[str]) -> None:
    """Let nothing more of a stream fail: its reader or its disk is gone."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind like Ctrl-C, so that all that runs for
    us ends; a signal that was ignored (nohup) stays so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP)
               if signal.getsignal(n) != signal.SIG_IGN]

    def unwind(number: int, frame: object) -> None:
        del frame
        for each in numbers:    # once is enough
            signal.signal(each, signal.SIG_IGN)
        raise Ended(number)

    before = {n: signal.signal(n, unwind) for n in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
