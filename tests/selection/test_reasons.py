"""Why a text was picked, in words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.selection.reasons import CAUSES, cause, expected_price, in_words, notes

PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=9),
    st.lists(st.text(max_size=9), max_size=4),
)
KEYS = st.sampled_from(
    ["strategy", "rank", "of", "drawn", "arm", "arm_mean", "cluster", "cluster_size", "distance", "covers", "new",
     "price", "short_class", "probability", "gradient", "labelled_in_cluster"]
) | st.text(max_size=5)  # fmt: skip


@pytest.mark.parametrize(
    ("part", "why", "probability", "said"),
    [
        ("unsure", {"strategy": "margin", "rank": 1203, "of": 7000}, None,
         "the small model was unsure here (rank 1203 of 7000 by margin)"),
        ("random", {"drawn": 5, "of": 1000, "strategy": "margin", "rank": 7}, 0.005,
         "it was drawn at random (5 of 1,000, a chance of 0.5 % each)"),
        ("unsure", {"strategy": "power", "drawn_by": "power, beta 1"}, 0.01,
         ("it was drawn by chance, the more doubtful a text the likelier (a chance of 1 % to be picked, "
         "drawn by power, beta 1)")),
        ("unsure", {"strategy": "bandit", "arm": "k_center", "arm_mean": 0.25, "distance": 0.5}, None,
         "nothing near it had been labelled yet (the turn of k_center, expected reward 0.25, distance 0.5)"),
        ("unsure", {"strategy": "typiclust", "cluster": 3, "cluster_size": 40, "labelled_in_cluster": 2}, None,
         ("it is typical of a group of similar texts that has few labels (a group of 40 (number 3), "
         "2 of them labelled before)")),
        ("unsure", {"strategy": "balanced", "short_class": "loan", "probability": 0.31}, None,
         "it may belong to a class that has few labels (class loan with probability 0.31)"),
        ("unsure", {"strategy": "knowledge", "covers": []}, None,
         "nothing new was left to cover, and the small model was unsure here"),
        ("unsure", {"strategy": "adaptive", "rank": 55, "of": 100, "cluster_size": 14}, None,
         ("of a group of similar texts the small model was least sure of it (rank 55 of 100 by adaptive, "
          "a group of 14)")),
        ("unsure", {"strategy": "margin", "price": 120}, None,
         "the small model was unsure here (about $0.00012 to ask)"),
        ("cold", {"strategy": "zero_shot", "class": 2, "cluster_size": 9}, None,
         ("it sounds like what a class is called (a group of 9, class number 3 "
         "of the job’s list)")),
        ("mine", {"my_score": 2}, None, "my score 2"),
        ("mine", {}, None, ""),
    ],
)  # fmt: skip
def test_what_selection_noted_becomes_a_sentence(
    part: str, why: dict[str, Any], probability: float | None, said: str
) -> None:
    assert in_words(part, why, probability) == said


@given(st.sampled_from([*CAUSES, "mine", ""]), st.dictionaries(KEYS, PLAIN, max_size=8), st.none() | st.floats(0, 1))
def test_whatever_a_strategy_noted_it_can_be_said(part: str, why: dict[str, Any], probability: float | None) -> None:
    said = in_words(part, why, probability)
    assert isinstance(cause(part, why), str)
    assert isinstance(notes(part, why), str)
    assert "nan" not in said.replace("\n", "") or any("nan" in str(v) for v in [*why, *why.values()])
    assert len(said) < 2000


@pytest.mark.parametrize("price", [None, "dear", True, float("nan"), -3, 0])
def test_what_is_no_price_is_none(price: object) -> None:
    assert expected_price({"price": price}) is None
