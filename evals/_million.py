"""A job whose pool and ledger have a million rows, and how much memory working with it takes: for evals.throughput.

python -m evals._million FOLDER ROWS [again]  makes the job, then prints one line a figure: what, tab, megabytes
python -m evals._million FOLDER ROWS do PHASE one phase, in a process of its own: its peak is nobody else's
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from agent.asking import Asker
from agent.estimating import estimate
from agent.job import Job
from agent.records import Answer, Floats, Label, MicroDollars, Pick, Prediction, Route, Source, Text, TextId, Usage
from agent.standing import standing
from agent.store import AttemptState, End, RouteRow, StoredAnswer, Wanted
from agent.tasks import Task
from agent.workbench import Workbench
from evals._asking import LABELS, Instant, question

STEP = 20_000
ASKED_NOW = 20_000


class Still:
    """A student that needs no embeddings: a million of those would take MiniLM an hour."""

    def __init__(self, task: Task, vectors: object) -> None:
        self.names = task.names

    def fit(self, texts: Sequence[Text], targets: Any, weights: Floats, rng: np.random.Generator) -> None: ...

    def predict(self, texts: Sequence[Text]) -> Prediction:
        return Prediction([self.names[0]] * len(texts), np.ones(len(texts), np.float32))

    def save(self, folder: str) -> None: ...

    def load(self, folder: str) -> None: ...


def make(folder: Path, rows: int) -> None:
    """The pool's file, the job file, and a store in which every text was picked, asked, paid and labelled."""
    texts = [
        f"Letter {i}: I would like my money back, since it broke after {i % 97} days of use." for i in range(rows)
    ]
    table = pa.table({"id": [f"text-{i}" for i in range(rows)], "text": texts})
    pq.write_table(table, folder / "pool.parquet")
    job = {
        "name": "million",
        "task": {"labels": list(LABELS)},
        "data": {"pool": "pool.parquet", "id": "id"},
        "student": {"kind": "evals._million:Still"},
        "oracle": {"name": "local", "model": "scripted", "base_url": "http://127.0.0.1:9/v1",
                   "price": {"input": 0.05, "output": 0.1}},
        "budget": {"dollars": 1000},
        "distil": {"enabled": False},
    }  # fmt: skip
    (folder / "job.yaml").write_text(json.dumps(job), encoding="utf-8")
    with Workbench(Job.load(folder / "job.yaml")) as bench:
        for start in range(0, rows, STEP):
            _fill(bench, range(start, min(rows, start + STEP)), texts)
        bench.store.finish_round("million", 0, {"labels": rows, "stop_set": [], "kappa": None})


def _fill(bench: Workbench, part: range, texts: Sequence[str]) -> None:
    store, endpoint = bench.store, "http://127.0.0.1:9/v1"
    ids = [TextId(f"text-{i}") for i in part]
    store.add_picks("million", 0, [Pick(t, i, "unsure", 0.5, None) for t, i in zip(ids, part, strict=True)],
                    dict(zip(ids, texts[part.start : part.stop], strict=True)))  # fmt: skip
    belief = dict.fromkeys(LABELS, 1 / len(LABELS))
    with store.transaction() as tx:
        wanted = [Wanted("local", f"{i:064d}", t, MicroDollars(40)) for t, i in zip(ids, part, strict=True)]
        attempts = store.reserve_many("million", wanted, owner="filler", tx=tx)
        ends = [
            End(a, AttemptState.SETTLED, "", MicroDollars(5), Usage(90, 2),
                StoredAnswer(f"{i:064d}", endpoint, Answer("refund", "scripted", Usage(90, 2)), "prompt"))
            for a, i in zip(attempts, part, strict=True) if a is not None
        ]  # fmt: skip
        answers = store.end_many(ends, tx=tx)
        labels = [
            Label(t, "refund", Source.ORACLE, "local/scripted", belief, 0.9, prompt_hash="prompt", answer_id=a)
            for t, a in zip(ids, answers, strict=True)
        ]
        given = store.add_labels("million", labels, tx=tx)
        routes = [RouteRow(t, i, Route.ACCEPTED, "sure", 0.9) for t, i in zip(ids, given, strict=True)]
        store.add_routes("million", 0, routes, tx=tx)


def status(bench: Workbench) -> None:
    """What `labelwright status` reads."""
    assert standing(bench)


def price(bench: Workbench) -> None:
    """What `labelwright estimate` reads: pool, prompts of a sample, what was paid."""
    assert estimate(bench)


def asking(bench: Workbench) -> None:
    """The pool opened and a round of questions asked and paid, beside what the ledger holds already."""
    bench.own()
    assert len(bench.pool)
    asker = Asker(Instant(), bench.ledger, bench.store, max_concurrency=256)
    first = 10_000_000
    asyncio.run(asker.ask([question(i) for i in range(first, first + ASKED_NOW)]))


def again(bench: Workbench) -> None:
    """The finished job run once more: every label read, report and exports written."""
    from agent.loop import run

    assert run(bench.job).delivered is not None


PHASES = {
    "status": status,
    "estimate": price,
    f"a round of {ASKED_NOW:,} questions": asking,
    "the finished job run again": again,
}
AGAIN = "the finished job run again"


def main() -> Iterator[tuple[str, float]]:
    folder, rows = Path(sys.argv[1]), int(sys.argv[2])
    if sys.argv[3:4] == ["do"]:
        with Workbench(Job.load(folder / "job.yaml")) as bench:
            PHASES[sys.argv[4]](bench)
        yield sys.argv[4], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return
    make(folder, rows)
    wanted = [AGAIN] if sys.argv[3:] == ["again"] else [phase for phase in PHASES if phase != AGAIN]
    for phase in wanted:
        command = [sys.executable, "-m", "evals._million", *sys.argv[1:3], "do", phase]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        yield phase, float(said.splitlines()[-1].rpartition("\t")[2])


if __name__ == "__main__":
    for what, megabytes in main():
        print(f"{what}\t{megabytes:.0f}", flush=True)
