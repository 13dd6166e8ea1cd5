#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Stands in for a UML kernel with suites of ours, for the tests of the tools.

Like the kernel it obeys kunit.action=list, kunit.filter_glob and
kunit.filter=speed>slow. $FAKE says what goes wrong, as in
'dmirror_pt.walk=hang shutdown=hang boot=silent'. What
a case can do: fail, skip, panic, hang, exit, warn, chatty. At shutdown: hang,
panic, exit3. At boot: silent, panic, zero; while listing: dies. 'ignore=term' ignores SIGTERM,
'fork=1' starts a second process, which only SIGKILL ends. With 'late=1' the
result of the case before one that hangs does not come out.
"""

import fnmatch
import os
import signal
import sys
import time
from typing import Dict, List

PLAN = {'dmirror_pt': ['walk', 'clear_range', 'orders'],
        'dmirror_mirror': ['read', 'huge', 'write'],
        'dmirror_plan': ['sort']}
SLOW = ['huge', 'orders']
PARAMS = {'orders': ['order 0', 'order 9']}

ARGS = dict(a.partition('=')[::2] for a in sys.argv[1:])
FAKE = dict(a.partition('=')[::2] for a in os.environ.get('FAKE', '').split())


def say(text: str) -> None:
    print(text, flush=True)


def hang() -> None:
    while True:
        time.sleep(1)


def panic() -> None:
    say('Kernel panic - not syncing: fake')
    sys.exit(1)


def do(what: str, where: str) -> None:
    if what == 'hang':
        hang()
    elif what == 'panic':
        panic()
    elif what == 'exit':
        sys.exit(0)
    elif what == 'chatty':
        while True:
            say('again and again')
            time.sleep(0.001)
    elif what == 'warn':
        say('------------[ cut here ]------------\n'
            'WARNING: fake.c:1 at fake+0x1/0x2, CPU#0: fake/1\n'
            '---[ end trace 0000000000000000 ]---')
    elif what == 'fail':
        say(f'    # {where}: EXPECTATION FAILED at fake.c:2')


def chosen() -> Dict[str, List[str]]:
    suite_glob, dot, case_glob = ARGS.get('kunit.filter_glob',
                                          '*').partition('.')
    plan = {s: [c for c in cases if fnmatch.fnmatch(c, case_glob or '*')]
            for s, cases in PLAN.items() if fnmatch.fnmatch(s, suite_glob)}
    if ARGS.get('kunit.filter') == 'speed>slow':
        plan = {s: [c for c in cases if c not in SLOW]
                for s, cases in plan.items()}
    return {s: cases for s, cases in plan.items() if cases}


def result(indent: str, number: int, name: str, what: str) -> None:
    word = 'not ok' if what == 'fail' else 'ok'
    skip = ' # SKIP fake reason' if what == 'skip' else ''
    say(f'{indent}{word} {number} {name}{skip}')


def main() -> None:
    if 'ignore' in FAKE:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if 'fork' in FAKE and os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        hang()
    boot = FAKE.get('boot')
    if boot == 'silent':
        hang()
    say('Linux version 7.3.4 fake')
    if boot == 'panic':
        panic()
    say('KTAP version 1')
    plan = {} if boot == 'zero' else chosen()
    if ARGS.get('kunit.action') == 'list':
        for suite, cases in plan.items():
            say(suite)
            for case in cases:
                say(f'{suite}.{case}')
                if FAKE.get('list') == 'dies':
                    sys.exit(0)
        say('reboot: System halted')
        return
    say(f'1..{len(plan)}')
    for number, (suite, cases) in enumerate(plan.items(), 1):
        say(f'    KTAP version 1\n    # Subtest: {suite}\n    1..{len(cases)}')
        bad = False
        for i, case in enumerate(cases, 1):
            what = FAKE.get(f'{suite}.{case}', '')
            if case in PARAMS:
                say(f'        KTAP version 1\n        # Subtest: {case}')
                say(f'        1..{len(PARAMS[case])}')
                for j, param in enumerate(PARAMS[case], 1):
                    if j == 2:
                        do(what, case)
                    result(' ' * 8, j, param, what if j == 2 else '')
            else:
                do(what, case)
            bad = bad or what == 'fail'
            after = f'{suite}.{cases[i]}' if i < len(cases) else ''
            if not ('late' in FAKE and FAKE.get(after) == 'hang'):
                result('    ', i, case, what)
        seed = ARGS.get('dmirror_fixture.seed', '4711')
        say(f'    # dmirror: seed {seed} (dmirror_fixture.seed={seed} repeats '
            'it)')
        say('    # dmirror: taint 0x40000')
        result('', number, suite, 'fail' if bad else '')
    end = FAKE.get('shutdown')
    if end == 'panic':
        panic()
    if end == 'hang':
        hang()
    say('reboot: System halted')
    if end == 'exit3':
        sys.exit(3)


main()
