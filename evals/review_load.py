"""Fifty people at one queue of 2,000 texts, two labels a text, while pages and servers die and a run writes.

    python -m evals.review_load [--quick]

The server is `labelwright review --team` in a process of its own, killed with -9 and started again meanwhile; the
people are clients that think half a second, label at random (so that they often disagree), skip, take back, load the
page anew, break off in the middle of a request, and in part leave for good with texts before them. Eight of them
lead, and decide where people disagree. Another process gives labels all the time, as a run does. Each is asked of
SQLite and of PostgreSQL. Afterwards the store is held against what every client was told.
"""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import yaml

from agent.job import Job
from agent.records import Label, MicroDollars, Pick, Route, Source, TextId
from agent.store import RouteRow, Store
from evals.outcome import Outcome, is_quick
from tests.postgres import NotInstalled, PostgresServer

CLIENTS, TEXTS, VOTES = 50, 2000, 2
LEASE_S = 4.0
PRICE = {"input": 1, "output": 1}
NAMES = ("business", "politics", "sport", "tech")
AGREES = 0.85  # chance to give a text's own class: a quarter of the texts is torn
TARGET_MS = 100.0


@dataclass(frozen=True)
class Size:
    """How many people label how many texts, how long each thinks on average, how often the server is killed, and when
    to give up."""

    clients: int = CLIENTS
    texts: int = TEXTS
    think_s: float = 0.5
    kills: int = 3
    limit_s: float = 900.0

    @property
    def leads(self) -> int:
        """How many of them lead."""
        return max(2, self.clients // 6)


WRITER = """
import sys, time
from agent.records import Label, Pick, Route, Source, TextId
from agent.store import RouteRow, Store
store, n = Store.open(sys.argv[1]), 0
while True:
    ids = [TextId(f"run {n + i}") for i in range(20)]
    store.add_picks("load", n, [Pick(x, 0, "unsure", 1.0, 0.5, {}) for x in ids], {x: f"Text {x}" for x in ids})
    given = store.add_labels("load", [Label(x, "tech", Source.ORACLE, "local/small", None, 0.9) for x in ids])
    store.add_routes("load", n, [RouteRow(x, g, Route.ACCEPTED, "sure", 0.9) for x, g in zip(ids, given)])
    n += 20
    print(n, flush=True)
    time.sleep(0.1)
"""


@dataclass
class Said:
    """What the server told the clients, to be held against the store.

    Attributes:
        labels: (text, person) to the value that was saved last, and not taken back.
        open: (text, person) whose last request got no answer: either may be true of them.
        grants: (when it was surely theirs from, until, text, person).
        over: (when, text, person): they were done with it, or it was taken from them.
        waits: seconds of a request for the next items, and of a label.
    """

    labels: dict[tuple[str, str], str] = field(default_factory=dict)
    open: set[tuple[str, str]] = field(default_factory=set)
    grants: list[tuple[float, float, str, str]] = field(default_factory=list)
    over: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    waits: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    counts: Counter[str] = field(default_factory=Counter)
    odd: list[str] = field(default_factory=list)


class Away(Exception):
    """The server gave no answer: it is dead, or starting."""


class Person:
    """One client. Each of its lives is a page that was just loaded."""

    def __init__(self, base: str, who: tuple[str, str], said: Said, rng: random.Random, size: Size) -> None:
        self.base, (self.name, self._token), self._said, self._rng, self._size = base, who, said, rng, size
        self._leaves = rng.random() < 0.1 and not self.name.startswith("lead")
        self._csrf = ""
        self._newest: int | None = None
        self._mine: set[str] = set()
        self._acts: dict[int, tuple[str, str]] = {}  # what the server confirmed, by the number that it gave it
        self._session: aiohttp.ClientSession | None = None

    async def live(self, done: asyncio.Event) -> None:
        """Label until nothing waits any more, or until they leave for good."""
        while not done.is_set():
            try:
                async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as self._session:
                    await self._get("/", key=self._token)
                    self._csrf = (await self._get("/api/session"))["token"]
                    if await self._page(done):
                        return
            except Away:
                self._said.counts["no answer"] += 1
                await asyncio.sleep(0.2)

    async def _page(self, done: asyncio.Event) -> bool:
        """One life of the page; True where the person is done for good."""
        while not done.is_set():
            items = await self._items(again=False) or await self._items(again=True)
            if not items:
                await asyncio.sleep(0.3)
                continue
            for item in items[: 1 + self._rng.randrange(8)]:
                await asyncio.sleep(self._rng.expovariate(1 / self._size.think_s))
                chance = self._rng.random()
                if self._leaves and self._said.counts["labels"] > self._size.texts / 4:
                    self._said.counts["left for good"] += 1
                    return True
                if chance < 0.02:
                    self._said.counts["reloads"] += 1
                    return False
                if chance < 0.05:
                    await self._act("/api/skip", item, {})
                elif chance < 0.08 and self._newest is not None:
                    await self._undo()
                else:
                    await self._label(item, breaks_off=chance > 0.98)
        return True

    async def _items(self, *, again: bool) -> list[dict[str, Any]]:
        asked = time.time()
        got = await self._get("/api/items", limit="8", again=str(int(again)))
        now = time.time()
        self._said.waits["next"].append(now - asked)
        self._newest = got["figures"]["newest"]
        here = {item["id"] for item in got["items"]}
        for text in self._mine - here:  # what is not among them is anybody's again
            self._said.over[text, self.name].append(asked)
        self._mine = here
        for item in got["items"]:
            self._said.grants.append((now, asked + LEASE_S, item["id"], self.name))
        return list(got["items"])

    async def _label(self, item: dict[str, Any], *, breaks_off: bool) -> None:
        own = NAMES[int(item["id"].rpartition(" ")[2]) % len(NAMES)]
        value = own if self._rng.random() < AGREES else self._rng.choice(NAMES)
        acting = self._act("/api/label", item, {"value": value})
        if breaks_off:
            self._said.counts["broken off"] += 1
            self._said.open.add((item["id"], self.name))
            try:
                await asyncio.wait_for(acting, self._rng.random() * 0.02)
            except TimeoutError:
                return
            self._said.open.discard((item["id"], self.name))
            return
        await acting

    async def _act(self, path: str, item: dict[str, Any], what: dict[str, Any]) -> None:
        place = (item["id"], self.name)
        sent = time.time()
        self._said.over[place].append(sent)
        was_open = place in self._said.open
        if path == "/api/label":
            self._said.open.add(place)
        status, got = await self._post(path, {"id": item["id"], "seconds": 1, **what})
        if path == "/api/label":
            self._said.waits["label"].append(time.time() - sent)
            if status == 200 or not was_open:  # what an undo without an answer took back may be refused now
                self._said.open.discard(place)
        if status == 200:
            self._newest = got["figures"]["newest"]
            self._acts[got["figures"]["newest"]] = place
            if path == "/api/label":
                self._said.labels[place] = what["value"]
                self._said.counts["labels"] += 1
        elif status == 409:
            self._said.counts["somebody was quicker"] += 1
        else:
            self._said.odd.append(f"{path} {status} {got}")

    async def _undo(self) -> None:
        """Take back the newest act. Where the server never confirmed that one, it may or may not have been done."""
        place = self._acts.get(self._newest or 0)
        was_open = place in self._said.open
        if place is not None:
            self._said.open.add(place)
        status, got = await self._post("/api/undo", {"newest": self._newest})
        if place is not None and (status == 200 or not was_open):
            self._said.open.discard(place)
        if status == 200:
            self._newest = got["figures"]["newest"]
            self._said.counts["taken back"] += 1
            if got["was"] is not None and place is not None:
                self._said.labels.pop(place, None)

    async def _get(self, path: str, **query: str) -> Any:
        return (await self._call("GET", path, params=query))[1]

    async def _post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        headers = {"Origin": self.base, "X-Labelwright-Token": self._csrf}
        return await self._call("POST", path, json=body, headers=headers)

    async def _call(self, how: str, path: str, **more: Any) -> tuple[int, Any]:
        assert self._session is not None
        try:
            async with self._session.request(how, self.base + path, **more) as reply:
                if reply.status in {403, 429, 503}:  # of a server that was just started, or has no database yet
                    self._said.counts[f"status {reply.status}"] += 1
                    raise Away
                return reply.status, await reply.json() if "json" in reply.content_type else None
        except (aiohttp.ClientError, TimeoutError, OSError):
            raise Away from None


def begin(folder: Path, url: str, texts: int) -> Path:
    """A job whose texts wait for people."""
    settings = {
        "name": "load",
        "task": {"kind": "classification", "labels": {n: f"texts about {n}" for n in NAMES}},
        "data": {"pool": "pool.csv"},
        "oracle": {"name": "local", "base_url": "http://127.0.0.1:1/v1", "model": "small", "price": PRICE},
        "people": {"votes": VOTES, "lease_minutes": LEASE_S / 60},
        "budget": {"dollars": 1},
        "store": url,
    }  # fmt: skip
    (folder / "pool.csv").write_text("text\none text\n", encoding="utf-8")
    file = folder / "job.yaml"
    file.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    job = Job.load(file)
    with Store.open(url) as store:
        store.open_job("load", job.settings(), job.fingerprint(), MicroDollars(1_000_000))
        ids = [TextId(f"text {n}") for n in range(texts)]
        words = {x: f"Text {x}: the market and the match were both sold, it is said. " * 8 for x in ids}
        store.add_picks("load", 0, [Pick(x, k, "unsure", 1.0, 0.5, {}) for k, x in enumerate(ids)], words)
        chances = dict.fromkeys(NAMES, 1 / len(NAMES))
        given = store.add_labels("load", [Label(x, "sport", Source.ORACLE, "local/small", chances, 0.5) for x in ids])
        routes = [RouteRow(x, g, Route.PERSON, "not sure", 0.5) for x, g in zip(ids, given, strict=True)]
        store.add_routes("load", 0, routes)
    return file


class Server:
    """`labelwright review --team` on one port, which can be killed and started again."""

    def __init__(self, file: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        words = ["review", str(file), "--team", "--port", str(self.port)]
        self._command = [sys.executable, "-m", "agent", *words]
        self._process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise RuntimeError("the review did not start")

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()

    @property
    def memory_mb(self) -> float:
        """Most that it held so far."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


async def work(server: Server, url: str, said: Said, tokens: dict[str, str], size: Size) -> float:
    """Let everybody label until nothing waits; returns how many seconds that took."""
    base, done, began = f"http://127.0.0.1:{server.port}", asyncio.Event(), time.monotonic()
    people = [Person(base, who, said, random.Random(number), size) for number, who in enumerate(tokens.items())]
    lives = [asyncio.create_task(p.live(done)) for p in people]
    with Store.open(url) as store:
        total, deaths = store.queue_size("load"), 0
        while (left := await asyncio.to_thread(store.queue_size, "load", include_skipped=True)) > 0:
            if time.monotonic() - began > size.limit_s:
                break
            if deaths < size.kills and left < total * (1 - (deaths + 1) / (size.kills + 2)):
                deaths += 1
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)
            await asyncio.sleep(0.2)
    said.counts["servers killed"] = deaths
    done.set()
    await asyncio.wait(lives, timeout=20)
    for life in lives:
        life.cancel()
    ends = await asyncio.gather(*lives, return_exceptions=True)
    said.odd += [repr(end) for end in ends if isinstance(end, Exception)]
    return time.monotonic() - began


def lost(said: Said, kept: dict[tuple[str, str], str]) -> list[tuple[str, str]]:
    """Labels that the server had confirmed, and that the store does not hold."""
    return [place for place, value in said.labels.items() if place not in said.open and kept.get(place) != value]


def beyond(said: Said, votes: int) -> int:
    """How often a text was surely before more people at once than it needs."""
    events: dict[str, list[tuple[float, int, str]]] = defaultdict(list)
    for start, lease, text, person in said.grants:
        until = min([lease, *(at for at in said.over[text, person] if at >= start)])
        if until > start:
            events[text] += [(start, 1, person), (until, -1, person)]
    found = 0
    for mine in events.values():
        now: Counter[str] = Counter()
        for _, step, person in sorted(mine, key=lambda e: (e[0], e[1])):
            now[person] += step
            found += step > 0 and sum(n > 0 for n in now.values()) > votes
    return found


def measure(outcome: Outcome, what: str, url: str, folder: Path, size: Size) -> None:
    """One kind of database."""
    file, said = begin(folder, url, size.texts), Said()
    with Store.open(url) as store:
        tokens = {f"person {n}": store.add_reviewer("load", f"person {n}") for n in range(size.clients - size.leads)}
        tokens |= {f"lead {n}": store.add_reviewer("load", f"lead {n}", "lead") for n in range(size.leads)}
    server = Server(file)
    writer = subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True)
    try:
        seconds = asyncio.run(work(server, url, said, tokens, size))
        memory = server.memory_mb
    finally:
        server.kill()
        writer.kill()
    written = writer.communicate()[0].split()
    with Store.open(url) as store:
        acts = [r for r in store.reviews("load") if r.label_id is not None and not r.undone]
        value_of = {label.id: str(label.value) for label in store.labels("load", source=Source.PERSON)}
        kept = {(str(r.text_id), r.person): value_of[r.label_id] for r in acts}
        votes = Counter(r.text_id for r in acts if r.action == "label")
        stuck = store.queue_size("load", include_skipped=True)
    add = outcome.add
    add(f"{what}: people, texts, labels a text", f"{size.clients} {size.texts} {VOTES}", "")
    add(f"{what}: labels saved", said.counts["labels"], f"in {seconds:.0f} s")
    for name in ("servers killed", "left for good", "reloads", "broken off", "taken back", "no answer"):
        add(f"{what}: {name}", said.counts[name], "times")
    add(f"{what}: labels that a run gave meanwhile", int(written[-1]) if written else 0, "labels")
    add(f"{what}: somebody was quicker", said.counts["somebody was quicker"], "answers not saved, and said so")
    missing, most, many = lost(said, kept), max(votes.values(), default=0), beyond(said, VOTES)
    gone = "; ".join(f"{place}: told {said.labels[place]}, kept {kept.get(place)}" for place in missing[:2])
    add(f"{what}: confirmed labels that are gone", len(missing), gone or "labels", target="0", holds=not missing)
    add(f"{what}: most labels of a text", most, "labels", target=f"<= {VOTES}", holds=most <= VOTES)
    add(f"{what}: texts before more people than needed", many, "times", target="0", holds=many == 0)
    add(f"{what}: texts that wait in the end", stuck, "texts", target="0", holds=stuck == 0)
    add(f"{what}: answers that make no sense", len(said.odd), "; ".join(said.odd[:2]), target="0", holds=not said.odd)
    for name in ("next", "label"):
        p95 = float(np.percentile(said.waits[name], 95)) * 1000
        add(f"{what}: 95 % of requests ({name}) within", p95, "ms", target=f"< {TARGET_MS:g}", holds=p95 < TARGET_MS)
        add(f"{what}: half of them", float(np.median(said.waits[name])) * 1000, "ms")
    add(f"{what}: the server's memory at most", memory, "MB")


def main() -> int:
    outcome, size = Outcome("review_load", quick=is_quick()), Size(20, 200, limit_s=120) if is_quick() else Size()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "sqlite"
        place.mkdir()
        measure(outcome, "SQLite", f"sqlite:///{place / 'labelwright.db'}", place, size)
        try:
            postgres = PostgresServer(settings=())  # as it comes: durable, with its vacuum
        except NotInstalled as missing:
            outcome.add("PostgreSQL", "not measured", str(missing))
            return outcome.finish()
        try:
            place = Path(folder) / "postgresql"
            place.mkdir()
            measure(outcome, "PostgreSQL", postgres.new_database(), place, size)
        finally:
            postgres.stop()
    return outcome.finish()


if __name__ == "__main__":
    sys.exit(main())
