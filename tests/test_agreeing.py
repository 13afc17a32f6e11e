"""Who agrees with whom in a job: what the store holds becomes raters, pairs, people and what a suggestion does."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.agreeing import Agreement, Confused, agreeing
from agent.records import Label, MicroDollars, Route, Source, TextId, Value
from agent.store import RouteRow, Store
from agent.tasks import Task
from tests.report import a_job

CLASSES = a_job.CLASSES


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'jobs.db'}") as opened:
        opened.open_job(a_job.JOB, a_job.SETTINGS, "print", MicroDollars(1))
        opened.add_texts(a_job.JOB, {TextId(f"t{i}"): f"text {i}" for i in range(40)})
        yield opened


def person(store: Store, text: int, value: Value, who: str = "ann", seconds: float = 4.0) -> None:
    label = Label(TextId(f"t{text}"), value, Source.PERSON, who)
    store.review(a_job.JOB, label.text_id, who, "label", label, seconds=seconds)


def oracle(store: Store, text: int, value: Value, confidence: float = 0.9, by: str = "local/small") -> int:
    label = Label(TextId(f"t{text}"), value, Source.ORACLE, by, confidence=confidence)
    return store.add_labels(a_job.JOB, [label])[0]


def shown(store: Store, text: int, label_id: int, *, blind: bool) -> None:
    row = RouteRow(TextId(f"t{text}"), label_id, Route.PERSON, "unsure", 0.9, blind=blind)
    store.add_routes(a_job.JOB, 0, [row])


def found(store: Store, task: Task | None = None) -> Agreement:
    agreement = agreeing(store, a_job.JOB, task or a_job.task(), 3)
    assert agreement is not None
    return agreement


def test_where_no_two_labelled_the_same_text_there_is_nothing_to_say(store: Store) -> None:
    assert agreeing(store, a_job.JOB, a_job.task(), 3) is None
    person(store, 0, "card")
    oracle(store, 1, "card")
    assert agreeing(store, a_job.JOB, a_job.task(), 3) is None


def test_people_and_oracles_are_raters_and_every_pair_has_its_kappa(store: Store) -> None:
    for i in range(12):
        oracle(store, i, CLASSES[i % 3])
        person(store, i, CLASSES[i % 3 if i < 9 else 0])
        person(store, i, CLASSES[i % 3], "bob")
    agreement = found(store)
    assert [(r.name, r.kind, r.texts) for r in agreement.raters] == [
        ("ann", "person", 12), ("bob", "person", 12), ("local/small", "oracle", 12),
    ]  # fmt: skip
    pairs = {(p.a, p.b): p for p in agreement.pairs}
    assert pairs["bob", "local/small"].kappa.overall.value == 1
    assert pairs["ann", "bob"].same == 10
    assert 0 < pairs["ann", "bob"].kappa.overall.value < 1
    assert pairs["ann", "bob"].kappa.overall.lo < pairs["ann", "bob"].kappa.overall.hi
    assert len(pairs["ann", "bob"].kappa.labels) == 3
    assert [(t.who, t.raters) for t in agreement.together] == [("people", 2), ("all", 3)]


def test_a_persons_newest_word_counts_and_what_was_taken_back_does_not(store: Store) -> None:
    for i in range(3):
        oracle(store, i, "card")
    person(store, 0, "cash")
    person(store, 0, "card")
    person(store, 1, "loan")
    store.undo_review(a_job.JOB, "ann")
    pair = found(store).pairs[0]
    assert (pair.texts, pair.same) == (1, 1)


def test_a_persons_speed_is_the_median_of_what_was_timed(store: Store) -> None:
    for i, seconds in enumerate((2.0, 4.0, 60.0, 0.0)):
        oracle(store, i, "card")
        person(store, i, "card", seconds=seconds)
    person(store, 20, "card", "bob", seconds=0.0)
    ann, bob = found(store).people
    assert (ann.name, ann.texts, ann.seconds, ann.timed) == ("ann", 4, 4.0, 3)
    assert (bob.name, bob.texts, bob.seconds, bob.compared) == ("bob", 1, None, 0)


def test_each_person_is_held_against_what_most_of_the_others_said(store: Store) -> None:
    for i in range(4):
        person(store, i, "card" if i else "cash")
        person(store, i, "card", "bob")
        person(store, i, "card" if i < 3 else "loan", "eve")
    ann = found(store).people[0]
    # of text 3 the others say two things, and none is ahead
    assert (ann.compared, ann.agreed) == (3, 2)
    assert ann.confused == (Confused("card", "card", 2), Confused("card", "cash", 1))


def test_several_labels_a_text_agree_as_sets_and_label_by_label(store: Store) -> None:
    task = a_job.task("multilabel")
    for i in range(6):
        oracle(store, i, ("card", "cash") if i % 2 else ())
        person(store, i, ("card",) if i % 2 else ())
    pair = found(store, task).pairs[0]
    assert (pair.same, pair.texts) == (3, 6)
    card, cash, loan = pair.kappa.labels
    assert card.value == 1
    assert cash.value == 0
    assert math.isnan(loan.value)


def test_what_a_suggestion_does_is_measured_at_the_same_confidence(store: Store) -> None:
    for i in range(40):
        blind = i % 2 == 0
        shown(store, i, oracle(store, i, "card", 0.75), blind=blind)
        person(store, i, "cash" if blind and i % 4 == 0 else "card")
    anchoring = found(store).anchoring
    assert anchoring is not None
    assert anchoring.value == pytest.approx(0.5)
    assert 0 < anchoring.lo < 0.5 < anchoring.hi
    assert (anchoring.shown, anchoring.blind) == (20, 20)


def test_without_blind_items_nothing_is_said_of_suggestions(store: Store) -> None:
    shown(store, 0, oracle(store, 0, "card"), blind=False)
    person(store, 0, "card")
    assert found(store).anchoring is None


def test_the_same_job_gives_the_same_figures(store: Store) -> None:
    for i in range(20):
        oracle(store, i, CLASSES[i % 3])
        person(store, i, CLASSES[i % 2])
    assert found(store) == found(store)
