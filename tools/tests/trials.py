# SPDX-License-Identifier: GPL-2.0
"""What the tests of compare, series and bisect-step share: a git repository of
a small kernel tree, and builds that give a fake kernel.

The file FAKE of a revision says what is wrong with its kernel (see
data/fake_linux.py), and 'build=error' that it does not build.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple
from unittest import mock

from dmirrorlib import cache, cli, gittree, run
from dmirrorlib.errors import ToolError

from . import consoles, support

FAKE = 'FAKE'
ERROR = 'hmm.c:7:3: error: expected ";"'
VERBS = {'compare': 'verb_compare', 'series': 'verb_series',
         'bisect-step': 'verb_bisect_step'}
WALK = 'dmirror_pt.walk'


class TrialCase(support.TempCase):
    """A case with a repository, fake builds and the verbs.

    self.repo: the user's repository, with a work tree and a commit 'base'.
    self.built: what was built, the content of FAKE each time.
    self.err: what went to stderr.
    """

    def setUp(self) -> None:
        super().setUp()
        for name in list(os.environ):
            if name.startswith('GIT_'):
                del os.environ[name]
        os.environ['GIT_CONFIG_GLOBAL'] = os.devnull
        self.repo = support.make_tree(self.tmp / 'linux')
        (self.repo / FAKE).write_text('\n')
        (self.repo / 'hmm.c').write_text(''.join(
            f'line {i}\n' for i in range(1, 30)))
        self.git('init', '-q', '-b', 'master')
        self.base = self.commit('the base')
        self.built: 'list[str]' = []
        self.err = ''
        folder = self.tmp / 'project'
        (folder / 'kunit/skips').mkdir(parents=True)
        (folder / 'tools/dmirrorlib').mkdir(parents=True)
        self.scratch = self.tmp / 'tmp'     # what tempfile uses
        self.scratch.mkdir()
        patches: List[Any] = [
                mock.patch('tempfile.tempdir', str(self.scratch)),
                mock.patch.object(run, 'PROJECT', folder),
                mock.patch('dmirrorlib.packages.ensure'),
                mock.patch.object(gittree, 'TREE_BYTES', 1 << 20),
                mock.patch.object(run.Session, 'build', self._build()),
                mock.patch.object(cli, 'VERBS', VERBS)]
        for patch in patches:
            patch.start()
            self.addCleanup(patch.stop)
        before = signal.getsignal(signal.SIGTERM)
        self.addCleanup(signal.signal, signal.SIGTERM, before)

    def git(self, *words: str) -> str:
        """Run git in the user's repository; return what it printed."""
        env = {**os.environ, 'GIT_AUTHOR_NAME': 'A', 'GIT_AUTHOR_EMAIL': 'a@b',
               'GIT_COMMITTER_NAME': 'C', 'GIT_COMMITTER_EMAIL': 'c@d',
               'GIT_AUTHOR_DATE': '1767225600 +0000',
               'GIT_COMMITTER_DATE': '1767225600 +0000'}
        done = subprocess.run(['git', '-C', str(self.repo), *words], env=env,
                              check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, subject: str, **files: str) -> str:
        """Commit files ('FAKE' may be given as fake); return the commit."""
        for name, text in files.items():
            (self.repo / {'fake': FAKE, 'hmm': 'hmm.c'}.get(
                name, name)).write_text(text + '\n')
        self.git('add', '-A')
        self.git('commit', '-q', '--allow-empty', '-m', subject)
        return self.git('rev-parse', 'HEAD')

    def patches(self, base: str, folder: str = 'patches') -> Path:
        """Make patches of what is above a commit, and go back to it; return
        their directory."""
        path = self.tmp / folder
        self.git('format-patch', '-q', '-o', str(path), f'{base}..HEAD')
        self.git('reset', '-q', '--hard', base)
        return path

    def state(self) -> Dict[str, bytes]:
        """Return all files of the user's repository, git's own included."""
        return {str(p.relative_to(self.repo)): p.read_bytes()
                for p in sorted(self.repo.rglob('*')) if p.is_file()}

    def call(self, verb: str, *words: str, strict: bool = False
             ) -> Tuple[int, str]:
        """Run a verb in the repository; return its code and stdout.

        strict: an exception comes through.
        """
        out, err = io.StringIO(), io.StringIO()
        before = os.getcwd()
        os.chdir(self.repo)
        try:
            with mock.patch('sys.stdout', out), mock.patch('sys.stderr', err):
                if strict:
                    args = cli.build_parser().parse_args([verb, *words])
                    return int(args.main(args)), out.getvalue()
                code = cli.main([verb, *words])
        finally:
            os.chdir(before)
            self.err = err.getvalue() + '\n'.join(self.said)
        return code, out.getvalue()

    def checkout(self) -> Path:
        """Return the tree in the cache."""
        found = list((cache.root() / 'trees').glob('trial-*'))
        self.assertEqual(len(found), 1)
        return found[0]

    def nothing_left(self) -> None:
        """Check that nothing is left of a trial but the tree, the objects and
        the results."""
        self.assertFalse((cache.sub('build') / 'trial-kernels').exists())
        for tree in (cache.root() / 'trees').glob('trial-*'):
            self.assertFalse((tree / '.git/rebase-apply').exists())
        self.assertEqual(list(self.scratch.iterdir()), [])

    def _build(self) -> Callable[[run.Session], None]:
        case = self

        def build(session: run.Session) -> None:
            fake = (session.tree.path / FAKE).read_text().strip()
            case.built.append(fake)
            session.folder.mkdir(parents=True, exist_ok=True)
            (session.folder / 'build.log').write_text('make\n')
            if 'build=error' in fake:
                raise ToolError('the um kernel does not build; all of the '
                                f'output is in {session.folder}/build.log.',
                                detail=ERROR)
            kernel = consoles.fake_kernel(session.folder)
            text = kernel.read_text().replace(
                'import os\n', f'import os\nos.environ["FAKE"] = {fake!r}\n',
                1)
            kernel.write_text(text)
            session._parser = consoles.parser()

        return build
