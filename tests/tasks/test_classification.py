"""Exactly one label a text: reading, writing, confidence and figures."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from agent.errors import AnswerInvalid, JobFileError
from agent.job import TaskSettings
from agent.records import Answer, Label, Source, Text, TextId, TokenChoice
from agent.tasks import Classification, Task, build

TEXT = Text(TextId("t"), "a text")
NAMES = ["card_arrival", "lost_or_stolen_card", "US", "us", "café", "c"]


def task(names: Sequence[str] = tuple(NAMES)) -> Classification:
    return Classification(TaskSettings(labels=dict.fromkeys(names, "")))


def answer(*tokens: tuple[str, float], content: str | None = None) -> Answer:
    choices = tuple(TokenChoice(t, math.log(p), ((t, math.log(p)),)) for t, p in tokens)
    return Answer(content if content is not None else "".join(t for t, _ in tokens), "m", None, choices)


# reading and writing ----------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_or_shown_reads_back(name: str) -> None:
    assert task().parse(task().write(name), TEXT) == name
    assert task().read(task().show(name)) == name
    assert task().parse(name, TEXT) == name


@pytest.mark.parametrize(
    "content",
    [
        "card_arrival",
        " card_arrival\n",
        '"card_arrival"',
        "`card_arrival`",
        "Card_Arrival",
        '{"label": "card_arrival"}',
        '{"label":"CARD_ARRIVAL", "why": "..."}',
        '```json\n{"label": "card_arrival"}\n```',
    ],
)
def test_an_answer_may_be_dressed_up_as_long_as_it_names_one_label(content: str) -> None:
    assert task().parse(content, TEXT) == "card_arrival"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "   ",
        "{}",
        "[]",
        "null",
        '{"label": null}',
        '{"label": ["card_arrival"]}',
        '{"label": "card_arrival"',
        "card",
        "card_arrival or lost_or_stolen_card",
        "The label is card_arrival.",
        "Us",
        "\x00",
        "{" * 100_000,
        '{"label":' * 100_000,
        '{"label": ' + "9" * 5_000 + "}",
        "card_arrival" * 10_000,
    ],
)
def test_an_answer_that_names_no_label_is_invalid_and_never_a_label(content: str) -> None:
    with pytest.raises(AnswerInvalid) as caught:
        task().parse(content, TEXT)
    assert len(str(caught.value)) < 400, "a log line, not a copy of what a model rambled"


def test_labels_that_differ_in_case_alone_stay_two() -> None:
    assert task().read("US") == "US"
    assert task().read("us") == "us"


def test_an_unknown_label_in_a_file_names_the_nearest_one() -> None:
    with pytest.raises(ValueError, match=r"unknown label 'card_arival'; did you mean 'card_arrival'\?"):
        task().read("card_arival")
    with pytest.raises(ValueError, match="the job's labels are"):
        task().read("qqqqqq")


@pytest.mark.parametrize("cell", [None, float("nan"), 3, ""])
def test_an_empty_cell_is_no_label(cell: object) -> None:
    with pytest.raises(ValueError, match="unknown label"):
        task().read(cell)


def test_labels_may_be_numbers() -> None:
    stars = task(["1", "2"])
    assert stars.read(1) == "1"
    assert stars.parse('{"label": 2}', TEXT) == "2"


@given(st.text(max_size=60))
def test_no_answer_at_all_is_a_surprise(content: str) -> None:
    with contextlib.suppress(AnswerInvalid):
        assert task().parse(content, TEXT) in NAMES


def test_the_schema_names_every_label_and_the_longest_fits_into_its_tokens() -> None:
    schema = task().schema(TEXT)
    assert schema.choices == tuple(NAMES)
    assert schema.json_schema["properties"]["label"]["enum"] == NAMES
    longest = max(len(task().write(n).encode()) for n in NAMES)
    assert schema.max_tokens >= longest, "a token is at least one byte, so this many always suffice"


# confidence ---------------------------------------------------------------------


def test_confidence_is_the_probability_of_the_named_class_among_classes() -> None:
    choices = (
        TokenChoice("yes", math.log(0.6), (("yes", math.log(0.6)), ("no", math.log(0.2)), ("so", math.log(0.2)))),
    )
    belief = task(["yes", "no"]).confidence(Answer("yes", "m", None, choices), "yes")
    assert belief.confidence == pytest.approx(0.75)
    assert belief.probabilities == pytest.approx({"yes": 0.75, "no": 0.25})
    assert belief.lost_mass == pytest.approx(0.2)


def test_confidence_is_found_inside_json_behind_a_key_of_the_same_name() -> None:
    named = task(["label", "other"])
    found = named.confidence(answer(('{"label": "', 1.0), ("label", 0.5), ('"}', 1.0)), "label")
    assert found.confidence == pytest.approx(1.0)
    assert found.lost_mass == pytest.approx(0.5)


def test_an_answer_without_tokens_has_no_confidence_rather_than_a_made_up_one() -> None:
    assert math.isnan(task().confidence(answer(content="card_arrival"), "card_arrival").confidence)


def test_a_label_matched_by_case_alone_has_no_confidence() -> None:
    assert math.isnan(task().confidence(answer(("CARD_ARRIVAL", 0.9)), "card_arrival").confidence)


# what the student learns -----------------------------------------------------------


def label(value: str, probabilities: dict[str, float] | None = None) -> Label:
    return Label(TEXT.id, value, Source.ORACLE, "o/m", probabilities)


def test_targets_are_the_sources_probabilities_or_certainty() -> None:
    found = task(["a", "b"]).targets(
        [label("a"), label("b", {"a": 0.25, "b": 0.75}), label("b", {"a": 0.1, "b": 0.3})]
    )
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.array([[1.0, 0.0], [0.25, 0.75], [0.25, 0.75]]))


def test_targets_of_probabilities_without_any_known_class_are_the_label_itself() -> None:
    np.testing.assert_allclose(
        task(["a", "b"]).targets([label("b", {"gone": 1.0}), label("b", {"a": 0.0})]), [[0, 1]] * 2
    )


def test_no_labels_are_no_rows() -> None:
    assert task(["a", "b"]).targets([]).shape == (0, 2)


# figures ---------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), min_size=1, max_size=40))
def test_metrics_are_those_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    gold, said = [g for g, _ in pairs], [p for _, p in pairs]
    seen = sorted(set(gold) | set(said))
    found = task("abcd").metrics(gold, said)
    assert next(iter(found)) == "accuracy", "the first figure is the headline"
    assert found["accuracy"] == pytest.approx(accuracy_score(gold, said))
    assert found["macro_f1"] == pytest.approx(f1_score(gold, said, labels=seen, average="macro", zero_division=0))


def test_figures_of_nothing_are_unknown() -> None:
    assert all(math.isnan(v) for v in task().metrics([], []).values())


def test_agreement_is_all_or_nothing() -> None:
    assert (task().agreement("US", "US"), task().agreement("US", "us")) == (1.0, 0.0)


# finding a task -----------------------------------------------------------------------


def test_a_task_is_found_by_its_kind_and_fits_the_seam() -> None:
    found = build(TaskSettings(labels={"a": "", "b": ""}))
    assert isinstance(found, Classification)
    assert isinstance(found, Task)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("clasification", "did you mean 'classification'"),
        ("quux", "known: classification, extractive_qa, generation, multilabel, pairs, regression, spans"),
        ("nowhere_at_all:Task", "no module 'nowhere_at_all'"),
        ("json:Nothing", "module 'json' has no 'Nothing'"),
    ],
)
def test_an_unknown_kind_is_named_with_the_way_out(kind: str, said: str) -> None:
    with pytest.raises(JobFileError, match=said):
        build(TaskSettings(kind=kind))


class NotATask:
    def __init__(self, settings: TaskSettings) -> None: ...


def test_something_that_is_no_task_is_refused_with_what_it_lacks() -> None:
    with pytest.raises(JobFileError, match=r"is not a Task: it lacks .*'variables'"):
        build(TaskSettings(kind=f"{__name__}:NotATask"))


def test_values_survive_json() -> None:
    for name in NAMES:
        assert json.loads(json.dumps(name)) == name


def test_a_name_with_quotes_of_its_own_is_found() -> None:
    quoted = task(['"yes"', "no'"])
    for name in ('"yes"', "no'"):
        assert quoted.parse(quoted.write(name), TEXT) == name
        assert quoted.parse(name, TEXT) == name


@pytest.mark.parametrize("cell", [None, math.nan])
def test_an_empty_cell_is_no_label_even_where_a_label_is_called_none_or_nan(cell: object) -> None:
    with pytest.raises(ValueError, match="unknown label"):
        task(["none", "nan"]).read(cell)
