"""Whole jobs on slices of real sets: files, an oracle that errs as often as a test says, commands, review page."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml

from agent.job import Job
from agent.records import Label, Source, TextId, Value
from agent.review.card import plain
from agent.tasks import Task, build
from agent.workbench import Workbench
from tests.review.browsers import Served
from tests.review.scenes import Scene
from tests.servers.scripted import ScriptedServer

Row = dict[str, Any]
Truth = dict[str, Value]
"""Text to label."""
LABELS = 80  # that a job buys, in two rounds


def drawn(path: Path, size: int, label: Callable[[Row], Value | None], seed: int = 0) -> Truth:
    """Some distinct texts of a file in random order, and their labels; a text whose label is None is passed over."""
    rows = pq.read_table(path).to_pylist()
    found: Truth = {}
    for i in np.random.default_rng(seed).permutation(len(rows)):
        value = label(rows[i])
        if value is not None:
            found.setdefault(rows[i]["text"].strip(), value)
        if len(found) == size:
            break
    return found


def forgetful(value: Value, types: Sequence[str], share: float, rng: np.random.Generator) -> Value:
    """What a careless oracle marks: in so many of the texts with spans one is forgotten, or has another label."""
    if not value or rng.random() >= share:
        return value
    k = int(rng.integers(len(value)))
    a, b, label, quote = value[k]
    other = (a, b, types[(types.index(label) + 1) % len(types)], quote)
    return (*value[:k], *([other] if rng.random() < 0.5 else []), *value[k + 1 :])


def written(path: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path.name


def rows_of(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def plain_json(task: Task, value: Value) -> Any:
    """A label as a line of a JSONL file has it."""
    return value if isinstance(value, str) else json.loads(task.show(value))


class Page:
    """The review page over HTTP, as its script talks to it: the server's own token, the page's origin, JSON."""

    def __init__(self, served: Served) -> None:
        self._url = served.url.rstrip("/")
        self._token = self.get("/api/session")["token"]

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self._url + path, timeout=20) as reply:
            return json.load(reply)

    def post(self, path: str, **body: Any) -> Any:
        head = {"Origin": self._url, "X-Labelwright-Token": self._token, "Content-Type": "application/json"}
        request = urllib.request.Request(self._url + path, json.dumps(body).encode(), head)
        with urllib.request.urlopen(request, timeout=20) as reply:
            return json.load(reply)


@dataclass(frozen=True)
class Handed:
    """What a job handed over.

    Attributes:
        report: report.json.
        exported: the rows of labels.jsonl.
        predicted: the rows of the gold texts, as `predict` wrote them.
        model: the folder of the distilled model.
    """

    report: Row
    exported: list[Row]
    predicted: list[Row]
    model: Path


@dataclass(frozen=True)
class RealJob:
    """A job in a folder of its own, whose oracle answers from a script. `truth` has the texts of the pool."""

    path: Path
    truth: Truth
    gold: Truth
    say: Callable[..., tuple[int, str]]

    @property
    def job(self) -> Job:
        return Job.load(self.path)

    @property
    def task(self) -> Task:
        return build(self.job.task)

    def command(self, *words: object) -> str:
        code, said = self.say(words[0], self.path, *words[1:])
        assert code == 0, said
        return said

    def labels(self, source: Source) -> list[tuple[str, Label]]:
        """The labels of one source that count, with their texts."""
        with Workbench(self.job) as bench:
            found = {i: x for i, x in bench.store.current(self.job.name).items() if x.source is source}
            texts = bench.store.texts(self.job.name, list(found))
        return [(texts[i], x) for i, x in found.items()]

    def waiting(self) -> dict[TextId, str]:
        with Workbench(self.job) as bench:
            return {row.text_id: row.text for row in bench.store.queue(self.job.name)}

    def quality(self, source: Source) -> dict[str, float]:
        """How right the labels of one source are that count."""
        found = self.labels(source)
        return self.task.metrics([self.truth[t] for t, _ in found], [x.value for _, x in found])

    @contextmanager
    def served(self) -> Iterator[Served]:
        """The review page of this job on a port of its own."""
        with Workbench(self.job) as bench:
            served = Served(Scene(bench.store, self.job, bench.task))
            try:
                yield served
            finally:
                served.stop()

    def review(self, count: int) -> None:
        """A person gives the first so many that wait their true label, over HTTP as the page does."""
        waiting = len(self.waiting())
        assert waiting >= count, "too little waits for a person"
        with self.served() as served:
            page = Page(served)
            for _ in range(count):
                item = page.get("/api/items")["items"][0]
                value = plain(self.truth[item["text"]], self.task)
                page.post("/api/label", id=item["id"], value=value, seconds=2.0)
        assert len(self.waiting()) == waiting - count

    def hand_over(self) -> Handed:
        """Distil anew with people's labels, predict the gold texts, report, export."""
        out = self.job.output_folder
        self.command("distil")
        new = self.path.parent / "new.jsonl"
        written(new, [{"text": text} for text in self.gold])
        code, said = self.say("predict", out / "model", new)
        assert (code, f"{len(self.gold)} texts" in said) == (0, True), said
        self.command("report")
        self.command("export", "--formats", "jsonl")
        report = json.loads((out / "report" / "report.json").read_text(encoding="utf-8"))
        exported = rows_of(out / "labels" / "labels.jsonl")
        return Handed(report, exported, rows_of(new.with_name("new.labelled.jsonl")), out / "model")


Say = Callable[..., tuple[int, str]]
Serve = Callable[..., ScriptedServer]
Make = Callable[..., RealJob]


@dataclass(frozen=True)
class Workshop:
    """Makes such jobs: `workshop(settings, truth, gold, errors=0.1)`, or with what the oracle says as `said`."""

    folder: Path
    serve: Serve
    say: Say

    def __call__(
        self, settings: Row, truth: Truth, gold: Truth, errors: float = 0.0, said: Truth | None = None
    ) -> RealJob:
        task = build(Job.of(settings, self.folder).task)
        server = self.serve({t: _answer(task, v) for t, v in (said or truth).items()}, errors=errors, seed=3)
        pool = [{"id": f"r{k}", "text": text} for k, text in enumerate(truth)]
        known = [{"text": text, "label": plain_json(task, value)} for text, value in gold.items()]
        settings = settings | {
            "data": {
                "pool": written(self.folder / "pool.jsonl", pool),
                "gold": written(self.folder / "gold.jsonl", known),
                "id": "id",
            },
            "oracle": settings["oracle"] | {"base_url": server.url, "model": "scripted"},
            "people": {"threshold": 0.75, "audit": 0.1},
            "selection": {"batch": LABELS // 2, "cold_start": LABELS // 2},
            "student": {"refresh": False},
            "stop": {"max_labels": LABELS, "agreement": None},
            "distil": {"epochs": 1} | settings.get("distil", {}),
        }
        path = self.folder / "job.yaml"
        path.write_text(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), encoding="utf-8")
        return RealJob(path, truth, gold, self.say)


def _answer(task: Task, value: Value) -> Any:
    """What the scripted server is told to say of a text."""
    answer = json.loads(task.write(value))
    return answer["labels"] if task.kind == "multilabel" else value if isinstance(value, str) else answer
