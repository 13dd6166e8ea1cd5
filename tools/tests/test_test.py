# SPDX-License-Identifier: GPL-2.0
"""The verb `test`: which parts it has, and what it makes of them."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import subprocess
import unittest
from typing import List, cast
from unittest import mock

from dmirrorlib import proc, run, source, tiers, verb_test
from dmirrorlib.errors import (EXIT_FAIL, EXIT_INFRA, EXIT_PASS, ToolError)

from . import support


class Verb(support.TempCase):
    """The verb with parts that only say their names."""

    def setUp(self) -> None:
        super().setUp()
        self.tree = source.Tree(support.make_tree(self.tmp / 'tree'),
                                '7.3.4', False)
        self.done: List[str] = []

    def call(self, *words: str, breaks: str = '', fails: str = '') -> int:
        """Run the verb; return its exit code.

        Args:
            words: the command line.
            breaks: the tier that cannot be run.
            fails: the tier that has a failing case.
        """
        def find_tree(kdir: str, kernel: str) -> source.Tree:
            return source.Tree(self.tree.path, kernel, False)

        def tier_run(tally: verb_test.Tally, tree: source.Tree, name: str,
                     opts: run.Options) -> None:
            self.done.append(name if tree.version == '7.3'
                             else f'{name} {tree.version}')
            if name == breaks:
                raise ToolError('it does not build')
            tally.add(name, 1, int(name == fails))

        def other(name: str) -> 'contextlib.AbstractContextManager[object]':
            def does(tally: verb_test.Tally, *args: object) -> None:
                words = [a for a in args if isinstance(a, str)
                         and a in tiers.TIERS]
                words += [a.version for a in args if isinstance(
                    a, source.Tree) and a.version != '7.3']
                self.done.append(' '.join([name, *words]))
                tally.add(name, 1, 0)
            return cast('contextlib.AbstractContextManager[object]',
                        mock.patch.object(verb_test, name, new=does))

        parser = argparse.ArgumentParser()
        verb_test.add_arguments(parser)
        args = parser.parse_args(words)
        args.verbose = False
        del self.done[:]
        with other('tools_tests'), other('static_checks'), \
                other('broken_kernels'), other('stock_kunit'), \
                other('hmm_tests'), other('odd_configs'), \
                mock.patch.object(verb_test, 'tier_run', tier_run), \
                mock.patch('dmirrorlib.packages.ensure'), \
                mock.patch.object(source, 'find_tree', find_tree), \
                mock.patch('sys.stdout', io.StringIO()):
            return verb_test.main(args)

    def test_parts(self) -> None:
        self.assertEqual(self.call(), EXIT_PASS)
        self.assertEqual(self.done, [
            'tools_tests', 'um', 'stock_kunit um', 'broken_kernels',
            'um-full', 'x86_64', 'stock_kunit x86_64', 'hmm_tests x86_64',
            'static_checks'])

    def test_all_are_all(self) -> None:
        self.assertEqual(self.call('--all'), EXIT_PASS)
        self.assertEqual(sorted(n for n in self.done if n in tiers.TIERS),
                         sorted(tiers.names()))
        self.assertIn('hmm_tests debug', self.done)
        self.assertEqual(self.done[self.done.index('static_checks'):], [
            'static_checks', 'odd_configs', 'um 7.2', 'um-full 7.2',
            'x86_64 7.2', 'modules 7.2', 'hmm_tests x86_64 7.2',
            'odd_configs 7.2'])

    def test_a_tree_of_ones_own_is_the_only_one(self) -> None:
        for words in (('--kdir', '/linux'), ()):
            if not words:
                os.environ['KDIR'] = '/linux'
            self.assertEqual(self.call('--all', *words), EXIT_PASS)
            self.assertEqual(self.done[-1], 'odd_configs')

    def test_the_other_kernel(self) -> None:
        self.assertEqual(self.call('--all', '--kernel', '7.2'), EXIT_PASS)
        self.assertIn('debug 7.2', self.done)
        self.assertEqual(self.done[-6:-4], ['um', 'um-full'])

    def test_codes(self) -> None:
        self.assertEqual(self.call(fails='um-full'), EXIT_FAIL)
        self.assertEqual(self.call(breaks='um-full'), EXIT_INFRA)
        self.assertIn('x86_64', self.done)  # the rest is done all the same
        self.assertEqual(self.call('--all', fails='um-smp'), EXIT_FAIL)

    def test_stock_kunit_gets_the_tiers_arguments(self) -> None:
        seen: List[str] = []

        def run_build(argv: List[str], *unused: object
                      ) -> 'subprocess.CompletedProcess[str]':
            seen[:] = argv
            return subprocess.CompletedProcess(
                argv, 0, 'Testing complete. Ran 3 tests', '')

        tally = verb_test.Tally()
        for name in verb_test.STOCK:
            with mock.patch.object(proc, 'run_build', run_build), \
                    mock.patch('sys.stdout', io.StringIO()):
                verb_test.stock_kunit(tally, self.tree, name, 'tcg')
            tier = tiers.get(name)
            for arg in tier.kernel_args:
                self.assertEqual(f'--kernel_args={arg}' in seen,
                                 not tier.machine)
            self.assertEqual(seen[-1], 'dmirror_*')
        self.assertEqual((tally.passed, tally.failed), (2, 0))


if __name__ == '__main__':
    unittest.main()
