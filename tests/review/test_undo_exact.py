"""Undo is exact: whatever two people did and in whatever order they take it back, nothing of it is left.

With a thousand sequences: `pytest tests/review/test_undo_exact.py --hypothesis-profile=storm`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.certifying import Design
from agent.records import Source, TextId
from agent.review.desk import Desk, Stale
from agent.store import AuditItem, Store
from tests.review import scenes
from tests.review.clients import Page
from tests.review.scenes import Scene, Waiting, draw, scene
from tests.stores import NewStore

PEOPLE = ("ada", "grace")
VALUES = ("business", "sport", "tech")
STORM = settings().max_examples >= 1000
FIXTURES = [HealthCheck.function_scoped_fixture]  # each sequence is at a job of its own in the test's store

Step = tuple[str, int, int, str]
"""What is done (label, skip, undo or restart), by which person, with which text, and the label."""

NewScene = Callable[..., Scene]
COUNTER = itertools.count()


def steps(*kinds: str) -> st.SearchStrategy[list[Step]]:
    one = st.tuples(st.sampled_from(kinds), st.integers(0, 1), st.integers(0, 5), st.sampled_from(VALUES))
    return st.lists(one, max_size=10)


@pytest.fixture
def new_scene(new_store: NewStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NewScene]:
    """Makes jobs in one store: two open texts, a failed one, a blind one and two that an audit drew."""
    url = new_store()
    monkeypatch.setattr(scenes, "open_store", lambda _: Store.open(url))
    opened: list[Scene] = []

    def make(*, decided: bool = False) -> Scene:
        items = [
            Waiting("open", "sport", probabilities={"sport": 0.5, "tech": 0.5}),
            Waiting("failed", None, reason="failed: no answer"),
            Waiting("blind", "tech", blind=True),
            Waiting("open too", "business"),
            Waiting("drawn from what was accepted", "sport"),
            Waiting("drawn from what waits", "tech"),
        ]
        made = scene(tmp_path, items, name=f"job{next(COUNTER)}")
        opened.append(made)
        if decided:
            add_test(made, "t000", "t003", "t004", "t005")
        else:
            draw(made, "t004")
            draw(made, "t005", accepted=False)
        return made

    yield make
    for made in opened:
        made.store.close()


def add_test(made: Scene, *texts: str) -> None:
    """An audit that is decided, and waits for nobody any more, after some verdicts."""
    of = {label.text_id: label for label in made.store.labels(made.job.name, source=Source.ORACLE)}
    items = [AuditItem(TextId(t), of[TextId(t)].id or 0, k, 0.5, 0, 0.5, 0.5, False) for k, t in enumerate(texts)]
    size = 2 * len(items)
    design = Design(
        size, 0, 0, [size], [0.5], classes={"sport": size}, oracles={}, standings={}, limit=0.3, alpha=0.3
    )
    made.store.add_audit(made.job.name, asdict(design), items)


@dataclass
class Hands:
    """Two people at desks of their own, each with the store opened anew after a restart."""

    made: Scene
    acts: list[tuple[int, int, str, str, str]] = field(default_factory=list)
    """What was done and not taken back, oldest first: the act's id, the person, what, the text, the label."""
    seen: dict[tuple[int, ...], object] = field(default_factory=dict)
    """What people saw after some acts and no others."""

    def __post_init__(self) -> None:
        self.store = self.made.store
        self.open()
        self.compare()

    def open(self) -> None:
        self.desks = [Desk(self.store, self.made.job, self.made.task, person) for person in PEOPLE]

    def restart(self) -> None:
        url = self.store.url.render_as_string(hide_password=False)
        self.store.close()
        self.store = Store.open(url)
        self.open()

    def close(self) -> None:
        self.store.close()

    def label(self, person: int, text: str, value: str) -> bool:
        return self._said(lambda: self.desks[person].label(TextId(text), value, 1))

    def skip(self, person: int, text: str) -> bool:
        return self._said(lambda: self.desks[person].skip(TextId(text), 1))

    def _said(self, act: Callable[[], None]) -> bool:
        try:
            act()
        except Stale:
            return False
        return True

    def undo(self, person: int, newest: int | None) -> Any:
        return self.desks[person].undo(newest)

    def figures(self, person: int) -> Any:
        return self.desks[person].figures()

    def items(self, person: int) -> Any:
        return self.desks[person].items(50, again=True)

    # The same for desks and pages -----------------------------------------------------------------------------------

    def do(self, step: Step) -> None:
        """One step, and what is seen after it is what was seen whenever the same acts stood."""
        kind, person, number, value = step
        text = f"t{number:03d}"
        if kind == "restart":
            self.restart()
        elif kind == "undo":
            self.take_back(person)
        elif kind == "undo newest":
            self.take_back(self.acts[-1][1] if self.acts else person)
        else:
            before = self.figures(person)["newest"]
            self.label(person, text, value) if kind == "label" else self.skip(person, text)
            newest = self.figures(person)["newest"]
            if newest != before:
                self.acts.append((newest, person, kind, text, value))
        self.compare()

    def take_back(self, person: int) -> None:
        mine = [act for act in self.acts if act[1] == person]
        newest = self.figures(person)["newest"]
        assert newest == (mine[-1][0] if mine else None)
        undone = self.undo(person, newest)
        if not mine:
            assert (undone["item"], undone["was"]) == (None, None)
            return
        _, _, kind, text, value = mine[-1]
        assert undone["was"] == (value if kind == "label" else None)
        assert undone["item"] in [*self.items(person), None]
        assert undone["item"] is None or undone["item"]["id"] == text
        self.acts.remove(mine[-1])

    def compare(self) -> None:
        key = tuple(act[0] for act in self.acts)
        sight = self.sight()
        assert self.seen.setdefault(key, sight) == sight

    def sight(self) -> object:
        """All that can be seen: what a page shows, both people's figures, the queue, every label that counts,
        what was judged, and where every audit stands."""
        job, store = self.made.job.name, self.store
        audits = store.audits(job)
        return (
            self.items(0),
            [self.figures(person) for person in range(2)],
            store.queue(job, include_skipped=True),
            store.current(job),
            store.judged_blind(job),
            [(a.id, a.closed_at is None, store.audit_answers(job, a.id)) for a in audits],
        )

    def outline(self) -> object:
        """What can be seen, without ids and times, which differ from job to job."""
        queue = self.store.queue(self.made.job.name, include_skipped=True)
        labels = {i: (x.value, x.source, x.by) for i, x in self.store.current(self.made.job.name).items()}
        figures = [{k: v for k, v in self.figures(person).items() if k != "newest"} for person in range(2)]
        return [(row.text_id, row.skipped, row.blind, row.reason) for row in queue], labels, figures


class Clicks(Hands):
    """The same over HTTP; a restart is another server with another token."""

    def open(self) -> None:
        made = Scene(self.store, self.made.job, self.made.task)
        self.pages = [Page(made, person) for person in PEOPLE]

    def label(self, person: int, text: str, value: str) -> bool:
        return self._taken(self.pages[person].act("/api/label", id=text, value=value, seconds=1))

    def skip(self, person: int, text: str) -> bool:
        return self._taken(self.pages[person].act("/api/skip", id=text, seconds=1))

    def _taken(self, reply: Any) -> bool:
        assert reply.status_code in (200, 409)
        return bool(reply.status_code == 200)

    def undo(self, person: int, newest: int | None) -> Any:
        reply = self.pages[person].act("/api/undo", newest=newest)
        assert reply.status_code == 200
        return reply.json()

    def _got(self, person: int) -> Any:
        return self.pages[person].get("/api/items?limit=50&again=1").json()

    def figures(self, person: int) -> Any:
        return self._got(person)["figures"]

    def items(self, person: int) -> Any:
        return self._got(person)["items"]


def take_all_back(hands: Hands, order: Sequence[bool]) -> None:
    """First in the order drawn, then whatever is left; in the end everything is as it was before the first step."""
    for person in (*map(int, order), *(act[1] for act in reversed(hands.acts))):
        if any(act[1] == person for act in hands.acts):
            hands.do(("undo", person, 0, ""))
    for act in reversed(list(hands.acts)):
        hands.do(("undo", act[1], 0, ""))
    assert hands.acts == []
    assert hands.sight() == hands.seen[()]


orders = st.lists(st.booleans(), max_size=10)


@given(steps("label", "label", "skip", "undo", "restart"), orders, st.integers(0, 10))
@settings(max_examples=1000 if STORM else 8, suppress_health_check=FIXTURES)
def test_what_two_people_take_back_leaves_just_the_rest(
    new_scene: NewScene, todo: list[Step], order: list[bool], some: int
) -> None:
    hands = Hands(new_scene())
    for step in todo:
        hands.do(step)
    for _ in range(min(some, len(hands.acts))):  # the newest first, whoever's: back through every state on the way
        hands.do(("undo newest", 0, 0, ""))
    for person in order[:some]:  # and in any order: as if the rest alone had been done
        hands.do(("undo", int(person), 0, ""))
    fresh = Hands(new_scene())
    for _, person, kind, text, value in hands.acts:
        fresh.do((kind, person, int(text[1:]), value))
    assert fresh.outline() == hands.outline()
    take_all_back(hands, order)
    hands.close()
    fresh.close()


@given(steps("label", "label", "skip", "undo newest", "restart"))
@settings(max_examples=1000 if STORM else 8, suppress_health_check=FIXTURES)
def test_a_test_that_was_decided_meanwhile_is_undecided_again(new_scene: NewScene, todo: list[Step]) -> None:
    """Where the newest act is always the one taken back: what is looked at depends on the order of acts."""
    hands = Hands(new_scene(decided=True))
    for step in todo:
        hands.do(step)
    while hands.acts:
        hands.do(("undo newest", 0, 0, ""))
    assert hands.sight() == hands.seen[()]
    hands.close()


@given(steps("label", "label", "skip", "undo", "restart"), orders)
@settings(max_examples=200 if STORM else 4, suppress_health_check=FIXTURES)
def test_over_http_with_servers_started_again_in_between(
    new_scene: NewScene, todo: list[Step], order: list[bool]
) -> None:
    hands = Clicks(new_scene())
    for step in todo:
        hands.do(step)
    take_all_back(hands, order)
    hands.close()


def test_the_test_of_an_audit_is_decided_by_some_verdicts_and_not_by_all(new_scene: NewScene) -> None:
    """Else the one above would not see it closed and opened again."""
    hands = Hands(new_scene(decided=True))
    for number, value in ((0, "tech"), (3, "sport")):
        hands.do(("label", 0, number, value))
    (audit,) = hands.store.audits(hands.made.job.name)
    assert audit.closed_at is not None
    hands.do(("undo", 0, 0, ""))
    (audit,) = hands.store.audits(hands.made.job.name)
    assert audit.closed_at is None
    hands.close()
