"""The proof that the walls hold: a task that is not classification, defined here alone, taken through a whole job.

It finds product names in a text. A label is a tuple of spans, the student is a dictionary, and nothing in the package
knows either.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow.parquet as pq
import pytest

from agent.errors import AnswerInvalid
from agent.job import Job, TaskSettings
from agent.records import Answer, AnswerSchema, Belief, Floats, Label, Prediction, Source, Text, TextId, Value
from agent.store import Store
from agent.tasks import Task
from tests.servers.scripted import ScriptedServer

Span = tuple[int, int, str]
ITEM = {
    "type": "object",
    "properties": {"start": {"type": "integer"}, "end": {"type": "integer"}, "text": {"type": "string"}},
    "required": ["start", "end", "text"],
}
PROMPT = """\
{% block system %}Find every product name.
Answer with JSON: {"spans": [{"start": 0, "end": 3, "text": "..."}]}{% endblock %}
{% block user %}<text>
{{ text }}
</text>{% endblock %}
"""


class Spans:
    """Product names in a text. Values are tuples of (start, end, text)."""

    kind: ClassVar[str] = "spans"
    prompt: ClassVar[str] = "named-in-the-job"
    student: ClassVar[str] = f"{__name__}:Gazetteer"
    widget: ClassVar[str] = "json"

    def __init__(self, settings: TaskSettings) -> None:
        self.names: tuple[str, ...] = ()
        self.most_tokens = int(settings.options.get("most_tokens", 200))

    def variables(self, text: Text) -> Mapping[str, Any]:
        return {"text": text.text}

    def schema(self, text: Text) -> AnswerSchema:
        spans = {"type": "array", "items": ITEM}
        return AnswerSchema(
            {"type": "object", "properties": {"spans": spans}, "required": ["spans"]}, self.most_tokens
        )

    def parse(self, content: str, text: Text) -> Value:
        try:
            found = tuple((s["start"], s["end"], s["text"]) for s in json.loads(content)["spans"])
        except (ValueError, KeyError, TypeError):
            raise AnswerInvalid(f"no list of spans: {content[:80]!r}") from None
        for start, end, said in found:
            if text.text[start:end] != said:
                raise AnswerInvalid(f"{said!r} is not what stands at {start}")
        return found

    def write(self, value: Value) -> str:
        return json.dumps({"spans": [{"start": a, "end": b, "text": t} for a, b, t in value]})

    def read(self, cell: object, text: Text | None = None) -> Value:
        return tuple((int(a), int(b), str(t)) for a, b, t in json.loads(str(cell)))

    def show(self, value: Value) -> str:
        return json.dumps(value)

    def confidence(self, answer: Answer, value: Value) -> Belief:
        return Belief(math.exp(min((t.logprob for t in answer.tokens), default=math.nan)))

    def targets(self, labels: Sequence[Label]) -> list[Value]:
        return [label.value for label in labels]

    def agreement(self, a: Value, b: Value) -> float:
        return self.metrics([a], [b])["f1"]

    def metrics(self, gold: Sequence[Value], predicted: Sequence[Value]) -> dict[str, float]:
        pairs = [(set(g), set(p)) for g, p in zip(gold, predicted, strict=True)]
        size = sum(len(g) + len(p) for g, p in pairs)
        return {"f1": 2 * sum(len(g & p) for g, p in pairs) / size if size else 1.0}


class Gazetteer:
    """Knows the names it has seen, and the capitalised words that were none."""

    def __init__(self, task: Task, vectors: object) -> None:
        self.known: set[str] = set()
        self.others: set[str] = set()

    def fit(self, texts: Sequence[Text], targets: Any, weights: Floats, rng: np.random.Generator) -> None:
        self.known = {name for spans in targets for _, _, name in spans}
        self.others = {w for t in texts for w in _capitalised(t.text)} - self.known

    def predict(self, texts: Sequence[Text]) -> Prediction:
        read = [t.text for t in texts]
        unknown = [len(set(_capitalised(t)) - self.known - self.others) for t in read]
        doubt = np.array([1 - 0.5**n for n in unknown], np.float32)
        return Prediction([self._spans(t) for t in read], doubt)

    def save(self, folder: str) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / "names.json").write_text(json.dumps([sorted(self.known), sorted(self.others)]))

    def load(self, folder: str) -> None:
        known, others = json.loads((Path(folder) / "names.json").read_text())
        self.known, self.others = set(known), set(others)

    def _spans(self, text: str) -> tuple[Span, ...]:
        found = [(m.start(), m.end(), m[0]) for name in self.known for m in re.finditer(re.escape(name), text)]
        return tuple(sorted(found))


def _capitalised(text: str) -> list[str]:
    return re.findall(r"\b[A-Z]\w+", text)


# a job of its own ------------------------------------------------------------------------------------

PRODUCTS = ["Zephyr", "Quill", "Brontide", "Lumen", "Orrery", "Tessera"]
SENTENCES = [
    "My {} broke after a week",
    "Does the {} come in blue",
    "I prefer the {} to the {}",
    "Nothing to report on a Monday",
    "The {} arrived in Paris, the {} never did",
]


def _texts() -> dict[str, list[Span]]:
    """Made-up sentences and the products in them."""
    out: dict[str, list[Span]] = {}
    for i, first in enumerate(PRODUCTS):
        for j, sentence in enumerate(SENTENCES):
            text = f"{sentence.format(first, PRODUCTS[i - 1])} (case {i}{j})"
            names = [n for n in (first, PRODUCTS[i - 1]) if n in text]
            out[text] = sorted((text.index(n), text.index(n) + len(n), n) for n in names)
    return out


def _table(path: Path, rows: Mapping[str, Sequence[Span]] | None, texts: Sequence[str]) -> str:
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["text", "label"])
        out.writerows((t, json.dumps(rows[t]) if rows else "") for t in texts)
    return path.name


@pytest.fixture
def truth() -> dict[str, list[Span]]:
    return _texts()


@pytest.fixture
def job(tmp_path: Path, truth: dict[str, list[Span]], serve_gold: Callable[..., ScriptedServer]) -> Job:
    said = {t: [{"start": a, "end": b, "text": n} for a, b, n in spans] for t, spans in truth.items()}
    server = serve_gold(said, errors=0.1, seed=4)
    texts = sorted(truth)
    (tmp_path / "spans.jinja").write_text(PROMPT, encoding="utf-8")
    settings = {
        "name": "spans",
        "task": {"kind": f"{__name__}:Spans", "prompt": "spans.jinja", "options": {"most_tokens": 120}},
        "data": {
            "pool": _table(tmp_path / "pool.csv", None, texts[:24]),
            "gold": _table(tmp_path / "gold.csv", truth, texts[24:]),
        },
        "oracle": {"base_url": server.url, "model": "scripted", "price": {"input": 1, "output": 2}},
        "selection": {"batch": 6, "cold_start": 6},
        "people": {"threshold": 0.6, "audit": 0.1},
        "budget": {"dollars": "0.5"},
        "stop": {"agreement": None},
    }
    return Job.of(settings, tmp_path)


@pytest.mark.slow
def test_a_task_of_ones_own_goes_through_a_whole_job(job: Job, truth: dict[str, list[Span]]) -> None:
    outcome = job.run()

    assert outcome.reason == "pool"
    assert 0 < outcome.spending.spent <= outcome.spending.cap == 500_000
    with Store.open(job.store_url) as store:
        labels = store.labels("spans")
        texts = store.texts("spans", [label.text_id for label in labels])
        routes = store.routes("spans")
        rounds = store.rounds("spans")
    assert len({label.text_id for label in labels}) + outcome.spending.settled_count >= 24
    assert {label.source for label in labels} == {Source.ORACLE}
    right = [label for label in labels if list(label.value) == truth[texts[label.text_id]]]
    assert len(right) >= 0.75 * len(labels), "the oracle was wrong about one text in ten"
    assert all(isinstance(label.value, tuple) for label in labels), "a value comes back as it was given"
    assert len(routes) == 24
    assert len(rounds) >= 3
    assert rounds[-1].figures["metric"] == "f1", "the task's own figure is the headline"
    assert rounds[-1].figures["accuracy"] > 0.6

    student = Gazetteer(Spans(job.task), None)
    student.load(str(job.output_folder / "model"))
    assert student.known <= set(PRODUCTS)
    said = student.predict([Text(TextId("new"), "A Zephyr and a Quill")])
    assert said.values[0] == ((2, 8, "Zephyr"), (15, 20, "Quill"))

    rows = pq.read_table(next((job.output_folder / "labels").glob("*.parquet"))).to_pylist()
    assert len(rows) == len({label.text_id for label in labels})
    assert all(Spans(job.task).read(row["label"]) is not None for row in rows)
    assert (job.output_folder / "report").exists()


@pytest.mark.slow
def test_running_it_again_buys_nothing_and_changes_nothing(job: Job, serve_gold: object) -> None:
    first = job.run()
    again = Job.of(job.model_dump(mode="json", exclude={"oracle"}) | {"oracle": _oracle(job)}, job.folder).run()
    assert again.spending.spent == first.spending.spent
    assert again.labels == first.labels


def _oracle(job: Job) -> dict[str, Any]:
    return job.oracle[0].model_dump(mode="json", exclude={"api_key"}, exclude_none=True)


def test_the_task_and_the_student_fit_their_seams() -> None:
    task = Spans(TaskSettings(kind=f"{__name__}:Spans"))
    assert isinstance(task, Task)
    value = ((0, 3, "abc"),)
    assert task.read(task.show(value)) == value
    assert task.parse(task.write(value), Text(TextId("t"), "abc")) == value
    with pytest.raises(AnswerInvalid, match="is not what stands at 0"):
        task.parse(task.write(((0, 3, "xyz"),)), Text(TextId("t"), "abc"))
