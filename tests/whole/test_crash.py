"""`kill -9` in the middle of a run, several times over: it goes on, and buys nothing twice that had been answered.

The evidence is the server's own log, which is written before an answer is sent.
"""

from __future__ import annotations

import contextlib
import csv
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from agent.store import AttemptState, Store
from tests.marks import storm
from tests.servers.scripted import Faults, ScriptedServer

TOPICS = {
    "refund": ["refund", "money back", "reimburse me", "charged twice"],
    "exchange": ["another size", "swap it", "exchange it", "wrong colour"],
    "delivery": ["where is my parcel", "late again", "tracking number", "courier"],
    "praise": ["thank you", "lovely", "well done", "five stars"],
}
POOL = 200


def texts() -> dict[str, str]:
    """Made-up questions of four topics."""
    found = {}
    for i in range(POOL):
        topic = list(TOPICS)[i % len(TOPICS)]
        words = TOPICS[topic]
        found[f"Order {1000 + i}: {words[i // 4 % 4]}, please, {words[i // 16 % 4]} ({i})"] = topic
    return found


@pytest.fixture
def server(serve_gold: Callable[..., ScriptedServer]) -> ScriptedServer:
    return serve_gold(texts(), errors=0.1, seed=1, faults=Faults(latency_s=0.02))


@pytest.fixture
def job_file(tmp_path: Path, server: ScriptedServer) -> Path:
    with (tmp_path / "pool.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text"], *([t] for t in texts())])
    settings = {
        "name": "crash",
        "task": {"labels": list(TOPICS)},
        "data": {"pool": "pool.csv"},
        "oracle": {
            "base_url": server.url,
            "model": "scripted",
            "price": {"input": 1, "output": 2},
            "max_concurrency": 8,
        },
        "student": {"refresh": False},
        "selection": {"batch": 50, "cold_start": 50},
        "budget": {"dollars": 0.2},
        "stop": {"agreement": None},
        "distil": {"enabled": False},
    }
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


class Run:
    """`labelwright run` in a process of its own."""

    def __init__(self, job_file: Path) -> None:
        self.log = (job_file.parent / "run.log").open("ab")
        command = [sys.executable, "-m", "agent.cli", "run", str(job_file)]
        self.process = subprocess.Popen(
            command, stdout=self.log, stderr=self.log, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )

    def stop(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.end()

    def end(self, timeout_s: float = 240) -> int:
        try:
            return self.process.wait(timeout_s)
        finally:
            self.process.kill()
            self.process.wait()
            self.log.close()


@pytest.fixture
def run(job_file: Path) -> Iterator[Callable[[], Run]]:
    started: list[Run] = []

    def start() -> Run:
        started.append(Run(job_file))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.end(0.1)


def answered(job_file: Path) -> set[str]:
    """Texts whose answer is in the store."""
    with Store.open(f"sqlite:///{job_file.parent / 'out' / 'labelwright.db'}") as store:
        settled = {a.text_id for a in store.attempts("crash") if a.state is AttemptState.SETTLED}
        return set(store.texts("crash", settled).values())


def bought(rows: list[dict[str, object]]) -> list[str]:
    return [str(row["text"]) for row in rows if row["status"] == 200]


@pytest.mark.storm  # a dozen kills are in tests/storm
@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_and_buys_nothing_twice(
    job_file: Path, server: ScriptedServer, run: Callable[[], Run]
) -> None:
    kills: list[tuple[int, set[str]]] = []  # rows of the server's log at that moment, texts whose answer was stored
    in_flight = 0
    for reached in (20, 80, 140):
        one = run()
        assert server.log.wait_for(reached, timeout_s=240), (job_file.parent / "run.log").read_text()
        one.stop(signal.SIGKILL)
        known = answered(job_file)
        kills.append((len(server.asked), known))
        in_flight += len(set(bought(server.asked)) & set(texts()) - known)
        assert len(known) >= reached // 2, "the store keeps up with the answers"

    assert run().end() == 0, (job_file.parent / "run.log").read_text()

    for row, known in kills:
        assert set(bought(server.asked[row:])) & known == set(), "these had been answered, and were bought again"
    times = Counter(text for text in bought(server.asked) if text in texts())
    assert len(times) == POOL, "every text was asked about in the end"
    twice = sum(n - 1 for n in times.values())
    assert twice <= in_flight, "only an answer that was on its way when the process died may be bought again"
    _money_adds_up(job_file, server)


def _money_adds_up(job_file: Path, server: ScriptedServer) -> None:
    path = job_file.parent / "out" / "labelwright.db"
    with Store.open(f"sqlite:///{path}") as store:
        spending, labels = store.spending("crash"), store.current("crash")
        attempts = store.attempts("crash")
    assert spending.spent <= spending.cap
    assert spending.reserved == 0
    assert not [a for a in attempts if a.state is AttemptState.RESERVED]
    assert len(labels) == POOL
    settled = [a for a in attempts if a.state is AttemptState.SETTLED]
    lost = [a for a in attempts if a.state is AttemptState.AMBIGUOUS]
    assert len(settled) <= len(bought(server.asked)) <= len(settled) + len(lost)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.slow
@pytest.mark.parametrize("how", [*storm(signal.SIGINT), signal.SIGTERM])
def test_ctrl_c_or_sigterm_ends_cleanly_and_says_how_to_go_on(
    job_file: Path, server: ScriptedServer, run: Callable[[], Run], how: signal.Signals
) -> None:
    one = run()
    assert server.log.wait_for(20, timeout_s=240), (job_file.parent / "run.log").read_text()
    assert one.stop(how) == 130
    said = (job_file.parent / "run.log").read_text()
    assert "run the same command again to go on" in said
    assert "Traceback" not in said
    known = answered(job_file)
    assert known == set(bought(server.asked)) & set(texts()), "what was under way came home and was kept"


@pytest.mark.slow
def test_the_second_ctrl_c_leaves_at_once_and_says_so(
    job_file: Path, serve_gold: Callable[..., ScriptedServer]
) -> None:
    server = serve_gold(texts(), faults=Faults(latency_s=600))  # nothing that is under way comes home
    settings = yaml.safe_load(job_file.read_text())
    settings["oracle"] |= {"base_url": server.url, "timeout_s": 900, "answers": "plain"}
    job_file.write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "agent.cli", "run", str(job_file)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        assert _store_says(job_file, "reserved")
        process.send_signal(signal.SIGINT)
        told = next(line for line in process.stderr if "stopping" in line)
        assert "press Ctrl-C again" in told
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert rest.strip().splitlines()[-1].startswith("stopped; what was answered is kept"), rest
        assert process.wait(30) == 130


def _store_says(job_file: Path, state: str) -> bool:
    """Wait until an attempt of that state is in the store; there is no event to wait on, so it is looked at."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with contextlib.suppress(sqlite3.OperationalError):
            url = f"file:{job_file.parent / 'out' / 'labelwright.db'}?mode=ro"
            with contextlib.closing(sqlite3.connect(url, uri=True)) as sql:
                if sql.execute("SELECT 1 FROM attempts WHERE state = ?", (state,)).fetchone():
                    return True
        threading.Event().wait(0.05)
    return False
