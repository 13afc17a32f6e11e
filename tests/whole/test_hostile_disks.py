"""A disk that is full or read-only, a store from another time, a damaged one, a second run: told, and nothing sent.

The disks are real: a small tmpfs for each test, where this user may mount one. Evidence is the server's own log.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.store.migrate import HEAD
from tests.marks import storm
from tests.servers.scripted import Faults, ScriptedServer
from tests.storm import books
from tests.storm.aging import age, rows_of
from tests.storm.lives import ENVIRONMENT, Stable
from tests.whole.jobs import truth, write_job

pytestmark = pytest.mark.slow

CHANGES: dict[str, Any] = {"distil__enabled": False, "stop__max_rounds": 4, "student__cache": "../cache"}


@dataclass
class Desk:
    """One job, the server it asks, and the command."""

    folder: Path
    server: ScriptedServer
    stable: Stable

    @property
    def store(self) -> Path:
        return self.folder / "out" / "labelwright.db"

    @property
    def url(self) -> str:
        return f"sqlite:///{self.store}"

    def run(self, *words: str, **order: Any) -> tuple[int, str]:
        """`labelwright run` on the job, or another command: exit code, and what it said."""
        log = self.folder / "run.log"
        log.unlink(missing_ok=True)
        said = {"words": [*(words or ("run",)), str(self.folder / "job.yaml")], "log": str(log)}
        code = self.stable.run(said | order)
        return code, " ".join(log.read_text(encoding="utf-8").split())

    def run_half(self) -> None:
        """A run that dies of `kill -9` in its second round, so that there is a store with answers and labels."""
        assert self.run(point="after-settle", nth=25)[0] == -9

    def refused(self, *said: str) -> None:
        """The run ends with 2, one message that says all of this, and no request."""
        before = len(self.server.asked)
        code, told = self.run()
        assert code == 2, told
        assert len(self.server.asked) == before, told
        assert "Traceback" not in told
        for words in said:
            assert words in told

    def finishes(self) -> None:
        code, told = self.run()
        assert code == 0, told
        kept = books.read(self.url, "small")
        assert kept is not None
        assert books.compare(kept, self.server.asked).problems == []


@pytest.fixture
def desk(tmp_path: Path, serve_gold: Callable[..., ScriptedServer], stable: Stable) -> Desk:
    server = serve_gold(dict(truth()), faults=Faults(latency_s=0.01))
    folder = tmp_path / "job"
    write_job(folder, oracle__base_url=server.url, **CHANGES)
    return Desk(folder, server, stable)


def mount(*words: object) -> None:
    done = subprocess.run(["mount", *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a real disk cannot be mounted here: {done.stderr.strip()}")


def unmount(place: Path) -> None:
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def small_disk(desk: Desk) -> Iterator[Path]:
    """The job's output folder, on a disk of 8 MB of its own."""
    place = desk.folder / "out"
    place.mkdir()
    mount("-t", "tmpfs", "-o", "size=8m", "tmpfs", place)
    yield place
    unmount(place)


def fill(disk: Path, leave: int = 0) -> Path:
    """Fill a disk but for `leave` bytes; returns what to remove to make room."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    os.truncate(ballast, max(0, ballast.stat().st_size - leave))
    return ballast


# Full -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leave", [0, *storm(4096), 65_536])
def test_a_disk_that_is_full_at_the_start_is_told_and_nothing_is_sent(
    desk: Desk, small_disk: Path, leave: int
) -> None:
    ballast = fill(small_disk, leave)
    desk.refused("No space left" if not leave else "disk is full", "make room")
    ballast.unlink()
    desk.finishes()


def test_a_disk_that_fills_up_half_way_stops_the_run_and_loses_nothing(desk: Desk, small_disk: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        running: Future[tuple[int, str]] = pool.submit(desk.run)
        assert desk.server.log.wait_for(30, timeout_s=60)
        ballast = fill(small_disk)
        code, told = running.result(60)
    assert code == 2
    assert "disk is full" in told
    assert "make room" in told
    assert "Traceback" not in told
    ballast.unlink()
    before = books.read(desk.url, "small")
    assert before is not None
    assert books.compare(before, desk.server.asked).problems == []
    assert len(before.answers) > 10
    desk.finishes()
    assert books.lost(before, books.read(desk.url, "small"), set()) == []


def test_a_disk_too_small_for_the_model_is_told_and_what_was_bought_stays(desk: Desk, small_disk: Path) -> None:
    write_job(desk.folder, **CHANGES | {"oracle__base_url": desk.server.url, "distil__enabled": True})
    code, told = desk.run()
    assert code == 2, told
    assert "model: cannot be written" in told
    assert "No space left" in told
    assert "make room" in told
    asked = len(desk.server.asked)
    mount("-o", "remount,size=400m", small_disk)
    desk.finishes()
    assert len(desk.server.asked) == asked, "nothing was left to ask"
    assert (small_disk / "model" / "model.safetensors").exists()


def test_a_disk_that_is_full_when_labels_are_written_leaves_the_old_files_whole(desk: Desk, small_disk: Path) -> None:
    desk.finishes()
    before = exported(small_disk)
    ballast = fill(small_disk, 8192)
    code, told = desk.run("export")
    assert code == 2, told
    assert "cannot write labels" in told
    assert "make room" in told
    assert exported(small_disk) == before
    ballast.unlink()
    assert desk.run("export")[0] == 0
    assert exported(small_disk) == before


def exported(output: Path) -> dict[str, bytes]:
    """Every file of the labels that a job wrote."""
    return {str(p.relative_to(output)): p.read_bytes() for p in (output / "labels").rglob("*") if p.is_file()}


# Read-only --------------------------------------------------------------------------------------------------------


def test_a_read_only_folder_is_told(desk: Desk, small_disk: Path) -> None:
    mount("-o", "remount,ro", small_disk)
    desk.refused("out", "Read-only")


def test_a_read_only_store_is_told_and_goes_on_when_it_can_be_written(desk: Desk, small_disk: Path) -> None:
    desk.run_half()
    mount("-o", "remount,ro", small_disk)
    desk.refused("out", "Read-only")
    mount("-o", "remount,rw", small_disk)
    desk.finishes()


def test_a_read_only_file_in_a_folder_that_can_be_written_is_told(desk: Desk) -> None:
    desk.run_half()
    mount("--bind", desk.store, desk.store)
    try:
        mount("-o", "remount,bind,ro", desk.store)
        desk.refused("labelwright.db", "not writable")
    finally:
        unmount(desk.store)
    desk.finishes()


# Another time -----------------------------------------------------------------------------------------------------


def test_a_store_of_an_older_version_is_brought_up_to_date_with_every_row(desk: Desk) -> None:
    desk.run_half()
    age(desk.store)
    before = rows_of(desk.store)
    assert min(len(before[t]) for t in ("jobs", "texts", "picks", "attempts", "answers", "labels", "routes")) > 0
    assert desk.run("status")[0] == 0
    assert rows_of(desk.store) == before
    desk.finishes()


@pytest.mark.parametrize("statement", [1, 6])
def test_an_upgrade_that_is_killed_half_way_has_not_happened_and_happens_again(desk: Desk, statement: int) -> None:
    desk.run_half()
    age(desk.store)
    before = rows_of(desk.store)
    assert desk.run(point="in-migration", nth=statement)[0] == -9
    assert desk.run("status")[0] == 0
    with closing(sqlite3.connect(desk.store)) as sql:
        assert sql.execute("SELECT version_num FROM labelwright_schema").fetchall() == [(HEAD,)]
        assert sql.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert rows_of(desk.store) == before
    desk.finishes()


def test_a_store_of_a_newer_version_is_refused_and_not_touched(desk: Desk) -> None:
    desk.run_half()
    with closing(sqlite3.connect(desk.store)) as sql, sql:
        sql.execute("UPDATE labelwright_schema SET version_num = '0999'")
    raw = desk.store.read_bytes()
    desk.refused("newer Labelwright", "0999", HEAD, "pip install --upgrade labelwright")
    assert desk.store.read_bytes() == raw


# Damaged ----------------------------------------------------------------------------------------------------------


def spoil_header(raw: bytearray) -> None:
    raw[:100] = b"\xff" * 100


def spoil_answers(raw: bytearray) -> None:
    """The last page that holds an answer, which nothing would read before it is too late."""
    last = raw.rfind(b'"finish_reason"') // 4096 * 4096
    raw[last : last + 64] = b"\0" * 64


def spoil_tables(raw: bytearray) -> None:
    """The page with what tables there are begins after the header."""
    raw[100:200] = b"\xff" * 100


def cut(raw: bytearray) -> None:
    del raw[len(raw) // 2 :]


@pytest.mark.parametrize("spoil", [spoil_header, spoil_tables, spoil_answers, cut])
def test_a_damaged_store_is_refused_before_anything_is_sent(desk: Desk, spoil: Callable[[bytearray], None]) -> None:
    desk.run_half()
    desk.run("status")  # heals what the kill left
    raw = bytearray(desk.store.read_bytes())
    spoil(raw)
    desk.store.write_bytes(raw)
    desk.refused("labelwright.db")


# Two at once ------------------------------------------------------------------------------------------------------


def test_a_second_run_is_refused_within_a_second_by_pid_and_host(desk: Desk, stable: Stable) -> None:
    assert stable.run({"words": ["--version"], "log": os.devnull}) == 0, "it is up by now"
    command = [sys.executable, "-m", "agent.cli", "run", str(desk.folder / "job.yaml")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT) as first:
        assert desk.server.log.wait_for(10, timeout_s=60)
        began = time.monotonic()
        code, said = desk.run()
        took_s = time.monotonic() - began
        assert code == 2, said
        assert f"another run owns this job: pid {first.pid} on host {socket.gethostname()}" in said
        assert took_s < 1, f"it took {took_s:.2f} s to be refused"
        assert first.wait(120) == 0
    kept = books.read(desk.url, "small")
    assert kept is not None
    assert len({a["owner"] for a in kept.attempts.values()}) == 1
    assert books.compare(kept, desk.server.asked).problems == []
