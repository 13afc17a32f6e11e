"""Named entities on real, noisy text: a whole job, from choosing to the labels that are handed over."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from transformers import pipeline

from agent.distill import Tags
from agent.job import Job, TaskSettings
from agent.records import Source, Text, TextId, Value
from agent.store import Store
from agent.tasks import Spans
from tests.servers.scripted import ScriptedServer
from tests.whole.jobs import shown_job
from tests.whole.real import forgetful, written

SHOWN = shown_job("spans")
TYPES = list(SHOWN["task"]["labels"])
TASK = Spans(TaskSettings(**SHOWN["task"]))
POOL, GOLD, NOISE = 100, 40, 0.2


def drawn(shared_data: Path, split: str, count: int, seed: int) -> dict[str, Value]:
    """Short texts of wnut17 and their spans, most of which have one."""
    rows = pq.read_table(shared_data / "wnut17" / f"{split}.parquet").to_pylist()
    rng = np.random.default_rng(seed)
    chosen = [rows[i] for i in rng.permutation(len(rows)) if any(t != "O" for t in rows[i]["tags"]) or i % 4 == 0]
    texts = {row["text"]: row["tags"] for row in chosen[: 2 * count]}
    return {t: TASK.read(tags, Text(TextId("x"), t)) for t, tags in list(texts.items())[:count]}


def careless(answer: dict[str, Any]) -> dict[str, Any]:
    """Long names come in another case."""
    return {"spans": [s | {"text": s["text"].upper() if len(s["text"]) > 12 else s["text"]} for s in answer["spans"]]}


@pytest.fixture
def truth(shared_data: Path) -> dict[str, Value]:
    return drawn(shared_data, "train", POOL, 0)


@pytest.fixture
def job(tmp_path: Path, shared_data: Path, truth: dict[str, Value], serve_gold: Callable[..., ScriptedServer]) -> Job:
    rng = np.random.default_rng(1)
    gold = drawn(shared_data, "dev", GOLD, 2)
    said = {
        t: careless(json.loads(TASK.write(forgetful(value, TYPES, NOISE, rng))))
        for t, value in (truth | gold).items()
    }
    settings = SHOWN | {
        "data": {
            "pool": written(tmp_path / "pool.jsonl", [{"id": f"w{k}", "text": t} for k, t in enumerate(truth)]),
            "gold": written(
                tmp_path / "gold.jsonl", [{"text": t, "label": json.loads(TASK.show(v))} for t, v in gold.items()]
            ),
            "id": "id",
        },
        "oracle": SHOWN["oracle"] | {"base_url": serve_gold(said).url, "model": "scripted"},
        "selection": {"batch": 40, "cold_start": 40},
        "people": {"threshold": 0.0, "audit": 0.1},
        "budget": {"dollars": "0.5"},
        "stop": {"agreement": None, "max_labels": 80},
        "distil": {"epochs": 4},
    }
    return Job.of(settings, tmp_path)


def test_the_job_of_the_page_is_one(tmp_path: Path) -> None:
    job = Job.of(SHOWN, tmp_path)
    assert (job.task.kind, len(job.task.labels)) == ("spans", 6)


@pytest.mark.slow
def test_entities_go_through_a_whole_job(job: Job, truth: dict[str, Value]) -> None:
    outcome = job.run()
    with Store.open(job.store_url) as store:
        labels = store.labels("entities", source=Source.ORACLE)
        texts = store.texts("entities", [label.text_id for label in labels])
        rounds = store.rounds("entities")
    assert 70 <= len(labels) <= 80
    assert outcome.spending.spent <= outcome.spending.cap
    given, right = [label.value for label in labels], [truth[texts[label.text_id]] for label in labels]
    assert TASK.metrics(right, given)["f1"] > 0.75, "what the oracle said is what was kept"
    assert rounds[-1].figures["metric"] == "f1"
    assert rounds[-1].figures["accuracy"] > 0, "the student learns"

    model = job.output_folder / "model"
    some = [t for t in truth if truth[t]][:40]
    ours = Tags.load(model).predict(some).values
    find = pipeline("token-classification", model=str(model), aggregation_strategy="first", device="cpu")
    theirs = [tuple((e["start"], e["end"], e["entity_group"]) for e in find(t)) for t in some]
    assert [tuple(s[:3] for s in spans) for spans in ours] == theirs
    assert outcome.delivered is not None
    assert outcome.delivered.final["distilled"]["metric"] == "f1"
    assert "token-classification" in (model / "README.md").read_text(encoding="utf-8")

    rows = pq.read_table(next((job.output_folder / "labels").glob("*.parquet"))).to_pylist()
    assert {row["label"] for row in rows} == {TASK.show(label.value) for label in labels}
    assert outcome.delivered.findings.quoted is not None
    assert outcome.delivered.findings.quoted.spans == sum(map(len, given))
    assert outcome.delivered.findings.quoted.repaired > 0, "some answers were in another case"
    blocks = (job.output_folder / "labels" / "labels.conll").read_text(encoding="utf-8").strip().split("\n\n")
    assert len(blocks) == len(rows)
    lines = blocks[0].splitlines()
    tagged = [line.split("\t") for line in lines[1:]]
    assert lines[0] == f"# id = {rows[0]['id']}"
    assert " ".join(word for word, _ in tagged) == rows[0]["text"]
    assert TASK.show(TASK.read([tag for _, tag in tagged], Text(TextId("x"), rows[0]["text"]))) == rows[0]["label"]
