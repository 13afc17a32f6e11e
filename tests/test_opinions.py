"""What counts where several labelled one text: fed from a store, as a job has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.job import TaskSettings
from agent.opinions import Opinions, named, opinions
from agent.records import Label, MicroDollars, Pick, Route, Source, TextId
from agent.store import AuditItem, RouteRow, Store
from agent.tasks import Task, build

CLASSES = ("card", "cash", "loan")
WEAK, STRONG = "weak/small", "strong/big"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'labelwright.db'}") as opened:
        opened.open_job("job", {}, "print", MicroDollars(1000))
        yield opened


def task(kind: str = "classification") -> Task:
    return build(TaskSettings(kind=kind, labels=list(CLASSES)))


def heard(store: Store, kind: str = "classification") -> Opinions:
    return opinions(store, "job", task(kind), [WEAK, STRONG])


def give(store: Store, text: str, value: Any, by: str, sure: float | None = None, **more: Any) -> int:
    rest = {} if sure is None else {c: (1 - sure) / 2 for c in CLASSES if c != value}
    chances = None if sure is None else {value: sure, **rest}
    label = Label(TextId(text), value, Source.ORACLE, by, chances, sure, **more)
    return store.add_labels("job", [label])[0]


def review(store: Store, text: str, value: str, person: str = "ann") -> None:
    store.add_labels("job", [Label(TextId(text), value, Source.PERSON, person)])


def shown(store: Store, text: str, chance: float) -> None:
    picks = [Pick(TextId(text), 0, "random", 0.5)]
    store.add_picks("job", 0, picks, {TextId(text): text})
    route = RouteRow(TextId(text), None, Route.PERSON, "audit", blind=True, probability=chance)
    store.add_routes("job", 0, [route])


def test_one_answer_is_left_as_it_is(store: Store) -> None:
    give(store, "a", "card", WEAK, 0.6)
    give(store, "b", "cash", STRONG)
    review(store, "c", "loan")
    assert heard(store) == Opinions()


def test_two_oracles_that_agree_are_surer_together(store: Store) -> None:
    give(store, "a", "card", WEAK, 0.6)
    give(store, "a", "card", STRONG, 0.7)
    for k in range(5):
        give(store, f"x{k}", "cash", WEAK, 0.6)
        give(store, f"x{k}", "loan", STRONG, 0.7)
    found = heard(store)
    label = found.labels()[TextId("a")]
    assert (label.value, label.by) == ("card", STRONG)
    assert label.confidence is not None
    assert label.confidence > 0.7
    assert label.probabilities == pytest.approx(found.posterior[TextId("a")])
    assert (found.asked, found.agreed, found.changed, found.reviewed) == (6, 1, 0, 0)
    assert found.oracles == (WEAK, STRONG)
    assert all(found.counts[TextId(f"x{k}")].value == "loan" for k in range(5))
    assert found.counts[TextId("a")].probabilities == pytest.approx({"card": 0.7, "cash": 0.15, "loan": 0.15})


def test_people_show_that_the_oracle_that_was_asked_last_is_the_worse_one(store: Store) -> None:
    for k in range(60):
        truth = CLASSES[k % 3]
        give(store, f"t{k}", truth, WEAK)
        give(store, f"t{k}", CLASSES[(k + 1) % 3], STRONG)
        if k < 40:
            review(store, f"t{k}", truth)
    found = heard(store)
    assert (found.reviewed, found.asked, found.changed) == (40, 20, 20)
    assert {found.counts[TextId(f"t{k}")].by for k in range(40, 60)} == {WEAK}
    assert found.consensus is not None
    assert found.consensus.accuracy(0) > 0.75
    assert found.consensus.accuracy(1) < 0.25


def test_the_order_of_the_job_says_who_is_stronger_not_the_order_of_asking(store: Store) -> None:
    give(store, "a", "card", STRONG)
    give(store, "a", "cash", WEAK)
    found = heard(store)
    assert found.counts[TextId("a")].by == STRONG
    assert (found.asked, found.agreed, found.changed) == (1, 0, 1)


def test_an_oracle_that_was_asked_in_two_ways_has_one_voice(store: Store) -> None:
    give(store, "a", "card", WEAK, 0.9)
    give(store, "a", "cash", WEAK, 0.6)
    give(store, "b", "card", WEAK)
    give(store, "b", "cash", WEAK)
    found = heard(store)
    assert found.posterior[TextId("a")] == pytest.approx({"card": 0.55, "cash": 0.325, "loan": 0.125})
    assert found.counts[TextId("a")].value == "card"
    assert found.posterior[TextId("b")] == pytest.approx({"card": 0.5, "cash": 0.5, "loan": 0})
    assert found.counts[TextId("b")].value == "cash"  # of equals the newest
    assert found.labels()[TextId("b")].confidence == 0.5


def test_what_was_derived_again_from_the_same_answer_is_no_second_opinion(store: Store) -> None:
    attempt = store.reserve("job", "weak", "key", TextId("a"), MicroDollars(9), owner="run")
    from tests.store.making import USAGE, stored

    answer = store.settle(attempt, MicroDollars(5), USAGE, stored())
    give(store, "a", "card", WEAK, 0.6, answer_id=answer)
    give(store, "a", "cash", WEAK, 0.5, answer_id=answer)
    assert heard(store) == Opinions()


def test_a_persons_label_stays_and_what_was_taken_back_does_not_count(store: Store) -> None:
    give(store, "a", "card", WEAK)
    give(store, "a", "cash", STRONG)
    review(store, "a", "loan")
    assert TextId("a") not in heard(store).counts
    store.withdraw("job", store.current("job")[TextId("a")].id or 0, "a slip")
    assert heard(store).counts[TextId("a")].value == "cash"
    give(store, "b", "card", WEAK)
    store.withdraw("job", give(store, "b", "cash", STRONG), "a slip")
    assert TextId("b") not in heard(store).counts


def test_people_who_disagree_leave_it_open_and_the_newest_label_stands(store: Store) -> None:
    for value, person in (("cash", "ann"), ("card", "ben"), ("loan", "ann"), ("loan", "cem")):
        review(store, "a", value, person)
    review(store, "b", "card", "ann")
    review(store, "b", "card", "ben")
    found = heard(store).labels()
    assert list(found) == ["a"]
    assert (found[TextId("a")].value, found[TextId("a")].confidence) == ("loan", None)
    assert found[TextId("a")].probabilities == pytest.approx({"card": 1 / 3, "cash": 0, "loan": 2 / 3})


def test_audited_texts_stand_for_those_that_nobody_was_shown(store: Store) -> None:
    """Ten doubtful texts were all shown, and half of them are wrong; of the sure ones one in ten, and those are
    right: the oracle is better than what people saw of it."""
    for k in range(10):
        give(store, f"unsure{k}", "card", WEAK)
        shown(store, f"unsure{k}", 1.0)
        review(store, f"unsure{k}", "card" if k < 5 else "cash")
        give(store, f"sure{k}", "card", WEAK)
        shown(store, f"sure{k}", 0.1)
        review(store, f"sure{k}", "card")
    found = heard(store).consensus
    assert found is not None
    assert found.accuracy(0) > 0.76 > 15 / 20
    assert found.confusions[0][1, 1] > 0.3  # five mistaken texts of a class do not rule it out


def test_several_labels_a_text_are_left_alone(store: Store) -> None:
    give(store, "a", ["card"], WEAK)
    give(store, "a", ["cash"], STRONG)
    assert heard(store, "multilabel") == Opinions()


def test_a_class_that_the_job_has_no_more_is_no_answer(store: Store) -> None:
    give(store, "a", "cheque", WEAK)
    give(store, "a", "cash", STRONG)
    assert heard(store).counts == {}


def test_oracles_are_named_as_their_labels_name_them() -> None:
    assert named([{"name": "weak", "model": "small", "price": None}]) == [WEAK]


def test_a_text_that_people_saw_only_because_an_audit_drew_it_counts_once(store: Store) -> None:
    """Its route says a chance of a hundredth, with which nobody was asked: by that it would count for many."""

    def job(*, audited: bool) -> Opinions:
        name = f"audited {audited}"
        store.open_job(name, {}, "print", MicroDollars(1000))
        for k in range(30):
            truth, text = CLASSES[k % 3], TextId(f"t{k}")
            wrong = CLASSES[(k + 1) % 3]
            store.add_picks(name, 0, [Pick(text, 0, "random", 0.5)], {text: "text"})
            ids = store.add_labels(
                name,
                [
                    Label(text, truth if k < 25 else wrong, Source.ORACLE, WEAK),
                    Label(text, truth, Source.ORACLE, STRONG),
                ],
            )
            chance = 0.01 if k < 5 and audited else 1.0
            store.add_routes(name, 0, [RouteRow(text, ids[1], Route.ACCEPTED, "sure", probability=chance)])
            store.add_labels(name, [Label(text, truth, Source.PERSON, "ann")])
            if k < 5 and audited:
                store.add_audit(name, {}, [AuditItem(text, ids[1], 0, 0.5, 0, 0.5, 0.9, True)])
        return opinions(store, name, task(), [WEAK, STRONG])

    drawn, plain = job(audited=True), job(audited=False)
    assert drawn.consensus is not None
    assert plain.consensus is not None
    assert drawn.consensus.weights == pytest.approx(plain.consensus.weights)
    assert drawn.consensus.accuracy(0) == pytest.approx(plain.consensus.accuracy(0))
