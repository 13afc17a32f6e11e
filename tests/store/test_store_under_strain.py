"""Several threads, several stores on one file, and processes that are killed: nothing committed is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent.errors import BudgetExceeded, StoreError
from agent.records import MicroDollars, TextId
from agent.store import AttemptState, Store
from agent.store import engine as store_engine
from tests.store.making import USAGE, label, pick, stored
from tests.stores import on_sqlite

CHECKOUT = Path(__file__).resolve().parents[2]


def spend(store: Store, number: int) -> bool:
    """Reserve 10, pay 7; False where the cap has no room."""
    try:
        attempt = store.reserve("job", "o", f"k{number}", TextId(f"t{number}"), MicroDollars(10), owner="me")
    except BudgetExceeded:
        return False
    store.settle(attempt, MicroDollars(7), USAGE, stored(f"k{number}"))
    return True


def test_two_stores_on_one_file_see_each_others_commits_and_share_one_cap(store: Store, url: str) -> None:
    store.open_job("job", {}, "print", MicroDollars(500))
    with Store.open(url) as other, ThreadPoolExecutor(6) as threads:
        paid = list(threads.map(lambda i: spend((store, other)[i % 2], i), range(100)))
        job = other.job("job")
        assert job == store.job("job")
    assert job.spent == 7 * sum(paid)
    assert job.reserved == 0
    assert job.spent <= job.cap
    assert job.spent + 10 > job.cap
    assert len(store.answers_for([f"k{i}" for i in range(100)], "http://here/v1")) == sum(paid)


def test_readers_are_not_shut_out_by_an_open_writer(store: Store, url: str) -> None:
    with store.transaction() as tx:
        store.add_labels("job", [label(f"t{i}") for i in range(3_000)], tx=tx)
        with Store(url) as other:  # not `open`, which would wait for the writer
            assert other.labels("job") == []
        with ThreadPoolExecutor() as threads:
            assert threads.submit(store.labels, "job").result() == []
        assert len(store.labels("job")) == 3_000, "what a thread reads in its own transaction is as that one left it"
    assert len(store.labels("job")) == 3_000


@on_sqlite
def test_a_store_that_another_process_holds_is_a_message(
    store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_engine, "BUSY_TIMEOUT_S", 0)
    with store.transaction(), pytest.raises(StoreError, match="another process is writing to it"):
        Store.open(url)


def test_writers_in_many_threads_take_turns(store: Store) -> None:
    together = threading.Barrier(8)

    def write(number: int) -> None:
        together.wait()
        for i in range(10):
            pick(store, [f"{number}-{i}", "shared"])

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(8)))
    assert len({p.text_id for p in store.picks("job")}) == 81


KILLED = """
import sys
from tests.store.making import *
store = Store.open(sys.argv[1])
for i in range(100_000):
    attempt = store.reserve("job", "o", f"k{i}", TextId(f"t{i}"), MicroDollars(10), owner="killed")
    print("reserved", attempt, flush=True)
    if i % 3 != 2:
        answer = store.settle(attempt, MicroDollars(7), USAGE, stored(f"k{i}"))
        ids = store.add_labels("job", [label(f"t{i}", answer_id=answer)])
        print("settled", attempt, answer, ids[0], flush=True)
"""


@pytest.mark.parametrize("lines", [1, 8, 23])
def test_a_killed_process_loses_nothing_that_it_had_committed(store: Store, url: str, lines: int) -> None:
    store.open_job("job", {}, "print", MicroDollars(10**9))
    store.close()
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-c", KILLED, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=CHECKOUT) as process:
        assert process.stdout is not None
        said = [process.stdout.readline().split() for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        said += [line.split() for line in process.stdout if line.endswith("\n")]
    with Store.open(url) as again:
        kept = {a.id: a for a in again.attempts("job")}
        labels = {x.id: x.answer_id for x in again.labels("job")}
        for word, attempt, *rest in said:
            assert int(attempt) in kept
            if word == "settled":
                assert kept[int(attempt)].answer_id == int(rest[0])
                assert labels[int(rest[1])] == int(rest[0])
        left = sum(a.state is AttemptState.RESERVED for a in kept.values())
        assert again.abandon_reservations("job", "me") == left
        job, ended = again.job("job"), again.attempts("job")
        assert job.reserved == 0
        assert job.spent == sum(a.charged for a in ended)
        assert {a.state for a in ended} <= {AttemptState.SETTLED, AttemptState.AMBIGUOUS}
