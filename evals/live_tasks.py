"""Every kind of task against a real model: a whole job each, and how right its labels were.

    python -m evals.live_tasks --url http://127.0.0.1:8000/v1 --model qwen2.5-coder-1.5b [--sets wnut17,ntrex]
                               [--labels 40] [--keep FOLDER] [--quick]

For each set a job is written and run (select, ask, triage, distil, report); what waits for a person leaves as a
table, is filled in with gold labels and read back; then `distil`, `predict` and `export`, by the commands a user has.
Measured are the oracle's labels against gold: a small model gives poor ones, and its row says so. Needs
../shared/data (or LABELWRIGHT_SHARED) and a server; ../shared/local-llm has one for two cores.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agent.job import Job
from agent.records import Source, Text, TextId
from agent.store import Store
from agent.tasks import build
from evals import _corpora
from evals._task_sets import Row, TaskSet, sets
from evals.outcome import RESULTS, Outcome
from evals.outcome import Row as Figure

LABELS, GOLD, UNSEEN = 40, 8, 8
REVIEWED = 4
TIMEOUT_S = 3600


def written(path: Path, rows: Sequence[Row], *, told: bool) -> str:
    lines: list[dict[str, Any]] = [{"id": f"{path.stem}{k}"} | row.given for k, row in enumerate(rows)]
    if told:
        lines = [line | {"label": row.label} for line, row in zip(lines, rows, strict=True)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path.name


def job_in(folder: Path, found: TaskSet, rows: Sequence[Row], args: argparse.Namespace) -> Path:
    """A job file and the files it names; the pool is one and a half times what is asked about."""
    labels = args.labels
    pool, gold = rows[: labels * 3 // 2], rows[labels * 3 // 2 :][:GOLD]
    data: dict[str, Any] = {"id": "id", "text": found.columns[0]}
    if len(found.columns) == 2:
        data["second"] = found.columns[1]
    data["pool"] = written(folder / "pool.jsonl", pool, told=False)
    data["gold"] = written(folder / "gold.jsonl", gold, told=True)
    written(folder / "unseen.jsonl", rows[-UNSEEN:], told=False)
    said = {
        "name": found.name,
        "task": found.task,
        "data": data,
        "oracle": {
            "name": "local",
            "base_url": args.url,
            "model": args.model,
            "price": {"input": 0.05, "output": 0.10},
            "timeout_s": 900,
            "max_concurrency": 8,
        },
        "budget": {"dollars": 1},
        "selection": {"batch": labels // 2, "cold_start": labels // 2},
        "stop": {"agreement": None, "max_labels": labels},
        "people": {"threshold": 0.0, "audit": 0.1},
        "distil": {"epochs": 2},
    }
    if found.task["kind"] == "generation":
        said["distil"] = {"epochs": 1, "model": str(args.writer)} if args.writer else {"enabled": False}
    path = folder / "job.yaml"  # JSON is YAML
    path.write_text(json.dumps(said | found.more, indent=1), encoding="utf-8")
    return path


def command(folder: Path, *words: str) -> str:
    """What `labelwright WORDS` prints. Raises RuntimeError with its last words where it fails."""
    words = (sys.executable, "-m", "agent", *words)
    done = subprocess.run(words, cwd=folder, check=False, capture_output=True, text=True, timeout=TIMEOUT_S)
    if done.returncode:
        last = (done.stdout + done.stderr)[-2000:]
        raise RuntimeError(f"labelwright {' '.join(words[3:])}: exit {done.returncode}\n{last}")
    return done.stdout


def reviewed(folder: Path, truth: dict[str, Any]) -> int:
    """Fill in gold labels for the first few that wait, and read them back. Returns how many."""
    command(folder, "queue", "export", "job.yaml", "--output", "queue.csv")
    with (folder / "queue.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows[:REVIEWED]:
        label = truth[row["id"]]
        row["label"] = label if isinstance(label, str) else json.dumps(label)
    if rows:
        with (folder / "filled.csv").open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, rows[0].keys())
            table.writeheader()
            table.writerows(rows[:REVIEWED])
        command(folder, "queue", "import", "job.yaml", "filled.csv", "--person", "ada")
    return min(len(rows), REVIEWED)


def measure(outcome: Outcome, found: TaskSet, folder: Path, args: argparse.Namespace) -> None:
    """One set's whole job."""
    labels = args.labels
    rng = np.random.default_rng(0)
    rows = found.rows()
    rows = [rows[i] for i in rng.permutation(len(rows))][: labels * 3 // 2 + GOLD + UNSEEN]
    truth = {f"pool{k}": row.label for k, row in enumerate(rows)}
    path = job_in(folder, found, rows, args)
    began = time.monotonic()
    command(folder, "run", "job.yaml")
    seconds = time.monotonic() - began
    job = Job.load(path)
    task = build(job.task)
    with Store.open(job.store_url) as store:
        given = store.labels(job.name, source=Source.ORACLE)
        texts = store.texts(job.name, [label.text_id for label in given])
        spending = store.spending(job.name)
    gold = [task.read(truth[label.text_id], Text(TextId(label.text_id), texts[label.text_id])) for label in given]
    figures = task.metrics(gold, [label.value for label in given])
    where = f"{found.name} ({job.task.kind})"
    outcome.add(
        f"{where}: texts labelled by the oracle",
        len(given),
        f"labels for ${spending.spent / 1e6:.4f} in {seconds:.0f} s, training included",
        target="" if outcome.quick else f"at least {LABELS}",
        holds=None if outcome.quick else len(given) >= LABELS,
    )
    for name, value in figures.items():
        outcome.add(f"{where}: {name} of its labels", round(float(value), 3), "against gold")
    outcome.add(f"{where}: labels of a person read back", reviewed(folder, truth), "texts")
    command(folder, "report", "job.yaml")
    command(folder, "export", "job.yaml")
    if not job.distil.enabled:
        outcome.add(f"{where}: a model", "none", "--writer names none")
        return
    command(folder, "distil", "job.yaml")
    command(folder, "predict", "out/model", "unseen.jsonl", "--output", "said.jsonl")
    said = len((folder / "said.jsonl").read_text(encoding="utf-8").splitlines())
    outcome.add(
        f"{where}: unseen texts labelled by the model", said, "texts", target=f"all {UNSEEN}", holds=said == UNSEEN
    )


def kept(named: Sequence[str] | None, *, quick: bool) -> list[Figure]:
    """Rows of the last run about sets that are not named now: one set can be measured again alone."""
    path = RESULTS / "live_tasks.json"
    if named is None or quick or not path.exists():
        return []
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    again = tuple(f"{name}{mark}" for name in named for mark in (" (", ":"))
    return [Figure(**row) for row in rows if not row["figure"].startswith(again)]


def arguments() -> argparse.Namespace:
    said = argparse.ArgumentParser(prog="python -m evals.live_tasks", description=__doc__.split("\n")[0])
    said.add_argument("--url", default="http://127.0.0.1:8000/v1")
    said.add_argument("--model", default="qwen2.5-coder-1.5b")
    said.add_argument("--sets", type=lambda text: tuple(text.split(",")))
    said.add_argument("--labels", type=int, default=LABELS)
    said.add_argument("--writer", type=Path, help="a folder or .gguf file of a small model that is taught to write")
    said.add_argument("--keep", type=Path, help="a folder for the jobs, else a temporary one")
    said.add_argument("--quick", action="store_true", help="uci_sentiment alone, 12 labels")
    args = said.parse_args()
    if args.quick:
        args.sets, args.labels = args.sets or ("uci_sentiment",), 12
    return args


def main() -> int:
    args = arguments()
    if (why := _corpora.missing()) is not None:
        print(why)
        return 2
    known = sets()
    outcome = Outcome("live_tasks", args.quick, command=f"live_tasks --model {args.model}")
    outcome.rows += kept(args.sets, quick=args.quick)
    with tempfile.TemporaryDirectory() as temporary:
        for name in args.sets or known:
            folder = (args.keep or Path(temporary)) / name
            folder.mkdir(parents=True)
            try:
                measure(outcome, known[name], folder, args)
            except RuntimeError as failed:
                outcome.add(f"{name}: a whole job", "failed", str(failed)[-300:], target="goes through", holds=False)
                print(failed, flush=True)
            outcome.keep()
    return outcome.finish()


if __name__ == "__main__":
    sys.exit(main())
