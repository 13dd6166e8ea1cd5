# SPDX-License-Identifier: GPL-2.0
"""Kernel trees from Debian's linux-source-X.Y packages.

apt is used with a configuration, package lists and downloads of our own, so
that nothing of the system's apt changes and no root is needed. Which mirror
to ask is taken from the system's apt; whether to trust what it sends is left
to apt and the Debian archive's keys.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional

from . import cache, proc, say
from .errors import ToolError

SUITE = 'trixie-backports'

# The first that exists is used; with none of them apt takes its own default.
KEYRINGS = (
    '/usr/share/keyrings/debian-archive-keyring.gpg',
    '/usr/share/keyrings/debian-archive-keyring.pgp',
    '/usr/share/keyrings/debian-archive-trixie-automatic.gpg',
    '/etc/apt/trusted.gpg.d/debian-archive-trixie-automatic.asc',
)

_SOURCE = re.compile(r'linux-source-(\d+\.\d+)$')


@dataclass(frozen=True)
class Package:
    """One version of a package that apt can download."""
    name: str     # linux-source-7.3
    version: str  # Debian's, 7.3.4-1~bpo13+1

    @property
    def kernel(self) -> str:
        """The kernel's major.minor, as in '7.3'."""
        return self.name[len('linux-source-'):]


def why_not() -> Optional[str]:
    """Return why kernels cannot come from apt here, or None if they can.

    Asks no network: a mirror that does not answer is found out later.
    """
    for program in ('apt-get', 'apt-cache', 'dpkg-deb', 'xz'):
        if not shutil.which(program):
            return f'{program} is not installed'
    return None if sites() else 'apt is not configured with a Debian archive'


def sites() -> List[str]:
    """Return the addresses apt fetches Debian itself from, best first."""
    fields = '$(SITE)\t$(ORIGIN)\t$(LABEL)\t$(RELEASE)'
    argv = ['apt-get', 'indextargets', '--format', fields]
    text = proc.run(argv, env=_ENV).stdout
    if not text.strip():
        # Before the first `apt-get update` only the source entries are known.
        text = proc.run(argv + ['--no-release-info'], env=_ENV).stdout
    ranked: Dict[str, int] = {}
    for line in text.splitlines():
        site, origin, label, release = (line.split('\t') + [''] * 4)[:4]
        if not re.match(r'[a-z+]+:', site) or site.startswith('cdrom:'):
            continue
        if origin == 'Debian' and label in ('Debian', 'Debian Backports'):
            rank = 0
        elif origin.startswith('$') and 'security' not in release:
            rank = 1
        else:
            continue
        ranked[site] = min(rank, ranked.get(site, rank))
    return sorted(ranked, key=lambda site: ranked[site])


def available() -> List[Package]:
    """Return every linux-source-X.Y on offer, the newest of each first.

    Raises:
        ToolError: apt is missing, or cannot reach or verify the archive.
    """
    with cache.lock('apt', 'reading the package lists'):
        return _available()


def _available() -> List[Package]:
    """Return available(); the caller holds the lock on our apt state."""
    reason = why_not()
    if reason:
        raise ToolError(f'{reason}.')
    errors = []
    for site in sites():
        try:
            return _available_at(site)
        except cache.DiskError:
            raise
        except ToolError as err:
            errors.append(err)
    raise errors[0]


def fetch(kernel: str, into: Path) -> str:
    """Download, verify and unpack the newest package of a kernel.

    Args:
        kernel: major.minor, as in '7.3'.
        into: an empty directory that becomes the top of the tree.

    Returns:
        What was unpacked, as in 'linux-source-7.3 7.3.4-1~bpo13+1'.

    Raises:
        ToolError: apt cannot provide this kernel.
        DiskError: the disk is full or cannot be written.
    """
    with cache.lock('apt', f'getting Linux {kernel} through apt'):
        found = [p for p in _available() if p.kernel == kernel]
        if not found:
            raise ToolError(f'the archive has no linux-source-{kernel} in '
                            f'{SUITE}.')
        package = found[0]
        say.say(f'fetching {package.name} {package.version} through apt')
        deb = _download(package)
        say.say(f'unpacking it into {cache.root()}')
        _unpack(package, deb, into)
        deb.unlink()
    return f'{package.name} {package.version}'


_ENV = {'LC_ALL': 'C'}


def _available_at(site: str) -> List[Package]:
    """Return available() for one mirror."""
    conf = _configure(site)
    _run(['apt-get', '-c', str(conf), '-q', 'update'],
         'reading the package lists')
    names = proc.run(['apt-cache', '-c', str(conf), 'pkgnames',
                      'linux-source-'], env=_ENV).stdout.split()
    wanted = sorted(filter(_SOURCE.match, names),
                    key=lambda n: [int(d) for d in re.findall(r'\d+', n)],
                    reverse=True)
    if not wanted:
        return []
    # madison lists the versions of a package newest first.
    rows = proc.run(['apt-cache', '-c', str(conf), 'madison', *wanted],
                    env=_ENV).stdout.splitlines()
    cells = [[c.strip() for c in row.split('|')] for row in rows]
    packages = [Package(c[0], c[1]) for c in cells if len(c) == 3]
    return list(dict.fromkeys(packages))


def _download(package: Package) -> Path:
    """Return the package's file, verified by apt.

    apt completes a download that was interrupted and then checks the whole
    file against the signed lists; but it believes a file of the right size.
    So what an earlier run left loses its end, and apt has to complete it.
    """
    folder = cache.sub('downloads') / 'apt'
    with cache.explain(f'downloading {package.name}'):
        folder.mkdir(exist_ok=True)
        for old in folder.glob('*.deb'):
            if old.name == _deb_name(package):
                os.truncate(old, old.stat().st_size * 9 // 10)
            else:
                old.unlink()
    _run(['apt-get', '-c', str(_state() / 'apt.conf'), '-q', 'download',
          f'{package.name}={package.version}'],
         f'downloading {package.name}', folder)
    deb = folder / _deb_name(package)
    if not deb.is_file():
        raise ToolError(f'apt-get download left no {deb.name}.')
    return deb


def _deb_name(package: Package) -> str:
    """Return the name apt gives a downloaded package (':' is escaped)."""
    return f'{package.name}_{package.version.replace(":", "%3a")}_all.deb'


def _unpack(package: Package, deb: Path, into: Path) -> None:
    """Unpack the tree inside a package, with no copy of the tarball."""
    member = f'./usr/src/{package.name}.tar.xz'
    script = ('dpkg-deb --fsys-tarfile "$1" | tar -xO "$2" | '
              'tar -xJ --strip-components=1 --no-same-owner -C "$3"')
    _run(['bash', '-o', 'pipefail', '-c', script, 'unpack', str(deb), member,
          str(into)], f'unpacking {package.name}')


def _state() -> Path:
    """Return the directory of our own apt state."""
    return cache.sub('state') / 'apt'


def _configure(site: str) -> Path:
    """Write apt's configuration for one mirror and return its path."""
    state = _state()
    keyring = next((k for k in KEYRINGS if os.path.exists(k)), None)
    source = ['Types: deb', f'URIs: {site}', f'Suites: {SUITE}',
              'Components: main']
    if keyring:
        source.append(f'Signed-By: {keyring}')
    with cache.explain('writing the configuration of apt'):
        for name in ('sources', 'lists/partial', 'cache/archives/partial'):
            (state / name).mkdir(parents=True, exist_ok=True)
        (state / 'sources' / 'debian.sources').write_text(
            '\n'.join(source) + '\n')
        conf = state / 'apt.conf'
        conf.write_text(_CONF.format(state=state))
    return conf


# Read after the system's configuration, which keeps proxies and credentials:
# hooks, pins and a default release of the system's are not for us, and no
# setting of the system's may make apt accept what is not signed.
_CONF = '''\
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "{state}/sources";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State::Lists "{state}/lists";
Dir::Cache "{state}/cache";
#clear APT::Default-Release;
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear Acquire::IndexTargets::deb::Translations;
#clear Acquire::IndexTargets::deb::DEP-11;
#clear Acquire::IndexTargets::deb::Contents-deb;
APT::Update::Error-Mode "any";
APT::Get::AllowUnauthenticated "false";
APT::Sandbox::User "root";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::Languages "none";
Acquire::Retries "2";
'''


def _run(argv: List[str], doing: str, cwd: Optional[Path] = None) -> None:
    """Run a step; its failure becomes one sentence.

    Args:
        argv: the program and its arguments.
        doing: the step in words.
        cwd: the directory to run it in.
    """
    try:
        done = proc.run(argv, cwd=cwd, env=_ENV)
    except FileNotFoundError as err:
        raise ToolError(f'{argv[0]} is not installed.') from err
    if done.returncode == 0:
        return
    lines = done.stderr.strip().splitlines()
    if re.search(r'No space left|enough free space|File too large|'
                 r'Disk quota exceeded', done.stderr):
        raise cache.disk_full(doing)
    told = [ln for ln in lines if ln.startswith('E: ')] or lines
    reason = re.sub(r'^E: ', '', told[0]).rstrip('.') if told else (
        f'exit status {done.returncode}')
    raise ToolError(f'{argv[0]} failed while {doing} ({reason}).',
                    detail='\n'.join(lines[-20:]))
