# SPDX-License-Identifier: GPL-2.0
"""The watchdog against fake guests, and that nothing is left running."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import unittest
from pathlib import Path
from typing import List, Tuple
from unittest import mock

from dmirrorlib import guest, proc, tiers
from dmirrorlib.errors import ToolError

from . import consoles, support

OUTLIVES = '''#!/bin/sh
# Both processes ignore SIGTERM and end only by SIGKILL.
trap '' TERM
(trap '' TERM; while :; do sleep 1; done) &
echo started
while :; do sleep 1; done
'''


class GuestCase(support.TempCase):
    """A case that runs fake guests."""

    def setUp(self) -> None:
        super().setUp()
        self.sessions: List[int] = []

    def start(self, fake: str, silence: float = 5.0,
              limit: float = 20.0) -> guest.Guest:
        """Start the fake kernel."""
        kernel = consoles.fake_kernel(self.tmp / 'build')
        return self.start_argv([str(kernel), 'kunit.enable=1'], silence,
                               limit, {'FAKE': fake})

    def start_argv(self, argv: List[str], silence: float = 5.0,
                   limit: float = 20.0,
                   env: 'dict[str, str] | None' = None) -> guest.Guest:
        """Start any guest."""
        made = guest.Guest(argv, self.tmp / 'console.log', silence, limit,
                           env)
        self.sessions.append(made._proc.pid)
        self.addCleanup(self.kill_session, made._proc.pid)
        return made

    def run_it(self, made: guest.Guest) -> Tuple[List[str], guest.End]:
        """Run a guest to its end; nothing of it may be left."""
        with made:
            lines = [line.text for line in made.lines()]
        self.nothing_left()
        return lines, made.end

    @staticmethod
    def kill_session(session: int) -> None:
        """End what a failed test left."""
        for pid in proc.session_members(session):
            os.kill(pid, 9)

    def nothing_left(self) -> None:
        """No process of any guest's session exists."""
        for session in self.sessions:
            self.assertEqual(proc.session_members(session), [])
            self.assertFalse(Path(f'/proc/{session}').exists())


class Watchdog(GuestCase):
    """How guests end."""

    def test_clean(self) -> None:
        lines, end = self.run_it(self.start(''))
        self.assertEqual((end.why, end.code), ('exit', 0))
        self.assertEqual(lines[-1], 'reboot: System halted')
        self.assertEqual((self.tmp / 'console.log').read_text(),
                         '\n'.join(lines) + '\n')

    def test_exit_code_and_signal(self) -> None:
        self.assertEqual(self.run_it(self.start('boot=panic'))[1].code, 1)
        _, end = self.run_it(self.start_argv(['/bin/sh', '-c',
                                              'kill -SEGV $$']))
        self.assertEqual(end.sentence(), 'died of SIGSEGV')

    def test_silent(self) -> None:
        began = time.monotonic()
        lines, end = self.run_it(self.start('dmirror_pt.walk=hang', 0.5))
        self.assertLess(time.monotonic() - began, 4.0)
        self.assertEqual((end.why, end.killed), ('silent', False))
        self.assertIn('0.5 s', end.sentence())
        self.assertEqual(lines[-1], '    1..3')

    def test_silent_from_the_start(self) -> None:
        lines, end = self.run_it(self.start('boot=silent', 0.5))
        self.assertEqual((lines, end.why), ([], 'silent'))

    def test_ignores_sigterm(self) -> None:
        with mock.patch.object(guest, 'TERM_GRACE', 0.5):
            _, end = self.run_it(self.start(
                'ignore=term dmirror_pt.walk=hang', 0.5))
        self.assertEqual((end.why, end.killed), ('silent', True))

    def test_chatty_for_ever(self) -> None:
        _, end = self.run_it(self.start('dmirror_pt.walk=chatty', 5.0, 1.0))
        self.assertEqual((end.why, end.waited), ('limit', 1.0))

    def test_second_process_holds_the_console(self) -> None:
        _, end = self.run_it(self.start('fork=1'))
        self.assertEqual((end.why, end.code), ('exit', 0))
        self.assertLess(end.seconds, 4.0)

    def test_all_processes_are_killed(self) -> None:
        path = self.tmp / 'outlives'
        path.write_text(OUTLIVES)
        path.chmod(0o755)
        with mock.patch.object(guest, 'TERM_GRACE', 0.3):
            _, end = self.run_it(self.start_argv([str(path)], 0.5))
        self.assertEqual((end.why, end.killed), ('silent', True))

    def test_closed_console_but_running(self) -> None:
        _, end = self.run_it(self.start_argv(
            ['/bin/sh', '-c', 'exec >/dev/null 2>&1; sleep 60'], 0.5))
        self.assertEqual(end.why, 'silent')

    def test_a_slow_reader_is_no_silence(self) -> None:
        made = self.start_argv(
            ['/bin/sh', '-c', 'for i in 1 2 3 4 5 6 7 8 9; do echo $i; '
             'sleep 0.1; done'], 0.4)
        lines = []
        with made:
            for line in made.lines():
                lines.append(line.text)
                if len(lines) == 1:
                    time.sleep(1.5)
        self.assertEqual((len(lines), made.end.why), (9, 'exit'))

    def test_flood(self) -> None:
        with mock.patch.object(guest, 'FLOOD', 1 << 20):
            lines, end = self.run_it(self.start_argv(
                ['/bin/sh', '-c', 'exec yes']))
            self.assertEqual((end.why, end.sentence()), (
                'flood', 'printed more than 1 MB and was ended'))
        self.assertLessEqual((self.tmp / 'console.log').stat().st_size,
                             1 << 20)

    def test_long_lines_are_cut(self) -> None:
        lines, end = self.run_it(self.start_argv(
            [sys.executable, '-c', 'print("x" * 1000000)']))
        self.assertEqual((sum(map(len, lines)), end.why), (1000000, 'exit'))
        self.assertLess(max(map(len, lines)), 2 * guest.MAX_LINE)

    def test_console_that_cannot_be_written_starts_nothing(self) -> None:
        with mock.patch('subprocess.Popen') as started, \
                self.assertRaises(OSError):
            guest.Guest(['true'], self.tmp / 'none' / 'c', 1, 1)
        started.assert_not_called()

    def test_given_up_by_the_caller(self) -> None:
        made = self.start('dmirror_pt.walk=chatty')
        with self.assertRaises(KeyboardInterrupt), made:
            for _ in made.lines():
                raise KeyboardInterrupt
        self.assertEqual(made.end.why, 'interrupted')
        self.nothing_left()

    def test_hurry(self) -> None:
        made = self.start('shutdown=hang', 30.0, 60.0)
        with made:
            for line in made.lines():
                if 'dmirror_plan' in line.text and 'ok' in line.text:
                    made.hurry(0.3)
        self.assertEqual((made.end.why, made.end.waited), ('silent', 0.3))

    def test_odd_bytes(self) -> None:
        lines, _ = self.run_it(self.start_argv(
            ['/bin/sh', '-c', r"printf 'a\377b\r\n\nlast'"]))
        self.assertEqual(lines, ['a\\xffb', '', 'last'])
        self.assertEqual((self.tmp / 'console.log').read_bytes(),
                         b'a\xffb\r\n\nlast')

    def test_no_terminal(self) -> None:
        lines, _ = self.run_it(self.start_argv(
            ['/bin/sh', '-c', 'readlink /proc/self/fd/0; '
             'if (: </dev/tty) 2>/dev/null; then echo tty; fi']))
        self.assertEqual(lines, ['/dev/null'])

    def test_not_there(self) -> None:
        with self.fails('cannot be started', 'build it'):
            guest.Guest([str(self.tmp / 'none')], self.tmp / 'c', 1, 1)

    def test_dies_with_a_killed_tool(self) -> None:
        kernel = consoles.fake_kernel(self.tmp / 'build')
        tool = self.python(
            'import sys; from pathlib import Path; '
            'from dmirrorlib import guest\n'
            f'g = guest.Guest([{str(kernel)!r}], Path({str(self.tmp)!r}, '
            '"c"), 60, 60, {"FAKE": "dmirror_pt.walk=hang"})\n'
            'print(g._proc.pid, flush=True)\n'
            'for line in g.lines(): print(line.text, flush=True)\n')
        assert tool.stdout is not None
        pid = int(tool.stdout.readline())
        self.addCleanup(self.kill_session, pid)
        while tool.stdout.readline() != '    1..3\n':
            pass    # it must hang before the tool dies, not find it gone
        tool.kill()
        tool.wait()
        end = time.monotonic() + 5
        while proc.session_members(pid) and time.monotonic() < end:
            time.sleep(0.02)
        self.assertEqual(proc.session_members(pid), [])


class CommandLines(support.TempCase):
    """The command lines of UML and QEMU."""

    def test_uml(self) -> None:
        argv = guest.uml_argv(self.tmp, tiers.get('um'), ['a=b'],
                              Path('/scratch'))
        self.assertEqual(argv[:2], [str(self.tmp / 'linux'), 'a=b'])
        for word in ('mem=1G', 'console=tty', 'kunit_shutdown=halt',
                     'uml_dir=/scratch/'):
            self.assertIn(word, argv)

    def test_qemu(self) -> None:
        argv = guest.qemu_argv(self.tmp, tiers.get('x86_64'), ['a=b'], 'tcg')
        text = ' '.join(argv)
        self.assertEqual(argv[0], 'qemu-system-x86_64')
        for words in ('-accel tcg', '-m 2048M', '-smp 2', '-no-reboot'):
            self.assertIn(words, text)
        self.assertEqual(argv[-2], '-append')
        for word in ('a=b', 'console=ttyS0', 'kunit_shutdown=reboot',
                     'panic=-1'):
            self.assertIn(word, argv[-1].split())

    def test_no_shell_sees_the_arguments(self) -> None:
        words = [*tiers.get('um').kernel_args, '$HOME `id` $(id) "\\\'*']
        self.assertTrue(any('$' in word for word in words[:-1]))
        argv = guest.uml_argv(self.tmp, tiers.get('um'), words,
                              Path('/scratch'))
        code = 'import sys\nfor word in sys.argv[1:]:\n    print(word)'
        with guest.Guest([sys.executable, '-c', code, *argv[1:]],
                         self.tmp / 'console', 5.0, 10.0) as run:
            self.assertEqual([line.text for line in run.lines()], argv[1:])
        self.assertEqual(argv[1:1 + len(words)], words)
        argv = guest.qemu_argv(self.tmp, tiers.get('x86_64'), words, 'tcg')
        self.assertTrue(argv[-1].startswith(' '.join(words) + ' '))

    def test_small_shm(self) -> None:
        with mock.patch.dict(os.environ):
            os.environ.pop('TMPDIR', None)
            usage = mock.Mock(free=1 << 26)
            with mock.patch('shutil.disk_usage', return_value=usage):
                self.assertIn('TMPDIR', guest.uml_env())
            usage.free = 1 << 40
            with mock.patch('shutil.disk_usage', return_value=usage):
                self.assertEqual(guest.uml_env(), {})
            os.environ['TMPDIR'] = '/somewhere'
            self.assertEqual(guest.uml_env(), {})

    def test_session_members_sees_processes(self) -> None:
        child = subprocess.Popen([sys.executable, '-c',
                                  'import time; time.sleep(60)'],
                                 start_new_session=True)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        self.assertEqual(proc.session_members(child.pid), [child.pid])


if __name__ == '__main__':
    unittest.main()
