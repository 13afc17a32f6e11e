"""What oracles say of the gold texts, where a job has them asked: those answers measure them, and teach nobody.

They come out of the budget like all others, and are kept among a round's figures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from agent.endpoints import Seat
from agent.hearing import costs_of, hear
from agent.records import Said, Text, TextId, Value
from agent.workbench import Workbench


def places(bench: Workbench) -> range:
    """Which of the job's oracles are asked about gold texts."""
    asked = bench.job.data.ask_gold
    return range(0 if not (asked and bench.gold) else len(bench.job.oracle) if asked == "every" else 1)


def is_known(bench: Workbench, place: int) -> bool:
    """Whether an oracle has answered about every gold text, now or in an earlier run."""
    found = said(bench, bench.job.oracle[place].name)
    known = found.keys() if bench.job.data.ask_gold == "every" else answers(bench).keys()
    return all(t.id in known for t, _ in bench.gold)


async def ask(bench: Workbench, seat: Seat) -> None:
    """Ask an oracle about every gold text; what came is left in `bench.gold_said` for the round's figures."""
    bench.watch.note(f"asking {seat.settings.name} about {len(bench.gold)} gold texts, to measure it")
    heard = await hear(bench, seat, [t for t, _ in bench.gold])
    costs = costs_of(bench, heard)
    bench.gold_said[seat.settings.name] = {
        i: Said(h.value, None if math.isnan(h.belief.confidence) else h.belief.confidence, costs[i])
        for i, h in heard.items()
        if h.value is not None
    }


def answers(bench: Workbench) -> dict[TextId, Value]:
    """What the first oracle said of gold texts, in this run or an earlier one; empty where it was never asked."""
    if now := bench.gold_said.get(bench.job.oracle[0].name):
        return {i: s.value for i, s in now.items()}
    for row in reversed(bench.store.rounds(bench.job.name)):  # the newest: an earlier one may have been cut short
        if kept := row.figures.get("gold_answers"):
            return {i: bench.task.read(kept[i], text) for i, text in _texts(bench).items() if i in kept}
    return {}


def said(bench: Workbench, oracle: str) -> dict[TextId, Said]:
    """The same of any oracle, where the job has every one asked, with what each answer cost."""
    if now := bench.gold_said.get(oracle):
        return now
    for row in reversed(bench.store.rounds(bench.job.name)):
        if kept := (row.figures.get("gold_said") or {}).get(oracle):
            return {
                i: Said(bench.task.read(value, text), sure, cost)
                for i, text in _texts(bench).items()
                if i in kept
                for value, sure, cost in [kept[i]]
            }
    return {}


def _texts(bench: Workbench) -> dict[TextId, Text]:
    """What is asked about: what a label says may depend on its text."""
    return {text.id: text for text, _ in bench.gold}


def figures(bench: Workbench) -> dict[str, Any]:
    """What this run was told of gold texts, as a round keeps it."""
    show, found = bench.task.show, bench.gold_said
    kept: dict[str, Any] = {}
    if first := found.get(bench.job.oracle[0].name):
        kept["gold_answers"] = {i: show(s.value) for i, s in first.items()}
        kept["gold_confidences"] = {i: s.confidence for i, s in first.items() if s.confidence is not None}
    if bench.job.data.ask_gold == "every":
        kept["gold_said"] = {name: _rows(bench, own) for name, own in found.items()}
    return kept


def _rows(bench: Workbench, own: Mapping[TextId, Said]) -> dict[TextId, list[Any]]:
    return {i: [bench.task.show(s.value), s.confidence, s.cost] for i, s in own.items()}
