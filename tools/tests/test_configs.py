# SPDX-License-Identifier: GPL-2.0
"""The odd configurations, with a make that only pretends, and clang."""

from __future__ import annotations

import shutil
import unittest
from typing import List, Optional
from unittest import mock

from dmirrorlib import cache, checks, clang, configs, packages, run, source
from dmirrorlib.configs import Config

from . import support

# A make that makes a .config of what there is, but for what KCONFIG names.
MAKE = '''
for word; do
    case "$word" in O=*) out="${word#O=}" ;; esac
done
case "$*" in
*olddefconfig*) [ -z "$LOSE" ] || sed -i "/$LOSE/d" "$out/.config"
    echo "$GIVE" >> "$out/.config" ;;
*prepare*) exit "${PREPARE:-0}" ;;
*W=1*) echo "$SAY" >&2; find "$out" -name '*.o' >> "$LOG"
    [ -z "$SAY" ] || exit 2
    mkdir -p "$out/drivers/dmirror/kunit"
    [ -n "$NOTHING" ] || touch "$out/drivers/dmirror/kunit/new.o" ;;
esac
'''


class Compiled(support.TempCase):
    """One configuration."""

    def setUp(self) -> None:
        super().setUp()
        self.program('make', MAKE)
        self.program('ccache', '')
        self.top = support.make_tree(self.tmp / 'linux')
        self.tree = source.Tree(self.top, '7.3.4', False)
        patch = mock.patch.object(run, 'ensure_graft')
        patch.start()
        self.addCleanup(patch.stop)
        self.config = Config('odd', 'um', ('A=y', 'B=n', 'C=12'), ('D=m',),
                             ('SUBARCH=i386',))

    def complaints(self, **env: str) -> List[str]:
        """Compile; return the complaints."""
        env.setdefault('GIVE', 'CONFIG_D=m')
        with mock.patch.dict('os.environ', env):
            return configs.compiled(self.tree, self.config).complaints

    def test_good(self) -> None:
        self.assertEqual(self.complaints(), [])
        calls = self.logged('make')
        self.assertEqual(len(calls), 3)
        for call in calls:
            self.assertIn('ARCH=um O=', call)
            self.assertIn('SUBARCH=i386 CC=ccache gcc', call)
        self.assertTrue(calls[2].endswith('W=1 drivers/dmirror/'))
        folder, = cache.sub('build').iterdir()
        self.assertIn('config-um-i386', folder.name)
        self.assertEqual(
            (folder / '.config').read_text(),
            'CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=12\nCONFIG_D=m\n')

    def test_option_that_kconfig_drops(self) -> None:
        self.assertEqual(self.complaints(LOSE='CONFIG_C'), [
            'CONFIG_C is n instead of 12 once Kconfig is done.'])
        self.assertEqual(self.complaints(GIVE='CONFIG_B=y'), [
            'CONFIG_B is y instead of n once Kconfig is done.',
            'CONFIG_D is n instead of m once Kconfig is done.'])

    def test_warnings_are_complaints(self) -> None:
        path = f'{self.top}/drivers/dmirror/drivers/dmirror/a.c'
        self.assertEqual(self.complaints(SAY=f'{path}:1:2: warning: x'),
                         ['drivers/dmirror/a.c:1:2: warning: x'])

    def test_old_objects_are_compiled_again(self) -> None:
        self.complaints()
        folder, = cache.sub('build').iterdir()
        self.assertEqual(len(list(folder.glob('**/*.o'))), 1)
        self.complaints()
        self.assertNotIn('new.o', self.log.read_text())

    def test_nothing_compiled(self) -> None:
        self.assertEqual(self.complaints(NOTHING='1'),
                         ['Nothing was compiled.'])

    def test_what_cannot_be_prepared(self) -> None:
        for env in ({'PREPARE': '2'}, {'SAY': 'no such target'}):
            said = self.complaints(**env)
            self.assertIn('odd could not be compiled', said[0])
        self.assertEqual(said[-1], 'no such target')

    def test_what_the_machine_lacks(self) -> None:
        self.config = Config('odd', 'um', ('A=y',), needs=('i386',))
        with mock.patch.object(packages, '_header_found',
                               return_value=False):
            said = self.complaints()
        self.assertIn('apt-get install', said[0])
        self.assertIn('gcc-multilib', ' '.join(said))
        self.assertEqual(self.logged('make'), [])


class Table(unittest.TestCase):
    """The table itself."""

    def test_is_sound(self) -> None:
        for config in configs.CONFIGS.values():
            with self.subTest(config.name):
                names = [o.partition('=')[0] for o in
                         (*config.options, *config.gives)]
                self.assertEqual(len(names), len(set(names)))
                self.assertEqual('clang' in config.needs, config.llvm)
                for option in (*config.options, *config.gives):
                    self.assertRegex(option, r'^[A-Z0-9_]+=[ymn]$')

    def test_what_has_to_be_there(self) -> None:
        names = configs.all_checks()
        for word in ('no-thp', 'no-device-private', 'no-smp', 'hugetlbfs',
                     'modules', 'driver-module', 'all-tests', 'clang',
                     'i386'):
            self.assertTrue(any(word in name for name in names), word)
        self.assertLess(set(configs.all_checks(True)), set(names))
        self.assertFalse(set(names) & set(checks.all_checks()))

    def test_needs(self) -> None:
        self.assertEqual(configs.needs(['checkpatch', 'config-um-flatmem']),
                         [])
        self.assertEqual(configs.needs(['config-um-clang']), ['clang'])
        packages.missing(configs.needs(list(configs.all_checks())))

    def test_what_shares_a_directory_is_built_alike(self) -> None:
        for config in configs.CONFIGS.values():
            for other in configs.CONFIGS.values():
                if config.place == other.place:
                    self.assertEqual(
                        (config.arch, config.make, config.llvm),
                        (other.arch, other.make, other.llvm))


class Clang(support.TempCase):
    """Which clang is taken."""

    def setUp(self) -> None:
        super().setUp()
        self.tree = support.make_tree(self.tmp / 'linux')
        script = self.tree / 'scripts/min-tool-version.sh'
        script.parent.mkdir()
        script.write_text('[ "$1" = llvm ] && echo 17.0.1\n')
        patch = mock.patch.dict('os.environ', PATH=f'{self.bin}:/bin')
        patch.start()
        self.addCleanup(patch.stop)

    def install(self, version: str, suffix: str = '') -> None:
        """Install fake programs of LLVM."""
        self.program(f'clang{suffix}',
                     f'echo "Debian clang version {version} (x)"')
        for name in ('ld.lld', 'llvm-nm', 'llvm-objcopy'):
            self.program(f'{name}{suffix}', '')

    def words(self) -> List[str]:
        """Return what make gets, of what is installed here."""
        with mock.patch.object(shutil, 'which', self.which):
            return clang.make_words(self.tree)

    def which(self, name: str) -> Optional[str]:
        """Look only among the fake programs."""
        path = self.bin / name
        return str(path) if path.exists() else None

    def test_plain_one_comes_first(self) -> None:
        self.install('19.1.7', '-19')
        self.assertEqual(self.words(), ['LLVM=-19'])
        self.install('17.0.1')
        self.assertEqual(self.words(), ['LLVM=1'])

    def test_newest_of_those_with_numbers(self) -> None:
        self.install('14.0.6')
        self.install('18.1.8', '-18')
        self.install('19.1.7', '-19')
        self.program('ccache', '')
        self.assertEqual(self.words(), [
            'LLVM=-19', 'CC=ccache clang-19', 'HOSTCC=ccache clang-19'])

    def test_too_old(self) -> None:
        self.install('14.0.6')
        self.install('17.0.0', '-17')
        with self.fails('clang 17.0.0 is too old', 'needs 17.0.1 or newer',
                        'clang-19 lld-19 llvm-19'):
            self.words()

    def test_none(self) -> None:
        with self.fails('there is no clang with ld.lld', 'install clang-19'):
            self.words()
        self.program('clang', 'echo "clang version 20.0.0"')    # no linker
        with self.fails('there is no clang with ld.lld'):
            self.words()


if __name__ == '__main__':
    unittest.main()
