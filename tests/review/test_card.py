"""What is sent of an item, and what never is."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.job import TaskSettings
from agent.records import Label, Source, TextId
from agent.review.card import OPENING, card, why_here
from agent.store import QueueRow
from agent.tasks import build
from tests.review.scenes import SECTIONS

TASK = build(TaskSettings(labels=SECTIONS))
SPORT = Label(TextId("a"), "sport", Source.ORACLE, "local/small", {"sport": 0.6, "tech": 0.4}, 0.6)
ROW = QueueRow(
    text_id=TextId("a"),
    text="A match.",
    reason="confidence 0.60 is below 0.80",
    blind=False,
    priority=0.4,
    round=2,
    slice="unsure",
    why={"margin": 0.02},
    suggestion=SPORT,
    skipped=False,
)


def test_an_open_item_shows_what_the_machine_said_and_why_it_is_here() -> None:
    item = card(ROW, TASK)
    assert item["reason"] == "Confidence 0.60 is below 0.80."
    assert item["picked"] == "Picked in round 2 because the small model was unsure here (margin 0.02)."
    assert item["suggestion"]["value"] == "sport"
    assert item["suggestion"]["probabilities"] == {"sport": 0.6, "tech": 0.4}


machine = st.fixed_dictionaries(
    {
        "reason": st.text(),
        "slice": st.sampled_from(["cold", "unsure", "random", ""]),
        "priority": st.floats(0, 1),
        "round": st.integers(0, 99),
        "why": st.dictionaries(st.text(max_size=5), st.one_of(st.text(max_size=5), st.floats(), st.integers())),
        "suggestion": st.one_of(
            st.none(),
            st.builds(
                Label,
                text_id=st.just(TextId("a")),
                value=st.sampled_from(sorted(SECTIONS)),
                source=st.just(Source.ORACLE),
                by=st.text(),
                probabilities=st.none() | st.dictionaries(st.sampled_from(sorted(SECTIONS)), st.floats(0, 1)),
                confidence=st.none() | st.floats(),
            ),
        ),
    }
)


@given(machine, machine)
def test_a_blind_item_is_the_same_whatever_the_machine_said(one: dict[str, Any], other: dict[str, Any]) -> None:
    blind = replace(ROW, blind=True)
    assert card(replace(blind, **one), TASK) == card(replace(blind, **other), TASK)


@given(machine)
def test_an_item_is_always_json(said: dict[str, Any]) -> None:
    json.dumps(card(replace(ROW, **said), TASK), allow_nan=False)


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("unsure", "The machine is not sure enough to decide this alone."),
        ("no confidence", "The machine answered, but nothing says how sure it is."),
        ("failed: unknown label 'x'", "The machine gave no usable label: unknown label 'x'."),
        ("asked by hand", "Asked by hand."),
        ("  ", "It waits for a person."),
    ],
)
def test_triages_words_become_sentences(reason: str, sentence: str) -> None:
    assert why_here(replace(ROW, reason=reason)) == sentence


@pytest.mark.parametrize(
    ("part", "why", "sentence"),
    [
        ("unsure", {"strategy": "margin", "score": 0.9, "rank": 3, "of": 700, "shortlist": 40},
         "Picked in round 2 because the small model was unsure here (rank 3 of 700 by margin)."),
        ("uncovered", {"distance": 0.4213, "rank": 3, "of": 700},
         "Picked in round 2 because nothing like it had been labelled yet (distance 0.421)."),
        ("cold", {"strategy": "typical", "typicality": 2.5, "cluster_size": 12, "clusters": 9},
         "Picked in round 2 because it is typical of a group of similar texts (a group of 12)."),
        ("random", {"drawn": 20, "rank": 3, "of": 700},
         "Picked in round 2 because it was drawn at random (20 of 700, a chance of 2.86 % each)."),
        ("unsure", {"strategy": "knowledge", "rank": 1, "of": 9, "covers": ["Bonn", "Ulm", "Hof", "Gera"]},
         ("Picked in round 2 because it mentions what no labelled text does (rank 1 of 9 by knowledge, "
         "new: Bonn, Ulm, Hof and 1 more).")),
        ("mine", {"my_score": 2, "names": ["a"]}, "Picked in round 2 (my score 2)."),
        ("", {}, "Picked in round 2."),
    ],
)  # fmt: skip
def test_what_selection_noted_becomes_a_sentence(part: str, why: dict[str, Any], sentence: str) -> None:
    assert card(replace(ROW, slice=part, why=why), TASK)["picked"] == sentence


def test_only_the_opening_of_a_very_long_text_is_sent_at_first() -> None:
    item = card(replace(ROW, text="x" * 1_000_000), TASK)
    assert (len(item["text"]), item["length"]) == (OPENING, 1_000_000)


def test_an_item_without_a_machine_answer_has_no_suggestion() -> None:
    assert card(replace(ROW, suggestion=None), TASK)["suggestion"] is None


def test_probabilities_of_names_that_the_job_does_not_have_are_left_out() -> None:
    odd = replace(SPORT, probabilities={"sport": 0.5, "gone": 0.4, "tech": float("nan")})
    assert card(replace(ROW, suggestion=odd), TASK)["suggestion"]["probabilities"] == {"sport": 0.5}
