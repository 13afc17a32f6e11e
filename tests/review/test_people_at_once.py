"""Several people, windows and a run at one store, each through a connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from agent.records import Label, Source, TextId
from agent.review.desk import Desk, Stale
from agent.store import Store
from agent.store.labels import RANK
from tests.review.scenes import SECTIONS, Scene, news
from tests.store.making import for_person

pytestmark = pytest.mark.usefixtures("each_kind_of_store")
PEOPLE = ("ada", "grace", "alan", "edith", "kurt", "emmy")
TEXTS = 8


@pytest.fixture
def made(tmp_path: Path) -> Scene:
    return news(tmp_path, TEXTS)


@pytest.fixture
def desks(made: Scene) -> Iterator[list[Desk]]:
    """One a person, as servers on several machines would have them."""
    with ExitStack() as opened:
        yield [Desk(opened.enter_context(_another(made.store)), made.job, made.task, person) for person in PEOPLE]


def _another(store: Store) -> Store:
    return Store.open(store.url.render_as_string(hide_password=False))


def at_once(acts: Sequence[Callable[[], object]]) -> list[object]:
    """What each of them returned or raised, begun at the same moment."""
    together = threading.Barrier(len(acts))

    def act(call: Callable[[], object]) -> object:
        together.wait()
        try:
            return call()
        except Stale as stale:
            return stale

    with ThreadPoolExecutor(len(acts)) as threads:
        return list(threads.map(act, acts))


def test_everybody_labels_everything_at_once_and_each_text_has_one_label(made: Scene, desks: list[Desk]) -> None:
    values = list(SECTIONS)
    refused = 0
    for number in range(TEXTS):
        text_id = TextId(f"t{number:03d}")
        told = at_once([partial(desk.label, text_id, values[i % 5], 1) for i, desk in enumerate(desks)])
        refused += sum(isinstance(t, Stale) for t in told)
    kept = made.store.labels("news", source=Source.PERSON)
    assert len(kept) == TEXTS == len(made.given())
    assert refused == TEXTS * (len(PEOPLE) - 1)
    assert made.waiting() == []


def test_one_person_in_two_windows_takes_back_a_thing_once(made: Scene, desks: list[Desk]) -> None:
    ada = [desks[0], Desk(desks[1].store, made.job, made.task, "ada")]
    for number in range(3):
        ada[0].label(TextId(f"t{number:03d}"), "tech", 1)
    for left in (2, 1, 0):
        newest = ada[0].figures()["newest"]
        told = at_once([partial(desk.undo, newest) for desk in ada])
        assert sum(isinstance(t, Stale) for t in told) == 1
        assert len(made.given()) == left
        assert len(made.store.withdrawn("news")) == 3 - left


def test_more_people_than_connections_at_one_server_all_get_through(made: Scene) -> None:
    crowd = [Desk(made.store, made.job, made.task, f"person {n}") for n in range(40)]
    told = at_once([partial(desk.label, TextId("t000"), "tech", 1) for desk in crowd])
    assert sum(not isinstance(t, Stale) for t in told) == 1
    assert len(made.given()) == 1


def test_a_second_try_that_overtakes_the_first_saves_one_label(made: Scene, desks: list[Desk]) -> None:
    ada = [Desk(d.store, made.job, made.task, "ada") for d in desks]
    told = at_once([partial(desk.label, TextId("t000"), "tech", 1) for desk in ada])
    assert not any(isinstance(t, Stale) for t in told)
    assert len(made.store.reviews("news")) == 1
    told = at_once([partial(desk.skip, TextId("t001"), 1) for desk in ada])
    assert [r.action for r in made.store.reviews("news")] == ["label", "skip"]


def test_people_label_while_a_run_does_and_what_counts_is_theirs(made: Scene, desks: list[Desk]) -> None:
    ids = [TextId(f"t{n:03d}") for n in range(TEXTS)]

    def run(store: Store) -> None:
        for _ in range(6):
            with store.transaction() as tx:
                given = [Label(i, "politics", Source.ORACLE, "local/small") for i in ids]
                store.add_labels("news", given, tx=tx)
                store.add_routes("news", 1, [for_person(i) for i in ids], tx=tx)

    def person(desk: Desk) -> None:
        for place, text_id in enumerate(ids):
            if PEOPLE[place % 3] == desk.person:
                desk.label(text_id, "tech", 1)
                desk.undo(desk.figures()["newest"])
                desk.label(text_id, "sport", 1)

    with _another(made.store) as other:
        at_once([partial(run, other), *(partial(person, desk) for desk in desks[:3])])
    labels, gone = made.store.labels("news"), made.store.withdrawn("news")
    standing = sorted((x for x in labels if x.id not in gone), key=lambda x: (RANK[x.source], x.id or 0))
    assert made.store.current("news") == {x.text_id: x for x in standing}
    assert set(made.given().values()) == {"sport"}


def test_a_label_that_comes_while_another_is_being_saved_waits_for_it(made: Scene, desks: list[Desk]) -> None:
    done = threading.Event()

    def late() -> None:
        desks[1].label(TextId("t001"), "tech", 1)
        done.set()

    with ThreadPoolExecutor(1) as threads:
        with made.store.transaction("news") as tx:
            made.store.add_labels("news", [Label(TextId("t000"), "tech", Source.ORACLE, "local/small")], tx=tx)
            waiting = threads.submit(late)
            assert not done.wait(0.2)
        waiting.result()
    assert made.given() == {"t001": "tech"}
