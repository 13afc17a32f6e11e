"""Law 2: labels are superseded, never overwritten, and a person's beats a machine's."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from agent.errors import StoreError
from agent.records import Label, Source, TextId
from agent.store import Store
from tests.store.making import bought, for_person, label, pick

A = TextId("a")
CHANGES = ("UPDATE", "DELETE")
ORDER = [Source.STUDENT, Source.ORACLE, Source.SEED, Source.PERSON]


def current(store: Store, text: str = "a") -> Any:
    found = store.current("job").get(TextId(text))
    return found.value if found else None


def test_a_newer_label_of_the_same_rank_counts_and_the_older_stays(store: Store) -> None:
    store.add_labels("job", [label("a", "old"), label("a", "new")])
    assert current(store) == "new"
    assert [x.value for x in store.labels("job")] == ["old", "new"]


@pytest.mark.parametrize("lower", range(3))
def test_a_later_label_of_lower_rank_does_not_count(store: Store, lower: int) -> None:
    store.add_labels("job", [label("a", "higher", ORDER[lower + 1])])
    store.add_labels("job", [label("a", "lower", ORDER[lower])])
    assert current(store) == "higher"


def test_withdrawing_brings_back_what_counted_before(store: Store) -> None:
    store.add_labels("job", [label("a", "machine")])
    (person,) = store.add_labels("job", [label("a", "person", Source.PERSON)])
    store.withdraw("job", person, "a slip")
    assert current(store) == "machine"
    assert len(store.labels("job")) == 2
    assert store.withdrawn("job") == {person: "a slip"}


def test_withdrawing_twice_is_once_and_of_an_unknown_label_is_refused(store: Store) -> None:
    (only,) = store.add_labels("job", [label("a")])
    store.withdraw("job", only, "a slip")
    store.withdraw("job", only, "again")
    assert store.withdrawn("job") == {only: "a slip"}
    assert store.current("job") == {}
    with pytest.raises(StoreError, match="job 'job' has no label 99"):
        store.withdraw("job", 99, "a slip")


def test_a_label_derived_again_from_its_answer_is_not_given_twice(store: Store) -> None:
    answer = bought(store)
    derived = [label("a", ("x",), answer_id=answer), label("b", ("x",), answer_id=answer)]
    first = store.add_labels("job", derived)
    assert store.add_labels("job", derived) == first
    assert len(store.labels("job")) == 2
    other = store.add_labels("job", [label("a", ("y",), answer_id=answer)])
    assert other != first[:1]
    assert current(store) == ("y",)


def test_a_label_keeps_its_whole_provenance(store: Store) -> None:
    zone = timezone(timedelta(hours=5, minutes=30))
    made = Label(
        A, ["x", "y"], Source.ORACLE, "local/small", {"x": 0.75, "y": 0.25}, 0.75, 0.125, "hash", bought(store)
    )
    at = datetime(2026, 1, 2, 3, 4, 5, 678901, zone)
    (given_id,) = store.add_labels("job", [label_with(made, created_at=at, cost=42)])
    kept = store.current("job")[A]
    assert kept == label_with(made, created_at=at, cost=42, id=given_id)
    assert kept.created_at is not None
    assert kept.created_at.tzinfo is UTC


def label_with(made: Label, **more: Any) -> Label:
    from dataclasses import replace

    return replace(made, **more)


def test_a_time_without_a_zone_is_a_bug(store: Store) -> None:
    with pytest.raises(Exception, match="a time without a zone"):
        store.add_labels("job", [label("a", created_at=datetime(2026, 1, 1))])  # noqa: DTZ001
    assert store.labels("job") == []


def test_labels_can_be_asked_for_by_source(store: Store) -> None:
    store.add_labels("job", [label("a"), label("b", source=Source.PERSON), label("c", source=Source.SEED)])
    assert [x.text_id for x in store.labels("job", source=Source.PERSON)] == ["b"]


def test_jobs_in_one_store_do_not_see_each_other(store: Store) -> None:
    store.open_job("other", {}, "print", store.job("job").cap)
    store.add_labels("job", [label("a", "mine")])
    store.add_labels("other", [label("a", "theirs", Source.PERSON)])
    assert current(store) == "mine"
    assert [x.value for x in store.labels("other")] == ["theirs"]


def test_labels_and_what_follows_are_one_commit(store: Store) -> None:
    with suppress(LookupError), store.transaction() as tx:
        store.add_labels("job", [label("a")], tx=tx)
        raise LookupError("something that follows")
    assert store.labels("job") == []
    assert store.current("job") == {}


acts = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(ORDER), st.integers(0, 3)) | st.integers(0, 10), max_size=12
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(acts=acts)
def test_the_pointer_is_what_reading_every_label_would_say(store: Store, acts: list[Any]) -> None:
    job = f"job {len(store.jobs())}"
    store.open_job(job, {}, "print", store.job("job").cap)
    given_ids: list[int] = []
    gone: set[int] = set()
    for act in acts:
        if isinstance(act, tuple):
            given_ids += store.add_labels(job, [label(act[0], act[2], act[1])])
        elif act < len(given_ids):
            store.withdraw(job, given_ids[act], "a slip")
            gone.add(given_ids[act])
    expected: dict[str, Label] = {}
    for one in store.labels(job):
        best = expected.get(one.text_id)
        if one.id not in gone and (best is None or ORDER.index(one.source) >= ORDER.index(best.source)):
            expected[one.text_id] = one
    assert store.current(job) == expected


def test_nothing_is_ever_changed_but_counters_and_pointers(store: Store) -> None:
    written: list[str] = []
    event.listen(store._engine, "before_cursor_execute", lambda *args: written.append(args[2]))
    pick(store, "ab")
    answer = bought(store)
    first, _ = store.add_labels("job", [label("a", answer_id=answer), label("b")])
    store.mark_invalid(answer, "no label")
    store.withdraw("job", first, "a slip")
    store.add_routes("job", 1, [for_person("a"), for_person("b")])
    store.review("job", A, "ann", "label", label("a", source=Source.PERSON))
    store.review("job", A, "ann", "skip")
    store.undo_review("job", "ann")
    store.undo_review("job", "ann")
    store.finish_round("job", 1, {})
    changed = {words[1 if words[0] == "UPDATE" else 2] for words in map(str.split, written) if words[0] in CHANGES}
    assert changed == {"jobs", "attempts", "rounds", "current_labels", "waiting", "leases"}
