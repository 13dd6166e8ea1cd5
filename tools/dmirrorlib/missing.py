# SPDX-License-Identifier: GPL-2.0
"""Why a tree does not offer an option that a tier asks for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Sequence

from . import graft, patches
from .tiers import Tier

# On User Mode Linux these come with the graft,
_OVERLAY = re.compile(r'\bCONFIG_(?:SPARSEMEM(?:_\w+)?|MEMORY_HOT(?:PLUG|'
                      r'REMOVE)|ZONE_DEVICE|DEVICE_PRIVATE|UM_ZONE_DEVICE)\b')
# and these with the patches.
_PATCHED = re.compile(r'\bCONFIG_TRANSPARENT_HUGEPAGE(?:_\w+)?\b')


def explain(options: Sequence[str], tier: Tier, tree: Path) -> str:
    """Return why options are missing and what to do, in one sentence.

    Args:
        options: as kunit.py names them, 'CONFIG_X=y'.
        tier: the tier that asks for them.
        tree: the kernel tree.

    Returns:
        The sentence; where no cause is known, a general one.
    """
    names = ', '.join(options)
    said = f'the {tier.name} kernel cannot have {names}: '
    if tier.arch == 'um' and _OVERLAY.search(names):
        cause = _overlay(tree)
        if cause:
            return said + cause
    elif tier.arch == 'um' and _PATCHED.search(names) and \
            not (tree / patches.RECORD).exists():
        return said + (
            'User Mode Linux offers it with the kernel patches of this '
            f'project only; run "tools/dmirror graft --patches {tree}", or '
            'take tier um-full.')
    return said + (
        'another option that it depends on is off in this tree, or the '
        'option does not exist there; correct the kunitconfigs of the tier '
        f'({", ".join(tier.kunitconfigs)}).')


def _overlay(tree: Path) -> str:
    """Return why there is no device memory on User Mode Linux; '' if that is
    not known."""
    if graft.has_own_header(tree):
        return (f'the tree brings its own {graft.HEADER}, so the overlay '
                'steps aside; use the default kernel (--kernel) or "--tier '
                'um-stock".')
    mend = f'run "tools/dmirror graft {tree}".'
    if graft.half_done(tree):
        return f'the tree holds a part of the graft only; {mend}'
    if graft.grafted_to(tree) is None:
        return f'the tree is not grafted; {mend}'
    if graft.has_header(tree) and not (tree / graft.HEADER).exists():
        return (f'{graft.HEADER} leads nowhere, because the project that the '
                f'tree is grafted to is not whole; mend it, then {mend}')
    if not graft.has_header(tree):
        return ('this tree has no User Mode Linux (arch/um); use a complete '
                'tree.')
    return ''
