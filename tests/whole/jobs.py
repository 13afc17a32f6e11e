"""A small whole job on made-up text, for tests of the whole: files, job file, and a tape or a scripted server."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from agent import cli
from agent.job import Job
from agent.records import Label, Source
from agent.workbench import Workbench

WORDS = {
    "fruit": ["apple", "banana", "cherry", "grape", "lemon", "mango", "orange", "peach", "pear", "plum"],
    "tool": ["axe", "chisel", "drill", "hammer", "pliers", "saw", "screwdriver", "spanner", "vice", "wrench"],
    "animal": ["badger", "cat", "dog", "fox", "goat", "horse", "lion", "mouse", "otter", "wolf"],
}
DESCRIPTIONS = {"fruit": "something sweet that grows", "tool": "something to work with", "animal": "a living thing"}


def sentences(n: int, seed: int = 0) -> list[tuple[str, str]]:
    """n distinct (text, label) pairs."""
    rng = np.random.default_rng(seed)
    made: dict[str, str] = {}
    while len(made) < n:
        label = str(rng.choice(list(WORDS)))
        said = " and the ".join(rng.choice(WORDS[label], 3))
        made.setdefault(f"In note {rng.integers(10**6)} I saw the {said}.", label)
    return list(made.items())


def write_rows(path: Path, rows: list[tuple[str, str]], *, labelled: bool) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["text", "label"] if labelled else ["text"])
        out.writerows(row if labelled else row[:1] for row in rows)


def shown_job(page: str) -> dict[str, Any]:
    """The job file that a page of docs/tasks shows."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "tasks" / f"{page}.md").read_text(encoding="utf-8")
    found = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert found is not None
    shown: dict[str, Any] = yaml.safe_load(found[1])
    return shown


def settings(**changes: Any) -> dict[str, Any]:
    """The job file's content; a dotted name changes one setting, None removes it."""
    job: dict[str, Any] = {
        "name": "small",
        "task": {"kind": "classification", "labels": dict(DESCRIPTIONS)},
        "data": {"pool": "pool.csv", "text": "text", "seed": "seed.csv", "gold": "gold.csv"},
        "oracle": {"name": "local", "model": "scripted", "price": {"input": 1.0, "output": 2.0}},
        "people": {"threshold": 0.7, "audit": 0.1},
        "student": {"refresh": False},  # what it takes is tested in test_milestones
        "selection": {"batch": 20, "cold_start": 20},
        "budget": {"dollars": 1},
        "stop": {"agreement": None, "max_rounds": 3},
        "distil": {"epochs": 1},
        "output": "out",
    }
    for name, value in changes.items():
        place = job
        *path, last = name.split("__")
        for part in path:
            place = place.setdefault(part, {})
        if value is None and last not in ("agreement",):
            place.pop(last, None)
        else:
            place[last] = value
    return job


def write_job(folder: Path, *, pool: int = 120, **changes: Any) -> Path:
    """pool.csv, seed.csv, gold.csv, gold.jsonl-like truth for a server, and job.yaml."""
    rows = sentences(pool + 46)
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "pool.csv", rows[:pool], labelled=False)
    seeds = [next(r for r in rows[pool:] if r[1] == name) for name in WORDS]
    write_rows(folder / "gold.csv", [r for r in rows[pool:] if r not in seeds][:40], labelled=True)
    write_rows(folder / "seed.csv", seeds, labelled=True)
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(settings(**changes), sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def truth(pool: int = 120) -> Mapping[str, str]:
    """Text to label of everything that `write_job` wrote."""
    return dict(sentences(pool + 46))


def answer_queue(job: Job) -> None:
    """Ada gives every text that waits for a person its true label, in two seconds each."""
    gold = truth()
    with Workbench(job) as bench:
        for row in bench.store.queue(job.name):
            label = Label(row.text_id, gold[row.text], Source.PERSON, by="ada")
            bench.store.review(job.name, row.text_id, "ada", "label", label, 2.0)


def labelwright(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object
) -> tuple[int, str]:
    """The command's exit code and everything it printed."""
    monkeypatch.setattr(sys, "argv", ["labelwright", *map(str, words)])
    code = 0
    try:
        cli.main()
    except SystemExit as leave:
        code = int(leave.code or 0)
    said = capsys.readouterr()
    return code, " ".join((said.out + said.err).split())
