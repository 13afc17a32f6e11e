"""A PostgreSQL that is restarted under a run: one message, nothing lost, and the same command goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.store import Store
from tests.postgres import PostgresServer
from tests.servers.scripted import Faults, ScriptedServer
from tests.whole.jobs import truth, write_job


@pytest.mark.storm  # what a lost server does to each query is in tests/store
@pytest.mark.slow
def test_a_run_whose_server_goes_away_says_so_and_goes_on_when_it_is_back(
    tmp_path: Path, serve_gold: Callable[..., ScriptedServer]
) -> None:
    server = serve_gold(dict(truth()), faults=Faults(latency_s=0.1))  # two seconds of asking
    with PostgresServer(template=False) as postgres:
        file = write_job(
            tmp_path,
            oracle__base_url=server.url,
            store=postgres.url(),
            oracle__max_concurrency=4,
            stop__max_rounds=4,
            student__kind="tests.storm.faults:WordCounts",
            distil__enabled=False,
        )
        command = [sys.executable, "-m", "agent.cli", "run", str(file)]
        with subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"COLUMNS": "400"},
        ) as process:
            assert server.log.wait_for(8, timeout_s=120)
            while process.poll() is None:  # on a quick disk it is back between two of the run's queries
                postgres.crash()
            _, said = process.communicate()
        assert process.returncode == 2, said
        assert "Traceback" not in said
        (line,) = (x for x in said.splitlines() if x.startswith("error:"))
        assert "what was committed is kept. Run the command again when the server is back" in line

        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        with Store.open(postgres.url()) as store:
            spending, labels = store.spending("small"), store.current("small")
    bought = [row for row in server.asked if row["status"] == 200]
    assert len(labels) == 80
    assert spending.reserved == 0
    assert spending.settled_count <= len(bought) <= spending.settled_count + spending.ambiguous_count
