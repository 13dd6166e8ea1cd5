# SPDX-License-Identifier: GPL-2.0
"""What the kernel said on its console that no green run may contain."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .ktap import PREFIX, Walk

TAINT_OOT_MODULE = 1 << 12
TAINT_TEST = 1 << 18
OURS = 'dmirror_'       # how the names of our suites begin

# Headings that begin a line. Some subsystems put their name before them, as
# in 'rcu: INFO: ...'; others use the words for harmless things, as in
# 'Spectre V2 : WARNING: ...', hence the closed list.
_SUBSYSTEM = r'(?:(?:rcu|watchdog|NMI watchdog|workqueue|kfence|kmemleak): )?'
_HEADINGS = re.compile('^' + PREFIX + _SUBSYSTEM + '(?:' + '|'.join((
    r'WARNING: ', r'(?:\[ )?BUG\b', r'kernel BUG at ', r'INFO: .*(?:stall|'
    r'blocked for more|possible recursive|trying to register|'
    r'lockdep is turned off|inconsistent|suspicious|rcu_)',
    r'Oops\b', r'Internal error: ', r'Unable to handle ',
    r'UBSAN: ', r'KASAN: ', r'general protection fault',
    r'int3: ', r'invalid opcode: ', r'divide error: ', r'stack segment: ',
    r'double fault: ', r'traps: PANIC', r'DEBUG_LOCKS_WARN_ON',
    r'refcount_t: ', r'list_(?:add|del) corruption', r'page_owner tracks ',
    r'page dumped because', r'page:.* refcount:.* mapcount:',
    r'ODEBUG: (?!selftest passed)', r'\d+ new suspected memory leaks',
    r'Out of memory', r'Bus error - the host', r'segfault at',
)) + ')')

# Unmistakable wherever they stand, so also after a half-written line.
_ANYWHERE = re.compile('|'.join((
    r'-{6,}\[ cut here \]-{6,}', r'BUG: (?:KASAN|KCSAN|KFENCE|KMSAN): ',
    r'Kernel panic - not syncing', r'BUG: unable to handle',
    r'BUG: kernel NULL pointer', r'BUG: sleeping function called',
    r'BUG: scheduling while atomic', r'BUG: Bad page (?:state|map|cache)',
    r'BUG: soft lockup', r'BUG: workqueue lockup', r'BUG: spinlock',
    r'possible circular locking dependency', r'inconsistent lock state',
    r'possible recursive locking', r'suspicious RCU usage',
    r'held lock freed', r'bad unlock balance', r'[Ii]nvalid wait context',
    r'lock held when returning', r'still has locks held',
    r'blocked for more than \d+ seconds', r'self-detected stall on CPU',
    r'detected stalls on CPUs', r'Segfault with no mm',
    r'Kernel mode fault at addr', r'Kernel mode signal \d',
    r'Kernel tried to access user memory at', r'Segfault without recovery',
    r'stack-protector: Kernel stack is corrupted',
    r'WARNING: (?:CPU: \d+ PID: \d+|\S+:\d+) at ',
    r'\bbad p(?:te|md|ud|4d|gd)\b',
    r'Bad swap (?:file|offset) entry', r'Trying to free nonexistent resource',
    r'Disabling lock debugging due to kernel taint',
    r'softirq: huh, entered softirq', r'hard LOCKUP',
    r'turning off the locking correctness validator',
    r'exited with preempt_count',
    # Of CONFIG_MEM_ALLOC_PROFILING, about what a module has not freed. Pages
    # that have come home belong to a process, which lives on in one case of
    # the life cycle: NR_PAGES of tools/init/life.c, and not one more.
    r'func:(?!to_ram_folio has 4096000 )\S+ has \d+ allocated at module unload',
    # Of device memory, a driver answers: cases ask for it.
    r'Memory failure: 0x(?!\w+: recovery action for dax page: )',
    r"invalid for parameter [`'](?:kunit|dmirror_\w+)\.",
    r'Unknown kernel command line parameters.*\b(?:kunit|dmirror_\w+)\.',
)))
_DROPPED = re.compile('^' + PREFIX + r'\*\* \d+ printk messages dropped \*\*')
_KTAP = re.compile('^' + PREFIX + r'\s*KTAP version \d+$')
_STACK = re.compile('^' + PREFIX + r'Call Trace:')
_TAINTED = re.compile(r'Tainted: (.*)')
_CUT = re.compile(r'-\[ cut here \]-')
_END = re.compile(r'---\[ end (?:trace|Kernel panic)')
_FUNCTION = re.compile(r'(\? )?([A-Za-z_][\w.]*)\+0x[0-9a-f]+/0x[0-9a-f]+')
# Flags that say nothing about this run: G no proprietary module, N a test
# ran, O and E an out-of-tree or unsigned module (ours).
_HARMLESS_TAINT = set('GNOE ')

_EXPECTATION = re.compile('^' + PREFIX + r'\s*# .*(?:EXPECTATION|ASSERTION) '
                          r'FAILED at ')
_DIAGNOSTIC = re.compile('^' + PREFIX + r'\s*# ')
_TAINT_LINE = re.compile(r'# dmirror: taint (0x[0-9a-fA-F]+)')

# The machinery of reporting itself, at the top of each trace.
_REPORTING = re.compile(
    r'^(?:__)?(?:dump_stack|show_stack|show_trace|print_report|kasan_|asan_'
    r'|__asan|warn|report_bug|handle_bug|exc_|asm_exc_|panic|lockdep_rcu_|'
    r'print_|check_|validate_chain|__lock_acquire|lock_acquire|might_resched|'
    r'__might|um_set_signals|dump_page|bad_page|ubsan_|__ubsan)')
_FOLD_LINES = 6         # a second heading this near is the same splat
_TRACE_LINES = 60       # where to look for the trace of a heading


@dataclass
class Splat:
    """One thing that the kernel complained about.

    line: its number in the console, from 1.
    title: its first telling line.
    suite, case: what ran then; '' for neither.
    functions: the first functions of its trace, which identify it.
    count: how often it came (see fold).
    """
    line: int
    title: str
    suite: str = ''
    case: str = ''
    functions: List[str] = field(default_factory=list)
    count: int = 1

    def reason(self) -> str:
        """Return it as a reason for a verdict."""
        what = ('The console is not complete'
                if _DROPPED.match(self.title) else 'Kernel complaint')
        return f'{what}, {self.sentence()}.'

    def sentence(self) -> str:
        """Say what came and when."""
        during = ('outside the suites' if not self.suite else
                  f'during {self.suite}.{self.case}' if self.case else
                  f'in suite {self.suite}, outside its cases')
        trace = f' [{" < ".join(self.functions)}]' if self.functions else ''
        often = f' ({self.count} times, this is the first)' \
            if self.count > 1 else ''
        return (f'console line {self.line}, {during}: {self.title}{trace}'
                f'{often}')

    def identity(self) -> Tuple[str, ...]:
        """Return what two splats of the same cause have in common."""
        return (re.sub(r'(?:0x)?[0-9a-f]*\d[0-9a-f]*', '#', self.title),
                *self.functions)

    def as_json(self) -> Dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def scan(lines: Sequence[str], place: Walk) -> List[Splat]:
    """Find all splats of a console.

    Args:
        lines: the console.
        place: what ktap.walk returned for it.
    """
    found: List[Splat] = []
    last = -_FOLD_LINES - 1     # where the open splat's heading was
    open_until = -1             # and how far its dump may reach
    quoted = False              # inside a failed expectation's text
    results = {e.line for e in place.events}
    for i, line in enumerate(lines):
        if _DROPPED.match(line):
            suite, case = place.owners[i] if i < len(place.owners) else (
                '', '')
            found.append(Splat(i + 1, _strip(line), suite, case))
            continue
        if i in results:
            quoted, open_until, last = False, -1, -_FOLD_LINES - 1
            continue
        if _EXPECTATION.match(line):
            quoted = True
            continue
        if _DIAGNOSTIC.match(line) or _KTAP.match(line):
            last = -_FOLD_LINES - 1
            continue
        if quoted:
            if not line.strip() or line[:1].isspace():
                continue
            quoted = False
        heading = bool(_HEADINGS.match(line) or _ANYWHERE.search(line))
        if not heading and i > open_until:
            heading = bool(_STACK.match(line) or _new_taint(line))
        if _END.search(line):
            open_until = i
            last = -_FOLD_LINES - 1
            if 'Kernel panic' in line:
                heading = False
        if not heading:
            continue
        if i - last <= _FOLD_LINES and not _CUT.search(line):
            continue
        last, open_until = i, i + _TRACE_LINES
        suite, case = place.owners[i] if i < len(place.owners) else ('', '')
        found.append(Splat(i + 1, _title(lines, i), suite, case,
                           fingerprint(lines[i:i + _TRACE_LINES])))
    return found


def fold(splats: Sequence[Splat]) -> List[Splat]:
    """Return the first of each kind of splat, which says how many came.

    Args:
        splats: in order.
    """
    kinds: Dict[Tuple[str, ...], Splat] = {}
    for one in splats:
        kind = kinds.setdefault(one.identity(), replace(one, count=0))
        kind.count += one.count
    return list(kinds.values())


def _new_taint(line: str) -> bool:
    match = _TAINTED.search(line)
    if not match:
        return False
    text = match.group(1)
    # Both styles: 'G        W  N 7.3.4 ...' and '[W]=WARN, [N]=TEST'.
    flags = re.findall(r'\[([A-Z])\]=', text)
    if not flags:
        head = re.match(r'([A-Z] *)+(?= |$)', text)
        flags = list(head.group(0)) if head else []
    return any(flag not in _HARMLESS_TAINT for flag in flags)


def _strip(line: str) -> str:
    return re.sub('^' + PREFIX, '', line).strip()


def _title(lines: Sequence[str], i: int) -> str:
    if _CUT.search(lines[i]) and i + 1 < len(lines):
        return _strip(lines[i + 1])
    if _STACK.match(lines[i]):
        # A dump without a known heading: what stood before it may tell.
        for j in range(i - 1, max(-1, i - 12), -1):
            text = _strip(lines[j])
            if text and not re.match(r'CPU: |Tainted: |Stack:|Hardware name|'
                                     r'[0-9a-f]{8}', text):
                return f'a stack dump after "{text}"'
        return 'a stack dump'
    return _strip(lines[i])


def fingerprint(lines: Sequence[str]) -> List[str]:
    """Return the first five functions of a dump that identify it.

    Args:
        lines: the console from the heading on.
    """
    sure: List[str] = []
    unsure: List[str] = []
    started = False
    for line in lines:
        if not started:
            started = bool(_STACK.match(line))
            continue
        if _END.search(line) or _CUT.search(line):
            break
        match = _FUNCTION.search(line)
        if match and not _REPORTING.match(match.group(2)):
            (unsure if match.group(1) else sure).append(match.group(2))
    # UML marks every function as unsure, and repeats some.
    chosen = sure or unsure
    return list(dict.fromkeys(chosen))[:5]


def taints(lines: Sequence[str],
           place: Walk) -> Dict[str, Optional[int]]:
    """Return the taint mask that each suite of ours printed at its end.

    Args:
        lines: the console.
        place: what ktap.walk returned for it.

    Returns:
        For each suite of ours that has a result: the mask, or None if it
        printed none. A suite that was skipped as a whole needs none.
    """
    masks: Dict[str, Optional[int]] = {}
    latest: Dict[str, int] = {}
    for i, line in enumerate(lines):
        match = _TAINT_LINE.search(line)
        if match and i < len(place.owners):
            suite = place.owners[i][0]
            latest[suite] = latest.get(suite, 0) | int(match.group(1), 16)
    for event in place.events:
        if event.case or not event.suite.startswith(OURS):
            continue
        if event.directive.startswith('SKIP') and event.suite not in latest:
            continue
        masks[event.suite] = latest.get(event.suite)
    return masks


def taint_names(mask: int) -> str:
    """Return the letters of a taint mask's bits, as the kernel shows them."""
    letters = 'PFSRMBUDAWCIOELKXTNJ'
    return ''.join(letters[b] if b < len(letters) else f'?{b}'
                   for b in range(mask.bit_length()) if mask >> b & 1)
