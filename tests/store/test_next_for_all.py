"""What several people are given who ask at the same time is what each would be given alone, in some order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import permutations
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from agent.records import Label, Source, TextId
from agent.store import Store, Wish, candidates, tables
from tests.store.making import for_person, pick

TEXTS, PEOPLE = "abcdefgh", ("ann", "bob 'é' \x00", "lead")
LEAD = PEOPLE[-1]
Given = tuple[list[list[TextId]], list[tuple[str, str]]]

who = st.sampled_from(PEOPLE)
acts = st.lists(
    st.one_of(
        st.tuples(st.just("label"), st.sampled_from(TEXTS), who, st.sampled_from(["lost", "found"])),
        st.tuples(st.sampled_from(["skip", "flag"]), st.sampled_from(TEXTS), who, st.none()),
        st.tuples(st.just("undo"), st.none(), who, st.none()),
        st.tuples(st.just("claim"), st.integers(1, 4), who, st.sampled_from([-1.0, 60.0])),
    ),
    max_size=14,
)
plain_wishes = st.lists(st.builds(Wish, who, st.integers(1, 5)), min_size=2, max_size=4)
wishes = st.lists(st.builds(Wish, who, st.integers(1, 5), again=st.booleans()), min_size=2, max_size=4)


class _Over(Exception):
    """Nothing of it is to be kept."""


@pytest.fixture
def queued(store: Store) -> Store:
    pick(store, TEXTS)
    store.add_routes("job", 1, [for_person(x, k % 3 / 10) for k, x in enumerate(TEXTS)])
    return store


def do(store: Store, action: str, what: Any, person: str, more: Any) -> None:
    if action == "undo":
        store.undo_review("job", person)
    elif action == "claim":
        store.claim("job", [Wish(person, what, person == LEAD)], more)
    elif (row := store.waiting("job", TextId(what))) is not None and (person == LEAD or not row.torn):
        label = Label(TextId(what), more, Source.PERSON, person) if action == "label" else None
        action = "decide" if label and row.torn else action
        store.review("job", TextId(what), person, action, label, 1.0, note="odd" if action == "flag" else None)


@contextmanager
def after(store: Store, votes: int, acts: Sequence[Any]) -> Iterator[Connection]:
    """A transaction in which people did all that; nothing of it is kept."""
    with suppress(_Over), store.transaction("job") as tx:
        with store.joined(tx):
            store.set_votes("job", votes)
            for act in acts:
                do(store, *act)
            yield tx
        raise _Over


def leases(tx: Connection) -> list[tuple[str, str]]:
    l = tables.leases.c  # noqa: E741
    return sorted((row.text_id, row.person) for row in tx.execute(select(l.text_id, l.person)))


def asked(store: Store, tx: Connection, groups: Sequence[Sequence[Wish]]) -> Given:
    """What came of asking for one group after the other, and who has what then; nothing of it is kept."""
    savepoint = tx.begin_nested()
    found = [ids for group in groups for ids in store.claim("job", group, 60)]
    now = leases(tx)
    savepoint.rollback()
    return [[row.text_id for row in rows] for rows in found], now


def in_order(store: Store, tx: Connection, wishes: Sequence[Wish], order: Sequence[int]) -> Given:
    """The same for one wish after the other, in an order."""
    found, now = asked(store, tx, [[wishes[k]] for k in order])
    return [found[order.index(k)] for k in range(len(wishes))], now


def as_lead(some: Sequence[Wish]) -> list[Wish]:
    return [Wish(w.person, w.limit, w.person == LEAD, w.again) for w in some]


slow = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@slow
@given(votes=st.integers(1, 3), before=acts, some=plain_wishes)
def test_several_are_given_what_one_after_the_other_would_be(
    queued: Store, votes: int, before: list[Any], some: list[Wish]
) -> None:
    some = as_lead(some)
    with after(queued, votes, before) as tx:
        assert asked(queued, tx, [some]) == in_order(queued, tx, some, range(len(some)))


@slow
@given(votes=st.integers(1, 3), before=acts, some=wishes, spare=st.integers(-1, 1))
def test_where_some_are_asked_for_alone_it_is_some_order(
    queued: Store, votes: int, before: list[Any], some: list[Wish], spare: int
) -> None:
    some = as_lead(some)
    with pytest.MonkeyPatch.context() as patched, after(queued, votes, before) as tx:
        patched.setattr(candidates, "SPARE", spare)
        found = asked(queued, tx, [some])
        assert any(found == in_order(queued, tx, some, order) for order in permutations(range(len(some))))
        rows = {row.text_id: row for row in queued.queue("job", include_skipped=True)}
        for text_id, people in Counter(text for text, _ in found[1]).items():
            row = rows.get(TextId(text_id))
            assert row is None or people + row.votes <= votes or (row.torn and people == 1)


def test_how_the_queue_stands_is_the_same_for_many_as_for_one(queued: Store) -> None:
    queued.set_votes("job", 2)
    for act in [
        ("label", "a", PEOPLE[0], "lost"),
        ("label", "a", PEOPLE[1], "found"),
        ("label", "b", PEOPLE[1], "lost"),
        ("skip", "c", PEOPLE[1], None),
        ("undo", None, PEOPLE[0], None),
    ]:
        do(queued, *act)
    everybody = [*PEOPLE, "nobody", PEOPLE[0]]
    found = queued.queued("job", everybody)
    assert found == {person: queued.queued("job", [person])[person] for person in everybody}
    assert (found[PEOPLE[1]].labelled, found[PEOPLE[1]].put_off, found[PEOPLE[0]].labelled) == (2, 1, 0)
