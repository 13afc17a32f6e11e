"""A job whose store moves to a server and back goes on where it was, and buys nothing twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.job import Job
from agent.loop import run
from tests.postgres import PostgresServer
from tests.servers.scripted import ScriptedServer
from tests.whole.jobs import truth, write_job

Serve = Callable[..., ScriptedServer]


def labelwright(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agent.cli", *words]
    here = str(Path(__file__).resolve().parents[2])
    environment = os.environ | {"PYTHONPATH": here, "COLUMNS": "200"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def bought(server: ScriptedServer) -> list[str]:
    return [row["text"] for row in server.asked if row["status"] == 200 and row["text"] in truth()]


def exports(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "out").glob("labels.*")) if path.is_file()}


@pytest.mark.slow
def test_a_job_moves_to_a_server_and_back_and_goes_on(
    tmp_path: Path, serve_gold: Serve, postgres: PostgresServer
) -> None:
    server = serve_gold(dict(truth()))

    def job(rounds: int, store: str | None = None) -> Job:
        return Job.load(
            write_job(
                tmp_path, oracle__base_url=server.url, stop__max_rounds=rounds, store=store, distil__enabled=False
            )
        )

    run(job(1))
    assert len(bought(server)) == 20
    url = postgres.new_database(empty=True)
    moved = labelwright("store", "copy", "job.yaml", url, folder=tmp_path)
    assert (moved.returncode, moved.stderr) == (0, "")
    assert "rows of small" in moved.stdout

    outcome = run(job(2, url))
    assert outcome.labels == len(bought(server)) == len(set(bought(server))) == 40
    written = exports(tmp_path)
    assert run(job(2, url)).labels == 40
    assert len(bought(server)) == 40
    assert exports(tmp_path) == written

    back = f"sqlite:///{tmp_path / 'back.db'}"
    returned = labelwright("store", "copy", url, back, "--json", folder=tmp_path)
    assert json.loads(returned.stdout)["jobs"] == ["small"]
    assert run(job(2, back)).labels == 40
    assert len(bought(server)) == 40
    assert exports(tmp_path) == written
    postgres.drop(url)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nothing.yaml", "sqlite:///new.db"), "no such file; `labelwright init` writes one"),
        (("sqlite:///nothing.db", "sqlite:///new.db"), "nothing.db: no such file, so there is nothing to copy"),
        (("sqlite:///nothing.db", "new.db"), "'new.db' is not a database URL"),
    ],
)
def test_what_cannot_be_copied_is_one_message(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    refused = labelwright("store", "copy", *words, folder=tmp_path)
    assert refused.returncode == 2
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr
    assert list(tmp_path.iterdir()) == []
