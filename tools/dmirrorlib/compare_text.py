# SPDX-License-Identifier: GPL-2.0
"""Comparisons in words: a table for people, a text for a reply, JSON."""

from __future__ import annotations

import textwrap
from typing import Any, Dict, List, Sequence

from . import compare, exporters
from .compare import CHANGED, FIXED, FLAKY, WORSE, Comparison, Row
from .store import Run

WIDTH = 78
ROWS = 40           # of one kind that are shown; the JSON has all
GROUP = 4           # rows that say the same and are shown as one from there
TITLES = {WORSE: 'Got worse:', FIXED: 'Got better:',
          FLAKY: 'Fail now and then, no difference to be told:',
          CHANGED: 'Differ otherwise:'}


def table(found: Comparison, base: str = 'base', head: str = 'head',
          tiers: int = 1) -> str:
    """Return all differences as text.

    Args:
        found: the comparison.
        base, head: what the two are called.
        tiers: how many there are: with more than one, rows name theirs.
    """
    lines: List[str] = []
    for change, title in TITLES.items():
        rows = found.of(change)
        if rows:
            lines += ['', title, *_rows(rows, base, head, tiers)]
    new = [s for s in found.splats if s.head]
    gone = [s for s in found.splats if s.base]
    for title, splats in (('New kernel complaints:', new),
                          ('Kernel complaints that are gone:', gone)):
        if splats:
            lines += ['', title, *_splats(splats)]
    if found.slower:
        lines += ['', 'Take longer (no verdict):']
    for slow in found.slower[:ROWS]:
        lines.append(f'  {_name(slow.tier, slow.key, tiers)}: '
                     f'{slow.base:.3f} s, now {slow.head:.3f} s '
                     f'({slow.head / max(slow.base, 0.001):.1f} times)')
    lines += ['', summary(found)]
    return '\n'.join(lines[1:] if lines[0] == '' else lines) + '\n'


def summary(found: Comparison) -> str:
    """Return the line that sums a comparison up."""
    parts = []
    for change, words in ((WORSE, 'worse'), (FIXED, 'better'),
                          (FLAKY, 'now and then'),
                          (CHANGED, 'different otherwise')):
        count = len(found.of(change))
        if count:
            parts.append(f'{count} {words}')
    parts.append(f'{found.same} as before')
    word = 'WORSE' if found.worse else 'NOTHING GOT WORSE'
    return f'{word}: {", ".join(parts)}'


def _splats(splats: Sequence[compare.SplatRow]) -> List[str]:
    """Return splats, one of each title."""
    kinds: Dict[str, List[compare.SplatRow]] = {}
    for row in splats:
        kinds.setdefault(row.first.identity()[0], []).append(row)
    lines: List[str] = []
    for members in list(kinds.values())[:ROWS]:
        first = members[0].first
        where = f'{first.suite}.{first.case}' if first.case else \
            first.suite or 'outside the suites'
        trace = f' [{" < ".join(first.functions)}]' if first.functions else ''
        lines += _wrap(f'{where}: {first.title}{trace}', 2, 6)
        if len(members) > 1:
            lines.append(f'      and {len(members) - 1} more with this title')
    return lines


def _rows(rows: Sequence[Row], base: str, head: str,
          tiers: int) -> List[str]:
    """Return the table of rows of one kind."""
    groups: Dict[str, List[Row]] = {}
    for row in rows:
        same = f'{row.tier} {row.word(False)} {row.word(True)} ' \
            f'{row.message(True) or row.message(False)} {row.remark}'
        groups.setdefault(same, []).append(row)
    shown: List[Row] = []
    rest: Dict[int, int] = {}
    for members in groups.values():
        if len(members) >= GROUP:
            rest[id(members[0])] = len(members) - 1
            shown.append(members[0])
        else:
            shown += members
    more = len(shown) - ROWS
    shown = shown[:ROWS]
    width = max([len(_name(r.tier, r.key, tiers)) for r in shown] + [4])
    width = min(width, WIDTH - 28)
    lines = [f'  {"case".ljust(width)}  {base:>7}  {"change":>6}  {head:>7}']
    for row in shown:
        lines += _row(row, width, tiers, rest.get(id(row), 0))
    if more > 0:
        lines.append(f'  ... and {more} more.')
    return lines


def _row(row: Row, width: int, tiers: int, others: int) -> List[str]:
    one, of_one = row.fails(False)
    two, of_two = row.fails(True)
    before = f'{one}:{of_one}' if of_one else row.word(False)
    after = f'{two}:{of_two}' if of_two else row.word(True)
    change = ''
    if of_one and of_two:
        change = f'{100 * two / of_two - 100 * one / of_one:+.0f}%'
    name = _name(row.tier, row.key, tiers)
    lines = []
    if len(name) > width:
        lines.append(f'  {name}')
        name = ''
    lines.append(f'  {name.ljust(width)}  {before:>7}  {change:>6}  '
                 f'{after:>7}')
    lines += _wrap(why(row), 6, 8)
    if others:
        lines.append(f'      and {others} other cases in the same way')
    return lines


def why(row: Row) -> str:
    """Say in words what changed, with the message of the worse side."""
    one, two = row.word(False), row.word(True)
    text = f'{one}, now {two}' if one != two else two
    if row.remark:
        text += f'; {row.remark}'
    message = row.message(row.change != FIXED)
    return f'{text}: {message}' if message else text


def _name(tier: str, key: str, tiers: int) -> str:
    return f'{tier} {key}' if tiers > 1 else key


def _wrap(text: str, first: int, rest: int) -> List[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=' ' * first, subsequent_indent=' ' * rest,
        break_long_words=False, break_on_hyphens=False) or ['']


def environment(runs: Sequence[Run]) -> List[str]:
    """Say what runs of a kernel were made with: one line per tier, seeds."""
    lines: List[str] = []
    for tier in dict.fromkeys(r.tier for r in runs):
        mine = [r for r in runs if r.tier == tier]
        cases = sum(not c.param for c in mine[0].cases)
        versions = mine[0].versions
        seeds = list(dict.fromkeys(s for r in mine for s in r.seeds))
        lines += _wrap(f'tier {tier}: {cases} cases, {len(mine)} '
                       f'run{"s" if len(mine) > 1 else ""} each, '
                       f'seed{"s" if len(seeds) > 1 else ""} '
                       f'{", ".join(seeds) or "not told"}; '
                       f'{versions.get("compiler", "")}; '
                       f'{versions.get("host", "")}', 2, 4)
    return lines


def reply(title: str, base: str, base_runs: Sequence[Run],
          found: Comparison, notes: Sequence[str] = ()) -> str:
    """Return a text that can be pasted into a reply. It is not signed: that
    is for the one who sends it.

    Args:
        title: what was tested.
        base: what it is compared with.
        base_runs: the base's runs: they tell how it was tested.
        found: the comparison.
        notes: what else is to be told, sentences.
    """
    project = base_runs[0].versions.get('project', '') if base_runs else ''
    name = project.split(' ')[0][:12]
    lines = _wrap(f'Tested with the KUnit suites of dmirror ({name}'
                  f'{", changed" if "dirty" in project else ""}), every '
                  'difference run again on both kernels:', 0, 0)
    lines += ['', *_wrap(f'with: {title}', 2, 8),
              *_wrap(f'base: {base}', 2, 8),
              *environment(base_runs), '']
    for note in notes:
        lines += [*_wrap(note, 0, 0), '']
    worse, fixed = found.of(WORSE), found.of(FIXED)
    if found.rows and not worse:
        lines += _wrap('Nothing got worse'
                       + (f', {_count(fixed)} better' if fixed else '')
                       + f'; {found.same} cases are as before.', 0, 0)
        lines.append('')
    tiers = len({r.tier for r in base_runs})
    for rows, words in ((worse, 'got worse'), (fixed, 'got better')):
        if rows:
            lines += [f'{_count(rows)} {words} (failures:runs):',
                      *_rows(rows, 'base', 'with', tiers), '']
    flaky = found.of(FLAKY)
    if flaky:
        lines += ['Fail now and then on both, or too rarely to tell:',
                  *_rows(flaky, 'base', 'with', tiers)]
    return '\n'.join(lines).rstrip('\n') + '\n'


def _count(rows: Sequence[Row]) -> str:
    return f'{len(rows)} case' + ('s' if len(rows) > 1 else '')


def as_data(found: Comparison) -> Dict[str, Any]:
    """Return a comparison as plain data (Documentation/validation.rst)."""
    def side(outcomes: Sequence[compare.Outcome]) -> List[Dict[str, Any]]:
        return [{'word': o.word, 'message': o.message, 'seconds': o.seconds,
                 'alone': o.alone, 'seed': o.seed, 'folder': o.folder}
                for o in outcomes]

    rows = []
    for row in found.rows:
        if row.change == compare.SAME:
            continue
        one, of_one = row.fails(False)
        two, of_two = row.fails(True)
        rows.append({'tier': row.tier, 'case': row.key, 'change': row.change,
                     'fails': [one, two], 'runs': [of_one, of_two],
                     'why': exporters.one_line(why(row)),
                     'base': side(row.base), 'head': side(row.head)})
    return {
        'summary': summary(found), 'worse': found.worse, 'same': found.same,
        'rows': rows,
        'splats': [{'tier': s.tier, 'base': s.base, 'head': s.head,
                    'splat': s.first.as_json()} for s in found.splats],
        'slower': [{'tier': s.tier, 'case': s.key, 'base': s.base,
                    'head': s.head} for s in found.slower]}
