# SPDX-License-Identifier: GPL-2.0
"""Kernel revisions from a user's git repository, in a tree of our own.

The user's repository is only read. The tree is in the cache, a repository of
its own that borrows the user's objects (objects/info/alternates): so there is
no worktree, no branch, no index and no lock of ours in the user's, not even
after a kill. (git itself renews the time of an object's file there when it
would write the same object here.)

One tree serves all revisions of a repository, one after the other, at one
path: a checkout touches only the files that differ, and make builds only what
depends on them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from . import (cache, graft, known, patches, proc, run, say, source,
               variants)
from .errors import ToolError, UsageError
from .source import Tree
from .tiers import Tier

OLDEST = (7, 2)     # the first kernel that the project can be built with
TREE_BYTES = 2_600_000_000  # free space that a tree and its objects need
SCARCE = 1 << 20            # a disk with less is full

# Neither the user's settings nor the system's count in our own repository.
_CLEAN = {'GIT_CONFIG_GLOBAL': os.devnull, 'GIT_CONFIG_NOSYSTEM': '1',
          'GIT_ATTR_NOSYSTEM': '1', 'LC_ALL': 'C',
          'GIT_COMMITTER_NAME': 'dmirror', 'GIT_COMMITTER_EMAIL': 'dmirror@',
          'GIT_TERMINAL_PROMPT': '0', 'GIT_EDITOR': 'true'}
_SETTINGS = ('-c', 'core.autocrlf=false', '-c', 'core.hooksPath=/dev/null',
             '-c', 'gc.auto=0', '-c', 'maintenance.auto=false',
             '-c', 'advice.detachedHead=false', '-c', 'core.fileMode=true',
             '-c', 'am.threeWay=false', '-c', 'commit.gpgSign=false')
_FULL = re.compile(r'No space left|Disk quota exceeded|File too large')
_REFUSED = re.compile(r'^error: (?:patch failed: )?(\S+?)(?::\d+$|: )', re.M)


@dataclass(frozen=True)
class Commit:
    """A commit: what the user called it, its id, its subject, the kernel's
    version."""
    name: str
    oid: str
    subject: str
    version: str

    def about(self) -> str:
        """Return it in the form that the kernel's people write."""
        return f'{self.oid[:12]} ("{self.subject}")'


class DoesNotApply(Exception):
    """git am refuses a patch.

    Args:
        file: the first one that it could not change; '' if not known.
        words: git's.
    """

    def __init__(self, file: str, words: str) -> None:
        super().__init__(words)
        self.file = file
        self.words = words


def forget_environment() -> None:
    """Drop git's variables from the environment, which name a repository.

    git sets some for what it runs itself (git bisect run, git rebase -x);
    they would lead our own git, and the kernel's makefiles, astray.
    """
    for name in list(os.environ):
        if name.startswith('GIT_') and name not in (
                'GIT_SSH', 'GIT_SSH_COMMAND', 'GIT_TRACE'):
            del os.environ[name]


class Repository:
    """A user's repository, which is only read.

    Args:
        path: a directory of it, or a bare one.

    Raises:
        UsageError: it is none, or git is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_dir():
            raise UsageError(f'{path} is not a directory: --kdir names a git '
                             'repository of the kernel.')
        forget_environment()
        done = self._git('rev-parse', '--absolute-git-dir')
        if done.returncode:
            if 'dubious ownership' in done.stderr:
                raise UsageError(
                    f'{path} belongs to somebody else, so git does not read '
                    f'it: run "git config --global --add safe.directory '
                    f'{path}" if you trust it.')
            raise UsageError(
                f'{path} is not in a git repository: name one of the kernel '
                'with --kdir, or compare two directories.')
        self.git_dir = Path(done.stdout.strip())
        common = self._text('rev-parse', '--git-common-dir')
        self.common = (path / common).resolve()
        top = self._git('rev-parse', '--show-toplevel')
        self.top = Path(top.stdout.strip()) if top.returncode == 0 and \
            top.stdout.strip() else None

    def commit(self, name: str) -> Commit:
        """Return the commit that a revision means.

        Raises:
            UsageError: there is none, or it is no kernel of ours.
        """
        done = self._git('rev-parse', '--verify', '--quiet',
                         '--end-of-options', f'{name}^{{commit}}')
        oid = done.stdout.strip()
        if done.returncode or not oid:
            raise UsageError(f'{self.path} has no revision "{name}": name a '
                             'commit, a tag or a branch of it.')
        subject = self._text('log', '-1', '--format=%s', oid)
        version = self._version(oid)
        if not version:
            raise UsageError(f'revision {name} of {self.path} is no kernel: '
                             'it has no Makefile with a version.')
        check_version(version, f'revision {name}')
        return Commit(name, oid, subject, version)

    def _version(self, oid: str) -> str:
        done = self._git('cat-file', 'blob', f'{oid}:Makefile')
        if done.returncode:
            return ''
        with tempfile.TemporaryDirectory(prefix='dmirror-') as folder:
            (Path(folder) / 'Makefile').write_text(done.stdout)
            return source.read_version(Path(folder))

    def object_format(self) -> str:
        """Return the hash that names the objects."""
        done = self._git('rev-parse', '--show-object-format')
        return done.stdout.strip() or 'sha1'

    def head(self) -> Optional[str]:
        """Return the id of the commit that is checked out, None if none."""
        done = self._git('rev-parse', '--verify', '--quiet', 'HEAD^{commit}')
        return done.stdout.strip() or None

    def dirty(self) -> List[str]:
        """Return the tracked files that differ from HEAD, a graft's own
        changes not counted."""
        if not self.top:
            return []
        done = self._git('-C', str(self.top), 'status', '--porcelain', '-z',
                         '--untracked-files=no', '--no-renames')
        names = [row[3:] for row in done.stdout.split('\0') if row]
        return [name for name in names if not (
            name in (graft.KCONFIG, graft.MAKEFILE)
            and graft.has_line(self.top, name))]

    def changes(self, names: Sequence[str]) -> str:
        """Return the differences of files from HEAD, as a patch."""
        assert self.top
        return self._text('-C', str(self.top), 'diff', '--binary',
                          '--no-ext-diff', '--no-textconv', '--no-color',
                          '--src-prefix=a/', '--dst-prefix=b/', 'HEAD', '--',
                          *names) + '\n'

    def _text(self, *words: str) -> str:
        done = self._git(*words)
        if done.returncode:
            raise ToolError(f'git {words[0]} failed in {self.path}: see what '
                            'it says.', detail=done.stderr)
        return done.stdout.rstrip('\n')

    def _git(self, *words: str) -> 'subprocess.CompletedProcess[str]':
        # No lock for a refreshed index: not even that is written.
        return _run(['git', '-C', str(self.path), *words],
                    {'GIT_OPTIONAL_LOCKS': '0', 'LC_ALL': 'C'})


def _forget_orphans() -> None:
    """Remove the trees of repositories that no longer exist."""
    for path in (cache.root() / 'trees').glob(f'{run.TRIAL}-*'):
        try:
            text = (path / '.git/objects/info/alternates').read_text()
        except OSError:
            continue    # being made, or not ours
        if not Path(text.strip()).is_dir():
            say.note(f'removing {path}: its repository is gone')
            shutil.rmtree(path, ignore_errors=True)


def check_version(version: str, what: str) -> None:
    """Raise UsageError unless the project can be built with a kernel."""
    if known.numbers(version)[:2] < OLDEST:
        raise UsageError(
            f'{what} is Linux {version}, which is not supported: the suites '
            f'need {".".join(map(str, OLDEST))} or newer.')


def _run(argv: List[str], env: Dict[str, str],
         stdin: Optional[str] = None) -> 'subprocess.CompletedProcess[str]':
    try:
        return proc.run(argv, env=env, stdin=stdin)
    except FileNotFoundError as err:
        raise UsageError('git is not installed: install it (apt-get install '
                         'git), or compare two directories.') from err


class Checkout:
    """The tree in the cache that has a repository's revisions.

    The caller holds its lock().

    Args:
        repository: the user's.
        project: the top of this project.
    """

    def __init__(self, repository: Repository, project: Path) -> None:
        self._repository = repository
        self._project = project
        whole = hashlib.sha256(os.fsencode(repository.common)).hexdigest()
        self.path = cache.sub('trees') / f'{run.TRIAL}-{whole[:10]}'
        self.name = self.path.name

    def prepare(self) -> None:
        """Make the repository, or mend what a killed run left of it.

        Raises:
            ToolError: the disk is full, or git fails.
        """
        _forget_orphans()
        git = self.path / '.git'
        if not git.is_dir():
            free = cache.free_bytes(self.path)
            if free < TREE_BYTES:
                raise cache.DiskError(
                    f'a tree and its objects need {TREE_BYTES / 1e9:.1f} GB '
                    f'and {self.path.parent} has only {free / 1e9:.1f} GB '
                    'free: free some space, or set XDG_CACHE_HOME to a '
                    'directory on a larger disk.')
            with cache.explain(f'creating {self.path}'):
                shutil.rmtree(self.path, ignore_errors=True)
                self.path.mkdir(parents=True)
            self._git('init', '-q', '--template=', '--object-format='
                      + self._repository.object_format())
        objects = self._repository.common / 'objects'
        with cache.explain(f'preparing {self.path}'):
            for lock in git.glob('*.lock'):     # of a killed run
                lock.unlink()
            self.tidy()
            (git / 'objects/info').mkdir(parents=True, exist_ok=True)
            (git / 'objects/info/alternates').write_text(f'{objects}\n')
            shallow = self._repository.common / 'shallow'
            (git / 'shallow').unlink(missing_ok=True)
            if shallow.exists():
                shutil.copyfile(shallow, git / 'shallow')

    def tidy(self) -> None:
        """Remove what an interrupted git am leaves."""
        shutil.rmtree(self.path / '.git/rebase-apply', ignore_errors=True)

    def show(self, oid: str, tier: Tier) -> Tree:
        """Make the tree that of a commit, grafted, with a tier's patches.

        Args:
            oid: the commit.
            tier: gets the patches that it needs.
        """
        self.checkout(oid)
        graft.graft(self.path, self._project, repoint=True)
        if tier.patches:
            patches.apply(self.path, patches.read_series(
                variants.folder_of(self._project, tier.patches)))
        tree = source.open_tree(self.path)
        return Tree(tree.path, tree.version, False)

    def checkout(self, oid: str) -> None:
        """Make the tree that of a commit, and nothing else."""
        if (self.path / 'drivers').is_dir():
            # Files that the graft changed get their old times back.
            with contextlib.suppress(ToolError):
                graft.ungraft(self.path)
        shutil.rmtree(self.path / patches.STAGE, ignore_errors=True)
        done = self._try('checkout', '-q', '--force', '--detach', oid)
        if not done.returncode:
            self._git('clean', '-q', '-ffdx')
            if not self._git('status', '--porcelain').stdout:
                return
        self._rebuild(oid)

    def _rebuild(self, oid: str) -> None:
        """Check everything out afresh: the tree was not what git thought."""
        say.say(f'making {self.path} again')
        with cache.explain(f'emptying {self.path}'):
            for entry in list(os.scandir(self.path)):
                if entry.name == '.git':
                    continue
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)
            (self.path / '.git/index').unlink(missing_ok=True)
        self._git('checkout', '-q', '--force', '--detach', oid)
        self._git('clean', '-q', '-ffdx')

    def apply_mail(self, mail: Path) -> str:
        """Apply a patch from a mail on what is checked out (git am).

        Returns:
            The new commit.

        Raises:
            DoesNotApply: it does not.
        """
        done = self._try('am', '-q', '--no-gpg-sign', '--no-3way',
                         '--committer-date-is-author-date', str(mail))
        if done.returncode:
            self._try('am', '--abort')
            self._explain_full(done.stderr, 'applying a patch')
            match = _REFUSED.search(done.stderr)
            raise DoesNotApply(match.group(1) if match else '',
                               done.stderr.strip())
        return self._git('rev-parse', 'HEAD').stdout.strip()

    def apply_changes(self, patch: str) -> str:
        """Apply uncommitted changes, as a commit; return it."""
        done = self._try('apply', '--index', '--whitespace=nowarn', '-',
                         stdin=patch)
        if done.returncode:
            raise ToolError('the uncommitted changes of '
                            f'{self._repository.path} cannot be taken over: '
                            'commit or stash them.', detail=done.stderr)
        self._git('-c', 'user.name=dmirror', '-c', 'user.email=dmirror@',
                  'commit', '-q', '--no-verify', '-m',
                  'uncommitted changes')
        return self._git('rev-parse', 'HEAD').stdout.strip()

    def subject(self, oid: str) -> str:
        """Return a commit's subject."""
        return self._git('log', '-1', '--format=%s', oid).stdout.strip()

    def _try(self, *words: str, stdin: Optional[str] = None
             ) -> 'subprocess.CompletedProcess[str]':
        argv = ['git', '-C', str(self.path), *_SETTINGS, *words]
        env = {**_CLEAN, 'GIT_DIR': str(self.path / '.git'),
               'GIT_WORK_TREE': str(self.path)}
        return _run(argv, env, stdin)

    def _git(self, *words: str) -> 'subprocess.CompletedProcess[str]':
        done = self._try(*words)
        if done.returncode:
            self._explain_full(done.stderr, f'running git {words[0]}')
            raise ToolError(
                f'git {words[0]} failed in {self.path}: see what it says; '
                'removing that directory makes it anew.', detail=done.stderr)
        return done

    def _explain_full(self, words: str, doing: str) -> None:
        """Raise DiskError if that is why git failed. It does not always say:
        'unable to write file' may have any cause."""
        if _FULL.search(words) or cache.free_bytes(self.path) < SCARCE:
            raise cache.disk_full(doing)
