"""Batches, a provider that stumbles and a run that is killed again and again: the provider's log against the store.

    python -m tests.storm batches --count 40

Each case is one job of 30 questions in batches: faults, cap and moments of death drawn from its seed. It is killed at
up to four points or moments, then run until it ends.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.store import AttemptState, Store
from tests.bulk.dying import POINTS
from tests.bulk.making import opened, texts
from tests.servers.charges import read_log
from tests.servers.scripted import BatchFaults, Faults, ScriptedServer
from tests.storm.figures import Figures

CHECKOUT = Path(__file__).resolve().parents[2]
COUNT = 30
LIVES = 25
LONGEST_S = 120.0  # of one life: one that is not done by then hangs
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


@dataclass
class Tally:
    """What all cases came to. Money is micro-dollars."""

    cases: int = 0
    lives: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    charged: int = 0
    spent: int = 0
    settled: int = 0
    ambiguous: int = 0
    lines: int = 0
    answered: int = 0
    over_the_cap: int = 0
    missing: int = 0
    released_though_charged: int = 0
    sent_twice: int = 0
    bought_twice: int = 0
    left_open: int = 0
    problems: list[str] = field(default_factory=list)


def drawn(rng: random.Random) -> tuple[BatchFaults, Faults]:
    """The faults of one case."""
    batch = BatchFaults(
        phase_s=rng.choice([0.0, 0.1, 0.2]),
        share_failed=rng.choice([0.0, 0.0, 0.1]),
        share_duplicated=rng.choice([0.0, 0.2]),
        expire_after=rng.choice([None, None, 0.5, 0.9]),
        shuffled=rng.random() < 0.5,
        share_503=rng.choice([0.0, 0.15]),
        share_truncated=rng.choice([0.0, 0.4]),
        share_submit_reset=rng.choice([0.0, 0.5]),
    )
    return batch, Faults(share_no_usage=rng.choice([0.0, 0.1]))


def live(folder: Path, url: str, point: str, seconds: float | None) -> int:
    """One life of the run: its exit code, negative where it was killed."""
    command = [sys.executable, "-m", "tests.bulk.dying", str(folder), url, str(COUNT), point]
    with (folder / "run.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=CHECKOUT, stdout=log, stderr=log, env=ENVIRONMENT)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
        finally:
            process.kill()


def case(folder: Path, seed: int, tally: Tally) -> None:
    """One job, killed up to four times, and run to its end."""
    rng = random.Random(seed)
    batch_faults, faults = drawn(rng)
    cap = rng.choice([2_000, 4_000, 10_000_000])
    with opened(folder) as store:
        store.open_job("job", {}, "print", cap)
    (folder / "cap").write_text(str(cap))
    log = folder / "charges"
    with ScriptedServer(texts(COUNT), seed=seed, batch_faults=batch_faults, faults=faults, log=log) as server:
        code = _lives(folder, server.url, rng, tally)
        rows = read_log(log)
    with opened(folder, cap) as store:
        _compare(store, rows, seed, tally)
    if code != 0:
        tally.problems.append(f"seed {seed}: never came to its end: {(folder / 'run.log').read_text()[-300:]}")


def _lives(folder: Path, url: str, rng: random.Random, tally: Tally) -> int:
    code = 1
    for number in range(LIVES):
        point, seconds = "never", None
        if number < 4:
            point = rng.choice(POINTS) if rng.random() < 0.7 else "at any moment"
            seconds = rng.uniform(0.9, 2.2) if point == "at any moment" else None
        code = live(folder, url, point if point in POINTS else "never", seconds or LONGEST_S)
        tally.lives += 1
        if code < 0:
            tally.kills[point] += 1
        elif code == 0:
            return 0
    return code


def _compare(store: Store, rows: Sequence[dict[str, Any]], seed: int, tally: Tally) -> None:
    kept = {f"lw-{a.id}": a for a in store.attempts("job")}
    purse, spending = store.job("job"), store.spending("job")
    charged = sum(row["charged"] for row in rows)
    ids = Counter(row["custom_id"] for row in rows)
    good = [row for row in rows if row["charged"] and kept[row["custom_id"]].state is AttemptState.SETTLED]
    tally.cases += 1
    tally.charged += charged
    tally.spent += purse.spent
    tally.settled += sum(a.charged for a in kept.values() if a.state is AttemptState.SETTLED)
    tally.ambiguous += spending.ambiguous
    tally.lines += len(rows)
    tally.answered += len({row["text"] for row in good})
    found = {
        "over_the_cap": int(purse.spent > purse.cap or charged > purse.cap),
        "missing": sum(row["charged"] > kept[row["custom_id"]].charged for row in rows if row["custom_id"] in kept)
        + sum(row["custom_id"] not in kept for row in rows),
        "released_though_charged": sum(
            bool(row["charged"]) and kept[row["custom_id"]].state is AttemptState.RELEASED for row in rows
        ),
        "sent_twice": sum(n - 1 for n in ids.values()),
        "bought_twice": len(good) - len({row["text"] for row in good}),
        "left_open": int(purse.reserved) + sum(a.state is AttemptState.RESERVED for a in kept.values()),
    }
    for name, count in found.items():
        setattr(tally, name, getattr(tally, name) + count)
        if count:
            tally.problems.append(f"seed {seed}: {name.replace('_', ' ')}: {count}")


def figures(tally: Tally) -> Figures:
    said = Figures("batches, killed and resumed, against the provider's log")
    said.add("jobs", tally.cases)
    said.add("lives", tally.lives)
    said.add("kills", tally.kills.total())
    for point, count in sorted(tally.kills.items()):
        said.add(f"  {point}", count)
    said.add("lines that the provider ran", tally.lines)
    said.add("texts answered", tally.answered)
    said.add("charged by the provider, micro-dollars", tally.charged)
    said.add("spent by the ledger, micro-dollars", tally.spent, ">= charged", tally.spent >= tally.charged)
    said.add("  of which ambiguous", tally.ambiguous)
    for name in ("over_the_cap", "missing", "released_though_charged", "sent_twice", "bought_twice", "left_open"):
        count: int = getattr(tally, name)
        said.add(name.replace("_", " "), count, "0", count == 0)
    said.problems += tally.problems
    return said


def storm(folder: Path, count: int, seed: int) -> Tally:
    tally = Tally()
    for number in range(seed, seed + count):
        place = folder / str(number)
        place.mkdir()
        case(place, number, tally)
    return tally


def main(words: Sequence[str]) -> int:
    """The command; 1 where anything does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.storm batches")
    parser.add_argument("--count", type=int, default=40, help="jobs")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="storm-batches-") as folder:
        return figures(storm(Path(folder), options.count, options.seed)).finish()
