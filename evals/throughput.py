"""Labels a second with the durable ledger on, beside bare loops that count no money; and memory for a million rows.

    python -m evals.throughput [--quick]

The provider is a process of its own on this machine, with 50 ms latency; up to 256 requests are in flight. The rivals
send the very same requests: the openai client's default transport, its aiohttp transport, and aiohttp alone. Arms
take turns, so that a busy machine slows all of them; what is compared is a ratio.
"""

from __future__ import annotations

import asyncio
import cProfile
import os
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import openai

from agent.asking import Asker
from agent.job import OracleSettings, Price
from agent.ledger import Ledger
from agent.oracle import ChatOracle
from agent.records import Answer, AnswerSchema, Message, MicroDollars, Question, TextId, Usage
from agent.store import Store
from evals.outcome import Outcome, is_quick
from tests.servers.process import served

IN_FLIGHT = 256
LATENCY_MS = 50
LABELS = ("refund", "exchange", "complaint", "praise")
SCHEMA = AnswerSchema({"type": "object", "properties": {"label": {"enum": list(LABELS)}}}, 8, LABELS)
SYSTEM = "You label customer mail. " + " ".join(f"{name}: mail that is about a {name}." for name in LABELS)
MOST_MB = 1000


def question(i: int) -> Question:
    """One of any number of different questions, the length of a short prompt."""
    user = Message("user", f"<text>\nLetter {i}: I would like my money back.\n</text>\nLabel:")
    return Question(f"{i:064d}", TextId(f"text-{i}"), (Message("system", SYSTEM), user), SCHEMA, "prompt")


def settings(url: str) -> OracleSettings:
    price = Price(input=Decimal("0.05"), output=Decimal("0.10"))
    return OracleSettings(name="local", base_url=url, model="scripted", price=price, max_concurrency=IN_FLIGHT)


class Instant:
    """An oracle that answers at once: what is left is the ledger."""

    name, model = "local", "scripted"

    async def ask(self, question: Question, request_id: str = "") -> Answer:
        return Answer("refund", "scripted", Usage(100, 2))

    async def close(self) -> None: ...


async def labelled(url: str, folder: Path, total: int, oracle: Any = None, profiles: Any = ()) -> tuple[float, int]:
    """Seconds that Labelwright takes for so many questions, and the limit of requests in flight that it found."""
    given = settings(url)
    with Store.open(f"sqlite:///{folder / 'labelwright.db'}") as store:
        store.open_job("job", {}, "print", MicroDollars(10**15))
        async with Ledger(store, "job", [given]) as ledger:
            asked = oracle or ChatOracle(given, mode="choice", logprobs=False)
            asker = Asker(asked, ledger, store, max_concurrency=IN_FLIGHT)
            questions = [question(i) for i in range(total)]
            if profiles:
                profiles[0].enable()
                ledger._commits.submit(lambda _: profiles[1].enable()).result()
            began = time.perf_counter()
            found = await asker.ask(questions)
            seconds = time.perf_counter() - began
            if profiles:
                profiles[0].disable()
                ledger._commits.submit(lambda _: profiles[1].disable()).result()
            await asked.close()
        bought = store.spending("job").settled_count
    assert len(found) == bought == total, "not every question was answered and paid"
    return seconds, asker.pace.climb.limit


async def loop(send: Callable[[dict[str, Any]], Awaitable[Any]], total: int) -> float:
    """Seconds of a bare loop: a semaphore around one request after another, nothing kept."""
    turns = asyncio.Semaphore(IN_FLIGHT)
    oracle = ChatOracle(settings("http://127.0.0.1:9/v1"), mode="choice", logprobs=False)

    async def one(i: int) -> None:
        async with turns:
            await send(oracle.body(question(i)))

    began = time.perf_counter()
    await asyncio.gather(*(one(i) for i in range(total)))
    return time.perf_counter() - began


async def with_openai(url: str, total: int, http: Any) -> float:
    """The loop that most people write. `http` is a transport, None for the client's own."""
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, http_client=http) as client:

        async def send(body: dict[str, Any]) -> None:
            extra = {"structured_outputs": body.pop("structured_outputs")}
            await client.chat.completions.create(**body, extra_body=extra)

        return await loop(send, total)


async def with_aiohttp(url: str, total: int) -> float:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def send(body: dict[str, Any]) -> None:
            async with session.post(url + "/chat/completions", json=body) as response:
                await response.json()

        return await loop(send, total)


def fsyncs(folder: Path, times: int = 300) -> float:
    """How many times a second this disk makes 4 KiB durable."""
    file = os.open(folder / "fsync", os.O_RDWR | os.O_CREAT)
    began = time.perf_counter()
    for i in range(times):
        os.pwrite(file, b"x" * 4096, i * 4096)
        os.fsync(file)
    seconds = time.perf_counter() - began
    os.close(file)
    return times / seconds


def spent_where(profiles: list[cProfile.Profile]) -> dict[str, float]:
    """Share of processor time in each kind of code: own time of every function, by where it is from."""
    kinds = {
        "aiohttp": ("aiohttp", "yarl", "multidict", "aiosignal"),
        "asyncio and sockets": ("asyncio", "selectors", "socket", "select.epoll"),
        "SQLAlchemy": ("sqlalchemy",),
        "SQLite, with its fsync": ("sqlite3", "Cursor", "Connection"),
        "JSON": ("json",),
        "Labelwright": ("/agent/",),
    }
    spent: Counter[str] = Counter()
    for profile in profiles:
        for (file, _, name), (_, _, own, _, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
            if "wait" in name or "acquire" in name or "epoll" in name or "SimpleQueue" in name:
                continue
            where = f"{file} {name}"
            spent[next((k for k, words in kinds.items() if any(w in where for w in words)), "other")] += own
    total = sum(spent.values())
    return {kind: seconds / total for kind, seconds in spent.most_common()}


def race(outcome: Outcome, folder: Path, *, rounds: int, total: int) -> None:
    """The arms in turn against one provider."""
    seconds: dict[str, list[float]] = {"labelwright": [], "openai": [], "openai on aiohttp": [], "aiohttp": []}
    limits = []
    with served(folder, {}, "--latency-ms", LATENCY_MS) as (url, _):
        asyncio.run(with_aiohttp(url, 300))  # the server's own warm-up
        for number in range(rounds):
            place = folder / f"race-{number}"
            place.mkdir()
            took, limit = asyncio.run(labelled(url, place, 2 * total))
            seconds["labelwright"].append(took / 2)
            limits.append(limit)
            seconds["openai"].append(2 * asyncio.run(with_openai(url, total // 2, None)))
            http = openai.DefaultAioHttpClient()
            seconds["openai on aiohttp"].append(asyncio.run(with_openai(url, total, http)))
            seconds["aiohttp"].append(asyncio.run(with_aiohttp(url, total)))
        profiles = [cProfile.Profile(), cProfile.Profile()]
        place = folder / "profiled"
        place.mkdir()
        asyncio.run(labelled(url, place, total, profiles=profiles))
    rate = {arm: total / statistics.median(found) for arm, found in seconds.items()}
    ratios = [other / mine for mine, other in zip(seconds["labelwright"], seconds["openai"], strict=True)]
    for arm, found in rate.items():
        unit = "labels/s, ledger on" if arm == "labelwright" else "answers/s, nothing kept"
        outcome.add(
            f"{LATENCY_MS} ms, {IN_FLIGHT} in flight: {arm}", found, unit, rival="" if arm == "labelwright" else arm
        )
    ratio = statistics.median(ratios)
    outcome.add(
        "labelwright : openai", ratio, "times", target=">= 1.5", holds=ratio >= 1.5, rival="AsyncOpenAI, default"
    )
    outcome.add("labelwright : openai on aiohttp", rate["labelwright"] / rate["openai on aiohttp"], "times")
    outcome.add("labelwright : aiohttp", rate["labelwright"] / rate["aiohttp"], "times", rival="aiohttp")
    outcome.add("requests in flight that it settled on", statistics.median(limits), "requests")
    for kind, share in spent_where(profiles).items():
        outcome.add(f"processor time in {kind}", share, "share, profiled")


def ledger_alone(outcome: Outcome, folder: Path, total: int) -> None:
    """Zero latency: what the ledger itself can do, beside what the disk can."""
    durable = fsyncs(folder)
    seconds, _ = asyncio.run(labelled("http://127.0.0.1:9/v1", folder, total, oracle=Instant()))
    outcome.add("zero latency: settled attempts", total / seconds, "attempts/s")
    outcome.add("durable writes of this disk", durable, "fsyncs/s", rival="fsync of 4 KiB")
    outcome.add("settled attempts an fsync", total / seconds / durable, "attempts")


def memory(outcome: Outcome, rows: int, *, again: bool = False) -> None:
    """Peak memory of a process that opens and works with a pool and a ledger of so many rows. `again` is a whole run
    over labels that are all there: it holds every label in memory, and is reported without a target."""
    with tempfile.TemporaryDirectory() as name:
        done = subprocess.run(
            [sys.executable, "-m", "evals._million", name, str(rows), *(["again"] if again else [])],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    for line in done.stdout.splitlines():
        what, _, found = line.rpartition("\t")
        mb = float(found)
        target = {} if again else {"target": f"< {MOST_MB}", "holds": mb < MOST_MB}
        outcome.add(f"{rows:,} rows: {what}", mb, "MB at most", **target)  # type: ignore[arg-type]


def main() -> int:
    quick = is_quick()
    outcome = Outcome("throughput", quick)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        race(outcome, folder, rounds=2 if quick else 5, total=2000 if quick else 4000)
        ledger_alone(outcome, folder, 5_000 if quick else 20_000)
    memory(outcome, 50_000 if quick else 1_000_000)
    memory(outcome, 10_000 if quick else 100_000, again=True)
    return outcome.finish()


if __name__ == "__main__":
    sys.exit(main())
