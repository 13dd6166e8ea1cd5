# SPDX-License-Identifier: GPL-2.0
"""The command line: verbs, their options, and what exit code they end with."""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import List, Optional

from . import say
from .errors import (EXIT_BISECT_SKIP, EXIT_INFRA, EXIT_INTERRUPTED, ToolError)

# Each verb is a module with HELP, add_arguments(parser) and main(args) -> int.
VERBS = {
    'run': 'verb_run',
    'kernel': 'verb_kernel',
    'graft': 'verb_graft',
    'ungraft': 'verb_ungraft',
    'doctor': 'verb_doctor',
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
                         help='exit 125 instead of 3, for git bisect run')
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
        code = err.code
    except KeyboardInterrupt:
        say.error('interrupted; nothing is left running.')
        return EXIT_INTERRUPTED
    if args.bisect and code == EXIT_INFRA:
        code = EXIT_BISECT_SKIP
    return code
