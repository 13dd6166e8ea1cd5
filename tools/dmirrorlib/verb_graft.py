# SPDX-License-Identifier: GPL-2.0
"""dmirror graft: make the project part of a kernel tree."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path

from . import graft, patches, say, source, tiers, variants
from .errors import UsageError

HELP = ('Make this project part of a kernel tree: the symbolic links '
        'drivers/dmirror and arch/um/include/asm/sparsemem.h, one line in '
        'drivers/Kconfig and one in drivers/Makefile. "dmirror ungraft" '
        'removes them.')
PATCHES = 'um-full'     # what --patches applies

PROJECT = Path(__file__).resolve().parent.parent.parent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument('kdir', metavar='KDIR', nargs='?',
                        help='the top of the kernel tree (default: $KDIR)')
    parser.add_argument('--repoint', action='store_true',
                        help='take over a tree that is grafted to another '
                             'clone of this project')
    parser.add_argument('--patches', action='store_true',
                        help='also apply the kernel patches that tier '
                             f'{PATCHES} needs (tools/patches/{PATCHES})')


def main(args: argparse.Namespace) -> int:
    """Run the verb."""
    kdir = args.kdir or os.environ.get('KDIR')
    if not kdir:
        raise UsageError('which kernel tree? Say: dmirror graft KDIR')
    tree = source.open_tree(Path(kdir))
    if args.patches and tree.owned:
        raise UsageError(f'{tree.path} is the cache\'s, which stays as it is: '
                         f'"--tier {PATCHES}" makes a patched copy by '
                         'itself.')
    with source.tree_lock(tree):
        changed = graft.graft(tree.path, PROJECT, args.repoint or tree.owned)
        say.say(f'{tree.path} (Linux {tree.version}) '
                f'{"is" if changed else "was already"} grafted to {PROJECT}')
        if args.patches:
            series = patches.read_series(variants.folder_of(PROJECT,
                                                            PATCHES))
            changed = patches.apply(tree.path, series)
            say.say(f'{len(series.patches)} patches '
                    f'{"are" if changed else "were already"} applied')
    say.say('Next:')
    say.note(f'cd {shlex.quote(str(tree.path))}')
    say.note('./tools/testing/kunit/kunit.py run '
             f'--kunitconfig={graft.LINK}')
    if args.patches:
        say.note('./tools/testing/kunit/kunit.py run '
                 f'--kunitconfig={graft.LINK} --kunitconfig='
                 f'{graft.LINK}/kunit/{PATCHES}.kunitconfig')
    say.note('./tools/testing/kunit/kunit.py run --arch=x86_64 '
             f'--kunitconfig={graft.LINK}/kunit/x86_64.kunitconfig '
             f'--qemu_config={graft.LINK}/tools/qemu/x86_64.py')
    say.say('For device-coherent memory, and on User Mode Linux for skipping '
            'idle time, also:')
    say.note(' '.join(shlex.quote(f'--kernel_args={arg}')
                      for arg in tiers.get(tiers.DEFAULT).kernel_args))
    return 0
