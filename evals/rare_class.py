"""How many texts of a class that is 0.5 % of the pool each strategy finds with 500 labels.

    python -m evals.rare_class [--quick]

The pool is clinc150's training texts (15,075), one intent cut to 0.5 % of them. It is asked about in two ways:
`domains` (the rare intent against the data's own ten domains and what lies outside them: one rare class among common
ones) and `intents` (all 151 intents as they are: each of the others is 0.66 %, so none is common, and a perfectly
even hand gives every class 500 / 151 = 3.3 texts). Rounds are those of a job with gold answers: cold start (which
knows the classes' names), then `compose`, with the job's default random share. Chance is not simulated: it finds
0.5 % of what is asked.

Needs the data set clinc150 (`../shared/data`, or LABELWRIGHT_SHARED).
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow.parquet as pq

from agent.job import SelectionSettings
from agent.records import Floats, Rows
from agent.selection import STRATEGIES, State, auto_batch, auto_cold_start, cold_start, compose, find_strategy
from agent.student.head import Head
from evals._corpora import DATA, kept_vectors
from evals.outcome import Outcome, is_quick

PREVALENCE = 0.005
DEFAULT = SelectionSettings()
RIVALS = ("margin", "balanced", "anchored", "adaptive")  # those that exist are run beside the default
RARE = ("lost_luggage", "jump_start", "rollover_401k")
TARGET = 3.0
SEEDS = {"domains": 5, "intents": 2}


@dataclass(frozen=True, eq=False)
class World:
    """A pool whose answers are known.

    Attributes:
        vectors: (n, d) float32; labels (n,) int64, indices into the C classes.
        class_vectors: (C, d) float32 of the classes' names.
        rare: the class that is rare.
    """

    vectors: Floats
    labels: Rows
    class_vectors: Floats
    rare: int

    @property
    def share(self) -> float:
        """Of the pool that is of the rare class."""
        return float((self.labels == self.rare).mean())


def world(intent: str, kind: str, size: int | None, seed: int) -> World:
    """The pool with `intent` cut to 0.5 %; `size` texts of the others, all of them by default."""
    rows = pq.read_table(DATA / "clinc150" / "train.parquet").to_pylist()
    vectors = kept_vectors("clinc150-train", tuple(r["text"] for r in rows))
    rng = np.random.default_rng([seed, 1])
    is_rare = np.array([r["label"] == intent for r in rows])
    others = rng.permutation(np.flatnonzero(~is_rare))[:size]
    few = rng.permutation(np.flatnonzero(is_rare))[: round(len(others) * PREVALENCE / (1 - PREVALENCE))]
    kept = rng.permutation(np.concatenate([others, few]))
    said = [r["label"] if kind == "intents" or r["label"] == intent else f"{r['domain']} questions" for r in rows]
    names = sorted(set(said))
    labels = np.array([names.index(said[i]) for i in kept], np.int64)
    named = kept_vectors(f"clinc150-{kind}-names", tuple(n.replace("_", " ") for n in names))
    return World(vectors[kept], labels, named, names.index(intent))


@cache
def first(pool: World, most: int, seed: int) -> Rows:
    """The cold start, which is the same for every strategy."""
    n, classes = len(pool.labels), len(pool.class_vectors)
    rng = np.random.default_rng([seed, 2])
    size, share = auto_cold_start(classes, most, n), DEFAULT.random_share
    cold = cold_start(np.arange(n), lambda r: pool.vectors[r], size, share, rng, class_vectors=pool.class_vectors)
    return np.array([c.row for c in cold])


def found(pool: World, name: str, most: int, seed: int) -> int:
    """Texts of the rare class among the first `most` that are asked about."""
    rng = np.random.default_rng([seed, 4])
    strategy = find_strategy(name, DEFAULT.options if name == DEFAULT.strategy else {})
    asked, number = first(pool, most, seed), 0
    while len(asked) < most:
        number += 1
        state = _state(pool, asked, number, seed)
        size = auto_batch(most - len(asked), len(state.candidates), asked=len(asked))
        batch = compose(state, strategy, min(size, most - len(asked)), DEFAULT.random_share, rng)
        asked = np.concatenate([asked, [c.row for c in batch]])
    return int((pool.labels[asked] == pool.rare).sum())


def _state(pool: World, asked: Rows, number: int, seed: int) -> State:
    """What a job's student would say, taught by the true labels."""
    targets = np.eye(len(pool.class_vectors), dtype=np.float32)[pool.labels[asked]]
    head = Head(targets.shape[1])
    head.fit(pool.vectors[asked], targets, np.ones(len(asked), np.float32), np.random.default_rng([seed, number, 3]))
    candidates = np.setdiff1d(np.arange(len(pool.labels)), asked)
    p = head.predict(pool.vectors[candidates])
    return State(
        candidates=candidates,
        doubt=1 - p.max(axis=1),
        vectors=lambda rows: pool.vectors[rows],
        probabilities=p,
        labelled=asked,
        targets=targets,
        round=number,
        foreseen=head.out_of_fold,
        trust=np.ones(len(asked), np.float32),
        penalty=head.l2,
        class_vectors=pool.class_vectors,
        seed=(seed, number),
    )


def main() -> int:
    if not (DATA / "clinc150").is_dir():
        print(f"no data set at {DATA}: set LABELWRIGHT_SHARED to the folder that holds data/")
        return 2
    quick = is_quick()
    outcome = Outcome("rare_class", quick)
    intents, size, most = (RARE[:1], 4000, 200) if quick else (RARE, None, 500)
    arms = list(dict.fromkeys([DEFAULT.strategy, *(r for r in RIVALS if r in STRATEGIES)]))
    for kind in ("domains",) if quick else ("domains", "intents"):
        worlds = [(world(i, kind, size, seed), seed) for i in intents for seed in range(1 if quick else SEEDS[kind])]
        by_chance = float(np.mean([w.share * most for w, _ in worlds]))
        outcome.add(f"{kind}: random finds", by_chance, f"of {most} labels, expected; {len(worlds)} pools")
        for arm in arms:
            began = time.monotonic()
            counts = np.array([found(w, arm, most, seed) for w, seed in worlds])
            print(kind, arm, counts.tolist(), f"{time.monotonic() - began:.0f} s", flush=True)
            _add(outcome, kind, arm, counts, by_chance)
    return outcome.finish()


def _add(outcome: Outcome, kind: str, arm: str, counts: Rows, by_chance: float) -> None:
    """A row: how many times as many as chance, with the standard error over the pools."""
    ratio = float(counts.mean()) / by_chance
    error = float(counts.std(ddof=1)) / np.sqrt(len(counts)) / by_chance if len(counts) > 1 else 0.0
    unit = f"times random (standard error {error:.2f}; {counts.mean():.1f} texts, {counts.min()} to {counts.max()})"
    if arm == DEFAULT.strategy and kind == "domains" and not outcome.quick:
        outcome.add(f"{kind}: {arm}, the default", ratio, unit, target=f">= {TARGET:g}", holds=ratio >= TARGET)
    else:
        outcome.add(f"{kind}: {arm}", ratio, unit)


if __name__ == "__main__":
    sys.exit(main())
