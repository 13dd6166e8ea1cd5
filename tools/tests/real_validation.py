#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Real input for the verbs that validate patches: planted changes of a real
kernel, of which is known what has to be said. Not part of the unit tests: it
builds kernels, for some 20 minutes.

    python3 -m tests.real_validation WORKDIR [series] [self] [bisect]

(in tools/) makes WORKDIR/linux.git, a repository with the cached Linux 7.3 as
its first commit and one branch per change, and WORKDIR/patches, then has
`series`, `compare` and `bisect-step` judge them (all three by default).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

TOOLS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOOLS))

# pylint: disable=wrong-import-position
from dmirrorlib import graft, source  # noqa: E402

PROJECT = TOOLS.parent
DMIRROR = str(TOOLS / 'dmirror')
WHO = {'GIT_AUTHOR_NAME': 'A Tester', 'GIT_AUTHOR_EMAIL': 'tester@invalid',
       'GIT_COMMITTER_NAME': 'A Tester', 'GIT_AUTHOR_DATE': '1767225600 +0000',
       'GIT_COMMITTER_EMAIL': 'tester@invalid',
       'GIT_COMMITTER_DATE': '1767225600 +0000',
       'GIT_CONFIG_GLOBAL': os.devnull}


@dataclass(frozen=True)
class Change:
    """A planted change.

    name: of its branch.
    subject: of its commit.
    file, old, new: the edit; `old` must be there once.
    code: what `series` has to exit with.
    case: what its report has to name, with these words.
    """
    name: str
    subject: str
    file: str
    old: str
    new: str
    code: int
    case: str
    words: Tuple[str, ...]


CHANGES = (
    # Another device's page gave an error instead of a fault (fixed in 5.19).
    Change('check', 'mm/hmm: do not fault in device private pages',
           'mm/hmm.c',
           '\t\tif (softleaf_is_device_private(entry))\n\t\t\tgoto fault;\n\n',
           '', 1, 'dmirror_', ('worse', 'fail', 'EXPECTATION FAILED')),
    # A page without a reference of its own was given back (fixed in 6.3; only
    # the half of it, so that one thread is enough to see it).
    Change('splat', 'mm: do not take a reference for an exclusive entry',
           'mm/memory.c',
           '\tif (!folio_try_get(folio))\n\t\treturn 0;\n\n'
           '\tret = folio_lock_or_retry(folio, vmf);\n',
           '\tret = folio_lock_or_retry(folio, vmf);\n',
           1, 'dmirror_exclusive', ('worse', 'complain')),
    # A refused invalidation never ended (its like was fixed in 5.12).
    Change('hang', 'mm/mmu_notifier: leave the end of an invalidation to '
           'the caller', 'mm/mmu_notifier.c',
           '\tif (err)\n\t\tmn_itree_inv_end(subscriptions);\n\n', '',
           1, 'dmirror_mirror.non_blockable_invalidation_is_refused',
           ('worse', 'hang')),
    Change('cleanup', 'mm/hmm: name a variable of the page walk in full',
           'mm/hmm.c',
           '\tfor (; addr < end; addr += PAGE_SIZE, ptep++, hmm_pfns++) {\n'
           '\t\tint r;\n\n'
           '\t\tr = hmm_vma_handle_pte(walk, addr, end, pmdp, ptep, '
           'hmm_pfns);\n\t\tif (r) {\n'
           '\t\t\t/* hmm_vma_handle_pte() did pte_unmap() */\n'
           '\t\t\treturn r;\n',
           '\tfor (; addr < end; addr += PAGE_SIZE, ptep++, hmm_pfns++) {\n'
           '\t\tint ret;\n\n'
           '\t\tret = hmm_vma_handle_pte(walk, addr, end, pmdp, ptep,\n'
           '\t\t\t\t\t hmm_pfns);\n\t\tif (ret) {\n'
           '\t\t\t/* hmm_vma_handle_pte() did pte_unmap() */\n'
           '\t\t\treturn ret;\n',
           0, '', ('NOTHING GOT WORSE',)),
    Change('broken', 'mm/hmm: forget a semicolon', 'mm/hmm.c',
           '\tpte_unmap(ptep - 1);\n', '\tpte_unmap(ptep - 1)\n',
           1, 'mm/hmm.c', ('does not build', 'error')),
)
# The sixth is a patch of the project's that mends a bug of the kernel's.
FIX = 'tools/patches/hmm/0002-mm-hmm-make-the-caller-s-own-device-private-' \
    'pages-wr.patch'
FIXED_CASE = 'dmirror_fork.write_request_finds_a_writable_page'


def git(repo: Path, *words: str, stdin: Optional[bytes] = None,
        env: Optional[Dict[str, str]] = None) -> str:
    """Run git on a repository; return what it printed."""
    done = subprocess.run(
        ['git', f'--git-dir={repo}', *words], input=stdin, check=True,
        stdout=subprocess.PIPE, env={**os.environ, **WHO, **(env or {})})
    return done.stdout.decode().strip()


def make_history(tree: Path, repo: Path) -> str:
    """Make a bare repository with a tree as its only commit; return that.

    The tree is only read; its graft is left out.
    """
    if repo.exists():
        return git(repo, 'rev-parse', 'refs/heads/base')
    fresh = repo.with_name(f'{repo.name}.tmp')
    shutil.rmtree(fresh, ignore_errors=True)
    git(fresh, 'init', '-q', '--bare', str(fresh))
    git(fresh, f'--work-tree={tree}', 'add', '-Af', '.')
    ours = [p for p in (graft.LINK, graft.HEADER, source.MARKER)
            if git(fresh, 'ls-files', '--', p)]
    git(fresh, f'--work-tree={fresh}', 'update-index', '--force-remove', '--',
        *ours)
    for name in (graft.KCONFIG, graft.MAKEFILE):
        text = graft._without_line(name)((tree / name).read_bytes())
        stage(fresh, name, text)
    oid = commit(fresh, 'Linux', [])
    git(fresh, 'update-ref', 'refs/heads/base', oid)
    git(fresh, 'symbolic-ref', 'HEAD', 'refs/heads/base')
    fresh.rename(repo)
    return oid


def stage(repo: Path, name: str, data: bytes) -> None:
    """Put a file's content into the index."""
    blob = git(repo, 'hash-object', '-w', '--stdin', stdin=data)
    git(repo, f'--work-tree={repo}', 'update-index', '--add', '--cacheinfo',
        f'100644,{blob},{name}')


def commit(repo: Path, subject: str, parents: Sequence[str]) -> str:
    """Commit the index; return the commit."""
    tree = git(repo, 'write-tree')
    words = [w for p in parents for w in ('-p', p)]
    return git(repo, 'commit-tree', tree, *words, '-m', subject)


def edit(repo: Path, parent: str, one: Change) -> str:
    """Commit a change on top of another commit; return the commit."""
    git(repo, 'read-tree', parent)
    blob = subprocess.run(
        ['git', f'--git-dir={repo}', 'cat-file', 'blob',
         f'{parent}:{one.file}'], check=True, stdout=subprocess.PIPE).stdout
    old = one.old.encode()
    if blob.count(old) != 1:
        raise SystemExit(f'{one.name}: {one.file} has it '
                         f'{blob.count(old)} times')
    stage(repo, one.file, blob.replace(old, one.new.encode()))
    return commit(repo, one.subject, [parent])


def harmless(repo: Path, parent: str, number: int) -> str:
    """Commit a comment; return the commit."""
    git(repo, 'read-tree', parent)
    text = f'# Note {number}, of no consequence.\n'
    stage(repo, f'Documentation/note-{number}', text.encode())
    return commit(repo, f'Documentation: note {number}', [parent])


def make_patches(repo: Path, base: str, folder: Path) -> Dict[str, Path]:
    """Make a branch and a patch per change; return the patches."""
    found = {}
    shutil.rmtree(folder, ignore_errors=True)
    for one in CHANGES:
        oid = edit(repo, base, one)
        git(repo, 'update-ref', f'refs/heads/{one.name}', oid)
        git(repo, 'format-patch', '-q', '-1', '-o', str(folder / one.name),
            oid)
        found[one.name] = next((folder / one.name).iterdir())
    found['fix'] = PROJECT / FIX
    return found


def dmirror(*words: str, cwd: Optional[Path] = None) -> Tuple[int, str]:
    """Run tools/dmirror; return its exit code and stdout."""
    print('$ dmirror', *words, flush=True)
    began = time.monotonic()
    done = subprocess.run([DMIRROR, *words], cwd=cwd, check=False,
                          stdout=subprocess.PIPE, text=True)
    print(done.stdout)
    print(f'exit {done.returncode}, {time.monotonic() - began:.0f} s',
          flush=True)
    return done.returncode, done.stdout


def try_series(repo: Path, patches: Dict[str, Path]) -> List[str]:
    """Have `series` judge each change; return what was wrong."""
    wrong = []
    rows = [(c.name, c.code, c.case, c.words) for c in CHANGES]
    rows.append(('fix', 0, FIXED_CASE, ('better', 'known bug')))
    for name, code, case, words in rows:
        got, out = dmirror('series', '--kdir', str(repo), '--base', 'base',
                           '--silence', '20', '--seed', '1',
                           str(patches[name]))
        text = ' '.join(out.split())
        lost = [w for w in (case, *words) if w not in text]
        if got != code or lost:
            wrong.append(f'{name}: exit {got} instead of {code}, without '
                         f'{lost}')
    return wrong


def try_self(repo: Path) -> List[str]:
    """Compare a revision with itself, five runs each."""
    got, out = dmirror('compare', '--kdir', str(repo), 'base', 'base', '-n',
                       '5', '--json', '-')
    data = json.loads(out)
    if got or data['rows'] or data['splats']:
        return [f'self: exit {got}, {data["rows"]}']
    return []


def try_bisect(repo: Path, base: str, work: Path) -> List[str]:
    """Let git find the planted commit among ten."""
    tip, planted = base, ''
    for number in range(1, 11):
        if number == 7:
            tip = planted = edit(repo, tip, CHANGES[0])
        elif number == 4:
            tip = edit(repo, tip, CHANGES[3])
        else:
            tip = harmless(repo, tip, number)
    tree = work / 'linux'
    shutil.rmtree(tree, ignore_errors=True)
    run = ['git', '-C', str(tree)]
    git(repo, 'worktree', 'prune')
    git(repo, 'worktree', 'add', '-q', '--detach', str(tree), tip)
    subprocess.run([*run, 'bisect', 'start', tip, base], check=True)
    done = subprocess.run([*run, 'bisect', 'run', DMIRROR, 'bisect-step'],
                          check=False, stdout=subprocess.PIPE, text=True)
    print(done.stdout)
    state = subprocess.run([*run, 'status', '--porcelain'], check=True,
                           stdout=subprocess.PIPE, text=True).stdout
    wrong = []
    if f'{planted} is the first bad commit' not in done.stdout:
        wrong.append(f'bisect: did not find {planted}')
    if state:
        wrong.append(f'bisect: the tree was changed: {state}')
    return wrong


def main(words: Sequence[str]) -> int:
    """Do what the words say; return the exit code."""
    work = Path(words[0]).resolve()
    wanted = words[1:] or ('series', 'self', 'bisect')
    work.mkdir(parents=True, exist_ok=True)
    tree = source.find_tree(None, '7.3')
    repo = work / 'linux.git'
    base = make_history(tree.path, repo)
    patches = make_patches(repo, base, work / 'patches')
    wrong: List[str] = []
    if 'series' in wanted:
        wrong += try_series(repo, patches)
    if 'self' in wanted:
        wrong += try_self(repo)
    if 'bisect' in wanted:
        wrong += try_bisect(repo, base, work)
    for text in wrong:
        print(f'WRONG: {text}')
    print('all as it has to be' if not wrong else f'{len(wrong)} wrong')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
