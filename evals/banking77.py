"""The whole job on 77 classes of real questions, with an oracle that is wrong about one in ten, killed in the middle.

    python -m evals.banking77 [--quick]

The oracle is a scripted server in a process of its own; its log, on disk before each answer is sent, is the evidence.
Needs the data set banking77 (`../shared/data`, or LABELWRIGHT_SHARED).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from agent.job import Job
from agent.store import Store
from evals.outcome import Outcome, is_quick

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("LABELWRIGHT_SHARED", ROOT.parent / "shared")) / "data" / "banking77"
PRICE = {"input": 0.05, "output": 0.10}


def prepare(folder: Path, pool_size: int | None, dollars: float) -> Path:
    """Pool, seed, gold and the server's truth as files; returns the job file, still without a base_url."""
    rows = {r["text"].strip(): r for r in pq.read_table(DATA / "train.parquet").to_pylist()}
    shuffled = [list(rows.values())[i] for i in np.random.default_rng(0).permutation(len(rows))]
    seed = list({r["label"]: r for r in shuffled}.values())
    chosen = {r["id"] for r in seed}
    pool = [r for r in shuffled if r["id"] not in chosen][:pool_size]
    gold = pq.read_table(DATA / "test.parquet").to_pylist()
    _write(folder / "pool.parquet", pool, ["id", "text"])
    _write(folder / "seed.parquet", seed, ["text", "label"])
    _write(folder / "gold.parquet", [r for r in gold if r["text"].strip() not in rows], ["text", "label"])
    lines = [json.dumps({"text": r["text"], "label": r["label"]}) for r in pool]
    (folder / "truth.jsonl").write_text("\n".join(lines), encoding="utf-8")
    settings = {
        "name": "banking77",
        "task": {"labels": json.loads((DATA / "labels.json").read_text())},
        "data": {"pool": "pool.parquet", "id": "id", "seed": "seed.parquet", "gold": "gold.parquet"},
        "oracle": {"name": "scripted", "model": "scripted", "price": PRICE, "base_url": "${ORACLE_URL}"},
        "budget": {"dollars": dollars},
        "stop": {"agreement": None},
        "output": "out",
    }
    path = folder / "job.yaml"
    path.write_text(json.dumps(settings, indent=1), encoding="utf-8")  # JSON is YAML
    return path


def _write(path: Path, rows: list[dict[str, Any]], columns: list[str]) -> None:
    pq.write_table(pa.table({c: [r[c] for r in rows] for c in columns}), path)


@contextlib.contextmanager
def scripted_server(folder: Path) -> Iterator[str]:
    """The server's base URL, while it runs."""
    command = [sys.executable, "-m", "tests.servers.scripted", "--gold", str(folder / "truth.jsonl")]
    command += ["--errors", "0.1", "--port", "0", "--log", str(folder / "server.jsonl"), "--latency-ms", "20"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stdout is not None
        found = re.search(r"http://\S+", server.stdout.readline())
        assert found is not None, "the server said no address"
        try:
            yield found[0]
        finally:
            server.terminate()


def answered(folder: Path) -> int:
    """Questions about texts that the server answered so far."""
    log = folder / "server.jsonl"
    return sum('"status": 200' in line for line in log.read_text().splitlines()) if log.exists() else 0


def run(path: Path, url: str, kill_at: list[int]) -> tuple[dict[str, Any], list[int]]:
    """Run the job to its end, killed with -9 at each count of answers. Returns its JSON, and when it was killed."""
    command = [sys.executable, "-m", "agent.cli", "run", str(path), "--json"]
    environment = os.environ | {"ORACLE_URL": url}
    killed = []
    for at in kill_at:
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as going:
            while going.poll() is None and answered(path.parent) < at:
                time.sleep(0.02)
            if going.poll() is None:
                going.send_signal(signal.SIGKILL)
                killed.append(answered(path.parent))
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found, killed


def bought_twice(folder: Path, store_url: str) -> tuple[int, int]:
    """(questions that were asked again although the store had their answer, answers that a kill lost on the way)."""
    rows = [json.loads(line) for line in (folder / "server.jsonl").read_text().splitlines()]
    times = Counter(r["sha"] for r in rows if r["status"] == 200)
    with Store.open(store_url) as store:
        settled = Counter(a.question_key for a in store.attempts("banking77") if a.answer_id is not None)
    lost = sum(times.values()) - sum(settled.values())
    return sum(n - 1 for n in settled.values()), lost


def main() -> int:
    if not DATA.is_dir():
        print(f"no data set at {DATA}: set LABELWRIGHT_SHARED to the folder that holds data/")
        return 2
    quick = is_quick()
    outcome = Outcome("banking77", quick)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = prepare(folder, 1500 if quick else None, 0.05 if quick else 0.25)
        if quick:
            path.write_text(path.read_text().replace('"stop"', '"distil": {"enabled": false},\n "stop"'))
        began = time.monotonic()
        with scripted_server(folder) as url:
            os.environ["ORACLE_URL"] = url
            found, killed = run(path, url, [90, 170] if quick else [200, 500, 800])
            again, lost = bought_twice(folder, Job.load(path).store_url)
            before = answered(folder)
            run(path, url, [])
            sent = answered(folder) - before
        seconds = time.monotonic() - began
        job = Job.load(path)
        with Store.open(job.store_url) as store:
            spending = store.spending("banking77")
        whole = sqlite3.connect(folder / "out" / "labelwright.db").execute("pragma integrity_check").fetchone()[0]
    outcome.add("bought", found["labels"], "labels")
    outcome.add(
        "spent",
        spending.spent / 1e6,
        "dollars",
        target=f"<= {spending.cap / 1e6}",
        holds=spending.spent <= spending.cap,
    )
    outcome.add("kill -9 at", ", ".join(map(str, killed)), "answers")
    outcome.add("bought twice though answered", again, "questions", target="0", holds=again == 0)
    unclear = spending.ambiguous_count
    fits = lost <= unclear
    outcome.add("lost with the process, kept as spent", lost, "answers", target=f"<= {unclear} ambiguous", holds=fits)
    outcome.add("database", whole, "", target="ok", holds=whole == "ok")
    outcome.add("run again when finished", sent, "requests", target="0", holds=sent == 0)
    for figure, said in found["final"].items():
        outcome.add(figure, said["accuracy"], f"accuracy on {said['n']} {said['measured_on']} texts")
    outcome.add("whole eval", seconds, "seconds")
    return outcome.finish()


if __name__ == "__main__":
    sys.exit(main())
