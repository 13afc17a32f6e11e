"""A strategy of a user's own is tried on made-up texts, so that what breaks is told before anything is spent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agent.errors import JobFileError, UserError
from agent.records import Floats
from agent.selection import STRATEGIES, Choice, Ranked, State, find_strategy, is_own, tried
from agent.selection.strategies import Margin


class Doubtful(Ranked):
    """As the page of strategies has it: the square of the doubt."""

    name = "doubtful"

    def score(self, state: State) -> Floats:
        assert state.probabilities is not None
        return np.asarray((1 - state.probabilities.max(axis=1)) ** 2, np.float32)


class Broken(Doubtful):
    def score(self, state: State) -> Floats:
        return state.doubt ** "three"  # type: ignore[operator, no-any-return]


class Unusable(Doubtful):
    def choose(self, state: State, size: int, rng: np.random.Generator) -> Choice:
        return Choice(np.array([10**6] * size), np.ones(size, np.float32))


@pytest.mark.parametrize(("classes", "multilabel"), [(2, False), (77, False), (5, True)])
def test_one_that_works_passes_whatever_the_task(classes: int, multilabel: bool) -> None:
    tried(Doubtful(), classes, multilabel=multilabel, mentions=None)


@pytest.mark.parametrize("name", [n for n in STRATEGIES if n not in ("knowledge",)])
@pytest.mark.parametrize("classes", [0, 3])
def test_what_is_ours_would_pass_too(name: str, classes: int) -> None:
    options: dict[str, Any] = {"anchored": {"base": "margin"}}.get(name, {})
    tried(find_strategy(name, options), classes, multilabel=False, mentions=None)


def test_one_that_breaks_is_told_with_the_place_in_its_own_file() -> None:
    with pytest.raises(
        JobFileError, match=r"doubtful fails on 16 made-up texts, in `score` \(test_trying\.py:\d+\): Type"
    ):
        tried(Broken(), 3, multilabel=False, mentions=None)


def test_one_that_chooses_what_is_not_there_is_told() -> None:
    with pytest.raises(UserError, match="doubtful"):
        tried(Unusable(), 3, multilabel=False, mentions=None)


def test_ones_own_is_told_from_ours_also_as_a_part() -> None:
    assert is_own(Doubtful())
    assert not is_own(Margin())
    assert is_own(find_strategy("power", {"base": Doubtful()}))
