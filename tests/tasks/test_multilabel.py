"""Any number of labels a text: reading, writing, confidence and figures."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from agent.errors import AnswerInvalid
from agent.job import TaskSettings
from agent.records import Answer, Label, Source, Text, TextId, TokenChoice
from agent.tasks import Multilabel

TEXT = Text(TextId("t"), "a text")
NAMES = ("anger", "joy", "sadness, deep", "fear")
some = st.lists(st.sampled_from(NAMES), unique=True, max_size=4).map(
    lambda found: tuple(n for n in NAMES if n in found)
)


def task(names: Sequence[str] = NAMES) -> Multilabel:
    return Multilabel(TaskSettings(kind="multilabel", labels=dict.fromkeys(names, "")))


# reading and writing ----------------------------------------------------------


@given(some)
def test_what_is_written_or_shown_reads_back_in_the_jobs_order(value: tuple[str, ...]) -> None:
    assert task().parse(task().write(value), TEXT) == value
    assert task().read(task().show(value)) == value
    assert task().read(list(reversed(value))) == value
    assert task().read(np.array(value, dtype=object)) == value
    assert task().read(json.loads(json.dumps(value))) == value


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("anger|fear", ("anger", "fear")),
        ("fear | anger", ("anger", "fear")),
        ("anger;fear;anger", ("anger", "fear")),
        ("sadness, deep", ("sadness, deep",)),
        ("anger|sadness, deep", ("anger", "sadness, deep")),
        ("ANGER", ("anger",)),
        ("", ()),
        (None, ()),
        ("[]", ()),
        ([], ()),
    ],
)
def test_a_cell_may_be_written_in_several_ways(cell: object, value: tuple[str, ...]) -> None:
    assert task().read(cell) == value


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("angr", "did you mean 'anger'"),
        ("anger|feer", "did you mean 'fear'"),
        ('["anger"', "not a JSON list"),
        ("anger,fear", "unknown label"),  # a name has a comma of its own, so a comma separates nothing
        ([1], "unknown label '1'"),
    ],
)
def test_a_wrong_cell_names_the_nearest_label(cell: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        task().read(cell)


@pytest.mark.parametrize(
    "content",
    ["", "anger", "[]", '{"labels": "anger"}', '{"labels": ["rage"]}', '{"label": ["anger"]}', '{"labels": ["anger"'],
)
def test_an_answer_that_is_no_list_of_known_labels_is_invalid(content: str) -> None:
    with pytest.raises(AnswerInvalid):
        task().parse(content, TEXT)


def test_no_label_at_all_is_an_answer() -> None:
    assert task().parse('{"labels": []}', TEXT) == ()


# confidence ---------------------------------------------------------------------


def tokens(*pieces: tuple[str, dict[str, float]]) -> Answer:
    """Pieces with their alternatives' probabilities; the piece itself is among them."""
    choices = [TokenChoice(t, math.log(top[t]), tuple((a, math.log(p)) for a, p in top.items())) for t, top in pieces]
    return Answer("".join(t for t, _ in pieces), "m", None, tuple(choices))


def sure(piece: str) -> tuple[str, dict[str, float]]:
    return piece, {piece: 1.0}


def test_each_class_has_the_most_mass_it_had_where_a_label_could_begin() -> None:
    answer = tokens(
        sure('{"labels": ["'),
        ("anger", {"anger": 0.8, "joy": 0.15, "fear": 0.05}),
        sure('", "'),
        ("fear", {"fear": 0.7, "joy": 0.3}),
        sure('"]}'),
    )
    belief = task().confidence(answer, ("anger", "fear"))
    assert belief.probabilities == pytest.approx({"anger": 0.8, "joy": 0.3, "sadness, deep": 0.0, "fear": 0.7})
    assert belief.confidence == pytest.approx(0.7), "the least certain decision"


def test_an_answer_without_tokens_has_no_confidence() -> None:
    assert math.isnan(task().confidence(Answer('{"labels": []}', "m", None), ()).confidence)


# what the student learns, and figures ------------------------------------------------


def label(value: tuple[str, ...], probabilities: dict[str, float] | None = None) -> Label:
    return Label(TEXT.id, value, Source.ORACLE, "o/m", probabilities)


def test_targets_are_each_classes_own_probability() -> None:
    found = task(["a", "b"]).targets([label(("a",)), label(()), label(("b",), {"a": 0.25, "b": 0.75})])
    np.testing.assert_allclose(found, np.array([[1.0, 0.0], [0.0, 0.0], [0.25, 0.75]]))
    assert found.dtype == np.float32


@given(st.lists(st.tuples(some, some), min_size=1, max_size=30))
def test_metrics_are_those_of_scikit_learn(pairs: list[tuple[tuple[str, ...], tuple[str, ...]]]) -> None:
    def matrix(values: list[tuple[str, ...]]) -> Any:
        return np.array([[n in v for n in NAMES] for v in values])

    gold, said = [g for g, _ in pairs], [p for _, p in pairs]
    g, p = matrix(gold), matrix(said)
    seen = (g | p).any(0)
    found = task().metrics(gold, said)
    assert next(iter(found)) == "micro_f1"
    assert found["accuracy"] == pytest.approx(accuracy_score(g, p))
    if seen.any():
        assert found["micro_f1"] == pytest.approx(f1_score(g, p, average="micro", zero_division=0))
        by_class = f1_score(g, p, average=None, zero_division=0)[seen]
        assert found["macro_f1"] == pytest.approx(by_class.mean())
    else:
        assert found["micro_f1"] == found["macro_f1"] == 1.0, "nothing to find, and nothing was claimed"


@given(some, some)
def test_agreement_is_how_much_of_both_sets_is_shared(a: tuple[str, ...], b: tuple[str, ...]) -> None:
    found = task().agreement(a, b)
    assert found == task().agreement(b, a)
    assert (found == 1.0) == (a == b)
    assert 0 <= found <= 1
