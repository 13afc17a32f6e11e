"""Several people at one queue: who is let in, what each is given, and who decides where they disagree."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from agent.records import Source, TextId
from agent.review import guard
from agent.review.desk import Desk, Seen, Stale, person_label
from agent.review.guard import CALLS, WRONG
from agent.review.limits import RateLimit
from agent.store import Filter
from tests.review.scenes import Scene, draw, news
from tests.review.test_review_page import HOME, Page

pytestmark = pytest.mark.usefixtures("each_kind_of_store")
TEXTS = 12


@pytest.fixture
def no_rate_limit() -> None:
    """Here it is on."""


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Scene]:
    found = news(tmp_path, TEXTS)
    yield found
    found.store.close()


def let_in(made: Scene, name: str, role: str = "reviewer") -> Page:
    token = made.store.add_reviewer("news", name, role)
    page = Page(made, person=None)
    assert page.get(f"/?key={token}").status_code == 303
    page.token = page.get("/api/session").json()["token"]
    return page


def several(made: Scene, votes: int) -> list[Desk]:
    """Ada, Bob and Eve, and Lin, who leads; so many have to label each text."""
    made.store.set_votes("news", votes)
    return [Desk(*made.parts, name, lead=name == "lin") for name in ("ada", "bob", "eve", "lin")]


def ids(desk: Desk, limit: int = 50, *, again: bool = False) -> list[str]:
    return [item["id"] for item in desk.items(limit, again=again)]


# Who is let in ------------------------------------------------------------------------------------------------------


def test_each_label_is_under_the_name_of_whose_token_it_came_with(made: Scene) -> None:
    ada, bob = let_in(made, "ada"), let_in(made, "bob")
    ada.act("/api/label", id="t000", value="tech", seconds=1)
    bob.act("/api/label", id="t001", value="tech", seconds=1)
    assert {x.text_id: x.by for x in made.store.labels("news", source=Source.PERSON)} == {
        "t000": "ada",
        "t001": "bob",
    }
    assert ">ada<" in ada.get("/").text
    assert ada.get("/api/session").json()["session"] != bob.get("/api/session").json()["session"]


def test_a_token_that_was_taken_back_opens_nothing_at_once(made: Scene) -> None:
    ada = let_in(made, "ada")
    assert len(ada.ids()) == TEXTS
    made.store.revoke_reviewer("news", "ada")
    for reply in (ada.get("/"), ada.get("/api/items"), ada.act("/api/label", id="t000", value="tech", seconds=1)):
        assert reply.status_code == 401
    assert made.given() == {}
    assert len(ids(several(made, 1)[1])) == TEXTS, "and what was before her is anybody's"


def test_a_new_token_ends_the_old_one(made: Scene) -> None:
    before, after = let_in(made, "ada"), let_in(made, "ada", "lead")
    assert before.get("/api/items").status_code == 401
    assert after.get("/api/items").status_code == 200


def test_no_token_can_be_read_from_the_store(made: Scene) -> None:
    token = made.store.add_reviewer("news", "ada")
    with made.store.snapshot() as tx:
        rows = [str(row) for table in ("reviewers", "jobs") for row in tx.exec_driver_sql(f"SELECT * FROM {table}")]
    assert rows
    assert not any(token in row for row in rows)


def test_who_guesses_tokens_has_to_wait(made: Scene) -> None:
    ada = let_in(made, "ada")
    said = [ada.get(f"/?key=guess{n}").status_code for n in range(WRONG[0] + 1)]
    assert said == [401] * WRONG[0] + [429]
    assert int(ada.get("/?key=more").headers["retry-after"]) >= 1


def test_one_page_gone_mad_does_not_stop_the_others(made: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CALLS[0] >= 100, "a page asks for a dozen files at once"
    monkeypatch.setattr(guard, "CALLS", (20, 1e-3))  # so that a slow machine is mad enough
    app = let_in(made, "ada").app
    pages = []
    for name in ("mad", "calm"):
        page = TestClient(app, base_url=HOME, follow_redirects=False)
        page.get(f"/?key={made.store.add_reviewer('news', name)}")
        pages.append(page)
    said = {pages[0].get("/api/session").status_code for _ in range(30)}
    assert said == {200, 429}
    assert pages[1].get("/api/session").status_code == 200


def test_a_bucket_fills_with_time() -> None:
    now = [0.0]
    limit = RateLimit(2, 0.5, lambda: now[0])
    assert [limit.wait_s("a") for _ in range(3)] == [0, 0, 2]
    assert limit.wait_s("b") == 0
    now[0] = 2.0
    assert [limit.wait_s("a") for _ in range(2)] == [0, 2]


@pytest.mark.parametrize("votes", [1, 2])
def test_what_a_page_is_told_after_each_label_is_what_is_counted_anew(made: Scene, votes: int) -> None:
    people = several(made, votes)
    for number in range(TEXTS):
        for place, desk in enumerate(people[votes - 1 :: -1]):
            desk.figures()
            act = desk.label(TextId(f"t{number:03d}"), "tech" if place or number % 3 else "sport", 1)
            assert desk.figures_after(act) == desk.figures()


# What each is given -------------------------------------------------------------------------------------------------


def test_nobody_is_given_what_is_before_somebody_else(made: Scene) -> None:
    ada, bob, eve, _ = several(made, 1)
    assert ids(ada, 5) == [f"t{n:03d}" for n in range(5)]
    assert ids(bob, 5) == [f"t{n:03d}" for n in range(5, 10)]
    assert ids(eve, 5) == ["t010", "t011"]
    assert ids(ada, 5) == [f"t{n:03d}" for n in range(5)], "the same again: they are hers"


def test_what_somebody_left_behind_is_anybodys_after_its_time(made: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    ada, bob, *_ = several(made, 1)
    assert len(ids(ada)) == TEXTS
    assert ids(bob) == []
    later = datetime.now(UTC) + timedelta(minutes=made.job.people.lease_minutes, seconds=1)
    monkeypatch.setattr("agent.store.claims.now", lambda: later)
    assert len(ids(bob)) == TEXTS
    bob.label(TextId("t000"), "tech", 1)
    with pytest.raises(Stale, match="was labelled tech by bob"):
        ada.label(TextId("t000"), "sport", 1)


def test_what_is_let_go_is_anybodys_at_once(made: Scene) -> None:
    ada, bob = let_in(made, "ada"), let_in(made, "bob")
    assert len(ada.ids()) == TEXTS
    assert bob.ids() == []
    assert ada.act("/api/let-go").status_code == 200
    assert len(bob.ids()) == TEXTS


def test_what_one_skips_another_is_given(made: Scene) -> None:
    ada, bob, *_ = several(made, 1)
    ada.skip(TextId("t000"), 1)
    assert "t000" not in ids(ada, 3)
    assert ada.figures()["skipped"] == 1
    ada.let_go()
    assert ids(bob)[-1] == "t000", "after what nobody put off"
    assert bob.figures() | {"newest": 0} == {"left": TEXTS, "skipped": 0, "torn": 0, "done": 0, "newest": 0,
                                             "minutes": None}  # fmt: skip
    bob.let_go()
    assert ids(ada, again=True)[-1] == "t000"


def test_a_flag_is_a_skip_with_a_note(made: Scene) -> None:
    ada = let_in(made, "ada")
    assert ada.act("/api/skip", id="t000", seconds=1, note="two topics").status_code == 200
    assert ada.act("/api/skip", id="t000", seconds=1, note="two topics").status_code == 200
    (kept,) = made.store.reviews("news")
    assert (kept.action, kept.note) == ("flag", "two topics")
    assert "t000" not in ada.ids()
    assert ada.act("/api/skip", id="t001", seconds=1, note=" ").status_code == 400


# Several people a text ----------------------------------------------------------------------------------------------


def test_each_text_goes_to_as_many_people_as_have_to_label_it_and_to_nobody_twice(made: Scene) -> None:
    ada, bob, eve, _ = several(made, 2)
    assert len(ids(ada)) == len(ids(bob)) == TEXTS
    assert ids(eve) == [], "two have every text before them"
    ada.label(TextId("t000"), "tech", 1)
    assert "t000" not in ids(ada)
    assert ada.figures()["left"] == TEXTS - 1
    assert ids(eve) == []
    bob.let_go()
    assert ids(eve)[0] == "t000"
    eve.label(TextId("t000"), "tech", 1)
    assert made.store.waiting("news", TextId("t000")) is None
    assert "t000" not in ids(bob)
    with pytest.raises(Stale):
        bob.label(TextId("t000"), "tech", 1)
    assert len(made.store.labels("news", source=Source.PERSON)) == 2


def test_nobody_sees_what_another_person_said_before_they_have_said_it_themselves(made: Scene) -> None:
    ada, bob, *_ = several(made, 2)
    before = next(i for i in bob.items(50, again=False) if i["id"] == "t000")
    ada.label(TextId("t000"), "politics", 1)
    assert next(i for i in bob.items(50, again=False) if i["id"] == "t000") == before


def test_a_second_label_of_the_same_person_is_refused_and_the_same_one_is_as_once(made: Scene) -> None:
    ada, *_ = several(made, 2)
    ada.label(TextId("t000"), "tech", 1)
    ada.label(TextId("t000"), "tech", 1)
    with pytest.raises(Stale, match="labelled tech by you already"):
        ada.label(TextId("t000"), "sport", 1)
    assert len(made.store.labels("news", source=Source.PERSON)) == 1


def test_where_people_disagree_a_lead_decides_and_a_reviewer_cannot(made: Scene) -> None:
    ada, bob, eve, lin = several(made, 2)
    ada.label(TextId("t003"), "tech", 1)
    bob.label(TextId("t003"), "sport", 1)
    assert "t003" not in ids(eve)
    with pytest.raises(Stale, match="waits for a lead"):
        eve.label(TextId("t003"), "tech", 1)
    assert (eve.figures()["torn"], lin.figures()["torn"]) == (0, 1), "how others voted is not for who may vote yet"
    first = lin.items(1, again=False)[0]
    assert (first["id"], first["badge"]) == ("t003", "Disagreement")
    assert "ada: tech; bob: sport" in first["reason"]
    lin.label(TextId("t003"), "politics", 1)
    assert made.given()["t003"] == "politics"
    assert made.store.waiting("news", TextId("t003")) is None
    assert lin.undo(lin.figures()["newest"])["item"]["badge"] == "Disagreement"
    assert lin.figures()["torn"] == 1


def test_asking_for_more_people_later_brings_texts_back(made: Scene) -> None:
    ada, bob, *_ = several(made, 1)
    ada.label(TextId("t000"), "tech", 1)
    made.store.set_votes("news", 2)
    assert ids(bob)[0] == "t000"
    made.store.set_votes("news", 1)
    assert "t000" not in ids(bob)


def test_a_job_says_how_many_people_have_to_label_each_text(made: Scene) -> None:
    people = made.job.people.model_copy(update={"votes": 2})
    Page(Scene(made.store, made.job.model_copy(update={"people": people}), made.task))
    with made.store.snapshot() as tx:
        assert tx.exec_driver_sql("SELECT votes FROM jobs").scalar() == 2


def test_a_page_of_another_person_in_the_same_browser_changes_nothing(made: Scene) -> None:
    ada = let_in(made, "ada")
    token = ada.token
    ada.get(f"/?key={made.store.add_reviewer('news', 'bob')}")  # the cookie is bob's from here on
    assert ada.act("/api/label", id="t000", value="tech", seconds=1).status_code == 403
    assert ada.get("/api/session").json()["token"] != token
    assert made.given() == {}


def test_a_wrong_token_from_the_same_address_keeps_nobody_else_out(made: Scene) -> None:
    ada = let_in(made, "ada")
    stranger = TestClient(ada.app, base_url=HOME, follow_redirects=False)
    assert {stranger.get("/?key=wrong").status_code for _ in range(3 * WRONG[0])} == {401, 429}
    assert ada.get("/api/items").status_code == 200


def test_an_address_with_a_token_leads_nowhere_else(made: Scene) -> None:
    token = made.store.add_reviewer("news", "ada")
    page = Page(made, person=None)
    assert page.get(f"{HOME}//evil.example/?key={token}").headers["location"] == "/evil.example/"


def test_a_token_that_was_clicked_on_another_site_opens_the_page(made: Scene) -> None:
    page = Page(made, person=None)
    token = made.store.add_reviewer("news", "ada")
    reply = page.get(f"/?key={token}", headers={"Sec-Fetch-Site": "cross-site"})
    assert (reply.status_code, token in reply.text) == (200, False)
    assert 'url=/"' in reply.text
    assert page.get("/").status_code == 200


def test_another_site_cannot_take_what_waits_from_others(made: Scene) -> None:
    ada = Page(made)
    assert ada.get("/api/items", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert ada.get("/api/items", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_who_saw_the_machines_label_did_not_judge_blind(made: Scene) -> None:
    ada = Page(made)
    draw(made, "t000", "t001", accepted=False)
    ada.act("/api/label", id="t000", value="tech", seconds=1, seen={"blind": False, "torn": False})
    ada.act("/api/label", id="t001", value="tech", seconds=1, seen={"blind": True, "torn": False})
    assert made.store.judged_blind("news") == {"t001"}


def test_a_lead_who_saw_a_text_before_others_disagreed_does_not_decide_by_chance(made: Scene) -> None:
    ada, bob, _, lin = several(made, 2)
    ada.label(TextId("t000"), "tech", 1)
    bob.label(TextId("t000"), "sport", 1)
    with pytest.raises(Stale, match="is disagreed about since you saw it"):
        lin.label(TextId("t000"), "tech", 1, seen=Seen(blind=False, torn=False))
    lin.skip(TextId("t000"), 1, seen=Seen(blind=False, torn=True))
    assert (lin.figures()["skipped"], lin.figures()["left"]) == (1, TEXTS - 1)
    assert "t000" in ids(lin, again=True)


def test_who_may_vote_yet_is_not_told_how_others_voted(made: Scene) -> None:
    people = made.job.people.model_copy(update={"votes": 2})
    scene = Scene(made.store, made.job.model_copy(update={"people": people}), made.task)
    ada, bob, eve, _ = several(scene, 2)
    ada.label(TextId("t000"), "politics", 1)
    bob.label(TextId("t000"), "politics", 1)
    for act in (lambda: eve.skip(TextId("t000"), 1), lambda: eve.label(TextId("t000"), "tech", 1)):
        with pytest.raises(Stale) as told:
            act()
        assert "politics" not in str(told.value)
        assert "ada" not in str(told.value)
    ada.label(TextId("t001"), "politics", 1)
    bob.label(TextId("t001"), "sport", 1)
    with pytest.raises(Stale, match="waits for a lead"):
        bob.label(TextId("t001"), "politics", 1, bob.figures()["newest"])


def test_what_is_taken_back_is_before_the_one_who_took_it_back(made: Scene) -> None:
    ada, bob, *_ = several(made, 1)
    ada.label(TextId("t000"), "tech", 1)
    assert ada.undo(ada.figures()["newest"])["item"]["id"] == "t000"
    assert "t000" not in ids(bob)
    bob.let_go()
    ada.label(TextId("t000"), "tech", 1)
    ada.label(TextId("t000"), "sport", 1, ada.figures()["newest"])
    undone = ada.undo(ada.figures()["newest"])
    assert (undone["said"], undone["item"]) == ("Undone: sport. It is tech again.", None)
    assert made.given() == {"t000": "tech"}


def test_one_person_never_has_the_whole_queue_before_them(made: Scene) -> None:
    ada, bob, *_ = several(made, 1)
    ids(ada, 4)
    assert [i["id"] for i in ada.items(2, again=False, only=Filter(words="number 9"))] == ["t009"]
    assert len(ids(bob)) == TEXTS - 1


def test_one_persons_two_answers_in_a_file_are_no_disagreement(made: Scene) -> None:
    ada, bob, *_ = several(made, 2)
    ada.label(TextId("t000"), "tech", 1)
    made.store.review_all("news", [(person_label(TextId("t000"), "sport", "ada"), 0.0)])
    bob.label(TextId("t000"), "sport", 1)
    assert made.store.waiting("news", TextId("t000")) is None


def test_the_first_of_two_votes_is_no_verdict_of_an_audit(made: Scene) -> None:
    ada, bob, *_ = several(made, 2)
    audit = draw(made, "t000")
    ada.label(TextId("t000"), "tech", 1)
    assert [a.judged for a in made.store.audit_answers("news", audit)] == [False]
    bob.label(TextId("t000"), "tech", 1)
    assert [a.judged for a in made.store.audit_answers("news", audit)] == [True]
