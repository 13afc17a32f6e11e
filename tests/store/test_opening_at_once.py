"""Threads of one process make stores at the same time, each its own: Alembic works on globals of the process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from agent.records import MicroDollars
from agent.store import Store


def test_threads_that_make_stores_at_once_each_get_a_whole_one(tmp_path: Path) -> None:
    def opened(number: int) -> int:
        with Store.open(f"sqlite:///{tmp_path / f'{number}.db'}") as store:
            store.open_job(f"job {number}", {}, "print", MicroDollars(number))
            return int(store.spending(f"job {number}").cap)

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(opened, range(12))) == list(range(12))
