"""A dozen kills: a slice of `python -m tests.storm kills`, and that its launcher cannot be disarmed unnoticed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.store import AGAIN, Store
from tests.postgres import PostgresServer
from tests.servers.scripted import ScriptedServer
from tests.storm import books, points
from tests.storm.kills import storm
from tests.storm.lives import ENVIRONMENT, LAUNCHER, Cascade, Stable, Tally
from tests.storm.points import Disarmed, Fuse
from tests.whole.jobs import truth, write_job

NAMED = {"before-reserve", "after-reserve", "after-send", "after-body", "before-settle", "after-settle",
         "in-migration", "in-distilling"}  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_dozen_kills_lose_no_answer_no_charge_and_no_cent(tmp_path: Path) -> None:
    tally = storm(tmp_path, 12, seed=1, named=NAMED)
    print("\n".join(tally.lines()))
    assert tally.problems == []
    assert tally.kills.total() >= 12
    assert set(tally.kills) >= NAMED
    assert tally.charged <= tally.cap


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kills_on_postgresql_lose_nothing_either(tmp_path: Path, postgres: PostgresServer) -> None:
    tally = storm(tmp_path, 4, seed=2, workers=1, stores=lambda number: postgres.new_database(empty=True))
    print("\n".join(tally.lines()))
    assert tally.problems == []
    assert tally.kills.total() >= 4
    assert tally.on_servers == tally.lives > 0


@pytest.mark.slow
def test_kills_of_a_job_with_two_oracles_that_asks_again_lose_nothing(tmp_path: Path) -> None:
    tally = Tally(wanted=100)
    with Stable() as stable:
        Cascade(tmp_path, 3, 5, stable, tally).live()
    print("\n".join(tally.lines()))
    assert tally.problems == []
    assert {"again-chosen", "again-asked", "again-settled"} <= set(tally.kills)
    assert tally.kills.total() >= 6
    with Store.open(f"sqlite:///{tmp_path / 'job3' / 'out' / 'labelwright.db'}") as store:
        again, routes = store.asked_again("small"), store.routes("small")
        assert again
        assert all(routes[i].reason != AGAIN for i in again), "each was answered in the end"


@pytest.mark.slow
def test_a_run_of_its_own_dies_where_it_is_told_to(tmp_path: Path, serve_gold: Callable[..., ScriptedServer]) -> None:
    server = serve_gold(dict(truth()))
    job = write_job(tmp_path, oracle__base_url=server.url, distil__enabled=False)
    witness = tmp_path / "witness"
    words = ["--point", "after-send", "--nth", "9", "--witness", str(witness), "--", "run", str(job)]
    done = subprocess.run([*LAUNCHER, *words], env=ENVIRONMENT, capture_output=True, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    kept = books.read(f"sqlite:///{tmp_path / 'out' / 'labelwright.db'}", "small")
    assert kept is not None
    assert server.log.wait_for(9, timeout_s=20), "what was sent arrived, though nobody waits for its answer"
    assert books.compare(kept, server.asked).problems == []
    open_ones = [a for a in kept.attempts.values() if a["state"] == "reserved"]
    assert open_ones, "the ninth request left with a reservation that nothing has ended"


def test_a_name_that_is_gone_is_told_before_anything_runs() -> None:
    for path in ("agent.ledger.ledger:Ledger.no_such", "agent.no_such:run", "agent.pool.embeddings:BLOCK"):
        with pytest.raises(Disarmed, match=path):
            points.around(path, before=lambda _: None)


@pytest.mark.slow
def test_every_point_finds_what_it_wraps() -> None:
    every = "[p.arm(name, 10**9) for name in {**p.POINTS, **p.AGAIN}]"
    arming = f"from tests.storm import points as p; {every}; p.witness('/dev/null')"
    command = [sys.executable, "-c", arming]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode()


def test_a_fuse_burns_at_the_nth_time_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr("os.kill", lambda _, what: sent.append(what))
    fuse = Fuse(3)
    for _ in range(2):
        fuse()
    assert not sent
    fuse()
    assert sent == [signal.SIGKILL]
