"""The steps of a round, each usable alone: select, ask, take, triage, refit, measure.

Every step reads the store, does its work and writes the store; done again after a crash it does nothing twice.
"""

from __future__ import annotations

import math
import time
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from agent import gold
from agent import triage as triaging
from agent.agreement import cohens_kappa
from agent.comparing import Classroom, Parts, beside_chance
from agent.doubting import as_row, signs_of
from agent.endpoints import Seat
from agent.escalating import Stronger
from agent.hearing import SUSPECT, Heard, costs_of, hear, hear_otherwise
from agent.hints import learn, taught
from agent.judging import judgement
from agent.measuring import Lesson, Quality, held_out, quality
from agent.opinions import beside_triage
from agent.records import (
    Floats,
    Label,
    MicroDollars,
    Prediction,
    Route,
    Source,
    Text,
    TextId,
    Value,
)
from agent.refreshing import go_on, milestone
from agent.relabelling import Again, texts_of
from agent.selection import (
    Look,
    Weights,
    batch_lure,
    clip,
    drawn,
)
from agent.store import LABEL_ERROR, PickRow, RouteRow
from agent.tasks import Task, is_right
from agent.valuing import worth_of
from agent.workbench import MEASURE, STOP_SET, TRIAGE, Workbench

STOP_SET_SIZE = 1000


# Select ---------------------------------------------------------------------------------------------------------


def open_picks(bench: Workbench) -> list[PickRow]:
    """Picked texts that nothing was decided about: the run died, or the money ran out, before they were asked."""
    decided = bench.store.routes(bench.job.name)
    return [p for p in bench.picks().values() if p.text_id not in decided]


def unfinished(bench: Workbench, number: int) -> bool:
    """Whether a round was picked and decided but not measured: the run died there, and nothing is left to pick."""
    measured = {r.round for r in bench.store.rounds(bench.job.name)}
    return number not in measured and any(p.round == number for p in bench.picks().values())


# Ask, and read the answers ----------------------------------------------------------------------------------------


async def ask(bench: Workbench, seat: Seat, picks: Sequence[PickRow]) -> dict[TextId, Heard]:
    """Put the picked texts to an oracle, inside the budget. Texts missing from the result were not asked."""
    return await hear(bench, seat, [Text(p.text_id, p.text, p.row) for p in picks])


async def ask_again(bench: Workbench, seat: Seat, again: Sequence[Again]) -> dict[TextId, Heard]:
    """Put texts to an oracle whose labels are asked again, inside the budget: a group of `relabelling.grouped`."""
    texts = texts_of(bench, again)
    return await (hear_otherwise if again[0].other_way else hear)(bench, seat, texts)


def take(bench: Workbench, seat: Seat, heard: Mapping[TextId, Heard]) -> tuple[list[Label], dict[TextId, str]]:
    """What was heard as labels: (labels, why the other texts have none). An answer that is no label stays one."""
    costs = costs_of(bench, heard)
    labels = [_label(seat, h, h.value, costs[i]) for i, h in heard.items() if h.value is not None]
    picks = bench.picks()
    texts = {i: Text(i, picks[i].text, picks[i].row) for i in heard}
    signs = signs_of(bench, labels, texts, {i for i, h in heard.items() if h.turned})
    labels = [replace(label, signs=as_row(s)) for label, s in zip(labels, signs, strict=True)]
    return labels, {h.text_id: h.why for h in heard.values() if h.value is None}


def _label(seat: Seat, heard: Heard, value: Value, cost: MicroDollars) -> Label:
    belief = heard.belief
    return Label(
        text_id=heard.text_id,
        value=value,
        source=Source.ORACLE,
        by=seat.settings.by,
        probabilities=belief.probabilities,
        confidence=None if math.isnan(belief.confidence) else belief.confidence,
        lost_mass=belief.lost_mass,
        prompt_hash=seat.questions.prompt_hash,
        answer_id=heard.answer_id,
        cost=cost,
    )


# Triage -----------------------------------------------------------------------------------------------------------


def triage(
    bench: Workbench,
    number: int,
    labels: Sequence[Label],
    failed: Mapping[TextId, str],
    *,
    stronger: Stronger | None = None,
    choice: int = 0,
) -> list[Label]:
    """Keep labels and say where each text goes, in one commit. Returns those that `stronger` is asked about now.

    What is put off until later has a route of its own: until then it waits for a person, too.

    Args:
        number: of the round.
        stronger: the next oracle; None after the last one.
        choice: which of the round's choices by chance this is.
    """
    if not labels and not failed:
        return []
    judge = stronger.judge if stronger else judgement(bench, labels[0].by if labels else None)
    sure, audit = judge.sure(labels), bench.job.people.audit
    rng = bench.rng(TRIAGE, number, choice)
    decisions = triaging.route_all(sure, judge.bar.value or 0.0, stronger is not None, audit, rng)
    unsure = [k for k, d in enumerate(decisions) if d.route is Route.STRONGER]
    onward = dict.fromkeys(np.array(unsure, np.int64)[stronger.now(sure[unsure])].tolist() if stronger else [])
    queued = [k for k, d in enumerate(decisions) if d.route is not Route.ACCEPTED and not d.blind]
    own = [labels[k] for k in queued]
    worth = worth_of(bench, own)
    place = dict(zip(queued, judge.places(own, worth), strict=True))
    many = {k for k, is_many in zip(queued, worth.many.tolist(), strict=True) if is_many}
    with bench.store.transaction() as tx:
        ids = bench.store.add_labels(bench.job.name, labels, tx=tx)
        rows = [
            RouteRow(
                text_id=x.text_id,
                label_id=i,
                route=d.route,
                reason=judge.reason(d, x, many=k in many),
                confidence=x.confidence,
                blind=d.blind,
                probability=_chance(d),
                priority=place.get(k),
            )
            for k, (d, x, i) in enumerate(zip(decisions, labels, ids, strict=True))
            if k not in onward
        ]
        rows += [_unlabelled(i, why) for i, why in failed.items()]
        bench.route(rows, tx=tx)
    return [labels[k] for k in onward]


def _chance(decision: triaging.Decision) -> float | None:
    """With which a person sees a label; one that is put off waits in people's queue meanwhile."""
    return 1.0 if decision.route is Route.STRONGER else decision.probability


def _unlabelled(text_id: TextId, why: str) -> RouteRow:
    """A person decides on what failed, and on what an oracle's answer is not believed of."""
    if why.startswith(SUSPECT):
        return RouteRow(text_id, None, Route.PERSON, why, probability=1.0)
    return RouteRow(text_id, None, Route.PERSON, f"failed: {why}")


def triage_again(bench: Workbench, number: int) -> int:
    """Accept what waits for a person and is sure enough by now, since people's labels moved the bar. How many. What
    waits since it looks wrong was sure enough before."""
    judge = judgement(bench)
    if judge.model.labels:
        bench.watch.note(judge.told())
    bar = judge.bar.value
    queue = bench.store.queue(bench.job.name, audits=False)
    waiting = [q for q in queue if not q.blind and q.suggestion and not q.reason.startswith(LABEL_ERROR)]
    sure = judge.sure([q.suggestion for q in waiting if q.suggestion is not None])
    now = [q for q, c in zip(waiting, sure.tolist(), strict=True) if bar is not None and c >= bar]
    rng = bench.rng(TRIAGE, number, 2)
    decisions = triaging.route_all([1.0] * len(now), 0.0, False, bench.job.people.audit, rng)
    rows = [
        RouteRow(q.text_id, q.suggestion.id, d.route, d.reason, q.suggestion.confidence,
                 blind=d.blind, probability=d.probability)
        for q, d in zip(now, decisions, strict=True)
        if q.suggestion is not None
    ]  # fmt: skip
    bench.store.add_routes(bench.job.name, number, rows)
    return len(rows)


def accepted(bench: Workbench) -> set[TextId]:
    """Texts whose label counts: accepted ones, those that a person audits meanwhile, and what a person or the seed
    said."""
    routes = bench.store.routes(bench.job.name)
    trusted = {i for i, r in routes.items() if r.is_accepted}
    people = (Source.PERSON, Source.SEED)
    return trusted | {i for i, label in bench.store.current(bench.job.name).items() if label.source in people}


# Refit and measure ------------------------------------------------------------------------------------------------


def refit(bench: Workbench) -> None:
    """Teach the student, where there is one, everything known so far."""
    if not bench.job.has_student:
        return
    lessons = bench.lessons()
    bench.trained = bool(lessons)
    bench.taught = lessons
    if lessons:
        weights = weights_of(bench, lessons)
        go_on(bench)
        trust = learn(bench, lessons, weights)
        if milestone(bench, lessons, weights, trust):
            learn(bench, lessons, weights)


def weights_of(bench: Workbench, lessons: Sequence[Lesson]) -> Floats:
    """(n,) float32: 1 for a label that counts, and the oracle's own confidence for one that waits for a person.

    With `selection.unbiased` that is multiplied by the weights which undo selection; see `unbiased`.
    """
    trust = _trust(bench, lessons)
    return trust * unbiased(bench, lessons).values if bench.job.selection.unbiased else trust


def _trust(bench: Workbench, lessons: Sequence[Lesson]) -> Floats:
    sure = accepted(bench)
    given = [1.0 if t.id in sure or label.confidence is None else label.confidence for t, label in lessons]
    return np.array([max(w, 0.05) for w in given], np.float32)


def unbiased(bench: Workbench, lessons: Sequence[Lesson]) -> Weights:
    """Weights with which the lessons' mean loss is that of the whole pool (R_LURE, `selection.batch_lure`), clipped.

    They rest on the random slice and on what strategy `power` drew. What the numbers alone chose stands for itself
    only, and the seed, which is no part of the pool to be labelled, keeps the weight 1.
    """
    picks = bench.picks()
    times, chances = drawn([(p.round, p.slice, p.probability, p.why) for p in picks.values()])
    places = {text_id: i for i, text_id in enumerate(picks)}
    inside = [i for i, (t, _) in enumerate(lessons) if t.id in places]
    order = [places[lessons[i][0].id] for i in inside]
    lost = len(picks) - len(inside)  # picked and without a label: their loss is not known
    population = len(bench.pool) - sum(t.row >= 0 for t, _ in bench.seed) - lost
    found = clip(batch_lure(chances[order], times[order], max(len(inside), population)))
    values = np.ones(len(lessons), np.float32)
    values[inside] = found.values
    return replace(found, values=values)


def stop_set_values(bench: Workbench) -> tuple[Prediction, list[int]]:
    """What the student says of a fixed random set of texts; each value as a short hash that the store can keep."""
    size = min(STOP_SET_SIZE, len(bench.pool))
    rows = np.sort(bench.rng(STOP_SET).choice(len(bench.pool), size, replace=False))
    prediction = bench.student.predict(bench.pool.texts(rows))
    return prediction, [zlib.crc32(bench.task.show(v).encode()) for v in prediction.values]


def measure(bench: Workbench, number: int, seconds: float) -> dict[str, Any]:
    """The figures of a round, kept in the store."""
    lessons = bench.lessons()
    spending = bench.store.spending(bench.job.name)
    # without any label there is no student yet: the round is kept all the same, so that the job goes on
    values = stop_set_values(bench)[1] if bench.trained else None
    # the stop set is drawn from the pool: two students are compared only where that is still the same
    rounds = bench.store.rounds(bench.job.name)
    same_pool = [r for r in rounds if r.round < number and r.figures.get("pool") == bench.pool.key]
    before = [r.figures["stop_set"] for r in same_pool if r.figures.get("stop_set")]
    figures: dict[str, Any] = {
        "labels": len(lessons) - len(bench.seed),
        "seed_labels": len(bench.seed),
        "spent": spending.spent,
        "picked": dict(Counter(p.slice for p in bench.picks().values() if p.round == number)),
        "kappa": cohens_kappa(before[-1], values) if before and values else None,
        "stop_set": values,
        "pool": bench.pool.key,
        "seconds": round(seconds, 3),
    }
    figures |= routed(bench, number) | compare(bench, lessons, number)
    if bench.job.selection.unbiased:
        weights = unbiased(bench, lessons)
        figures["weights"] = {"clipped": weights.clipped, "effective": round(weights.effective, 1)}
    if bench.milestone is not None:
        figures["encoder"], bench.milestone = bench.milestone, None
    figures |= gold.figures(bench)
    bench.store.finish_round(bench.job.name, number, figures)
    if bench.job.has_student:
        bench.watch.measured(figures)
    return figures


def routed(bench: Workbench, number: int) -> dict[str, int]:
    """How many texts of a round were accepted, went to people, and failed (which go to people too)."""
    routes, picks = bench.store.routes(bench.job.name), bench.picks()
    here = [r for i, r in routes.items() if i in picks and picks[i].round == number]
    return {
        "accepted": sum(r.is_accepted for r in here),
        "people": sum(r.route is not Route.ACCEPTED for r in here),
        "failed": sum(r.reason.startswith("failed") for r in here),
    }


def compare(bench: Workbench, lessons: Sequence[Lesson], number: int) -> dict[str, Any]:
    """Law 4: the student on everything, on the random slice alone, and on as many labels that were not random."""
    parts = Parts.of(bench, lessons)
    figures: dict[str, Any] = {"random_labels": len(parts.random)}
    whole, look = judged(bench, lessons, number)
    if whole is not None:
        figures |= {"accuracy": whole.value, "accuracy_lo": whole.low, "accuracy_hi": whole.high}
        figures |= {"measured_on": whole.measured_on, "metric": whole.metric}
    if look is not None:
        figures["look"] = {"share": look.share, "size": look.size, "measured_on": look.measured_on}
    # weights that undo selection are for the whole of what was labelled; a part of it is taught without them
    room = Classroom(bench, _trust, partial(taught, bench, first=True))
    return figures | beside_chance(room, parts, lambda k: bench.rng(MEASURE, number, k))


def judged(bench: Workbench, lessons: Sequence[Lesson], number: int) -> tuple[Quality | None, Look | None]:
    """The present student's quality: on gold, else on the random slice by students that did not see those labels;
    and a look at it for `stop.target_accuracy`, on gold or on what people said of the random slice."""
    rng = bench.rng(MEASURE, number)
    if not bench.trained:
        return None, None
    if bench.gold:
        truth, said = [v for _, v in bench.gold], bench.student.predict([t for t, _ in bench.gold]).values
        return quality(bench.task, truth, said, "gold", rng), looked(bench.task, truth, said)
    picks = bench.picks()
    by_chance = [i for i, (t, _) in enumerate(lessons) if t.id in picks and picks[t.id].slice == "random"]
    if len(by_chance) < 10:
        return None, None
    weights = weights_of(bench, lessons)
    given, said = held_out(partial(taught, bench), lessons, weights=weights, measured=by_chance, rng=rng)
    order = bench.rng(MEASURE, number).permutation(by_chance).tolist()  # that in which `held_out` answers
    routes = bench.store.routes(bench.job.name)
    chances = [_chance_of_a_person(routes.get(lessons[i][0].id)) for i in order]
    found = quality(bench.task, given, said, "random slice", rng)
    if not all(chances):  # what no person could ever see may be worse than what one saw
        return found, None
    drawn = beside_triage(bench.store.audited(bench.job.name), routes)  # by other chances, which are an audit's own
    by_people = [lessons[i][1].source is Source.PERSON and lessons[i][0].id not in drawn for i in order]
    shown = [k for k, is_shown in enumerate(by_people) if is_shown]
    look = looked(bench.task, [given[k] for k in shown], [said[k] for k in shown], [chances[k] for k in shown])
    return found, look


def _chance_of_a_person(route: RouteRow | None) -> float:
    """With which a text of the random slice was shown to a person. What failed goes to a person always."""
    if route is None:
        return 0.0
    failed = route.route is Route.PERSON and route.reason.startswith("failed")
    return route.probability if route.probability is not None else float(failed)


def looked(
    task: Task, truth: Sequence[Value], said: Sequence[Value], chances: Sequence[float] | None = None
) -> Look | None:
    """A look at a student: the share of texts that it got wholly right. None without texts.

    Args:
        chances: with which each text was shown to a person; it counts for one over that. None: gold.
    """
    if not truth:
        return None
    right = np.array([is_right(task, a, b) for a, b in zip(truth, said, strict=True)], np.float64)
    weights = np.ones(len(right)) if chances is None else 1 / np.array(chances, np.float64)
    size = weights.sum() ** 2 / (weights**2).sum()
    return Look(float(np.average(right, weights=weights)), float(size), "gold" if chances is None else "people")


def since(start: float) -> float:
    """Seconds since `start` of the monotonic clock."""
    return time.monotonic() - start
