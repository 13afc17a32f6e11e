"""A job that is killed and gone on with, again and again: how it is launched, where it dies, what is looked at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Self

import yaml

from tests.servers.charges import read_log
from tests.storm import books
from tests.storm.aging import age
from tests.storm.points import DISTIL, EARLY, LATE, MONEY, ROUND
from tests.whole.jobs import truth, write_job

POOL, BATCH = 150, 12
KILLS_A_LIFE = 10
LONGEST_RUN_S = 120
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "COLUMNS": "120"}
LAUNCHER = [sys.executable, "-m", "tests.storm.armed"]
TIME = "random time"
BUSY = ("--fail-503", "0.05", "--fail-429", "0.03")
BAD = ("--fail-503", "0.05", "--fail-429", "0.03", "--hang", "0.01", "--reset", "0.03", "--truncated", "0.02",
          "--bad-json", "0.02", "--garbage", "0.02", "--omit-usage", "0.02", "--charged-503", "0.02")  # fmt: skip


@dataclass(frozen=True)
class Shot:
    """Where a run is to die: at the n-th time of a point, or so many seconds after its start.

    `aged` first makes of the store one of version 0001, so that there is something to migrate.
    """

    point: str
    nth: int = 1
    after_s: float | None = None
    aged: bool = False

    def order(self) -> dict[str, Any]:
        return {"after_s": self.after_s} if self.after_s is not None else {"point": self.point, "nth": self.nth}


class Stable:
    """Runs of the command, forked from one process that has everything imported. For one thread."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [*LAUNCHER, "--stable"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
        )

    def run(self, order: dict[str, Any]) -> int:
        """The exit code, below zero where a signal ended it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(json.loads(self._process.stdout.readline())["status"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


@contextmanager
def provider(folder: Path, *options: str) -> Iterator[str]:
    """A scripted server in a process of its own; its log is `folder/provider.jsonl`. Yields its address."""
    gold = folder / "gold.jsonl"
    gold.write_text("".join(json.dumps({"text": t, "label": y}) + "\n" for t, y in truth(POOL).items()))
    command = [sys.executable, "-m", "tests.servers.scripted", "--gold", str(gold), "--errors", "0.1",
               "--log", str(folder / "provider.jsonl"), *options]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


@dataclass
class Tally:
    """What the storm came to so far; shared by all workers."""

    wanted: int
    named: frozenset[str] = frozenset()  # points that have to be reached, if three times as many kills can reach them
    kills: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    lives: int = 0
    on_servers: int = 0
    requests: int = 0
    charged: int = 0
    cap: int = 0
    settled: int = 0
    ambiguous: int = 0
    began: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def enough(self) -> bool:
        total = self.kills.total()
        return total >= self.wanted and (set(self.kills) >= self.named or total >= 3 * self.wanted)

    def lines(self) -> Iterator[str]:
        """What a person reads."""
        where = f"{self.lives} jobs ({self.on_servers} on PostgreSQL)"
        yield f"{self.kills.total()} kills in {where}, {time.monotonic() - self.began:.0f} s"
        for point, times in sorted(self.kills.items()):
            yield f"  {point:<24}{times:>5}"
        yield (f"the provider logged {self.requests:,} requests and charged {self.charged:,} micro-dollars of "
               f"{self.cap:,} allowed; {self.settled:,} attempts settled, {self.ambiguous:,} ambiguous")  # fmt: skip
        yield f"{len(self.problems)} problems"
        yield from self.problems[:20]


class Life:
    """One job from its first run to its last.

    Args:
        folder: holds one for each job.
        number, seed: of the provider's faults, the budget, and the times.
    """

    def __init__(self, folder: Path, number: int, seed: int, stable: Stable, tally: Tally) -> None:
        self.folder, self.number, self.tally = folder / f"job{number}", number, tally
        self._stable, self._rng = stable, Random(f"{seed}/{number}")
        self._url: str | None = None
        self._before: books.Books | None = None

    def live(self, url: str | None = None) -> None:
        """Kill and go on until the shots are used up, then finish. `url` of the store; None: a file in the output."""
        self._url = url
        self.folder.mkdir(parents=True)
        with provider(self.folder, *self._faults()) as address:
            self._write_job(address)
            for shot in self._shots():
                if self.tally.enough:
                    break
                if shot.aged:
                    age(self.folder / "out" / "labelwright.db")
                status = self._run(shot)
                with self.tally.lock:
                    (self.tally.kills if status == -9 else self.tally.missed)[shot.point] += 1
                self._check(f"killed at {shot.point}" if status == -9 else f"after {shot.point} was not reached")
                if status not in (-9, 0):
                    self._say(f"ended with {status} on its way to {shot.point}: {self._last_words()}")
                if status != -9 and shot.after_s is None and shot.point not in LATE | DISTIL | EARLY:
                    break  # it finished before it came there
            self._finish()

    def _finish(self) -> None:
        """Run to the end, and once more."""
        for what in ("run again", "run once more"):
            asked, made = len(self._log()), self._exports()
            if status := self._run(None):
                self._say(f"{what}: ended with {status}: {self._last_words()}")
            self._check(what)
        if len(self._log()) != asked:
            self._say(f"run once more, it sent {len(self._log()) - asked} requests")
        if not made or self._exports() != made:
            self._say("run once more, it wrote other exports")
        self._count()

    def _count(self) -> None:
        now = self._books()
        if now is None:
            return
        found = books.compare(now, self._log())
        with self.tally.lock:
            self.tally.lives += 1
            self.tally.on_servers += self._url is not None
            self.tally.requests += len(self._log())
            self.tally.charged += found.charged
            self.tally.cap += now.cap
            self.tally.settled += found.settled
            self.tally.ambiguous += found.ambiguous

    # What is chosen -----------------------------------------------------------------------------------------------

    @property
    def _distils(self) -> bool:
        return self.number % 3 == 0

    def _faults(self) -> list[str]:
        """Every other provider misbehaves as well, every fourth one badly."""
        latency = ["--latency-ms", str(self._rng.choice((0, 5, 20)))]
        return [*latency, *((), BAD, (), BUSY)[self.number % 4]]

    def _write_job(self, address: str) -> None:
        changes: dict[str, Any] = {
            "oracle__base_url": address,
            "selection__batch": BATCH,
            "selection__cold_start": 16,
        }
        changes |= {"data__gold": None, "stop__max_rounds": None, "distil__enabled": self._distils}
        changes |= {"student__cache": str(self.folder / "cache"), "oracle__timeout_s": 1.5}
        changes["budget__dollars"] = self._rng.choice((1, 0.02))  # for every text, or for about a hundred
        if self._url is not None:
            changes["store"] = self._url
        write_job(self.folder, pool=POOL, **changes)

    def _shots(self) -> Iterator[Shot]:
        """Early ones, then the middle of life, then what comes when everything was asked."""
        yield self._shot(self._rarest(EARLY))
        for i in range(KILLS_A_LIFE - 2 - len(DISTIL) * self._distils):
            if i == 3 and self.number % 2 and self._url is None:
                yield Shot("in-migration", self._rng.randint(1, 9), aged=True)
            elif i % 4 == 2:
                yield self._shot(TIME)
            else:
                yield self._shot(self._rarest({**MONEY, **ROUND}))
        for point in DISTIL if self._distils else ():
            yield self._shot(point)
        yield self._shot(self._rarest(LATE))

    def _rarest(self, points: Iterable[str]) -> str:
        """The point at which the fewest runs have died so far."""
        with self.tally.lock:
            return min(points, key=lambda p: (self.tally.kills[p] + self.tally.missed[p] / 2, self._rng.random()))

    def _shot(self, point: str) -> Shot:
        if point == TIME:
            return Shot(TIME, after_s=self._rng.uniform(0.02, 1.5))
        most = {"in-migration": 30, "in-embedding": 4, "in-export": 12, "in-distilling": 4, "after-commit": 40,
                "before-commit": 40}.get(point, 8 if point in MONEY else 1)  # fmt: skip
        return Shot(point, self._rng.randint(1, most))

    # What is seen -------------------------------------------------------------------------------------------------

    def _run(self, shot: Shot | None) -> int:
        order = {"words": ["run", str(self.folder / "job.yaml")], "log": str(self.folder / "run.log")}
        order |= {"witness": str(self.folder / "witness")}
        return self._stable.run(order | (shot.order() if shot else {}))

    def _books(self) -> books.Books | None:
        return books.read(self._url or f"sqlite:///{self.folder / 'out' / 'labelwright.db'}", "small")

    def _log(self) -> list[dict[str, Any]]:
        with suppress(FileNotFoundError):
            return read_log(self.folder / "provider.jsonl")
        return []

    def _exports(self) -> dict[str, bytes]:
        folder = self.folder / "out" / "labels"
        return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}

    def _check(self, when: str) -> None:
        now = self._books()
        witness = self.folder / "witness"
        told = {int(line) for line in witness.read_text().split()} if witness.exists() else set()
        for problem in books.lost(self._before, now, told):
            self._say(f"{when}: {problem}")
        if now is not None:
            for problem in books.compare(now, self._log()).problems:
                self._say(f"{when}: {problem}")
        elif self._log():
            self._say(f"{when}: requests were sent, and there is no store")
        self._before = now

    def _last_words(self) -> str:
        return (self.folder / "run.log").read_text(encoding="utf-8", errors="replace")[-600:]

    def _say(self, problem: str) -> None:
        with self.tally.lock:
            self.tally.problems.append(f"job {self.number} ({self.folder}): {problem}")


class Cascade(Life):
    """A job with two oracles that asks again about labels which look wrong: killed at each step of that, once."""

    def _faults(self) -> list[str]:
        return ["--errors", "0.3", "--latency-ms", "2"]

    def _write_job(self, address: str) -> None:
        super()._write_job(address)
        path = self.folder / "job.yaml"
        job = yaml.safe_load(path.read_text(encoding="utf-8"))
        # one server is both: without descriptions a question is another one, and so is its answer
        first = job["oracle"] | {"name": "first", "base_url": address}
        job["oracle"] = [first, first | {"name": "second", "format": {"descriptions": False}}]
        job["selection"] |= {"relabel": 0.5}
        job["people"] |= {"threshold": 0.5}
        job["stop"] |= {"max_labels": 64}
        job["budget"] |= {"dollars": 1}
        path.write_text(yaml.safe_dump(job, sort_keys=False), encoding="utf-8")

    def _shots(self) -> Iterator[Shot]:
        yield Shot("again-chosen")
        yield Shot("again-asked")
        yield Shot("after-body", self._rng.randint(3, 9))
        yield Shot("again-settled")
        yield Shot("answers-before-labels", 2)
        yield Shot("labels-before-routes", 2)
        yield Shot("before-settle", self._rng.randint(3, 9))

    @property
    def _distils(self) -> bool:
        return False
