# SPDX-License-Identifier: GPL-2.0
"""Reading the results of runs, and merging them.

Every run leaves results.json in its folder (Documentation/validation.rst has
the format). What people and programs get to see is made from that: KTAP, JUnit
XML, JSON, tables, comparisons.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple, Type, TypeVar

from . import cache, ktap, splat
from .errors import UsageError

RESULTS = 'results.json'
FORMAT = 'dmirror-results'      # of one run
FORMAT_RUNS = 'dmirror-runs'    # of a list of them
VERSION = 1

# From good to bad: what is kept where results of a case differ.
ORDER = ('missing', 'skip', 'pass', 'fail', 'hang', 'crash')
BAD = ('fail', 'hang', 'crash')

# What the runs have to agree on to be one.
SAME = ('kernel', 'tree revision', 'tree patches', 'compiler', 'project')

_T = TypeVar('_T')


@dataclass
class Run:
    """One run of one tier.

    code, reasons, complaints, seeds, known_failures: see verdict.Verdict.
    cases, splats: its results.
    versions: what they may depend on.
    began: UTC, as in 2026-11-21T14:00:00Z; '' if not known.
    folder: where the rest is; '' if that is not known.
    """
    tier: str
    code: int
    summary: str
    cases: List[ktap.Case]
    splats: List[splat.Splat]
    versions: Dict[str, str]
    reasons: List[str] = field(default_factory=list)
    complaints: List[str] = field(default_factory=list)
    seeds: List[str] = field(default_factory=list)
    known_failures: Dict[str, str] = field(default_factory=dict)
    known_bugs: Dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    guest_seconds: float = 0.0
    boots: int = 1
    began: str = ''
    folder: str = ''


def from_data(data: Dict[str, Any]) -> Run:
    """Return a run from what its results.json holds.

    Raises:
        ValueError, KeyError, TypeError: it is not of that format.
    """
    if data['format'] != FORMAT or data['version'] != VERSION:
        raise ValueError(f'format {data["format"]} {data["version"]}')
    optional = {name: data[name] for name in (
        'complaints', 'seeds', 'known_failures', 'known_bugs', 'seconds',
        'guest_seconds', 'boots', 'began', 'folder') if name in data}
    cases = [_make(ktap.Case, c) for c in data['cases']]
    if any(c.status not in ORDER for c in cases):
        raise ValueError('a status that does not exist')
    return Run(str(data['tier']), int(data['exit_code']),
               str(data['summary']), cases,
               [_make(splat.Splat, s) for s in data['splats']],
               {str(k): str(v) for k, v in data['versions'].items()},
               [str(r) for r in data['reasons']], **optional)


def _make(kind: Type[_T], data: Dict[str, Any]) -> _T:
    """Return an object of a dataclass; what it does not know is left out, so
    that later versions may add to the format."""
    names = {f.name for f in fields(kind)}    
    return kind(**{k: v for k, v in data.items() if k in names})


def load(name: str) -> List[Run]:
    """Return the runs that a word of the command line means.

    Args:
        name: a run's folder or its results.json; what `run --json FILE`
            wrote; or the name of a tier, for its latest run.

    Raises:
        UsageError: it is none of these, or not whole.
    """
    path = Path(name)
    if not path.exists() and '/' not in name:
        path = cache.root() / 'runs' / f'latest-{name}'
        if not path.exists():
            raise UsageError(f'"{name}" is neither a file nor a run\'s '
                             'folder, and no tier of that name was run yet: '
                             'name one, or a tier.')
    if path.is_dir():
        path = path / RESULTS
        if not path.exists():
            raise UsageError(f'{path.parent} holds no {RESULTS}: the run did '
                             'not end, or it is no run\'s folder.')
    try:
        data = json.loads(path.read_text(encoding='utf-8'))
        if data['format'] == FORMAT_RUNS:
            # A tier that could not be built has no results.
            runs = [from_data(r) for r in data['runs'] if 'cases' in r]
            if len(runs) < len(data['runs']) or not runs:
                raise UsageError(f'{path} says that not every tier was run: '
                                 'run them again.')
            return runs
        return [from_data(data)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
        what = err.strerror if isinstance(err, OSError) else \
            f'{type(err).__name__}: {err}'
        raise UsageError(f'{path} cannot be read as results of this '
                         f'program ({what}): name a run\'s folder.') from err


def merge(runs: Sequence[Run]) -> List[Run]:
    """Merge runs of the same kernel: one result per case, one run per tier.

    Where a case has several results, the worst is kept, and its reason says
    how often it was so: a failure never hides behind a pass.

    Args:
        runs: in any order; parts of the cases, or all of them repeatedly.

    Raises:
        UsageError: they are not of the same kernel and project.
    """
    tiers: Dict[str, List[Run]] = {}
    for run in runs:
        tiers.setdefault(run.tier, []).append(run)
    return [members[0] if len(members) == 1 else _merge(tier, members)
            for tier, members in tiers.items()]


def _merge(tier: str, runs: List[Run]) -> Run:
    versions = dict(runs[0].versions)
    for run in runs[1:]:
        for name in SAME:
            one, two = versions.get(name, ''), run.versions.get(name, '')
            if one != two:
                raise UsageError(
                    f'these runs of tier {tier} are not of one kernel and '
                    f'project ({name}: "{one}" and "{two}"): merge only '
                    'those that are.')
        versions.update({k: v for k, v in run.versions.items()
                         if k not in versions})
    by_case: Dict[Tuple[str, str], List[List[ktap.Case]]] = {}
    for run in runs:
        mine: Dict[Tuple[str, str], List[ktap.Case]] = {}
        for case in run.cases:
            mine.setdefault((case.suite, case.name), []).append(case)
        for pair, members in mine.items():
            by_case.setdefault(pair, []).append(members)
    cases: List[ktap.Case] = []
    for pair in _ordered(list(by_case)):
        cases += _worst(by_case[pair])
    heads = [c for c in cases if not c.param]
    seeds = list(dict.fromkeys(s for r in runs for s in r.seeds))
    versions['seed'] = ', '.join(seeds) or versions.get('seed', '')
    versions['filter'] = ' '.join(dict.fromkeys(
        r.versions.get('filter', '') or '*' for r in runs))
    return Run(tier, max((r.code for r in runs), key=(0, 3, 1).index),
               f'{tier}: {len(runs)} runs, {len(heads)} cases', cases,
               [s for r in runs for s in r.splats], versions,
               list(dict.fromkeys(x for r in runs for x in r.reasons)),
               list(dict.fromkeys(x for r in runs for x in r.complaints)),
               seeds,
               {k: v for r in runs for k, v in r.known_failures.items()},
               {k: v for r in runs for k, v in r.known_bugs.items()},
               sum(r.seconds for r in runs),
               sum(r.guest_seconds for r in runs),
               sum(r.boots for r in runs), min(r.began for r in runs))


def _ordered(pairs: List[Tuple[str, str]]) -> List[Tuple[str, str]]:
    """Return the cases with those of a suite together."""
    suites = list(dict.fromkeys(s for s, _ in pairs))
    return [p for suite in suites for p in pairs if p[0] == suite]


def _worst(results: List[List[ktap.Case]]) -> List[ktap.Case]:
    """Return the worst of a case's results, with its parameters."""
    def rank(members: List[ktap.Case]) -> int:
        return max(ORDER.index(c.status) for c in members)

    chosen = max(results, key=rank)
    real = [r for r in results if r[0].status != 'missing']
    bad = sum(rank(r) >= ORDER.index('fail') for r in real)
    if len(real) > 1 and bad:
        head = ktap.Case(**chosen[0].as_json())
        head.reason = f'in {bad} of {len(real)} runs' + (
            f': {head.reason}' if head.reason else '')
        return [head, *chosen[1:]]
    return chosen
