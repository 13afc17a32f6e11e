"""Which epoch's weights a training leaves, by what held-out lessons lose in each."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from agent.distill.training import Best
from agent.records import Floats

LESSONS = 100


class Judged:
    """A network of one weight, the number of the epoch; some lessons lose more than the mean and some less."""

    def __init__(self, spread: float = 0.1) -> None:
        self.model = torch.nn.Linear(1, 1, bias=False)
        self.best = Best(self.model, self._judge, patience=2)
        self._spread, self._mean = spread, 0.0

    def _judge(self) -> Floats:
        apart = np.random.default_rng(len(self.best.losses)).normal(0, self._spread, LESSONS)
        return (self._mean + apart - apart.mean()).astype(np.float32)

    def see(self, *means: float) -> Judged:
        """One epoch after the other, as long as they go on."""
        for self._mean in means:
            if not self.best.stale():
                with torch.no_grad():
                    self.model.weight.fill_(len(self.best.losses))
                self.best.look()
        return self

    def kept(self) -> int:
        """The epoch whose weights are put back."""
        self.best.restore()
        found = int(self.model.weight.item())
        assert self.best.epochs(99) == found
        return found


@pytest.mark.parametrize(
    ("means", "kept"),
    [
        ((1.0, 0.8, 0.6), 2),  # still falling
        ((1.0, 0.6, 0.61, 0.605), 3),  # alike but for chance
        ((1.0, 0.6, 0.7, 0.65, 0.1), 1),  # worse twice, and the last is not made any more
        ((1.0, 0.6, 0.7, 0.6), 3),  # worse once
        ((0.5, 0.7, 0.9), 0),  # the network that nothing was taught is the best
    ],
)
def test_the_last_epoch_counts_that_is_not_worse_than_another(means: tuple[float, ...], kept: int) -> None:
    assert Judged().see(*means).kept() == kept


def test_lessons_that_say_now_this_and_now_that_do_not_tell_epochs_apart() -> None:
    assert Judged(spread=2).see(1.0, 0.6, 0.7, 0.7).kept() == 3


@pytest.mark.parametrize("stopped", [1, 2, 3])
def test_whoever_goes_on_for_another_keeps_the_same(stopped: int) -> None:
    means = (1.0, 0.6, 0.7, 0.61, 0.75, 0.9)
    first, second = Judged().see(*means[:stopped]), Judged()
    second.best.go_on(json.loads(json.dumps(first.best.place())), first.best.weights)
    assert second.see(*means[stopped:]).kept() == Judged().see(*means).kept()
