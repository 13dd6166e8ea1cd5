# SPDX-License-Identifier: GPL-2.0
"""Tests of what is missing and how it is installed, with a fake apt-get."""

from __future__ import annotations

import os
import shutil
import time
import unittest
from unittest import mock

from dmirrorlib import cache, packages
from dmirrorlib.errors import ToolError
from dmirrorlib.packages import Item

from .support import TempCase

UM, X86_64 = frozenset(('um',)), frozenset(('x86_64',))

ITEMS = (
    Item('frob', 'frob-pkg', UM, 'no frobbing', program='dmt-frob'),
    Item('twist', 'twist-pkg', X86_64, 'no twist', program='dmt-twist'),
    Item('speed', 'speed-pkg', UM, 'all is slow', program='dmt-speed',
         required=False),
)

# Installs PKG as the program dmt-PKG, unless it is in $BROKEN.
APT = r'''
case "$*" in *install*) ;; *) exit 0 ;; esac
for word; do
    case $word in *-pkg)
        case " $BROKEN " in *" $word "*)
            echo "E: Unable to locate package $word" >&2; exit 100 ;; esac
        printf '#!/bin/sh\n' > "$BIN/dmt-${word%-pkg}"
        chmod +x "$BIN/dmt-${word%-pkg}" ;;
    esac
done'''

ENSURE = '''
from unittest import mock
from dmirrorlib import packages
from tests import test_packages
with mock.patch.object(packages, 'ITEMS', test_packages.ITEMS):
    packages.ensure(['um'])
'''


class Ensure(TempCase):
    """What ensure() does about missing things."""

    def setUp(self) -> None:
        super().setUp()
        os.environ['BIN'] = str(self.bin)
        self.program('apt-get', APT)
        # As root, and with fresh lists, unless a case says otherwise.
        self.lists = self.tmp / 'lists'
        self.lists.mkdir()
        (self.lists / 'x_Packages.lz4').touch()
        for target, name, value in ((packages, 'ITEMS', ITEMS),
                                    (packages, 'LISTS', self.lists),
                                    (os, 'geteuid', lambda: 0)):
            patch = mock.patch.object(target, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def apt_verbs(self) -> 'list[str]':
        """Return what apt-get was asked for, in order."""
        return ['update' if ' update' in line else 'install'
                for line in self.logged('apt-get')]

    def test_missing_is_per_tier(self) -> None:
        names = [i.name for i in packages.missing(['um'])]
        self.assertEqual(names, ['frob', 'speed'])
        names = [i.name for i in packages.missing(['x86_64', 'um'])]
        self.assertEqual(names, ['frob', 'twist', 'speed'])
        with self.assertRaises(ValueError):
            packages.missing(['arm'])

    def test_installs_what_the_tier_needs(self) -> None:
        packages.ensure(['um'])
        self.assertEqual(packages.missing(['um']), [])
        self.assertEqual(self.apt_verbs(), ['install', 'install'])
        line = self.logged('apt-get')[0]
        self.assertIn('--no-install-recommends', line)
        self.assertIn('DPkg::Lock::Timeout=', line)
        self.assertNotIn('twist-pkg', line)
        self.assertNotIn('speed-pkg', line)

    def test_nothing_missing_asks_nobody(self) -> None:
        packages.ensure(['um'])
        self.log.write_text('')
        self.program('sudo', 'exit 1')
        with mock.patch.object(os, 'geteuid', lambda: 1000):
            packages.ensure(['um'])
        self.assertEqual(self.log.read_text(), '')

    def test_old_lists_are_updated_first(self) -> None:
        old = time.time() - 48 * 3600
        os.utime(self.lists, (old, old))
        packages.ensure(['um'])
        self.assertEqual(self.apt_verbs()[:2], ['update', 'install'])

    def test_no_lists_are_updated_first(self) -> None:
        (self.lists / 'x_Packages.lz4').unlink()
        packages.ensure(['um'])
        self.assertEqual(self.apt_verbs()[:2], ['update', 'install'])

    def test_failure_updates_and_tries_again(self) -> None:
        self.program('apt-get', f'''
case "$*" in *update*) touch {self.tmp}/updated; exit 0 ;; esac
[ -e {self.tmp}/updated ] || exit 100
{APT}''')
        packages.ensure(['um'])
        self.assertEqual(self.apt_verbs()[:3],
                         ['install', 'update', 'install'])
        self.assertEqual(packages.missing(['um']), [])

    def test_failure_has_the_command_and_apts_words(self) -> None:
        os.environ['BROKEN'] = 'frob-pkg'
        with self.assertRaises(ToolError) as caught:
            packages.ensure(['um'])
        self.assertIn('apt-get install -y --no-install-recommends frob-pkg',
                      caught.exception.message)
        self.assertIn('Unable to locate package frob-pkg',
                      caught.exception.detail)
        self.assertEqual(caught.exception.code, 3)

    def test_apt_says_yes_and_installs_nothing(self) -> None:
        self.program('apt-get', 'true')
        with self.fails('frob is missing', 'still not found'):
            packages.ensure(['um'])

    def test_optional_never_fails(self) -> None:
        os.environ['BROKEN'] = 'speed-pkg'
        packages.ensure(['um'])
        warning = [line for line in self.said if 'warning' in line]
        self.assertEqual(len(warning), 1)
        self.assertIn('speed is missing: all is slow', warning[0])
        # And it is not tried again at each run.
        self.log.write_text('')
        packages.ensure(['um'])
        self.assertEqual(self.log.read_text(), '')

    def test_waits_for_the_lock_of_the_lists(self) -> None:
        (self.lists / 'x_Packages.lz4').unlink()
        self.program('apt-get', f'''
case "$*" in *update*)
    [ -e {self.tmp}/once ] && exit 0
    touch {self.tmp}/once
    echo 'E: Could not get lock /var/lib/apt/lists/lock.' >&2; exit 100 ;;
esac
{APT}''')
        with mock.patch.object(time, 'sleep'):
            packages.ensure(['um'])
        self.assertEqual(self.apt_verbs()[:3],
                         ['update', 'update', 'install'])

    def test_sudo_without_password(self) -> None:
        self.program('sudo', 'shift; exec "$@"')
        with mock.patch.object(os, 'geteuid', lambda: 1000):
            packages.ensure(['um'])
        self.assertEqual(packages.missing(['um']), [])
        self.assertTrue(self.logged('sudo -n env DEBIAN_FRONTEND='))

    def test_no_right_to_install(self) -> None:
        self.program('sudo', 'exit 1')
        with mock.patch.object(os, 'geteuid', lambda: 1000):
            with self.fails('frob and twist are missing',
                            'run  sudo apt-get install -y '
                            '--no-install-recommends frob-pkg twist-pkg'):
                packages.ensure(['um', 'x86_64'])
        self.assertEqual(self.logged('apt-get'), [])
        self.assertIn('all is slow', self.said[0])

    def test_only_optional_and_no_right_to_install(self) -> None:
        self.program('dmt-frob', '')
        self.program('sudo', 'exit 1')
        with mock.patch.object(os, 'geteuid', lambda: 1000):
            packages.ensure(['um'])
        self.assertIn('all is slow', self.said[0])

    def test_no_apt(self) -> None:
        with mock.patch.dict(os.environ, PATH=str(self.tmp)), \
                mock.patch.object(packages, 'which', return_value=False):
            with self.fails('frob is missing', 'package manager'):
                packages.ensure(['um'])

    def test_two_at_once_install_once(self) -> None:
        # Root's rights are real or not here, so let sudo be there too.
        self.program('sudo', 'shift; exec "$@"')
        self.program('apt-get', f'sleep 0.3\n{APT}')
        runs = [self.python(ENSURE) for _ in range(2)]
        for run in runs:
            _, err = run.communicate(timeout=30)
            self.assertEqual(run.returncode, 0, err)
        installs = [line for line in self.logged('apt-get')
                    if 'frob-pkg' in line]
        self.assertEqual(len(installs), 1)


class Table(TempCase):
    """The table itself and how things are detected."""

    def test_is_sound(self) -> None:
        for item in packages.ITEMS:
            self.assertTrue(item.needs <= set(packages.TIERS), item)
            self.assertEqual(bool(item.program) + bool(item.header), 1, item)
            self.assertRegex(item.package, r'^[a-z0-9.+-]+$')
            self.assertTrue(item.cost, item)

    def test_programs_beside_path(self) -> None:
        self.assertFalse(packages.which('dmt-frob'))
        self.program('dmt-frob', '')
        self.assertTrue(packages.which('dmt-frob'))

    @unittest.skipUnless(shutil.which('gcc'), 'needs gcc')
    def test_headers_by_the_compiler(self) -> None:
        self.assertTrue(Item('', '', UM, '', header='stddef.h').present())
        self.assertFalse(Item('', '', UM, '', header='dmt/no.h').present())

    def test_headers_without_a_compiler(self) -> None:
        with mock.patch.object(packages, 'which', return_value=False):
            self.assertFalse(Item('', '', UM, '',
                                  header='dmt/no.h').present())

    def test_command_says_sudo_where_needed(self) -> None:
        with mock.patch.object(os, 'geteuid', lambda: 0):
            self.assertEqual(packages.command(ITEMS[:1]),
                             'apt-get install -y --no-install-recommends '
                             'frob-pkg')
        with mock.patch.object(os, 'geteuid', lambda: 1000):
            self.assertTrue(packages.command(ITEMS).startswith('sudo apt'))

    def test_lock_is_in_the_cache(self) -> None:
        self.assertTrue(str(cache.sub('state')).startswith(str(self.tmp)))


if __name__ == '__main__':
    unittest.main()
