"""A strategy of a user's own, tried on made-up texts: what breaks there would have broken after a paid round."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np

from agent.errors import JobFileError, UserError
from agent.records import Floats, Rows
from agent.selection.batch import compose, named
from agent.selection.registry import with_parts
from agent.selection.seam import Mentions, State, Strategy

TEXTS, LABELLED, DIMENSIONS = 16, 8, 384
BATCH = 4


def is_own(strategy: Strategy) -> bool:
    """Whether it, or a part of it, is not one of ours."""
    return any(not type(part).__module__.startswith("agent.selection.") for part in with_parts(strategy))


def tried(strategy: Strategy, classes: int, *, multilabel: bool, mentions: Mentions | None) -> None:
    """Have a strategy choose 4 of 16 made-up texts, beside 8 that have labels.

    Args:
        classes: of the job's task, 0 where it has none.

    Raises UserError where it fails, or chooses what cannot be used: with the place in the user's own file.
    """
    state = made_up(classes, multilabel=multilabel, mentions=mentions)
    try:
        compose(state, strategy, BATCH, 0.25, np.random.default_rng(0))
    except UserError:
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        own = [f for f in traceback.extract_tb(error.__traceback__) if "agent/selection/" not in f.filename]
        at = own[-1] if own else frame
        said = (
            f"`selection.strategy`: {named(strategy)} fails on {TEXTS} made-up texts, in `{at.name}` "
            f"({Path(at.filename).name}:{at.lineno}): {type(error).__name__}: {error}"
        )
        raise JobFileError("job", [(0, said)]) from error


def made_up(classes: int, *, multilabel: bool = False, mentions: Mentions | None = None) -> State:
    """A state like that of a second round: rows 0 to 15 are candidates, rows 16 to 23 have labels."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(TEXTS + LABELLED, DIMENSIONS)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    p, known = (_shares(rng, n, classes, multilabel=multilabel) for n in (TEXTS, LABELLED))
    return State(
        candidates=np.arange(TEXTS),
        doubt=np.asarray(1 - p.max(axis=1) if classes else rng.random(TEXTS), np.float32),
        vectors=_read(points),
        probabilities=p if classes else None,
        labelled=np.arange(TEXTS, TEXTS + LABELLED),
        targets=known if classes else None,
        multilabel=multilabel,
        foreseen=_shares(rng, LABELLED, classes, multilabel=multilabel) if classes else None,
        trust=np.ones(LABELLED, np.float32),
        prices=np.full(TEXTS, 50, np.float32),
        mentions=mentions,
        class_vectors=points[:classes] if 0 < classes <= len(points) else None,
    )


def _shares(rng: np.random.Generator, n: int, classes: int, *, multilabel: bool) -> Floats:
    """(n, C) probabilities; rows sum to one unless several labels may apply."""
    if not classes:
        return np.zeros((n, 0), np.float32)
    found = rng.random((n, classes)) if multilabel else rng.dirichlet(np.ones(classes), n)
    return np.asarray(found, np.float32)


def _read(points: Floats) -> Callable[[Rows], Floats]:
    return lambda rows: np.asarray(points[np.asarray(rows, np.int64)], np.float32)
