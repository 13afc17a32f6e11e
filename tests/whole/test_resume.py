"""A run that stopped at a nasty moment, or whose files changed meanwhile: nothing is repeated, nothing skipped."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import delivery
from agent.asking import Asking
from agent.distill.checkpoint import Checkpoint
from agent.errors import DataError
from agent.job import Job
from agent.ledger import Purse
from agent.loop import HALTED, run
from agent.store import Store
from agent.watch import Silent
from agent.workbench import Workbench
from tests.servers.scripted import Faults, ScriptedServer
from tests.storm.lives import Stable
from tests.whole.jobs import truth, write_job

Serve = Callable[..., ScriptedServer]
QUICK = {"distil__enabled": False}


def job(folder: Path, server: ScriptedServer, **changes: object) -> Job:
    return Job.load(write_job(folder, oracle__base_url=server.url, **(QUICK | changes)))


def bought(server: ScriptedServer) -> list[str]:
    return [row["text"] for row in server.asked if row["status"] == 200 and row["text"] in truth()]


class DiedError(BaseException):
    """Stands for the end of the process."""


class DiesAfterTriage(Silent):
    def triaged(self, accepted: int, people: int, failed: int, waiting: int) -> None:
        raise DiedError


class StopsAfterFive(Silent):
    pressed = False

    def asking(self, oracle: str, state: Asking, purse: Purse) -> None:
        if state.done >= 5 and not self.pressed:
            self.pressed = True
            os.kill(os.getpid(), signal.SIGINT)


class DiesWhileItDistils(Silent):
    def progress(self, what: str, done: int, total: int) -> None:
        if what == "distilling" and done > total / 2:
            raise DiedError


class Listens(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def test_a_run_that_died_before_it_measured_a_round_picks_no_second_batch_for_it(
    tmp_path: Path, serve_gold: Serve
) -> None:
    server = serve_gold(dict(truth()))
    small = job(tmp_path, server, stop__max_rounds=1)
    with pytest.raises(DiedError):
        run(small, DiesAfterTriage())
    assert len(bought(server)) == 20
    outcome = run(small)
    assert outcome.reason == "max_rounds"
    assert len(bought(server)) == 20
    with Store.open(small.store_url) as store:
        assert [r.round for r in store.rounds("small")] == [0]


def test_the_last_round_stopped_half_way_is_asked_to_its_end(tmp_path: Path, serve_gold: Serve) -> None:
    server = serve_gold(dict(truth()))
    small = job(tmp_path, server, stop__max_rounds=1, oracle__max_concurrency=2)
    assert run(small, StopsAfterFive()).reason == HALTED
    assert len(bought(server)) < 20
    assert run(small).labels == 20
    assert len(bought(server)) == 20


def test_gold_texts_asked_half_way_are_all_asked_in_the_end(tmp_path: Path, serve_gold: Serve) -> None:
    server = serve_gold(dict(truth()))
    small = job(tmp_path, server, stop__max_rounds=1, oracle__max_concurrency=2, data__ask_gold=True)
    assert run(small, StopsAfterFive()).reason == HALTED
    done = run(small)
    assert done.delivered is not None
    assert done.delivered.final["oracle"]["n"] == 40
    assert len(bought(server)) == len(set(bought(server))) == 60


def test_failed_texts_do_not_keep_a_job_with_max_labels_going_for_ever(tmp_path: Path, serve_gold: Serve) -> None:
    server = serve_gold(dict(truth()), faults=Faults(share_503=0.3))
    limits = {"stop__max_labels": 20, "stop__max_rounds": None, "oracle__attempts": 1, "budget__dollars": 5}
    outcome = run(job(tmp_path, server, **limits))
    assert outcome.reason == "max_labels"
    assert 0 < outcome.labels < 20
    assert "20 texts were asked about" in outcome.message


def test_a_pool_that_was_sorted_and_cut_between_two_runs_is_asked_about_once(
    tmp_path: Path, serve_gold: Serve
) -> None:
    server = serve_gold(dict(truth()))
    run(job(tmp_path, server, stop__max_rounds=1))
    first = set(bought(server))
    small = job(tmp_path, server, stop__max_rounds=None)
    pool = tmp_path / "pool.csv"
    head, *rows = pool.read_text().splitlines(keepends=True)
    pool.write_text(head + "".join(sorted(rows, reverse=True)[:90]))
    assert run(small).reason == "pool"
    assert len(bought(server)) == len(set(bought(server)))
    assert len(set(bought(server)) - first) == sum(r.strip().strip('"') not in first for r in sorted(rows)[-90:])


def test_an_id_that_got_another_text_is_refused_and_keeps_its_label_to_itself(
    tmp_path: Path, serve_gold: Serve
) -> None:
    server = serve_gold(dict(truth()))
    small = job(tmp_path, server, stop__max_rounds=1, data__id="id")
    texts = list(truth())[:120]

    def write(said: list[str]) -> None:
        with (tmp_path / "pool.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([["id", "text"], *([str(i), t] for i, t in enumerate(said))])

    write(texts)
    run(small)
    write(texts[::-1])
    with pytest.raises(DataError, match="another text than when it was labelled"):
        run(small)


# Run again, and exported again ------------------------------------------------------------------------------------


def labels_of(small: Job) -> dict[str, bytes]:
    """Every file that the export of a job's labels consists of."""
    folder = small.output_folder / "labels"
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def in_a_process_of_its_own(*words: object) -> None:
    """The command with another hash seed, another clock, other names of temporary files."""
    done = subprocess.run([sys.executable, "-m", "agent.cli", *map(str, words)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.slow
def test_a_finished_job_run_again_sends_nothing_and_writes_the_same_bytes(
    tmp_path: Path, serve_gold: Serve, stable: Stable
) -> None:
    server = serve_gold(dict(truth()))
    small = job(tmp_path, server, stop__max_rounds=2)
    path, log = str(tmp_path / "job.yaml"), str(tmp_path / "log")
    assert stable.run({"words": ["run", path], "log": log}) == 0
    first, sent = labels_of(small), len(server.asked)
    kinds = {Path(name).name for name in first}
    assert {"labels.parquet", "labels.csv", "labels.jsonl", "dataset_info.json", "state.json", "README.md"} <= kinds
    assert stable.run({"words": ["run", path], "log": log}) == 0
    assert labels_of(small) == first
    shutil.rmtree(small.output_folder / "labels")
    in_a_process_of_its_own("run", path)
    assert labels_of(small) == first
    shutil.rmtree(small.output_folder / "labels")
    in_a_process_of_its_own("export", path)
    assert labels_of(small) == first
    assert len(server.asked) == sent


@pytest.mark.slow
def test_an_export_that_was_killed_is_written_again_as_it_would_have_been(
    tmp_path: Path, serve_gold: Serve, stable: Stable
) -> None:
    server = serve_gold(dict(truth()))
    small = job(tmp_path, server, stop__max_rounds=2)
    run(small)
    whole = labels_of(small)
    words = {"words": ["export", str(tmp_path / "job.yaml")], "log": str(tmp_path / "log")}
    for nth in range(1, 13):  # four formats: each with a batch written, about to be named, and named
        if nth % 2:
            shutil.rmtree(small.output_folder / "labels", ignore_errors=True)
        assert stable.run(words | {"point": "in-export", "nth": nth}) == -signal.SIGKILL
        assert stable.run(words) == 0, (tmp_path / "log").read_text()
        assert labels_of(small) == whole
    assert len(set(bought(server))) == len(bought(server))


def test_a_run_that_died_while_it_distilled_goes_on_and_ends_with_the_same_model(
    tmp_path: Path, serve_gold: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpoint, "due", lambda self, epoch_ends=False: True)
    server = serve_gold(dict(truth()))
    small = job(tmp_path, server, stop__max_rounds=1, distil__enabled=True, distil__epochs=3)
    with pytest.raises(DiedError):
        run(small, DiesWhileItDistils())
    listens = Listens()
    assert run(small, listens).delivered is not None
    assert "the training goes on at epoch 2 of 3" in listens.notes
    weights = (tmp_path / "out" / "model" / "model.safetensors").read_bytes()
    with Workbench(small) as bench:
        again = delivery.distil_again(bench)
    assert (again / "model.safetensors").read_bytes() == weights
    assert not (tmp_path / "out" / ".model.training").exists()
    assert len(bought(server)) == len(set(bought(server)))
