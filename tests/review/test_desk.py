"""What a person does with the queue, without the web."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.records import MicroDollars, Source, TextId
from agent.review.app import asked_next, items, label
from agent.review.desk import Desk, NotALabel, Stale
from tests.review.scenes import Scene, Waiting, draw, news, scene, spans, timed

pytestmark = pytest.mark.usefixtures("each_kind_of_store")


def desk(made: Scene, person: str = "ada") -> Desk:
    return Desk(*made.parts, person)


def test_a_label_is_kept_under_the_persons_name_and_the_text_leaves_the_queue(tmp_path: Path) -> None:
    made = news(tmp_path, 2)
    desk(made).label(TextId("t000"), "tech", 2.5)
    label = made.store.current("news")[TextId("t000")]
    assert (label.value, label.source, label.by) == ("tech", Source.PERSON, "ada")
    assert made.waiting() == ["t001"]
    assert made.store.reviews("news")[0].seconds == 2.5


def test_a_label_that_is_not_in_the_job_is_refused_with_the_nearest_one_and_nothing_is_kept(tmp_path: Path) -> None:
    made = news(tmp_path, 1)
    before = made.state()
    with pytest.raises(NotALabel, match="did you mean 'sport'"):
        desk(made).label(TextId("t000"), "sprot", 1)
    assert made.state() == before


@pytest.mark.parametrize("answer", [None, 3, ["sport"], {"label": "sport"}])
def test_an_answer_of_the_wrong_shape_is_refused(tmp_path: Path, answer: object) -> None:
    with pytest.raises(NotALabel, match="expected"):
        desk(news(tmp_path, 1)).label(TextId("t000"), answer, 1)


def test_a_lost_reply_and_a_second_try_save_the_label_once(tmp_path: Path) -> None:
    made = news(tmp_path, 2)
    for _ in range(2):
        desk(made).label(TextId("t000"), "tech", 1)
    assert len(made.store.reviews("news")) == 1


def test_a_second_skip_of_the_same_text_is_the_same_as_one(tmp_path: Path) -> None:
    made = news(tmp_path, 2)
    before = made.state()
    ada = desk(made)
    ada.skip(TextId("t000"), 1)
    ada.skip(TextId("t000"), 1)
    ada.undo(ada.figures()["newest"])
    assert made.state() == before


def test_what_another_person_labelled_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    made = news(tmp_path, 1)
    desk(made, "grace").label(TextId("t000"), "tech", 1)
    with pytest.raises(Stale, match="was labelled tech by grace"):
        desk(made).label(TextId("t000"), "sport", 1)
    with pytest.raises(Stale, match="by grace"):
        desk(made).skip(TextId("t000"), 1)
    assert made.given() == {"t000": "tech"}


def test_two_people_at_once_leave_one_label_and_one_is_told(tmp_path: Path) -> None:
    made = news(tmp_path, 1)
    told: list[Stale] = []
    start = threading.Barrier(2)

    def give(person: str, value: str) -> None:
        start.wait()
        try:
            desk(made, person).label(TextId("t000"), value, 1)
        except Stale as stale:
            told.append(stale)

    threads = [threading.Thread(target=give, args=who) for who in (("ada", "tech"), ("grace", "sport"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 1
    assert len(made.store.labels("news", source=Source.PERSON)) == 1


def test_a_text_that_is_no_longer_in_the_queue_is_stale(tmp_path: Path) -> None:
    made = news(tmp_path, 1)
    made.store.add_texts("news", {TextId("never-routed"): "hello"})
    with pytest.raises(Stale, match="no longer waits"):
        desk(made).label(TextId("never-routed"), "tech", 1)
    with pytest.raises(Stale, match="not a text of this job"):
        desk(made).label(TextId("unheard-of"), "tech", 1)


def test_undo_gives_the_item_and_what_was_said_of_it(tmp_path: Path) -> None:
    made = news(tmp_path, 2)
    ada = desk(made)
    ada.label(TextId("t000"), "tech", 1)
    done = ada.undo(ada.figures()["newest"])
    assert (done["was"], done["item"]["id"], done["said"]) == ("tech", "t000", "Undone: tech.")


def test_undo_brings_back_what_an_audit_drew_as_it_was_blind(tmp_path: Path) -> None:
    made = news(tmp_path, 2)
    draw(made, "t001")
    before, ada = made.state(), desk(made)
    ada.label(TextId("t001"), "tech", 1)
    assert made.waiting() == ["t000"]
    done = ada.undo(ada.figures()["newest"])
    assert (done["item"]["blind"], done["item"]["suggestion"]) == (True, None)
    assert made.state() == before


def test_undo_of_nothing_says_so(tmp_path: Path) -> None:
    assert desk(news(tmp_path, 1)).undo(None)["said"] == "Nothing to undo."


def test_undo_takes_back_only_what_the_page_knows_of(tmp_path: Path) -> None:
    made = news(tmp_path, 3)
    ada = desk(made)
    ada.label(TextId("t000"), "tech", 1)
    seen = ada.figures()["newest"]
    ada.label(TextId("t001"), "tech", 1)  # in another window
    with pytest.raises(Stale, match="another window"):
        ada.undo(seen)
    assert len(made.given()) == 2


def test_undo_never_takes_back_what_another_person_did(tmp_path: Path) -> None:
    made = news(tmp_path, 2)
    desk(made, "grace").label(TextId("t000"), "tech", 1)
    assert desk(made).undo(None)["item"] is None
    assert made.given() == {"t000": "tech"}


def test_a_label_and_the_next_items_that_are_saved_together_tell_the_same_figures(tmp_path: Path) -> None:
    ada = desk(news(tmp_path, 4))
    ada.figures()
    done = label(ada, {"id": "t000", "value": "tech"}), items([asked_next(ada, {})])[0]
    told = [end() if callable(end) else end for end in done]  # as the server does once the commit is on disk
    assert told[0]["figures"] == told[1]["figures"] == ada.figures()


acts = st.lists(
    st.one_of(
        st.tuples(st.just("label"), st.integers(0, 3), st.sampled_from(["tech", "sport"])),
        st.tuples(st.just("skip"), st.integers(0, 3), st.just("")),
    ),
    max_size=8,
)


@given(acts)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_undoing_every_step_brings_back_every_state_on_the_way(
    tmp_path_factory: pytest.TempPathFactory, todo: list[tuple[str, int, str]]
) -> None:
    made = news(tmp_path_factory.mktemp("undo"), 4)
    ada = desk(made)
    states = [made.state()]
    for action, number, value in todo:
        text_id = TextId(f"t{number:03d}")
        before = ada.figures()["newest"]
        try:
            act = ada.label(text_id, value, 1) if action == "label" else ada.skip(text_id, 1)
        except Stale:
            continue
        assert ada.figures_after(act) == ada.figures(), "what the page is told is what is counted"
        if ada.figures()["newest"] != before:
            states.append(made.state())
    for state in reversed(states):
        assert made.state() == state
        ada.undo(ada.figures()["newest"])
    made.store.close()


def test_skipped_texts_come_last_and_only_when_asked_for(tmp_path: Path) -> None:
    made = news(tmp_path, 3)
    ada = desk(made)
    ada.skip(TextId("t000"), 1)
    assert [item["id"] for item in ada.items(9, again=False)] == ["t001", "t002"]
    assert [item["id"] for item in ada.items(9, again=True)] == ["t001", "t002", "t000"]


def test_figures_count_this_persons_work_alone(tmp_path: Path) -> None:
    made = news(tmp_path, 5)
    ada = desk(made)
    ada.label(TextId("t000"), "tech", 1)
    ada.skip(TextId("t001"), 1)
    desk(made, "grace").label(TextId("t002"), "tech", 1)
    figures = ada.figures()
    assert (figures["left"], figures["skipped"], figures["done"]) == (2, 1, 1)


def test_several_labels_and_none_are_kept(tmp_path: Path) -> None:
    made = scene(tmp_path, [Waiting("a", ("sport",)), Waiting("b", ("sport",))], kind="multilabel")
    ada = desk(made)
    ada.label(TextId("t000"), ["tech", "business"], 1)
    ada.label(TextId("t001"), [], 1)
    assert made.given() == {"t000": ("business", "tech"), "t001": ()}


def test_a_task_of_another_kind_reads_its_own_json_and_says_what_is_wrong(tmp_path: Path) -> None:
    made = spans(tmp_path)
    ada = desk(made)
    with pytest.raises(NotALabel, match="'Paris' is not in the text"):
        ada.label(TextId("s0"), '["Paris"]', 1)
    ada.label(TextId("s0"), '["Grace"]', 1)
    assert made.given() == {"s0": ["Grace"]}


def test_time_on_an_item_is_never_negative_or_endless(tmp_path: Path) -> None:
    made = news(tmp_path, 2)
    desk(made).label(TextId("t000"), "tech", -5)
    desk(made).label(TextId("t001"), "tech", 1e9)
    assert [r.seconds for r in made.store.reviews("news")] == [0, 3600]


def test_the_session_is_the_same_after_a_restart_and_another_for_another_person(tmp_path: Path) -> None:
    made = news(tmp_path, 1)
    assert desk(made).session == desk(made).session != desk(made, "grace").session


# People's minutes ---------------------------------------------------------------------------------------------------


def test_nothing_more_is_offered_once_the_minutes_are_used_up_and_what_is_in_flight_is_saved(tmp_path: Path) -> None:
    made = timed(tmp_path, 2)
    ada, bob = desk(made), desk(made, "bob")
    ada.label(TextId("t000"), "tech", 70)
    assert ada.figures()["minutes"] == {"used": pytest.approx(70 / 60), "of": 2}
    assert [i["id"] for i in bob.items(8, again=False)] == ["t001", "t002", "t003"]
    bob.skip(TextId("t001"), 60)
    assert bob.items(8, again=False) == ada.items(8, again=True) == []
    ada.label(TextId("t002"), "sport", 5)  # was on the screen
    assert made.given() == {"t000": "tech", "t002": "sport"}
    assert ada.undo(ada.figures()["newest"])["item"]["id"] == "t002"  # a slip can still be mended
    assert ada.figures()["minutes"]["used"] == pytest.approx(135 / 60)


def test_a_job_without_minutes_has_no_end_to_them(tmp_path: Path) -> None:
    made = news(tmp_path, 2)
    ada = desk(made)
    ada.label(TextId("t000"), "tech", 3600)
    assert ada.figures()["minutes"] is None
    assert len(ada.items(8, again=False)) == 1


# Texts that failed --------------------------------------------------------------------------------------------------


def test_a_failed_text_comes_with_what_went_wrong_and_what_it_cost(tmp_path: Path) -> None:
    made = scene(tmp_path, [Waiting("Anything.", None, reason="failed: HTTP 503: busy"), Waiting("Else.", "sport")])
    for why in ("timed out after sending", "timed out after sending", "HTTP 503: busy"):
        wanted = MicroDollars(40)
        attempt = made.store.reserve("news", "local", "key", TextId("t000"), wanted, owner="run")
        made.store.mark_ambiguous(attempt, why)
    first, second = desk(made).items(8, again=False)
    assert first["reason"] == (
        "The oracle failed 3 times, for $0.00012: Timed out after sending (2 times); HTTP 503: busy."
    )
    assert "failed" not in second["reason"]
