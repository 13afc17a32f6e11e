"""Why these texts."""

from __future__ import annotations

from typing import Any

from agent.records import Label, MicroDollars, Route, Source, TextId
from agent.report.explained import explained
from agent.store import AttemptState, PickRow, RoundCost, RouteRow


def pick(number: int, part: str, why: dict[str, Any], probability: float | None = None) -> PickRow:
    return PickRow(
        text_id=TextId(f"t{number}"), row=number, round=number // 10, slice=part, score=0.5, probability=probability,
        why=why, text=f"text {number}",
    )  # fmt: skip


MARGIN = {"strategy": "margin", "rank": 3, "of": 90}
PICKS = [
    *(pick(i, "random", {"drawn": 5, "of": 100}, 0.05) for i in range(5)),
    *(pick(i, "unsure", MARGIN | {"price": 30.0 + i}) for i in range(5, 25)),
    *(pick(i, "unsure", {"strategy": "bandit", "arm": "k_center", "distance": 0.5}) for i in range(25, 29)),
]
COSTS = [
    RoundCost(0, "random", AttemptState.SETTLED, MicroDollars(290)),
    RoundCost(1, "unsure", AttemptState.SETTLED, MicroDollars(700)),
    RoundCost(1, "unsure", AttemptState.AMBIGUOUS, MicroDollars(170)),
]


def label(i: int) -> Label:
    return Label(TextId(f"t{i}"), "a", Source.ORACLE, "local/small")


def test_slices_strategies_costs_and_chances_are_counted() -> None:
    found = explained(PICKS, {TextId(f"t{i}"): label(i) for i in range(12)}, {}, COSTS)
    random, unsure = found.slices
    assert (random.name, random.picked, random.labelled, random.cost, random.chance) == (
        "random", 5, 5, 290, (0.05, 0.05)
    )  # fmt: skip
    assert (unsure.picked, unsure.labelled, unsure.cost, unsure.chance) == (24, 7, 870, None)
    assert unsure.because == "the small model was unsure here (20); nothing near it had been labelled yet (4)"
    assert found.strategies == (("margin", 20), ("bandit: k_center", 4))
    assert found.paid == 1160 / 29
    assert found.expected == sum(30.0 + i for i in range(5, 25)) / 20


def test_examples_say_in_words_why_they_were_picked() -> None:
    found = explained(PICKS, {}, {}, COSTS)
    assert [e.id for e in found.examples] == ["t0", "t2", "t4", "t5", "t17", "t28"]
    assert found.examples[0].because == "it was drawn at random (5 of 100, a chance of 5 % each)"
    assert found.examples[-1].because == "nothing near it had been labelled yet (the turn of k_center, distance 0.5)"


def test_a_text_that_is_judged_blind_is_no_example() -> None:
    blind = {p.text_id: RouteRow(p.text_id, None, Route.PERSON, "audit", 0.9, blind=True) for p in PICKS[:4]}
    found = explained(PICKS, {}, blind, COSTS)
    assert [e.id for e in found.examples if e.slice == "random"] == ["t4"]
    assert found.slices[0].picked == 5


def test_nothing_picked_is_nothing_explained() -> None:
    assert explained([], {}, {}, []).slices == ()
