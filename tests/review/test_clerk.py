"""What several people do at the same time is one commit, and each of them learns of it only when it is on disk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from agent.errors import StoreError
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
    here, go, asked = threading.Event(), threading.Event(), threading.Semaphore(0)

    def first() -> None:
        here.set()
        assert go.wait(30)

    class Asked(type(clerk._asked)):  # type: ignore[misc]
        def append(self, item: Any) -> None:
            super().append(item)
            asked.release()

    with ThreadPoolExecutor(len(acts) + 1) as threads:
        before = threads.submit(clerk.done, first)
        assert here.wait(30)
        clerk._asked = Asked()
        futures = [threads.submit(clerk.done, act) for act in acts]
        for _ in acts:
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
