"""`kill -9` of real runs at named points and at random times; then the store is held against the provider's log.

    python -m tests.storm kills --count 300 --seed 0

A life is one job: killed ten times or so, gone on with after each, and run to its end. What is checked after each
kill and at the end: nothing above the cap, every charge of the provider in the ledger, nothing that was charged
called released, no attempt sent twice, no answer or label that was committed (or said to be) gone, a database that
passes its own checks. At the end the job finishes, and run once more it sends nothing and writes the same bytes.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count as numbers
from pathlib import Path

from tests.postgres import NotInstalled, PostgresServer
from tests.storm.lives import Life, Stable, Tally
from tests.storm.points import POINTS

Stores = Callable[[int], str | None]


def storm(
    folder: Path,
    wanted: int,
    seed: int = 0,
    workers: int = 2,
    stores: Stores = lambda number: None,
    *,
    named: Iterable[str] = (),
) -> Tally:
    """Kill runs `wanted` times, and on until the `named` points were reached. `stores` gives the address of a job's
    store by the job's number, None for a file."""
    tally, life = Tally(wanted, frozenset(named)), numbers()

    def work() -> None:
        with Stable() as stable:
            while not tally.enough:
                with tally.lock:
                    number = next(life)
                Life(folder, number, seed, stable, tally).live(stores(number))

    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(work) for _ in range(workers)]:
            done.result()
    return tally


def main(words: Sequence[str]) -> int:
    """The command; 1 where anything was found, or a point was never reached."""
    parser = argparse.ArgumentParser(prog="python -m tests.storm kills", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--count", type=int, default=300, help="kills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="jobs at a time")
    options = parser.parse_args(words)
    folder = tempfile.mkdtemp(prefix="storm-kills-")
    with _databases() as stores:
        tally = storm(Path(folder), options.count, options.seed, options.workers, stores)
    print("\n".join(tally.lines()))
    never = set(POINTS) - set(tally.kills) if options.count >= 10 * len(POINTS) else set()
    if never:
        print(f"never reached: {', '.join(sorted(never))}")
    if tally.problems or never:
        print(f"the jobs are kept in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


@contextmanager
def _databases() -> Iterator[Stores]:
    """Every fourth job keeps its state in a PostgreSQL of our own, where that is installed."""
    try:
        server = PostgresServer()
    except NotInstalled as missing:
        print(f"SQLite only: {missing}")
        yield lambda number: None
        return
    with server:
        yield lambda number: server.new_database(empty=True) if number % 4 == 3 else None
