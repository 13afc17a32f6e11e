"""What is known of a job's oracles for the frontier of its report: each text with a truth, and what became of it.

Best are gold texts that every oracle was asked about (`data.ask_gold: every`): there each is measured on the same
texts, and what all of them together would have said is known as well. Else the texts of the rounds tell, where a
stronger oracle was asked only about what the one before was not sure of: held against gold labels, or people's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from agent import gold
from agent.judging import Judgement, judgement
from agent.opinions import as_given, beside_triage, was_seen
from agent.records import Label, Said, Source, TextId
from agent.report.frontier import CASCADE, THOUSAND, Case, Frontier, Time, Way, frontier
from agent.store import RouteRow
from agent.tasks import is_right
from agent.workbench import Workbench

Answers = list[dict[TextId, Label]]  # by oracle

UNSEEN = (
    "people see nothing of what is accepted (people.audit is 0), and there are no gold labels of texts in the pool"
)
UNHEARD = "people have yet to judge labels that were accepted and labels that were not; labelwright review asks them"


def frontier_of(bench: Workbench) -> Frontier | None:
    """Accuracy against dollars of each oracle alone and of all together; None for a job with one oracle."""
    oracles = bench.job.oracle
    if len(oracles) == 1:
        return None
    judges = [judgement(bench, o.by) for o in oracles]
    minute = bench.job.people.dollars_a_minute
    time = Time(_seconds(bench), bench.job.people.audit, None if minute is None else float(minute))
    found = _on_gold(bench, judges, time) or _on_rounds(bench, judges, time)
    return replace(found, bars=tuple(judge.bar.value or 0.0 for judge in judges))


def _seconds(bench: Workbench) -> float | None:
    """What a label of a person's took them, with what they skipped and took back."""
    labels = {r.text_id for r in bench.store.reviews(bench.job.name) if r.label_id is not None and not r.undone}
    return bench.store.review_seconds(bench.job.name) / len(labels) if labels else None


# On gold texts that every oracle was asked about ------------------------------------------------------------------


def _on_gold(bench: Workbench, judges: Sequence[Judgement], time: Time) -> Frontier | None:
    """None where no gold text was answered by every oracle."""
    oracles = bench.job.oracle
    said = [gold.said(bench, o.name) for o in oracles]
    texts = [(t.id, value) for t, value in bench.gold if all(t.id in own for own in said)]
    if not texts:
        return None
    sure = np.array(
        [_sure(bench, judge, [own[i] for i, _ in texts]) for judge, own in zip(judges, said, strict=True)]
    )
    bars = [judge.bar.value or 0.0 for judge in judges]
    cases = []
    for row, (i, value) in enumerate(texts):
        right = tuple(is_right(bench.task, value, own[i].value) for own in said)
        stops = [k for k, bar in enumerate(bars) if sure[k, row] >= bar or k == len(bars) - 1]
        beyond = next(k for k in stops if k > 0)
        accepted = bool(sure[stops[0], row] >= bars[stops[0]])
        cost = tuple(own[i].cost for own in said)
        cases.append(Case(right, cost, float(sure[0, row]), stops[0], beyond, accepted))
    ways = [
        Way(o.name, price=_thousand([own[i].cost for i, _ in texts]), texts=len(texts))
        for o, own in zip(oracles, said, strict=True)
    ]
    together = Way(CASCADE, price=_thousand([c.ends(c.last)[1] for c in cases]), texts=len(cases))
    return frontier(cases, ways, together, measured_on="gold", same_texts=True, time=time)


def _sure(bench: Workbench, judge: Judgement, said: Sequence[Said]) -> list[float]:
    """How likely each answer is right, by its confidence alone: of texts outside the pool no other sign was noted."""
    labels = [Label(TextId(""), s.value, Source.ORACLE, by="", confidence=s.confidence) for s in said]
    return [float(p) for p in judge.calibration.apply(as_given(labels, bench.task))]


# On the texts of the rounds ---------------------------------------------------------------------------------------


def _on_rounds(bench: Workbench, judges: Sequence[Judgement], time: Time) -> Frontier:
    answers = _answers(bench)
    routes = bench.store.routes(bench.job.name)
    last = {i: max(k for k, own in enumerate(answers) if i in own) for own in answers for i in own if i in routes}
    ways = [
        Way(o.name, price=_thousand([x.cost for x in own.values()]), texts=len(own), hard=k > 0)
        for k, (o, own) in enumerate(zip(bench.job.oracle, answers, strict=True))
    ]
    paid = [sum(own[i].cost for own in answers[: k + 1] if i in own) for i, k in last.items()]
    together = Way(CASCADE, price=_thousand(paid), texts=len(paid))
    truth, measured_on, why_not = _truth(bench, last, routes)
    if why_not is not None:
        return Frontier((*ways, together), minute=time.minute, why_not=why_not)
    chances = _chances(truth, last, routes) if measured_on == "people" else dict.fromkeys(truth, 1.0)
    first = [answers[0][i] for i in truth if i in answers[0]]
    sure = dict(zip([x.text_id for x in first], judges[0].sure(first).tolist(), strict=True))

    def right(value: object, label: Label) -> bool:
        seen = measured_on == "people" and was_seen(routes[label.text_id], label)
        return is_right(bench.task, value, label.value, seen=seen)

    cases = [
        Case(
            right=tuple(right(value, own[i]) if i in own else None for own in answers),
            cost=tuple(own[i].cost if i in own else 0 for own in answers),
            sure=sure[i],
            last=last[i],
            beyond=last[i] or None,
            accepted=routes[i].is_accepted,
            chance=chances[i],
        )
        for i, value in truth.items()
        if i in sure
    ]
    return frontier(cases, ways, together, measured_on=measured_on, same_texts=False, time=time)


def _answers(bench: Workbench) -> Answers:
    """By oracle, the newest label that it gave each picked text."""
    picks, found = bench.picks(), {o.name: dict[TextId, Label]() for o in bench.job.oracle}
    for label in bench.store.labels(bench.job.name, source=Source.ORACLE):
        own = found.get(label.by.partition("/")[0])
        if own is not None and label.text_id in picks:
            own[label.text_id] = label
    return list(found.values())


def _truth(
    bench: Workbench, last: Mapping[TextId, int], routes: Mapping[TextId, RouteRow]
) -> tuple[dict[TextId, object], str, str | None]:
    """(text to its truth, what that is, why there is none that tells)."""
    known: dict[TextId, object] = {i: v for i, v in bench.pool_gold.items() if i in last}
    if known:
        return known, "gold", None
    current = bench.store.current(bench.job.name)
    drawn = beside_triage(bench.store.audited(bench.job.name), routes)  # by doubt: not like others of their kind
    seen = {i for i in last if i in current and current[i].source is Source.PERSON}
    known = {i: current[i].value for i in last if i in seen - drawn}
    if any(routes[i].is_accepted and routes[i].probability == 0 for i in last):
        return known, "people", UNSEEN
    unheard = {routes[i].is_accepted for i in last} - {routes[i].is_accepted for i in known}
    return known, "people", UNHEARD if unheard or not known else None


def _chances(
    truth: Mapping[TextId, object], last: Mapping[TextId, int], routes: Mapping[TextId, RouteRow]
) -> dict[TextId, float]:
    """With which each text that people judged was judged: the share of those of its kind that was, which also holds
    where the queue is worked half. A kind is whether it is accepted, and whose label stands where people saw some."""
    fine = {i: (routes[i].is_accepted, k) for i, k in last.items()}
    coarse = {i: routes[i].is_accepted for i in last}
    judged = Counter(fine[i] for i in truth)
    is_blank = {coarse[i] for i in last if not judged[fine[i]]}  # a kind that nobody saw is like the others
    kind = {i: coarse[i] if coarse[i] in is_blank else fine[i] for i in last}
    seen, there = Counter(kind[i] for i in truth), Counter(kind.values())
    return {i: seen[kind[i]] / there[kind[i]] for i in truth}


def _thousand(costs: Sequence[int]) -> float | None:
    """Micro-dollars for a thousand labels."""
    return THOUSAND * float(np.mean(costs)) if len(costs) else None
