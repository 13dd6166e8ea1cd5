# SPDX-License-Identifier: GPL-2.0
"""The command line: how errors and signals end it."""

from __future__ import annotations

import errno
import functools
import io
import os
import signal
import subprocess
import sys
import types
import unittest
from typing import Callable
from unittest import mock

from dmirrorlib import cli, say, source
from dmirrorlib.errors import EXIT_FAIL, ToolError, UsageError

from . import support

VERB = """
import pathlib, sys, time
from dmirrorlib import cli, source
def find(*unused):
    pathlib.Path(sys.argv[1]).touch()
    try:
        time.sleep(60)
    finally:
        print('unwound', flush=True)
source.find_tree = find
sys.exit(cli.main(['kernel']))
"""


class Ends(support.TempCase):
    """Exit codes."""

    def call(self, does: Callable[[], int], *words: str) -> int:
        """Run a verb that does this; return the exit code."""
        module = types.SimpleNamespace(
            HELP='help', add_arguments=lambda parser: None,
            main=lambda args: does())
        with mock.patch.object(cli, 'VERBS', {'run': 'x'}), \
                mock.patch('importlib.import_module', return_value=module):
            return cli.main(['run', *words])

    def test_nothing_but_a_failure_is_1(self) -> None:
        def raises(err: BaseException) -> Callable[[], int]:
            def does() -> int:
                raise err
            return does

        rows = (
            (raises(ValueError('odd')), 3, 'unexpected ValueError (odd)'),
            (raises(OSError(errno.ENOSPC, 'full')), 3, 'free some space'),
            (raises(OSError(errno.EIO, 'I/O error', '/x')), 3, '/x did not'),
            (raises(ToolError('it broke')), 3, 'it broke'),
            (raises(UsageError('no such case')), 2, 'no such case'),
            (raises(BrokenPipeError()), 3, ''),
        )
        for does, code, words in rows:
            del self.said[:]
            self.assertEqual(self.call(does), code)
            self.assertEqual(len(self.said), 1 if words else 0, self.said)
            self.assertIn(words, ' '.join(self.said))
            self.assertEqual(self.call(does, '--bisect'), 125)
        self.assertEqual(self.call(lambda: EXIT_FAIL, '--bisect'), 1)
        with mock.patch('sys.stderr', io.StringIO()):
            self.assertEqual(self.call(lambda: 0, '--nonsense'), 2)
            self.assertEqual(self.call(lambda: 0, '--nonsense', '--bisect'),
                             128)

    def test_the_traceback_is_for_v(self) -> None:
        def does() -> int:
            raise KeyError('x')

        self.addCleanup(say.set_verbose, False)
        self.call(does)
        self.assertNotIn('Traceback', ' '.join(self.said))
        self.call(does, '-v')
        self.assertIn('Traceback', ' '.join(self.said))

    def test_output_that_cannot_be_written(self) -> None:
        for verdict, code in ((0, 3), (1, 1)):
            with open('/dev/full', 'w') as full:
                done = subprocess.run(
                    [sys.executable, '-c',
                     'import sys\nfrom dmirrorlib import cli\n'
                     'import dmirrorlib.verb_kernel as verb\n'
                     f'verb.main = lambda args: print("x") or {verdict}\n'
                     'sys.exit(cli.main(["kernel"]))'],
                    env=dict(os.environ, PYTHONUNBUFFERED=''), stdout=full,
                    stderr=subprocess.PIPE, check=False, text=True)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)

    def test_signals_unwind_every_verb(self) -> None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            path = self.tmp / f'started-{number}'
            tool = subprocess.Popen(
                [sys.executable, '-c', VERB, str(path)], text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                # nohup, under which the tests may run, has it ignored.
                preexec_fn=functools.partial(signal.signal, number,
                                             signal.SIG_DFL))
            self.addCleanup(self._end, tool)
            self.wait_for(path)
            tool.send_signal(number)
            out, err = tool.communicate(timeout=10)
            self.assertEqual((tool.returncode, out),
                             (128 + number, 'unwound\n'), err)
            self.assertIn('interrupted', err)


class Paths(support.TempCase):
    """Paths that kbuild cannot use, and paths that are links."""

    def test_blanks_and_colons(self) -> None:
        for name in ('a b', 'a:b'):
            tree = support.make_tree(self.tmp / name)
            with self.fails('blank or a colon', str(tree), code=2):
                source.open_tree(tree)
            with mock.patch.dict(os.environ, XDG_CACHE_HOME=str(tree)), \
                    self.fails('XDG_CACHE_HOME', 'blank or a colon'):
                source.find_tree(None)

    def test_a_link_is_the_tree_itself(self) -> None:
        tree = support.make_tree(self.tmp / 'tree')
        (self.tmp / 'link').symlink_to(tree)
        self.assertEqual(source.open_tree(self.tmp / 'link').path,
                         tree.resolve())


if __name__ == '__main__':
    unittest.main()
