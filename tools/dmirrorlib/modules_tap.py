# SPDX-License-Identifier: GPL-2.0
"""What modules with suites say on a console, and the init that loads them:
one KTAP document for each module and each time that it is loaded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import (IO, Iterable, Iterator, List, Optional, Sequence, Set,
                    Tuple)

from . import ktap, run, selftest_tap, splat, verdict
from .guest import End, Guest, Line

# (suite, case, module)
Plan = Sequence[Tuple[str, str, str]]

_START = re.compile('^' + ktap.PREFIX + r'KTAP version 1$')
_INIT = re.compile('^' + ktap.PREFIX + r'# selftest: (\w+)(?: (\S+))?')
_SUITE = re.compile('^(' + ktap.PREFIX + r'(?:not )?ok )\d+( .*)$')


@dataclass
class Part:
    """One KTAP document in a console.

    round: in which round of loading, from 1.
    module: whose it is.
    begin, end: the first line, and the one after the last.
    report: what the tree's parser made of it.
    whole: the init spoke again after it.
    """
    round: int
    module: str
    begin: int
    end: int
    report: ktap.Report
    whole: bool


def listed(lines: Sequence[str]) -> List[Tuple[str, str, str]]:
    """Return the cases that modules listed, as (suite, case, module).

    Args:
        lines: the console of a boot with kunit.action=list.
    """
    found: List[Tuple[str, str, str]] = []
    module, begin = '', 0
    for i, line in enumerate(lines):
        match = _INIT.match(line)
        if not match:
            continue
        if match.group(1) == 'loading':
            module, begin = match.group(2), i
        elif match.group(1) == 'loaded':
            found += [(*pair, module) for pair in
                      ktap.listed(lines[begin:i])]
    return found


def loaded(lines: Sequence[str]) -> Set[str]:
    """Return the modules that could be loaded.

    Args:
        lines: the console.
    """
    matches = [_INIT.match(line) for line in lines]
    return {m.group(2) for m in matches if m and m.group(1) == 'loaded'}


def problems(lines: Sequence[str]) -> List[str]:
    """Return what the init found wrong.

    Args:
        lines: the console.
    """
    init = selftest_tap.said(lines)
    if not init.begun:
        return ['the guest\'s init never began']
    return init.problems


def read_live(parser: ktap.Parser, guest: Guest, seen: List[Line],
              live: Optional[IO[str]]) -> List[Part]:
    """Feed a guest's console to the parser, a document at a time.

    Args:
        parser: the tree's parser.
        guest: the guest.
        seen: gets the console's lines.
        live: where the parser's printer prints; None for nowhere.
    """
    reader = _Reader(guest.lines(), seen)
    parts: List[Part] = []
    for line in reader.lines():
        if not _START.match(line):
            if reader.word == 'end':
                guest.hurry(run.SHUTDOWN)
            continue
        begin, number, module = len(seen) - 1, reader.round, reader.module
        document = reader.document(line)
        report = parser.parse(document, live)
        for _ in document:
            pass    # the parser stops where the results are complete
        parts.append(Part(number, module, begin,
                          len(seen) - int(reader.at_init), report,
                          reader.at_init))
    return parts


class _Reader:
    """A console, read by turns as a whole and as one document.

    Args:
        source: the guest's lines.
        seen: gets them.
    """

    def __init__(self, source: Iterable[Line], seen: List[Line]) -> None:
        self._source = iter(source)
        self._seen = seen
        self.round = 0
        self.module = ''
        self.word = ''          # the init's last
        self.at_init = False    # the last line was the init's

    def lines(self) -> Iterator[str]:
        """Yield the lines."""
        for line in self._source:
            self._seen.append(line)
            match = _INIT.match(line.text)
            self.at_init = bool(match)
            if match:
                self.word = match.group(1)
                if self.word == 'round':
                    self.round += 1
                elif self.word == 'loading':
                    self.module = match.group(2) or ''
            yield line.text

    def document(self, first: str) -> Iterator[str]:
        """Yield a document's lines, until the init speaks again.

        KUnit numbers the suites of all modules that are loaded in one go;
        a document begins with 1.

        Args:
            first: its first line.
        """
        yield first
        number = 0
        for line in self.lines():
            if self.at_init:
                return
            match = _SUITE.match(line)
            if match:
                number += 1
                line = f'{match.group(1)}{number}{match.group(2)}'
            yield line


def examine(plan: Plan, seen: Sequence[Line], parts: Sequence[Part],
            rounds: int, end: End,
            console: str = 'console.log') -> List[verdict.Boot]:
    """Put together what one boot's console says.

    Args:
        plan: the cases that each round was to run.
        seen: the console.
        parts: its documents.
        rounds: how often the modules were to be loaded.
        end: how the guest ended.
        console: the console file's name, for the messages.

    Returns:
        One Boot per round. What concerns all of them is in the first, with
        the complaints of the whole console.
    """
    texts = [line.text for line in seen]
    boots = [_round(plan, seen, [p for p in parts if p.round == number], end,
                    console) for number in range(1, rounds + 1)]
    first = boots[0]
    init = selftest_tap.said(texts)
    place = ktap.Walk([('', '')] * len(texts), [], '', 0, init.begun)
    for part in parts:
        walk = ktap.walk(_alone(texts, part))
        place.owners[part.begin:part.end] = walk.owners[part.begin:]
        place.events += walk.events
    first.splats = splat.scan(texts, place)
    first.last_words = texts[-20:]
    for boot in boots:
        boot.started = init.begun
        boot.shut_down = verdict.shut_down(texts)
        boot.complete = boot.complete and init.ended
    first.bad_suites += _init_reasons(init, boots)
    return boots


def _alone(texts: Sequence[str], part: Part) -> List[str]:
    """Return a document in its place, all lines before it empty."""
    return [''] * part.begin + list(texts[part.begin:part.end])


def _round(plan: Plan, seen: Sequence[Line], parts: Sequence[Part],
           end: End, console: str) -> verdict.Boot:
    """Put together what the documents of one round say."""
    texts = [line.text for line in seen]
    pairs = [(suite, case) for suite, case, _ in plan]
    whole = verdict.Boot(pairs, [], [], {}, [], [], end, True, True, True,
                         console)
    for part in parts:
        boot = verdict.examine(
            [(s, c) for s, c, module in plan if module == part.module],
            _alone(texts, part), [line.at for line in seen[:part.end]],
            part.report, end, console)
        whole.cases += [case for case in boot.cases if not part.whole
                        or case.status not in ('crash', 'hang')]
        whole.taints.update(boot.taints)
        whole.errors += boot.errors
        whole.bad_suites += boot.bad_suites
        whole.seeds += boot.seeds
        whole.complete = whole.complete and boot.complete
    wanted = {module for _, _, module in plan}
    if wanted - {part.module for part in parts}:
        whole.complete = False
    return whole


def _init_reasons(init: selftest_tap.Said,
                  boots: Sequence[verdict.Boot]) -> List[str]:
    """Return what the guest's init has to say against its boot."""
    reasons = [f'The guest\'s init reports: {text}.'
               for text in init.problems]
    if any(c.status in ('crash', 'hang') for b in boots for c in b.cases):
        return reasons      # the guest was not there to say more
    if init.begun and not init.ended:
        reasons.append('The end marker ("# selftest: end") is missing: the '
                       f'guest {boots[0].end.sentence()}.')
    elif init.ended and init.taint is None:
        reasons.append('The guest ended without saying the kernel\'s taint.')
    elif init.taint and init.taint & ~splat.TAINT_TEST:
        bad = init.taint & ~splat.TAINT_TEST
        reasons.append('The kernel is tainted '
                       f'({splat.taint_names(bad)}, mask {bad:#x}) after the '
                       'last module was unloaded.')
    return reasons
