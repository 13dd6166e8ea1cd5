# SPDX-License-Identifier: GPL-2.0
"""Whether a run was green, and if not, why not. Pure: no input, no output."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import (Any, Collection, Dict, List, Mapping, Optional, Sequence,
                    Set, Tuple)

from . import ktap, splat
from .errors import (EXIT_FAIL, EXIT_INFRA, EXIT_PASS, ToolError, UsageError)
from .guest import End
from .known import FILE as KNOWN_FILE
from .known import Known

# How a kernel says that it shut down on purpose.
_SHUTDOWN = re.compile('^' + ktap.PREFIX + r'reboot: (?:System halted|'
                       r'Restarting system|machine restart|Power down)')

# How the reason of a case begins that would fail, and is skipped because the
# kernel is to blame.
KNOWN_BUG = 'known kernel bug: '

_SEED = re.compile(r'# dmirror: seed (\d+) \(')

Plan = Sequence[Tuple[str, str]]    # (suite, case), in the kernel's order


@dataclass
class Boot:
    """All that is known about one boot.

    plan: the cases that it was to run.
    cases: the results it printed, and one for the case that it died in.
    splats, taints, errors: see splat.scan, splat.taints, ktap.Report.
    bad_suites: suites that reported failure though no case of theirs did,
        or gave no result line; each with a sentence.
    end: how the guest ended.
    started: KUnit began; complete: every planned suite has its result.
    shut_down: the kernel said that it shuts down.
    console: the console file's name.
    last_words: the console's last lines.
    seeds: of the suites' random numbers, as they said.
    """
    plan: Plan
    cases: List[ktap.Case]
    splats: List[splat.Splat]
    taints: Dict[str, Optional[int]]
    errors: List[str]
    bad_suites: List[str]
    end: End
    started: bool
    complete: bool
    shut_down: bool
    console: str = 'console.log'
    last_words: List[str] = field(default_factory=list)
    seeds: List[str] = field(default_factory=list)

    def missing(self) -> List[Tuple[str, str]]:
        """Return the planned cases that have no result from this boot."""
        done = {(c.suite, c.name) for c in self.cases
                if not c.param and c.status != 'missing'}
        return [pair for pair in self.plan if pair not in done]


@dataclass
class Verdict:
    """The outcome of one tier.

    code: an exit code of errors.py.
    reasons: why it is not green, one sentence each; empty if it is.
    notes: worth telling, but not red.
    cases: one per planned case, plus one per parameter.
    counts: planned cases per status, without those counted apart.
    apart: of the suites counted apart, how many cases passed and how many
        there were.
    known_bugs: the skipped ones that prove a known bug of the kernel's, with
        the reason.
    known_failures: the failed ones that are known to fail on this kernel,
        with the reason.
    complaints: the reasons that are about no case, splat or skip.
    seeds: of the suites' random numbers.
    guest_seconds, seconds: in the guests, and in all.
    folder, data: the run folder, and what its results.json holds.
    """
    tier: str
    code: int
    reasons: List[str]
    notes: List[str]
    cases: List[ktap.Case]
    splats: List[splat.Splat]
    counts: Dict[str, int]
    guest_seconds: float
    boots: int
    known_bugs: Dict[str, str] = field(default_factory=dict)
    known_failures: Dict[str, str] = field(default_factory=dict)
    complaints: List[str] = field(default_factory=list)
    seeds: List[str] = field(default_factory=list)
    apart: Dict[str, Tuple[int, int]] = field(default_factory=dict)
    seconds: float = 0.0
    folder: str = ''
    data: Dict[str, Any] = field(default_factory=dict)

    @property
    def green(self) -> bool:
        """True if every planned case ran and nothing spoke against it."""
        return self.code == EXIT_PASS

    def summary(self) -> str:
        """Return the line that sums the tier up."""
        word = {EXIT_PASS: 'PASS', EXIT_INFRA: 'ERROR'}.get(self.code, 'FAIL')
        count = self.counts
        bugs = len(self.known_bugs)
        skipped = count['skip'] - sum('[' not in key
                                      for key in self.known_bugs)
        known = {s: sum(c.status == s and not c.param
                        and c.key in self.known_failures for c in self.cases)
                 for s in ('fail', 'crash', 'hang', 'missing')}
        text = (f'{self.tier}: {word} {count["pass"]} passed, '
                f'{count["fail"] - known["fail"]} failed, {skipped} skipped')
        if bugs:
            text += f', {bugs} known kernel bug' + ('s' if bugs > 1 else '')
        if self.known_failures:
            text += f', {len(self.known_failures)} known failure' + (
                's' if len(self.known_failures) > 1 else '')
        for status, name in (('crash', 'crashed'), ('hang', 'hung'),
                             ('missing', 'not run')):
            if count[status] > known[status]:
                text += f', {count[status] - known[status]} {name}'
        if self.splats:
            text += f', {len(self.splats)} kernel complaint' + (
                's' if len(self.splats) > 1 else '')
        for suite, (passed, total) in self.apart.items():
            text += f', {suite} {passed} of {total}'
        text += (f' in {self.guest_seconds:.1f} s (guest), '
                 f'{self.seconds:.1f} s (all)')
        return text + (f', {self.boots} boots' if self.boots > 1 else '')

    def as_json(self) -> Dict[str, Any]:
        """Return it as plain data (the format is described in rundir.py)."""
        return {
            'tier': self.tier, 'verdict': 'pass' if self.green else
            'error' if self.code == EXIT_INFRA else 'fail',
            'exit_code': self.code, 'summary': self.summary(),
            'reasons': self.reasons, 'notes': self.notes,
            'counts': self.counts,
            'apart': {suite: list(n) for suite, n in self.apart.items()},
            'known_bugs': self.known_bugs,
            'known_failures': self.known_failures,
            'complaints': self.complaints, 'seeds': self.seeds,
            'boots': self.boots,
            'guest_seconds': round(self.guest_seconds, 3),
            'seconds': round(self.seconds, 3),
            'cases': [c.as_json() for c in self.cases],
            'splats': [s.as_json() for s in self.splats]}


def shut_down(lines: Sequence[str]) -> bool:
    """Return whether the kernel said that it shuts down."""
    return any(_SHUTDOWN.match(line) for line in lines)


def examine(plan: Plan, lines: Sequence[str], times: Sequence[float],
            report: ktap.Report, end: End,
            console: str = 'console.log') -> Boot:
    """Put together what one boot's console says.

    Args:
        plan: the cases that it was to run.
        lines: the console.
        times: when each line was complete, in seconds; may be empty.
        report: what the tree's parser made of the same lines.
        end: how the guest ended.
        console: the console file's name, for the messages.
    """
    place = ktap.walk(lines)
    cases = ktap.flatten(report, place, lines, times)
    results = ktap.suite_results(place)
    suites = list(dict.fromkeys(s for s, _ in plan))
    cases += _suite_wide(plan, cases, results, lines)
    complete = all(s in results for s in suites)
    boot = Boot(plan, cases, [], splat.taints(lines, place),
                list(report.errors), [], end, place.started, complete,
                shut_down(lines), console, list(lines[-20:]),
                list(dict.fromkeys(m.group(1) for m in map(
                    _SEED.search, lines) if m)))
    boot.errors += ktap.lost_parameters(place, lines)
    for suite in suites:
        event = results.get(suite)
        if event and not event.ok and not any(
                c.suite == suite and c.status not in ('pass', 'skip')
                for c in cases):
            boot.bad_suites.append(f'Suite {suite} reported failure although '
                                   'none of its cases did.')
    if place.started and not complete:
        _name_culprit(boot, place, lines)
    boot.splats = splat.scan(lines, place)
    return boot


def _suite_wide(plan: Plan, cases: List[ktap.Case],
                results: Dict[str, ktap.Event],
                lines: Sequence[str]) -> List[ktap.Case]:
    """Give the cases of a suite that ended before its first case a result."""
    ran = {c.suite for c in cases}
    made = []
    for suite, name in plan:
        event = results.get(suite)
        if suite in ran or event is None:
            continue
        if event.directive.startswith('SKIP'):
            reason = event.directive[len('SKIP'):].strip()
            made.append(ktap.Case(suite, name, '', 'skip', reason))
        else:
            log = list(lines[event.begin:event.line])
            made.append(ktap.Case(
                suite, name, '', 'missing', 'its suite gave up before it'
                + (f' ({ktap.failure(log)})' if ktap.failure(log) else ''),
                log[-ktap.LOG_LINES:]))
    return made


def _name_culprit(boot: Boot, place: ktap.Walk,
                  lines: Sequence[str]) -> None:
    """Find what ran when the guest died, and give it the console's tail."""
    missing = boot.missing()
    tail = list(lines[place.tail:])[-ktap.LOG_LINES:]
    hung = boot.end.why in ('silent', 'stalled', 'limit', 'flood')
    died = f'the guest {boot.end.sentence()}'
    panic = next((t for t in tail if 'Kernel panic' in t), '')
    if panic and not hung:
        died = f'the guest died ({panic.strip()})'
    if place.open_suite:
        here = [p for p in missing if p[0] == place.open_suite]
        if not here:
            boot.bad_suites.append(
                f'Suite {place.open_suite} has no result line: after its '
                f'last case {died}.')
            return
    else:
        here = missing
    if not here:
        return
    suite, name = here[0]
    if not place.open_suite:
        died += f' before suite {suite} had begun'
    boot.cases.append(ktap.Case(suite, name, '', 'hang' if hung else 'crash',
                                died, tail))
    if place.open_suite:
        for j in range(place.tail, len(place.owners)):
            place.owners[j] = (suite, name)


def read_skips(path: Path) -> Dict[str, str]:
    """Read a list of expected skips.

    One `suite.case  reason` per line, `suite.case[parameter]  reason` for
    one parameter; two blanks or a tab stand between. '#' begins a comment.

    Args:
        path: the file; none means that no skip is expected.

    Returns:
        The reason per key (see ktap.Case.key).

    Raises:
        ToolError: a line is not of that form.
    """
    skips: Dict[str, str] = {}
    if not path.exists():
        return skips
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.lstrip().startswith('#'):
            continue
        key, *reason = re.split(r'\t+| {2,}', line.strip(), maxsplit=1)
        if '.' not in key or not reason:
            raise ToolError(f'{path}:{number}: write "suite.case  reason", '
                            'with two blanks between.')
        skips[key] = reason[0].strip()
    return skips


def check_filter(plan: Plan, glob: str) -> List[Tuple[str, str]]:
    """Return the planned cases that a filter chooses.

    Args:
        plan: all cases.
        glob: see ktap.select.

    Raises:
        UsageError: it chooses none; close matches are named.
    """
    chosen = ktap.select(plan, glob)
    if chosen or not glob:
        return chosen
    names = list(dict.fromkeys([s for s, _ in plan] +
                               [f'{s}.{c}' for s, c in plan]))
    last = {n.rsplit('.', 1)[-1]: n for n in names}
    near = difflib.get_close_matches(glob, names, 3, 0.5) or [
        last[n] for n in difflib.get_close_matches(glob, list(last), 3, 0.5)]
    hint = (' Close matches: ' + ', '.join(near) + '.' if near else
            ' "--list" shows all cases.')
    raise UsageError(f'the filter "{glob}" matches none of the {len(plan)} '
                     f'cases.{hint}')


def judge(tier: str, plan: Plan, boots: Sequence[Boot],
          expected: Dict[str, str], filtered: bool,
          skips_file: str = 'the list of expected skips',
          allowed_taint: int = splat.TAINT_TEST,
          known: Optional[Mapping[str, Known]] = None,
          apart: Collection[str] = ()) -> Verdict:
    """Decide whether a run was green.

    Args:
        tier: the tier's name.
        plan: all cases that were to run.
        boots: the boots, in order; later ones run what earlier ones did not.
        expected: the expected skips (see read_skips).
        filtered: only a part of the tier's cases was asked for, so that a
            stale entry of `expected` is no reason, only a note.
        skips_file: its name, for the messages.
        allowed_taint: bits that the kernel's taint mask may have.
        known: the known failures (see known.read).
        apart: suites that are not in the counts, but judged like the others.
    """
    cases = _merge(plan, boots)
    heads = [c for c in cases if not c.param]
    counted = [c for c in heads if c.suite not in apart]
    counts = {s: sum(c.status == s for c in counted)
              for s in ('pass', 'fail', 'skip', 'crash', 'hang', 'missing')}
    reasons: List[str] = []
    notes: List[str] = []
    if not plan:
        reasons.append('No case was planned: nothing was tested.')
    failures = _known_failures(cases, [s for b in boots for s in b.splats],
                               known or {}, filtered, reasons, notes)
    for case in heads:
        if case.key not in failures:
            reasons += _case_reasons(case, cases)
    _judge_skips(cases, expected, filtered, skips_file, reasons, notes)
    if counted and counts['skip'] == len(counted):
        reasons.append('Every case was skipped: nothing was tested.')
    complaints: List[str] = []
    for number, boot in enumerate(boots, 1):
        where = '' if len(boots) == 1 else f'Boot {number} ({boot.console}): '
        general = _boot_complaints(boot, allowed_taint, failures)
        reasons += [where + r for r in general]
        complaints += general
        reasons += [where + s.reason() for s in splat.fold(
            [s for s in boot.splats if f'{s.suite}.{s.case}' not in failures])]
    bugs = _known_bugs(cases)
    notes += [f'{key} shows a {reason}' for key, reason in bugs.items()]
    splats = [s for b in boots for s in b.splats]
    code = EXIT_FAIL if reasons else EXIT_PASS
    if not any(b.started for b in boots):
        code = EXIT_INFRA
    return Verdict(tier, code, reasons, notes, cases, splats, counts,
                   sum(b.end.seconds for b in boots), len(boots), bugs,
                   failures, complaints,
                   list(dict.fromkeys(s for b in boots for s in b.seeds)),
                   _apart(heads, apart))


def _apart(heads: Sequence[ktap.Case],
           suites: Collection[str]) -> Dict[str, Tuple[int, int]]:
    """Return how many cases passed, and how many there are, per suite."""
    found: Dict[str, Tuple[int, int]] = {}
    for suite in suites:
        states = [c.status for c in heads if c.suite == suite]
        if states:
            found[suite] = (states.count('pass'), len(states))
    return found


def _known_failures(cases: Sequence[ktap.Case],
                    splats: Sequence[splat.Splat],
                    known: Mapping[str, Known], filtered: bool,
                    reasons: List[str], notes: List[str]) -> Dict[str, str]:
    """Return the cases that failed as they are known to, with the reasons.

    Args:
        cases, splats: what there was.
        known: the known failures.
        filtered: not all cases were to run.
        reasons: gets what is wrong with the list.
        notes: gets what is to be told.
    """
    found: Dict[str, str] = {}
    complained = {f'{s.suite}.{s.case}' for s in splats}
    failed = {f'{c.suite}.{c.name}' for c in cases if c.status in
              ('fail', 'crash', 'hang')}
    status = {c.key: c.status for c in cases if not c.param}
    suites = {c.suite for c in cases}
    for key, one in known.items():
        if key in failed or key in complained:
            found[key] = one.sentence()
            how = status.get(key, 'fail')
            notes.append(f'{key} is known to fail ({one.sentence()}); got '
                         f'{how if key in failed else "a kernel complaint"}.')
        elif status.get(key) == 'pass' and not one.may_pass:
            notes.append(f'{key} passes, although it is known to fail '
                         f'({one.sentence()}): correct its line in '
                         f'{KNOWN_FILE}.')
        elif key not in status and not filtered and \
                key.partition('.')[0] in suites:
            reasons.append(f'{key} is known to fail but does not exist: '
                           f'delete its line from {KNOWN_FILE}.')
    return found


def _known_bugs(cases: Sequence[ktap.Case]) -> Dict[str, str]:
    """Return the cases that are skipped for a bug of the kernel's, each with
    its reason; a parameter only where its case is not."""
    found: Dict[str, str] = {}
    for case in cases:
        whole = case.key.partition('[')[0]
        if case.status == 'skip' and case.reason.startswith(KNOWN_BUG) \
                and whole not in found:
            found[case.key] = case.reason
    return found


def _merge(plan: Plan, boots: Sequence[Boot]) -> List[ktap.Case]:
    """Return the first real result of each planned case, in the plan's order.

    Cases that nobody planned come last, as they are.
    """
    by_case: Dict[Tuple[str, str], List[ktap.Case]] = {}
    for boot in boots:
        got: Dict[Tuple[str, str], List[ktap.Case]] = {}
        for case in boot.cases:
            got.setdefault((case.suite, case.name), []).append(case)
        for pair, members in got.items():
            old = by_case.get(pair)
            if old is None or old[0].status == 'missing':
                by_case[pair] = members
    merged: List[ktap.Case] = []
    for suite, name in plan:
        merged += by_case.pop((suite, name), []) or [
            ktap.Case(suite, name, '', 'missing', 'it has no result')]
    for members in by_case.values():
        merged += members
    return merged


def _case_reasons(case: ktap.Case, cases: List[ktap.Case]) -> List[str]:
    why = f' ({case.reason})' if case.reason else ''
    if case.status == 'fail':
        params = [c.param for c in cases if c.param and c.status == 'fail'
                  and (c.suite, c.name) == (case.suite, case.name)]
        of = f' for {", ".join(params[:5])}' if params else ''
        if params and not why:
            first = next(c for c in cases if c.param == params[0]
                         and c.name == case.name)
            why = f' ({first.reason})' if first.reason else ''
        return [f'{case.key} failed{of}{why}.']
    word = {'crash': 'crashed', 'hang': 'hung', 'missing': 'did not run'}
    if case.status in word:
        return [f'{case.key} {word[case.status]}'
                + (f': {case.reason}.' if case.reason else '.')]
    # A passing or skipped case must not hide a parameter that failed.
    return [f'{c.key} failed although {case.key} reported '
            f'{case.status}.' for c in cases
            if c.param and c.status == 'fail'
            and (c.suite, c.name) == (case.suite, case.name)]


def _judge_skips(cases: List[ktap.Case], expected: Dict[str, str],
                 filtered: bool, skips_file: str, reasons: List[str],
                 notes: List[str]) -> None:
    whole = {(c.suite, c.name) for c in cases
             if not c.param and c.status == 'skip'}
    seen: Set[str] = set()
    unknown = tuple(f'{c.key}[' for c in cases if not c.param
                    and c.status in ('crash', 'hang', 'missing'))
    for case in cases:
        seen.add(case.key)
        if case.param and (case.suite, case.name) in whole:
            continue    # told once, for the case
        if case.status == 'skip' and case.key not in expected:
            reasons.append(f'{case.key} was skipped ({case.reason}), which is '
                           f'new; if that is right, add it to {skips_file}.')
        elif case.status == 'skip' and case.reason != expected[case.key]:
            reasons.append(f'{case.key} was skipped for another reason: got '
                           f'"{case.reason}", wanted '
                           f'"{expected[case.key]}" ({skips_file}).')
        elif case.status == 'pass' and case.key in expected:
            text = (f'{case.key} runs now: delete its line from '
                    f'{skips_file}.')
            (notes if filtered else reasons).append(text)
    if not filtered:
        for key in expected:
            # What the guest died in may have had that parameter.
            if key not in seen and not key.startswith(unknown):
                reasons.append(f'{key} is expected to be skipped but does not '
                               f'exist: delete its line from {skips_file}.')


def _boot_complaints(boot: Boot, allowed_taint: int,
                     failures: Collection[str]) -> List[str]:
    """Return what speaks against a boot as such, splats not counted.

    Args:
        boot: the boot.
        allowed_taint: see judge.
        failures: cases whose splats, and the taint of these, are known.
    """
    complaints: List[str] = []
    if not boot.started:
        words = ' / '.join(w.strip() for w in boot.last_words[-3:]
                           if w.strip())
        return [f'KUnit never began: the guest {boot.end.sentence()}; its '
                + (f'last words: {words}' if words else 'console is empty.')]
    complaints += boot.bad_suites
    complaints += [f'The KTAP output is wrong: {e}.' for e in boot.errors]
    known = any(f'{s.suite}.{s.case}' in failures for s in boot.splats)
    for suite, mask in boot.taints.items():
        if mask is None:
            complaints.append(f'Suite {suite} ended without saying the '
                              'kernel\'s taint ("# dmirror: taint 0x...").')
        elif mask & ~allowed_taint and not known:
            names = splat.taint_names(mask & ~allowed_taint)
            complaints.append(f'The kernel is tainted ({names}, mask '
                              f'{mask:#x}) at the end of suite {suite}.')
    strangers = [c.key for c in boot.cases if not c.param
                 and (c.suite, c.name) not in set(boot.plan)]
    if strangers:
        complaints.append('Cases ran that were not planned: '
                          f'{", ".join(strangers[:5])}.')
    return complaints + _end_reasons(boot)


def _end_reasons(boot: Boot) -> List[str]:
    end = boot.end
    blamed = any(c.status in ('crash', 'hang') for c in boot.cases)
    if boot.complete and not blamed:
        if end.why in ('silent', 'stalled', 'limit'):
            return ['The tests were complete, then the guest hung at '
                    f'shutdown: it {end.sentence()}.']
        if end.why != 'exit' or end.code != 0:
            return [f'The tests were complete, then the guest '
                    f'{end.sentence()}.']
        if not boot.shut_down:
            return ['The tests were complete, then the guest ended without '
                    'shutting down.']
        return []
    if blamed or boot.bad_suites:
        return []   # told with the case or the suite
    return [f'The results are not complete: the guest {end.sentence()}.']
