"""A training step by step: a network, its descent, its place in the plan, and the best epoch so far.

Knows lessons and a plan of batches; not who made them, and no file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from agent.distill.checkpoint import Checkpoint, Saved
from agent.distill.descent import Descent
from agent.distill.losses import row_losses
from agent.distill.network import Network, Tokens, has_fast_bfloat16
from agent.records import Floats, Rows
from agent.student.logistic import Lessons as Linear

LAYER = re.compile(r"\.(?:layers?|h)\.(\d+)\.")
"""Where the number of a layer stands in the name of a parameter."""
Progress = Callable[[int, int], None]
"""(texts seen, texts to see): called after each step."""


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
        q: of the loss, see `agent.distill.losses.row_losses`; nought is cross-entropy.
        layer_decay: each layer learns at so many times the rate of the one above it.
    """

    epochs: int | Literal["auto"] = "auto"
    learning_rate: float = 2e-5
    seed: int = 0
    patience: int = 2
    q: float = 0.0
    layer_decay: float = 1.0


class Training:
    """A training and where it stands, which can be kept and taken up again.

    All batches are drawn before the first step, so of numpy's generators there is nothing to keep.

    Args:
        network: what learns.
        lessons: n of them.
        plan: of each epoch the batches, of indices into the lessons.
        course: how it learns.
        held_out: what picks the best epoch.

    Attributes:
        losses: of each epoch that is over.
        best: the weights of the best of them.
    """

    def __init__(
        self,
        network: Network,
        lessons: Lessons,
        plan: Sequence[Sequence[list[int]]],
        course: Course,
        held_out: Lessons | None,
    ) -> None:
        self._network, self._plan, self._patience = network, plan, course.patience
        self._learner = _Learner(network, lessons, course, [len(batches) for batches in plan])
        self._texts = len(lessons) * len(plan)
        self._weight = float(lessons.weights.sum())
        self._batches, self._total = 0, 0.0  # of the epoch that is not over
        self.best = _Best(network, held_out)
        self.losses: list[float] = []

    def run(self, progress: Progress, checkpoint: Checkpoint | None) -> None:
        """Learn until the plan is over, or the held-out loss has not fallen for too long."""
        done = [batch for batches in self._plan[: len(self.losses)] for batch in batches]
        seen = sum(map(len, done))
        self.best.begin()
        while len(self.losses) < len(self._plan) and not self.best.stale(self._patience):
            batches = self._plan[len(self.losses)]
            seen += sum(map(len, batches[: self._batches]))
            for batch in batches[self._batches :]:
                self._total += self._learner.step(batch)
                self._batches += 1
                seen += len(batch)
                if checkpoint is not None and self._batches < len(batches) and checkpoint.due():
                    checkpoint.write(self.state())
                progress(seen, self._texts)
            self.losses.append(self._total / self._weight)
            self._batches, self._total = 0, 0.0
            self.best.look()
            if checkpoint is not None and len(self.losses) < len(self._plan) and checkpoint.due(epoch_ends=True):
                checkpoint.write(self.state())

    def state(self) -> Saved:
        import torch

        tensors = {f"weights/{name}": value for name, value in learnt(self._network).items()}
        tensors |= {f"best/{name}": value for name, value in self.best.weights.items()}
        tensors |= {f"descent/{name}": value for name, value in self._learner.descent.state().items()}
        tensors["random"] = torch.get_rng_state()
        if self._network.device == "cuda":
            tensors["random_cuda"] = torch.cuda.get_rng_state()
        place = {
            "losses": self.losses,
            "held_out": self.best.losses,
            "batches": self._batches,
            "total": self._total,
            "steps": self._learner.descent.done,
        }
        return Saved(tensors, place)

    def restore(self, saved: Saved) -> None:
        import torch

        def part(name: str) -> dict[str, Any]:
            return {k.removeprefix(name): v for k, v in saved.tensors.items() if k.startswith(name)}

        place = saved.place
        self._network.model.load_state_dict(part("weights/"), strict=False)
        self._learner.descent.restore(part("descent/"), place["steps"])
        self.best.weights, self.best.losses = part("best/"), list(place["held_out"])
        self.losses, self._batches, self._total = list(place["losses"]), place["batches"], place["total"]
        torch.set_rng_state(saved.tensors["random"])
        if "random_cuda" in saved.tensors:
            torch.cuda.set_rng_state(saved.tensors["random_cuda"])


def learnt(network: Network) -> dict[str, Any]:
    """The parameters that learn, by name; not a copy."""
    return {name: p.detach() for name, p in network.model.named_parameters() if p.requires_grad}


def by_depth(network: Network, rate: float, decay: float) -> list[tuple[list[Any], float]]:
    """The parameters that learn and the rate of each group of them: `decay` times that of the layer above.

    Howard and Ruder 2018 (arXiv 1801.06146, sec. 3.2). What lies above the layers learns at the whole rate, what lies
    below them, if anything, at the lowest one.
    """
    named = [(name, p) for name, p in network.model.named_parameters() if p.requires_grad]
    if decay == 1:
        return [([p for _, p in named], rate)]
    numbers = [int(found[1]) if (found := LAYER.search(name)) else None for name, _ in named]
    depth = 1 + max((n for n in numbers if n is not None), default=-1)
    groups: dict[int, list[Any]] = {}
    for (name, p), number in zip(named, numbers, strict=True):
        below = depth - number if number is not None else depth + 1 if "embeddings" in name else 0
        groups.setdefault(below, []).append(p)
    return [(groups[below], rate * decay**below) for below in sorted(groups)]


class _Learner:
    """Learns batch by batch, with bfloat16 arithmetic where the machine has it."""

    def __init__(self, network: Network, lessons: Lessons, course: Course, batches: Sequence[int]) -> None:
        self.network, self.lessons = network, lessons
        self.descent = Descent(by_depth(network, course.learning_rate, course.layer_decay), sum(batches))
        self._q = course.q
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
        loss = (weights * row_losses(logits, targets, multilabel=self.network.multilabel, q=self._q)).sum()
        self.descent.step(loss / self.share)
        return float(loss.detach())


class _Best:
    """Watches the loss on held-out lessons and keeps the weights of the best epoch.

    Attributes:
        losses: before the first epoch and after each; none where nothing is held out.
        weights: of the best, by name.
    """

    def __init__(self, network: Network, held_out: Lessons | None) -> None:
        self._network, self._held_out = network, held_out
        self.losses: list[float] = []
        self.weights: dict[str, Any] = {}

    def begin(self) -> None:
        """Look at the network that nothing was taught yet, unless that was done."""
        if not self.losses:
            self.look()

    def look(self) -> None:
        """Called after each epoch."""
        if self._held_out is None:
            return
        self.losses.append(mean_loss(self._network, self._held_out))
        if int(np.argmin(self.losses)) == len(self.losses) - 1:
            self.weights = {name: value.clone() for name, value in learnt(self._network).items()}

    def stale(self, patience: int) -> bool:
        """Whether the loss has not fallen for `patience` epochs."""
        return len(self.losses) > 1 and len(self.losses) - 1 - int(np.argmin(self.losses)) >= patience

    def restore(self, epochs: int) -> int:
        """Put the best weights back. Returns how many epochs they were trained for."""
        self._network.model.eval()
        if self._held_out is None:
            return epochs
        self._network.model.load_state_dict(self.weights, strict=False)
        return int(np.argmin(self.losses))


def mean_loss(network: Network, lessons: Lessons) -> float:
    """Nats for each lesson, by weight, without dropout."""
    linear = Linear(np.zeros((0, 0), np.float32), lessons.targets, lessons.weights, network.multilabel)
    return linear.loss(network.logits(lessons.tokens))[0] / float(lessons.weights.sum())
