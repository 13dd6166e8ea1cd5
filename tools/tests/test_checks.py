# SPDX-License-Identifier: GPL-2.0
"""Tests of the static checks and of the sums of `dmirror test`."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import unittest
from pathlib import Path
from typing import Callable, Dict, List
from unittest import mock

from dmirrorlib import checks, proc, verb_check, verb_test, verdict
from dmirrorlib.errors import EXIT_FAIL, EXIT_PASS, ToolError
from dmirrorlib.source import Tree

TREE = Tree(path=Path('/nonexistent'), version='7.3.4', owned=False)


def outcome(code: int, reasons: List[str]) -> verdict.Verdict:
    """Return a verdict that has nothing but a code and reasons."""
    return verdict.Verdict(tier='um', code=code, reasons=reasons, notes=[],
                           cases=[], splats=[], counts={}, guest_seconds=0.0,
                           boots=1)


class Files(unittest.TestCase):
    """project_files: what is checked is all that there is."""

    def test_finds_by_ending_and_by_name(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            for name in ('a.c', 'sub/b.c', 'sub/c.h', '.git/d.c', 'Kconfig'):
                (root / name).parent.mkdir(exist_ok=True)
                (root / name).write_text('')
            with mock.patch.object(checks, 'PROJECT', root):
                found = [str(p.relative_to(root))
                         for p in checks.project_files('.c', 'Kconfig')]
        self.assertEqual(found, ['Kconfig', 'a.c', 'sub/b.c'])

    def test_every_unit_is_checked(self) -> None:
        names = {p.name for p in checks.project_files('.c', '.h')}
        self.assertLessEqual({'pt.c', 'pt.h', 'mm.c', 'fixture.c'}, names)


class Complaints(unittest.TestCase):
    """A check that complains is counted as failed and shown."""

    def test_counts(self) -> None:
        known: Dict[str, Callable[[Tree], checks.Outcome]] = {
            'good': lambda _: checks.Outcome('good', []),
            'bad': lambda _: checks.Outcome('bad', ['a.c:1: WARNING: x']),
        }
        out = io.StringIO()
        with mock.patch.object(checks, 'all_checks', lambda: known), \
                contextlib.redirect_stdout(out):
            self.assertEqual(verb_check.run_checks(TREE, list(known)), (1, 1))
        self.assertIn('a.c:1: WARNING: x', out.getvalue())
        self.assertIn('bad: FAIL 1 complaints', out.getvalue())

    def test_a_program_that_fails_without_a_word_is_no_pass(self) -> None:
        for check in (checks.python_types, checks.shellcheck,
                      checks.checkpatch):
            with tempfile.TemporaryDirectory() as folder:
                for name in ('mypy', 'shellcheck', 'perl'):
                    fake = Path(folder) / name
                    fake.write_text('#!/bin/sh\necho broken >&2\nexit 9\n')
                    fake.chmod(0o755)
                path = folder + os.pathsep + os.environ['PATH']
                with mock.patch.dict(os.environ, {
                        'PATH': path, 'XDG_CACHE_HOME': folder}):
                    self.assertTrue(check(TREE).complaints, check.__name__)


    def test_patches_are_checked(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            (root / 'tools/patches/um-full').mkdir(parents=True)
            (root / 'tools/patches/um-full/1.patch').touch()
            fake = root / 'perl'
            fake.write_text('#!/bin/sh\nfor last; do :; done\n'
                            'case "$*" in *--file*) exit 0;; esac\n'
                            'echo "$last:2: ERROR: x"\nexit 1\n')
            fake.chmod(0o755)
            path = folder + os.pathsep + os.environ['PATH']
            with mock.patch.dict(os.environ, PATH=path), \
                    mock.patch.object(checks, 'PROJECT', root):
                self.assertEqual(checks.checkpatch(TREE).complaints, [
                    'tools/patches/um-full/1.patch:2: ERROR: x'])


class Sums(unittest.TestCase):
    """Tally and the judgement of broken cases."""

    def test_adds_up(self) -> None:
        tally = verb_test.Tally()
        with contextlib.redirect_stdout(io.StringIO()):
            tally.add('a', 3, 0)
            tally.add('b', 2, 1, 4)
        self.assertEqual((tally.passed, tally.failed, tally.skipped),
                         (5, 1, 4))
        self.assertEqual(tally.lines, ['a: 3 passed, 0 failed',
                                       'b: 2 passed, 1 failed, 4 skipped'])

    def test_red_has_to_be_red_for_the_right_reason(self) -> None:
        right = outcome(EXIT_FAIL, ['x.y: WARNING: at z'])
        self.assertEqual(verb_test.expect_red(right, 'WARNING'), '')
        self.assertIn('no reason matches',
                      verb_test.expect_red(right, 'lockdep'))
        self.assertIn('exit code 0', verb_test.expect_red(
            outcome(EXIT_PASS, ['x.y: WARNING: at z']), 'WARNING'))

    def test_every_broken_case_is_expected(self) -> None:
        source = checks.PROJECT / 'kunit' / 'broken_kunit.c'
        text = source.read_text()
        names = [line.split('(')[1].rstrip('),')
                 for line in text.splitlines() if '\tKUNIT_CASE(' in line]
        known = {name for name, _ in verb_test.BROKEN}
        self.assertEqual(set(names) - known, {'passes', 'passes_again'})

    def tools_output(self, text: str, code: int) -> verb_test.Tally:
        """Sum up a run of the tools' tests that said `text`."""
        tally = verb_test.Tally()
        done = mock.Mock(stdout=text, returncode=code)
        with mock.patch('subprocess.run', return_value=done) as ran, \
                contextlib.redirect_stdout(io.StringIO()):
            verb_test.tools_tests(tally, TREE)
        self.assertEqual(ran.call_args.kwargs['env']['KDIR'],
                         str(TREE.path))
        return tally

    def test_stock_kunit_is_ended_and_holds_the_lock(self) -> None:
        with tempfile.TemporaryDirectory() as folder, \
                mock.patch.dict(os.environ, XDG_CACHE_HOME=folder):
            tree = Tree(Path(folder), '7.3.4', False)
            script = Path(folder) / 'tools/testing/kunit/kunit.py'
            script.parent.mkdir(parents=True)
            script.write_text(
                'import fcntl, glob, os, subprocess, time\n'
                f'[path] = glob.glob("{folder}/dmirror/state/build-*.lock")\n'
                'try:\n'
                '    fcntl.flock(open(path), fcntl.LOCK_EX | fcntl.LOCK_NB)\n'
                'except BlockingIOError:\n'
                f'    open("{folder}/pid", "w").write(str(os.getpid()))\n'
                'subprocess.run(["sleep", "60"])\n')
            with mock.patch.object(verb_test, 'STOCK_LIMIT', 2.0), \
                    self.assertRaises(ToolError) as caught:
                verb_test.stock_kunit(verb_test.Tally(), tree, 'um', 'tcg')
            self.assertIn('was ended', caught.exception.message)
            pid = int((Path(folder) / 'pid').read_text())
            self.assertEqual(proc.session_members(pid), [])

    def test_reads_the_sums_of_unittest(self) -> None:
        rows = (
            ('Ran 12 tests in 1.0s\n\nOK\n', 0, (12, 0, 0)),
            ('Ran 12 tests in 1.0s\n\nOK (skipped=2)\n', 0, (10, 0, 2)),
            ('Ran 12 tests in 1.0s\n\nOK (skipped=1, expected failures=2)\n',
             0, (11, 0, 1)),
            ('Ran 12 tests in 1.0s\n\nFAILED (unexpected successes=2)\n',
             1, (10, 2, 0)),
            ('Ran 12 tests in 1.0s\n\nFAILED (failures=2, errors=1)\n', 1,
             (9, 3, 0)),
            ('Traceback ...\nImportError: x\n', 1, (0, 1, 0)),
            ('Ran 12 tests in 1.0s\n\nOK\n', 1, (11, 1, 0)),
        )
        for text, code, want in rows:
            tally = self.tools_output(text, code)
            self.assertEqual((tally.passed, tally.failed, tally.skipped),
                             want, text)


if __name__ == '__main__':
    unittest.main()
