"""What selection speaks: the state that a strategy may see, the strategy itself, and one chosen text.

Knows no text, no model and no database: rows of the pool and numbers about them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from agent.errors import JobFileError
from agent.records import Floats, Pick, Rows, TextId

Indices = npt.NDArray[np.int64]
Mentions = Callable[[Rows], Any]
"""Pool rows (m,) to a scipy.sparse CSR array (m, E), float32: what each text mentions of a knowledge graph."""

NUMBERS_AT_ONCE = 2**22  # how many numbers of a (n, C) array are looked at together: 16 MB of float32


@dataclass(frozen=True, slots=True)
class Trial:
    """What one part of an earlier batch brought.

    Attributes:
        arm: the strategy that chose it.
        reward: 0 to 1, higher is better.
        count: how many labels that reward is the mean of.
        round: when.
    """

    arm: str
    reward: float
    count: int
    round: int


@dataclass(frozen=True, eq=False)
class State:
    """What a strategy may see: numbers about the pool, never its texts.

    Every array may be a memmap of ten million rows, so a strategy reads `probabilities` by `blocks`.

    Attributes:
        candidates: (n,) int64 pool rows that have no label yet, each once.
        doubt: (n,) float32 in 0 to 1, higher is less sure: 1 minus the student's confidence.
        vectors: pool rows (m,) to their embeddings (m, d) float32; asked for at most some ten thousand at once.
        probabilities: (n, C) float32 of the candidates, or None for tasks without classes.
        labelled: (l,) int64 pool rows that have a label.
        targets: what `Task.targets` returns for those l labels, (l, C) float32 for tasks with classes, or None.
        round: 0 is the cold start.
        multilabel: each column of `probabilities` is a decision of its own.
        foreseen: (l, C) float32, what a student that had not seen each labelled text said of it, or None.
        trust: (l,) float32 in 0 to 1, how likely each label is right: 1 for a person's; None where nothing is known.
        penalty: l2 of the student's head, the precision of its prior (Laplace).
        prices: (n,) float32 micro-dollars that asking each candidate is expected to cost, or None: all alike.
        mentions: what texts mention of the job's knowledge graph, or None where it has none.
        class_vectors: (C, d) float32 of length one, the classes' names and descriptions as the encoder sees them, or
            None.
        history: what earlier rounds brought, oldest first, for strategies that learn from it.
        taken: (t,) int64 indices into `candidates` that are in this batch already: never to be chosen, and as good as
            labelled where a batch is spread out.
        seed: of `rng`, the job's seed and the round's number.

    Raises:
        ValueError: the arrays do not fit each other.
    """

    candidates: Rows
    doubt: Floats
    vectors: Callable[[Rows], Floats]
    probabilities: Floats | None = None
    labelled: Rows = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    targets: Any = None
    round: int = 1
    multilabel: bool = False
    foreseen: Floats | None = None
    trust: Floats | None = None
    penalty: float = 1.0
    prices: Floats | None = None
    mentions: Mentions | None = None
    class_vectors: Floats | None = None
    history: tuple[Trial, ...] = ()
    taken: Indices = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    seed: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        n = len(self.candidates)
        if self.doubt.shape != (n,):
            raise ValueError(f"doubt must be ({n},), one for each candidate, not {self.doubt.shape}")
        if self.probabilities is not None and (self.probabilities.ndim != 2 or len(self.probabilities) != n):
            raise ValueError(f"probabilities must be ({n}, C), not {self.probabilities.shape}")

    def rng(self, *where: int) -> np.random.Generator:
        """A generator for a random choice inside `score`: the same whenever this state is scored again."""
        return np.random.default_rng([*self.seed, *where])

    def free(self) -> Indices:
        """(f,) int64, ascending: the candidates that are not taken."""
        open_ = np.ones(len(self.candidates), bool)
        open_[self.taken] = False
        return np.flatnonzero(open_)

    def blocks(self) -> list[slice]:
        """The candidates cut into runs short enough that a (run, C) array is small."""
        width = 1 if self.probabilities is None else max(1, self.probabilities.shape[1])
        step = max(1, NUMBERS_AT_ONCE // width)
        return [slice(start, start + step) for start in range(0, len(self.candidates), step)]


@runtime_checkable
class Strategy(Protocol):
    """Says which candidates are worth asking about. Pure: the same state and generator give the same answer.

    A strategy of your own may also set `shortlist`, `uncovered` and `uniform`, which `compose` reads; `Ranked`
    shows their defaults.
    """

    def score(self, state: State) -> Floats:
        """(n,) float32, finite: higher is more useful to ask."""
        ...

    def pick(self, scores: Floats, size: int, rng: np.random.Generator) -> Indices:
        """At most `size` distinct indices into `scores`, the most wanted first; all of them where there are fewer.

        `compose` asks for more than it needs (a shortlist) and spreads the batch over it.
        """
        ...


@dataclass(frozen=True, eq=False)
class Choice:
    """What a strategy that composes its own batch chose, the most wanted first.

    Attributes:
        indices: (b,) int64 into `State.candidates`, distinct, none of them taken.
        scores: (b,) float32, what each was chosen for.
        why: column by column, name to b plain values that a person can read (a cluster's number, a distance).
    """

    indices: Indices
    scores: Floats
    why: Mapping[str, Sequence[Any]] = field(default_factory=dict)


@runtime_checkable
class BatchStrategy(Strategy, Protocol):
    """A strategy that looks at a batch as a whole, and at vectors: `compose` leaves the spreading to it."""

    def choose(self, state: State, size: int, rng: np.random.Generator) -> Choice:
        """Exactly min(`size`, number of free candidates) of them. `score` gives the same usefulness one by one."""
        ...


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """What most strategies share: the highest scores win. Derive from it and write `score`.

    Attributes:
        shortlist: the batch is spread over this many times as many top-scoring candidates as it needs.
        uncovered: share of a batch that goes to candidates far from everything labelled, 0 to 1.
        uniform: the scores mean nothing and every text has the same chance, so the whole batch is the random slice.

    Raises:
        JobFileError: a setting is out of range.
    """

    shortlist: int = 8
    uncovered: float = 0.1
    uniform: ClassVar[bool] = False

    def __post_init__(self) -> None:
        problems = []
        if type(self.shortlist) is not int or self.shortlist < 1:
            problems.append(f"`selection.options.shortlist`: a whole number from 1 is needed, not {self.shortlist!r}")
        if type(self.uncovered) not in (int, float) or not 0 <= self.uncovered <= 1:
            problems.append(f"`selection.options.uncovered`: a share from 0 to 1 is needed, not {self.uncovered!r}")
        if problems:
            raise JobFileError("job", [(0, problem) for problem in problems])

    def pick(self, scores: Floats, size: int, rng: np.random.Generator) -> Indices:
        """The `size` highest scores, best first, ties in random order."""
        return top(scores, size, rng)


@dataclass(frozen=True, slots=True)
class Chosen:
    """One candidate chosen to be asked, and why: a `Pick` that does not know its text's id yet.

    Attributes:
        row: its place in the pool.
        slice: cold, unsure, uncovered or random.
        score: what the strategy gave it; for cold how typical it is, or how much like the class it was sought for.
        probability: its chance of inclusion, given what was labelled before this round: exact for the random
            slice, None where the choice was determined by the numbers.
        why: plain JSON that a person can read.
    """

    row: int
    slice: str
    score: float
    probability: float | None = None
    why: Mapping[str, Any] = field(default_factory=dict)

    def pick(self, text_id: TextId) -> Pick:
        """The record of this choice, with the text's id."""
        return Pick(text_id, self.row, self.slice, self.score, self.probability, self.why)


def top(scores: Floats, size: int, rng: np.random.Generator) -> Indices:
    """The indices of the `size` highest scores, best first; equal scores in random order, so that the order of
    the pool never decides. O(n) for the choice, O(size log size) for the order."""
    size = min(size, len(scores))
    if size <= 0:
        return np.empty(0, dtype=np.int64)
    bar = np.partition(scores, len(scores) - size)[len(scores) - size]
    above = np.flatnonzero(scores > bar)
    level = rng.choice(np.flatnonzero(scores == bar), size - len(above), replace=False)
    chosen = rng.permutation(np.concatenate([above, level]))
    return np.asarray(chosen[np.argsort(-scores[chosen], kind="stable")], dtype=np.int64)
