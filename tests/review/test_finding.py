"""Over HTTP: flags and who reads them, what a person did and may do anew, and what a filter finds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.records import Label, Source, TextId
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


def test_what_is_looked_for_among_all_is_not_planned_as_a_look_at_a_few(
    made: Scene, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL took 4 s instead of 50 ms for a common word among 50,000 texts."""
    begun: list[bool] = []
    plain = made.store.transaction

    def noted(job: str | None = None, *, few: bool = False) -> Any:
        begun.append(few)
        return plain(job, few=few)

    monkeypatch.setattr(made.store, "transaction", noted)
    page.get("/api/items", params={"words": "match"})
    assert begun[0] is False, "those inside belong to the first one"


# What was done before -----------------------------------------------------------------------------------------------


def label(page: Page, text: str, value: str, **more: Any) -> Any:
    return page.act("/api/label", id=text, value=value, seconds=1, **more)


def history(page: Page, before: int | None = None) -> list[dict[str, Any]]:
    asked = {} if before is None else {"before": before}
    return list(page.get("/api/done", params=asked).json()["acts"])


def given_by(page: Page) -> list[str]:
    return [act["given"] for act in history(page)]


def test_a_person_sees_what_they_did_newest_first_and_nothing_of_others(made: Scene, page: Page) -> None:
    label(Page(made, "bob"), "t005", "politics")
    label(page, "t000", "tech")
    page.act("/api/skip", id="t001", seconds=1)
    page.act("/api/skip", id="t002", seconds=1, note="two topics")
    assert given_by(page) == ["flagged", "skipped", "tech"]
    assert [(a["opening"][:16], a["note"]) for a in history(page)] == [
        ("Article number 2", "two topics"),
        ("Article number 1", ""),
        ("Article number 0", ""),
    ]


def test_what_was_done_comes_in_pages(tmp_path: Path) -> None:
    made = news(tmp_path, 120)
    page = Page(made)
    for n in range(120):
        label(page, f"t{n:03d}", "tech")
    seen: list[int] = []
    for size, more in ((50, True), (50, True), (20, False)):
        reply = page.get("/api/done", params={"before": seen[-1]} if seen else {}).json()
        assert (len(reply["acts"]), reply["more"]) == (size, more)
        seen += [act["act"] for act in reply["acts"]]
    assert seen == sorted(set(seen), reverse=True)
    made.store.close()


def test_another_label_takes_the_place_of_ones_own(made: Scene, page: Page) -> None:
    label(page, "t000", "tech")
    label(page, "t001", "business")
    act = history(page)[1]["act"]
    shown = page.get("/api/done/item", params={"act": act}).json()
    assert (shown["item"]["id"], shown["item"]["instead"], shown["was"]) == ("t000", act, "tech")
    assert shown["item"]["suggestion"]["value"] == "sport"
    reply = label(page, "t000", "politics", instead=act)
    assert (reply.status_code, reply.json()["figures"]["done"]) == (200, 2)
    assert made.given() == {"t000": "politics", "t001": "business"}
    assert given_by(page) == ["politics", "business"]
    assert list(made.store.withdrawn("news").values()) == ["replaced by ada"]
    assert [r.action for r in made.store.reviews("news")] == ["label", "label", "undo", "label"]
    again = label(page, "t000", "politics", instead=act)
    assert again.status_code == 200, "sent once more, since the answer was lost"
    assert len(made.store.reviews("news")) == 4
    assert label(page, "t000", "sport", instead=act).status_code == 409


def test_the_same_label_once_more_changes_nothing(made: Scene, page: Page) -> None:
    label(page, "t000", "tech")
    assert label(page, "t000", "tech", instead=history(page)[0]["act"]).status_code == 200
    assert len(made.store.reviews("news")) == 1


def test_a_text_that_was_shown_blind_stays_blind_when_it_is_shown_again(tmp_path: Path) -> None:
    made = scene(tmp_path, [Waiting("One.", "sport", blind=True, confidence=0.875), Waiting("Two.", "sport")])
    page = Page(made)
    label(page, "t000", "tech")
    act = history(page)[0]["act"]
    reply = page.get("/api/done/item", params={"act": act})
    assert reply.json()["item"]["suggestion"] is None
    assert "sport" not in reply.text
    assert "0.875" not in reply.text
    label(page, "t000", "politics", instead=act)
    assert made.store.judged_blind("news") == {"t000"}
    made.store.close()


def test_what_was_judged_with_the_machine_in_sight_never_counts_as_judged_blind(made: Scene, page: Page) -> None:
    label(page, "t000", "tech")
    draw(made, "t000")
    act = history(page)[0]["act"]
    assert page.get("/api/done/item", params={"act": act}).json()["item"]["suggestion"] is None
    label(page, "t000", "politics", instead=act)
    assert made.store.judged_blind("news") == set()


def test_ones_own_label_cannot_be_replaced_once_a_lead_decided(made: Scene) -> None:
    ada, bob, lin = let_in(made, "ada"), let_in(made, "bob"), let_in(made, "lin", "lead")
    made.store.set_votes("news", 2)
    label(ada, "t000", "tech")
    label(bob, "t000", "sport")
    mine = history(bob)[0]["act"]
    label(lin, "t000", "politics")
    reply = label(bob, "t000", "tech", instead=mine)
    assert reply.status_code == 409
    assert "decided by lin" in reply.json()["error"]
    decided = history(lin)[0]["act"]
    shown = lin.get("/api/done/item", params={"act": decided}).json()["item"]
    assert "ada: tech; bob: sport" in shown["reason"]
    assert label(lin, "t000", "business", instead=decided).status_code == 200
    assert made.given()["t000"] == "business"
    assert made.store.waiting("news", TextId("t000")) is None, "it is decided still"


def test_ones_own_label_cannot_be_replaced_after_another_person_labelled_it(made: Scene) -> None:
    ada, bob = let_in(made, "ada"), let_in(made, "bob")
    made.store.set_votes("news", 2)
    label(ada, "t000", "tech")
    label(bob, "t000", "tech")
    reply = label(ada, "t000", "sport", instead=history(ada)[0]["act"])
    assert reply.status_code == 409
    assert "labelled by bob meanwhile" in reply.json()["error"]
    assert label(bob, "t000", "sport", instead=history(bob)[0]["act"]).status_code == 200
    row = made.store.waiting("news", TextId("t000"))
    assert row is not None
    assert row.torn


def test_nobody_can_replace_or_take_back_what_another_did(made: Scene) -> None:
    ada, bob = let_in(made, "ada"), let_in(made, "bob")
    label(ada, "t000", "tech")
    act = history(ada)[0]["act"]
    for reply in (
        label(bob, "t000", "sport", instead=act),
        bob.act("/api/undo", act=act),
        bob.get("/api/done/item", params={"act": act}),
        label(ada, "t001", "sport", instead=act),
    ):
        assert reply.status_code == 409
    assert made.given() == {"t000": "tech"}


@pytest.mark.parametrize("odd", ["x", 0, -1, 2**70, True, [1]])
def test_what_is_no_act_is_refused(page: Page, odd: object) -> None:
    assert page.act("/api/undo", act=odd).status_code == 400
    assert label(page, "t000", "tech", instead=odd).status_code == 400


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2), (1, 3, 2, 0)])
def test_acts_taken_back_in_any_order_leave_all_as_it_was(made: Scene, page: Page, order: Sequence[int]) -> None:
    start = made.state()
    label(page, "t000", "tech")
    before_label = made.state()
    label(page, "t001", "business")
    page.act("/api/skip", id="t002", seconds=1)
    page.act("/api/skip", id="t003", seconds=1, note="odd")
    acts = [act["act"] for act in history(page)]
    for n in order:
        reply = page.act("/api/undo", act=acts[n])
        assert reply.status_code == 200, reply.json()
        assert reply.json()["item"] is not None
        assert page.act("/api/undo", act=acts[n]).status_code == 409, "once"
        if sorted(order[: order.index(n) + 1]) == [0, 1, 2]:
            assert made.state() == before_label
    assert made.state() == start
    assert history(page) == []


# The filter ---------------------------------------------------------------------------------------------------------

ZOO = [
    Waiting("The Match was sold for 100%.", "sport", confidence=0.9),
    Waiting("A match_day in KÖLN.", "tech", confidence=0.2),
    Waiting("matchXday, a b\\\\c.", "sport", confidence=0.4),
    Waiting("Hidden match of Köln.", "sport", blind=True, confidence=0.4),
    Waiting("nul \0 Match here.", None, confidence=None),
    Waiting("Nothing.", "politics", confidence=0.4),
]


@pytest.fixture
def zoo(tmp_path: Path) -> Iterator[Page]:
    made = scene(tmp_path, ZOO)
    yield Page(made)
    made.store.close()


def find(page: Page, **asked: Any) -> list[int]:
    reply = page.get("/api/items", params={"limit": 50} | asked).json()
    found = [int(item["id"][1:]) for item in reply["items"]]
    assert reply["matching"] == len(found)
    return found


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"words": "match"}, [0, 1, 2, 3, 4]),
        ({"words": "  MATCH "}, [0, 1, 2, 3, 4]),
        ({"words": "köln"}, [1, 3]),
        ({"words": "KÖLN"}, [1, 3]),
        ({"words": "0%"}, [0]),
        ({"words": "%"}, [0]),
        ({"words": "h_d"}, [1]),
        ({"words": "\\"}, [2]),
        ({"words": "nul \0"}, [4]),
        ({"words": "nowhere"}, []),
        ({"label": "sport"}, [0, 2]),
        ({"label": "Sport"}, []),
        ({"label": "spor"}, []),
        ({"from": "0.4"}, [0, 2, 5]),
        ({"to": "0.4"}, [1, 2, 5]),
        ({"from": "0.3", "to": "0.5", "label": "sport"}, [2]),
        ({"round": "3"}, [0, 1, 2, 3, 4, 5]),
        ({"round": "2"}, []),
        ({"words": "match", "label": "tech"}, [1]),
        ({"disagree": "1"}, []),
        ({"flagged": "1"}, []),
        ({"skipped": "1"}, []),
        ({"person": "bob"}, []),
    ],
)
def test_a_filter_finds_just_what_fits(zoo: Page, asked: dict[str, str], found: list[int]) -> None:
    assert find(zoo, **asked) == found


def test_without_a_filter_nothing_is_counted(zoo: Page) -> None:
    assert zoo.get("/api/items").json()["matching"] is None
    assert zoo.get("/api/items?words=&label=&from=").json()["matching"] is None


@pytest.mark.parametrize(
    "asked", ["from=x", "to=2", "from=nan", "round=-1", "round=x", f"round={2**40}", "words=" + "a" * 501]
)
def test_a_filter_that_makes_no_sense_is_refused(zoo: Page, asked: str) -> None:
    assert zoo.get(f"/api/items?{asked}").status_code == 400


def test_no_filter_tells_what_the_machine_said_of_a_blind_text(tmp_path: Path) -> None:
    made = news(tmp_path, 4)
    draw(made, "t001", accepted=False)
    page = Page(made)
    for asked in ({"label": "sport"}, {"from": "0"}, {"to": "1"}, {"from": "0", "to": "1", "words": "article"}):
        assert sorted(find(page, **asked)) == [0, 2, 3], asked
    assert sorted(find(page, words="number 1")) == [1]
    made.store.close()


def test_one_of_several_labels_is_found(tmp_path: Path) -> None:
    given = (["sport", "tech"], ["tech"], [], ("tech", "sport"))
    made = scene(tmp_path, [Waiting("a text", each) for each in given], kind="multilabel")
    page = Page(made)
    assert find(page, label="sport") == [0, 3]
    assert find(page, label="tech") == [0, 1, 3]
    made.store.close()


def test_what_was_put_off_is_found_where_it_is_asked_for(made: Scene) -> None:
    ada, bob, lin = let_in(made, "ada"), let_in(made, "bob"), let_in(made, "lin", "lead")
    ada.act("/api/skip", id="t000", seconds=1)
    ada.act("/api/skip", id="t001", seconds=1, note="odd")
    bob.act("/api/skip", id="t002", seconds=1, note="odd")
    assert find(ada, words="article") == [3, 4, 5, 2], "what another put off comes last"
    assert find(ada, skipped="1") == [0, 1]
    assert find(ada, flagged="1") == [1]
    ada.act("/api/let-go")
    assert find(lin, flagged="1") == [1, 2], "a lead finds everybody's"
    assert find(lin, skipped="1") == []


def test_a_lead_finds_what_somebody_labelled_and_a_reviewer_may_not_look(made: Scene) -> None:
    ada, lin = let_in(made, "ada"), let_in(made, "lin", "lead")
    made.store.set_votes("news", 2)
    label(ada, "t003", "tech")
    assert find(lin, person="ada") == [3]
    assert ada.get("/api/items?person=ada").status_code == 400


def test_student_and_oracle_that_disagree_are_found(made: Scene, page: Page) -> None:
    def by_student(text: str, value: str) -> None:
        given = Label(TextId(text), value, Source.STUDENT, "student")
        made.store.add_labels("news", [given])

    by_student("t001", "tech")
    by_student("t002", "sport")
    assert find(page, disagree="1") == [1]
    draw(made, "t001", accepted=False)
    assert find(page, disagree="1") == []


def test_a_filter_keeps_to_leases(made: Scene) -> None:
    ada, bob = let_in(made, "ada"), let_in(made, "bob")
    assert find(ada, words="number 3") == [3]
    reply = bob.get("/api/items", params={"words": "article", "limit": 50}).json()
    assert [item["id"] for item in reply["items"]] == ["t000", "t001", "t002", "t004", "t005"]
    assert reply["matching"] == 6, "what fits, whoever has it before them"


def test_in_a_long_queue_the_rare_and_the_common_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.store.candidates.HEAD", 10)
    for few in (1, 4000):
        monkeypatch.setattr("agent.store.candidates.FEW", few)
        made = news(tmp_path / str(few), 60)
        page = Page(made)
        assert find(page, words="number 5") == [5, *range(50, 60)]
        assert find(page, words="number 59", label="sport") == [59]
        assert find(page, words="number 59", label="tech") == []
        assert len(page.get("/api/items", params={"words": "match", "limit": 8}).json()["items"]) == 8
        made.store.close()
