"""A job with two oracles: what both answered counts as both together say, in what is taught, told and handed over."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from agent.job import Job
from agent.loop import run
from agent.report import page
from agent.workbench import Workbench
from tests.servers.scripted import ScriptedServer
from tests.whole.jobs import truth, write_job

Serve = Callable[..., ScriptedServer]


def cascade(folder: Path, serve_gold: Serve, **changes: Any) -> Job:
    """A weak oracle, and a strong one that gets what the weak one is not sure of."""
    path = write_job(folder, distil__enabled=False, stop__max_rounds=2, people__threshold=0.85, **changes)
    price = {"input": 1.0, "output": 1.0}
    servers = {"weak": serve_gold(dict(truth()), errors=0.3), "strong": serve_gold(dict(truth()), errors=0.1, seed=1)}
    oracles = [
        {"name": name, "base_url": server.url, "model": "scripted", "price": price}
        for name, server in servers.items()
    ]
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"oracle": oracles}))
    return Job.load(path)


def test_what_two_oracles_answered_counts_as_both_together_say(tmp_path: Path, serve_gold: Serve) -> None:
    job = cascade(tmp_path, serve_gold)
    run(job)
    with Workbench(job) as bench:
        found, lessons = bench.opinions(), bench.lessons()
        current = bench.store.current(job.name)
        targets = bench.task.targets([label for _, label in lessons])
    assert 4 < found.asked < 36
    assert 0 < found.agreed <= found.asked
    assert found.oracles == ("weak/scripted", "strong/scripted")
    for (text, label), target in zip(lessons, targets, strict=True):
        if text.id in found.posterior:
            assert target == pytest.approx(list(found.posterior[text.id].values()), abs=1e-6)
            assert label.confidence == found.posterior[text.id][label.value]
        elif text.id in current:  # the target of one answer is what that answer said
            assert label == current[text.id]
            assert label.probabilities is not None
            assert target == pytest.approx(list(label.probabilities.values()), abs=1e-6)

    rows = [json.loads(line) for line in (tmp_path / "out/labels/labels.jsonl").read_text().splitlines()]
    told = {row["text_id"]: row["posterior"] for row in rows}
    assert {i for i, posterior in told.items() if posterior} == set(found.posterior)
    assert all(row["label"] == found.counts[row["text_id"]].value for row in rows if row["posterior"])
    assert all(sum(p.values()) == pytest.approx(1) for p in told.values() if p)


def test_the_report_says_how_often_they_agreed_and_what_each_takes_for_what(
    tmp_path: Path, serve_gold: Serve
) -> None:
    job = cascade(tmp_path, serve_gold)
    outcome = run(job)
    assert outcome.delivered is not None
    said = json.loads((tmp_path / "out/report/report.json").read_text())["several"]
    with Workbench(job) as bench:
        found = bench.opinions()
    assert (said["texts"], said["agreed"], said["changed"]) == (found.asked, found.agreed, found.changed)
    assert [o["name"] for o in said["oracles"]] == ["weak/scripted", "strong/scripted"]
    assert all(0.3 < o["accuracy"] < 1 and 0 < o["weight"] <= 1 for o in said["oracles"])
    assert "texts were answered more than once" in page(outcome.delivered.findings)


def test_a_job_with_one_oracle_says_nothing_of_several(tmp_path: Path, serve_gold: Serve) -> None:
    server = serve_gold(dict(truth()))
    job = Job.load(write_job(tmp_path, oracle__base_url=server.url, distil__enabled=False, stop__max_rounds=1))
    outcome = run(job)
    assert outcome.delivered is not None
    assert outcome.delivered.findings.several is None
    assert "answered more than once" not in page(outcome.delivered.findings)
    with Workbench(job) as bench:
        current = bench.store.current(job.name)
        lessons = [(t, x) for t, x in bench.lessons() if t.id in current]
        assert [x for _, x in lessons] == [current[t.id] for t, _ in lessons]
        assert np.isfinite(bench.task.targets([x for _, x in lessons])).all()
