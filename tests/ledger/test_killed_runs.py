"""A run that is killed with dozens of questions in flight: what it was told is on disk, the rest is ambiguous."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.ledger import Ledger
from agent.store import AttemptState, Store
from tests.ledger.making import LOCAL

CHECKOUT = Path(__file__).resolve().parents[2]

ASK = """
import asyncio, sys
from agent.ledger import Ledger
from agent.store import Store
from tests.ledger.making import LOCAL, answer, question

async def ask(ledger, i):
    reservation = await ledger.reserve("local", question(f"q{i}"))
    print("reserved", reservation.attempt_id, flush=True)
    print("settled", reservation.attempt_id, await ledger.settle(reservation, answer()), flush=True)

async def main():
    async with Ledger(Store.open(sys.argv[1]), "job", [LOCAL]) as ledger:
        for start in range(0, 3_000, 30):
            await asyncio.gather(*(ask(ledger, i) for i in range(start, start + 30)))

asyncio.run(main())
"""


@pytest.mark.parametrize("lines", [1, 40, 130])
def test_a_killed_run_loses_nothing_that_anybody_was_told(store: Store, url: str, lines: int) -> None:
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-c", ASK, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        told = [process.stdout.readline().split() for _ in range(lines)]
        process.kill()
        told += [line.split() for line in process.stdout if line.endswith("\n")]
    kept = {a.id: a for a in store.attempts("job")}
    for word, attempt, *answer_id in told:
        assert int(attempt) in kept
        if word == "settled":
            assert kept[int(attempt)].answer_id == int(answer_id[0])
    left = sum(a.worst for a in kept.values() if a.state is AttemptState.RESERVED)
    ledger = Ledger(store, "job", [LOCAL])
    ledger.recover()
    ledger.close()
    job = store.job("job")
    assert job.reserved == 0
    assert job.spent == left + 44 * sum(a.state is AttemptState.SETTLED for a in kept.values())
