"""Fine-tuning: a network learns soft targets, on two cores or on a GPU.

Knows tokens, targets and weights; no label's provenance and no file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from agent.distill.network import Network, Tokens, by_length, has_fast_bfloat16, seeded
from agent.records import Floats, Rows
from agent.student.head import Head
from agent.student.logistic import Lessons as Linear

if TYPE_CHECKING:
    import torch

Progress = Callable[[int, int], None]
"""(texts seen, texts to see): called after each step."""

TEXTS_SEEN = 1500
"""What `epochs: auto` aims at: on BBC news with noisy labels accuracy was flat from 600 seen texts on."""
FEWEST_EPOCHS, MOST_EPOCHS = 3, 10
BATCH_TEXTS, BATCH_TOKENS = 16, 4096
GROUPED_BATCHES = 8
"""Texts are sorted by length within so many batches: little padding, and still another mixture every epoch."""
WARM_UP = 0.1
CLIP_NORM = 1.0
WEIGHT_DECAY = 0.01


@dataclass(frozen=True)
class Lessons:
    """What is to be learnt.

    Attributes:
        tokens: of each of n texts, as `Network.tokens` gives them.
        targets: (n, C) float32, soft; rows sum to one, or are C decisions of their own for multilabel.
        weights: (n,) float32, above zero.
    """

    tokens: Tokens
    targets: Floats
    weights: Floats

    def __len__(self) -> int:
        return len(self.tokens)

    def part(self, rows: Rows) -> Lessons:
        return Lessons([self.tokens[i] for i in rows.tolist()], self.targets[rows], self.weights[rows])


@dataclass(frozen=True)
class Course:
    """How to learn.

    Attributes:
        epochs: passes over the lessons; `auto` chooses by their number.
        learning_rate: at its peak, of AdamW.
        seed: of the order, of dropout and of the head's folds.
        patience: with lessons held out, stop after so many epochs without a lower loss on them.
    """

    epochs: int | Literal["auto"] = "auto"
    learning_rate: float = 2e-5
    seed: int = 0
    patience: int = 2


@dataclass(frozen=True)
class Trained:
    """What came of it.

    Attributes:
        epochs: that the weights now in the network were trained for.
        losses: mean loss in nats of each epoch, while learning.
        held_out: mean loss in nats on the held-out lessons, before the first epoch and after each; may be empty.
    """

    epochs: int
    losses: tuple[float, ...] = ()
    held_out: tuple[float, ...] = field(default=())


def epochs_for(lessons: int) -> int:
    """What `epochs: auto` means for so many lessons."""
    return min(MOST_EPOCHS, max(FEWEST_EPOCHS, round(TEXTS_SEEN / max(1, lessons))))


def warm_start(network: Network, lessons: Lessons, seed: int) -> Head:
    """Give the classifier the weights of a penalised logistic regression on what it reads, temperature included.

    A random classifier would first send noise through the encoder (Kumar et al. 2022, arXiv 2202.10054); this one
    starts where the loop's own head ends. The penalty is chosen by cross-validation, so noisy labels are not learnt
    by heart. Returns the head, with what it said of texts it had not seen.
    """
    features = network.features(lessons.tokens)
    scale = np.float32(max(float(np.linalg.norm(features, axis=1).mean()), 1e-6))
    head = Head(len(network.names), independent=network.multilabel)
    head.fit(features / scale, lessons.targets, lessons.weights, np.random.default_rng([seed, len(lessons)]))
    weights = head.weights / np.float32(head.temperature)
    network.set_classifier(weights[:-1] / scale, weights[-1])
    return head


def finetune(
    network: Network,
    lessons: Lessons,
    course: Course,
    held_out: Lessons | None = None,
    progress: Progress = lambda done, total: None,
) -> Trained:
    """Train the whole network, in place. The same arguments on the same machine give the same weights.

    Word vectors stay as they are: a few hundred labels touch few of them, and they are half of MiniLM. The loss is
    cross-entropy with soft targets, or for multilabel that of each decision, summed. Global generators are put back.
    """
    epochs = epochs_for(len(lessons)) if course.epochs == "auto" else course.epochs
    rng = np.random.default_rng([course.seed, 1])
    plan = [deal([len(t) for t in lessons.tokens], rng) for _ in range(epochs)]
    for parameter in network.model.get_input_embeddings().parameters():
        parameter.requires_grad_(False)
    best = _Best(network, held_out)
    with seeded(course.seed):
        learner = _Learner(network, lessons, course.learning_rate, [len(p) for p in plan])
        losses, seen = [], 0
        for batches in plan:
            total = 0.0
            for batch in batches:
                total += learner.step(batch)
                seen += len(batch)
                progress(seen, len(lessons) * epochs)
            losses.append(total / float(lessons.weights.sum()))
            if best.stale(course.patience):
                break
    return Trained(best.restore(len(losses)), tuple(losses), tuple(best.losses))


def mean_loss(network: Network, lessons: Lessons) -> float:
    """Nats for each lesson, by weight, without dropout."""
    linear = Linear(np.zeros((0, 0), np.float32), lessons.targets, lessons.weights, network.multilabel)
    return linear.loss(network.logits(lessons.tokens))[0] / float(lessons.weights.sum())


def deal(lengths: Sequence[int], rng: np.random.Generator) -> list[list[int]]:
    """All indices once, in shuffled batches of like length, of at most BATCH_TEXTS texts and BATCH_TOKENS tokens."""
    order = rng.permutation(len(lengths)).tolist()
    group = BATCH_TEXTS * GROUPED_BATCHES
    batches = []
    for start in range(0, len(order), group):
        rows = order[start : start + group]
        for batch in by_length([lengths[i] for i in rows], BATCH_TOKENS, BATCH_TEXTS):
            batches.append([rows[i] for i in batch])
    return [batches[i] for i in rng.permutation(len(batches)).tolist()]


class Descent:
    """AdamW with linear warm-up and decay, and gradient clipping.

    Args:
        groups: (parameters, peak learning rate) of each group.
        steps: that will be made in all.
    """

    def __init__(self, groups: Sequence[tuple[list[Any], float]], steps: int) -> None:
        import torch

        self.parameters = [p for parameters, _ in groups for p in parameters]
        named = [{"params": parameters, "lr": rate} for parameters, rate in groups]
        self.optimizer = torch.optim.AdamW(named, weight_decay=WEIGHT_DECAY, fused=True)
        warm = max(1.0, WARM_UP * steps)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: min((step + 1) / warm, (steps - step) / max(1.0, steps - warm))
        )

    def step(self, loss: torch.Tensor) -> None:
        """Go down along the gradient of `loss`."""
        import torch

        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.parameters, CLIP_NORM)
        self.optimizer.step()
        self.schedule.step()


class _Learner:
    """Learns batch by batch, with bfloat16 arithmetic where the machine has it."""

    def __init__(self, network: Network, lessons: Lessons, rate: float, batches: Sequence[int]) -> None:
        self.network, self.lessons = network, lessons
        learnt = [p for p in network.model.parameters() if p.requires_grad]
        self.descent = Descent([(learnt, rate)], sum(batches))
        # an average batch, so that a small batch does not make its texts count for more
        self.share = float(lessons.weights.sum()) * len(batches) / sum(batches)
        self.fast = has_fast_bfloat16(network.device)

    def step(self, batch: list[int]) -> float:
        """Learn from one batch. Returns the sum of its weighted losses in nats."""
        import torch

        self.network.model.train()
        with torch.autocast(self.network.device, torch.bfloat16, enabled=self.fast):
            logits = self.network.forward([self.lessons.tokens[i] for i in batch])
        targets, weights = (
            torch.from_numpy(a[batch]).to(logits.device) for a in (self.lessons.targets, self.lessons.weights)
        )
        loss = (weights * row_losses(logits, targets, multilabel=self.network.multilabel)).sum()
        self.descent.step(loss / self.share)
        return float(loss.detach())


def row_losses(logits: torch.Tensor, targets: torch.Tensor, *, multilabel: bool) -> torch.Tensor:
    """(n,) nats: cross-entropy of each row, or the sum of its C decisions' for multilabel."""
    import torch

    if multilabel:
        each = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        return each.sum(dim=1)
    return -(targets * torch.log_softmax(logits, dim=1)).sum(dim=1)


class _Best:
    """Watches the loss on held-out lessons and keeps the weights of the best epoch."""

    def __init__(self, network: Network, held_out: Lessons | None) -> None:
        self.network, self.held_out = network, held_out
        self.losses: list[float] = []
        self._weights: dict[str, Any] = {}
        if held_out is not None:
            self._look()

    def stale(self, patience: int) -> bool:
        """Called after each epoch: whether the loss has not fallen for `patience` of them."""
        if self.held_out is None:
            return False
        self._look()
        return len(self.losses) - 1 - int(np.argmin(self.losses)) >= patience

    def restore(self, epochs: int) -> int:
        """Put the best weights back. Returns how many epochs they were trained for."""
        self.network.model.eval()
        if self.held_out is None:
            return epochs
        self.network.model.load_state_dict(self._weights, strict=False)
        return int(np.argmin(self.losses))

    def _look(self) -> None:
        assert self.held_out is not None
        self.losses.append(mean_loss(self.network, self.held_out))
        if int(np.argmin(self.losses)) == len(self.losses) - 1:
            learnt = {name for name, p in self.network.model.named_parameters() if p.requires_grad}
            state = self.network.model.state_dict()
            self._weights = {k: v.detach().clone() for k, v in state.items() if k in learnt}
