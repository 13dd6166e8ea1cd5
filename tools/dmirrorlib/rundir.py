# SPDX-License-Identifier: GPL-2.0
"""The folder that keeps all there is to know about one run of one tier.

Its files:
  console.log      the raw console; console-2.log ... for further boots
  results.ktap     the merged results as one KTAP document
  results.json     the same and the verdict
  results.xml      the same as JUnit XML
  config           the kernel's .config
  build.log        what kunit.py and make printed
  commands.txt     every command line that was run
  versions.txt     kernel, compiler, QEMU, project revision, seed ...

results.json is described in Documentation/validation.rst, and store.py reads
it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from . import cache, exporters, ktap, proc, store
from .verdict import Verdict

KEEP = 20           # run folders kept per tier
KEEP_ALL = 200      # and of all tiers, however young they are
YOUNG = 86400       # seconds during which one is kept otherwise

_NAME = re.compile(r'(\d{8}T\d{6}Z)-(.+?)-(\d+)(?:-(\d+))?')


class RunDir:
    """A new run folder.

    Args:
        tier: the tier's name, or what else is kept there.
        before: command lines that belong to this run, but were run before.
        path: the folder to use, new, which is then nobody's latest; None
            makes one in the cache.
    """

    def __init__(self, tier: str, before: Sequence[str] = (),
                 path: Optional[Path] = None) -> None:
        self._runs = cache.sub('runs')
        self._tier = tier
        self._boots = 0
        self._before = list(before)
        self._commands = len(proc.command_log())
        self._began = time.time()
        if path:
            self.path = path
            self.path.mkdir(parents=True)
            return
        stamp = time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(self._began))
        base = f'{stamp}-{tier}-{os.getpid()}'
        self.path = self._runs / base
        number = 1
        while self.path.exists():
            number += 1
            self.path = self._runs / f'{base}-{number}'
        self.path.mkdir()
        self._point_latest()
        self._prune()

    def console(self) -> Path:
        """Return the file for the console of the next boot."""
        self._boots += 1
        number = f'-{self._boots}' if self._boots > 1 else ''
        return self.path / f'console{number}.log'

    def keep(self, source: Path, name: str) -> None:
        """Copy a file into the folder, if it exists."""
        if source.exists():
            shutil.copyfile(source, self.path / name)

    def write_commands(self) -> None:
        """Save the command lines of the build and of all boots."""
        lines = self._before + proc.command_log()[self._commands:]
        (self.path / 'commands.txt').write_text(
            ''.join(line + '\n' for line in lines))

    def write_results(self, verdict: Verdict,
                      versions: Dict[str, str]) -> Dict[str, Any]:
        """Save the verdict.

        Args:
            verdict: what to save.
            versions: the lines of versions.txt.

        Returns:
            What results.json holds.
        """
        (self.path / 'results.ktap').write_text(ktap.render(
            ktap.with_verdict(verdict.cases,
                              [] if verdict.green else verdict.reasons)))
        (self.path / 'versions.txt').write_text(
            ''.join(f'{k}: {v}\n' for k, v in versions.items()))
        data: Dict[str, Any] = {'format': 'dmirror-results', 'version': 1}
        data.update(verdict.as_json())
        data['began'] = time.strftime('%Y-%m-%dT%H:%M:%SZ',
                                      time.gmtime(self._began))
        data['versions'] = versions
        data['folder'] = str(self.path)
        (self.path / 'results.json').write_text(
            json.dumps(data, indent=1) + '\n')
        (self.path / 'results.xml').write_text(
            exporters.as_junit([store.from_data(data)]))
        return data

    def _point_latest(self) -> None:
        """Make latest-<tier> point here."""
        link = self._runs / f'latest-{self._tier}'
        fresh = self._runs / f'.latest-{self._tier}-{os.getpid()}'
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(self.path.name)
        fresh.replace(link)

    def _prune(self) -> None:
        """Remove old folders: see KEEP, YOUNG and KEEP_ALL. What a latest-
        link names stays, and what this process made."""
        linked = {p.resolve() for p in self._runs.glob('latest-*')}
        young = time.strftime('%Y%m%dT%H%M%SZ',
                              time.gmtime(time.time() - YOUNG))
        folders: List[Tuple[str, int, str, str, Path]] = []
        for path in self._runs.iterdir():
            match = _NAME.fullmatch(path.name)
            if match and path.is_dir() and not path.is_symlink():
                stamp, tier, pid, number = match.groups()
                folders.append((stamp, int(number or 1), tier, pid, path))
        folders.sort(key=lambda f: f[:2], reverse=True)     # newest first
        seen: Dict[str, int] = {}
        for place, (stamp, _, tier, pid, path) in enumerate(folders):
            seen[tier] = seen.get(tier, 0) + 1
            old = seen[tier] > KEEP and stamp < young
            if (old or place >= KEEP_ALL) and pid != str(os.getpid()) \
                    and path.resolve() not in linked:
                shutil.rmtree(path, ignore_errors=True)
