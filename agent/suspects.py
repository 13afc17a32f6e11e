"""Accepted labels that look wrong: which they are, and that people are shown the worst of them.

A student that had not seen a label, confident learning (cleanlab), and texts like it say which labels look wrong, as
where a round asks again (`agent.relabelling`). Such a label goes to people with the reason, and counts until one says
otherwise: nothing is deleted, and no route of another text changes. Chosen as they are, they say nothing of how right
labels are in general (`agent.opinions.beside_triage`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from agent import steps
from agent.errors import UserError
from agent.escalating import Known
from agent.hints import learn
from agent.judging import AGAINST
from agent.records import Label, Route, Source, TextId
from agent.refreshing import go_on
from agent.relabelling import Doubts
from agent.report import truth
from agent.store import AGAIN, LABEL_ERROR, RouteRow
from agent.valuing import worth_of
from agent.workbench import SUSPECTS, Workbench


@dataclass(frozen=True, slots=True)
class Suspect:
    """An accepted label that looks wrong, with the chance that it is, and what speaks against it, for a person."""

    label: Label
    wrong: float
    why: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How many labels of oracles are accepted; how many of those look wrong and were not shown to people yet; how
    many were, and of these how many people said are wrong or right. `sent` are those that were sent just now."""

    accepted: int
    look_wrong: int
    shown: int
    wrong: int
    right: int
    sent: int = 0

    def figures(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self) | {"waiting": self.waiting}

    @property
    def waiting(self) -> int:
        """Shown to people, who said nothing yet."""
        return self.shown - self.wrong - self.right


def told(found: Standing) -> list[tuple[str, str]]:
    """The same for a person: (what, said)."""
    lines = [("accepted", f"{found.accepted:,} labels of oracles")]
    if found.sent:
        lines.append(
            ("sent", f"{found.sent:,} of them look wrong and wait for a person now; they count until one says no")
        )
    lines.append(("look wrong", f"{found.look_wrong:,}{' more' if found.shown else ''}, which people were not shown"))
    if found.shown:
        said = f"{found.wrong:,} wrong, {found.right:,} right, {found.waiting:,} wait"
        lines.append(("shown", f"{found.shown:,} in all: {said}"))
    return lines


def find(bench: Workbench) -> list[Suspect]:
    """Accepted labels of oracles that look wrong, the likeliest first. Left out are those that a person is shown
    anyway or was shown before, that an audit drew, or that are about to be asked again."""
    fit = _may_be_shown(bench)
    doubts = Doubts(bench, Known(bench, 0, []), bench.lessons(), bench.rng(SUSPECTS, len(fit)))
    if not doubts.told:
        return []
    rows = [k for k, x in enumerate(doubts.labels) if doubts.suspect[k] and x.text_id in fit]
    rows.sort(key=lambda k: (doubts.right[k], doubts.labels[k].text_id))
    return [Suspect(doubts.labels[k], float(1 - doubts.right[k]), _why(bench, doubts, k)) for k in rows]


def _why(bench: Workbench, doubts: Doubts, k: int) -> str:
    """What the student, which had not seen the label, is sure of instead; or that texts like it speak against it."""
    names, chances = bench.task.names, doubts.foretold[k]
    likeliest = int(np.argmax(chances))
    if names[likeliest] == doubts.labels[k].value:
        return AGAINST["neighbours"]
    return f'the student is {100 * float(chances[likeliest]):.0f} % sure of "{names[likeliest]}"'


def _may_be_shown(bench: Workbench) -> set[TextId]:
    """Texts with an accepted label of an oracle that nobody is shown, and that no audit drew."""
    store, name = bench.store, bench.job.name
    current, drawn = store.current(name), store.audited(name)
    return {
        i
        for i, r in store.routes(name).items()
        if r.route is Route.ACCEPTED and not r.blind and r.reason != AGAIN and i not in drawn
        if i in current and current[i].source is Source.ORACLE
    }


def send(bench: Workbench, suspects: Sequence[Suspect]) -> int:
    """Have people shown these labels; returns how many. What a person labelled or an audit drew meanwhile is left."""
    if not suspects:
        return 0
    store, name = bench.store, bench.job.name
    labels = [s.label for s in suspects]
    places = worth_of(bench, labels).places(np.array([s.wrong for s in suspects]))
    with store.transaction(name) as tx:
        left_out = store.settled_by_people(name, [x.text_id for x in labels], tx=tx) | store.audited(name, tx=tx)
        routes = store.newest_routes(name, [x.text_id for x in labels])
        rows = [
            _shown(routes[s.label.text_id], s, place)
            for s, place in zip(suspects, places.tolist(), strict=True)
            if s.label.text_id not in left_out
        ]
        bench.route(rows, tx=tx)
    return len(rows)


def _shown(before: RouteRow, suspect: Suspect, place: float) -> RouteRow:
    """Where a label goes that looks wrong; its chance to be drawn for an audit stays what it was."""
    reason = f"{LABEL_ERROR}: {suspect.why}"
    return replace(before, label_id=suspect.label.id, route=Route.PERSON, reason=reason, priority=place)


def after_run(bench: Workbench) -> None:
    """At a run's end: have people shown the labels that look worst, up to the job's `people.suspects`."""
    share = bench.job.people.suspects
    if not share:
        return
    found = find(bench)
    now = standing(bench, look_wrong=len(found))
    most = math.floor(share * now.accepted + 1e-9) - now.shown
    if sent := send(bench, found[: max(0, most)]):
        texts = "label looks wrong and waits" if sent == 1 else "labels look wrong and wait"
        bench.watch.note(f"{sent:,} accepted {texts} for a person (`people.suspects`)")


def standing(bench: Workbench, *, look_wrong: int, sent: int = 0) -> Standing:
    """How accepted labels stand."""
    store, name = bench.store, bench.job.name
    routes, current = store.routes(name), store.current(name)
    shown = truth.suspects(bench.task, routes, store.labels(name, source=Source.ORACLE), current)
    accepted = sum(r.is_accepted and i in current and _is_oracles(current[i], r) for i, r in routes.items())
    if shown is None:
        return Standing(accepted, look_wrong, 0, 0, 0, sent)
    return Standing(accepted, look_wrong, shown.texts, shown.wrong, shown.right, sent)


def _is_oracles(label: Label, route: RouteRow) -> bool:
    """An oracle's, or was one until people were shown it since it looked wrong."""
    return label.source is Source.ORACLE or route.looks_wrong


def look(bench: Workbench, most: int | None = None) -> Standing:
    """The command: how many accepted labels look wrong; with `most`, have people shown so many of them.

    Raises UserError for a job whose labels nothing can be said of; StoreError where the job never ran.
    """
    store, job = bench.store_of_run, bench.job
    store.job(job.name)
    if job.task.kind not in ("classification", "pairs") or not job.has_student:
        kind = "no student (`student: none`)" if not job.has_student else f"`kind: {job.task.kind}`"
        raise UserError(
            f"job {job.name} has {kind}: which labels look wrong can be told for one class a text "
            "(`kind: classification` or `pairs`) with a student; `labelwright audit` says of any job how many are "
            "wrong"
        )
    found, sent = find(bench), 0
    if most:
        lessons = bench.lessons()
        if lessons:  # the student tells which texts are in the same doubt
            go_on(bench)
            learn(bench, lessons, steps.weights_of(bench, lessons))
            bench.trained = True
        sent = send(bench, found[:most])
    return standing(bench, look_wrong=len(found) - sent, sent=sent)
