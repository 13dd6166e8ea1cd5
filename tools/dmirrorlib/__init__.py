# SPDX-License-Identifier: GPL-2.0
"""The dmirror command line: one job per module, standard library only."""
