"""`kill -9` at every step of a batch's way: nothing is bought twice, nothing that was charged is missing.

The provider's log, on disk before it answers, is held against the store.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.store import AttemptState, Store
from tests.bulk.dying import POINTS
from tests.bulk.making import RICH, attempts, line_ids, opened, texts
from tests.marks import storm
from tests.servers.charges import read_log
from tests.servers.scripted import BatchFaults, ScriptedServer

CHECKOUT = Path(__file__).resolve().parents[2]
COUNT = 30


def start(folder: Path, url: str, point: str = "never") -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.bulk.dying", str(folder), url, str(COUNT), point]
    with (folder / "run.log").open("ab") as log:
        return subprocess.Popen(
            command, cwd=CHECKOUT, stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )


def end(process: subprocess.Popen[bytes], folder: Path) -> None:
    assert process.wait(120) == 0, (folder / "run.log").read_text()


def check(store: Store, folder: Path, *, ambiguous: int = 0) -> None:
    """The provider's log against the store."""
    rows, purse = read_log(folder / "charges"), store.job("job")
    charged = {row["custom_id"]: row["charged"] for row in rows}
    kept = {f"lw-{a.id}": a for a in store.attempts("job")}
    assert set(charged) <= set(kept)
    assert set(line_ids(rows).values()) <= {1}
    for name, amount in charged.items():
        assert kept[name].state is not AttemptState.RELEASED or amount == 0, "charged, but released"
        assert kept[name].charged >= amount
    assert purse.spent >= sum(charged.values())
    if ambiguous == 0:
        assert purse.spent == sum(charged.values())
    assert purse.reserved == 0
    assert purse.spent <= purse.cap
    assert attempts(store)[AttemptState.RESERVED] == 0


def found(folder: Path) -> dict[str, str]:
    said = json.loads((folder / "found.json").read_text())
    return {i.removeprefix("id of "): v for i, v in said.items()}


Serve = Callable[..., ScriptedServer]


@pytest.mark.parametrize("point", [*POINTS[::3], *storm(*POINTS[1::3], *POINTS[2::3])])
def test_a_run_that_is_killed_goes_on_and_buys_nothing_twice(serve_gold: Serve, tmp_path: Path, point: str) -> None:
    server = serve_gold(texts(COUNT), batch_faults=BatchFaults(polls=1), log=tmp_path / "charges")
    assert start(tmp_path, server.url, point).wait(120) == -9, (tmp_path / "run.log").read_text()
    with opened(tmp_path) as store:
        purse = store.job("job")
        charged = sum(row["charged"] for row in read_log(tmp_path / "charges"))
        assert charged <= purse.spent + purse.reserved <= RICH, "all that may be charged is set aside"
        end(start(tmp_path, server.url), tmp_path)
        check(store, tmp_path)
    assert found(tmp_path) == texts(COUNT)
    assert sorted(row["text"] for row in server.asked) == sorted(texts(COUNT)), "each was bought once"


@pytest.mark.parametrize("point", ["after it was started", "while waiting", "after a few answers"])
def test_an_expired_batch_of_a_killed_run_is_used_and_the_rest_asked_once_more(
    serve_gold: Serve, tmp_path: Path, point: str
) -> None:
    faults = BatchFaults(polls=1, expire_after=0.6)
    server = serve_gold(texts(COUNT), batch_faults=faults, log=tmp_path / "charges")
    assert start(tmp_path, server.url, point).wait(120) == -9
    end(start(tmp_path, server.url), tmp_path)
    with opened(tmp_path) as store:
        check(store, tmp_path)
        answered = {t for t, v in found(tmp_path).items() if v is not None}
        assert answered == {row["text"] for row in server.asked}
        assert len(found(tmp_path)) == COUNT
        most = [store.batches("job")[i].details["lines"] for i in range(len(store.batches("job")))]
    assert len(answered) >= COUNT * 0.6
    assert sum(most) <= 2 * COUNT


def test_a_run_that_is_killed_again_and_again_at_any_moment_ends_well(serve_gold: Serve, tmp_path: Path) -> None:
    faults = BatchFaults(phase_s=0.15, share_503=0.1, share_submit_reset=0.3, share_truncated=0.2, shuffled=True)
    server = serve_gold(texts(COUNT), batch_faults=faults, log=tmp_path / "charges")
    rng = random.Random(7)
    with opened(tmp_path) as store:
        for _ in range(6):
            process = start(tmp_path, server.url)
            try:
                process.wait(rng.uniform(1.0, 2.6))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        end(start(tmp_path, server.url), tmp_path)
        check(store, tmp_path)
    assert found(tmp_path) == texts(COUNT)
    assert sorted(row["text"] for row in server.asked) == sorted(texts(COUNT))
