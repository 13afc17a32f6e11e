"""How an encoder is tuned, and which way of tuning it is best: judged on a fold of the labels.

Knows a tower, targets and weights; no folder and no loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from agent.distill.contrastive import deal_by_class, supcon
from agent.distill.descent import Descent
from agent.distill.losses import row_losses
from agent.distill.network import seeded
from agent.distill.targets import Examples, best_temperature
from agent.distill.tower import Tower
from agent.distill.training import Progress
from agent.records import Floats, Rows
from agent.student.head import Head
from agent.student.heads import Heads, side_by_side
from agent.student.logistic import Lessons as Linear
from agent.student.teaching import Guessing, Hints, Labelled, teach

if TYPE_CHECKING:
    import torch

Way = Literal["finetuned", "contrastive"]
Kept = Literal["frozen", "finetuned", "contrastive"]

RACE = 0.4
"""The share of the budget that a way has before it is judged; the one that wins then has the rest."""
MOST_EPOCHS = 20
WEIGHT_OF_FOLD = np.float32(20)
"""How often a text of the fold counts against the prior that the temperature is about one: a head on vectors that its
texts have shaped is far too sure, so that prior is wrong here, and vectors are not to be blamed for it."""
BATCH_TOKENS, FEWEST_IN_BATCH = 2048, 16


@dataclass(frozen=True, kw_only=True)
class RefreshSettings:
    """How an encoder is refreshed.

    Attributes:
        way: that is tried against the present encoder; `auto` tries both, which takes `RACE` of the time more. The
            contrastive way had the lowest loss on the fold in four races of four (uci_sentiment with 200 labels,
            fewrel with 200 and 525, banking77 with 770).
        layers: how many layers learn, from the top.
        tokens: that go through them in all: the cost, whatever the number of labels.
        batch: texts a step.
        learning_rate, classifier_rate: at their peak, of AdamW.
        temperature: of the cosines in the contrastive loss.
        threads: of torch. The same number gives the same encoder, on one machine.
    """

    way: Literal["auto", "finetuned", "contrastive"] = "contrastive"
    layers: int = 3
    tokens: int = 30_000
    batch: int = 64
    learning_rate: float = 3e-4
    classifier_rate: float = 1e-2
    temperature: float = 0.1
    threads: int = 2


@dataclass(frozen=True)
class Beside:
    """What teaches the loop's student beside labels, and so the judge's: a tuned encoder is not to be praised for
    what names and guesses give anyway.

    Attributes:
        classes: C texts, each class's name and description; none where names teach nothing.
        others: m texts without a label, a sample.
        way, stand_for: see `agent.student.teaching.Hints`.
    """

    classes: Sequence[str] = ()
    others: Sequence[str] = ()
    way: Guessing = "self_training"
    stand_for: float = 1.0

    @property
    def texts(self) -> list[str]:
        return [*self.classes, *self.others]

    def hints(self, vectors: Floats) -> Hints:
        """Of the vectors of `texts`, (C + m, d)."""
        names, others = np.split(vectors, [len(self.classes)])
        return Hints(
            names if len(names) else None, others if len(others) else None, self.way, stand_for=self.stand_for
        )


NOTHING_BESIDE = Beside()


@dataclass(frozen=True)
class Verdict:
    """How good encoders are, by a fold of the labels.

    Attributes:
        loss: nats for each text, once the temperature is right.
        accuracy: share where the likeliest class (multilabel: every decision) is the label's.
        temperature: what the logits of the tuned encoder's head should be divided by on new texts; at least one.
    """

    loss: float
    accuracy: float
    temperature: float


@dataclass(frozen=True)
class Outcome:
    """Who won, and how each was judged."""

    kept: Kept
    verdicts: Mapping[Kept, Verdict]


class Race:
    """Ways to tune a tower, each from the same start and with the same budget, and the judge of all.

    Args:
        tower: the encoder of n known texts, then of those of `beside`; it is left as the winner has made it.
        known: n texts and what they mean.
        course: how it learns.
        progress: told (tokens learnt from, tokens in all).
        beside: what else teaches the student that judges.
    """

    def __init__(
        self,
        tower: Tower,
        known: Examples,
        course: RefreshSettings,
        progress: Progress,
        beside: Beside = NOTHING_BESIDE,
    ) -> None:
        import torch

        self.tower, self.known, self.course, self.beside = tower, known, course, beside
        self.targets = torch.from_numpy(known.targets).to(tower.device)
        self.weights = torch.from_numpy(known.teaching).to(tower.device)
        self.ways: tuple[Way, ...] = ("finetuned", "contrastive") if course.way == "auto" else (course.way,)
        self._rng = np.random.default_rng([known.seed, 5])
        self._progress, self._done = progress, 0
        self._total = round(course.tokens * (1 + RACE * (len(self.ways) - 1)))

    def run(self, present: Floats, held: Rows) -> Outcome:
        """Race, and let the winner learn on from all texts; nothing is won where no way beats the present encoders.

        Args:
            present: (n + C + m, k·d) the vectors of the tower's texts by the k encoders that the loop has now.
            held: the rows that all are judged on, and that no way learns from before.
        """
        tower, rows = self.tower, np.arange(len(self.known.texts))
        learn = np.setdiff1d(rows, held)
        verdicts: dict[Kept, Verdict] = {"frozen": self.judge(present, learn, held)}
        first, states = tower.state(), {}
        with seeded(self.known.seed), tower.upper():
            for way in self.ways:
                tower.restore(first)
                self.learn(way, learn, round(RACE * self.course.tokens))
                both = side_by_side(tower.start, tower.encode())
                verdicts[way], states[way] = self.judge(both, learn, held), tower.state()
            best: Way = min(self.ways, key=lambda w: verdicts[w].loss)
            if verdicts[best].loss >= verdicts["frozen"].loss:
                return Outcome("frozen", verdicts)
            tower.restore(states[best])
            self.learn(best, rows, round((1 - RACE) * self.course.tokens))
        return Outcome(best, verdicts)

    def judge(self, vectors: Floats, learn: Rows, held: Rows) -> Verdict:
        """On rows `held`, of the loop's student taught on rows `learn` of (n + C + m, k·d) vectors.

        Every student is given the temperature that suits it best: the fold holds texts that the loop was unsure of,
        so it says little of how sure to be, and vectors are not to be blamed for it.
        """
        known, encoders = self.known, vectors.shape[1] // self.tower.start.shape[1]
        heads = Heads(known.targets.shape[1], independent=known.multilabel, temperatures=(1.0,) * encoders)
        hints = self.beside.hints(vectors[len(known.texts) :])
        teach(heads, self._lessons(vectors, learn), self._rng_of_heads(), hints)
        tuned, view = heads.each[-1], heads.views(vectors)[-1]
        # a small fold that is all right would make a head surer still
        temperature = max(1.0, self._temperature(tuned.logits(view[held]), held))
        if encoders > 1:
            tuned.temperature *= temperature
        p = np.clip(heads.predict(vectors[held]), 1e-7, 1 - 1e-7)
        logits: Floats = np.log(p) - np.log1p(-p) if known.multilabel else np.log(p)
        targets, weights = known.targets[held], known.weights[held]
        linear = Linear(np.zeros((0, 0), np.float32), targets, weights, known.multilabel)
        tempered = (logits / max(1.0, self._temperature(logits, held))).astype(np.float32)
        loss = linear.loss(tempered)[0] / float(weights.sum())
        if known.multilabel:
            right = ((p >= 0.5) == (targets >= 0.5)).all(axis=1)
        else:
            right = p.argmax(axis=1) == targets.argmax(axis=1)
        return Verdict(float(loss), float(np.average(right, weights=weights)), temperature)

    def _temperature(self, logits: Floats, held: Rows) -> float:
        known = self.known
        weights = WEIGHT_OF_FOLD * known.weights[held]
        return best_temperature(logits, known.targets[held], weights, multilabel=known.multilabel)

    def learn(self, way: Way, rows: Rows, tokens: int) -> None:
        """Let the tower learn from these rows until so many tokens went through it."""
        batches = self._plan(way, rows, tokens)
        loss, classifier = self._contrast() if way == "contrastive" else self._classify(rows)
        groups = [(self.tower.parameters(), self.course.learning_rate), (classifier, self.course.classifier_rate)]
        descent = Descent([g for g in groups if g[0]], len(batches))
        for batch in batches:
            descent.step(loss(batch))
            self._done += sum(len(self.tower.tokens[i]) for i in batch)
            self._progress(min(self._done, self._total), self._total)

    def _plan(self, way: Way, rows: Rows, tokens: int) -> list[list[int]]:
        lengths = np.array([len(self.tower.tokens[i]) for i in rows.tolist()])
        size = int(np.clip(BATCH_TOKENS // lengths.mean(), FEWEST_IN_BATCH, self.course.batch))
        batches: list[list[int]] = []
        spent = epochs = 0
        while spent < tokens and epochs < MOST_EPOCHS:
            if way == "contrastive":
                dealt = deal_by_class(self.known.targets[rows], size, self._rng)
            else:
                order = self._rng.permutation(len(rows))
                dealt = [part.tolist() for part in np.array_split(order, -(-len(rows) // size))]
            for batch in dealt:
                if spent < tokens:
                    batches.append(rows[batch].tolist())
                    spent += int(lengths[batch].sum())
            epochs += 1
        return batches

    def _contrast(self) -> tuple[Callable[[list[int]], torch.Tensor], list[Any]]:
        def loss(batch: list[int]) -> torch.Tensor:
            vectors, temperature = self.tower.vectors(batch), self.course.temperature
            targets, weights = self.targets[batch], self.weights[batch]
            return supcon(vectors, targets, weights, temperature=temperature, multilabel=self.known.multilabel)

        return loss, []

    def _classify(self, rows: Rows) -> tuple[Callable[[list[int]], torch.Tensor], list[Any]]:
        """The classifier starts as the loop's head, temperature included; see `agent.distill.finetune.warm_start`."""
        import torch

        head = Head(self.known.targets.shape[1], independent=self.known.multilabel)
        head.fit(*self._lessons(self.tower.encode(), rows).arrays, self._rng_of_heads())
        start = torch.from_numpy(head.weights / np.float32(head.temperature)).to(self.tower.device)
        weights, bias = torch.nn.Parameter(start[:-1].clone()), torch.nn.Parameter(start[-1].clone())

        def loss(batch: list[int]) -> torch.Tensor:
            logits = self.tower.vectors(batch) @ weights + bias
            losses = row_losses(logits, self.targets[batch], multilabel=self.known.multilabel)
            return (self.weights[batch] * losses).sum() / self.weights[batch].sum()

        return loss, [weights, bias]

    def _lessons(self, vectors: Floats, rows: Rows) -> Labelled:
        return Labelled(vectors[rows], self.known.targets[rows], self.known.teaching[rows])

    def _rng_of_heads(self) -> np.random.Generator:
        return np.random.default_rng([self.known.seed, 6])
