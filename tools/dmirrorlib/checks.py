# SPDX-License-Identifier: GPL-2.0
"""Static checks of the project's own files, each one program's judgement."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Sequence

from . import build, cache, proc, run, tiers
from .errors import ToolError
from .source import Tree, tree_lock

PROJECT = run.PROJECT

# checkpatch types that are switched off, and why.
CHECKPATCH_EXCEPTIONS: Dict[str, str] = {
    'FILE_PATH_CHANGES': 'MAINTAINERS is the tree\'s',
    'UNCOMMENTED_DEFINITION': 'locks are explained in the kernel-doc of '
                              'their struct',
    'UNKNOWN_COMMIT_ID': 'the commits that patches name are the kernel\'s, '
                         'and git knows this project only',
    'BIT_MACRO': 'uapi.h is used by programs, which have no BIT_ULL()',
    'PREFER_DEFINED_ATTRIBUTE_MACRO': 'nor have they __printf(), unless they '
                                      'define it',
}

# And for files of trace events alone, which are no ordinary C.
TRACE_EXCEPTIONS: Dict[str, str] = {
    'PARENTHESIS_ALIGNMENT': 'the parts of an event are indented by a tab',
    'OPEN_ENDED_LINE': 'so are the fields of one',
}


@dataclass
class Outcome:
    """What one check said: its name, and its complaints or none."""
    name: str
    complaints: List[str]


def all_checks() -> Dict[str, Callable[[Tree], Outcome]]:
    """Return the checks by name, the quick ones first."""
    return {
        'python-types': python_types,
        'shellcheck': shellcheck,
        'checkpatch': checkpatch,
        'sparse-um': lambda tree: compiled(tree, 'um'),
        'sparse-x86_64': lambda tree: compiled(tree, 'x86_64'),
    }


def project_files(*endings: str) -> List[Path]:
    """Return the project's files with one of the given name endings.

    Args:
        endings: such as '.c'; a name without a dot has to match whole.
    """
    found = []
    for folder, names, files in os.walk(PROJECT):
        names[:] = sorted(n for n in names
                          if n not in ('.git', '__pycache__', '.mypy_cache'))
        for file in sorted(files):
            if any(file.endswith(e) if e.startswith('.') else file == e
                   for e in endings):
                found.append(Path(folder) / file)
    return found


def _relative(text: str) -> str:
    """Make the project's paths in a message relative and so clickable."""
    return text.replace(f'{PROJECT}/', '')


def python_types(tree: Tree) -> Outcome:
    """Run mypy in strict mode over the tools and their tests."""
    del tree
    tools = PROJECT / 'tools'
    result = proc.run(
        ['mypy', '--strict', '--python-version', '3.9', '--no-error-summary',
         '--cache-dir', str(cache.sub('state') / 'mypy'),
         'dmirrorlib', 'tests'], cwd=tools)
    lines = (result.stdout + result.stderr).splitlines()
    bad = [f'tools/{line}' for line in lines if ': error:' in line]
    if result.returncode and not bad:
        bad = lines or [f'mypy ended with {result.returncode}']
    return Outcome('python-types', bad)


def shellcheck(tree: Tree) -> Outcome:
    """Run shellcheck over every shell script."""
    del tree
    scripts = project_files('.sh') + [PROJECT / '.ci' / 'run']
    result = proc.run(['shellcheck', '--format=gcc', *map(str, scripts)])
    bad = [_relative(line) for line in result.stdout.splitlines()]
    if result.returncode and not bad:
        bad = result.stderr.splitlines()
    return Outcome('shellcheck', bad)


def checkpatch(tree: Tree) -> Outcome:
    """Run the tree's checkpatch.pl --strict over the C files and patches."""
    traces = project_files('trace.h')
    files = [path for path in project_files('.c', '.h')
             if path not in traces]
    bad = _checkpatch(tree, ['--file', *map(str, files)])
    bad += _checkpatch(tree, ['--file', *map(str, traces)],
                       list(TRACE_EXCEPTIONS))
    found = sorted((PROJECT / 'tools' / 'patches').glob('*/*.patch'))
    if found:
        bad += _checkpatch(tree, list(map(str, found)))
    return Outcome('checkpatch', bad)


def _checkpatch(tree: Tree, what: List[str],
                but: Sequence[str] = ()) -> List[str]:
    """Return what checkpatch.pl has to say of patches, or --file of files.

    Args:
        tree: the kernel tree, which has it.
        what: its arguments.
        but: more types that are switched off.
    """
    result = proc.run(
        ['perl', str(tree.path / 'scripts' / 'checkpatch.pl'),
         f'--root={tree.path}', '--strict', '--terse', '--quiet',
         '--no-summary', '--show-types', '--ignore',
         ','.join((*CHECKPATCH_EXCEPTIONS, *but)), *what])
    bad = [_relative(line) for line in result.stdout.splitlines()
           if line.strip()]
    if not bad and result.returncode:
        bad = result.stderr.splitlines() or ['checkpatch.pl failed']
    return bad


_WARNING = re.compile(r'(?:warning|error): ')


def compiled(tree: Tree, tier_name: str) -> Outcome:
    """Compile the project's C with W=1 under sparse (C=2), for one tier.

    A build directory of its own is kept for it, where nothing but the
    project is compiled: W=1 is a different command line, so in a tier's
    directory it would make the next run compile everything again.
    """
    tier = tiers.get(tier_name)
    folder = cache.sub('build') / (run.build_dir(tier, tree).name + '-check')
    with cache.lock(f'build-{folder.name}', f'checking {tier_name}'):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / run.OWNER_FILE).write_text(f'{PROJECT}\n')
        with tree_lock(tree):
            run.ensure_graft(tree, False)
            result = _compile(tree, tier, folder)
    return Outcome(f'sparse-{tier_name}', warnings_of(tree, result))


def warnings_of(tree: Tree, said: str) -> List[str]:
    """Return the warnings and errors in what compilers said, each once.

    Args:
        tree: the kernel tree.
        said: their output.
    """
    lines = [_relative(line.replace(f'{tree.path}/{tiers.GRAFT}/', ''))
             for line in said.splitlines() if _WARNING.search(line)]
    return list(dict.fromkeys(lines))


def forget_objects(folder: Path) -> None:
    """Remove the project's objects, so that all of them are compiled: make
    would not repeat the warnings of one that is there.

    Args:
        folder: the build directory.
    """
    for path in (folder / tiers.GRAFT).glob('**/*.o'):
        path.unlink()


def _compile(tree: Tree, tier: tiers.Tier, folder: Path) -> str:
    """Configure, prepare and compile; return what the compilers said."""
    config = build.command(tree.path, folder, tier, build.default_jobs(),
                           ['CONFIG_DMIRROR_KUNIT_BROKEN=y'])
    config[2] = 'config'
    config = [a for a in config if not a.startswith('--jobs')]
    steps = [
        config,
        ['make', f'ARCH={tier.arch}', f'O={folder}',
         f'-j{build.default_jobs()}', *build.compilers(), 'prepare'],
        ['make', f'ARCH={tier.arch}', f'O={folder}',
         f'-j{build.default_jobs()}', *build.compilers(), 'C=2', 'W=1',
         'CHECK=sparse', f'{tiers.GRAFT}/'],
    ]
    said = ''
    build.tell_ignored()
    forget_objects(folder)
    for step in steps:
        result = proc.run_build(step, tree.path)
        said = result.stderr
        if result.returncode:
            if step is steps[-1] and _WARNING.search(said):
                return said
            raise ToolError(
                f'the check of tier {tier.name} could not be compiled; the '
                'last lines of make are below.',
                detail='\n'.join((result.stdout + said).splitlines()[-12:]))
    return said

