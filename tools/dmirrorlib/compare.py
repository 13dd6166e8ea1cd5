# SPDX-License-Identifier: GPL-2.0
"""What differs between the runs of two kernels. Pure: no input, no output.

Each run gives each case one word (Outcome). Two kernels are compared by how
often a case did badly on either, at three levels: it showed at least a known
defect, it failed, it took the kernel with it. `decide` tells a difference from
a case that fails now and then.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from statistics import median
from typing import Dict, Iterable, List, Sequence, Tuple

from . import ktap, splat
from .store import Run
from .verdict import KNOWN_BUG

# How bad a run was for a case. What is not here never ran or was skipped.
SEVERITY = {'pass': 0, 'known bug': 1, 'known failure': 1, 'complaint': 2,
            'fail': 2, 'not run': 2, 'crash': 3, 'hang': 3}
IDLE = ('skip', 'absent')
LEVELS = (3, 2, 1)

# What becomes of a case, from bad to good.
WORSE = 'worse'         # it got worse
FLAKY = 'flaky'         # it fails now and then; no difference can be told
CHANGED = 'changed'     # as bad as before, or not run, in another way
FIXED = 'fixed'         # it got better
SAME = 'same'

SURE = 0.01             # a difference is one if chance gives less than this
SLOWER = 2.0            # times as long is told ...
SLOWER_BY = 0.05        # ... if that is at least so many seconds
SLOWER_ONCE = (4.0, 0.5)    # the same where there was only one run of each

Key = Tuple[str, str]   # tier, case (see ktap.Case.key)


@dataclass(frozen=True)
class Outcome:
    """What one run says of one case.

    word: a key of SEVERITY, 'skip' or 'absent'.
    message: why, or ''.
    seconds: how long it took, 0 if not known.
    alone: the run was of this case only.
    seed: of the run.
    folder: of the run.
    """
    word: str
    message: str = ''
    seconds: float = 0.0
    alone: bool = False
    seed: str = ''
    folder: str = ''

    @property
    def severity(self) -> int:
        """0 to 3; 0 also where it did not run on purpose."""
        return SEVERITY.get(self.word, 0)


@dataclass
class Row:
    """A case on both kernels.

    change: one of the constants above.
    level: the severity that made the difference, for the numbers shown.
    remark: half a sentence, or ''.
    """
    tier: str
    key: str
    base: List[Outcome]
    head: List[Outcome]
    change: str = SAME
    level: int = 2
    remark: str = ''

    def fails(self, head: bool) -> Tuple[int, int]:
        """Return how often it did badly on one side, and of how many runs."""
        side = ran(self.head if head else self.base)
        return sum(o.severity >= self.level for o in side), len(side)

    def word(self, head: bool) -> str:
        """Return what a side mostly gave: its worst word, if any is bad."""
        side = self.head if head else self.base
        bad = [o for o in side if o.severity] or side
        words = [o.word for o in bad]
        return max(words, key=words.count) if words else 'absent'

    def message(self, head: bool) -> str:
        """Return the first thing that a side's bad runs, or else its skips,
        say."""
        side = self.head if head else self.base
        return next((o.message for o in [*(o for o in side if o.severity),
                                         *side] if o.message), '')

    @property
    def suite(self) -> str:
        """The suite's name."""
        return self.key.partition('.')[0]


@dataclass
class SplatRow:
    """A kind of splat: in how many runs of either side it came."""
    tier: str
    first: splat.Splat
    base: int
    head: int


@dataclass
class Slower:
    """A case that takes longer: the medians, in seconds."""
    tier: str
    key: str
    base: float
    head: float


@dataclass
class Comparison:
    """All that differs, and how many cases do not.

    rows: of all cases and of what else spoke against a run.
    splats: those of head only, or of base only.
    slower: told, but no verdict.
    same: how many cases (not parameters) are the same.
    """
    rows: List[Row]
    splats: List[SplatRow] = field(default_factory=list)
    slower: List[Slower] = field(default_factory=list)
    same: int = 0

    def of(self, *changes: str) -> List[Row]:
        """Return the rows with one of these changes."""
        return [row for row in self.rows if row.change in changes]

    @property
    def worse(self) -> bool:
        """True if anything got worse."""
        return bool(self.of(WORSE))


def ran(side: Sequence[Outcome]) -> List[Outcome]:
    """Return the runs in which a case ran, or was to."""
    return [o for o in side if o.word not in IDLE]


def chance(few: int, of_few: int, many: int, of_many: int) -> float:
    """Return how likely chance alone makes a difference this large or
    larger (Fisher's exact test, one-sided).

    Args:
        few, of_few: failures and runs of the side with the lower rate.
        many, of_many: those of the other.
    """
    runs, fails = of_few + of_many, few + many
    whole = math.comb(runs, fails)
    return sum(math.comb(of_many, k) * math.comb(of_few, fails - k)
               for k in range(many, min(fails, of_many) + 1)
               if fails - k <= of_few) / whole


def decide(base: int, of_base: int, head: int, of_head: int) -> str:
    """Tell what two failure rates mean: WORSE, FIXED, FLAKY or SAME.

    Always against never is a difference, however few the runs (the caller
    repeats them). Anything in between is one only if chance would hardly
    give it.
    """
    if not of_base or not of_head:
        return SAME
    if (base, head) in ((0, 0), (of_base, of_head)):
        return SAME
    if base == 0 and head == of_head:
        return WORSE
    if base == of_base and head == 0:
        return FIXED
    if head * of_base > base * of_head:
        return WORSE if chance(base, of_base, head, of_head) < SURE \
            else FLAKY
    return FIXED if chance(head, of_head, base, of_base) < SURE else FLAKY


def compare(base: Sequence[Run], head: Sequence[Run],
            base_alone: Sequence[Run] = (),
            head_alone: Sequence[Run] = ()) -> Comparison:
    """Compare the runs of two kernels.

    Args:
        base, head: runs of all the cases asked for.
        base_alone, head_alone: later runs of single cases.
    """
    one = _collect(base, base_alone)
    two = _collect(head, head_alone)
    rows = []
    for key in _keys(one, two):
        runs = [r for r in base if r.tier == key[0]]
        mine = _complete(one.get(key, []), key, runs)
        runs = [r for r in head if r.tier == key[0]]
        theirs = _complete(two.get(key, []), key, runs)
        row = Row(*key, mine, theirs)
        _judge(row)
        rows.append(row)
    rows = _without_repeats(rows)
    return Comparison(rows, _splats([*base, *base_alone],
                                    [*head, *head_alone]),
                      _slower(rows), sum(r.change == SAME and
                                         not _special(r.key) for r in rows))


def _special(key: str) -> bool:
    """Return whether a key is a parameter's, or that of no case."""
    return '[' in key or general(key)


def general(key: str) -> bool:
    """Return whether a key is that of no case: '(what is wrong)'."""
    return key.startswith('(')


def _keys(one: Iterable[Key], two: Iterable[Key]) -> List[Key]:
    return list(dict.fromkeys([*one, *two]))


def _collect(runs: Sequence[Run],
             alone: Sequence[Run]) -> Dict[Key, List[Outcome]]:
    """Return the outcomes of all that a side's runs speak of."""
    found: Dict[Key, List[Outcome]] = {}
    for run in [*runs, *alone]:
        single = any(run is r for r in alone)
        for key, outcome in outcomes(run, single).items():
            found.setdefault((run.tier, key), []).append(outcome)
    return found


def _complete(side: List[Outcome], key: Key,
              runs: Sequence[Run]) -> List[Outcome]:
    """Add what the runs say by not speaking of a key: a case did not exist, a
    complaint did not come."""
    quiet = 'pass' if general(key[1]) else 'absent'
    full = sum(not o.alone for o in side)
    return side + [Outcome(quiet)] * (len(runs) - full)


def outcomes(run: Run, alone: bool = False) -> Dict[str, Outcome]:
    """Return what a run says of each case, each parameter, and, under keys
    in parentheses, what else spoke against it.

    Args:
        run: the run.
        alone: it was of one case only.
    """
    seed = ', '.join(run.seeds)
    found: Dict[str, Outcome] = {}
    complained: Dict[str, str] = {}
    for one in run.splats:
        if one.case:
            complained.setdefault(f'{one.suite}.{one.case}', one.title)
            continue
        where = f'suite {one.suite}, outside its cases' if one.suite \
            else 'outside the suites'
        key = f'(the kernel, {where})'
        found.setdefault(key, Outcome('complaint', one.title, 0.0, alone,
                                      seed, run.folder))
    for case in run.cases:
        whole = f'{case.suite}.{case.name}'
        word, message = _word(case), case.reason
        if whole in run.known_failures and case.status in (
                'fail', 'crash', 'hang'):
            word, message = 'known failure', run.known_failures[whole]
        elif not case.param and whole in complained \
                and SEVERITY.get(word, 0) < 2:
            word, message = 'complaint', complained[whole]
            if whole in run.known_failures:
                word = 'known failure'
                message = run.known_failures[whole]
        if word == 'skip' and any(
                p.status == 'fail' and (p.suite, p.name) ==
                (case.suite, case.name) for p in run.cases if p.param):
            word = 'fail'
        found[case.key] = Outcome(word, message, case.seconds, alone, seed,
                                  run.folder)
    for text in run.complaints:
        if 'is tainted' in text and run.splats:
            continue    # that is why
        found.setdefault(_kind(text), Outcome('complaint', text, 0.0, alone,
                                              seed, run.folder))
    return found


def _word(case: ktap.Case) -> str:
    if case.status == 'skip' and case.reason.startswith(KNOWN_BUG):
        return 'known bug'
    return {'missing': 'not run'}.get(case.status, case.status)


def _kind(text: str) -> str:
    """Return the key of a complaint: what does not change from run to run."""
    text = re.sub(r'; its (?:last words|console).*', '', text.rstrip('.'))
    text = re.sub(r'(?:0x)?\d[0-9a-f.]*', '#', text)
    return f'({text})'


def _judge(row: Row) -> None:
    """Give a row its change."""
    found: Dict[int, str] = {}
    for level in LEVELS:
        row.level = level
        found[level] = decide(*row.fails(False), *row.fails(True))
    for change in (WORSE, FIXED, FLAKY):
        levels = [n for n in LEVELS if found[n] == change]
        if levels:
            # The lowest: "known bug" to "crash" is shown as what it is.
            row.change, row.level = change, min(levels)
            break
    else:
        row.level = 1 if any(o.severity for o in row.base) else 2
        _judge_idle(row)
    if row.change == WORSE and any(o.word == 'known failure'
                                   for o in row.head):
        row.change, row.remark = CHANGED, 'a known failure'
    _judge_alone(row)


def _judge_idle(row: Row) -> None:
    """Compare where a case was skipped or did not exist."""
    base = [o for o in row.base if o.word in IDLE]
    head = [o for o in row.head if o.word in IDLE]
    one, two = row.word(False), row.word(True)
    if len(base) == len(row.base) and len(head) == len(row.head):
        if one != two or row.message(False) != row.message(True):
            row.change = CHANGED
        return
    # Some ran. Nothing to compare on the one side where none did.
    if len(base) == len(row.base) and not head:
        row.change = WORSE if any(o.severity > 1 for o in row.head) \
            else CHANGED
        row.remark = f'did not run before ({row.message(False) or one})'
    elif len(head) == len(row.head) and not base:
        row.change = CHANGED if any(o.severity for o in row.base) else WORSE
        row.remark = f'does not run any more ({row.message(True) or two})'
    elif bool(base) != bool(head) or len(base) * len(row.head) != \
            len(head) * len(row.base):
        row.change, row.remark = FLAKY, 'skipped now and then'
    elif one != two and row.base and row.head:
        row.change = CHANGED    # fails in another way


def _judge_alone(row: Row) -> None:
    """See whether what differs in full runs does so when run alone."""
    if row.change not in (WORSE, FIXED, FLAKY):
        return

    def rate(side: List[Outcome]) -> float:
        return sum(o.severity >= row.level for o in side) / (len(side) or 1)

    both = [*row.base, *row.head]
    alone = [o for o in (row.head if rate(row.head) >= rate(row.base)
                         else row.base) if o.alone]
    if not alone or any(o.alone and o.severity >= row.level for o in both) \
            or not any(o.severity >= row.level for o in both):
        return
    # It needs the others before it: then only the full runs count.
    base = [o for o in row.base if not o.alone]
    head = [o for o in row.head if not o.alone]
    again = Row(row.tier, row.key, base, head)
    _judge(again)
    row.change, row.level = again.change, again.level
    row.base, row.head = base, head
    row.remark = f'not when run alone (0:{len(alone)})'


def _without_repeats(rows: List[Row]) -> List[Row]:
    """Drop parameters of which their case's row says enough: the same, or
    that the guest died, so that there is nothing to say of them."""
    whole = {(r.tier, r.key): r for r in rows if not _special(r.key)}
    kept = []
    for row in rows:
        parent = whole.get((row.tier, row.key.partition('[')[0]))
        quiet = not any(o.severity for o in [*row.base, *row.head])
        if '[' in row.key and parent and parent is not row and (
                row.change in (SAME, parent.change)
                or parent.change != SAME and quiet):
            continue
        kept.append(row)
    return kept


def _splats(base: Sequence[Run], head: Sequence[Run]) -> List[SplatRow]:
    """Return the kinds of splats that only one side has."""
    found: Dict[Tuple[str, ...], SplatRow] = {}
    for runs, new in ((base, False), (head, True)):
        for run in runs:
            for one in splat.fold(run.splats):
                row = found.setdefault(
                    (run.tier, *one.identity()),
                    SplatRow(run.tier, one, 0, 0))
                if new:
                    row.head += 1
                else:
                    row.base += 1
    return [r for r in found.values() if not (r.base and r.head)]


def _slower(rows: Sequence[Row]) -> List[Slower]:
    """Return the cases that pass on both sides and take longer."""
    found = []
    for row in rows:
        base = _times(row.base)
        head = _times(row.head)
        if not base or not head or '[' in row.key:
            continue
        ratio, by = (SLOWER, SLOWER_BY) if min(len(base), len(head)) > 1 \
            else SLOWER_ONCE
        one, two = median(base), median(head)
        if two >= one * ratio and two - one >= by and min(head) > max(base):
            found.append(Slower(row.tier, row.key, one, two))
    return sorted(found, key=lambda s: s.base - s.head)


def _times(side: Sequence[Outcome]) -> List[float]:
    """Return how long a case took where it passed; nothing if it did not."""
    if any(o.severity for o in side):
        return []
    return [o.seconds for o in side if not o.alone and o.word == 'pass']
