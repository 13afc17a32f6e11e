"""`labelwright status` and `report`: where a job stands, in words a person reads, and in figures for machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.errors import StoreError
from agent.job import Job
from agent.loop import run
from agent.records import Label, MicroDollars, Source
from agent.standing import standing, told
from agent.workbench import Workbench
from tests.servers.faults import Faults
from tests.servers.scripted import ScriptedServer
from tests.whole.jobs import truth, write_job

Serve = Callable[..., ScriptedServer]


def job_at(path: Path, url: str, **changes: object) -> Job:
    oracle = {"name": "local", "model": "scripted", "base_url": url, "price": {"input": 1, "output": 2}}
    budget = {"dollars": 1, "minutes": 60}
    return Job.load(write_job(path, oracle=oracle, budget=budget, distil__enabled=False, **changes))


def said(job: Job) -> dict[str, str]:
    with Workbench(job) as bench:
        return dict(told(standing(bench)))


def test_status_says_labels_money_people_and_what_failed(serve_gold: Serve, tmp_path: Path) -> None:
    server = serve_gold(truth(), faults=Faults(share_garbage=0.5))
    job = job_at(tmp_path, server.url, stop__max_rounds=2)
    run(job)
    with Workbench(job) as bench:
        found = standing(bench)
        waiting = bench.store.queue(job.name)[0]
        given = Label(waiting.text_id, "tool", Source.PERSON, "ada")
        bench.store.review(job.name, waiting.text_id, "ada", "label", given, seconds=90)
    assert json.loads(json.dumps(found)) == found
    assert found["failed"] > 0
    assert found["spent_dollars"] == pytest.approx(sum(r["charged"] for r in server.asked) / 1e6)
    lines = said(job)
    assert lines["rounds"] == "2, 40 texts picked"
    assert lines["labels"].endswith(", 1 of them by people")
    assert lines["spent"].startswith("$0.0")
    assert " a label" in lines["spent"]
    assert "accepted" in lines["last round"]
    assert "accuracy" in lines["last round"]
    assert lines["failed"].endswith("; they wait for a person")
    assert lines["minutes"] == "1.5 of 60 minutes of people used"
    assert not any("None" in line or "{" in line for line in lines.values())


def test_answers_of_another_job_of_the_store_are_told_as_saved(serve_gold: Serve, tmp_path: Path) -> None:
    server = serve_gold(truth())
    store = f"sqlite:///{tmp_path / 'shared.db'}"
    first = job_at(tmp_path / "one", server.url, store=store, name="one", stop__max_rounds=2)
    run(first)
    asked = len(server.asked)
    second = job_at(tmp_path / "two", server.url, store=store, name="two", stop__max_rounds=2)
    run(second)
    assert len(server.asked) == asked
    with Workbench(second) as bench:
        found = standing(bench)
        paid = bench.store.spending("one").spent
    assert found["spent_dollars"] == 0
    assert 1e6 * found["reused_dollars"] == pytest.approx(paid)
    assert f"by {found['answers_reused']} answers already bought" in said(second)["saved"]


def test_a_job_that_was_never_run_has_no_status_and_no_report(tmp_path: Path) -> None:
    from agent.delivery import write_report

    job = job_at(tmp_path, "http://127.0.0.1:1/v1")
    with Workbench(job) as bench, pytest.raises(StoreError, match=r"no such file: `labelwright run` makes it"):
        standing(bench)
    with Workbench(job) as bench, pytest.raises(StoreError, match="nothing to report yet; `labelwright run`"):
        write_report(bench)
    assert not (tmp_path / "out" / "report").exists()


def test_status_of_a_job_that_was_only_opened_is_all_zeroes(tmp_path: Path) -> None:
    job = job_at(tmp_path, "http://127.0.0.1:1/v1")
    with Workbench(job) as bench:
        assert bench.store.spending(job.name).cap == MicroDollars(1_000_000)
    lines = said(job)
    assert lines["spent"] == "$0 of $1.0000 (0.0\u202f%)"
    assert "last round" not in lines
    assert "failed" not in lines
