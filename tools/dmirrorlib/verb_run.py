# SPDX-License-Identifier: GPL-2.0
"""The verb `run`: build, boot, and give a verdict."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from typing import IO, Any, Callable, Dict, List, Optional

from . import modules, options, packages, run, say, source, tiers, verdict
from .errors import (EXIT_FAIL, EXIT_INFRA, EXIT_PASS, EXIT_USAGE, ToolError,
                     UsageError)

HELP = ('Build a kernel with the suites, boot it, show the results and give '
        'a verdict that can be trusted.')
_NOT_ENDED = ['The run has not ended.']
MAX_REASONS = 50    # shown; results.json has all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument(
        'filter', nargs='?', default='',
        help='only these: "suite" or "suite.case", with wildcards')
    parser.add_argument(
        '--tier', default=tiers.DEFAULT, metavar='T[,T...]',
        help='; '.join(f'{n}: {tiers.TIERS[n].about}' for n in tiers.names())
        + f' (default {tiers.DEFAULT})')
    options.add_common(parser, 'all boots of a tier')
    parser.add_argument('--seed', type=_seed, metavar='N',
                        help="seed of the suites' random numbers, above 0")
    parser.add_argument('--ops', type=_seed, metavar='N',
                        help='operations of each random walk of '
                             'dmirror_model (default: a few)')
    parser.add_argument('--fast', action='store_true',
                        help='without the cases that are marked slow')
    parser.add_argument('--repeat', type=int, default=1, metavar='N',
                        help='run N times; all must be green')


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit()
            and 0 < int(text) < 1 << 63):
        raise argparse.ArgumentTypeError('it must be a whole number from 1 '
                                         'to 2^63 - 1')
    return int(text)


def main(args: argparse.Namespace) -> int:
    """Run the verb.

    Returns:
        EXIT_PASS if all tiers are green, EXIT_FAIL if a test spoke against
        one, else EXIT_INFRA.
    """
    if args.repeat < 1:
        raise UsageError('--repeat needs at least 1.')
    wanted = [tiers.get(name) for name in
              dict.fromkeys(args.tier.split(',')) if name]
    if not wanted:
        raise UsageError('--tier needs a name: '
                         f'{", ".join(tiers.names())}.')
    return recorded(args.json, lambda runs: _run(args, wanted, runs))


def prepared(tier: tiers.Tier, tree: source.Tree, opts: run.Options
             ) -> 'contextlib.AbstractContextManager[run.Session]':
    """Build a tier, in the way that its kernel needs; see run.prepared."""
    if tier.modules:
        return modules.prepared(tier, tree, opts)
    return run.prepared(tier, tree, opts)


def recorded(where: Optional[str],
             work: Callable[[List[Dict[str, Any]]], int]) -> int:
    """Do a verb's work and write what --json asks for, however it ends.

    Args:
        where: --json's file.
        work: puts its runs into the list that it gets; returns an exit code.

    Returns:
        The exit code, EXIT_INFRA if the results could not be written.

    Raises:
        ToolError: the work ended with it.
    """
    results = Results(where)
    code = EXIT_INFRA
    try:
        code = work(results.runs)
    except ToolError as err:
        results.reasons.append(err.message)
        code = err.code
        raise
    finally:
        written = results.write(code)
    return code if written or code == EXIT_FAIL else EXIT_INFRA


def _run(args: argparse.Namespace, wanted: List[tiers.Tier],
         data: List[Dict[str, Any]]) -> int:
    """Run the wanted tiers; put what came out into `data`."""
    out: IO[str] = sys.stderr if args.json == '-' else sys.stdout
    packages.ensure(sorted({n for tier in wanted for n in tier.needs}))
    tree = source.find_tree(args.kdir, args.kernel)
    opts = options.run_options(args, out)
    codes: List[int] = []
    for tier in wanted:
        try:
            with prepared(tier, tree, opts) as session:
                if args.list:
                    codes.append(list_plan(tier.name, session.plan(),
                                           args.filter, out, data))
                else:
                    codes += _repeat(session, args.repeat, out, data)
        except ToolError as err:
            if err.code == EXIT_USAGE or (len(wanted) == 1
                                          and not args.json):
                raise
            say.error(err.message, err.detail)
            codes.append(err.code)
            data.append({'tier': tier.name, 'verdict': 'error',
                         'exit_code': err.code, 'reasons': [err.message]})
    return next((c for c in (EXIT_FAIL, EXIT_INFRA) if c in codes),
                EXIT_PASS)


class Results:
    """What --json FILE gets.

    One object: "format" "dmirror-runs", "version" 1, "verdict" ("pass",
    "fail" or "error"), "exit_code", "reasons" (why there are no more runs),
    "runs" (see rundir.py). From the beginning the file says "error", so that
    no former result can be taken for this one's.

    Args:
        where: the file, '-' for stdout, None for nowhere.

    Raises:
        UsageError: it cannot be written.
    """

    def __init__(self, where: Optional[str]) -> None:
        self.runs: List[Dict[str, Any]] = []
        self.reasons: List[str] = []
        self._where = where
        self._path = ''
        if not where or where == '-':
            return
        self._path = os.path.realpath(where)
        try:
            self._save('error', EXIT_INFRA, _NOT_ENDED)
        except OSError as err:
            raise UsageError(f'the results cannot be written to {where} '
                             f'({err.strerror}); name another file.') from err

    def write(self, code: int) -> bool:
        """Write all there is; return whether that worked.

        Args:
            code: the exit code.
        """
        if not self._where:
            return True
        verdicts = {EXIT_PASS: 'pass', EXIT_FAIL: 'fail'}
        try:
            self._save(verdicts.get(code, 'error'), code, self.reasons)
        except OSError as err:
            say.error(f'the results cannot be written to {self._where} '
                      f'({err.strerror}); name another file.')
            return False
        return True

    def _save(self, word: str, code: int, reasons: List[str]) -> None:
        text = json.dumps({'format': 'dmirror-runs', 'version': 1,
                           'verdict': word, 'exit_code': code,
                           'reasons': reasons, 'runs': self.runs}, indent=1)
        if not self._path:
            print(text, flush=True)
            return
        if os.path.exists(self._path) and not os.path.isfile(self._path):
            # A pipe or a device: nothing to replace, and only the end counts.
            with open(self._path, 'w', encoding='utf-8') as file:
                file.write(text + '\n' if reasons != _NOT_ENDED else '')
            return
        fresh = f'{self._path}.{os.getpid()}.tmp'
        try:
            with open(fresh, 'w', encoding='utf-8') as file:
                file.write(text + '\n')
            os.replace(fresh, self._path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(fresh)
            raise


def list_plan(tier: str, plan: verdict.Plan, glob: str, out: IO[str],
              data: List[Dict[str, Any]]) -> int:
    """Print the cases that a filter chooses, for --list.

    Args:
        tier: the tier's name.
        plan: all of its cases.
        glob: the filter.
        out: where to print.
        data: gets the same for --json.

    Returns:
        EXIT_PASS.

    Raises:
        UsageError: the filter chooses none.
    """
    chosen = [f'{suite}.{case}' for suite, case
              in verdict.check_filter(plan, glob)]
    for name in chosen:
        print(name, file=out)
    data.append({'tier': tier, 'plan': chosen})
    return EXIT_PASS


def _repeat(session: run.Session, times: int, out: IO[str],
            data: List[Dict[str, Any]]) -> List[int]:
    """Run a tier a number of times; return the codes."""
    codes: List[int] = []
    for number in range(1, times + 1):
        result = session.run()
        codes.append(result.code)
        data.append(result.data)
        show(result, out)
        if times > 1:
            green = sum(c == EXIT_PASS for c in codes)
            print(f'{session.tier.name}: {green} of {number} runs green'
                  + (f', {times - number} to go' if number < times else ''),
                  file=out, flush=True)
    return codes


def show(result: verdict.Verdict, out: IO[str]) -> None:
    """Print why a verdict is what it is, and the line that sums it up."""
    colour = say.use_colour(out)
    for note in result.notes:
        print(f'note: {note}', file=out)
    for reason in result.reasons[:MAX_REASONS]:
        print(f'  {reason}', file=out)
    if len(result.reasons) > MAX_REASONS:
        print(f'  ... and {len(result.reasons) - MAX_REASONS} more.',
              file=out)
    if not result.green:
        print(f'  The consoles and results are in {result.folder}.',
              file=out)
    line = result.summary()
    if colour:
        line = f'\033[{32 if result.green else 31}m{line}\033[0m'
    print(line, file=out, flush=True)
