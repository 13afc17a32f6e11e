"""Numbers into a model of your own: a standard `transformers` sequence classifier with one output, a regression.

It learns on the scale mapped to 0 to 1; the mapping is folded into its last layer at the end, so that
`pipeline("text-classification", function_to_apply="none")` gives the number itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.distill.card import Card, Figure
from agent.distill.checkpoint import PACE, Checkpoint, Note, Pace
from agent.distill.distil import MEASURED_FROM, save_with_card
from agent.distill.epochs import PLAIN, Manner, Passes, go_down
from agent.distill.fingerprint import fingerprint_of
from agent.distill.network import Network, Tokens, saved_config
from agent.distill.shown import public_name
from agent.distill.tables import Kind
from agent.distill.training import Progress
from agent.errors import ModelError
from agent.job import DistilSettings
from agent.records import Floats, Prediction
from agent.student.encoder import Encoder
from agent.student.ridge import PRIOR_SPREAD, Expected, Ridge, doubt_in
from agent.tasks.intervals import wilson
from agent.tasks.scale import Scale, within

if TYPE_CHECKING:
    import torch

PASSES = Passes(seen=1500, fewest=3, most=10)
REGRESSION = "regression"
SCALE, SPREAD = "score_scale", "score_spread"
"""Of a saved model's configuration: low, high and step; and how far labels lie from what it says, as a standard
deviation and its degrees of freedom. `transformers` hands both through."""


@dataclass(frozen=True)
class GradeLessons:
    """Texts, the (n,) float32 number of each, and (n,) float32 weights above zero."""

    texts: Sequence[str]
    grades: Floats
    weights: Floats


class Grades:
    """A regression and its tokenizer.

    Attributes:
        network: its one output is a number on the scale, now and then a little beyond an end.
        scale: that it was taught.
        spread, freedom: standard deviation and degrees of freedom of the t distribution of labels about what it says.
    """

    names: tuple[str, ...] = ()
    multilabel = False
    columns = None

    def __init__(self, network: Network, scale: Scale, spread: float, freedom: float) -> None:
        self.network, self.scale, self.spread, self.freedom = network, scale, spread, freedom

    @classmethod
    def load(cls, folder: Path, batch_tokens: int = 8192) -> Grades:
        """A folder that `distil_grades` wrote. Raises ModelError, also for another's, whose scale nobody knows."""
        network = Network.load(folder, batch_tokens)
        config = network.model.config
        try:
            scale, (spread, freedom) = Scale(*getattr(config, SCALE)), getattr(config, SPREAD)
        except (AttributeError, TypeError, ValueError):
            raise ModelError(
                f"{folder}: a regression whose scale is not known, since `distil` did not make it (its config.json "
                f"has no `{SCALE}`)"
            ) from None
        return cls(network, scale, float(spread), float(freedom))

    def scores(self, texts: Sequence[str]) -> Floats:
        """(n,) float32: what the network says, kept on the scale but not snapped to its step."""
        said = self.network.logits(self.network.tokens(texts))[:, 0] if texts else np.empty(0, np.float32)
        found: Floats = np.clip(said, self.scale.low, self.scale.high)
        return found

    def predict(self, texts: Sequence[str]) -> Prediction:
        """Values of n texts, snapped to the step, and the probability that a label would be further from each than
        the scale's tolerance."""
        _, values, doubt = self._said(texts)
        return Prediction(values, doubt)

    def _said(self, texts: Sequence[str]) -> tuple[list[float], list[float], Floats]:
        """Scores of n texts, their values, and the (n,) doubt in these."""
        scores = self.scores(texts).astype(np.float64)
        values = [self.scale.snapped(score) for score in scores.tolist()]
        expected = Expected(scores, np.full(len(scores), self.spread), self.freedom)
        return scores.tolist(), values, doubt_in(np.asarray(values, np.float64), expected, self.scale)

    def adds(self) -> dict[str, Kind]:
        """The number, not snapped, and how likely a label would be near its grade."""
        return {"score": Kind.NUMBER, "confidence": Kind.NUMBER}

    def rows(self, texts: Sequence[str]) -> Iterator[list[Any]]:
        """What `adds` names, of each text."""
        for row in self.told(texts):
            yield [row["score"], row["confidence"]]

    def told(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """The same as JSON."""
        scores, _, doubt = self._said(texts)
        return [
            {"score": round(score, 6), "confidence": round(1 - unsure, 6)}
            for score, unsure in zip(scores, doubt.tolist(), strict=True)
        ]

    def save(self, folder: Path) -> None:
        """Weights (safetensors), configuration and tokenizer. Raises OSError."""
        config = self.network.model.config
        setattr(config, SCALE, [self.scale.low, self.scale.high, self.scale.step])
        setattr(config, SPREAD, [self.spread, self.freedom])
        self.network.save(folder)


def open_network(encoder: Encoder, seed: int) -> Network:
    """The encoder with one number on top. Raises ModelError where that cannot be folded onto a scale."""
    network = Network.open(encoder, ("score",), multilabel=False, seed=seed)
    network.model.config.problem_type = REGRESSION
    if network.classifier().bias is None:
        raise ModelError(f"{encoder.name}: the last layer of its classifier has no bias, and a number needs one")
    return network


def warm_start(network: Network, tokens: Tokens, shares: Floats, weights: Floats) -> Ridge:
    """Give the last layer the weights of a Bayesian linear regression on what it reads, which is returned."""
    ridge = Ridge(PRIOR_SPREAD)
    ridge.fit(network.features(tokens), shares, weights)
    bias = np.array([ridge.intercept], np.float32)
    network.set_classifier(ridge.coefficients[:, None].astype(np.float32), bias)
    return ridge


def train(
    network: Network,
    lessons: tuple[Tokens, Floats, Floats],
    *,
    epochs: int,
    rate: float,
    seed: int,
    progress: Progress,
    manner: Manner = PLAIN,
    checkpoint: Checkpoint | None = None,
) -> list[float]:
    """Teach a network numbers from 0 to 1, in place; the same arguments on one machine give the same weights, also
    where it was killed and goes on from what `checkpoint` has.

    Dropout stays off: what it takes away and scales up again has another variance than what is read without it, and
    a number, unlike the likeliest of several classes, is off by that. On 100 made-up texts (one seed, a tiny encoder)
    whose numbers a linear regression says all but exactly, the mean error after eight epochs was 0.15 with it and
    0.08 without, at a rate of 3e-5, and 0.36 and 0.07 at 3e-4. On real text it was not measured.

    Args:
        lessons: tokens of n texts, (n,) numbers, (n,) weights.

    Returns the mean squared error of each epoch.
    """
    import torch

    tokens, shares, weights = lessons

    def loss_of(batch: list[int]) -> tuple[torch.Tensor, float]:
        said = network.forward([tokens[i] for i in batch])[:, 0]
        wanted, count = (torch.from_numpy(a[batch]).to(said.device) for a in (shares, weights))
        return (count * (said - wanted) ** 2).sum(), float(count.sum())

    lengths = [len(t) for t in tokens]
    return go_down(
        network.model,
        lengths,
        loss_of,
        epochs=epochs,
        rate=rate,
        seed=seed,
        dropout=False,
        progress=progress,
        manner=manner,
        checkpoint=checkpoint,
    )


def fold_in(network: Network, scale: Scale) -> None:
    """What said 0 to 1 says the scale's own numbers from now on, by its last layer."""
    import torch

    last = network.classifier()
    with torch.no_grad():
        last.weight.mul_(scale.width)
        last.bias.mul_(scale.width).add_(scale.low)


def distil_grades(
    lessons: GradeLessons,
    scale: Scale,
    settings: DistilSettings,
    *,
    encoder: Encoder,
    folder: Path,
    seed: int,
    facts: Mapping[str, Any] | None = None,
    progress: Progress = lambda done, total: None,
    note: Note = lambda said: None,
    pace: Pace = PACE,
) -> Grades:
    """Fine-tune `encoder` on the numbers of texts and save a standard `transformers` folder with its card.

    Where a process is killed and another one is started it goes on, and ends with the same weights.

    The last layer starts as a linear regression; how far that was off texts that it had not seen (leave-one-out) is
    what the model's confidence rests on, since its own errors on what it learnt say nothing.

    Args:
        lessons: what is learnt.
        settings: epochs and learning rate; the loss is the squared error, whatever `loss` says.
        folder: replaced in one step; until then, and after any failure, the old one stands.
        facts: for the model card, see `agent.distill.card.Card`.
        progress: told (texts seen, texts to see).
        note: told that it goes on.
        pace: how often it is kept where it stands.

    Raises ModelError where the encoder cannot be used, or the folder not be written.
    """
    began = time.monotonic()
    network = open_network(encoder, seed)
    tokens = network.tokens(lessons.texts)
    shares = ((lessons.grades - scale.low) / scale.width).astype(np.float32)
    ridge = warm_start(network, tokens, shares, lessons.weights)
    epochs = PASSES.over(len(tokens), settings.epochs)
    taught = (tokens, shares, lessons.weights)
    what = [list(lessons.texts), [scale.low, scale.high, scale.step], seed]
    mark = fingerprint_of(what, [lessons.grades, lessons.weights], settings, encoder.key)
    losses = train(
        network,
        taught,
        epochs=epochs,
        rate=settings.rate(),
        seed=seed,
        progress=progress,
        manner=Manner.of(settings),
        checkpoint=Checkpoint(folder, mark, pace, note),
    )
    fold_in(network, scale)
    spread = _spread(ridge, shares, lessons.weights)
    grades = Grades(network, scale, scale.width * spread, ridge.freedom)
    training = {
        "encoder": public_name(encoder.name),
        "seed": seed,
        "epochs": epochs,
        "learning rate": settings.rate(),
        "texts learnt from": len(tokens),
        "root mean squared error at the end, on what it learnt": round(scale.width * math.sqrt(losses[-1]), 4),
        "standard deviation that its confidence rests on": round(grades.spread, 4),
        "seconds": round(time.monotonic() - began, 1),
    }
    figures = _figures(ridge, lessons.grades, scale)
    card = Card((), False, encoder.name, encoder.max_tokens, training, figures, facts or {}, scale=str(scale))
    save_with_card(grades, card, folder)
    return grades


def _spread(ridge: Ridge, shares: Floats, weights: Floats) -> float:
    """How far labels were from what was expected without them, with what a prior adds while there are few."""
    squares = float((weights * (ridge.left_out - shares) ** 2).sum())
    return math.sqrt((squares + PRIOR_SPREAD**2) / (float(weights.sum()) + 1))


def _figures(ridge: Ridge, grades: Floats, scale: Scale) -> tuple[Figure, ...]:
    """The share within the tolerance by leave-one-out, before the encoder learnt; nothing for a handful."""
    if len(grades) < MEASURED_FROM:
        return ()
    said = np.array([scale.snapped(scale.low + scale.width * share) for share in ridge.left_out.tolist()])
    near = within(grades.astype(np.float64), said, scale)
    lo, hi = wilson(float(near.sum()), len(near))
    on = "labels, each left out, before fine-tuning"
    return (Figure("within", float(near.mean()), lo, hi, len(near), on),)


def is_grader(folder: Path) -> bool:
    """Whether a folder holds a regression."""
    return saved_config(folder).get("problem_type") == REGRESSION
