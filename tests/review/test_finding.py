"""Over HTTP: flags and who reads them, what a person did and may do anew, and what a filter finds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.review.scenes import Scene, Waiting, draw, news, scene
from tests.review.test_people import let_in
from tests.review.test_review_page import Page

pytestmark = pytest.mark.usefixtures("each_kind_of_store")


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Scene]:
    found = news(tmp_path, 6)
    yield found
    found.store.close()


@pytest.fixture
def page(made: Scene) -> Page:
    return Page(made)


def cards(page: Page, **asked: Any) -> dict[str, dict[str, Any]]:
    reply = page.get("/api/items", params={"limit": 50} | asked)
    assert reply.status_code == 200, reply.json()
    return {item["id"]: item for item in reply.json()["items"]}


# Flags --------------------------------------------------------------------------------------------------------------


def test_a_lead_reads_what_others_flagged_and_a_reviewer_does_not(made: Scene) -> None:
    ada, bob, lin = let_in(made, "ada"), let_in(made, "bob"), let_in(made, "lin", "lead")
    ada.act("/api/skip", id="t000", seconds=1, note="two topics")
    ada.act("/api/skip", id="t001", seconds=1)
    for page in (ada, bob):
        page.act("/api/let-go")
    assert cards(bob)["t000"]["notes"] == []
    bob.act("/api/let-go")
    found = cards(lin)
    assert found["t000"]["notes"] == [{"by": "ada", "note": "two topics"}]
    assert found["t001"]["notes"] == found["t002"]["notes"] == []


def test_a_flag_that_was_taken_back_is_read_by_nobody(made: Scene) -> None:
    ada, lin = let_in(made, "ada"), let_in(made, "lin", "lead")
    newest = ada.act("/api/skip", id="t000", seconds=1, note="two topics").json()["figures"]["newest"]
    assert ada.act("/api/undo", newest=newest).json()["said"] == "Undone: flagged."
    ada.act("/api/let-go")
    assert cards(lin)["t000"]["notes"] == []


def test_of_a_blind_text_only_notes_are_read_that_were_written_blind(tmp_path: Path) -> None:
    made = scene(tmp_path, [Waiting("One.", "sport", blind=True), Waiting("Two.", "sport")])
    ada, lin = let_in(made, "ada"), let_in(made, "lin", "lead")
    for text, note in (("t000", "two topics"), ("t001", "the machine says sport")):
        ada.act("/api/skip", id=text, seconds=1, note=note)
    draw(made, "t001", accepted=False)
    ada.act("/api/let-go")
    found = cards(lin)
    assert [n["note"] for n in found["t000"]["notes"]] == ["two topics"]
    assert found["t001"]["blind"]
    assert found["t001"]["notes"] == []
    made.store.close()
