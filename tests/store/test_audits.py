"""What an audit drew waits for a person, blind, until one has judged it; and no route changes by it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from agent.records import MicroDollars, Route, Source, TextId
from agent.store import AuditItem, AuditLeft, RouteRow, Store, migrate
from tests.store.making import for_person, label, pick
from tests.stores import NewStore

TEXTS = "abcd"


def waiting(store: Store, **how: Any) -> list[str]:
    return [row.text_id for row in store.queue("job", **how)]


def person(store: Store, text: str, value: Any = "lost", by: str = "ann") -> int:
    return store.review("job", TextId(text), by, "label", label(text, value, Source.PERSON, by=by), 1.0)


def items(store: Store, texts: str) -> list[AuditItem]:
    """Of the labels that were given first."""
    ids = {x.text_id: x.id or 0 for x in reversed(store.labels("job", source=Source.ORACLE))}
    return [AuditItem(TextId(x), ids[TextId(x)], k, 1 - k / 10, 0, 0.5, 0.9, True) for k, x in enumerate(texts)]


def drawn(store: Store, texts: str) -> int:
    return store.add_audit("job", {"population": 4}, items(store, texts))


@pytest.fixture
def routed(store: Store) -> Store:
    """a and b wait for a person since the machine was not sure, c and d are accepted."""
    pick(store, TEXTS)
    ids = store.add_labels("job", [label(x) for x in TEXTS])
    store.add_routes("job", 1, [for_person("a", 0.5), for_person("b", 0.4)])
    store.add_routes("job", 1, [RouteRow(TextId(x), ids[k], Route.ACCEPTED, "sure", 0.9, probability=0.1)
                                for k, x in ((2, "c"), (3, "d"))])  # fmt: skip
    return store


def test_what_is_drawn_waits_blind_wherever_it_was_routed_to(routed: Store) -> None:
    before = routed.routes("job")
    drawn(routed, "ca")
    assert waiting(routed) == ["c", "a", "b"]
    assert routed.queue_size("job") == 3
    c, a, b = routed.queue("job")
    assert [(row.blind, row.suggestion is None, row.reason) for row in (c, a)] == [(True, True, "audit")] * 2
    assert (b.blind, b.suggestion is None) == (False, False)
    assert routed.waiting("job", TextId("c")) == c
    assert routed.waiting("job", TextId("d")) is None
    assert routed.routes("job") == before
    assert [routed.routes("job")[TextId(x)].is_accepted for x in TEXTS] == [False, False, True, True]


def test_who_decides_about_routes_does_not_see_an_audit(routed: Store) -> None:
    before = routed.queue("job", audits=False)
    assert before == routed.queue("job")
    drawn(routed, "ca")
    assert routed.queue("job", audits=False) == before


def test_a_person_ends_the_waiting_and_undo_brings_it_back_blind(routed: Store) -> None:
    drawn(routed, "ca")
    seen = routed.queue("job")
    person(routed, "c")
    assert waiting(routed) == ["a", "b"]
    assert routed.reviews("job")[-1].blind
    assert routed.judged_blind("job") == {"c"}
    routed.undo_review("job", "ann")
    assert routed.queue("job") == seen
    assert routed.judged_blind("job") == set()


def test_a_label_of_something_that_was_not_drawn_is_not_blind(routed: Store) -> None:
    drawn(routed, "c")
    person(routed, "a")
    assert not routed.reviews("job")[-1].blind
    assert routed.judged_blind("job") == set()


def test_what_was_skipped_comes_last_as_anything_does(routed: Store) -> None:
    drawn(routed, "ca")
    routed.review("job", TextId("c"), "ann", "skip")
    assert waiting(routed) == ["a", "b"]
    assert waiting(routed, include_skipped=True) == ["a", "b", "c"]
    assert routed.audits_left("job") == AuditLeft(1, 1)


def test_two_audits_may_draw_one_text_and_it_waits_once(routed: Store) -> None:
    first, second = drawn(routed, "ca"), drawn(routed, "dc")
    assert sorted(waiting(routed)) == ["a", "b", "c", "d"]
    assert routed.audits_left("job") == AuditLeft(3, 0)
    assert [a.id for a in routed.audits("job")] == [first, second]
    assert [a.id for a in routed.audits("job", of=TextId("d"))] == [second]
    assert routed.audited("job") == {"a", "c", "d"}
    person(routed, "c")
    assert routed.audits_left("job") == AuditLeft(2, 0)
    assert [[x.judged for x in routed.audit_answers("job", i)] for i in (first, second)] == [
        [True, False],
        [False, True],
    ]


def test_a_decided_audit_waits_no_more_until_it_is_open_again(routed: Store) -> None:
    made = drawn(routed, "ca")
    routed.close_audit("job", made, True)
    assert waiting(routed) == ["b", "a"]
    assert not routed.waiting("job", TextId("a")).blind  # type: ignore[union-attr]
    assert routed.audits("job")[0].closed_at is not None
    assert routed.audits_left("job") == AuditLeft(0, 0)
    routed.close_audit("job", made, False)
    assert waiting(routed) == ["c", "a", "b"]


def test_answers_are_of_the_label_as_it_was_drawn(routed: Store) -> None:
    made = drawn(routed, "ca")
    routed.add_labels("job", [label("c", "lost", by="strong/big")])  # another oracle said something else since
    person(routed, "c", "lost")
    routed.review("job", TextId("a"), "ann", "skip")
    c, a = routed.audit_answers("job", made)
    assert (c.drawn, c.by, c.judged, c.given, c.skipped) == ("card_arrival", "local/small", True, "lost", False)
    assert (a.judged, a.given, a.skipped) == (False, None, True)
    assert c.item == items(routed, "c")[0]


def test_who_is_settled_by_people_is_told(routed: Store) -> None:
    routed.add_labels("job", [label("b", "lost", Source.PERSON), label("d", "lost", Source.SEED)])
    assert routed.settled_by_people("job", [TextId(x) for x in TEXTS]) == {"b", "d"}


def test_a_draw_of_a_text_that_is_not_kept_is_a_bug(routed: Store) -> None:
    wrong = AuditItem(TextId("z"), items(routed, "a")[0].label_id, 0, 1.0, 0, 0.5, 0.9, True)
    with pytest.raises(IntegrityError):
        routed.add_audit("job", {}, [wrong])
    assert routed.audits("job") == []


moves = st.lists(
    st.tuples(st.sampled_from(["draw", "label", "undo", "close", "open"]), st.sampled_from(TEXTS)), max_size=8
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(moves)
def test_the_queue_is_what_routes_draws_and_people_make_it(routed: Store, done: list[tuple[str, str]]) -> None:
    """Against a list that is walked through; what an earlier example left is part of it."""
    for move, text in done:
        audits = routed.audits("job")
        if move == "draw":
            drawn(routed, text)
        elif move == "label":
            person(routed, text)
        elif move == "undo":
            routed.undo_review("job", "ann")
        elif audits:
            routed.close_audit("job", audits[-1].id, move == "close")
    current = routed.current("job")
    shut = {a.id for a in routed.audits("job") if a.closed_at is not None}
    blind = {i for i in TEXTS if any(a.id not in shut for a in routed.audits("job", of=TextId(i)))}
    there = {i for i in TEXTS if current[TextId(i)].source is not Source.PERSON and (i in blind or i in "ab")}
    assert {str(row.text_id): row.blind for row in routed.queue("job")} == {i: i in blind for i in there}
    assert routed.queue_size("job") == len(there)


def test_a_store_from_before_audits_is_brought_up_to_date_with_all_that_it_holds(new_store: NewStore) -> None:
    url = new_store(empty=True)
    with Store.open(url) as old:
        old.open_job("job", {}, "print", MicroDollars(5))
        pick(old, TEXTS)
        old.add_labels("job", [label(x) for x in TEXTS])
        old.add_routes("job", 1, [for_person(x) for x in "abc"])
        old.review("job", TextId("b"), "ann", "skip")
        old.review("job", TextId("c"), "ann", "label", label("c", "lost", Source.PERSON, by="ann"))
        kept = old.current("job"), old.routes("job"), old.queue("job", include_skipped=True)
        with old.transaction() as tx:
            gone = ("bulk_accepts", "bulk_items", "bulks", "leases", "reviewers", "waiting", "audit_items", "audits")
            indexes = ("INDEX ix_reviews_person_job_action", "INDEX ix_reviews_person_job_id")
            for what in (*(f"TABLE {name}" for name in ("honey_pots", *gone)), *indexes):
                tx.exec_driver_sql(f"DROP {what}")
            for column in ("votes", "waiting", "torn"):
                tx.exec_driver_sql(f"ALTER TABLE jobs DROP COLUMN {column}")
            for column in ("note", "bulk_id"):
                tx.exec_driver_sql(f"ALTER TABLE reviews DROP COLUMN {column}")
            tx.exec_driver_sql(f"UPDATE {migrate.VERSION_TABLE} SET version_num = '0006'")
    with Store.open(url) as opened:
        assert (opened.current("job"), opened.routes("job"), opened.queue("job", include_skipped=True)) == kept
        assert waiting(opened) == ["a"]
        assert opened.queued("job", ["a newcomer"])["a newcomer"].open == 2  # "b" was skipped by another
        drawn(opened, "d")
        assert opened.audited("job") == {"d"}
