# SPDX-License-Identifier: GPL-2.0
"""Results from a console: the kernel tree's own KTAP parser, made flat.

The parser of the tree (tools/testing/kunit/kunit_parser.py) decides what
passed and what failed, and its printer shows it live. What it does not keep,
the place of each result in the console, is found here (walk).
"""

from __future__ import annotations

import fnmatch
import importlib.util
import re
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import (IO, Any, Dict, Iterable, Iterator, List, Optional,
                    Sequence, Tuple)

from . import say
from .errors import ToolError

LOG_LINES = 80      # lines of log kept for one case

# What printk may put before a line: a time, a thread or CPU number.
PREFIX = r'(?:<\d+>)?(?:\[[ \d.]+\]\s?)?(?:\[\s*[TC]\d+\]\s?)?'
_START = re.compile('^' + PREFIX + r'KTAP version 1$')
_NESTED = re.compile('^' + PREFIX + r' +KTAP version 1$')
_PLAN = re.compile('^' + PREFIX + r' *1\.\.\d+$')
_HEADER = re.compile('^' + PREFIX + r'( *)# Subtest: (.*)$')
_RESULT = re.compile('^' + PREFIX +
                     r'( *)(ok|not ok) \d+ (?:- )?(\S.*?)(?: # (.*))?$')
_LISTED = re.compile('^' + PREFIX + r'([^\s.]+)\.([^\s.]+)$')
_SUMS = re.compile('^' + PREFIX + r' +# (\S+): pass:\d+ fail:\d+ skip:\d+ '
                   r'total:(\d+)$')
_INDENT = 4


def progress(line: str) -> bool:
    """Return whether a console line is a header or a result."""
    return bool(_RESULT.match(line) or _HEADER.match(line)
                or _START.match(line))


@dataclass
class Case:
    """The result of one case, or of one parameter of a case.

    status: 'pass', 'fail', 'skip', 'crash' (the guest died in it), 'hang' or
        'missing' (planned, but there is no result).
    reason: the skip reason, or a sentence for what is not 'pass'.
    log: what the console said during it, unless it passed.
    seconds: how long it took as seen from the host; 0 if not known.
    """
    suite: str
    name: str
    param: str = ''
    status: str = 'missing'
    reason: str = ''
    log: List[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def key(self) -> str:
        """suite.case or suite.case[parameter], as in the skip lists."""
        base = f'{self.suite}.{self.name}'
        return f'{base}[{self.param}]' if self.param else base

    def as_json(self) -> Dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Event:
    """A result line: where it is and what it says."""
    line: int           # index into the console's lines
    begin: int          # index of the first line that belongs to it
    suite: str
    case: str           # '' for a suite's result
    param: str          # '' for a case's result
    ok: bool
    directive: str      # 'SKIP reason', without the '#'


@dataclass
class Walk:
    """Which case each console line belongs to.

    owners: (suite, case) per line, ('', '') outside the suites.
    events: the result lines, in order.
    open_suite: the suite that has begun but has no result.
    tail: the first line after the last result or header.
    started: a KTAP header was seen.
    """
    owners: List[Tuple[str, str]]
    events: List[Event]
    open_suite: str
    tail: int
    started: bool


def walk(lines: Sequence[str]) -> Walk:
    """Find the place of each result in a console.

    Args:
        lines: the console.
    """
    owners = [('', '')] * len(lines)
    events: List[Event] = []
    suite = param_case = ''
    begin, started = 0, False
    for i, line in enumerate(lines):
        if not started:
            started = bool(_START.match(line))
            begin = i + 1
            continue
        header = _HEADER.match(line)
        if header:
            level = len(header.group(1)) // _INDENT
            if level == 1:
                suite, param_case = header.group(2), ''
                begin = i + 1
            elif level == 2:
                param_case = header.group(2)
            continue
        result = _RESULT.match(line)
        if not result:
            continue
        level = len(result.group(1)) // _INDENT
        name = result.group(3).strip()
        if level == 0:
            where = (name, '', '')
        elif level == 1:
            where = (suite, name, '')
        elif level == 2:
            where = (suite, param_case, name)
        else:
            continue
        events.append(Event(i, begin, *where, result.group(2) == 'ok',
                            result.group(4) or ''))
        for j in range(begin, i + 1):
            owners[j] = where[:2]
        begin = i + 1
        if level == 0:
            suite = ''
        if level < 2:
            param_case = ''
    for j in range(begin, len(lines)):
        owners[j] = (suite, '')
    return Walk(owners, events, suite, begin, started)


def settled(lines: Iterable[str]) -> Iterator[str]:
    """Bring a console into the order that the parser needs.

    It loses the subtest whose version line and name are not neighbours, and all
    after it; but any other CPU may print a line between them. That goes first.

    Args:
        lines: the console's lines; may block.
    """
    held: Optional[str] = None
    for line in lines:
        if held is not None and (progress(line) or _NESTED.match(line)
                                 or _PLAN.match(line)):
            yield held
            held = None
        if held is None and _NESTED.match(line) and not _START.match(line):
            held = line
        else:
            yield line
    if held is not None:
        yield held


@dataclass
class Report:
    """What the parser made of one console.

    root: the parser's tree of tests, None if it could not be made.
    errors: what the parser complained about while the guest was alive.
    """
    root: Any
    errors: List[str]


class Parser:
    """The KTAP parser of a kernel tree.

    Args:
        tree: the kernel tree.

    Raises:
        ToolError: the tree has no such parser.
    """

    def __init__(self, tree: Path) -> None:
        folder = tree / 'tools' / 'testing' / 'kunit'
        try:
            self._printer = _load('kunit_printer', folder)
            self._parser = _load('kunit_parser', folder)
        except (OSError, ImportError, SyntaxError) as err:
            raise ToolError(f'{folder} has no KTAP parser that can be loaded '
                            f'({err}); use a kernel tree of 7.2 or newer.'
                            ) from err

    def parse(self, lines: Iterable[str], out: Optional[IO[str]]) -> Report:
        """Parse a console as it comes, showing results as they come.

        Args:
            lines: the console's lines; may block.
            out: where to show them; None shows nothing.
        """
        errors: List[str] = []
        ended = False

        def until_end() -> Iterator[str]:
            nonlocal ended
            yield from settled(lines)
            ended = True

        printer = self._printer.Printer(print=out is not None,
                                        output=out or sys.stdout)
        printer._use_color = out is not None and say.use_colour(out)
        show = printer.print_with_timestamp

        def live(message: str) -> None:
            # What the parser says once the console has ended are the
            # consequences of that for each case; the verdict names them.
            if ended:
                return
            if '[ERROR]' in message:
                errors.append(message.split('[ERROR]', 1)[1])
            show(message)
            if out is not None:
                out.flush()

        printer.print_with_timestamp = live
        try:
            root = self._parser.parse_run_tests(until_end(), printer)
        except (ValueError, IndexError, AttributeError, TypeError) as err:
            return Report(None, errors + [f'the KTAP parser failed: {err}'])
        return Report(root, [_tidy(e) for e in errors])


def _load(name: str, folder: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, folder / f'{name}.py')
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _tidy(error: str) -> str:
    error = re.sub(r'\x1b\[[\d;]*m', '', error)
    return ' '.join(error.replace('Test:', '', 1).split()).strip(': ')


_STATUS = {'SUCCESS': 'pass', 'FAILURE': 'fail', 'SKIPPED': 'skip',
           'TEST_CRASHED': 'crash', 'NO_TESTS': 'fail'}


def flatten(report: Report, place: Walk, lines: Sequence[str],
            times: Sequence[float] = ()) -> List[Case]:
    """Turn the parser's tree into a flat list, in order.

    A parameterised case gives one Case without and one per parameter. What
    has no result line (the guest died in it) is left out, and so are suites
    without cases: the caller knows the plan.

    Args:
        report: what Parser.parse returned.
        place: what walk returned for the same console.
        lines: the console.
        times: when each line was complete, in seconds; may be empty.
    """
    found: List[Case] = []
    if report.root is None:
        return found
    where = {(e.suite, e.case, e.param): e for e in place.events}
    for suite in report.root.subtests:
        for case in suite.subtests:
            # The parser makes nameless tests for what it could not read.
            event = where.get((suite.name, case.name, ''))
            if event is None or not case.name:
                continue
            whole = _case(suite.name, case, '', event, lines, times)
            params: List[Case] = []
            for param in case.subtests:
                event = where.get((suite.name, case.name, param.name))
                if event is not None and param.name:
                    params.append(_case(suite.name, case, param, event, lines,
                                        times))
            # KUnit gives no reason for a case of which all were skipped.
            if whole.status == 'skip' and not whole.reason:
                whole.reason = ', '.join(dict.fromkeys(
                    p.reason for p in params))
            found += [whole, *params]
    return found


def lost_parameters(place: Walk, lines: Sequence[str]) -> List[str]:
    """Compare KUnit's own sums of parameters with the results there are.

    Args:
        place: what walk returned for the console.
        lines: the console.

    Returns:
        One sentence, without its dot, per case that lacks some.
    """
    counts: Dict[Tuple[str, str], int] = {}
    for event in place.events:
        if event.param:
            pair = (event.suite, event.case)
            counts[pair] = counts.get(pair, 0) + 1
    said = []
    for owner, line in zip(place.owners, lines):
        match = _SUMS.match(line)
        if not match or match.group(1) != owner[1]:
            continue
        seen, total = counts.get(owner, 0), int(match.group(2))
        # A case without parameters may count itself.
        if seen != total and (seen or total > 1):
            said.append(f'{owner[0]}.{owner[1]} has {seen} results of '
                        f'parameters but says that it ran {total}')
    return said


def _case(suite: str, case: Any, param: Any, event: Event,
          lines: Sequence[str], times: Sequence[float]) -> Case:
    test = param or case
    status = _STATUS.get(test.status.name, 'fail')
    if status == 'crash':
        status = 'fail'     # it has a result line: the guest lived on
    made = Case(suite, case.name, param.name if param else '', status)
    log = list(lines[event.begin:event.line])
    if status == 'skip':
        made.reason = (getattr(test, 'skip_reason', '')
                       or event.directive[len('SKIP'):].strip())
    elif status == 'fail':
        made.log = log[-LOG_LINES:]
        made.reason = failure(log)
    if times and event.begin > 0:
        made.seconds = round(max(0.0, times[event.line]
                                 - times[event.begin - 1]), 3)
    return made


_FAILED = re.compile(r'# .*?: (.*(?:FAILED at|timed out|faulted|'
                     r'failed to initialize|aborted).*)')
_BLOCK_END = re.compile(r'\s*(?:# |(?:not )?ok \d|KTAP version|-+\[ cut here)')
_MESSAGE_LIMIT = 400    # characters of a message kept in a reason


def failure(log: Sequence[str]) -> str:
    """Return what a log says failed first, or ''.

    That is KUnit's own line and, after it, the last line of its block: where
    a check has a message, that is the message.

    Args:
        log: the console during the case.
    """
    for number, line in enumerate(log):
        match = _FAILED.search(line)
        if not match:
            continue
        text = match.group(1).strip()
        said = ''
        for more in log[number + 1:]:
            if _BLOCK_END.match(more):
                break
            said = more.strip() or said
        return f'{text}: {said[:_MESSAGE_LIMIT]}' if said else text
    return ''


def suite_results(place: Walk) -> Dict[str, Event]:
    """Return the result line of each suite that has one."""
    return {e.suite: e for e in place.events if not e.case}


def listed(lines: Iterable[str]) -> List[Tuple[str, str]]:
    """Return the (suite, case) pairs that a kunit.action=list boot printed."""
    found, started = [], False
    for line in lines:
        if not started:
            started = bool(_START.match(line))
            continue
        match = _LISTED.match(line)
        if match:
            found.append((match.group(1), match.group(2)))
    return found


def select(plan: Sequence[Tuple[str, str]],
           glob: str) -> List[Tuple[str, str]]:
    """Return the part of a plan that kunit.filter_glob would run.

    Args:
        plan: (suite, case) pairs.
        glob: 'suite' or 'suite.case', both may hold wildcards; '' is all.
    """
    suite_glob, dot, case_glob = glob.partition('.')
    return [(s, c) for s, c in plan
            if not glob or (fnmatch.fnmatchcase(s, suite_glob) and
                            (not dot or fnmatch.fnmatchcase(c, case_glob)))]


def with_verdict(cases: Sequence[Case], reasons: Sequence[str]) -> List[Case]:
    """Return a run's cases, and one that fails if the run is not green.

    What turned it red need not be a case's: a splat, a taint, a new skip.

    Args:
        cases: of the run.
        reasons: why it is not green; none if it is.
    """
    if not reasons:
        return list(cases)
    return [*cases, Case('verdict', 'green', '', 'fail', ' | '.join(
        ' '.join(reason.split()) for reason in reasons))]


def render(cases: Sequence[Case]) -> str:
    """Write merged results as one KTAP document.

    Args:
        cases: in order; the cases of a suite stand together.
    """
    suites: Dict[str, List[Case]] = {}
    for case in cases:
        if not case.param:
            suites.setdefault(case.suite, []).append(case)
    out = ['KTAP version 1', f'1..{len(suites)}']
    for number, (suite, members) in enumerate(suites.items(), 1):
        out += ['    KTAP version 1', f'    # Subtest: {suite}',
                f'    1..{len(members)}']
        for i, case in enumerate(members, 1):
            if case.status not in ('pass', 'skip'):
                out += [f'    # {case.name}: {case.status}: {case.reason}']
            out.append('    ' + _ktap_line(i, case.name, case.status,
                                           case.reason))
        states = {c.status for c in members}
        total = ('skip' if states == {'skip'} else
                 'pass' if states <= {'pass', 'skip'} else 'fail')
        out.append(_ktap_line(number, suite, total, ''))
    return '\n'.join(out) + '\n'


def _ktap_line(number: int, name: str, status: str, reason: str) -> str:
    word = 'ok' if status in ('pass', 'skip') else 'not ok'
    skip = f' # SKIP {reason}' if status == 'skip' else ''
    return f'{word} {number} {name}{skip}'
