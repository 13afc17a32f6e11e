"""A model's preference for some labels, whatever the text says: estimated, and divided out.

Two ways of finding it: what the model says of texts without content (Zhao et al. 2021, "Calibrate before use"), and
what it says on average of many texts (Zhou et al. 2024, "Batch calibration"). The second takes classes to be about
equally common among those texts, and takes away from a class that really is common. Numbers in, numbers out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.doubt.calibration import Doubles

LEAST = 1e-3
"""No class is taken to be preferred or shunned by more than a factor of a thousand."""
CONTENT_FREE = ("N/A", "(empty)", "...")
"""Texts that say nothing. Zhao et al. take `[MASK]` and an empty one too: the first is made harmless in a question,
as any special token is, and some servers refuse the second."""
ENOUGH = 30
"""Answers before an average of them says something of the model and not of the texts."""


@dataclass(frozen=True, slots=True)
class Prior:
    """How likely each class is before any text is read.

    Attributes:
        shares: (C,) above 0, together 1.
        answers: how many it rests on.
        basis: `content_free` or `batch`.
    """

    shares: tuple[float, ...]
    answers: int
    basis: str

    @classmethod
    def of(cls, probabilities: Doubles, basis: str) -> Prior | None:
        """The mean of (n, C) probabilities; None where there are none, or too few of a batch.

        Rows with a NaN are left out.
        """
        known = probabilities[np.isfinite(probabilities).all(axis=1)]
        if not len(known) or (basis == "batch" and len(known) < ENOUGH):
            return None
        mean = np.maximum(known.mean(axis=0), LEAST)
        return cls(tuple((mean / mean.sum()).tolist()), len(known), basis)

    def without(self, probabilities: Doubles) -> Doubles:
        """(n, C) probabilities with the preference divided out, rows summing to one again."""
        divided = np.asarray(probabilities, np.float64) / np.asarray(self.shares)
        return np.asarray(divided / np.maximum(divided.sum(axis=1, keepdims=True), 1e-300), np.float64)
