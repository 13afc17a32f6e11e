"""Many runs that race for the last of their budget, against a provider that misbehaves.

    python -m tests.storm race --count 1000 --seed 0

A run is a job of its own: 160 texts, a cap of about 100 calls, 1 to 256 questions in flight from the first moment
(not found out step by step: everybody is to meet at the guard), the real ledger, store and client. What was charged
is what the provider's own log says, read from disk when all is over.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.charges import read_log
from tests.servers.process import served
from tests.storm import books
from tests.storm.figures import Figures, spread
from tests.storm.racing import CALM, COUNTED, ENDS, PRICES, Run, price, questions, some

CALLS = 100
WORKERS = (1, 16, 64, 256)
USED = 0.95
FLAGS = [f"--{name.removesuffix('_input')}-price={dollars}" for name, dollars in PRICES.items()]
FLAGS += ["--latency-ms=4", "--jitter-ms=8"]
WEATHER: Mapping[str, Sequence[object]] = {
    CALM: (),
    COUNTED: (),
    "mixed": ("--fail-503", 0.1, "--fail-429", 0.05, "--hang", 0.05, "--reset", 0.05, "--garbage", 0.02,
              "--truncated", 0.01, "--omit-usage", 0.01, "--bad-json", 0.01, "--charged-503", 0.02),
    "silent": ("--hang", 0.15, "--cached-share", 0.5),
    "torn": ("--reset", 0.15, "--truncated", 0.1, "--bad-json", 0.1),
    "busy": ("--workers", 8, "--queue", 24, "--busy-status", 429, "--fail-429", 0.1),
    "untold": ("--omit-usage", 0.4, "--charged-503", 0.1, "--garbage", 0.1),
}  # fmt: skip


@contextmanager
def providers(folder: Path) -> Iterator[dict[str, tuple[str, Path]]]:
    """Address and log of a provider in each weather."""
    with ExitStack() as stack:
        found = {}
        for seed, (weather, flags) in enumerate(WEATHER.items()):
            (folder / weather).mkdir(parents=True)
            found[weather] = stack.enter_context(served(folder / weather, {}, "--seed", seed, *FLAGS, *flags))
        yield found


def mean_charge(provider: tuple[str, Path], store: str) -> float:
    """What the provider charges for a question on average, by its own log. Micro-dollars."""
    url, log = provider
    some([Run(-1, 0, CALM, 8, url, 10**9, store)])
    charges = [int(row["charged"]) for row in read_log(log)]
    return sum(charges) / len(charges)


def planned(count: int, shared: int) -> Iterator[tuple[int, str, int, int]]:
    """Number, weather, workers and ledgers of each run: every weather with every number of workers, over and over."""
    kinds = [(weather, workers) for workers in WORKERS for weather in WEATHER]
    for number in range(count):
        yield number, *kinds[number % len(kinds)], 4 if number % shared == shared - 1 else 1


@dataclass(frozen=True)
class Account:
    """What one run came to: what the provider's log says, and what is wrong.

    `left` is what the ledger did not spend, `most` the worst case of the dearest of its questions. Micro-dollars.
    """

    run: Run
    end: str
    charged: int
    found: books.Found
    left: int
    most: int

    @property
    def used(self) -> float:
        return self.charged / self.run.cap


def accounts(runs: Sequence[Run], ends: Sequence[str], logs: Mapping[str, Path]) -> list[Account]:
    """Each run's store held against the provider's log on disk."""
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for log in logs.values():
        for row in read_log(log):
            rows[row["text"].partition("]")[0] + "]"].append(row)
    made = []
    for run, end in zip(runs, ends, strict=True):
        kept = books.read(run.store, "race")
        assert kept is not None
        mine = rows[run.mark]
        most = max(price(run).worst(question) for question in questions(run))
        charged = sum(row["charged"] for row in mine)
        made.append(Account(run, end, charged, books.compare(kept, mine), kept.cap - kept.spent, most))
    return made


def storm(
    count: int,
    seed: int,
    folder: Path,
    *,
    processes: int = 1,
    shared: int = 10,
    new_store: Callable[[], str] | None = None,
) -> Figures:
    """Run them all, and say what came of it.

    Args:
        processes: in which the runs go, several at a time in each.
        shared: each so-many-th run shares its questions out to four ledgers.
        new_store: makes the address of a new store; by default of a file in `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    new_store = new_store or (lambda: f"sqlite:///{folder / uuid.uuid4().hex}.db")
    with providers(folder) as found:
        mean = mean_charge(found[CALM], new_store())
        runs = [
            Run(number, seed, weather, workers, found[weather][0], round(CALLS * mean), new_store(), ledgers)
            for number, weather, workers, ledgers in planned(count, shared)
        ]
        shares = [runs[i::processes] for i in range(processes)]
        if processes == 1:
            ended = [some(runs)]
        else:
            with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
                ended = list(pool.map(some, shares))
        ends = {
            run.number: end
            for share, said in zip(shares, ended, strict=True)
            for run, end in zip(share, said, strict=True)
        }
        made = accounts(runs, [ends[run.number] for run in runs], {w: log for w, (_, log) in found.items()})
    return told(made, mean)


def told(made: Sequence[Account], mean: float) -> Figures:
    """The figures of a race."""
    figures = Figures(f"race: {len(made)} runs against a cap of {CALLS} calls of {mean:.0f} micro-dollars each")
    over = [a for a in made if a.charged > a.run.cap]
    figures.add("runs that were charged more than their cap", len(over), "0", not over)
    figures.add("charged / cap: least, median, most", spread([a.used for a in made]))
    alone = [a for a in made if a.run.ledgers == 1]  # of several ledgers, each knows only its own money in flight
    early = [a for a in alone if a.end == "exhausted" and a.left >= a.most]
    figures.add("runs that stopped while a question could be paid", len(early), "0", not early)
    for weather in WEATHER:
        mine = [a for a in made if a.run.weather == weather]
        settled, unclear = sum(a.found.settled for a in mine), sum(a.found.ambiguous for a in mine)
        ends = ", ".join(f"{n} {e}" for e in ENDS if (n := [a.end for a in mine].count(e)))
        figures.add(f"  {weather}: {ends}", f"{settled}+{unclear} unclear")
    for weather in (CALM, COUNTED):
        for workers in WORKERS:
            calm = [a.used for a in alone if (a.run.weather, a.run.workers) == (weather, workers)]
            figures.add(f"cap used, {weather}, {workers} workers", spread(calm))
    # what is left is less than one worst case: by bytes nearly five calls of the demo's prompt, counted about two
    for weather in (CALM, COUNTED):
        least = min((a.used for a in alone if a.run.weather == weather), default=1.0)
        figures.add(f"least use of the cap without faults, {weather}", least, f">= {USED}", least >= USED)
    for account in made:
        for problem in account.found.problems:
            figures.problems.append(f"run {account.run.number} ({account.run.weather}): {problem}")
    return figures


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.storm race")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as name:
        return storm(options.count, options.seed, Path(name), processes=options.processes).finish()
