"""One of our own strategies, timed on a made-up pool: for evals.selection_speed.

python -m evals._selecting FOLDER ROWS WHAT

WHAT is `head` (score every candidate), `cold start`, a strategy's name (what it takes after scoring), `whole NAME` (a
batch as a job composes it, after scoring) or `with head NAME` (scoring and choosing).
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from agent.records import Floats, Rows
from agent.selection import BatchStrategy, State, cold_start, compose, find_strategy
from evals._cloud import CLASSES, World

BATCH = 100
RANDOM_SHARE = 0.1
TIMES, ENOUGH_S = 3, 20.0
ENTITIES = 500
NEEDS = {"badge": {"candidates": 10_000}}
"""Options that the target names."""


def state(world: World) -> State:
    """What a job knows after its student has scored the pool; prices, trust and entities are made up."""
    said = world.student.predict(world.stored.texts(world.candidates))
    n = len(world.candidates)
    rng = np.random.default_rng(3)
    return State(
        candidates=world.candidates,
        doubt=said.doubt,
        vectors=world.stored.of,
        probabilities=said.probabilities,
        labelled=world.labelled,
        targets=world.targets,
        foreseen=world.student.head.out_of_fold,
        trust=np.full(len(world.labelled), 0.9, np.float32),
        penalty=world.student.head.l2,
        prices=rng.integers(5, 50, n, dtype=np.int16).astype(np.float32) if n <= 1_000_000 else None,
        class_vectors=_class_vectors(world),
        mentions=_mentions,
    )


def work(world: World, what: str) -> Callable[[], object]:
    """What is timed: a function of nothing that gives indices or chosen texts."""
    if what == "head":
        return lambda: world.student.predict(world.stored.texts(world.candidates))
    if what == "cold start":
        names = _class_vectors(world)
        return lambda: cold_start(world.candidates, world.stored.of, BATCH, RANDOM_SHARE, _rng(), class_vectors=names)
    if name := what.removeprefix("with head ") * what.startswith("with head "):
        return lambda: choose(state(world), name)
    known = state(world)
    if name := what.removeprefix("whole ") * what.startswith("whole "):
        strategy = find_strategy(name, NEEDS.get(name))
        return lambda: compose(known, strategy, BATCH, RANDOM_SHARE, _rng())
    return lambda: choose(known, what)


def choose(known: State, name: str) -> object:
    """A batch of the strategy alone: no random slice, no spreading that it does not do itself."""
    strategy = find_strategy(name, NEEDS.get(name))
    if isinstance(strategy, BatchStrategy):
        return strategy.choose(known, BATCH, _rng()).indices
    return strategy.pick(strategy.score(known), BATCH, _rng())


def _rng() -> np.random.Generator:
    return np.random.default_rng(4)


def _mentions(rows: Rows) -> Any:
    """One of 500 entities in each text."""
    entities = (rows * 2_654_435_761) % ENTITIES
    ones = np.ones(len(rows), np.float32)
    return csr_array((ones, entities, np.arange(len(rows) + 1)), shape=(len(rows), ENTITIES))


def _class_vectors(world: World) -> Floats:
    """(C, d): something near each class."""
    found = np.stack([world.stored.rows(world.labelled[world.labels == c]).mean(axis=0) for c in range(CLASSES)])
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


def main() -> None:
    print("ready", flush=True)
    sys.stdin.readline()
    do = work(World(Path(sys.argv[1]), int(sys.argv[2])), sys.argv[3])
    times: list[float] = []
    began = time.process_time()
    while len(times) < TIMES and sum(times) < ENOUGH_S:
        start = time.perf_counter()
        chosen = do()
        times.append(time.perf_counter() - start)
        if sys.argv[3] != "head":
            assert len(chosen) == BATCH  # type: ignore[arg-type]
        used = (time.process_time() - began) / len(times)
        print(json.dumps({"seconds": statistics.median(times), "first": times[0], "processor": used}), flush=True)


if __name__ == "__main__":
    main()
