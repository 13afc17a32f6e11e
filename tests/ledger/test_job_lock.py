"""One run owns a job, whatever folder it writes to, on both kinds of store; also after a run was killed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.errors import JobLocked, StoreError
from agent.job import Job
from agent.ledger import JobLock
from agent.store import Store
from agent.workbench import Workbench
from tests.postgres import PostgresServer
from tests.servers.scripted import ScriptedServer
from tests.stores import on_postgresql, on_sqlite
from tests.whole.jobs import truth, write_job

HOLD = """
import os, sys
from agent.ledger import JobLock
from agent.store import Store
lock = JobLock(Store.open(sys.argv[1]), "job")
if len(sys.argv) > 2 and os.fork() == 0:
    print("held", flush=True)
    os.read(0, 1)  # outlives its parent, like a data worker
    os._exit(0)
if len(sys.argv) == 2:
    print("held", flush=True)
os.read(0, 1)
"""


def holder(url: str, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, url, *more]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_run_is_refused_within_a_second_and_told_who_owns_the_job(store: Store, url: str) -> None:
    with holder(url) as first:
        began = time.monotonic()
        with pytest.raises(
            JobLocked, match=f"owns job 'job': pid {first.pid} on host {socket.gethostname()}, since 20"
        ):
            JobLock(store, "job")
        assert time.monotonic() - began < 1
        JobLock(store, "another job").close()
        first.communicate("x")
    JobLock(store, "job").close()


def test_a_run_that_was_killed_holds_nothing(store: Store, url: str) -> None:
    with holder(url) as first:
        first.kill()
    JobLock(store, "job").close()


def test_a_child_that_outlives_the_run_holds_nothing(store: Store, url: str) -> None:
    with holder(url, "fork") as first:
        first.kill()
        first.wait()
        JobLock(store, "job").close()  # the child still waits for its input
        first.communicate("x")


def test_a_lock_can_be_taken_again_after_it_was_let_go(store: Store) -> None:
    lock = JobLock(store, "job")
    with pytest.raises(JobLocked, match=f"pid {os.getpid()} "):
        JobLock(store, "job")
    lock.close()
    lock.close()
    JobLock(store, "job").close()


def test_jobs_with_odd_names_are_told_apart(store: Store) -> None:
    with JobLock(store, "a/b"), JobLock(store, "a_b"), JobLock(store, "ä" * 300), pytest.raises(JobLocked):
        JobLock(store, "a/b")


@on_sqlite
def test_one_file_under_two_names_is_one_store(url: str, store: Store, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(url.removeprefix("sqlite:///"))
    with (
        Store.open(f"sqlite:///{tmp_path / 'link.db'}") as other,
        JobLock(store, "job"),
        pytest.raises(JobLocked, match=rf"labelwright\.db\.job\.lock: another run owns job 'job': pid {os.getpid()}"),
    ):
        JobLock(other, "job")


@on_postgresql
def test_a_job_that_another_user_owns_is_refused_too(postgres: PostgresServer, store: Store, url: str) -> None:
    name = url.rsplit("/", 1)[1]
    postgres.run(f"CREATE ROLE guest_{name} LOGIN")
    with (
        Store(postgres.url(name, f"guest_{name}")) as guest,
        JobLock(store, "job"),
        pytest.raises(JobLocked, match=f"owns job 'job': pid {os.getpid()} on host {socket.gethostname()};"),
    ):
        JobLock(guest, "job")
    postgres.run(f"DROP ROLE guest_{name}")


@on_postgresql
def test_two_stores_in_one_database_have_locks_of_their_own(postgres: PostgresServer, store: Store, url: str) -> None:
    postgres.run("CREATE SCHEMA elsewhere", url.rsplit("/", 1)[1])
    with (
        Store.open(f"{url}?options=-csearch_path%3Delsewhere") as other,
        JobLock(store, "job"),
        JobLock(other, "job"),
    ):
        assert other.jobs() == []


@on_postgresql
def test_a_long_host_name_is_cut_to_what_the_server_keeps(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "h" * 100)
    with JobLock(store, "job"), pytest.raises(JobLocked, match=f"pid {os.getpid()} on host h{{30}}h*, since"):
        JobLock(store, "job")


@on_postgresql
def test_a_server_that_cannot_be_reached_is_a_message(store: Store, postgres: PostgresServer, url: str) -> None:
    store.close()
    postgres.drop(url)
    with pytest.raises(StoreError, match=r"does not exist: make it there, or correct `store`"):
        JobLock(store, "job")


def test_a_second_run_with_another_output_changes_nothing_of_the_job(tmp_path: Path, url: str) -> None:
    first = Job.load(write_job(tmp_path / "first", store=url, oracle__base_url="http://127.0.0.1:1/v1"))
    second = Job.load(
        write_job(tmp_path / "second", store=url, budget__dollars=9, oracle__base_url="http://127.0.0.1:1/v1")
    )
    with Workbench(first) as owner, Workbench(second) as late:
        owner.own()
        cap = owner.store.job("small").cap
        for _ in range(2):
            with pytest.raises(JobLocked, match=f"owns job 'small': pid {os.getpid()}"):
                late.own()
        assert owner.store.job("small").cap == cap
    with Workbench(second) as later:
        later.own()


def test_a_second_run_ends_with_one_message_and_has_asked_nobody(
    tmp_path: Path, url: str, serve_gold: Callable[..., ScriptedServer]
) -> None:
    server = serve_gold(dict(truth()))
    file = write_job(tmp_path, store=url, oracle__base_url=server.url)
    with Store.open(url) as store, JobLock(store, "small"):
        command = [sys.executable, "-m", "agent.cli", "run", str(file)]
        refused = subprocess.run(command, capture_output=True, text=True, check=False)
        assert store.jobs() == []
    assert refused.returncode == 2
    assert f"another run owns job 'small': pid {os.getpid()} on host {socket.gethostname()}" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert server.asked == []
