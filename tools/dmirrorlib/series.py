# SPDX-License-Identifier: GPL-2.0
"""Patch series: mails from files, mailboxes, directories and message-ids, in
the order in which they are to be applied."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from email import policy
from email.parser import BytesParser
from pathlib import Path
from typing import List, Sequence

from . import proc
from .errors import ToolError, UsageError
from .gittree import Checkout, DoesNotApply

_NUMBER = re.compile(r'\[[^\]]*?\b0*(\d+)/0*(\d+)\b[^\]]*\]')
_DIFF = re.compile(rb'^(?:diff --git |--- \S)', re.M)
_ENDINGS = ('.patch', '.eml', '.mbox', '.mbx')
B4_SECONDS = 300.0


@dataclass(frozen=True)
class Mail:
    """A mail with a patch.

    path: the mail alone.
    origin: where the user finds it.
    subject: as in the mail, with its prefix.
    number, of: from the prefix; 0 if it has none.
    """
    path: Path
    origin: str
    subject: str
    number: int = 0
    of: int = 0

    def title(self) -> str:
        """Return the subject without its prefix."""
        return re.sub(r'^(?:\s*\[[^\]]*\])+\s*', '', self.subject) or \
            self.subject


def collect(words: Sequence[str], scratch: Path) -> List[Mail]:
    """Return the patches that the words of a command line name.

    Args:
        words: files with one mail, mailboxes, directories, message-ids.
        scratch: an empty directory, for the single mails.

    Raises:
        UsageError: there are none, or not all of a series.
        ToolError: a message-id could not be had.
    """
    found: List[Mail] = []
    for number, word in enumerate(words):
        folder = scratch / str(number)
        folder.mkdir()
        path = Path(word)
        if not path.exists() and _message_id(word):
            path = _fetch(word, folder)
        if path.is_dir():
            found += _in_order(_directory(path, folder), word)
        else:
            found += _in_order(_split(path, folder / 'mails', word), word)
    if not found:
        raise UsageError(f'{", ".join(words)} holds no patch.')
    return found


def _message_id(word: str) -> bool:
    return bool(re.fullmatch(r'(?:https?://\S+/)?<?[^\s/<>]+@[^\s/<>]+>?/?',
                             word))


def _fetch(word: str, folder: Path) -> Path:
    """Get a series by its message-id, with b4; return its mailbox."""
    if not shutil.which('b4'):
        raise ToolError(f'{word} is a message-id, and b4, which fetches it, '
                        'is not installed: install it (apt-get install b4), '
                        'or save the series as an mbox and name that.')
    out = folder / 'b4'
    out.mkdir()
    try:
        done = proc.run(['b4', 'am', '-o', str(out), word.strip('<>')],
                        timeout=B4_SECONDS)
    except subprocess.TimeoutExpired as err:
        raise ToolError(f'b4 did not get {word} within {B4_SECONDS:g} s: see '
                        'whether the network lets it, or save the series as '
                        'an mbox and name that.') from err
    boxes = sorted([*out.glob('*.mbx'), *out.glob('*.mbox')])
    if done.returncode or not boxes:
        raise ToolError(f'b4 did not get {word}: see what it says, or save '
                        'the series as an mbox and name that.',
                        detail=done.stderr)
    return boxes[0]


def _directory(path: Path, folder: Path) -> List[Mail]:
    """Return the patches of a directory, in the order of their names."""
    files = sorted(p for p in path.iterdir()
                   if p.name.endswith(_ENDINGS) and p.is_file())
    if not files:
        raise UsageError(f'{path} holds no *.patch: name a directory that '
                         'git format-patch wrote.')
    found: List[Mail] = []
    for number, file in enumerate(files):
        found += _split(file, folder / f'{number}', str(file), need=False)
    return found


def _split(path: Path, folder: Path, origin: str,
           need: bool = True) -> List[Mail]:
    """Return the mails of a file that have a patch.

    Args:
        path: the file.
        folder: a directory to make, for the single mails.
        origin: what the user calls the file.
        need: it is an error if there are none.
    """
    folder.mkdir()
    try:
        data = path.read_bytes()
    except OSError as err:
        raise UsageError(f'{origin} cannot be read ({err.strerror}): name an '
                         'mbox, a directory or patches.') from err
    if not data.strip():
        raise UsageError(f'{origin} is empty: it holds no patch.')
    done = proc.run(['git', 'mailsplit', '-b', f'-o{folder}', '--',
                     str(path)])
    if done.returncode:
        raise UsageError(f'{origin} is no mailbox: name an mbox, a directory '
                         'or patches made by git format-patch.')
    found = [_read(mail, origin) for mail in sorted(
        p for p in folder.iterdir() if p.name.isdigit())]
    patches = [mail for mail in found if _has_patch(mail.path)]
    for mail in patches:
        if not mail.subject:
            raise UsageError(f'{origin} is a bare diff without the header of '
                             'a mail: make it with git format-patch.')
    if need and not patches:
        raise UsageError(f'{origin} holds no patch.')
    # A diff in an answer is a proposal, not a part of the series.
    return [m for m in patches if not m.subject.lower().startswith('re:')] \
        or patches


def _read(path: Path, origin: str) -> Mail:
    """Return a mail with what its subject says."""
    with open(path, 'rb') as file:
        message = BytesParser(policy=policy.default).parse(file,
                                                           headersonly=True)
    try:
        subject = ' '.join(str(message.get('Subject', '')).split())
    except (ValueError, IndexError, AttributeError):
        subject = 'a patch whose subject cannot be read'
    match = _NUMBER.search(subject)
    number, of = (int(match.group(1)), int(match.group(2))) if match \
        else (0, 0)
    return Mail(path, origin, subject, number, of)


def _has_patch(path: Path) -> bool:
    """Return whether a mail has a diff: not a cover letter or an answer."""
    out = path.with_suffix('.diff')
    with open(path, 'rb') as file:
        done = subprocess.run(
            ['git', 'mailinfo', '--encoding=UTF-8', os.devnull, str(out)],
            stdin=file, capture_output=True, check=False, cwd=path.parent)
    if done.returncode:
        return False
    return bool(_DIFF.search(out.read_bytes()))


def _in_order(mails: List[Mail], origin: str) -> List[Mail]:
    """Return the mails of a series in the order of their numbers.

    Raises:
        UsageError: one is missing, or there twice.
    """
    if len({m.of for m in mails}) != 1 or mails[0].of < 2:
        return mails    # not numbered, or several series: as they are
    numbers = [m.number for m in mails]
    of = mails[0].of
    twice = next((n for n in numbers if numbers.count(n) > 1), None)
    if twice is not None:
        raise UsageError(f'{origin} holds patch {twice}/{of} twice: leave one '
                         'version of the series in it.')
    lost = [n for n in range(1, of + 1) if n not in numbers]
    if lost and len(mails) > 1:
        raise UsageError(f'{origin} lacks patch {lost[0]}/{of}: complete the '
                         'series.')
    return sorted(mails, key=lambda m: m.number)


def apply(mails: Sequence[Mail], tree: Checkout) -> List[str]:
    """Apply patches on what is checked out, one commit each.

    Returns:
        The commits.

    Raises:
        ToolError: one does not apply; the message says which, and to which
            file.
    """
    commits: List[str] = []
    for number, mail in enumerate(mails, 1):
        try:
            commits.append(tree.apply_mail(mail.path))
        except DoesNotApply as err:
            where = f' to {err.file}' if err.file else ''
            raise ToolError(
                f'patch {number} of {len(mails)} ("{mail.title()}", '
                f'{mail.origin}) does not apply{where}: see whether --base '
                'is what the series was made for.', detail=err.words) from err
    return commits
