"""What a person's second is worth at each text: how likely its label is wrong, times how many labels the verdict
changes, for the time that reading and judging takes.

Numbers in, numbers out: knows no text, no person and no store.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.doubt.calibration import Doubles, Indices
from agent.records import Floats

FIRST, A_CHARACTER = 3.0, 1 / 24
"""Seconds before any person was timed: to look up and press a key, and to read a character in silence (238 words a
minute, Brysbaert 2019, with six characters a word)."""
MOST_READ = 6000
"""Characters: a text beyond that is taken to be as long to read, since a page folds the rest."""
ENOUGH = 20
"""Timed labels before anything is learnt from them."""
NEWEST = 1000
"""So many of them are looked at, the newest: people get faster."""
SPREAD = 1.0
"""Standard deviation, in nats, of what is learnt around what is expected."""
NOISE = 0.5
"""How far a usual label's time is from what is expected of its length, in nats; what is much farther off, such as a
text before which somebody had coffee, counts as if it were not."""
LIKENESS = 6
"""The cosine of two texts to this power says how far a verdict on one tells of the other: 0.9 counts for a half, 0.8
for a quarter, 0.5 for next to nothing."""
WEIGHT = 0.5
"""What the usual number of texts in the same doubt counts beside a text's own label. Tuned on banking77 and
uci_sentiment (four seeds each, oracles that err by chance and alike): at nought fewer of the student's labels became
right, at 1 and 2 fewer of the oracle's, for nothing more of the student's."""
MOST = 4.0
"""No text is taken to have more than so many times the usual number in the same doubt."""
MANY = 2.0
"""From so many times the usual number on, that is told to people."""
USUAL = 500
"""So many texts tell what the usual number is."""
HALF = 0.5
ROWS_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Pace:
    """How long people take: seconds to look and decide, seconds for each character, and how many timed labels that
    rests on; 0 where it is what is expected."""

    first: float = FIRST
    a_character: float = A_CHARACTER
    labels: int = 0

    @classmethod
    def fit(cls, lengths: Doubles, seconds: Doubles) -> Pace:
        """The likeliest pace, drawn towards what is expected; with fewer than 20 times, what is expected.

        In logarithms, with a loss that grows like the square near the middle and like the distance far from it (the
        pseudo-Huber one): that is a middle time rather than a mean, which orders texts alike as long as long times
        vary as much for their length as short ones.

        Args:
            lengths: (n,) characters of texts that people labelled, the oldest first.
            seconds: (n,) that each took; what is not above nought is not known, and left out.
        """
        known = np.isfinite(seconds) & (seconds > 0)
        length, taken = read(lengths[known][-NEWEST:]), np.log(seconds[known][-NEWEST:])
        if len(taken) < ENOUGH:
            return cls()
        from scipy.optimize import minimize

        expected = np.log([FIRST, A_CHARACTER])

        def cost(x: Doubles) -> tuple[float, Doubles]:
            parts = np.stack([np.full(len(length), np.exp(x[0])), length * np.exp(x[1])])
            whole = parts.sum(axis=0)
            off = (np.log(whole) - taken) / NOISE
            away, bend = (x - expected) / SPREAD, np.sqrt(1 + off**2)
            slope = (off / bend / NOISE) * parts / whole
            return float((bend - 1).sum() + (away**2).sum() / 2), slope.sum(axis=1) + away / SPREAD

        found = np.exp(minimize(cost, expected, jac=True, method="L-BFGS-B").x)
        return cls(float(found[0]), float(found[1]), len(taken))

    def seconds(self, lengths: Doubles) -> Doubles:
        """(n,) that a person is expected to take for texts of so many characters."""
        return np.asarray(self.first + self.a_character * read(lengths), np.float64)


def in_doubt(vectors: Floats, said: Indices, others: Floats, chances: Floats) -> Doubles:
    """(n,) how many other texts are like each of these and in the same doubt: of each other text how like it is, by
    the cosine, times the variance of the student's word on whether it has the label in question.

    Costs O(n m d) time and a block of memory; of many texts a sample does.

    Args:
        vectors: (n, d) of length one; said: (n,) which class each label is, -1 for none of them.
        others: (m, d) likewise; chances: (m, C) of the student, rows sum to one.
    """
    torn = chances * (1 - chances)
    # of a text without a label, the class that the student takes for the likeliest is in question
    torn = np.column_stack([torn, np.take_along_axis(torn, chances.argmax(axis=1)[:, None], axis=1)])
    found = np.zeros(len(vectors))
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        like = np.maximum(vectors[rows] @ others.T, 0) ** LIKENESS
        found[rows] = np.einsum("nm,mn->n", like, torn[:, said[rows]])
    return found


def usually_in_doubt(others: Floats, chances: Floats) -> float:
    """What `in_doubt` is for the usual one of those texts itself, of the class that the student thinks likeliest."""
    some = slice(None, None, max(1, -(-len(others) // USUAL)))
    likeliest = chances[some].argmax(axis=1)
    own = np.take_along_axis(chances[some], likeliest[:, None], axis=1)[:, 0].astype(np.float64)
    itself = own * (1 - own)
    return float((in_doubt(others[some], likeliest, others, chances) - itself).mean()) if len(own) else 0.0


def influence(alike: Doubles, usual: float) -> Doubles:
    """(n,) how much a verdict changes, 1 for the usual text: its own label, and those of texts like it.

    Args:
        alike: (n,) of `in_doubt`; usual: what it is on average. Where that is nought, all are alike.
    """
    if not usual > 0:
        return np.ones(len(alike))
    return np.asarray((1 + WEIGHT * np.minimum(alike / usual, MOST)) / (1 + WEIGHT), np.float64)


def places(wrong: Doubles, changes: Doubles, seconds: Doubles, usual: float) -> Doubles:
    """(n,) places in people's queue, at least 0 and below 1, higher first: by wrong labels put right a second.

    The usual text has its chance to be wrong for a place, up to a half; what is worth more comes above, in order.

    Args:
        wrong: (n,) the chance that each label is wrong.
        changes: (n,) of `influence`.
        seconds: (n,) that a person is expected to take; usual: for the usual text.
    """
    worth = wrong * changes * (usual / seconds)
    return np.asarray(np.where(worth <= HALF, worth, 1 - HALF**2 / np.maximum(worth, HALF)), np.float64)


def read(lengths: Doubles) -> Doubles:
    """(n,) characters that are taken to be read."""
    return np.minimum(np.asarray(lengths, np.float64), MOST_READ)
