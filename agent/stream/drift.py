"""Whether what comes in, and what the model says of it, is still what it was: scores of texts, and a test on them.

Inputs have a score for how far they are from the texts that taught the model, and one for each of the directions in
which those differ most. Predictions have the doubt, and one for each class. `agent.stream.martingale` bets on their
ranks. Knows vectors and probabilities; no text, no file, no clock.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.records import Floats
from agent.stream.martingale import EVERY, Bets, Cells, Doubles, Martingale

ALARM = 0.01
"""Chance that a stream without drift is ever said to have one; of inputs and of predictions each."""
CELLS = 128
DIRECTIONS = 8
NEAREST = 5
NOVEL = 0.9
FARTHEST = 2.0  # of two vectors of length one
SPREADS = 5.0
SUREST = 10.0
"""Logit of the doubt, at either end of the cells."""
REMEMBERED = 40
"""Blocks of texts whose classes are counted apart, so that an onset is found that is up to so many blocks ago."""


@dataclass(frozen=True, eq=False)
class Yardstick:
    """What vectors are measured by.

    Attributes:
        anchors: (m, d) of length one.
        centre, directions, spreads: (d,), (d, r) and (r,) of the anchors' r principal directions.
    """

    anchors: Floats
    centre: Floats
    directions: Floats
    spreads: Floats

    @classmethod
    def of(cls, anchors: Floats) -> Yardstick:
        """From vectors of texts that taught the model, or that came first."""
        unit = _unit(anchors)
        centre = unit.mean(axis=0)
        _, sizes, rows = np.linalg.svd(unit - centre, full_matrices=False)
        some = min(DIRECTIONS, int((sizes > 1e-6).sum()))
        spreads = sizes[:some] / np.sqrt(len(unit))
        return cls(unit, centre, rows[:some].T.copy(), spreads.astype(np.float32))

    def novelty(self, vectors: Floats) -> Floats:
        """(n,) mean distance to the nearest anchors, 0 to 2."""
        distances = np.sqrt(np.clip(2 - 2 * (_unit(vectors) @ self.anchors.T), 0, None))
        near = min(NEAREST, distances.shape[1])
        found: Floats = np.partition(distances, near - 1, axis=1)[:, :near].mean(axis=1)
        return found

    def cells(self, vectors: Floats) -> Cells:
        """(n, 1 + r) the cell of each score."""
        places = (_unit(vectors) - self.centre) @ self.directions / self.spreads
        far = _cell(self.novelty(vectors), 0, FARTHEST)
        return np.column_stack([far, _cell(places, -SPREADS, SPREADS)])


def _unit(vectors: Floats) -> Floats:
    found: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return found


def _cell(scores: Floats | Doubles, low: float, high: float) -> Cells:
    found: Cells = np.clip((scores - low) / (high - low) * CELLS, 0, CELLS - 1).astype(np.int64)
    return found


def doubts(probabilities: Floats, *, multilabel: bool) -> Floats:
    """(n,) 1 minus the probability of the likeliest class; for several labels a text, of the least sure decision."""
    if multilabel:
        found: Floats = 1 - np.maximum(probabilities, 1 - probabilities).min(axis=1)
        return found
    top: Floats = 1 - probabilities.max(axis=1)
    return top


def said(probabilities: Floats, *, multilabel: bool) -> Cells:
    """(n, C) 1 where the model says that class."""
    if multilabel:
        return (probabilities >= 0.5).astype(np.int64)
    found = np.zeros(probabilities.shape, np.int64)
    found[np.arange(len(found)), probabilities.argmax(axis=1)] = 1
    return found


@dataclass(frozen=True)
class Alarm:
    """A drift that was found.

    Attributes:
        of: `inputs` or `predictions`.
        text: the number of the text that showed it, counted from 1 in the order in which they were looked at.
        onset: about from which text on.
        money: what the bets had won; without a drift they reach as much with a chance of at most 1 / `money`.
        time: when, as ISO 8601; empty where nobody has said.
    """

    of: str
    text: int
    onset: int
    money: float
    time: str = ""


@dataclass
class Drift:
    """The tests of one model's inputs and predictions.

    Attributes:
        yardstick: of the vectors.
        names: C class names.
        alarms: what was found, at most one of each kind: a test ends when it has found something.
        before: (C,) how often each class was said until the onset of the first alarm, the reference counted.
        after: (C,) and since then.
    """

    yardstick: Yardstick
    names: tuple[str, ...]
    multilabel: bool
    inputs: Martingale
    predictions: Martingale
    before: Cells
    after: Cells
    alarms: list[Alarm] = field(default_factory=list)
    texts: int = 0
    _blocks: list[Cells] = field(default_factory=list)

    @classmethod
    def new(
        cls, yardstick: Yardstick, names: tuple[str, ...], vectors: Floats, probabilities: Floats, *, multilabel: bool
    ) -> Drift:
        """The tests before the first text.

        Args:
            yardstick: made of other texts than these.
            vectors, probabilities: (n, d) and (n, C) of the reference: texts such as are expected, which the model
                was not taught by, or what is said of them is nothing like what it says of new ones.
        """
        scores, classes = 1 + len(yardstick.spreads), len(names)
        found = cls(
            yardstick,
            names,
            multilabel,
            Martingale([Bets.new(1, CELLS, 0.5), Bets.new(scores - 1, CELLS, 0.5)]),
            Martingale([Bets.new(1, CELLS, 0.5), Bets.new(classes, 2, 0.5)]),
            np.zeros(classes, np.int64),
            np.zeros(classes, np.int64),
        )
        if len(vectors):
            of_inputs, of_predictions = found._cells(vectors, probabilities)
            found.inputs.fill(of_inputs)
            found.predictions.fill(of_predictions)
            found.before += of_predictions[1].sum(axis=0)
        return found

    def novel(self, novelty: Floats) -> npt.NDArray[np.bool_]:
        """(n,) which inputs are farther from what taught the model than nine of ten were until a drift was found."""
        counts = np.cumsum(self.inputs.kinds[0].counts[0])
        cell = int(np.searchsorted(counts, NOVEL * counts[-1]))
        found: npt.NDArray[np.bool_] = _cell(novelty, 0, FARTHEST) > cell
        return found

    def see(self, vectors: Floats, probabilities: Floats) -> list[Alarm]:
        """Look at n more texts, in their order. Returns what was found at them."""
        of_inputs, of_predictions = self._cells(vectors, probabilities)
        found: list[Alarm] = []
        for i in range(len(vectors)):
            self._count(of_predictions[1][i])
            for name, test, cells in (
                ("inputs", self.inputs, of_inputs),
                ("predictions", self.predictions, of_predictions),
            ):
                if self.drifts(name) or (money := test.bet([kind[i] for kind in cells])) < 1 / ALARM:
                    continue
                found.append(Alarm(name, self.texts, test.onset() + 1, money))
                self._part(found[-1])
                self.alarms.append(found[-1])
        return found

    def drifts(self, name: str) -> bool:
        """Whether a drift of `inputs`, or of `predictions`, was found."""
        return any(alarm.of == name for alarm in self.alarms)

    def _cells(self, vectors: Floats, probabilities: Floats) -> tuple[list[Cells], list[Cells]]:
        inputs = self.yardstick.cells(vectors)
        doubt = np.clip(doubts(probabilities, multilabel=self.multilabel), 1e-6, 1 - 1e-6)
        logit = _cell(np.log(doubt) - np.log1p(-doubt), -SUREST, SUREST)[:, None]
        return [inputs[:, :1], inputs[:, 1:]], [logit, said(probabilities, multilabel=self.multilabel)]

    def _count(self, classes: Cells) -> None:
        """One more text, of these classes."""
        if self.alarms:
            self.after += classes
        else:
            if self.texts % EVERY == 0:
                self._blocks.append(np.zeros(len(classes), np.int64))
                if len(self._blocks) > REMEMBERED:
                    self.before += self._blocks.pop(0)
            self._blocks[-1] += classes
        self.texts += 1

    def _part(self, alarm: Alarm) -> None:
        """At the first alarm: what was before its onset, and what after."""
        if self.alarms:
            return
        begun = -(-alarm.text // EVERY) - len(self._blocks)  # blocks that are not remembered
        for number, block in enumerate(self._blocks, begun):
            if number * EVERY + 1 >= alarm.onset:
                self.after += block
            else:
                self.before += block
        self._blocks = []

    # To disk and back -------------------------------------------------------------------------------------------

    def kept(self) -> dict[str, Any]:
        """All of it as JSON but the yardstick."""
        return {
            "names": list(self.names),
            "multilabel": self.multilabel,
            "inputs": self.inputs.kept(),
            "predictions": self.predictions.kept(),
            "before": self.before.tolist(),
            "after": self.after.tolist(),
            "alarms": [asdict(alarm) for alarm in self.alarms],
            "texts": self.texts,
            "blocks": [block.tolist() for block in self._blocks],
        }

    @classmethod
    def of(cls, kept: dict[str, Any], yardstick: Yardstick) -> Drift:
        """What `kept` said."""
        return cls(
            yardstick,
            tuple(kept["names"]),
            kept["multilabel"],
            Martingale.of(kept["inputs"]),
            Martingale.of(kept["predictions"]),
            np.array(kept["before"], np.int64),
            np.array(kept["after"], np.int64),
            [Alarm(**alarm) for alarm in kept["alarms"]],
            kept["texts"],
            [np.array(block, np.int64) for block in kept["blocks"]],
        )
