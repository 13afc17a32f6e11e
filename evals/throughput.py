"""Labels a second: beside bare loops that count no money, beside other libraries, on a real server; and memory.

    python -m evals.throughput [--quick]
    python -m evals.throughput --vllm URL [--vllm-python PYTHON] [--prompts N]     a real server alone

The provider is a process of its own on this machine; up to 256 requests are in flight. With 50 ms latency the rivals
send the very same requests: the openai client's default transport, its aiohttp transport, and aiohttp alone. With
200 ms whole processes label the same texts: `labelwright run`, Bespoke Curator, distilabel and Autolabel
(`_labelling.py`). Arms take turns, so that a busy machine slows all of them; what is compared is a ratio. What a real
vLLM server does (`_real_server.py`) has a results file of its own, which is quoted here.
"""

from __future__ import annotations

import argparse
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
from pathlib import Path
from typing import Any

import aiohttp
import openai

from agent.oracle import ChatOracle
from evals import _labelling, _real_server
from evals._asking import IN_FLIGHT, Instant, labelled, question, settings
from evals.outcome import Outcome
from tests.servers.process import served

LATENCY_MS = 50
MOST_MB = 1000


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


def options() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(prog="python -m evals.throughput")
    parser.add_argument("--quick", action="store_true", help="smaller, and no environment is made")
    parser.add_argument("--vllm", metavar="URL", help="measure a real vLLM server, such as http://127.0.0.1:8000/v1")
    parser.add_argument("--vllm-python", type=Path, help="the interpreter of an environment with vLLM, to bench with")
    parser.add_argument("--prompts", type=int, default=300, help="of each arm and round on the real server")
    return parser.parse_args()


def real_server(url: str, python: Path | None, size: int, quick: bool) -> int:
    """What a real server does, in a results file of its own."""
    outcome = Outcome(_real_server.NAME, quick, command=f"throughput --vllm URL --prompts {size}")
    with tempfile.TemporaryDirectory() as name:
        model = _real_server.served_model(url)
        rounds = 1 if quick else 3
        _real_server.measure(outcome, Path(name), url, model, python=python, size=size, rounds=rounds)
    return outcome.finish()


def main() -> int:
    given = options()
    quick: bool = given.quick
    if given.vllm:
        return real_server(given.vllm.rstrip("/"), given.vllm_python, given.prompts, quick)
    outcome = Outcome("throughput", quick)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        race(outcome, folder, rounds=2 if quick else 5, total=2000 if quick else 4000)
        ledger_alone(outcome, folder, 5_000 if quick else 20_000)
        _labelling.race(outcome, folder, total=200 if quick else 2000, rounds=1 if quick else 3, make=not quick)
    _real_server.quoted(outcome)
    memory(outcome, 50_000 if quick else 1_000_000)
    memory(outcome, 10_000 if quick else 100_000, again=True)
    return outcome.finish()


if __name__ == "__main__":
    sys.exit(main())
