"""Jobs with a queue for the review tests: a real store, a real job, a real task, and texts that wait for a person."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from agent.job import Job, TaskSettings
from agent.pairing import join
from agent.records import Label, MicroDollars, Pick, Route, Source, Text, TextId, Value
from agent.store import AuditItem, RouteRow, Store
from agent.tasks import Task, build
from tests.stores import new_file

SECTIONS = {
    "business": "companies, markets, jobs, trade",
    "entertainment": "film, music, television, awards",
    "politics": "government, parties, elections",
    "sport": "matches, players, clubs",
    "tech": "devices, software, the net",
}


COLUMNS = {
    "pairs": {"text": "premise", "second": "hypothesis"},
    "extractive_qa": {"text": "question", "second": "context"},
}


@dataclass(frozen=True)
class Waiting:
    """One text in the queue. `suggestion` None is a text that no machine has labelled."""

    text: str
    suggestion: Value = None
    id: str = ""
    probabilities: Mapping[str, float] | None = None
    confidence: float | None = 0.5
    reason: str = "confidence 0.50 is below 0.80"
    blind: bool = False
    slice: str = "unsure"
    why: Mapping[str, Any] = field(default_factory=dict)
    by: str = "local/small"


@dataclass(frozen=True)
class Scene:
    """What every function of the room takes first."""

    store: Store
    job: Job
    task: Task

    @property
    def parts(self) -> tuple[Store, Job, Task]:
        return self.store, self.job, self.task

    def given(self) -> dict[str, Value]:
        """The people's labels that count, by text id."""
        found = self.store.current(self.job.name)
        return {str(i): label.value for i, label in found.items() if label.source is Source.PERSON}

    def waiting(self) -> list[str]:
        return [str(row.text_id) for row in self.store.queue(self.job.name)]

    def state(self) -> object:
        """All that a person can see of the store: what an exact undo has to bring back."""
        labels = {i: (x.value, x.source, x.by) for i, x in self.store.current(self.job.name).items()}
        return self.store.queue(self.job.name, include_skipped=True), labels


def job_of(folder: Path, *, name: str = "news", guidelines: str = "", **task: Any) -> Job:
    labels: dict[str, Any] = {} if task.get("kind") == "extractive_qa" else {"labels": SECTIONS}
    return Job.of(
        {
            "name": name,
            "task": {"kind": "classification", "guidelines": guidelines, **labels, **task},
            "data": {"pool": "pool.csv"} | COLUMNS.get(task.get("kind", ""), {}),
            "oracle": {"name": "local", "base_url": "http://127.0.0.1:1/v1", "model": "small"},
            "budget": {"dollars": 1},
        }
        | ({"distil": {"enabled": False}} if task.get("kind") == "generation" else {}),
        folder,
    )


def open_store(folder: Path) -> Store:
    """Where scenes keep their state, unless a fixture says otherwise."""
    return Store.open(new_file(folder / "review.db"))


def scene(folder: Path, waiting: Sequence[Waiting], **settings: Any) -> Scene:
    """A new store in `folder` with these texts in the queue, in this order."""
    job = job_of(folder, **settings)
    store = open_store(folder)
    store.open_job(job.name, job.settings(), job.fingerprint(), MicroDollars(1_000_000))
    made = Scene(store, job, build(job.task))
    ids = [TextId(w.id or f"t{number:03d}") for number, w in enumerate(waiting)]
    items = list(zip(ids, waiting, range(len(ids), 0, -1), strict=True))
    picks = [Pick(i, place, w.slice, 0.5, None, w.why) for i, w, place in items]
    store.add_picks(job.name, 3, picks, {i: w.text for i, w, _ in items})
    labels = [
        Label(i, w.suggestion, Source.ORACLE, w.by, w.probabilities, w.confidence)
        for i, w, _ in items
        if w.suggestion is not None
    ]
    label_ids = dict(zip((x.text_id for x in labels), store.add_labels(job.name, labels), strict=True))
    routes = [
        RouteRow(i, label_ids.get(i), Route.PERSON, w.reason, w.confidence, w.blind, priority=float(place))
        for i, w, place in items
    ]
    store.add_routes(job.name, 3, routes)
    return made


def news(folder: Path, size: int = 5, **settings: Any) -> Scene:
    """`size` short texts, t000 and so on, each suggested to be sport."""
    probabilities = {"business": 0.2, "entertainment": 0.1, "politics": 0.1, "sport": 0.55, "tech": 0.05}
    items = [Waiting(f"Article number {n}: the match was sold.", "sport", "", probabilities) for n in range(size)]
    return scene(folder, items, **settings)


def draw(made: Scene, *texts: str, accepted: bool = True) -> int:
    """An audit of these texts, which are accepted first where nothing else is said; returns its number."""
    store, job = made.store, made.job.name
    given = {x.text_id: x for x in store.labels(job, source=Source.ORACLE)}
    items = []
    for place, text in enumerate(map(TextId, texts)):
        label = given[text]
        assert label.id is not None
        if accepted:
            store.add_routes(job, 3, [RouteRow(text, label.id, Route.ACCEPTED, "sure", label.confidence)])
        items.append(AuditItem(text, label.id, place, 0.5, 0, 0.5, label.confidence or 0.5, accepted))
    design = {"population": 2 * len(items), "people": 0, "seeds": 0, "sizes": [2 * len(items)], "expected": [0.5]}
    return store.add_audit(job, design, items)


def timed(folder: Path, minutes: float, size: int = 4) -> Scene:
    """News whose people have so many minutes."""
    made = news(folder, size)
    budget = made.job.budget.model_copy(update={"minutes": minutes})
    return Scene(made.store, made.job.model_copy(update={"budget": budget}), made.task)


def pairs(folder: Path, *items: tuple[str, str]) -> Scene:
    """Two texts each, which the machine takes for unrelated."""
    labels = {"entailment": "the hypothesis follows from the premise", "neutral": "it does not"}
    waiting = [Waiting(join(*item), "neutral", confidence=0.6) for item in items]
    return scene(folder, waiting, name="nli", kind="pairs", labels=labels)


class Spans:
    """A task that is not classification: parts of the text, as JSON."""

    kind: ClassVar[str] = "spans"
    prompt: ClassVar[str] = "spans/v1"
    student: ClassVar[str] = "tests.review.scenes:Spans"
    widget: ClassVar[str] = "json"

    def __init__(self, settings: TaskSettings) -> None:
        self.names: tuple[str, ...] = ()

    def read(self, cell: object, text: Text | None = None) -> Value:
        try:
            found = json.loads(str(cell))
        except ValueError as error:
            raise ValueError(f"not JSON: {error}") from None
        if not isinstance(found, list):
            raise ValueError("a list of spans was expected")
        for span in found:
            if text is not None and span not in text.text:
                raise ValueError(f"{span!r} is not in the text")
        return found

    def show(self, value: Value) -> str:
        return json.dumps(value)

    def variables(self, text: Text) -> Mapping[str, Any]:
        raise NotImplementedError

    schema = parse = write = confidence = targets = agreement = metrics = variables


def spans(folder: Path) -> Scene:
    items = [
        Waiting("Ada met Grace in London.", ["Ada", "London"], "s0"),
        Waiting("Nobody was there.", [], "s1"),
    ]
    return scene(folder, items, kind="tests.review.scenes:Spans", labels={})
