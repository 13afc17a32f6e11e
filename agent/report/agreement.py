"""How a report tells of agreement: the section of the page as plain values, and lines for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from agent.agreeing import Agreement, Alike, Confused, Pair, Person, Together
from agent.agreement import Difference, Figure
from agent.report.wording import MINUS, count, percent, plain, points, seconds

LABELS, PAIRS, CONFUSED = 20, 12, 3
WHO = {"people": "people", "all": "all raters"}

DOUBTFUL = (
    "Of the texts that people labelled: the doubtful ones reach them more often, so on all texts agreement is likely "
    "higher."
)
BANDED = (
    "What is shown with a suggestion is what the machine doubts, so both are compared at the same confidence of the "
    "machine; inside a band what is shown may still be the harder part."
)
NOT_BANDED = (
    "Whether people follow the suggestion cannot be told: no band of the machine’s confidence has both texts shown "
    "with it and texts shown blind."
)


def shown(found: Agreement | None) -> dict[str, Any]:
    """What the page shows, each row with its place in `report.json`: pairs, people, labels (the worst first)."""
    if found is None:
        return {}
    return {
        "agreement_pairs": [(i, defined(p.kappa.overall)) for i, p in enumerate(found.pairs[:PAIRS])],
        "agreement_alike": range(len(found.alike[:PAIRS])),
        "agreement_people": [(i, mistakes(p)[:CONFUSED]) for i, p in enumerate(found.people)],
        "agreement_labels": worst_labels(found)[:LABELS],
        "agreement_words": {"doubtful": DOUBTFUL, "banded": BANDED, "not_banded": NOT_BANDED},
    }


def worst_labels(found: Agreement) -> list[int]:
    """Places of the labels that a coefficient speaks of, those on which raters agree least first."""
    if not found.together:
        return []
    alphas = [figure.value for figure in found.together[0].alpha.labels]
    return sorted((k for k, v in enumerate(alphas) if not math.isnan(v)), key=lambda k: alphas[k])


def mistakes(person: Person) -> list[Confused]:
    """What a person said where most of the others said something else, the most frequent first."""
    return [c for c in person.confused if c.others != c.given]


def defined(figure: Figure) -> bool:
    """Whether a coefficient and its interval say anything."""
    return not math.isnan(figure.value) and not math.isnan(figure.lo)


def told(found: Agreement) -> Iterator[tuple[str, str]]:
    """The same for a terminal: (what, said)."""
    for together in found.together:
        yield WHO[together.who], _together(together)
    for near in found.alike[:PAIRS]:
        yield "pair", _alike(near)
    for pair in found.pairs[:PAIRS]:
        yield "pair", _pair(pair)
    for k in worst_labels(found)[:LABELS]:
        each = ", ".join(f"{WHO[t.who]} {figure(t.alpha.labels[k])}" for t in found.together)
        yield "label", f"{plain(found.names[k], 60)}: alpha {each}"
    for person in found.people:
        yield "person", _person(person)
    if found.anchoring is not None:
        yield "anchoring", anchoring(found.anchoring)
    yield "note", DOUBTFUL


def in_a_line(found: Agreement) -> str:
    """The headline: of people where several labelled the same, else of all."""
    if found.alike:
        return _alike(found.alike[0])
    if not found.together:
        return f"{count(found.texts)} texts were labelled by several"
    first = found.together[0]
    return f"{WHO[first.who]}: {_together(first)}"


def anchoring(found: Difference) -> str:
    """What seeing the suggestion does, as a sentence."""
    if math.isnan(found.value):
        return NOT_BANDED
    ends = f"95 %: {points(found.lo)} to {points(found.hi)}; {count(found.shown)} shown, {count(found.blind)} blind"
    return f"seeing the suggestion changes how often people agree with it by {points(found.value)} points ({ends})"


def figure(found: Figure) -> str:
    """`0.812 (0.770 to 0.851)`."""
    if math.isnan(found.value):
        return "not defined: all gave the same label"
    value, lo, hi = (f"{number:.3f}".replace("-", MINUS) for number in (found.value, found.lo, found.hi))
    return value if math.isnan(found.lo) else f"{value} ({lo} to {hi})"


def _alike(pair: Alike) -> str:
    said = f"mean chrF {pair.mean:.3f} ({pair.lo:.3f} to {pair.hi:.3f}) of {count(pair.texts)} texts"
    return f"{plain(pair.a, 40)} and {plain(pair.b, 40)}: {said}"


def _together(found: Together) -> str:
    units = f"{count(found.alpha.units)} texts, {count(found.raters)} raters"
    return (
        f"Krippendorff’s alpha {figure(found.alpha.overall)}, Fleiss’s kappa {figure(found.fleiss.overall)}; {units}"
    )


def _pair(pair: Pair) -> str:
    same = f"alike on {percent(pair.same / pair.texts)} of {count(pair.texts)} texts"
    return f"{plain(pair.a, 40)} and {plain(pair.b, 40)}: kappa {figure(pair.kappa.overall)}, {same}"


def _person(person: Person) -> str:
    time = "not timed" if person.seconds is None else f"{seconds(person.seconds)} a text"
    said = f"{plain(person.name, 40)}: {count(person.texts)} texts, {time}"
    if not person.compared:
        return said
    said += f", as most others on {percent(person.agreed / person.compared)} of {count(person.compared)}"
    wrong = [
        f"{plain(c.given, 30)} for {plain(c.others, 30)} ({count(c.count)})" for c in mistakes(person)[:CONFUSED]
    ]
    return f"{said}; {', '.join(wrong)}" if wrong else said
