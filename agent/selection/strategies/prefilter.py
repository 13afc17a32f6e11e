"""The few candidates that are worth a costly look, and one ranking of them and all others.

Knows scores only.
"""

from __future__ import annotations

import numpy as np

from agent.records import Floats
from agent.selection.seam import Indices, State, top


def best(state: State, scores: Floats, count: int) -> Indices:
    """The `count` free candidates of the highest scores (n,), ascending; all free ones where there are fewer."""
    free = state.free()
    return np.sort(free[top(scores[free], count, state.rng(2))])


def ranked(scores: Floats, looked_at: Indices, found: Floats) -> Floats:
    """(n,) float32: `found` for those looked at; all others below them, in the order of `scores` (n,).

    The best of the others lies 1 below the least found.
    """
    out = np.asarray(scores, dtype=np.float32).copy()
    if len(looked_at):
        rest = np.ones(len(out), bool)
        rest[looked_at] = False
        if rest.any():
            out += found.min() - 1 - out[rest].max()
        out[looked_at] = found
    return out
