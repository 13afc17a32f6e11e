"""A store gives back what it was given, whatever that is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.records import Answer, Pick, TextId, TokenChoice, Usage
from agent.store import Store
from agent.store.answers import pack_answer, unpack_answer
from agent.store.columns import MARK, pack_json, pack_text, unpack_json, unpack_text
from tests.store.making import label

any_text = st.text(st.characters())  # surrogates and NUL included
plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | any_text
values = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(any_text.filter(lambda k: k != "()"), inner)
    ),
)


@given(any_text)
def test_any_text_survives(text: str) -> None:
    packed = pack_text(text)
    assert "\x00" not in packed
    packed.encode("utf-8")
    assert unpack_text(packed) == text


@given(values)
def test_any_json_survives_with_tuples_as_tuples(value: Any) -> None:
    packed = pack_json(value)
    assert packed.isascii()
    assert repr(unpack_json(packed)) == repr(value)


tokens = st.builds(
    TokenChoice, any_text, st.floats(allow_nan=False), st.lists(st.tuples(any_text, st.floats(-9, 0))).map(tuple)
)
usages = st.none() | st.builds(Usage, st.integers(0), st.integers(0), st.integers(0))


@given(st.builds(Answer, any_text, any_text, usages, st.lists(tokens).map(tuple), any_text))
def test_any_answer_survives(answer: Answer) -> None:
    assert unpack_answer(pack_answer(answer)) == answer


@pytest.mark.parametrize(
    "text", ["[bold]<script>alert(1)</script>", "\u202egnirts", "a\x00b", "\ud800", MARK, "x" * 1_000_000, ""]
)
def test_texts_of_all_kinds_are_kept_exactly(store: Store, text: str) -> None:
    store.add_texts("job", {TextId(text[:50]): text})
    assert store.text("job", TextId(text[:50])) == text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=values)
def test_labels_of_any_json_are_kept_exactly(store: Store, value: Any) -> None:
    given_id = store.add_labels("job", [label("a", value)])[0]
    assert repr(store.current("job")[TextId("a")].value) == repr(value)
    assert store.current("job")[TextId("a")].id == given_id


def test_numbers_of_numpy_are_kept_as_numbers(store: Store) -> None:
    score, row = np.float32(0.5), np.int64(7)
    why = {"margin": np.float32(0.25), "near": np.array([1, 2])}
    store.add_picks("job", 1, [Pick(TextId("a"), row, "unsure", score, None, why)], {TextId("a"): "text"})  # type: ignore[arg-type]
    (kept,) = store.picks("job")
    assert (kept.row, kept.score, kept.why) == (7, 0.5, {"margin": 0.25, "near": [1, 2]})


def test_a_confidence_that_is_not_a_number_is_unknown(store: Store) -> None:
    store.add_labels("job", [label("a", confidence=float("nan"))])
    assert store.current("job")[TextId("a")].confidence is None
