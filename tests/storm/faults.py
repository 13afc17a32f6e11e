"""One whole job against a provider that does everything wrong at once.

    python -m tests.storm faults --texts 5000 --seed 0

Of the requests 10 % get a 503, 5 % a 429, 5 % hang after they were charged, 5 % are charged and reset, 2 % get a
label that is not in the set, 1 % half a body, 1 % no usage. It is asked of the provider's log, read from disk, and of
the store's tables: did every text come to an end, did each attempt leave once, has every charge its attempt.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import yaml

from agent.job import Job
from agent.loop import run
from agent.records import Route
from agent.store import Store
from tests.servers.charges import read_log
from tests.servers.process import served
from tests.storm import books
from tests.storm.figures import Figures
from tests.storm.racing import in_a_hurry

MIX = {
    "--fail-503": 0.10,
    "--fail-429": 0.05,
    "--hang": 0.05,
    "--reset": 0.05,
    "--garbage": 0.02,
    "--truncated": 0.01,
    "--omit-usage": 0.01,
}
TIMEOUT_S = 1.0
LABELS = ("refund", "exchange", "delivery", "praise")
WORDS = ("order", "parcel", "money", "back", "size", "late", "thank", "you", "wrong", "colour", "again", "please")


class WordCounts:
    """A student that knows nothing: what is looked at here is the asking."""

    def __init__(self, task: Any, vectors: Any) -> None:
        self._names = task.names

    def fit(self, texts: Any, targets: Any, weights: Any, rng: Any) -> None:
        """Nothing is learnt."""

    def predict(self, texts: Sequence[Any]) -> Any:
        from agent.records import Prediction

        even = np.full((len(texts), len(self._names)), 1 / len(self._names), np.float32)
        return Prediction([self._names[0]] * len(texts), np.ones(len(texts), np.float32), even)

    def save(self, folder: Path) -> None:
        """Nothing to save."""

    def load(self, folder: Path) -> None:
        """Nothing to load."""


def truth(count: int, seed: int) -> dict[str, str]:
    """Different texts and their labels."""
    rng = Random(seed)
    return {f"{i}: {' '.join(rng.choices(WORDS, k=rng.randint(4, 30)))}": rng.choice(LABELS) for i in range(count)}


def written(folder: Path, gold: Mapping[str, str], url: str, seed: int, timeout_s: float) -> Path:
    """The job file, its pool beside it."""
    with (folder / "pool.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text in gold)])
    settings = {
        "name": "faults",
        "seed": seed,
        "task": {"labels": list(LABELS)},
        "data": {"pool": "pool.csv"},
        "student": {"kind": "tests.storm.faults:WordCounts"},
        "oracle": {"base_url": url, "model": "scripted", "price": {"input": 1, "output": 2}, "timeout_s": timeout_s},
        "selection": {"strategy": "random", "batch": max(50, len(gold) // 4), "cold_start": max(50, len(gold) // 4)},
        "budget": {"dollars": 20},
        "stop": {"agreement": None},
        "distil": {"enabled": False},
        "output": "out",
    }
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def storm(texts: int, seed: int, folder: Path, timeout_s: float = TIMEOUT_S) -> Figures:
    """Run the job to its end, and hold its books against the provider's."""
    folder.mkdir(parents=True, exist_ok=True)
    gold = truth(texts, seed)
    flags = [word for flag in MIX.items() for word in flag]
    began = time.monotonic()
    with served(folder, gold, "--seed", seed, "--latency-ms", 5, "--jitter-ms", 10, *flags) as (url, log):
        job = Job.load(written(folder, gold, url, seed, timeout_s))
        with in_a_hurry():
            outcome = run(job)
    figures = Figures(
        f"faults: {texts} texts, {time.monotonic() - began:.0f} s, the job ended with: {outcome.message}"
    )
    rows = read_log(log)
    kept = books.read(job.store_url, "faults")
    assert kept is not None
    _rows(figures, gold, job)
    _wire(figures, kept, rows)
    _money(figures, kept, rows)
    figures.problems += books.compare(kept, rows).problems
    return figures


def _rows(figures: Figures, gold: Mapping[str, str], job: Job) -> None:
    """What became of each text."""
    with Store.open(job.store_url) as store:
        labels, routes = store.current("faults"), store.routes("faults")
        texts = {p.text_id: p.text for p in store.picks("faults")}
    waiting = {i for i, r in routes.items() if r.route is Route.PERSON}
    failed = {i for i in waiting if routes[i].reason.startswith("failed")}
    ended = {texts[i] for i in set(labels) | waiting}
    figures.add("texts labelled", len(labels))
    figures.add("texts that failed and wait for a person", len(failed))
    figures.add("texts without an end", len(set(gold) - ended), "0", ended == set(gold))
    figures.add("texts both failed and labelled", len(failed & set(labels)), "0", not failed & set(labels))
    wrong = sum(labels[i].value not in LABELS for i in labels)
    figures.add("labels that are not in the set", wrong, "0", wrong == 0)


def _wire(figures: Figures, kept: books.Books, rows: Sequence[Mapping[str, Any]]) -> None:
    """What left: requests by what was done to them, and how often each attempt left."""
    played = Counter(str(row["fault"]) for row in rows)
    for fault, count in sorted(played.items()):
        figures.add(f"  requests, {'no fault' if fault == 'None' else fault}", count)
    times = Counter(books.attempt_of(row) for row in rows)
    most = max(times.values())
    figures.add("requests the provider saw", len(rows))
    figures.add("attempts in the ledger", len(kept.attempts))
    figures.add("most requests of one attempt", most, "1", most == 1)
    unknown = len(set(times) - set(kept.attempts))
    figures.add("requests that no attempt is known for", unknown, "0", unknown == 0)
    unsent = sum(a["state"] == "settled" and i not in times for i, a in kept.attempts.items())
    figures.add("settled attempts that the provider never saw", unsent, "0", unsent == 0)


def _money(figures: Figures, kept: books.Books, rows: Sequence[Mapping[str, Any]]) -> None:
    """The provider's charges beside the ledger's, whole and without what is unclear. Micro-dollars."""
    charged = sum(int(row["charged"]) for row in rows)
    by_attempt = {books.attempt_of(row): int(row["charged"]) for row in rows}
    figures.add("the provider's charges", charged)
    figures.add("the ledger's total", kept.spent, ">= charges", kept.spent >= charged)
    states = Counter(a["state"] for a in kept.attempts.values())
    figures.add(
        "attempts settled, released, unclear", " ".join(str(states[s]) for s in ("settled", "released", "ambiguous"))
    )
    figures.add("attempts left open", states["reserved"], "0", states["reserved"] == 0)
    # an answer that came without its usage is settled at its worst case: it is as unclear as a reset
    told = {i: a for i, a in kept.attempts.items() if a["state"] == "settled" and a["prompt_tokens"] is not None}
    ledger, provider = sum(a["charged"] for a in told.values()), sum(by_attempt.get(i, 0) for i in told)
    figures.add("charges of what is clear: the provider's", provider)
    figures.add("charges of what is clear: the ledger's", ledger, "the same", ledger == provider)
    unclear = {i: a for i, a in kept.attempts.items() if a["charged"] and i not in told}
    theirs = sum(by_attempt.get(i, 0) for i in unclear)
    ours = sum(a["charged"] for a in unclear.values())
    figures.add("charges of what is unclear: the provider's", theirs)
    figures.add("charges of what is unclear: the ledger's", ours, ">= the provider's", ours >= theirs)
    free = sum(by_attempt.get(i, 0) for i, a in kept.attempts.items() if a["state"] == "released")
    figures.add("charges of what was released", free, "0", free == 0)


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.storm faults")
    parser.add_argument("--texts", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as name:
        return storm(options.texts, options.seed, Path(name)).finish()
