# SPDX-License-Identifier: GPL-2.0
"""The verb `test`: everything that the project checks of itself."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Callable, List, Optional, Tuple

from . import (accel, cache, checks, configs, packages, proc, run, say,
               selftest, source, tiers, verb_check, verb_run, verdict)
from .errors import EXIT_FAIL, EXIT_INFRA, EXIT_PASS, ToolError

HELP = ('Run the project\'s own tests: the tools\', the static checks, the '
        'tiers um, um-full and x86_64, and the broken cases that have to turn '
        'red.')
TIERS = ('um', 'um-full', 'x86_64')
STOCK = ('um', 'x86_64')    # tiers that are run with plain kunit.py, too
SELFTESTS = ('x86_64',)     # tiers with the tree's hmm-tests as user space

# With --all, also these.
MORE_TIERS = ('um-stock', 'um-kasan', 'um-smp', 'um-clang', 'debug',
              'modules')
MORE_SELFTESTS = ('um-full', 'debug')

# And with --all on every other kernel that the project supports.
KERNELS = ('7.3', '7.2')
OTHER_TIERS = ('um', 'um-full', 'x86_64', 'modules')
OTHER_SELFTESTS = ('x86_64',)
STOCK_LIMIT = 420.0     # seconds; kunit.py's own limit comes before


@dataclass
class Tally:
    """Sums over all parts.

    passed, failed, skipped: tests, checks or cases.
    infra: a part that could not be carried out at all.
    lines: one per part, shown again at the end.
    """
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    infra: bool = False
    lines: Optional[List[str]] = None

    def add(self, name: str, passed: int, failed: int,
            skipped: int = 0) -> None:
        """Count a part in and say so."""
        self.passed += passed
        self.failed += failed
        self.skipped += skipped
        line = f'{name}: {passed} passed, {failed} failed'
        if skipped:
            line += f', {skipped} skipped'
        self.lines = (self.lines or []) + [line]
        print(line, flush=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    source.add_arguments(parser)
    parser.add_argument('--all', action='store_true',
                        help=f'also the tiers {", ".join(MORE_TIERS)}, '
                             f'hmm-tests on {", ".join(MORE_SELFTESTS)}, the '
                             'odd configurations (check --configs), and '
                             'most of that on the other kernel of '
                             f'{", ".join(KERNELS)}')
    parser.add_argument('--accel', choices=accel.CHOICES, default='auto',
                        help='for QEMU (default auto)')


_RAN = re.compile(r'^Ran (\d+) tests? in', re.M)
_COUNTS = re.compile(r'(?<!expected )'
                     r'(failures|errors|skipped|unexpected successes)=(\d+)')


def tools_tests(tally: Tally, tree: source.Tree) -> None:
    """Run the tests of the tools in a process of their own."""
    argv = [sys.executable, '-m', 'unittest', 'discover',
            '-s', str(run.PROJECT / 'tools' / 'tests'),
            '-t', str(run.PROJECT / 'tools')]
    proc.record(argv)
    done = subprocess.run(argv, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors='backslashreplace', check=False,
                          env=proc.build_env({'KDIR': str(tree.path)}))
    ran = _RAN.search(done.stdout)
    last = done.stdout.rstrip().rsplit('\n', 1)[-1]
    counts = {name: int(n) for name, n in _COUNTS.findall(last)}
    skipped = counts.pop('skipped', 0)
    failed = sum(counts.values())
    if not ran or (done.returncode and not failed):
        failed += 1
    if failed:
        print(done.stdout, flush=True)
    total = int(ran.group(1)) if ran else 0
    tally.add('tools', max(0, total - failed - skipped), failed, skipped)


def static_checks(tally: Tally, tree: source.Tree) -> None:
    """Run the static checks."""
    passed, failed = verb_check.run_checks(tree, list(checks.all_checks()))
    tally.add('static checks', passed, failed)


def odd_configs(tally: Tally, tree: source.Tree, main: bool) -> None:
    """Compile the odd configurations.

    Args:
        tally: the sums.
        tree: the kernel tree.
        main: only those for any kernel version.
    """
    names = list(configs.all_checks(main))
    packages.ensure(configs.needs(names))
    passed, failed = verb_check.run_checks(tree, names)
    tally.add(f'configurations of Linux {tree.version}', passed, failed)


def tier_run(tally: Tally, tree: source.Tree, name: str,
             opts: run.Options) -> None:
    """Run one tier."""
    tier = tiers.get(name)
    packages.ensure(tier.needs)
    with verb_run.prepared(tier, tree, opts) as session:
        count(tally, session.run(), f'{name} cases, Linux {tree.version}')


def count(tally: Tally, result: verdict.Verdict, name: str) -> None:
    """Count a verdict's cases in; what turned it red without a failed case
    is a failure."""
    verb_run.show(result, sys.stdout)
    counts = result.counts
    passed, skipped = counts.get('pass', 0), counts.get('skip', 0)
    failed = sum(counts.values()) - passed - skipped
    if not result.green and not failed:
        failed = 1
    tally.add(name, passed, failed, skipped)


# What each broken case has to turn the verdict into: the exit code is
# EXIT_FAIL, and one of the reasons says this.
BROKEN: Tuple[Tuple[str, str], ...] = (
    ('warns', r'WARNING: .*(broken_kunit|warns)'),
    ('taints', r'taint'),
    ('sleeps_while_atomic', r'sleeping function called'),
    ('inverts_lock_order', r'circular locking'),
    ('fails', r'dmirror_broken\.fails failed .*a failure on purpose'),
    ('skips', r'dmirror_broken\.skips was skipped'),
    ('oopses', r'dmirror_broken\.oopses'),
    ('hangs', r'dmirror_broken\.hangs .*(hung|silent|no output)'),
    ('panics', r'a panic on purpose'),
    ('powers_off', r'dmirror_broken\.powers_off'),
)


def broken_kernels(tally: Tally, tree: source.Tree,
                   opts: run.Options) -> None:
    """Boot cases that break the kernel: each has to be red, and say why."""
    passed = failed = 0
    opts.silence = 8.0
    with run.prepared(tiers.get('um-broken'), tree, opts) as session:
        for case, pattern in BROKEN:
            opts.glob = f'dmirror_broken.{case}'
            problem = expect_red(session.run(), pattern)
            if problem:
                failed += 1
                print(f'{opts.glob}: {problem}', flush=True)
            else:
                passed += 1
        opts.glob = 'dmirror_broken.passes'
        result = session.run()
        if result.green:
            passed += 1
        else:
            failed += 1
            print(f'{opts.glob}: is red: {result.reasons}', flush=True)
        problem = _whole_suite(session, opts)
        passed, failed = passed + (not problem), failed + bool(problem)
        if problem:
            print(f'dmirror_broken: {problem}', flush=True)
    tally.add('broken kernels', passed, failed)


def expect_red(result: verdict.Verdict, pattern: str) -> str:
    """Return what is wrong with a verdict that has to be red, or ''."""
    said = ' | '.join(result.reasons)
    if result.code != EXIT_FAIL:
        return f'exit code {result.code} instead of {EXIT_FAIL}: {said}'
    if not any(re.search(pattern, reason) for reason in result.reasons):
        return f'is red, but no reason matches "{pattern}": {said}'
    return ''


def _whole_suite(session: run.Session, opts: run.Options) -> str:
    """Run all broken cases at once: a hang and a panic end the guest, and the
    cases after them have to run all the same."""
    opts.glob = 'dmirror_broken'
    result = session.run()
    status = {case.name: case.status for case in result.cases}
    wanted = {'passes': 'pass', 'fails': 'fail', 'skips': 'skip',
              'hangs': 'hang', 'panics': 'crash', 'powers_off': 'crash',
              'passes_again': 'pass'}
    wrong = [f'{name} is {status.get(name)} instead of {want}'
             for name, want in wanted.items() if status.get(name) != want]
    return '; '.join(wrong)


def stock_kunit(tally: Tally, tree: source.Tree, name: str,
                accelerator: str) -> None:
    """Run the tree's own kunit.py by hand on a tier's kernel."""
    tier = tiers.get(name)
    argv = [sys.executable, 'tools/testing/kunit/kunit.py', 'exec',
            f'--build_dir={run.build_dir(tier, tree)}', '--timeout=300',
            'dmirror_*']
    if tier.qemu_config:    # it has the kernel arguments
        argv.insert(3, f'--qemu_config={tree.path / tier.qemu_config}')
    else:
        argv[3:3] = [f'--kernel_args={arg}' for arg in tier.kernel_args]
    folder = run.build_dir(tier, tree)
    try:
        with cache.lock(f'build-{folder.name}', f'running kunit.py {name}'):
            done = proc.run_build(argv, tree.path,
                                  {'DMIRROR_ACCEL': accelerator}, STOCK_LIMIT)
    except subprocess.TimeoutExpired as err:
        raise ToolError(f'stock kunit.py on {name} was not done after '
                        f'{STOCK_LIMIT:g} s and was ended: run it by hand '
                        'with -v and look where it stops.') from err
    good = done.returncode == 0 and 'Testing complete. Ran' in done.stdout
    if not good:
        print(done.stdout[-4000:] + done.stderr[-2000:], flush=True)
    tally.add(f'stock kunit.py on {name}', int(good), int(not good))


def hmm_tests(tally: Tally, tree: source.Tree, name: str,
              opts: run.Options) -> None:
    """Run the tree's hmm-tests on our driver, private and coherent."""
    setup = selftest.get_setup(name, 'ours', True)
    with selftest.prepared(setup, tree, opts) as session:
        count(tally, session.run(),
              f'hmm-tests on {name}, Linux {tree.version}')


def _options(args: argparse.Namespace) -> run.Options:
    """Return the options of a part's run."""
    return run.Options(accel=args.accel,
                       live=sys.stdout if args.verbose else None)


Part = Tuple[str, Callable[[], None]]


def all_parts(tally: Tally, tree: source.Tree,
              args: argparse.Namespace) -> List[Part]:
    """Return what is to be done, with its names, in order."""
    def options() -> run.Options:
        return _options(args)

    def tier(name: str) -> Part:
        return f'tier {name}', lambda: tier_run(tally, tree, name, options())

    def stock(name: str) -> Part:
        return f'stock kunit.py, {name}', lambda: stock_kunit(
            tally, tree, name, args.accel)

    def selftests(name: str) -> Part:
        return f'hmm-tests, {name}', lambda: hmm_tests(tally, tree, name,
                                                       options())

    parts: List[Part] = [('tests of the tools',
                          lambda: tools_tests(tally, tree))]
    for name in (*TIERS, *(MORE_TIERS if args.all else ())):
        parts.append(tier(name))
        if name in STOCK:
            parts.append(stock(name))
        if name == tiers.DEFAULT:
            parts.append(('broken kernels', lambda: broken_kernels(
                tally, tree, options())))
    for name in (*SELFTESTS, *(MORE_SELFTESTS if args.all else ())):
        parts.append(selftests(name))
    parts.append(('static checks', lambda: static_checks(tally, tree)))
    if args.all:
        parts.append(('odd configurations',
                      lambda: odd_configs(tally, tree, False)))
    return parts


def other_parts(tally: Tally, args: argparse.Namespace) -> List[Part]:
    """Return what is to be done on the other kernels, with its names."""
    def part(kernel: str, what: str,
             work: Callable[[source.Tree], None]) -> Part:
        return (f'{what}, Linux {kernel}',
                lambda: work(source.find_tree(args.kdir, kernel)))

    def tier(name: str) -> Callable[[source.Tree], None]:
        return lambda tree: tier_run(tally, tree, name, _options(args))

    def selftests(name: str) -> Callable[[source.Tree], None]:
        return lambda tree: hmm_tests(tally, tree, name, _options(args))

    parts: List[Part] = []
    for kernel in KERNELS:
        # Of a tree of the user's there is one version only.
        if args.kdir or os.environ.get('KDIR') or kernel == args.kernel:
            continue
        parts += [part(kernel, f'tier {name}', tier(name))
                  for name in OTHER_TIERS]
        parts += [part(kernel, f'hmm-tests, {name}', selftests(name))
                  for name in OTHER_SELFTESTS]
        parts.append(part(kernel, 'odd configurations',
                          lambda tree: odd_configs(tally, tree, True)))
    return parts


def main(args: argparse.Namespace) -> int:
    """Run the verb.

    Returns:
        EXIT_PASS; EXIT_FAIL if something failed; EXIT_INFRA if a part could
        not be carried out.
    """
    packages.ensure(['um', 'x86_64', 'checks'])
    tree = source.find_tree(args.kdir, args.kernel)
    tally = Tally()
    parts = all_parts(tally, tree, args)
    if args.all:
        parts += other_parts(tally, args)
    for what, part in parts:
        say.say(f'=== {what}')
        try:
            part()
        except ToolError as err:
            say.error(err.message, err.detail)
            tally.infra = True
            tally.add(what, 0, 1)
    print('--- summary', flush=True)
    for line in tally.lines or []:
        print(line)
    last = f'{tally.passed} passed, {tally.failed} failed'
    if tally.skipped:
        last += f', {tally.skipped} skipped'
    print(last, flush=True)
    if tally.infra:
        return EXIT_INFRA
    return EXIT_FAIL if tally.failed else EXIT_PASS
