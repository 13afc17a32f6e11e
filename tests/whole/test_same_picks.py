"""The same job, seed and tape pick the same texts on one thread and on two: real articles, a real model's answers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from agent.demo import prepare
from agent.job import Job
from agent.store import Store


def written(folder: Path) -> Path:
    """The demo's job on 80 of its articles, with an encoder that is tuned on the way."""
    path = prepare(folder)
    for name, lines in (("pool.csv", 81), ("gold.csv", 21)):
        file = folder / name
        file.write_text("".join(file.read_text(encoding="utf-8").splitlines(keepends=True)[:lines]), encoding="utf-8")
    job = yaml.safe_load(path.read_text(encoding="utf-8"))
    job["data"]["ask_gold"] = False
    job["student"] |= {"refresh": {"first": 40, "tokens": 1000}, "max_tokens": 32}
    job["selection"] = {"batch": 20, "cold_start": 30}
    job["stop"] = {"agreement": None, "max_rounds": 3}
    job["distil"] = {"enabled": False}
    path.write_text(yaml.safe_dump(job), encoding="utf-8")
    return path


def picks(path: Path, threads: int) -> list[tuple[str, int, str, float]]:
    """What a run picked, in a process of its own with so many threads for all linear algebra."""
    many = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    many["OMP_WAIT_POLICY"] = "passive"  # threads that wait leave the cores to other tests
    command = [sys.executable, "-m", "agent.cli", "run", str(path)]
    done = subprocess.run(command, env=os.environ | many, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    job = Job.load(path)
    with Store.open(job.store_url) as store:
        return [(p.text_id, p.round, p.slice, p.score) for p in store.picks(job.name)]


@pytest.mark.storm  # each part of it is held to it in its own room
@pytest.mark.slow
def test_the_same_picks_on_one_and_on_two_threads(tmp_path: Path) -> None:
    one, two = (picks(written(tmp_path / str(threads)), threads) for threads in (1, 2))
    assert one == two
    assert {number for _, number, _, _ in one} == {0, 1, 2}
