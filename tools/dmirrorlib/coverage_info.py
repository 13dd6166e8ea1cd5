# SPDX-License-Identifier: GPL-2.0
"""Reading lcov's files, and saying what they say: a table per file, and the
lines that nothing reaches, with the reasons that are on record.

The format is that of geninfo(1).
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from .errors import ToolError

# Per cent of the lines that have to be reached, by name.
GOALS: Dict[str, float] = {
    'drivers/dmirror': 98.0,    # all of its files together
    'mm/migrate_device.c': 95.0,
    'mm/hmm.c': 95.0,
    'mm/mmu_notifier.c': 90.0,
    'mm/memremap.c': 80.0,
}


@dataclass
class Source:
    """What is known of one file.

    lines: how often each was executed, by number.
    branches: how often each was taken, by (line, block, branch).
    functions: where each begins, as (line, name), sorted.
    """
    lines: Dict[int, int] = field(default_factory=dict)
    branches: Dict[Tuple[str, str, str], int] = field(default_factory=dict)
    functions: List[Tuple[int, str]] = field(default_factory=list)

    def function_at(self, line: int) -> str:
        """Return the name of the function that a line is in."""
        name = '?'
        for start, candidate in self.functions:
            if start > line:
                break
            name = candidate
        return name


@dataclass(frozen=True)
class Share:
    """So many of so many."""
    hit: int
    total: int

    def percent(self) -> float:
        """Return it in per cent; of nothing all is there."""
        return 100.0 * self.hit / self.total if self.total else 100.0

    def text(self) -> str:
        """Return it as in a table."""
        return f'{self.percent():5.1f} %' if self.total else '      -'


def read(path: Path) -> Dict[str, Source]:
    """Return what a file of lcov's says, by source.

    Args:
        path: the file.

    Raises:
        ToolError: it is none.
    """
    found: Dict[str, Source] = {}
    source: Optional[Source] = None
    try:
        for line in path.read_text().splitlines():
            word, _, rest = line.partition(':')
            if word == 'SF':
                source = found.setdefault(rest, Source())
            elif source is not None:
                _record(source, word, rest)
    except (OSError, ValueError, IndexError) as err:
        raise ToolError(f'{path} is no file of lcov\'s ({err}); make it '
                        'anew.') from err
    for each in found.values():
        each.functions.sort()
    return found


def _record(source: Source, word: str, rest: str) -> None:
    parts = rest.split(',')
    if word == 'DA':
        number, count = int(parts[0]), int(parts[1])
        source.lines[number] = source.lines.get(number, 0) + count
    elif word == 'BRDA':
        key = (parts[0], parts[1], parts[2])
        taken = 0 if parts[3] == '-' else int(parts[3])
        source.branches[key] = source.branches.get(key, 0) + taken
    elif word == 'FN':
        source.functions.append((int(parts[0]), parts[-1]))


def lines_of(sources: Sequence[Source]) -> Share:
    """Return how many lines were executed."""
    counts = [count for s in sources for count in s.lines.values()]
    return Share(sum(c > 0 for c in counts), len(counts))


def branches_of(sources: Sequence[Source]) -> Share:
    """Return how many branches were taken."""
    counts = [count for s in sources for count in s.branches.values()]
    return Share(sum(c > 0 for c in counts), len(counts))


def table(columns: Mapping[str, Dict[str, Source]]) -> List[str]:
    """Return a table: a line per file, and one for the driver as a whole.

    Args:
        columns: what was counted, by the column's name.
    """
    names = sorted({name for column in columns.values() for name in column})
    head = f'{"file":32}' + ''.join(f'{c + ": lines":>18}{"branches":>10}'
                                    for c in columns)
    rows = [head, '-' * len(head)]
    rows += [_row(name, [[column[name]] if name in column else []
                         for column in columns.values()]) for name in names]
    for goal in (g for g in GOALS if g not in names):
        rows.append(_row(f'{goal}/ in all', [
            [s for n, s in column.items() if n.startswith(f'{goal}/')]
            for column in columns.values()]))
    return rows


def _row(name: str, cells: Sequence[Sequence[Source]]) -> str:
    return f'{name:32}' + ''.join(
        f'{lines_of(cell).text():>18}{branches_of(cell).text():>10}'
        for cell in cells)


def missed_goals(merged: Dict[str, Source]) -> List[str]:
    """Return a sentence for each goal that is not reached.

    Args:
        merged: what all tiers together reach.
    """
    said = []
    for goal, percent in GOALS.items():
        share = lines_of([s for n, s in merged.items()
                          if n == goal or n.startswith(f'{goal}/')])
        if not share.total:
            said.append(f'{goal} was not counted at all.')
        elif share.percent() < percent:
            said.append(f'{goal}: {share.percent():.1f} % of the lines, '
                        f'{percent:g} % are wanted.')
    return said


@dataclass(frozen=True)
class Reason:
    """Why something cannot be reached: of a file, a function (a glob) and
    the line's text (a regular expression)."""
    file: str
    function: str
    text: str
    why: str


def read_reasons(path: Path) -> List[Reason]:
    """Return the recorded reasons.

    One per line: FILE FUNCTION /REGEX/ WHY. Lines that begin with # are
    comments.

    Args:
        path: the file.

    Raises:
        ToolError: a line is not of that form.
    """
    found = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith('#'):
            continue
        match = re.match(r'^(\S+)\s+(\S+)\s+/(.*?)/\s+(\S.*)$', line)
        if not match:
            raise ToolError(f'{path.name}:{number} is not "FILE FUNCTION '
                            '/REGEX/ WHY": correct it.')
        found.append(Reason(*match.groups()))
    return found


@dataclass(frozen=True)
class Hole:
    """Lines in a row that nothing reaches."""
    file: str
    function: str
    first: int
    last: int
    why: str

    def text(self) -> str:
        """Return it as one line."""
        where = f'{self.first}' if self.first == self.last else \
            f'{self.first}-{self.last}'
        return (f'{self.file}:{where} {self.function}(): '
                f'{self.why or "no reason on record"}')


def holes(merged: Dict[str, Source], texts: Mapping[str, List[str]],
          reasons: Sequence[Reason]) -> List[Hole]:
    """Return the lines that nothing reaches.

    Args:
        merged: what all tiers together reach.
        texts: the sources' lines, by file.
        reasons: the recorded ones.
    """
    found: List[Hole] = []
    for name in sorted(merged):
        source = merged[name]
        last = Hole('', '', 0, 0, '')
        for number in sorted(source.lines):
            if source.lines[number]:
                last = Hole('', '', 0, 0, '')
                continue
            function = source.function_at(number)
            lines = texts.get(name, [])
            text = lines[number - 1] if number <= len(lines) else ''
            why = _why(name, function, text, reasons)
            if last.file and (last.function, last.why) == (function, why):
                found.pop()
                last = Hole(name, function, last.first, number, why)
            else:
                last = Hole(name, function, number, number, why)
            found.append(last)
    return found


def _why(name: str, function: str, text: str,
         reasons: Sequence[Reason]) -> str:
    for reason in reasons:
        if reason.file == name and \
                fnmatch.fnmatchcase(function, reason.function) and \
                re.search(reason.text, text):
            return reason.why
    return ''
