# SPDX-License-Identifier: GPL-2.0
"""What hmm-tests and the init around them say on a console: the plan, the
place of each result, and what is left to judge. Pure: no input, no output.

The kernel tree's own parser decides what passed (see ktap.py); TAP of the
kselftest harness is flat, so its names are taken apart here:
fixture.variant.case becomes the case `case` of the suite `variant`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Dict, List, Optional, Sequence, Tuple

from . import ktap, splat, verdict
from .guest import End

TESTS = 'hmm-tests'     # the program, and what its taint is filed under
LIFE = 'life_cycle'     # the suite of the init's own cases

_FIXTURE = re.compile(r'^FIXTURE\((\w+)\)', re.M)
_VARIANT = re.compile(r'^FIXTURE_VARIANT_ADD\((\w+),\s*(\w+)\)', re.M)
_TEST = re.compile(r'^TEST_F(?:_SIGNAL|_TIMEOUT)?\((\w+),\s*(\w+)', re.M)

_LINE = '^' + ktap.PREFIX
_START = re.compile(_LINE + r'TAP version 1[34]$')
_PLAN = re.compile(_LINE + r'1\.\.(\d+)$')
_RUN = re.compile(_LINE + r'#  RUN +(\S+) \.\.\.$')
_RESULT = re.compile(_LINE + r'(ok|not ok) \d+ (?:- )?(\S+)(?: # (.*))?$')
_INIT = re.compile(_LINE + r'# selftest: (.*)$')
_LIFE = re.compile(_LINE + r'# selftest: life (\S+)$')
_LIVED = re.compile(_LINE + r'# selftest: (ok|not ok) ([^\s:]+)(?:: (.*))?$')
_MASK = re.compile(r'(?:0x)?[0-9a-f]+')
_FAILED = re.compile(_LINE + r'# \S+?:\d+:\w+:(.*)$')
_ENDED = re.compile(_LINE + r'# \S+: (Test (?:terminated|ended|exited|failed)'
                    r'.*)$')


@dataclass(frozen=True)
class Test:
    """One case of the test program."""
    fixture: str
    variant: str        # '' for a fixture without variants
    name: str

    @property
    def pair(self) -> Tuple[str, str]:
        """(suite, case), as plans and results have it."""
        return (self.variant or self.fixture, self.name)

    @property
    def full(self) -> str:
        """Its name in the program's output and for its option -r."""
        return '.'.join(filter(None, (self.fixture, self.variant, self.name)))


def planned(source: str) -> List[Test]:
    """Return all cases of a test program, in the order in which they run.

    Args:
        source: the text of its C file.
    """
    variants: Dict[str, List[str]] = {}
    for fixture, variant in _VARIANT.findall(source):
        variants.setdefault(fixture, []).append(variant)
    tests = _TEST.findall(source)
    return [Test(fixture, variant, name)
            for fixture in _FIXTURE.findall(source)
            for variant in variants.get(fixture, [''])
            for owner, name in tests if owner == fixture]


@dataclass
class Said:
    """What the guest's init said.

    begun: it lives; ended: it said its last line.
    problems: what no green run may have.
    status: how the tests ended, as in 'exited with 0'; '' if not told.
    taint: the kernel's taint mask at the end; None if not told.
    """
    begun: bool = False
    ended: bool = False
    problems: List[str] = field(default_factory=list)
    status: str = ''
    taint: Optional[int] = None


def said(lines: Sequence[str]) -> Said:
    """Return what the guest's init said on a console.

    Args:
        lines: the console.
    """
    found = Said()
    for line in lines:
        match = _INIT.match(line)
        if not match:
            continue
        word, _, rest = match.group(1).partition(' ')
        if word == 'begin':
            found.begun = True
        elif word == 'end':
            found.ended = True
        elif word == 'problem:':
            found.problems.append(rest)
        elif word == 'tests':
            found.status = rest
        elif word == 'taint':
            found.taint = int(rest, 16) if _MASK.fullmatch(rest) else None
    return found


@dataclass
class Place(ktap.Walk):
    """ktap.Walk of a flat TAP document.

    running: what had begun and has no result; ('', '') for nothing.
    lives: the results of the driver's life cycle: the event, which has the
        reason of a failure for its directive.
    announced: how many cases the program said that it runs; None if it did
        not say.
    """
    running: Tuple[str, str] = ('', '')
    lives: List[ktap.Event] = field(default_factory=list)
    announced: Optional[int] = None


def walk(lines: Sequence[str], plan: Sequence[Test]) -> Place:
    """Find the place of each result in a console.

    Args:
        lines: the console.
        plan: the program's cases; gives the pairs for their names.
    """
    pairs = {test.full: test.pair for test in plan}
    place = Place([('', '')] * len(lines), [], '', 0, False)
    begin = 0
    for i, line in enumerate(lines):
        if not place.started:
            begin = _walk_life(place, i, line, begin)
            place.started = bool(_START.match(line))
            continue
        count = _PLAN.match(line)
        if count and place.announced is None:
            place.announced = int(count.group(1))
        run = _RUN.match(line)
        if run:
            place.running = _pair(run.group(1), pairs)
            place.tail = begin = i
        result = _RESULT.match(line)
        place.owners[i] = place.running
        if not result:
            continue
        pair = _pair(result.group(2), pairs)
        place.events.append(ktap.Event(i, begin, *pair, '',
                                       result.group(1) == 'ok',
                                       result.group(3) or ''))
        place.running = ('', '')
        place.tail = begin = i + 1
    return place


def _walk_life(place: Place, i: int, line: str, begin: int) -> int:
    """Take in a line of those before the tests.

    Returns:
        Where what is running began.
    """
    life, lived = _LIFE.match(line), _LIVED.match(line)
    if life:
        place.running = (LIFE, life.group(1))
        place.tail = begin = i
    place.owners[i] = place.running
    if lived:
        place.lives.append(ktap.Event(
            i, begin, LIFE, lived.group(2), '', lived.group(1) == 'ok',
            lived.group(3) or ''))
        place.running = ('', '')
        place.tail = begin = i + 1
    return begin


def _lives(place: Place, lines: Sequence[str],
           times: Sequence[float]) -> List[ktap.Case]:
    """Return the cases of the driver's life cycle."""
    found = []
    for event in place.lives:
        log = list(lines[event.begin:event.line])[-ktap.LOG_LINES:]
        took = (times[event.line] - times[event.begin]) if times else 0.0
        found.append(ktap.Case(
            LIFE, event.case, '', 'pass' if event.ok else 'fail',
            '' if event.ok else event.directive, [] if event.ok else log,
            took))
    return found


def _pair(name: str, pairs: Dict[str, Tuple[str, str]]) -> Tuple[str, str]:
    """Return (suite, case) for a full name, also for an unknown one."""
    words = name.split('.')
    return pairs.get(name, (words[-2] if len(words) > 1 else TESTS,
                            words[-1]))


def _by_suite(report: ktap.Report, plan: Sequence[Test]) -> ktap.Report:
    """Return what the parser made of flat results, arranged in suites."""
    if report.root is None:
        return report
    pairs = {test.full: test.pair for test in plan}
    suites: Dict[str, SimpleNamespace] = {}
    for test in report.root.subtests:
        suite, name = _pair(test.name, pairs) if test.name else ('', '')
        made = suites.setdefault(suite, SimpleNamespace(name=suite,
                                                        subtests=[]))
        made.subtests.append(SimpleNamespace(
            name=name, status=test.status, subtests=[],
            skip_reason=getattr(test, 'skip_reason', '')))
    return ktap.Report(SimpleNamespace(subtests=list(suites.values())),
                       report.errors)


def failure(log: Sequence[str]) -> str:
    """Return what the log of a failed case says was wrong first, or ''.

    Args:
        log: the console during the case.
    """
    ended = ''
    for line in log:
        match = _FAILED.match(line)
        if match:
            return match.group(1).strip()
        match = _ENDED.match(line)
        ended = ended or (match.group(1).strip() if match else '')
    return ended


def examine(plan: Sequence[Test], lines: Sequence[str],
            times: Sequence[float], report: ktap.Report, end: End,
            console: str = 'console.log',
            lives: Sequence[str] = ()) -> verdict.Boot:
    """Put together what one boot's console says.

    Args:
        plan: the cases that it was to run.
        lines: the console.
        times: when each line was complete, in seconds; may be empty.
        report: what the tree's parser made of the same lines.
        end: how the guest ended.
        console: the console file's name, for the messages.
        lives: the cases of the driver's life cycle.
    """
    place = walk(lines, plan)
    init = said(lines)
    cases = ktap.flatten(_by_suite(report, plan), place, lines, times)
    for case in cases:
        if case.status == 'fail':
            case.reason = case.reason or failure(case.log)
    if not plan:
        report = ktap.Report(None, [])  # there is nothing to be parsed
    cases = _lives(place, lines, times) + cases
    pairs = [*((LIFE, name) for name in lives), *(t.pair for t in plan)]
    done = {(c.suite, c.name) for c in cases}
    boot = verdict.Boot(
        pairs, cases, [], {}, list(report.errors), [], end, init.begun,
        init.ended and done >= set(pairs), verdict.shut_down(lines), console,
        list(lines[-20:]))
    if init.taint is not None:
        boot.taints[TESTS] = init.taint
    _name_culprit(boot, place, lines)
    boot.bad_suites += _init_reasons(boot, init, place)
    boot.splats = splat.scan(lines, place)
    return boot


def _name_culprit(boot: verdict.Boot, place: Place,
                  lines: Sequence[str]) -> None:
    """If a case was running at the end, the guest died in it: say so."""
    suite, name = place.running
    if not name:
        return
    tail = list(lines[place.tail:])[-ktap.LOG_LINES:]
    hung = boot.end.why in ('silent', 'limit', 'flood')
    died = f'the guest {boot.end.sentence()}'
    panic = next((t for t in tail if 'Kernel panic' in t), '')
    if panic and not hung:
        died = f'the guest died ({panic.strip()})'
    boot.cases.append(ktap.Case(suite, name, '', 'hang' if hung else 'crash',
                                died, tail))


def _init_reasons(boot: verdict.Boot, init: Said,
                  place: Place) -> List[str]:
    """Return what the guest's init has to say against a boot."""
    reasons = [f'The guest\'s init reports: {text}.'
               for text in init.problems]
    tests = sum(suite != LIFE for suite, _ in boot.plan)
    if place.announced is not None and place.announced != tests:
        reasons.append(f'{TESTS} announced {place.announced} cases, but '
                       f'{tests} were to run.')
    if any(c.status in ('crash', 'hang') for c in boot.cases):
        return reasons      # the guest was not there to say more
    failed = any(c.status == 'fail' and c.suite != LIFE for c in boot.cases)
    wanted = 'exited with 1' if failed else 'exited with 0'
    if init.status and init.status != wanted:
        reasons.append(f'{TESTS} {init.status}, which its results do not '
                       'explain.')
    elif tests and not init.status and not init.problems:
        reasons.append(f'Nothing was said about how {TESTS} ended.')
    if not init.ended:
        reasons.append('The end marker ("# selftest: end") is missing: the '
                       f'guest {boot.end.sentence()}.')
    elif init.taint is None:
        reasons.append('The guest ended without saying the kernel\'s taint.')
    return reasons
