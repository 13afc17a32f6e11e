"""Accepting all that fits a filter at once, after a sample of it was checked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.records import Label, Route, Source, TextId
from agent.report.gather import standing
from agent.review import bulk
from agent.review.desk import Desk, Stale
from agent.store import Filter, RouteRow
from tests.review.clients import HOME, Page
from tests.review.scenes import Scene, Waiting, draw, news, scene

SPORT = Filter(label="sport")
TEXTS = 30
STORM = settings().max_examples >= 1000


def lenient(made: Scene) -> Scene:
    """Whose labels may be wrong more often, so that a check is short."""
    people = made.job.people.model_copy(update={"target_error": 0.25})
    return Scene(made.store, made.job.model_copy(update={"people": people}), made.task)


@pytest.fixture
def made(tmp_path: Path, each_kind_of_store: None) -> Iterator[Scene]:
    found = lenient(news(tmp_path, TEXTS))
    yield found
    found.store.close()


def desk(made: Scene, person: str = "ada", *, lead: bool = True) -> Desk:
    return Desk(*made.parts, person, lead=lead)


def checked(ada: Desk, wrong: int = 0, only: Filter = SPORT) -> bulk.Check:
    """A check of which the first so many items are labelled otherwise than by the machine."""
    found = bulk.begin(ada, only)
    while found.left:
        for item in ada.items(50, again=False, only=Filter(bulk=found.bulk)):
            ada.label(TextId(item["id"]), "tech" if wrong > 0 else item["suggestion"]["value"], 1)
            wrong -= 1
        found = bulk.check(ada, found.bulk)
    return found


def undo(ada: Desk) -> Any:
    return ada.undo(ada.figures()["newest"])


def chance_of(made: Scene, text: str) -> float | None:
    return made.store.routes("news")[TextId(text)].probability


# What happens to the texts -----------------------------------------------------------------------------------------


def test_what_is_accepted_at_once_waits_no_more_and_its_label_stays_the_machines(made: Scene) -> None:
    ada = desk(made)
    found = checked(ada)
    assert (found.population, found.wrong, found.verdict, found.accepted) == (TEXTS, 0, "accept", None)
    assert found.sample + found.rest == TEXTS
    assert bulk.accept(ada, found.bulk, 2)["accepted"] == found.rest
    assert made.waiting() == []
    assert len(made.given()) == found.sample, "those that were checked, and no others"
    current, routes = made.store.current("news"), made.store.routes("news")
    taken = [i for i, label in current.items() if label.source is Source.ORACLE]
    assert len(taken) == found.rest
    assert {standing(current[i], routes[i]) for i in taken} == {"accepted"}
    assert {routes[i].reason for i in taken} == {"accepted in bulk by ada"}
    (kept,) = [r for r in made.store.reviews("news") if r.action == "accept"]
    assert (kept.person, kept.bulk_id) == ("ada", found.bulk)
    assert kept.note is not None
    assert kept.note.startswith(f"0 of {found.sample} wrong: at most ")
    assert set(made.store.accepted_by("news", kept.id)) == set(taken)


def test_undo_takes_the_whole_of_it_back_and_it_can_be_accepted_again(made: Scene) -> None:
    ada = desk(made)
    found = checked(ada)
    before, routes = made.state(), made.store.routes("news")
    bulk.accept(ada, found.bulk, 2)
    assert undo(ada)["said"] == f"Undone: {found.rest} texts that were accepted at once wait again."
    assert made.state() == before
    assert made.store.routes("news") == routes
    assert bulk.accept(ada, found.bulk, 2)["accepted"] == found.rest
    assert bulk.accept(ada, found.bulk, 2)["accepted"] == found.rest, "twice is the same as once"
    assert bulk.check(ada, found.bulk).accepted == found.rest
    undo(ada)
    assert made.state() == before


def test_the_chance_with_which_people_saw_a_text_is_kept(made: Scene) -> None:
    ada = desk(made)
    before = made.store.routes("news")
    found = checked(ada)
    seen = next(iter(made.given()))
    assert chance_of(made, seen) == before[TextId(seen)].probability, "all of it may be looked at yet"
    bulk.accept(ada, found.bulk, 2)
    assert chance_of(made, seen) == pytest.approx(found.sample / TEXTS)
    assert {r.probability for r in made.store.routes("news").values()} == {chance_of(made, seen)}


def test_a_newer_decision_is_not_the_one_that_was_accepted(made: Scene) -> None:
    ada = desk(made)
    found = checked(ada)
    bulk.accept(ada, found.bulk, 2)
    text = next(i for i, r in made.store.routes("news").items() if r.reason.startswith("accepted in bulk"))
    given = made.store.add_labels("news", [Label(text, "tech", Source.ORACLE, "strong/big", None, 0.4)])
    made.store.add_routes("news", 4, [RouteRow(text, given[0], Route.PERSON, "asked again", 0.4)])
    assert made.waiting() == [text]
    assert made.store.routes("news")[text].route is Route.PERSON
    undo(ada)
    assert len(made.waiting()) == found.rest


def test_what_was_decided_since_the_draw_is_left_as_it_is(made: Scene) -> None:
    ada = desk(made)
    found = checked(ada)
    text = TextId(made.waiting()[0])
    given = made.store.add_labels("news", [Label(text, "tech", Source.ORACLE, "strong/big", None, 0.4)])
    made.store.add_routes("news", 4, [RouteRow(text, given[0], Route.PERSON, "asked again", 0.4)])
    assert bulk.check(ada, found.bulk).population == TEXTS - 1
    assert bulk.accept(ada, found.bulk, 2)["accepted"] == found.rest - 1
    assert made.waiting() == [text]


# What is never among them ------------------------------------------------------------------------------------------


def test_what_is_blind_drawn_put_off_or_before_others_is_never_among_them(
    tmp_path: Path, each_kind_of_store: None
) -> None:
    items = [Waiting(f"Text {n}", "sport", blind=n == 0) for n in range(TEXTS)]
    made = lenient(scene(tmp_path, [*items, Waiting("No label", None), Waiting("Another", "tech")]))
    ada, bob = desk(made), desk(made, "bob")
    draw(made, "t001", accepted=False)
    bob.skip(TextId("t002"), 1)
    bob.label(TextId("t003"), "sport", 1)
    bob.items(2, again=False)  # has these before him
    held = {i["id"] for i in bob.items(2, again=False)}
    assert bulk.plan(ada, SPORT)["population"] == TEXTS - 4 - len(held - {"t000", "t001"})
    found = checked(ada)
    bulk.accept(ada, found.bulk, 1)
    assert {"t000", "t001", f"t{TEXTS:03d}", f"t{TEXTS + 1:03d}"} | held <= set(made.waiting())
    left = {str(row.text_id) for row in made.store.queue("news", include_skipped=True)}
    assert "t002" in left
    made.store.close()


def test_texts_that_people_disagree_on_or_that_one_voted_for_are_never_among_them(made: Scene) -> None:
    made.store.set_votes("news", 2)
    ada, bob = desk(made), desk(made, "bob", lead=False)
    ada.label(TextId("t000"), "tech", 1)
    bob.label(TextId("t000"), "sport", 1)
    bob.label(TextId("t001"), "sport", 1)
    assert bulk.plan(ada, SPORT)["population"] == TEXTS - 2


def test_only_a_lead_may_where_several_label_each_text(made: Scene) -> None:
    people = made.job.people.model_copy(update={"votes": 2})
    several = Scene(made.store, made.job.model_copy(update={"people": people}), made.task)
    made.store.set_votes("news", 2)
    for act in (bulk.plan, bulk.begin):
        with pytest.raises(Stale, match="a lead may"):
            act(desk(several, lead=False), SPORT)
    found = checked(desk(several))
    assert bulk.accept(desk(several), found.bulk, 1)["accepted"] == found.rest
    assert len(made.waiting()) == found.sample, "those have one label of the two that they need"


# The check ---------------------------------------------------------------------------------------------------------


def test_nothing_is_accepted_before_the_check_is_over_or_where_it_fails(made: Scene) -> None:
    ada = desk(made)
    found = bulk.begin(ada, SPORT)
    with pytest.raises(Stale, match="Not all that was drawn is checked"):
        bulk.accept(ada, found.bulk, 1)
    found = checked(ada, wrong=20)
    assert found.verdict == "reject"
    with pytest.raises(Stale, match="not shown that fewer than 25 %"):
        bulk.accept(ada, found.bulk, 1)
    with pytest.raises(Stale, match="No further check"):
        bulk.more(ada, found.bulk)
    assert bulk.begin(ada, SPORT) == found, "nobody draws until it suits"
    assert len(made.waiting()) == found.rest


def test_with_an_error_more_is_drawn_until_it_is_decided(tmp_path: Path) -> None:
    made = lenient(news(tmp_path, 100))
    ada = desk(made)
    found = checked(ada, wrong=1)
    assert (found.wrong, found.verdict) == (1, "open")
    assert found.more > 0
    before = found.sample
    assert bulk.more(ada, found.bulk).left == found.more
    assert bulk.more(ada, found.bulk).left == found.more, "asked twice it is drawn once"
    found = checked(ada)
    assert found.verdict == "accept"
    assert found.sample > before
    assert found.at_most <= 0.25
    assert bulk.accept(ada, found.bulk, 1)["accepted"] == 100 - found.sample
    made.store.close()


def test_what_is_skipped_counts_as_wrong(made: Scene) -> None:
    ada = desk(made)
    found = bulk.begin(ada, SPORT)
    for item in ada.items(50, again=False, only=Filter(bulk=found.bulk)):
        ada.skip(TextId(item["id"]), 1)
    found = bulk.check(ada, found.bulk)
    assert (found.left, found.skipped, found.verdict) == (0, found.sample, "reject")


def test_the_sample_is_drawn_by_chance_and_the_same_from_the_same_seed(tmp_path: Path) -> None:
    drawn = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        made = lenient(news(folder, 40))
        found = bulk.begin(desk(made), SPORT)
        kept = made.store.bulk("news", found.bulk)
        assert kept is not None
        drawn.append([i.text_id for i in made.store.bulk_items("news", kept)])
        made.store.close()
    assert drawn[0] == drawn[1] != sorted(drawn[0])


def test_a_filter_is_needed_and_something_that_fits_it(made: Scene) -> None:
    ada = desk(made)
    for only, said in (
        (None, "Filter the texts first"),
        (Filter(bulk=1), "Filter the"),
        (Filter(words="no"), "Nothing"),
    ):
        with pytest.raises(Stale, match=said):
            bulk.begin(ada, only)
    with pytest.raises(Stale, match="no check that you began"):
        bulk.check(ada, 99)
    assert made.store.bulks("news") == []


def test_a_check_is_whose_it_is(made: Scene) -> None:
    found = checked(desk(made))
    for act in (bulk.check, bulk.more, lambda d, b: bulk.accept(d, b, 1)):
        with pytest.raises(Stale, match="no check that you began"):
            act(desk(made, "bob"), found.bulk)


# Over HTTP ---------------------------------------------------------------------------------------------------------


def test_over_http_from_plan_to_undo(made: Scene) -> None:
    page = Page(made)
    planned = page.get("/api/bulk?label=sport&from=0.4").json()
    assert (planned["population"], planned["limit"]) == (TEXTS, 0.25)
    begun = page.act("/api/bulk", only={"label": "sport", "from": "0.4"}).json()
    assert (begun["sample"], begun["left"]) == (planned["sample"], planned["sample"])
    assert begun["asked"] == {"label": "sport", "low": 0.4}
    while items := page.get(f"/api/items?limit=50&bulk={begun['bulk']}").json()["items"]:
        for item in items:
            assert page.act("/api/label", id=item["id"], value="sport", seconds=1).status_code == 200
    assert page.get(f"/api/bulk/check?bulk={begun['bulk']}").json()["verdict"] == "accept"
    done = page.act("/api/bulk/accept", bulk=begun["bulk"], seconds=3).json()
    assert done["accepted"] == TEXTS - begun["sample"]
    assert done["figures"]["left"] == 0
    (act, *_) = page.get("/api/done").json()["acts"]
    assert (act["opening"], act["given"]) == ("Many texts at once", "accepted at once")
    again = page.get(f"/api/done/item?act={act['act']}")
    assert (again.status_code, "Take it back" in again.json()["error"]) == (409, True)
    assert "wait again" in page.act("/api/undo", newest=done["figures"]["newest"]).json()["said"]
    assert len(made.waiting()) == done["accepted"]


@pytest.mark.parametrize("path", ["/api/bulk", "/api/bulk/more", "/api/bulk/accept"])
def test_no_other_site_and_no_nonsense_accepts_anything(made: Scene, path: str) -> None:
    page = Page(made)
    found = checked(desk(made))
    body = {"bulk": found.bulk, "only": {"label": "sport"}, "seconds": 1}
    for headers in (
        {"Origin": "http://evil.example"},
        {"X-Labelwright-Token": "x"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        assert page.act(path, headers=headers, **body).status_code == 403
    assert page.post(path, json=body).status_code == 403
    for wrong in ({}, {"bulk": "x", "only": 3}, {"bulk": -1, "only": {"label": 3}}, {"bulk": True, "only": [["a"]]}):
        assert page.act(path, **wrong).status_code == 400
    assert page.get(f"{path}?bulk={found.bulk}&label=sport").status_code == (200 if path == "/api/bulk" else 405)
    assert page.act(path, **body | {"bulk": 10**30}).status_code in {200, 400}
    assert len(made.waiting()) == found.rest
    assert HOME == "http://127.0.0.1:8765"


# Undo is exact -----------------------------------------------------------------------------------------------------

Step = tuple[str, int, int]
KINDS = st.sampled_from(["label", "skip", "accept", "undo"])


@given(st.lists(st.tuples(KINDS, st.integers(0, 1), st.integers(0, TEXTS - 1)), max_size=12))
@settings(max_examples=500 if STORM else 4, deadline=None)
def test_whatever_two_people_do_each_act_is_taken_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, todo: list[Step]
) -> None:
    made = lenient(news(tmp_path_factory.mktemp("bulk"), TEXTS))
    people = [desk(made, name) for name in ("ada", "bob")]
    checks = [checked(people[0])]
    people[0].let_go()

    def sight() -> object:
        store = made.store
        return made.state(), store.routes("news"), [p.figures() for p in people], store.judged_blind("news")

    seen: list[tuple[int, object]] = [(-1, sight())]
    for kind, who, number in todo:
        before = people[who].figures()["newest"]
        try:
            if kind == "label":
                people[who].label(TextId(f"t{number:03d}"), "tech", 1)
            elif kind == "skip":
                people[who].skip(TextId(f"t{number:03d}"), 1)
            elif kind == "accept":
                bulk.accept(people[who], checks[0].bulk, 1)
            elif len(seen) > 1 and seen[-1][0] == who:
                undo(people[who])
                people[who].let_go()
                seen.pop()
                assert sight() == seen[-1][1]
        except Stale:
            assert kind != "undo"
        if kind != "undo" and people[who].figures()["newest"] != before:
            seen.append((who, sight()))
    while len(seen) > 1:
        who, _ = seen.pop()
        undo(people[who])
        people[who].let_go()
        assert sight() == seen[-1][1]
    made.store.close()
