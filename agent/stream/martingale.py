"""A test that watches for ever and is wrong at most once in a hundred streams: a conformal test martingale.

Each text has scores. As long as texts are exchangeable, the rank of each new score among all before it is uniform and
independent of the past (Vovk, Gammerman and Shafer 2005, "Algorithmic Learning in a Random World", ch. 8), so that
money that is bet against that is expected to stay the same, and reaches `1 / alarm` with a chance of at most `alarm`,
however long it is watched (Ville 1939). A bet that waits for a change at a known text wins soon after it; here a part
of the money waits for a change at each fiftieth text (the e-detector of Shin, Ramdas and Rinaldo 2022,
arXiv:2203.03532, with weights that add up to one, so that the chance of any false alarm is bounded and not only how
seldom they come).

Scores come in cells, whose borders do not depend on the texts that are ranked. What is kept is how many texts each
cell had, whatever their number. Pure numbers: no text, no file, no clock, nothing random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Cells = npt.NDArray[np.int64]

POWERS = np.array([0.25, 0.5, 0.75])
"""Of the bets `k * p ** (k - 1)` on ranks `p` near 0, and the same on ranks near 1: the smaller, the bolder."""
EVERY = 50
"""Texts after which a part of the money starts anew."""


ARRAYS = ("counts", "money", "run", "since")


@dataclass
class Bets:
    """S scores of the same number of cells, and what was won on each.

    Attributes:
        counts: (S, B) texts of each cell so far.
        money: (S, 2 K) of each bet, the first K on high scores, the others on low ones; all began with 1.
        run: (S, 2 K) logarithm of what each bet won since it last stood lowest (Page 1954).
        since: (S, 2 K) number of the text after that.
        share: of each score's money in the whole.
    """

    counts: Cells
    money: Doubles
    run: Doubles
    since: Cells
    share: float

    @classmethod
    def new(cls, scores: int, cells: int, share: float) -> Bets:
        """`share` is of all scores together."""
        shape = (scores, 2 * len(POWERS))
        counts, since = np.zeros((scores, cells), np.int64), np.zeros(shape, np.int64)
        return cls(counts, np.zeros(shape), np.zeros(shape), since, share / scores)

    def fill(self, cells: Cells) -> None:
        """Take (n, S) cells of texts that nobody bets on: those of the reference."""
        for s, column in enumerate(cells.T):
            self.counts[s] += np.bincount(column, minlength=self.counts.shape[1])

    def bet(self, cells: Cells, fresh: float, number: int) -> None:
        """Bet on one text, of (S,) cells; `fresh` is what each bet is given before."""
        rows = np.arange(len(cells))
        self.counts[rows, cells] += 1
        equal, upto = self.counts[rows, cells], np.cumsum(self.counts, axis=1)[rows, cells]
        total = self.counts[0].sum()
        low, high = (total - upto) / total, (total - upto + equal) / total
        paid = np.hstack([mean_bet(low, high), mean_bet(1 - high, 1 - low)])
        self.money = (self.money + fresh) * paid
        self.run = np.maximum(0, self.run + np.log(paid))
        self.since[self.run <= 0] = number + 1

    @property
    def worth(self) -> Doubles:
        """(S,) the money of each score, its share in the whole counted."""
        worth: Doubles = self.money.mean(axis=1) * self.share
        return worth


def mean_bet(low: Doubles, high: Doubles) -> Doubles:
    """(S, K) what the bets pay for a rank that is anywhere from `low` to `high`, evenly.

    The mean over the places within a cell, where others draw one at random: the same expectation, and less noise.
    """
    wide = np.maximum(high - low, 1e-12)[:, None]
    paid: Doubles = (np.power(high[:, None], POWERS) - np.power(np.maximum(low, 0)[:, None], POWERS)) / wide
    return paid


@dataclass
class Martingale:
    """Bets on several kinds of scores, their shares adding up to 1.

    Attributes:
        texts: bet on so far.
        money: there is now, of 1 at the beginning.
        peak: the most money there ever was.
    """

    kinds: list[Bets]
    texts: int = 0
    money: float = 1.0
    peak: float = 1.0

    def fill(self, cells: Sequence[Cells]) -> None:
        """Take the reference: of each kind (n, S)."""
        for bets, found in zip(self.kinds, cells, strict=True):
            bets.fill(found)

    def bet(self, cells: Sequence[Cells]) -> float:
        """Bet on one text: of each kind (S,) cells. Returns the money there is now."""
        block, place = divmod(self.texts, EVERY)
        fresh = 1 / ((block + 1) * (block + 2)) if place == 0 else 0.0
        for bets, found in zip(self.kinds, cells, strict=True):
            bets.bet(found, fresh, self.texts)
        self.texts += 1
        waiting = 1 / (block + 2)  # for a change that is still to come
        self.money = waiting + sum(float(bets.worth.sum()) for bets in self.kinds)
        self.peak = max(self.peak, self.money)
        return self.money

    def onset(self) -> int:
        """The number of the text from which on the best bet has won: about where the change was."""
        best = max(self.kinds, key=lambda bets: float((bets.money * bets.share).max()))
        return int(best.since.flat[int(best.money.argmax())])

    # To disk and back -------------------------------------------------------------------------------------------

    def kept(self) -> dict[str, Any]:
        """All of it as JSON."""
        kinds = [
            {name: getattr(bets, name).tolist() for name in ARRAYS} | {"share": bets.share} for bets in self.kinds
        ]
        return {"kinds": kinds, "texts": self.texts, "money": self.money, "peak": self.peak}

    @classmethod
    def of(cls, kept: dict[str, Any]) -> Martingale:
        """What `kept` said."""
        kinds = [Bets(share=k["share"], **{name: np.array(k[name]) for name in ARRAYS}) for k in kept["kinds"]]
        return cls(kinds, kept["texts"], kept["money"], kept["peak"])
