"""Pairs of real sentences through a whole job, by the commands, with the job file of docs/tasks/pairs.md."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from agent.job import Job
from agent.pairing import split
from agent.records import Source
from agent.workbench import Workbench
from tests.review.clients import Page
from tests.review.scenes import Scene
from tests.servers.scripted import ScriptedServer
from tests.whole.jobs import labelwright, shown_job

ERRORS = 0.1
Serve = Callable[..., ScriptedServer]
Row = tuple[str, str, str]
"""Premise, hypothesis, label."""


def rows(path: Path, size: int) -> list[Row]:
    """Some distinct pairs of a file, in random order: it is sorted by genre."""
    every = pq.read_table(path).to_pylist()
    found = list({(r["text_a"].strip(), r["text_b"].strip()): r["label"] for r in every}.items())
    return [(*found[i][0], found[i][1]) for i in np.random.default_rng(0).permutation(len(found))[:size]]


def write(path: Path, found: Sequence[Row], *, labelled: bool) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        head = ["premise", "hypothesis", "label"]
        csv.writer(file).writerows(row if labelled else row[:2] for row in [head, *found])


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_job_of_the_page_is_one(tmp_path: Path) -> None:
    job = Job.of(shown_job("pairs"), tmp_path)
    assert (job.task.kind, job.task.columns) == ("pairs", ("premise", "hypothesis"))


@pytest.mark.slow
def test_a_whole_job_of_pairs(
    shared_data: Path,
    tmp_path: Path,
    serve_gold: Serve,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def command(*words: object) -> str:
        code, said = labelwright(monkeypatch, capsys, *words)
        assert code == 0, said
        return said

    pool, gold = (rows(shared_data / "med_nli" / f"{name}.parquet", n) for name, n in (("train", 200), ("test", 60)))
    truth = {(a, b): label for a, b, label in pool}
    server = serve_gold({f"{a}\n{b}": label for a, b, label in pool}, errors=ERRORS, seed=3)
    write(tmp_path / "pairs.csv", pool, labelled=False)
    write(tmp_path / "gold.csv", gold, labelled=True)
    settings = shown_job("pairs")
    settings["oracle"] |= {"base_url": server.url, "model": "scripted"}
    settings |= {
        "people": {"threshold": 0.75, "audit": 0.1},
        "selection": {"batch": 40, "cold_start": 40},
        "stop": {"max_rounds": 3, "agreement": None},
        "distil": {"epochs": 1},
    }
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")

    # selected, asked and triaged
    assert "pairs, 2 labels" in command("check", path)
    command("run", path)
    job = Job.load(path)
    with Workbench(job) as bench:
        labels = bench.store.current(job.name)
        texts = bench.store.texts(job.name, list(labels))
        asked = [
            (truth[split(texts[i])], label.value) for i, label in labels.items() if label.source is Source.ORACLE
        ]
        assert len(asked) == 120
        assert 0.8 < np.mean([a == b for a, b in asked]) < 0.97, "the oracle is wrong about one in ten"

        # some of those that wait are labelled on the page
        waiting = len(bench.store.queue(job.name))
        assert waiting > 5
        page = Page(Scene(bench.store, job, bench.task))
        for _ in range(5):
            item = page.get("/api/items").json()["items"][0]
            first, second = (part["text"] for part in item["parts"])
            assert [part["name"] for part in item["parts"]] == ["premise", "hypothesis"]
            reply = page.act("/api/label", id=item["id"], value=truth[first, second], seconds=2.0)
            assert reply.status_code == 200, reply.text
        assert len(bench.store.queue(job.name)) == waiting - 5
        people = [x for x in bench.store.current(job.name).values() if x.source is Source.PERSON]
        assert [x.value for x in people] == [truth[split(texts[x.text_id])] for x in people]

    # distilled anew, with their labels, and at work on a file
    command("distil", path)
    new = tmp_path / "new.csv"
    write(new, gold, labelled=False)
    assert "60 texts" in command("predict", tmp_path / "out" / "model", new)
    found = read(tmp_path / "new.labelled.csv")
    assert [(r["premise"], r["hypothesis"]) for r in found] == [row[:2] for row in gold]
    assert pipeline_says(tmp_path / "out" / "model", gold) == [r["label"] for r in found]

    # reported and exported
    command("report", path)
    figures = json.loads((tmp_path / "out" / "report" / "report.json").read_text("utf-8"))
    assert figures["kind"] == "pairs"
    command("export", path)
    exported = read(tmp_path / "out" / "labels" / "labels.csv")
    assert len(exported) == 120
    assert {(r["text"], r["second"]) for r in exported} <= truth.keys()
    assert sum(r["source"] == "person" for r in exported) == 5
    card = (tmp_path / "out" / "labels" / "README.md").read_text("utf-8")
    assert "| `second` | the other text of the pair |" in card


def pipeline_says(folder: Path, found: Sequence[Row]) -> list[str]:
    """What `transformers` alone says of pairs."""
    from transformers import pipeline

    classify = pipeline("text-classification", model=str(folder), truncation=True, device="cpu")
    return [classify({"text": a, "text_pair": b})["label"] for a, b, _ in found]
