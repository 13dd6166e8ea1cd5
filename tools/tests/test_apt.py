# SPDX-License-Identifier: GPL-2.0
"""Tests of kernels from apt, against an apt that only pretends."""

from __future__ import annotations

import os
import shutil
import subprocess
import unittest
from unittest import mock

from dmirrorlib import apt, cache

from .support import TempCase, fake_apt, make_deb

INDEX = '''\
http://third.invalid/x\tDocker\tDocker CE\tbookworm
cdrom:[x]/\tDebian\tDebian\tbookworm
http://mirror.invalid/debian-security\tDebian\tDebian-Security\tb-security
http://late.invalid/debian\t$(ORIGIN)\t$(LABEL)\tbookworm
http://sec.invalid/debian\t$(ORIGIN)\t$(LABEL)\tbookworm-security
http://mirror.invalid/debian\tDebian\tDebian\tbookworm
http://mirror.invalid/debian\tDebian\tDebian\tbookworm-updates
mirror+file:/etc/apt/mirrors/d.list\tDebian\tDebian\tbookworm
'''


class Sites(TempCase):
    """Which mirror is asked."""

    def test_debian_itself_comes_first(self) -> None:
        self.program('apt-get', f"cat <<'E'\n{INDEX}E")
        self.assertEqual(apt.sites(), ['http://mirror.invalid/debian',
                                       'mirror+file:/etc/apt/mirrors/d.list',
                                       'http://late.invalid/debian'])

    def test_before_the_first_update(self) -> None:
        self.program('apt-get', '''case "$*" in
*--no-release-info*)
    printf 'http://m.invalid/debian\\t$(ORIGIN)\\t$(LABEL)\\tbookworm\\n' ;;
esac''')
        self.assertEqual(apt.sites(), ['http://m.invalid/debian'])

    def test_no_debian_archive(self) -> None:
        self.program('apt-get', 'true')
        self.program('apt-cache', 'true')
        self.program('dpkg-deb', 'true')
        with self.fails('not configured with a Debian archive'):
            apt.available()

    def test_no_apt(self) -> None:
        with mock.patch.dict(os.environ, PATH=str(self.bin)):
            with self.fails('apt-get is not installed'):
                apt.available()

    def test_next_site_when_the_first_fails(self) -> None:
        fake_apt(self)
        self.program('apt-get', '''
case "$*" in
*indextargets*) printf 'http://%s.invalid/debian\\tDebian\\tDebian\\tx\\n' a b;;
*update*) conf=$2; dir=$(dirname "$conf")
    grep -q 'URIs: http://b.invalid' "$dir/sources/debian.sources" ||
    { echo 'E: cannot reach a' >&2; exit 100; };;
esac''')
        make_deb(self.tmp / 'archive')
        self.assertTrue(apt.available())


class Fetch(TempCase):
    """From the lists to an unpacked tree."""

    def setUp(self) -> None:
        super().setUp()
        self.archive = fake_apt(self)
        self.into = self.tmp / 'into'
        self.into.mkdir()

    def test_lists_the_newest_first(self) -> None:
        for kernel in ('6.12', '7.2', '7.10'):
            make_deb(self.archive, kernel, f'{kernel}.4')
        found = [(p.kernel, p.version) for p in apt.available()]
        self.assertEqual(found, [
            ('7.10', '7.10.4-1~bpo1'), ('7.10', '7.10.2-1~bpo1'),
            ('7.2', '7.2.4-1~bpo1'), ('7.2', '7.2.2-1~bpo1'),
            ('6.12', '6.12.4-1~bpo1'), ('6.12', '6.12.2-1~bpo1')])

    def test_gets_the_newest(self) -> None:
        make_deb(self.archive)
        self.assertEqual(apt.fetch('7.3', self.into),
                         'linux-source-7.3 7.3.4-1~bpo1')
        self.assertTrue((self.into / 'drivers/Kconfig').is_file())
        downloads = cache.root() / 'downloads/apt'
        self.assertEqual(os.listdir(downloads), [])

    def test_not_there(self) -> None:
        make_deb(self.archive)
        with self.fails('no linux-source-7.2', apt.SUITE):
            apt.fetch('7.2', self.into)

    def test_update_fails(self) -> None:
        self.program('apt-get', '''
case "$*" in
*indextargets*) printf 'http://m.invalid/debian\\tDebian\\tDebian\\tx\\n' ;;
*) echo 'W: something' >&2
   echo 'E: Could not resolve the mirror.' >&2; exit 100 ;;
esac''')
        with self.fails('reading the package lists',
                        '(Could not resolve the mirror)'):
            apt.fetch('7.3', self.into)

    def test_disk_full_while_downloading(self) -> None:
        make_deb(self.archive)
        script = (self.bin / 'apt-get').read_text()
        self.program('apt-get', script.replace(
            'cp "', 'echo "E: write - No space left on device" >&2; exit 100;'
            ' : "'))
        with self.fails('full while downloading'):
            apt.fetch('7.3', self.into)

    def test_leftovers_are_not_believed(self) -> None:
        # apt takes a file of the right size for granted, and completes and
        # verifies a shorter one.
        folder = cache.sub('downloads') / 'apt'
        folder.mkdir()
        left = folder / 'linux-source-7.3_7.3.4-1~bpo1_all.deb'
        left.write_bytes(b'x' * 1000)
        (folder / 'linux-source-7.3_7.3.1-1_all.deb').touch()
        make_deb(self.archive)
        script = (self.bin / 'apt-get').read_text()
        self.program('apt-get', script.replace(
            'for last;', 'ls -l >> "$LOG"; for last;'))
        apt.fetch('7.3', self.into)
        listing = [ln for ln in self.log.read_text().splitlines()
                   if ln.startswith('-')]
        self.assertEqual(len(listing), 1)
        self.assertIn(' 900 ', listing[0])

    def test_damaged_package(self) -> None:
        deb = make_deb(self.archive, ballast=100_000)
        data = bytearray(deb.read_bytes())
        data[50_000:50_100] = bytes(100)
        deb.write_bytes(data)
        with self.fails('unpacking linux-source-7.3'):
            apt.fetch('7.3', self.into)

    def test_unpacking_that_ends_badly(self) -> None:
        make_deb(self.archive)
        self.program('dpkg-deb', 'cat "$2"; echo "it is torn" >&2; exit 2')
        with self.fails('unpacking linux-source-7.3', '(it is torn)'):
            apt.fetch('7.3', self.into)

    def test_truncated_package(self) -> None:
        deb = make_deb(self.archive, ballast=100_000)
        os.truncate(deb, 60_000)
        with self.fails('unpacking linux-source-7.3'):
            apt.fetch('7.3', self.into)

    def test_our_state_is_private(self) -> None:
        make_deb(self.archive)
        apt.fetch('7.3', self.into)
        for line in self.logged('apt-get'):
            if 'indextargets' not in line:
                self.assertIn(f'-c {cache.root()}/state/apt/apt.conf', line)

    @unittest.skipUnless(shutil.which('apt-config'), 'needs apt')
    def test_the_systems_settings_do_not_leak(self) -> None:
        """Read our configuration with the real apt."""
        hostile = self.tmp / 'hostile.conf'
        hostile.write_text('APT::Default-Release "none";\n'
                           'APT::Update::Post-Invoke { "touch /x"; };\n'
                           'APT::Get::AllowUnauthenticated "true";\n'
                           'Acquire::AllowInsecureRepositories "true";\n'
                           'Acquire::http::Proxy "http://proxy.invalid";\n')
        conf = apt._configure('http://mirror.invalid/debian')
        done = subprocess.run(
            ['apt-config', '-c', str(conf), 'dump'], text=True, check=True,
            stdout=subprocess.PIPE,
            env=dict(os.environ, APT_CONFIG=str(hostile)))
        dump = done.stdout
        self.assertNotIn('Default-Release "none"', dump)
        self.assertNotIn('touch /x', dump)
        self.assertIn('AllowUnauthenticated "false"', dump)
        self.assertIn('AllowInsecureRepositories "false"', dump)
        self.assertIn('proxy.invalid', dump)
        self.assertIn(f'Dir::State::lists "{cache.root()}/state', dump)


if __name__ == '__main__':
    unittest.main()
