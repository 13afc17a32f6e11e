"""Two networks that teach each other: in each step either learns what the other finds easy; wrong labels are hard.

Co-teaching of Han et al. 2018 (arXiv:1804.06872, algorithm 1). Knows networks and lessons; no label's provenance and
no file.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from agent.distill.checkpoint import Checkpoint
from agent.distill.epochs import go_down
from agent.distill.finetune import Course, Lessons, Trained, held_losses, manner_of
from agent.distill.losses import row_losses, small_losses, surprise
from agent.distill.network import Network
from agent.distill.training import Best, Progress
from agent.records import Floats

if TYPE_CHECKING:
    import torch

RISES = 0.5
"""Of all epochs, in how many the share that is forgotten rises."""


def bootstrapped(lessons: Lessons, seed: int) -> Lessons:
    """The lessons with weights drawn at random, so that a second network begins elsewhere than the first and no class
    is lost (the Bayesian bootstrap of Rubin 1981)."""
    drawn = np.random.default_rng([seed, 9]).exponential(size=len(lessons)).astype(np.float32)
    return replace(lessons, weights=lessons.weights * np.maximum(drawn, np.float32(1e-3)))


def share_forgotten(noise: float, epoch: int, epochs: int) -> float:
    """Of doubtful lessons, how many are not learnt in an epoch, counted from nought: 1 - R(T) of the paper."""
    return noise * min(1.0, (epoch + 1) / math.ceil(RISES * epochs))


class Twins:
    """Two networks that learn the same lessons side by side, in one training.

    What of a lesson's loss remains when the least that its soft target allows is taken off is what makes it hard: a
    label that is said softly is not for that a wrong one.

    Args:
        first, second: warm-started, and not from the same weights.
        doubtful: (n,) which lessons' labels may be wrong; the others are always learnt.
        noise: the share of those that is.
    """

    def __init__(
        self, first: Network, second: Network, lessons: Lessons, doubtful: npt.NDArray[np.bool_], noise: float
    ) -> None:
        self._networks, self._lessons, self._doubtful, self._noise = (first, second), lessons, doubtful, noise
        self._least = surprise(lessons.targets, lessons.targets, multilabel=False)
        self._epoch, self._share, self._seed = 0, 0.0, 0

    def learn(
        self, course: Course, held_out: Lessons | None, progress: Progress, checkpoint: Checkpoint | None
    ) -> tuple[Network, Trained]:
        """Train both, in place; the same arguments give the same weights, also where one was killed and goes on.

        Returns the one that loses less on held-out lessons, or the first where none are held out.
        """
        import torch

        both = torch.nn.ModuleList([network.model for network in self._networks])
        epochs, self._seed = course.epochs_of(len(self._lessons)), course.seed

        def begins(epoch: int) -> None:
            self._epoch, self._share = epoch, share_forgotten(self._noise, epoch, epochs)

        judge = None if held_out is None else lambda: self._better(held_out)[1]
        best = Best(both, judge, course.patience)
        losses = go_down(
            both,
            [len(t) for t in self._lessons.tokens],
            self.loss_of,
            epochs=epochs,
            rate=course.learning_rate,
            seed=course.seed,
            dropout=True,
            progress=progress,
            manner=replace(manner_of(self._networks[0], self._lessons, course, best), begins=begins),
            checkpoint=checkpoint,
        )
        trained = Trained(best.epochs(len(losses)), tuple(losses), tuple(best.losses))
        if held_out is None:
            return self._networks[0], trained
        return self._better(held_out)[0], trained

    def _better(self, held_out: Lessons) -> tuple[Network, Floats]:
        """Whichever of the two loses less on held-out lessons, and what it loses on each."""
        return min(((n, held_losses(n, held_out)) for n in self._networks), key=lambda found: found[1].mean())

    def loss_of(self, batch: list[int]) -> tuple[torch.Tensor, float]:
        """What both lose on what each has chosen for the other, and the weight of that."""
        import torch

        tokens = [self._lessons.tokens[i] for i in batch]
        device = self._networks[0].device
        targets, weights = (
            torch.from_numpy(a[batch]).to(device) for a in (self._lessons.targets, self._lessons.weights)
        )
        losses = [row_losses(n.forward(tokens), targets, multilabel=False) for n in self._networks]
        rng = np.random.default_rng([self._seed, self._epoch, *batch])
        easy = [self._easy(batch, loss, rng) for loss in losses]
        learnt = [weights * torch.from_numpy(kept).to(device) for kept in reversed(easy)]
        total = sum((w * loss).sum() for w, loss in zip(learnt, losses, strict=True))
        return torch.as_tensor(total), float(sum(w.sum() for w in learnt))

    def _easy(self, batch: list[int], losses: torch.Tensor, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
        above = losses.detach().float().cpu().numpy() - self._least[batch]
        return small_losses(above, self._doubtful[batch], self._share, rng)
