"""A whole job with `mode: batch`: what it costs, and what `kill -9` and Ctrl-C leave of it."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.job import Job
from agent.loop import HALTED, run
from agent.standing import standing, told
from agent.store import AttemptState, BatchState, Store
from agent.watch import Silent
from agent.workbench import Workbench
from tests.servers.charges import read_log
from tests.servers.scripted import BatchFaults, Faults, ScriptedServer
from tests.whole.jobs import truth, write_job

ANSWERING = Path(__file__).parents[1] / "bulk" / "answering.py"
Serve = Callable[..., ScriptedServer]
BATCH = {"mode": "batch", "oracle__batch": {"poll_s": 0.02}, "distil__enabled": False}


def job_file(folder: Path, server: ScriptedServer, **changes: object) -> Path:
    return write_job(folder, oracle__base_url=server.url, **(BATCH | changes))


def check(job: Job, log: Path, *, texts: int) -> None:
    """The provider's log against the store."""
    rows = read_log(log)
    lines = [row for row in rows if row["kind"] == "batch"]
    with Store.open(job.store_url) as store:
        purse, attempts = store.job("small"), store.attempts("small")
    assert purse.reserved == 0
    assert purse.spent == sum(row["charged"] for row in rows) <= purse.cap
    assert len(lines) == len({row["text"] for row in lines}) == texts, "each text was bought once"
    kept = {f"lw-{a.id}": a for a in attempts}
    assert all(kept[row["custom_id"]].state is AttemptState.SETTLED for row in lines)


def test_a_job_in_batches_labels_at_half_the_price(tmp_path: Path, serve_gold: Serve) -> None:
    server = serve_gold(dict(truth()), batch_faults=BatchFaults(polls=1), log=tmp_path / "log")
    job = Job.load(job_file(tmp_path / "batch", server))
    outcome = run(job)
    assert (outcome.reason, outcome.labels) == ("max_rounds", 60)
    assert outcome.delivered is not None
    check(job, tmp_path / "log", texts=60)
    live = serve_gold(dict(truth()))
    paid = run(Job.load(job_file(tmp_path / "live", live, mode="live"))).spending
    assert outcome.spending.spent == pytest.approx(paid.spent / 2, rel=0.02)
    with (tmp_path / "batch" / "out" / "labels" / "labels.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 60


def test_a_finished_job_in_batches_run_again_asks_nothing(tmp_path: Path, serve_gold: Serve) -> None:
    server = serve_gold(dict(truth()), log=tmp_path / "log")
    job = Job.load(job_file(tmp_path, server))
    run(job)
    before = len(read_log(tmp_path / "log"))
    run(job)
    assert len(read_log(tmp_path / "log")) == before
    with Store.open(job.store_url) as store:
        assert len(store.batches("small")) == 3


def test_a_label_outside_the_set_is_asked_once_more_in_another_batch(tmp_path: Path, serve_gold: Serve) -> None:
    server = serve_gold(dict(truth()), faults=Faults(share_garbage=0.2), log=tmp_path / "log")
    job = Job.load(job_file(tmp_path, server, oracle__answers="plain"))
    outcome = run(job)
    with Store.open(job.store_url) as store:
        lines = [b.details["lines"] for b in store.batches("small")]
    assert len(lines) > 3
    assert outcome.labels >= 55, "what was no label at first is one the second time, mostly"
    rows = read_log(tmp_path / "log")
    assert outcome.spending.spent == sum(row["charged"] for row in rows)


class PressesWhileWaiting(Silent):
    """Ctrl-C as soon as a batch is at the provider."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)
        if "under way" in message and len(self.notes) == 1:
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_leaves_the_batch_at_the_provider_and_the_next_run_collects_it(
    tmp_path: Path, serve_gold: Serve
) -> None:
    server = serve_gold(dict(truth()), batch_faults=BatchFaults(polls=2), log=tmp_path / "log")
    job = Job.load(job_file(tmp_path, server))
    watch = PressesWhileWaiting()
    assert run(job, watch).reason == HALTED
    assert any("run the same command again to collect it" in note for note in watch.notes)
    with Workbench(job) as bench:
        found = standing(bench)
    assert [(b["state"], b["texts"]) for b in found["batches"]] == [("submitted", 20)]
    assert any(what == "under way" and "20 texts in batch 1 of local (batch_" in said for what, said in told(found))
    assert run(job).labels == 60
    check(job, tmp_path / "log", texts=60)


def test_a_job_that_becomes_live_ends_its_batches_and_keeps_what_they_brought(
    tmp_path: Path, serve_gold: Serve
) -> None:
    server = serve_gold(dict(truth()), batch_faults=BatchFaults(phase_s=0.3), log=tmp_path / "log")
    run(Job.load(job_file(tmp_path, server)), PressesWhileWaiting())
    job = Job.load(job_file(tmp_path, server, mode="live"))
    assert run(job).labels == 60
    rows = [row for row in read_log(tmp_path / "log") if row["text"] in truth()]
    assert len(rows) == len({row["text"] for row in rows}) == 60
    with Store.open(job.store_url) as store:
        assert [b.state for b in store.batches("small")] == [BatchState.HARVESTED]
        assert store.job("small").reserved == 0


def test_a_job_whose_model_nobody_serves_is_answered_by_a_command(tmp_path: Path) -> None:
    gold = tmp_path / "gold.json"
    gold.write_text(json.dumps(dict(truth())), encoding="utf-8")
    command = [sys.executable, str(ANSWERING), "--gold", str(gold), "-i", "{input}", "-o", "{output}", "--model", "m"]
    own = {"oracle__run_batch": {"command": command, "shard": 15}, "distil__enabled": False}
    job = Job.load(write_job(tmp_path, **(BATCH | own | {"mode": "live"})))
    outcome = run(job)
    assert outcome.labels == 60
    assert outcome.spending.spent == 60 * 24
    runs = (tmp_path / "out" / "batches" / "runs").read_text().splitlines()
    assert len(runs) == 6, "three rounds of twenty questions, in files of fifteen"
    with Store.open(job.store_url) as store:
        assert {truth()[p.text] == store.current("small")[p.text_id].value for p in store.picks("small")} == {True}
    run(job)
    assert len((tmp_path / "out" / "batches" / "runs").read_text().splitlines()) == 6


def _seen(job: Job, state: BatchState) -> bool:
    if not (job.output_folder / "labelwright.db").exists():
        return False
    with Store.open(job.store_url) as store:
        return any(b.state is state for b in store.batches("small"))


@pytest.mark.storm  # tests/bulk kills batches at every third point in `make test`
@pytest.mark.slow
@pytest.mark.parametrize("state", [BatchState.UPLOADED, BatchState.SUBMITTED, BatchState.FINISHED])
def test_a_job_that_is_killed_in_a_batch_goes_on_with_it(
    tmp_path: Path, serve_gold: Serve, state: BatchState
) -> None:
    faults = BatchFaults(phase_s=0.3, share_truncated=0.5 if state is BatchState.FINISHED else 0.0)
    server = serve_gold(dict(truth()), batch_faults=faults, log=tmp_path / "log")
    path = job_file(tmp_path, server, stop__max_rounds=2)
    job = Job.load(path)
    command = [sys.executable, "-m", "agent.cli", "run", str(path)]
    with (tmp_path / "run.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while not _seen(job, state):
        assert time.monotonic() < deadline, (tmp_path / "run.log").read_text()
        if process.poll() is not None:
            break
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert run(job).labels == 40
    check(job, tmp_path / "log", texts=40)
