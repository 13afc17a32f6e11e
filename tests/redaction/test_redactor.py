"""What is hidden of a text, by Presidio's recognizers and ours together."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from agent.errors import ExtraMissing, ModelError, RedactionFailed
from agent.pairing import join, split
from agent.redaction import Redactor, counted, said
from evals._fakes import MADE, planted

ALL = ("email", "phone", "card", "iban")


@pytest.fixture(scope="module")
def hide() -> Redactor:
    return Redactor.of(ALL)


def test_each_kind_gets_its_placeholder(hide: Redactor) -> None:
    text = "Ada (ada@example.com, 020 7946 0958) paid 4111 1111 1111 1111 to DE89 3704 0044 0532 0130 00."
    assert hide(text) == "Ada ([EMAIL], [PHONE]) paid [CARD] to [IBAN]."


def test_several_values_are_numbered_and_the_same_value_has_the_same_number(hide: Redactor) -> None:
    text = "ada@example.com wrote to bob@example.com, and Ada@Example.com again. +442079460958 is +44 20 7946 0958."
    assert hide(text) == "[EMAIL 1] wrote to [EMAIL 2], and [EMAIL 1] again. [PHONE] is [PHONE]."
    assert counted(hide.found(text)) == Counter(email=2, phone=1)
    assert said(counted(hide.found(text))) == "2 e-mail addresses, 1 phone number"


def test_only_what_is_asked_for_is_hidden() -> None:
    text = "ada@example.com, 020 7946 0958"
    assert Redactor.of(["phone"])(text) == "ada@example.com, [PHONE]"


def test_a_text_without_personal_data_stays_as_it_is(hide: Redactor) -> None:
    text = "Henman won 6-4 (7-5) on 2004-11-23; 20 000 000 saw it between 1998-2003, for $1,500.00. Mail @ noon."
    assert hide(text) == text
    assert hide("") == ""


def test_no_part_of_what_was_found_is_left(hide: Redactor) -> None:
    for text in (
        "4111\u00a01111\u20111111\u00a01111",
        "ada\u200b@example.com",
        "４１１１１１１１１１１１１１１１",
        "ada (at) example (dot) com",
    ):
        assert hide(f"so {text} it is") in ("so [CARD] it is", "so [EMAIL] it is")
    assert hide("\U0001f600 ada@example.com \U0001f600") == "\U0001f600 [EMAIL] \U0001f600"


@pytest.mark.parametrize("text", ["a!" * 20_000, "1 " * 20_000, "DE12 " * 5_000, "a.b@" * 5_000, "12-34 " * 1_000])
def test_no_text_makes_the_search_slow(hide: Redactor, text: str) -> None:
    hide(text)  # the tests' own time limit would end it


@pytest.mark.parametrize("kind", ALL)
def test_at_least_98_percent_of_made_up_values_are_hidden(hide: Redactor, kind: str) -> None:
    """`python -m evals.redaction` measures the same in real texts, many times as many."""
    rng = np.random.default_rng(7)
    missed = []
    for _ in range(300):
        text, fake, at = planted("They said no more of it at the end of that day", kind, rng)
        covered = {i for found in hide.found(text) for i in range(found.start, found.end)}
        if not {i for i in range(at, at + len(fake.value)) if text[i].isalnum()} <= covered:
            missed.append((fake.sort, text))
    assert len(MADE) == len(ALL)
    assert len(missed) <= 6, missed


def test_a_text_that_the_search_fails_on_is_not_given_back(hide: Redactor) -> None:
    def breaks(text: str) -> list[tuple[int, int]]:
        raise ValueError(f"cannot read {text}")

    with pytest.raises(
        RedactionFailed, match=r"could not be redacted \(ValueError\), and so it was not sent"
    ) as raised:
        Redactor({"email": [breaks]})("secret words")
    assert "secret" not in str(raised.value)


def test_without_presidio_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    monkeypatch.delitem(sys.modules, "agent.redaction.recognizers", raising=False)
    with pytest.raises(ExtraMissing, match=r"presidio_analyzer.*pip install 'labelwright\[redaction\]'"):
        Redactor.of(["email"])


def test_names_need_a_spacy_model_that_is_installed() -> None:
    with pytest.raises(ModelError, match=r"`name` needs a spaCy model.*python -m spacy download en_core_web_sm"):
        Redactor.of(["email", "name"])
    with pytest.raises(
        ModelError, match=r"`data.redact_model`: cannot load no_such_model.*spacy download no_such_model"
    ):
        Redactor.of(["name"], "no_such_model")


def test_names_are_hidden_by_a_model_in_a_folder(tmp_path: Path) -> None:
    import spacy

    pipeline = spacy.blank("en")
    pipeline.add_pipe("entity_ruler").add_patterns([{"label": "PERSON", "pattern": "Ada Lovelace"}])  # type: ignore[attr-defined]
    pipeline.to_disk(tmp_path / "names")
    hide = Redactor.of(["name", "email"], str(tmp_path / "names"))
    assert hide("Ada Lovelace (ada@example.com) met Ada Lovelace.") == "[NAME] ([EMAIL]) met [NAME]."
    spacy.blank("en").to_disk(tmp_path / "nothing")
    with pytest.raises(ModelError, match="finds no names"):
        Redactor.of(["name"], str(tmp_path / "nothing"))


def test_a_pair_stays_a_pair_and_both_of_its_texts_are_looked_through(hide: Redactor) -> None:
    pair = join("Write to ada@example.com and", "to ada@example.com or bob@example.com.")
    assert split(hide(pair)) == (
        "Write to [EMAIL 1] and",
        "to [EMAIL 1] or [EMAIL 2].",
    )
