# SPDX-License-Identifier: GPL-2.0
"""Results in the forms that other programs and people read. Pure."""

from __future__ import annotations

import json
import re
from typing import Dict, List, Sequence, Tuple
from xml.etree import ElementTree

from . import ktap, splat
from .errors import EXIT_FAIL, EXIT_INFRA, EXIT_PASS
from .store import FORMAT, FORMAT_RUNS, VERSION, Run

COLUMNS = ('pass', 'fail', 'crash', 'hang', 'skip', 'missing')
HEADINGS = ('passed', 'failed', 'crashed', 'hung', 'skipped', 'not run')

# What XML 1.0 cannot hold, whatever the kernel printed.
_NOT_XML = re.compile('[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]')


def as_ktap(runs: Sequence[Run]) -> str:
    """Return KTAP version 1: one document, as kunit.py parses it.

    With more than one tier, each suite's name begins with that of its tier. A
    run that is not green ends with a suite "verdict", whose only case fails
    with the reasons: what turned it red need not be a case's.

    Args:
        runs: one per tier.
    """
    cases: List[ktap.Case] = []
    for run in runs:
        reasons = [] if run.code == EXIT_PASS else run.reasons or [run.summary]
        for case in ktap.with_verdict(run.cases, reasons):
            made = ktap.Case(**case.as_json())
            made.reason = one_line(made.reason)
            if len(runs) > 1:
                made.suite = f'{run.tier}.{made.suite}'
            cases.append(made)
    return ktap.render(cases)


def as_json(runs: Sequence[Run]) -> str:
    """Return the format of `dmirror run --json`.

    Args:
        runs: one per tier.
    """
    codes = [run.code for run in runs]
    code = next((c for c in (EXIT_FAIL, EXIT_INFRA) if c in codes),
                EXIT_PASS)
    return json.dumps({
        'format': FORMAT_RUNS, 'version': VERSION,
        'verdict': word(code), 'exit_code': code, 'reasons': [],
        'runs': [run_as_data(run) for run in runs]}, indent=1) + '\n'


def word(code: int) -> str:
    """Return how an exit code is called in JSON."""
    return {EXIT_PASS: 'pass', EXIT_FAIL: 'fail'}.get(code, 'error')


def run_as_data(run: Run) -> Dict[str, object]:
    """Return a run as plain data: what store.from_data() reads."""
    return {
        'format': FORMAT, 'version': VERSION, 'tier': run.tier,
        'verdict': word(run.code), 'exit_code': run.code,
        'summary': run.summary, 'reasons': run.reasons, 'notes': [],
        'counts': counts(run.cases), 'known_bugs': run.known_bugs,
        'known_failures': run.known_failures,
        'complaints': run.complaints, 'seeds': run.seeds,
        'boots': run.boots, 'guest_seconds': round(run.guest_seconds, 3),
        'seconds': round(run.seconds, 3), 'began': run.began,
        'cases': [c.as_json() for c in run.cases],
        'splats': [s.as_json() for s in run.splats],
        'versions': run.versions, 'folder': run.folder}


def counts(cases: Sequence[ktap.Case]) -> Dict[str, int]:
    """Return how many cases, parameters not counted, have each status."""
    return {s: sum(c.status == s for c in cases if not c.param)
            for s in COLUMNS}


def as_table(runs: Sequence[Run]) -> str:
    """Return a table with a line per suite, and one per tier with its sums.

    Args:
        runs: one per tier.
    """
    rows: List[Tuple[str, ...]] = [('suite', *HEADINGS, 'seconds')]
    for run in runs:
        suites = list(dict.fromkeys(c.suite for c in run.cases))
        for suite in suites:
            rows.append(_row(suite, [c for c in run.cases
                                     if c.suite == suite]))
        rows.append(_row(f'{run.tier}: {word(run.code).upper()}', run.cases))
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        first, *rest = row
        lines.append('  '.join([first.ljust(widths[0]), *(
            v.rjust(w) for v, w in zip(rest, widths[1:]))]))
    for run in runs:
        lines += [f'  {run.tier}: {reason}' for reason in run.reasons]
    return '\n'.join(lines) + '\n'


def _row(name: str, cases: Sequence[ktap.Case]) -> Tuple[str, ...]:
    by_status = counts(cases)
    seconds = sum(c.seconds for c in cases if not c.param)
    return (name, *(str(by_status[s] or '-') for s in COLUMNS),
            f'{seconds:.2f}')


def as_junit(runs: Sequence[Run]) -> str:
    """Return JUnit XML: a testsuite per tier and suite.

    A case's class is tier.suite. A failure is `failure`; a crash, a hang and
    a case that did not run are `error`; a known failure is `skipped`. What is
    about no case, such as a taint, is a case of its own, so that no reader of
    the file takes the run for green.

    Args:
        runs: one per tier.
    """
    root = ElementTree.Element('testsuites', name='dmirror')
    for run in runs:
        for suite in dict.fromkeys(c.suite for c in run.cases):
            _suite(root, run, suite)
        _verdict(root, run)
    tests = [s for s in root if s.tag == 'testsuite']
    for name in ('tests', 'failures', 'errors', 'skipped'):
        root.set(name, str(sum(int(s.get(name, '0')) for s in tests)))
    root.set('time', f'{sum(r.seconds for r in runs):.3f}')
    ElementTree.indent(root)
    return ('<?xml version="1.0" encoding="UTF-8"?>\n'
            + ElementTree.tostring(root, encoding='unicode') + '\n')


def _suite(root: ElementTree.Element, run: Run, suite: str) -> None:
    """Add a suite of a tier."""
    heads = [c for c in run.cases if c.suite == suite and not c.param]
    element = _testsuite(root, run, f'{run.tier}.{suite}')
    for case in heads:
        made = _testcase(element, f'{run.tier}.{suite}', case.name,
                         case.seconds)
        params = [c for c in run.cases if c.param and c.status != 'pass'
                  and (c.suite, c.name) == (suite, case.name)]
        splats = [s for s in run.splats
                  if (s.suite, s.case) == (suite, case.name)]
        _outcome(made, run, case, params, splats)
    _count(element)


def _testsuite(root: ElementTree.Element, run: Run,
               name: str) -> ElementTree.Element:
    element = ElementTree.SubElement(root, 'testsuite', name=_clean(name))
    if run.began:
        element.set('timestamp', run.began.rstrip('Z'))
    listed = ElementTree.SubElement(element, 'properties')
    for key, value in run.versions.items():
        ElementTree.SubElement(listed, 'property', name=_clean(key),
                               value=_clean(value))
    return element


def _testcase(suite: ElementTree.Element, classname: str, name: str,
              seconds: float) -> ElementTree.Element:
    return ElementTree.SubElement(
        suite, 'testcase', classname=_clean(classname), name=_clean(name),
        time=f'{seconds:.3f}')


def _outcome(element: ElementTree.Element, run: Run, case: ktap.Case,
             params: Sequence[ktap.Case],
             splats: Sequence[splat.Splat]) -> None:
    """Add what a case that did not just pass has to say."""
    known = run.known_failures.get(case.key)
    log = '\n'.join([*case.log, *(s.sentence() for s in splats)])
    failed = [p for p in params if p.status == 'fail']
    reason = case.reason or '; '.join(
        f'[{p.param}] {p.reason}' for p in failed)
    if known and (case.status in ('fail', 'crash', 'hang') or splats):
        _say(element, 'skipped', f'known failure: {known}', case.status, log)
    elif case.status == 'skip' and not failed and not splats:
        _say(element, 'skipped', case.reason, '', '')
    elif case.status in ('crash', 'hang', 'missing'):
        _say(element, 'error', reason, case.status, log)
    elif case.status == 'fail' or failed:
        _say(element, 'failure', reason, 'fail', log)
    elif splats:
        _say(element, 'failure', splats[0].title, 'kernel complaint', log)


def _say(element: ElementTree.Element, tag: str, message: str, kind: str,
         text: str) -> None:
    made = ElementTree.SubElement(element, tag,
                                  message=_clean(one_line(message)))
    if kind:
        made.set('type', kind)
    if text:
        made.text = _clean(text)


def _verdict(root: ElementTree.Element, run: Run) -> None:
    """Add, where a run is not green, a case with all the reasons."""
    if run.code == EXIT_PASS:
        return
    name = f'{run.tier}.verdict'
    element = _testsuite(root, run, name)
    made = _testcase(element, name, 'green', 0.0)
    _say(made, 'error' if run.code == EXIT_INFRA else 'failure',
         run.reasons[0] if run.reasons else run.summary, 'verdict',
         '\n'.join(run.reasons))
    _count(element)


def _count(suite: ElementTree.Element) -> None:
    """Add up a suite's cases."""
    cases = suite.findall('testcase')
    suite.set('tests', str(len(cases)))
    for name, tag in (('failures', 'failure'), ('errors', 'error'),
                      ('skipped', 'skipped')):
        suite.set(name, str(sum(c.find(tag) is not None for c in cases)))
    suite.set('time', f'{sum(float(c.get("time", "0")) for c in cases):.3f}')


def _clean(text: str) -> str:
    """Return a text that XML can hold."""
    return _NOT_XML.sub('\ufffd', text)


def one_line(text: str) -> str:
    """Return a text without line breaks."""
    return ' '.join(text.split())


FORMATS = {'ktap': as_ktap, 'junit': as_junit, 'json': as_json,
           'table': as_table}
