"""How a person's labels stand beside the machine's and other people's, as the page is told of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from agent.certifying import Design
from agent.records import Route, TextId
from agent.review.desk import Desk
from agent.review.standing import standing
from agent.store import AuditItem, RouteRow
from agent.tasks.intervals import wilson
from tests.review.clients import Page
from tests.review.scenes import Scene, Waiting, scene

pytestmark = pytest.mark.usefixtures("each_kind_of_store")
OPEN, BLIND = 8, 24


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Scene]:
    """Eight open texts and 24 blind ones, all taken for sport."""
    items = [Waiting(f"Text {n}", "sport", blind=n >= OPEN) for n in range(OPEN + BLIND)]
    found = scene(tmp_path, items)
    yield found
    found.store.close()


def desk(made: Scene, person: str = "ada", *, lead: bool = False) -> Desk:
    return Desk(*made.parts, person, lead=lead)


def give(who: Desk, first: int, last: int, wrong: int = 0) -> None:
    for number in range(first, last):
        who.label(TextId(f"t{number:03d}"), "tech" if number < first + wrong else "sport", 1)


def test_before_anything_is_labelled_nothing_is_told(made: Scene) -> None:
    assert standing(desk(made, lead=True)) == {"seen": None, "blind": None, "accepted": None, "people": None}


def test_agreement_with_the_machine_is_told_apart_by_whether_its_label_was_seen(made: Scene) -> None:
    ada = desk(made)
    give(ada, 0, OPEN, wrong=2)
    give(ada, OPEN, OPEN + 20, wrong=5)
    told = standing(ada)
    assert (told["seen"]["value"], told["seen"]["items"]) == (6 / 8, 8)
    assert (told["blind"]["value"], told["blind"]["items"]) == (15 / 20, 20)
    assert (told["accepted"]["value"], told["accepted"]["lo"], told["accepted"]["hi"]) == (0.75, *wilson(15, 20))
    assert standing(desk(made, "bob"))["seen"] is None, "it is about one's own labels"


def test_no_single_blind_answer_shows_what_the_machine_had_said(made: Scene) -> None:
    ada = desk(made)
    give(ada, OPEN, OPEN + 9)
    assert standing(ada)["blind"] is standing(ada)["accepted"] is None
    give(ada, OPEN + 9, OPEN + 10)
    before = standing(ada)
    for number in range(OPEN + 10, OPEN + 19):
        give(ada, number, number + 1, wrong=number % 2)
        assert standing(ada) == before
    give(ada, OPEN + 19, OPEN + 20)
    assert standing(ada) != before


def test_nothing_depends_on_what_the_machine_said_of_texts_that_wait(tmp_path: Path) -> None:
    told = []
    for guess in ("sport", "tech"):
        folder = tmp_path / guess
        folder.mkdir()
        made = scene(folder, [Waiting(f"Text {n}", guess if n > 9 else "sport", blind=True) for n in range(20)])
        give(desk(made), 0, 10, wrong=3)
        told.append(standing(desk(made, lead=True)))
        made.store.close()
    assert told[0] == told[1]


def test_what_was_taken_back_does_not_count(made: Scene) -> None:
    ada = desk(made)
    give(ada, 0, 4)
    ada.undo(ada.figures()["newest"])
    assert standing(ada)["seen"]["items"] == 3


def test_an_audit_that_is_done_says_how_many_labels_are_right(made: Scene) -> None:
    ada = desk(made)
    texts = [f"t{n:03d}" for n in range(OPEN)]
    of = {x.text_id: x.id or 0 for x in made.store.labels("news")}
    items = [AuditItem(TextId(t), of[TextId(t)], k, 0.5, 0, 0.5, 0.5, False) for k, t in enumerate(texts)]
    made.store.add_audit("news", asdict(Design(2 * OPEN, 0, 0, [2 * OPEN], [0.5])), items)
    give(ada, 0, OPEN - 1, wrong=1)
    assert standing(ada)["accepted"] is None, "some of it still waits"
    give(ada, OPEN - 1, OPEN)
    assert standing(ada)["accepted"]["items"] == OPEN
    assert standing(ada)["accepted"]["lo"] < 7 / 8 < standing(ada)["accepted"]["hi"]


def test_each_label_counts_by_the_chance_with_which_it_was_drawn(made: Scene) -> None:
    for number in range(OPEN, OPEN + 20):
        text = TextId(f"t{number:03d}")
        route = made.store.routes("news")[text]
        chance = 0.1 if number < OPEN + 10 else 1.0
        row = RouteRow(text, route.label_id, Route.PERSON, "audit", 0.9, blind=True, probability=chance)
        made.store.add_routes("news", 3, [row])
    ada = desk(made)
    give(ada, OPEN, OPEN + 20, wrong=10)
    assert standing(ada)["accepted"]["value"] == pytest.approx(10 / 110)


def test_how_others_voted_is_told_to_a_lead_alone_and_not_before_all_have_voted(made: Scene) -> None:
    made.store.set_votes("news", 3)
    ada, bob, eve = desk(made), desk(made, "bob"), desk(made, "eve")
    for who in (ada, bob):
        give(who, 0, 4)
    assert standing(desk(made, "lin", lead=True))["people"] is None, "eve is still to be asked"
    give(eve, 0, 4, wrong=1)
    lin = standing(desk(made, "lin", lead=True))["people"]
    assert (lin["value"], lin["items"]) == (3 / 4, 4)
    assert {standing(who)["people"] for who in (ada, bob, eve)} == {None}


def test_over_http(made: Scene) -> None:
    page = Page(made)
    give(desk(made), 0, 4)
    assert page.get("/api/standing").json()["seen"]["value"] == 1
    assert page.get("/api/standing", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert page.act("/api/standing").status_code == 405
