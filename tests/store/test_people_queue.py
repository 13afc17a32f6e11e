"""What waits for a person, in which order, and that undo is exact."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from agent.errors import StoreError
from agent.records import Label, MicroDollars, Route, Source, TextId
from agent.store import RouteRow, Store
from tests.store.making import for_person, label, pick


def waiting(store: Store, **how: Any) -> list[str]:
    return [row.text_id for row in store.queue("job", **how)]


def person(text: str, value: Any = "lost", by: str = "ann") -> Label:
    return label(text, value, Source.PERSON, by=by)


def give(store: Store, text: str, value: Any = "lost", by: str = "ann") -> int:
    return store.review("job", TextId(text), by, "label", person(text, value, by), 2.5)


def skip(store: Store, text: str, by: str = "ann") -> int:
    return store.review("job", TextId(text), by, "skip", seconds=1.0)


@pytest.fixture
def queued(store: Store) -> Store:
    pick(store, "abcd")
    ids = store.add_labels("job", [label(x) for x in "abcd"])
    store.add_routes("job", 1, [for_person(x, p) for x, p in zip("abc", (0.9, 0.5, 0.5), strict=True)])
    store.add_routes("job", 1, [RouteRow(TextId("d"), ids[3], Route.ACCEPTED, "sure", 0.99)])
    return store


def test_the_least_sure_comes_first_then_by_id(queued: Store) -> None:
    assert waiting(queued) == ["b", "c", "a"]
    assert queued.queue_size("job") == 3
    assert waiting(queued, limit=2) == ["b", "c"]


def test_an_item_without_any_answer_comes_before_all(queued: Store) -> None:
    pick(queued, "e")
    queued.add_routes("job", 2, [for_person("e", None)])
    assert waiting(queued)[0] == "e"


def test_triage_can_set_the_priority_itself(queued: Store) -> None:
    queued.add_routes("job", 2, [for_person("a", 0.9, priority=7.0)])
    assert waiting(queued) == ["a", "b", "c"]


def test_an_item_says_why_it_is_there(queued: Store) -> None:
    item = queued.queue("job")[0]
    assert (item.text, item.reason, item.slice, item.round) == ("the text of b", "not sure", "random", 1)
    assert item.why == {"margin": 0.2}
    assert item.suggestion is not None
    assert item.suggestion.value == "card_arrival"
    assert queued.waiting("job", TextId("b")) == item
    assert queued.waiting("job", TextId("d")) is None


def test_a_blind_item_comes_without_a_suggestion(queued: Store) -> None:
    queued.add_routes("job", 1, [for_person("d", 0.99, blind=True, probability=0.05)])
    (item,) = (row for row in queued.queue("job") if row.blind)
    assert (item.text_id, item.suggestion) == ("d", None)
    assert queued.routes("job")[TextId("d")].probability == 0.05


def test_the_place_of_a_blind_item_does_not_give_its_confidence_away(store: Store) -> None:
    pick(store, "abcdefgh")
    store.add_routes("job", 1, [for_person(x, i / 10, blind=True) for i, x in enumerate("abcdefgh")])
    rising = waiting(store)
    store.add_routes("job", 2, [for_person(x, 1 - i / 10, blind=True) for i, x in enumerate("abcdefgh")])
    assert waiting(store) == rising


def test_the_newest_route_holds(queued: Store) -> None:
    queued.add_routes("job", 2, [RouteRow(TextId("b"), None, Route.ACCEPTED, "the stronger oracle is sure", 0.97)])
    assert waiting(queued) == ["c", "a"]
    assert queued.routes("job")[TextId("b")].route is Route.ACCEPTED


def test_a_route_of_a_text_that_is_not_kept_is_a_bug(store: Store) -> None:
    with pytest.raises(IntegrityError):
        store.add_routes("job", 1, [for_person("nobody kept this")])


def test_a_persons_label_ends_the_waiting_and_counts(queued: Store) -> None:
    give(queued, "b")
    assert waiting(queued) == ["c", "a"]
    assert queued.current("job")[TextId("b")].value == "lost"
    (review,) = queued.reviews("job")
    assert (review.person, review.action, review.seconds, review.undone, review.blind) == (
        "ann",
        "label",
        2.5,
        False,
        False,
    )


def test_a_label_from_a_file_ends_the_waiting_too(queued: Store) -> None:
    queued.add_labels("job", [person("b")])
    assert waiting(queued) == ["c", "a"]


def test_what_was_skipped_comes_last_and_only_where_asked_for(queued: Store) -> None:
    skip(queued, "b")
    assert waiting(queued) == ["c", "a"]
    assert waiting(queued, include_skipped=True) == ["c", "a", "b"]
    assert (queued.queue_size("job"), queued.queue_size("job", include_skipped=True)) == (2, 3)
    assert [row.skipped for row in queued.queue("job", include_skipped=True)] == [False, False, True]


def test_a_review_of_a_blind_item_says_so(queued: Store) -> None:
    queued.add_routes("job", 2, [for_person("b", blind=True)])
    give(queued, "b")
    assert queued.reviews("job")[0].blind


def test_undo_takes_back_only_ones_own_newest(queued: Store) -> None:
    give(queued, "b", by="ann")
    give(queued, "c", by="bob")
    skip(queued, "a", by="ann")
    assert queued.undo_review("job", "ann") == "a"
    assert waiting(queued) == ["a"]
    assert queued.undo_review("job", "ann") == "b"
    assert queued.undo_review("job", "ann") is None
    assert waiting(queued) == ["b", "a"]
    assert [r.undone for r in queued.reviews("job") if r.action != "undo"] == [True, False, True]
    assert [r.text_id for r in queued.reviews("job", person="bob")] == ["c"]


def test_undo_of_a_second_label_brings_back_the_first(queued: Store) -> None:
    give(queued, "b", "first")
    give(queued, "b", "second", by="bob")
    queued.undo_review("job", "bob")
    assert queued.current("job")[TextId("b")].value == "first"


def test_nothing_that_was_undone_is_lost(queued: Store) -> None:
    give(queued, "b")
    queued.undo_review("job", "ann")
    assert [x.value for x in queued.labels("job", source=Source.PERSON)] == ["lost"]
    assert list(queued.withdrawn("job").values()) == ["undone by ann"]


@pytest.mark.parametrize(
    ("action", "given_label"),
    [("label", None), ("skip", person("b")), ("undo", None), ("label", person("c")), ("label", label("b"))],
)
def test_a_review_that_contradicts_itself_is_a_bug(queued: Store, action: str, given_label: Label | None) -> None:
    with pytest.raises(ValueError, match=r"label|undo_review"):
        queued.review("job", TextId("b"), "ann", action, given_label)
    assert queued.reviews("job") == []


def test_a_review_of_a_text_that_is_not_kept_is_refused(queued: Store) -> None:
    with pytest.raises(StoreError, match="no text 'z'"):
        give(queued, "z")
    assert queued.labels("job", source=Source.PERSON) == []


moves = st.lists(
    st.tuples(st.sampled_from(["label", "skip", "undo"]), st.sampled_from("abc"), st.sampled_from("xy")), max_size=8
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(before=moves, undone=moves)
def test_undo_is_exact_after_any_history(queued: Store, before: list[Any], undone: list[Any]) -> None:
    for action, text, by in before:
        act(queued, action, text, by)
    seen = state(queued)
    forward = [move for move in undone if move[0] != "undo"]
    for action, text, by in forward:
        act(queued, action, text, by)
    for _, _, by in reversed(forward):
        assert queued.undo_review("job", by) is not None
    assert state(queued) == seen


TEXTS, PEOPLE, NOTHING = st.sampled_from("abcd"), st.sampled_from(["ann", "bob"]), st.just(None)
decisions = st.lists(
    st.one_of(
        st.tuples(st.just("route"), TEXTS, st.sampled_from(list(Route)), st.sampled_from([0.2, 0.7])),
        st.tuples(st.sampled_from(["oracle", "withdraw"]), TEXTS, NOTHING, NOTHING),
        st.tuples(st.sampled_from(["label", "skip", "undo"]), TEXTS, PEOPLE, NOTHING),
    ),
    max_size=12,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=decisions)
def test_what_waits_is_what_routes_labels_and_reviews_say(queued: Store, steps: list[Any]) -> None:
    for action, text, who, confidence in steps:
        if action == "route":
            queued.add_routes("job", 2, [RouteRow(TextId(text), None, who, "chance", confidence)])
        elif action == "oracle":
            queued.add_labels("job", [label(text)])
        elif action == "withdraw":
            newest = queued.label_of("job", TextId(text))
            if newest is not None and newest.id is not None:
                queued.withdraw("job", newest.id, "by chance")
        else:
            act(queued, action, text, who)
    routes, current = queued.routes("job"), queued.current("job")
    done = [r for r in queued.reviews("job") if not r.undone]
    put_off = {r.text_id for r in done if r.action == "skip"}
    expected = [
        i
        for i, route in routes.items()
        if route.route is not Route.ACCEPTED and (i not in current or current[i].source is not Source.PERSON)
    ]
    assert waiting(queued, include_skipped=True) == sorted(
        expected, key=lambda i: (i in put_off, -(routes[i].priority or 0.0), i)
    )
    assert set(waiting(queued)) == set(expected) - put_off
    assert queued.queue_size("job", include_skipped=True) == len(expected)
    assert queued.queued("job", ["a newcomer"])["a newcomer"].open == len(expected)
    for by in ("ann", "bob"):
        own = [r for r in done if r.person == by and r.action != "undo"]
        assert queued.queued("job", [by])[by].labelled == sum(r.action == "label" for r in own)
        last = queued.last_act("job", by)
        assert (last.id if last else None) == (own[-1].id if own else None)
    for text_id in "abcd":
        assert queued.label_of("job", TextId(text_id)) == current.get(TextId(text_id))


def test_a_count_that_another_program_left_wrong_is_put_right(queued: Store) -> None:
    with queued.transaction() as tx:
        tx.exec_driver_sql("UPDATE jobs SET waiting = 77, torn = 5")
    queued.recount("job")
    assert queued.queued("job", ["a newcomer"])["a newcomer"].open == queued.queue_size("job", include_skipped=True)
    assert queued.queued("job", ["a newcomer"])["a newcomer"].torn == 0


def act(store: Store, action: str, text: str, by: str) -> None:
    if action == "label":
        give(store, text, f"what {by} says", by)
    elif action == "skip":
        skip(store, text, by)
    else:
        store.undo_review("job", by)


def state(store: Store) -> tuple[Any, ...]:
    return store.queue("job", include_skipped=True), store.queue_size("job"), store.current("job")


def test_picks_are_kept_once_with_their_texts(store: Store) -> None:
    pick(store, "ba")
    pick(store, "bc", round_=2)
    assert [(p.text_id, p.round, p.text) for p in store.picks("job")] == [
        ("b", 1, "the text of b"),
        ("a", 1, "the text of a"),
        ("c", 2, "the text of c"),
    ]
    assert [p.text_id for p in store.picks("job", 2)] == ["c"]
    assert store.count_picks("job") == 3
    assert list(store.texts("job", [TextId(x) for x in "cxa"])) == ["c", "a"]
    with pytest.raises(StoreError, match="job 'job' has no text 'x'"):
        store.text("job", TextId("x"))


def test_picks_whose_texts_are_missing_are_not_kept_at_all(store: Store) -> None:
    from agent.records import Pick

    with pytest.raises(KeyError):
        store.add_picks(
            "job", 1, [Pick(TextId("a"), 0, "cold", 0.0), Pick(TextId("b"), 1, "cold", 0.0)], {TextId("a"): "x"}
        )
    assert store.picks("job") == []


def test_a_round_finished_again_has_its_newest_figures(store: Store) -> None:
    store.finish_round("job", 2, {"accuracy": 0.5})
    store.finish_round("job", 1, {"accuracy": 0.4})
    store.finish_round("job", 2, {"accuracy": 0.6, "interval": (0.5, 0.7)})
    assert [(r.round, r.figures["accuracy"]) for r in store.rounds("job")] == [(1, 0.4), (2, 0.6)]
    assert store.rounds("job")[1].figures["interval"] == (0.5, 0.7)


def test_a_job_with_ten_thousand_texts_is_read_whole(store: Store) -> None:
    ids = [f"t{i:05d}" for i in range(10_000)]
    store.open_job("job", {}, "print", MicroDollars(1))
    pick(store, ids)
    store.add_labels("job", [label(i) for i in ids])
    store.add_routes("job", 1, [for_person(i) for i in ids])
    assert list(store.texts("job", [TextId(i) for i in ids])) == ids
    assert [p.text_id for p in store.picks("job")] == ids
    assert list(store.current("job")) == ids
    assert waiting(store) == ids
