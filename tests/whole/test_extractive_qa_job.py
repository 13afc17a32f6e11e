"""Questions of SQuAD through a whole job, by the commands, with the job file of docs/tasks/extractive_qa.md.

One question in five is put to a context of another article, which does not answer it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from agent.distill import load_model
from agent.job import Job, TaskSettings
from agent.pairing import join, split
from agent.records import Source, Text, TextId, Value
from agent.tasks import ExtractiveQa
from agent.workbench import Workbench
from tests.review.clients import Page
from tests.review.scenes import Scene
from tests.servers.scripted import ScriptedServer
from tests.whole.jobs import labelwright, shown_job

SHOWN = shown_job("extractive_qa")
TASK = ExtractiveQa(TaskSettings(**SHOWN["task"]))
POOL, GOLD, NOISE = 60, 24, 0.2
SHORT = 600
"""Characters of a context: a test is no place to read long ones."""


def drawn(shared_data: Path, split_name: str, count: int) -> dict[str, Value]:
    """Questions with their contexts, and the answer of each."""
    path = shared_data / "xquad_en" / f"{split_name}.parquet"
    if not path.is_file():
        pytest.skip(f"no questions at {path}: the data set xquad_en is not there")
    rows = [r for r in pq.read_table(path).to_pylist() if len(r["context"]) < SHORT]
    rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    found: dict[str, Value] = {}
    for k, row in enumerate(rows[:count]):
        other = next(r for r in rows[count:] + rows if r["title"] != row["title"])
        text = join(row["question"], (other if k % 5 == 0 else row)["context"])
        said = {"text": row["answers"], "answer_start": row["answer_starts"]}
        found[text] = () if k % 5 == 0 else TASK.read(said, Text(TextId("x"), text))
    return found


def noisy(text: str, value: Value, rng: np.random.Generator) -> str:
    """What a careless oracle says: one time in five too little or something else; long answers in another case."""
    words = split(text)[1].split()
    if rng.random() < NOISE:
        return value[0][2].split()[0] if value else " ".join(words[3:5])
    said = value[0][2] if value else ""
    return said.upper() if len(said) > 15 else said


def squad(found: Mapping[str, Value]) -> dict[str, Any]:
    """As SQuAD's own file."""
    paragraphs = []
    for k, (text, value) in enumerate(found.items()):
        question, context = split(text)
        answers = [{"text": quote, "answer_start": start} for start, _, quote in value]
        asked = {"id": f"g{k}", "question": question, "answers": answers, "is_impossible": not answers}
        paragraphs.append({"context": context, "qas": [asked]})
    return {"version": "v2.0", "data": [{"title": "gold", "paragraphs": paragraphs}]}


def written(path: Path, texts: Sequence[str]) -> str:
    rows = [{"id": f"q{k}", "question": split(t)[0], "context": split(t)[1]} for k, t in enumerate(texts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path.name


def test_the_job_of_the_page_is_one(tmp_path: Path) -> None:
    job = Job.of(SHOWN, tmp_path)
    assert (job.task.kind, job.task.columns, job.task.no_answer) == ("extractive_qa", ("question", "context"), True)


@pytest.mark.slow
def test_questions_go_through_a_whole_job(
    shared_data: Path,
    tmp_path: Path,
    serve_gold: Callable[..., ScriptedServer],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def command(*words: object) -> str:
        code, said = labelwright(monkeypatch, capsys, *words)
        assert code == 0, said
        return said

    truth, gold = drawn(shared_data, "train", POOL), drawn(shared_data, "test", GOLD)
    rng = np.random.default_rng(1)
    every = truth | gold
    server = serve_gold(
        {"\n".join(p.strip() for p in split(t)): {"answer": noisy(t, v, rng)} for t, v in every.items()}
    )
    (tmp_path / "gold.json").write_text(json.dumps(squad(gold)), encoding="utf-8")
    settings = SHOWN | {
        "data": SHOWN["data"]
        | {"pool": written(tmp_path / "pool.jsonl", list(truth)), "gold": "gold.json", "id": "id", "ask_gold": True},
        "oracle": SHOWN["oracle"] | {"base_url": server.url, "model": "scripted"},
        "selection": {"batch": 20, "cold_start": 20},
        "people": {"threshold": 0.05, "audit": 0.1},
        "stop": {"agreement": None, "max_labels": 40},
        "distil": {"epochs": 1},
        "output": "out",
    }
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")

    # selected, asked and triaged
    assert "task: extractive_qa" in command("check", path)
    assert "exact match" in command("run", path)
    job = Job.load(path)
    with Workbench(job) as bench:
        labels = [x for x in bench.store.current(job.name).values() if x.source is Source.ORACLE]
        texts = bench.store.texts(job.name, [label.text_id for label in labels])
        given, right = [label.value for label in labels], [truth[texts[label.text_id]] for label in labels]
        assert 30 <= len(labels) <= 40
        found = TASK.metrics(right, given)
        assert 0.6 < found["exact_match"] < 0.95, "the oracle is careless about one in five"
        assert bench.store.rounds(job.name)[-1].figures["metric"] == "f1"
        assert {p.slice for p in bench.picks().values()} >= {"cold", "random"}

        # some of those that wait are answered on the page
        waiting = len(bench.store.queue(job.name))
        page = Page(Scene(bench.store, job, bench.task))
        for _ in range(2):
            item = page.get("/api/items").json()["items"][0]
            text = join(*(part["text"] for part in item["parts"]))
            assert [part["name"] for part in item["parts"]] == ["question", "context"]
            page.act("/api/label", id=item["id"], value=TASK.show(truth[text]), seconds=2.0)
        assert len(bench.store.queue(job.name)) == waiting - 2
        people = [x for x in bench.store.current(job.name).values() if x.source is Source.PERSON]
        words = bench.store.texts(job.name, [x.text_id for x in people])
        assert [x.value for x in people] == [truth[words[x.text_id]] for x in people]

    # distilled anew, with their labels, and at work on a file
    command("distil", path)
    model = tmp_path / "out" / "model"
    new = tmp_path / "new.jsonl"
    written(new, list(gold))
    assert f"{GOLD} texts" in command("predict", model, new)
    rows = [json.loads(line) for line in (tmp_path / "new.labelled.jsonl").read_text("utf-8").splitlines()]
    assert [row["answer"] for row in rows] == [told["answer"] for told in load_model(model).told(list(gold))]
    assert all(row["start"] is None or row["context"][row["start"] : row["end"]] == row["answer"] for row in rows)

    # reported and exported
    command("report", path)
    report = json.loads((tmp_path / "out" / "report" / "report.json").read_text("utf-8"))
    models = {m["name"]: m for m in report["models"]}
    for name in ("oracle", "distilled"):
        assert models[name]["accuracy"]["metric"] == "f1"
        assert 0 <= models[name]["figures"]["exact_match"] <= models[name]["accuracy"]["value"]
    assert models["oracle"]["accuracy"]["value"] > 0.7
    assert report["quoted"]["repaired"] > 0, "some answers were in another case"
    assert "Exact match" in (tmp_path / "out" / "report" / "report.html").read_text("utf-8")
    command("export", path, "--formats", "csv,squad")
    with (tmp_path / "out" / "labels" / "labels.csv").open(encoding="utf-8", newline="") as file:
        table = {row["id"]: row for row in csv.DictReader(file)}
    exported = json.loads((tmp_path / "out" / "labels" / "labels.squad.json").read_text("utf-8"))
    assert exported["version"] == "v2.0"
    asked = {q["id"]: (q, p["context"]) for p in exported["data"][0]["paragraphs"] for q in p["qas"]}
    assert asked.keys() == table.keys()
    for key, (question, context) in asked.items():
        row = table[key]
        text = Text(TextId("x"), join(row["text"], row["second"]))
        assert (question["question"], context) == (row["text"], row["second"])
        assert question["is_impossible"] == (not question["answers"])
        assert TASK.read(question["answers"], text) == TASK.read(row["label"], text)
