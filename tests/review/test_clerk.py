"""What several people do at the same time is one commit, and each of them learns of it only when it is on disk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from agent.errors import StoreError
from agent.records import TextId
from agent.review.claiming import Ask, claim
from agent.review.clerk import MOST, Clerk
from agent.review.desk import Desk, NotALabel, Stale
from agent.store import Store
from tests.review.scenes import Scene, news

pytestmark = pytest.mark.usefixtures("each_kind_of_store")
TEXTS = 12


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Scene]:
    found = news(tmp_path, TEXTS)
    yield found
    found.store.close()


@pytest.fixture
def clerk(made: Scene) -> Clerk:
    return Clerk(made.store, "news", refusals=(Stale, NotALabel))


def at_once(clerk: Clerk, acts: list[Callable[[], Any]]) -> list[Future[Any]]:
    """Ask for all of these while somebody is at work, so that they are done together."""
    return at_once_all(clerk, [partial(clerk.done, act) for act in acts])


def at_once_all(clerk: Clerk, calls: list[Callable[[], Any]]) -> list[Future[Any]]:
    """The same for calls of the clerk."""
    here, go, asked = threading.Event(), threading.Event(), threading.Semaphore(0)

    def first() -> None:
        here.set()
        assert go.wait(30)

    class Asked(type(clerk._asked)):  # type: ignore[misc]
        def append(self, item: Any) -> None:
            super().append(item)
            asked.release()

    with ThreadPoolExecutor(len(calls) + 1) as threads:
        before = threads.submit(clerk.done, first)
        assert here.wait(30)
        clerk._asked = Asked()
        futures = [threads.submit(call) for call in calls]
        for _ in calls:
            assert asked.acquire(timeout=30)
        go.set()
        before.exception()  # done, whatever came of it
    return futures


def labels_of(made: Scene, people: list[str]) -> list[Callable[[], None]]:
    """Each labels the next text that waits."""

    def label(person: str) -> None:
        desk = Desk(made.store, made.job, made.task, person)
        desk.label(desk.claim(1, again=False)[0].text_id, "sport", 1.0)

    return [lambda person=person: label(person) for person in people]  # type: ignore[misc]


def commits(store: Store) -> list[None]:
    found: list[None] = []
    event.listen(store._engine, "commit", lambda _: found.append(None))
    return found


def test_what_many_do_at_once_is_few_commits(made: Scene, clerk: Clerk) -> None:
    made.store.set_votes("news", 1)
    count = commits(made.store)
    for future in at_once(clerk, labels_of(made, [f"p{n}" for n in range(8)])):
        future.result()
    assert len(count) == 1 + -(-8 // MOST)  # theirs, a few acts each, and of whoever was at work before
    acts = made.store.reviews("news")
    assert len({act.text_id for act in acts}) == len(acts) == 8, "each saw what the ones before had taken"


def test_what_is_refused_or_fails_takes_nobody_with_it(made: Scene, clerk: Clerk) -> None:
    def refused() -> None:
        raise Stale("no")

    def broken() -> None:
        desk = Desk(made.store, made.job, made.task, "broken")
        desk.skip(desk.claim(1, again=False)[0].text_id, 1.0)
        raise ZeroDivisionError

    good = labels_of(made, ["ada", "bob"])
    first, no, bug, second = at_once(clerk, [good[0], refused, broken, good[1]])
    assert (first.result(), second.result()) == (None, None)
    with pytest.raises(Stale, match="no"):
        no.result()
    with pytest.raises(ZeroDivisionError):
        bug.result()
    assert [act.person for act in made.store.reviews("news")] == ["ada", "bob"], "half of an act is none"


def test_nobody_is_told_that_it_is_saved_where_it_is_not(
    made: Scene, clerk: Clerk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_disk(_: object) -> None:
        raise StoreError("store: disk is full")

    event.listen(made.store._engine, "commit", no_disk)
    for future in at_once(clerk, labels_of(made, ["ada", "bob", "eve"])):
        with pytest.raises(StoreError, match="disk is full"):
            future.result()
    event.remove(made.store._engine, "commit", no_disk)
    assert not made.store.reviews("news")
    clerk.done(labels_of(made, ["ada"])[0])
    assert [act.person for act in made.store.reviews("news")] == ["ada"]


def test_more_than_one_commit_takes_are_all_done(clerk: Clerk) -> None:
    done: list[int] = []
    acts: list[Callable[[], None]] = [lambda n=n: done.append(n) for n in range(MOST + 6)]  # type: ignore[misc]
    for future in at_once(clerk, acts):
        future.result()
    assert sorted(done) == list(range(MOST + 6))


def test_what_many_ask_for_is_done_for_all_of_them_in_one(made: Scene, clerk: Clerk) -> None:
    groups: list[list[str]] = []

    def next_of(people: Sequence[str]) -> list[list[TextId]]:
        groups.append(list(people))
        desks = [Desk(made.store, made.job, made.task, person) for person in people]
        return [[row.text_id for row in rows] for rows in claim([Ask(desk, 2) for desk in desks])]

    people = [f"p{n}" for n in range(5)]
    acts: list[Callable[[], Any]] = [partial(clerk.done_for_all, next_of, person) for person in people]
    count = commits(made.store)
    found = [
        future.result()
        for future in at_once_all(clerk, [*acts, *(partial(clerk.done, act) for act in labels_of(made, ["ada"]))])
    ]
    assert len(count) == 2
    assert sorted(groups[0]) == people
    given = [text_id for ids in found[:5] for text_id in ids]
    assert len(set(given)) == len(given) == 10
    assert made.store.reviews("news")[0].text_id not in given, "acts come first, and what comes after them sees them"


def test_each_hears_what_came_of_what_it_asked_for(clerk: Clerk) -> None:
    def doubled(numbers: Sequence[int]) -> list[int]:
        return [2 * n for n in numbers]

    def said(numbers: Sequence[int]) -> list[str]:
        return [f"number {n}" for n in numbers]

    acts: list[Callable[[], Any]] = [
        partial(clerk.done_for_all, act, n) for n, act in enumerate((doubled, said, doubled, said))
    ]
    acts.append(partial(clerk.done, lambda: "alone"))
    found = [future.result() for future in at_once_all(clerk, acts)]
    assert found == [0, "number 1", 4, "number 3", "alone"]


def test_where_it_fails_for_one_it_is_done_for_each_alone(made: Scene, clerk: Clerk) -> None:
    def note(people: Sequence[str]) -> list[str]:
        for person in people:
            made.store.review("news", TextId("t000"), person, "skip", seconds=1.0)
            if person == "odd":
                raise ZeroDivisionError
        return [f"{person} did" for person in people]

    acts: list[Callable[[], Any]] = [partial(clerk.done_for_all, note, person) for person in ("ada", "odd", "eve")]
    first, bug, last = at_once_all(clerk, acts)
    assert (first.result(), last.result()) == ("ada did", "eve did")
    with pytest.raises(ZeroDivisionError):
        bug.result()
    assert sorted(act.person for act in made.store.reviews("news")) == ["ada", "eve"]
