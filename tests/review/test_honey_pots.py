"""Texts whose answer is known, among what a person is given: they look like any blind text, and count for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from agent.agreeing import right_of_pots
from agent.cli import app
from agent.records import Text, TextId
from agent.review.desk import Desk, Seen, Stale
from tests.review.scenes import Scene, Waiting, news, scene
from tests.review.test_review_page import Page

pytestmark = pytest.mark.usefixtures("each_kind_of_store")
TEXTS, SEEDS, SHARE = 12, 40, 0.5
# of the seed: every fourth is tech, and the others are sport
KNOWN = [(Text(TextId(f"seed {n:02d}"), f"Known {n}"), "sport" if n % 4 else "tech") for n in range(SEEDS)]
BLIND = Seen(blind=True, torn=False)


def with_seed(made: Scene, share: float = SHARE) -> Scene:
    """The same scene, with honey pots."""
    people = made.job.people.model_copy(update={"honey_pots": share})
    return Scene(made.store, made.job.model_copy(update={"people": people}), made.task)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Scene]:
    found = with_seed(news(tmp_path, TEXTS))
    yield found
    found.store.close()


def desk_of(made: Scene, person: str = "ada") -> Desk:
    return Desk(made.store, made.job, made.task, person, known=KNOWN)


def pots(desk: Desk) -> list[str]:
    return [str(i["id"]) for i in desk.items(TEXTS, again=False) if str(i["id"]).startswith("seed")]


def test_without_the_setting_nobody_is_given_any(made: Scene) -> None:
    assert not pots(desk_of(with_seed(made, 0.0)))


def test_about_as_many_as_asked_for_and_the_same_ones_until_they_are_answered(made: Scene) -> None:
    desk = desk_of(made)
    found = pots(desk)
    assert 1 <= len(found) <= TEXTS - 1
    assert pots(desk) == found, "a page that is loaded anew shows them again, and no more"
    assert len(set(found)) == len(found)
    assert pots(desk_of(made, "bob")) != found, "each person has their own"


def test_it_looks_just_like_a_blind_text(tmp_path: Path) -> None:
    made = with_seed(scene(tmp_path, [Waiting(f"Text {n}", "sport", blind=True) for n in range(TEXTS)]))
    items = Page(made, person="ada", known=KNOWN).get("/api/items?limit=20").json()["items"]
    own = {frozenset((k, str(v)) for k, v in i.items() if k not in ("id", "text", "length")) for i in items}
    assert len(own) == 1
    assert any(i["id"].startswith("seed") for i in items)
    made.store.close()


def test_an_answer_says_how_far_a_person_is_right_and_changes_no_label(made: Scene) -> None:
    desk = desk_of(made)
    before, waiting = made.store.current("news"), made.waiting()
    found = pots(desk)
    for text in found:
        desk.label(TextId(text), "sport", 2.0, seen=BLIND)
    known = [int(text.split()[1]) % 4 != 0 for text in found]
    assert right_of_pots(made.store, "news", made.task) == {"ada": known}
    assert made.store.current("news") == before
    assert made.waiting() == waiting
    assert desk.figures()["done"] == len(found), "whoever counts cannot tell them from others"
    assert not pots(desk)
    for answer in made.store.honey_pot_answers("news"):
        assert answer.probability == SHARE
        assert SEEDS - TEXTS < answer.among <= SEEDS


def test_sent_twice_it_is_saved_once_and_another_label_is_refused(made: Scene) -> None:
    desk = desk_of(made)
    text = TextId(pots(desk)[0])
    desk.label(text, "sport", 1.0, seen=BLIND)
    desk.label(text, "sport", 1.0, seen=BLIND)
    assert len(made.store.honey_pot_answers("news")) == 1
    with pytest.raises(Stale, match="by you already"):
        desk.label(text, "tech", 1.0, seen=BLIND)


def test_it_is_undone_changed_and_put_off_as_any_other(made: Scene) -> None:
    desk = desk_of(made)
    text = TextId(pots(desk)[0])
    desk.label(text, "sport", 1.0, seen=BLIND)
    item = desk.undo(desk.figures()["newest"])["item"]
    assert (item["id"], item["badge"], item["suggestion"]) == (text, "Blind", None)
    assert not made.store.honey_pot_answers("news")
    desk.label(text, "sport", 1.0, seen=BLIND)
    again = desk.show_again(desk.figures()["newest"])
    assert again["was"] == "sport"
    desk.label(text, "tech", 1.0, again["item"]["instead"], seen=BLIND)
    assert [a.gave for a in made.store.honey_pot_answers("news")] == ["tech"]
    desk.undo(desk.figures()["newest"])
    assert [a.gave for a in made.store.honey_pot_answers("news")] == ["sport"], "the former one is back"
    other = TextId(pots(desk)[0])
    desk.skip(other, 1.0, seen=BLIND)
    assert str(other) not in pots(desk)
    assert desk.undo(desk.figures()["newest"])["item"]["id"] == other


def test_what_a_lead_decided_or_several_agreed_on_is_known_too(made: Scene) -> None:
    store = made.store
    store.set_votes("news", 2)
    lead = Desk(store, made.job, made.task, "lin", lead=True)
    ada, bob = desk_of(made), desk_of(made, "bob")
    for desk, other in ((ada, "sport"), (bob, "tech")):
        desk.label(TextId("t000"), other, 1.0)
        desk.label(TextId("t001"), "sport", 1.0)
    lead.label(TextId("t000"), "tech", 1.0)
    eve = Desk(store, made.job, made.task, "eve")
    store.draw_honey_pots("news", "eve", 1.0, [TextId("t005"), TextId("t006"), TextId("t007")], seed=0)
    assert {str(c.text_id) for c in store.open_honey_pots("news", "eve")} == {"t000", "t001"}
    eve.label(TextId("t000"), "sport", 1.0, seen=BLIND)
    assert right_of_pots(store, "news", made.task) == {"eve": [False]}
    assert made.given()["t000"] == "tech"
    eve.label(TextId("t000"), "tech", 1.0, eve.figures()["newest"], seen=BLIND)
    assert right_of_pots(store, "news", made.task) == {"eve": [True]}


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from(["label", "skip", "undo", "load"]), max_size=15))
def test_whatever_is_done_no_label_changes_and_undoing_all_brings_all_back(
    tmp_path_factory, steps: list[str]
) -> None:  # type: ignore[no-untyped-def]
    made = with_seed(news(tmp_path_factory.mktemp("pots"), TEXTS))
    desk = desk_of(made)
    first = pots(desk)
    for step in steps:
        items = desk.items(3, again=False)
        if step == "label" and items:
            desk.label(TextId(items[0]["id"]), "tech", 1.0, seen=Seen(items[0]["blind"], False))
        elif step == "skip" and items:
            desk.skip(TextId(items[0]["id"]), 1.0, seen=Seen(items[0]["blind"], False))
        elif step == "undo":
            desk.undo(desk.figures()["newest"])
        assert not [i for i in made.store.current("news") if str(i).startswith("seed")]
    while (newest := desk.figures()["newest"]) is not None:
        desk.undo(newest)
    assert pots(desk) == first
    made.store.close()


def test_the_command_takes_what_is_known_from_the_jobs_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pool.csv").write_text("id,text\na,One text\nb,Another text\n", encoding="utf-8")
    (tmp_path / "seed.csv").write_text("id,text,label\ns,A known text,sport\n", encoding="utf-8")
    settings = {
        "task": {"kind": "classification", "labels": ["sport", "tech"]},
        "data": {"pool": "pool.csv", "id": "id", "seed": "seed.csv"},
        "oracle": {"name": "local", "base_url": "http://127.0.0.1:1/v1", "model": "m"},
        "people": {"honey_pots": 0.1},
        "budget": {"dollars": 1},
    }  # fmt: skip
    job = tmp_path / "job.yaml"
    job.write_text(yaml.safe_dump(settings), encoding="utf-8")
    given: list[Any] = []
    monkeypatch.setattr("agent.review.serve.serve", lambda *said: given.extend(said[-1]))
    assert CliRunner().invoke(app, ["review", str(job)]).exit_code == 0
    assert [(text.text, value) for text, value in given] == [("A known text", "sport")]
