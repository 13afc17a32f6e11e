"""Choosing a round's texts: what a job knows of its candidates goes to selection, and what comes back is kept.

The formulas are selection's; here stands what they are fed with: the student's word, labels, prices, class names, the
knowledge graph, and what earlier rounds brought.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from agent.endpoints import questions_of
from agent.records import Floats, Pick, Prediction, Rows, Source, Text, TextId
from agent.selection import (
    Chosen,
    State,
    Strategy,
    Trial,
    auto_batch,
    auto_cold_start,
    cold_start,
    compose,
    reward,
    surprise,
)
from agent.selection.sizes import ROUNDS, SLOW_ROUNDS, UNTAUGHT
from agent.store import PickRow
from agent.workbench import SELECT, Workbench

LONG = 1000
"""Characters of the made-up text that shows what a character of a question costs."""


def select(bench: Workbench, number: int, affordable: int, fewer: int = 0) -> list[PickRow]:
    """Choose the batch of round `number`, and keep the choice. Empty where nothing is left to choose.

    Args:
        affordable: how many questions the rest of the budget is expected to pay for.
        fewer: by how many questions the batch is smaller, since they ask about labels again; one text is always new.
    """
    strategy = bench.strategy
    candidates, share = _candidates(bench)
    left = _labels_left(bench, affordable)
    chosen = _chosen(bench, number, strategy, candidates, left, fewer=fewer)
    texts = list(bench.pool.texts(np.array([c.row for c in chosen], np.int64)))
    picks = [_scaled(c.pick(t.id), share, bench.task.names) for c, t in zip(chosen, texts, strict=True)]
    bench.pick(number, picks, {t.id: t.text for t in texts})
    bench.watch.picked(number, Counter("named" if p.why.get("strategy") == "zero_shot" else p.slice for p in picks))
    return [p for p in bench.picks().values() if p.round == number]


def _chosen(
    bench: Workbench, number: int, strategy: Strategy, candidates: Rows, left: int, *, fewer: int
) -> list[Chosen]:
    """The first batch by what is typical and by the classes' names; every other by the strategy."""
    settings = bench.job.selection
    rng = bench.rng(SELECT, number)
    first = settings.cold_start
    if first == "auto":
        first = auto_cold_start(len(bench.task.names), left, len(candidates))
    if number == 0 and len(bench.seed) < first:
        # a student of a few seed labels is sure of the wrong things: typical texts teach more
        chance = 1.0 if settings.strategy == "random" else settings.random_share
        names = None if chance == 1.0 else bench.class_vectors
        return cold_start(candidates, _vectors(bench), min(first, left), chance, rng, class_vectors=names)
    size = _size(bench, candidates, left)
    size = max(min(1, size), size - fewer)
    return compose(state_of(bench, candidates, number), strategy, size, settings.random_share, rng)


def batch(bench: Workbench, affordable: int) -> int:
    """How many questions the next batch has, after the first one."""
    return _size(bench, _candidates(bench)[0], _labels_left(bench, affordable))


def _size(bench: Workbench, candidates: Rows, left: int) -> int:
    size = bench.job.selection.batch
    if size == "auto" and not bench.job.has_student:
        size = UNTAUGHT
    elif size == "auto":
        slow = bench.job.oracle[0].in_batches
        size = auto_batch(left, len(candidates), asked=len(bench.picks()), rounds=SLOW_ROUNDS if slow else ROUNDS)
    return min(int(size), left)


def _candidates(bench: Workbench) -> tuple[Rows, float]:
    """Rows that may be picked, and the share of all such rows that they are: a huge pool is scored by a sample."""
    return bench.scored([*(p.row for p in bench.picks().values()), *(t.row for t, _ in bench.seed)])


def _labels_left(bench: Workbench, affordable: int) -> int:
    most = bench.job.stop.max_labels
    return affordable if most is None else max(0, min(affordable, most - len(bench.picks())))


def state_of(bench: Workbench, candidates: Rows, number: int) -> State:
    """What a strategy sees in round `number`: the student as it was last taught, and what taught it."""
    prediction = _scored(bench, candidates)
    inside = np.array([t.row >= 0 for t, _ in bench.taught], bool)
    lessons = [lesson for lesson, kept in zip(bench.taught, inside, strict=True) if kept]
    foreseen: Floats | None = getattr(bench.student, "foreseen", None) if lessons else None
    return State(
        candidates=candidates,
        doubt=prediction.doubt,
        vectors=_vectors(bench),
        probabilities=prediction.probabilities,
        labelled=np.array([t.row for t, _ in lessons], np.int64),
        targets=bench.task.targets([label for _, label in lessons]) if lessons else None,
        round=number,
        multilabel=bench.task.widget == "multiple",
        foreseen=foreseen[inside] if foreseen is not None and len(foreseen) == len(inside) else None,
        trust=np.array([_trust(label.source, label.confidence) for _, label in lessons], np.float32),
        penalty=float(getattr(bench.student, "penalty", 1.0)),
        prices=prices(bench, candidates),
        mentions=bench.mentions,
        class_vectors=bench.class_vectors if prediction.probabilities is not None else None,
        history=history(bench),
        seed=(bench.job.seed, number),
    )


def _trust(source: Source, confidence: float | None) -> float:
    """How likely a label is right: a person's and the seed's are, a machine's as it says itself."""
    return 1.0 if confidence is None or source is not Source.ORACLE else min(1.0, max(0.0, confidence))


def _scored(bench: Workbench, candidates: Rows) -> Prediction:
    """What the student thinks of the candidates; one that has learnt nothing doubts them all alike."""
    if bench.trained:
        return bench.student.predict(bench.pool.texts(candidates))
    return Prediction(values=[], doubt=np.ones(len(candidates), np.float32))


def _vectors(bench: Workbench) -> Any:
    return lambda rows: bench.vectors(bench.pool.texts(rows))


def prices(bench: Workbench, rows: Rows) -> Floats:
    """(n,) float32 micro-dollars that asking the first oracle about each text is expected to cost.

    What all questions share and what a character adds are read off two rendered questions; the mean is that of the
    answers settled so far, where there are any.
    """
    oracle = bench.job.oracle[0]
    tariff, ask = bench.tariff(oracle), questions_of(bench, oracle, "choice")
    empty, long = (ask(Text(TextId("price"), text)) for text in ("", "x " * (LONG // 2)))
    fixed = tariff.bound(empty)
    weights = fixed + (tariff.bound(long) - fixed) / LONG * bench.pool.lengths(rows)
    settled = bench.store.spending(bench.job.name).by_oracle.get(oracle.name)
    if settled is not None and settled.settled_count:
        mean = settled.spent / (settled.settled_count + settled.ambiguous_count)
    else:
        mean = float(tariff.worst(empty))
    return np.asarray(weights * (mean / max(1e-9, float(weights.mean()) if len(weights) else 1.0)), np.float32)


def history(bench: Workbench) -> tuple[Trial, ...]:
    """What each arm of earlier batches brought: how much more its labels surprised the student than labels that were
    drawn by chance in the same round. Empty where no batch had arms."""
    foreseen = getattr(bench.student, "foreseen", None)
    picked = bench.picks()
    if foreseen is None or not any("arm" in p.why for p in picked.values()):
        return ()
    targets = bench.task.targets([label for _, label in bench.taught])
    if len(foreseen) != len(targets):
        return ()
    shock = surprise(foreseen, targets, bench.task.widget == "multiple")
    groups: dict[tuple[int, str], list[int]] = {}
    for i, (text, _) in enumerate(bench.taught):
        pick = picked.get(text.id)
        if pick is not None:
            groups.setdefault((pick.round, str(pick.why.get("arm", pick.slice))), []).append(i)
    arms = {p.why["arm"] for p in picked.values() if "arm" in p.why}
    rounds = {number for number, _ in groups}
    by_chance = {
        n: shock[groups.get((n, "random"), [i for (m, _), rows in groups.items() if m == n for i in rows])]
        for n in rounds
    }
    return tuple(
        Trial(arm, reward(shock[rows], by_chance[number]), len(rows), number)
        for (number, arm), rows in sorted(groups.items())
        if arm in arms
    )


def _scaled(pick: Pick, share: float, names: tuple[str, ...]) -> Pick:
    """The chance of inclusion in the whole pool, where a random share of it was scored; classes by their names."""
    why = {k: names[v] if k in ("class", "short_class") and isinstance(v, int) else v for k, v in pick.why.items()}
    pick = replace(pick, why={k: v for k, v in why.items() if v is not None})
    return pick if pick.probability is None else replace(pick, probability=pick.probability * share)
