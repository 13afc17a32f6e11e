"""A training step by step: a model, its loss, its descent, its place in the plan, and the epoch that counts so far.

Knows batches of numbered lessons; not what a lesson is, who made the plan, and no file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from agent.distill.checkpoint import Checkpoint, Saved
from agent.distill.descent import Descent
from agent.records import Floats

if TYPE_CHECKING:
    import torch

ERRORS_APART = 1.96
"""Standard errors between two losses that are apart beyond chance."""
Progress = Callable[[int, int], None]
"""(texts seen, texts to see): called after each step."""
Step = list[list[int]]
"""Batches that go through the model one by one, and whose gradients are added up: then one step is made."""
Begins = Callable[[int], None]
LossOf = Callable[[list[int]], "tuple[torch.Tensor, float]"]
"""A batch, as indices, to the sum of its weighted losses and the sum of the weights."""


class Training:
    """A training and where it stands, which can be kept and taken up again.

    All batches are drawn before the first step, so of numpy's generators there is nothing to keep.

    Args:
        model: the `transformers` model that learns.
        plan: of each epoch the steps, of batches as `loss_of` takes them.
        loss_of: of one batch.
        descent: on the model's parameters that learn.
        best: what picks the best epoch, and ends the training early.
        dropout: whether it is on while the model learns.
        share: what the loss of each step is divided by; its own weight where None.
        begins: told the number of each epoch, from nought, before its steps are made or gone on with.

    Attributes:
        losses: mean of each epoch that is over, by weight.
    """

    def __init__(
        self,
        model: Any,
        plan: Sequence[Sequence[Step]],
        loss_of: LossOf,
        descent: Descent,
        best: Best,
        *,
        dropout: bool = True,
        share: float | None = None,
        begins: Begins | None = None,
    ) -> None:
        self._model, self._plan, self._loss_of, self._descent = model, plan, loss_of, descent
        self._best, self._dropout, self._share, self._begins = best, dropout, share, begins
        self._steps, self._total, self._weight = 0, 0.0, 0.0  # of the epoch that is not over
        self.losses: list[float] = []

    def run(self, progress: Progress, checkpoint: Checkpoint | None) -> None:
        """Learn until the plan is over, or it has been worse for too long."""
        texts = sum(map(_texts, self._plan))
        seen = sum(map(_texts, self._plan[: len(self.losses)]))
        self._best.begin()
        while len(self.losses) < len(self._plan) and not self._best.stale():
            steps = self._plan[len(self.losses)]
            seen += _texts(steps[: self._steps])
            self._model.train(self._dropout)
            if self._begins is not None:
                self._begins(len(self.losses))
            for step in steps[self._steps :]:
                self._make(step)
                seen += _texts([step])
                if checkpoint is not None and self._steps < len(steps) and checkpoint.due():
                    checkpoint.write(self.state())
                progress(seen, texts)
            self.losses.append(self._total / (self._weight or 1.0))
            self._steps, self._total, self._weight = 0, 0.0, 0.0
            self._best.look()
            if checkpoint is not None and len(self.losses) < len(self._plan) and checkpoint.due(epoch_ends=True):
                checkpoint.write(self.state())

    def _make(self, step: Step) -> None:
        """Make a step. Its whole weight is known after its last batch, so the first one's stands for it till then."""
        self._descent.forget()
        first = whole = 0.0
        for batch in step:
            loss, weight = self._loss_of(batch)
            first, whole = first or weight, whole + weight
            if weight:
                self._descent.add(loss / (self._share or first))
            self._total += float(loss.detach())
        if whole:
            self._descent.go(1.0 if self._share or len(step) == 1 else first / whole)
        self._weight += whole
        self._steps += 1

    def state(self) -> Saved:
        import torch

        tensors = {f"weights/{name}": value for name, value in learnt(self._model).items()}
        tensors |= {f"best/{name}": value for name, value in self._best.weights.items()}
        tensors |= {f"descent/{name}": value for name, value in self._descent.state().items()}
        tensors["random"] = torch.get_rng_state()
        if any(value.is_cuda for value in tensors.values()):
            tensors["random_cuda"] = torch.cuda.get_rng_state()
        place = {
            "losses": self.losses,
            "steps": self._steps,
            "total": self._total,
            "weight": self._weight,
            "done": self._descent.done,
        }
        return Saved(tensors, place | self._best.place())

    def restore(self, saved: Saved) -> None:
        import torch

        def part(name: str) -> dict[str, Any]:
            return {k.removeprefix(name): v for k, v in saved.tensors.items() if k.startswith(name)}

        place = saved.place
        self._model.load_state_dict(part("weights/"), strict=False)
        self._descent.restore(part("descent/"), place["done"])
        self._best.go_on(place, part("best/"))
        self.losses, self._steps = list(place["losses"]), place["steps"]
        self._total, self._weight = place["total"], place["weight"]
        torch.set_rng_state(saved.tensors["random"])
        if "random_cuda" in saved.tensors:
            torch.cuda.set_rng_state(saved.tensors["random_cuda"])


def _texts(steps: Sequence[Step]) -> int:
    return sum(len(batch) for step in steps for batch in step)


def learnt(model: Any) -> dict[str, torch.Tensor]:
    """The parameters that learn, by name; not a copy."""
    return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}


class Best:
    """Watches held-out lessons: the weights of the last epoch are kept that is not worse on them than another.

    The learning rate falls to nothing in the last epochs, and weights that have not settled yet are worse than what
    becomes of them. So of two epochs that are alike but for chance the later one is kept.

    Args:
        model: whose weights.
        judge: (m,) loss of each lesson now, without dropout; None where nothing is held out: then the last epoch
            counts as the best.
        patience: the training ends after so many epochs that are worse beyond chance.

    Attributes:
        losses: mean before the first epoch and after each; none where nothing is held out.
        kept: how many epochs the weights that are kept were trained for.
        weights: these, by name.
    """

    def __init__(self, model: Any, judge: Callable[[], Floats] | None = None, patience: int = 1) -> None:
        self._model, self._judge, self._patience = model, judge, patience
        self.losses: list[float] = []
        self.kept = 0
        self.weights: dict[str, Any] = {}
        self._least: list[float] = []  # of each lesson, in the epoch where their mean is lowest

    def begin(self) -> None:
        """Look at the network that nothing was taught yet, unless that was done."""
        if not self.losses:
            self.look()

    def look(self) -> None:
        """Called after each epoch."""
        if self._judge is None:
            return
        now = np.asarray(self._judge(), np.float64)
        self.losses.append(float(now.mean()))
        if int(np.argmin(self.losses)) == len(self.losses) - 1:
            self._least = now.tolist()
        elif is_more(now, np.array(self._least)):
            return
        self.kept = len(self.losses) - 1
        self.weights = {name: value.clone() for name, value in learnt(self._model).items()}

    def stale(self) -> bool:
        """Whether it has been worse for too long."""
        return bool(self.losses) and len(self.losses) - 1 - self.kept >= self._patience

    def epochs(self, made: int) -> int:
        """After how many of `made` epochs the weights are those that count."""
        return made if self._judge is None else self.kept

    def place(self) -> dict[str, Any]:
        """Where it stands but for the weights, as plain JSON."""
        return {"held_out": self.losses, "kept": self.kept, "least": self._least}

    def go_on(self, place: Mapping[str, Any], weights: dict[str, Any]) -> None:
        """Stand where another one stood."""
        self.losses, self.kept, self._least = list(place["held_out"]), place["kept"], list(place["least"])
        self.weights = weights

    def restore(self) -> None:
        """Put the kept weights back; where nothing is held out, the last ones stay."""
        self._model.eval()
        if self._judge is not None:
            self._model.load_state_dict(self.weights, strict=False)


def is_more(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> bool:
    """Whether the mean of a is above that of b beyond chance, pair by pair: by so many standard errors."""
    if len(a) < 2:
        return False
    apart = a - b
    return float(apart.mean()) > ERRORS_APART * float(apart.std(ddof=1)) / math.sqrt(len(apart))
