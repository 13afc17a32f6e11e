"""Only what lies near a labelled text is looked at, class by class, so that a rare class keeps its share.

A filter before another strategy: SEALS (Coleman et al. 2022, "Similarity Search for Efficient Active Learning and
Search of Rare Concepts") with anchors a class (AnchorAL, Lesci and Vlachos 2024). Knows no text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from agent.errors import JobFileError
from agent.records import Floats
from agent.selection import space
from agent.selection.neighbours import BACKENDS, Backend, Metric, index
from agent.selection.seam import Indices, Ranked, State, Strategy, top
from agent.selection.strategies.options import check, one_of, whole
from agent.selection.strategies.typical import at_most
from agent.selection.strategies.uncertainty import Margin

MOST = 1_000  # anchors in all, though every class keeps one
REMEMBERED = 20_000  # labelled texts among which the anchors are sought


def spread_members(classes: Indices, vectors: Floats, each: int, rng: np.random.Generator) -> Indices:
    """Of each class at most `each` members, spread out by k-means++ (Arthur and Vassilvitskii 2007).

    classes (m,) and vectors (m, d) to indices into both, class by class.
    """
    from sklearn.cluster import kmeans_plusplus

    kept = [np.empty(0, dtype=np.int64)]
    order = np.argsort(classes, kind="stable")
    with space.one_thread():
        for members in np.split(order, np.flatnonzero(np.diff(classes[order])) + 1):
            if len(members) > each:
                _, found = kmeans_plusplus(vectors[members], each, random_state=int(rng.integers(2**31 - 1)))
                kept.append(members[np.unique(found)])
            else:
                kept.append(members)
    return np.concatenate(kept)


def narrowed(state: State, part: Indices) -> State:
    """The same state with fewer candidates: `part` (p,), ascending and distinct indices into them."""
    place = np.full(len(state.candidates), -1, dtype=np.int64)
    place[part] = np.arange(len(part))
    taken = place[state.taken]
    return replace(
        state,
        candidates=state.candidates[part],
        doubt=np.asarray(state.doubt[part]),
        probabilities=None if state.probabilities is None else np.asarray(state.probabilities[part]),
        prices=None if state.prices is None else np.asarray(state.prices[part]),
        taken=taken[taken >= 0],
    )


@dataclass(frozen=True, kw_only=True)
class Anchored(Ranked):
    """Another strategy, asked only about the nearest neighbours of some labelled texts of every class.

    On a skewed pool uncertainty is mostly about the frequent classes. Here each class has as many anchors as any
    other, so what lies near a rare class is looked at as much as the rest, and most of the pool is never scored. A
    class that nobody has met yet is sought near its own name, where the classes' vectors are known.

    Costs O(a s d), a the anchors (1,000 at most, or one a class) and s the candidates among which neighbours are
    sought, then what the base costs on at most a k candidates; O(a k) memory beside a block of vectors. Where nothing
    is labelled and no class has a vector, the base scores everything.

    Attributes:
        base: what scores the neighbours; the order of its scores is kept, their scale is not. A base that composes
            its own batch is asked for scores alone.
        anchors: of each class at most so many.
        neighbours: of each anchor.
        sample: neighbours are sought among so many candidates, drawn at random where there are more.
        metric: euclidean or cosine.
        backend: exact, or an approximate index by usearch or faiss, where installed.

    Raises:
        JobFileError: a setting is out of range.
    """

    name: ClassVar[str] = "anchored"
    base: Strategy = field(default_factory=Margin)
    anchors: int = 10
    neighbours: int = 100
    sample: int = 200_000
    metric: Metric = "cosine"
    backend: Backend = "exact"

    def __post_init__(self) -> None:
        super().__post_init__()
        check(
            whole("anchors", self.anchors),
            whole("neighbours", self.neighbours),
            whole("sample", self.sample),
            one_of("metric", self.metric, ("euclidean", "cosine")),
            one_of("backend", self.backend, BACKENDS),
        )
        if not isinstance(self.base, Strategy):
            raise JobFileError("job", [(0, f"`selection.options.base`: a strategy is needed, not {self.base!r}")])

    def score(self, state: State) -> Floats:
        """(n,) float32: of the neighbours the base's scores, scaled to 0 to 1; of the others their doubt less 2."""
        near = self.near(state)
        out = np.asarray(state.doubt, dtype=np.float32) - 2
        scores = np.asarray(self.base.score(narrowed(state, near)), dtype=np.float32)
        if len(near):
            spread = float(scores.max()) - float(scores.min())
            out[near] = (scores - scores.min()) / spread if spread > 0 else 0
        return out

    def pick(self, scores: Floats, size: int, rng: np.random.Generator) -> Indices:
        """The highest scores, best first. A shortlist ends where the neighbours do, unless a batch needs more."""
        inside = max(int((scores >= 0).sum()), math.ceil(size / self.shortlist))
        return top(scores, size if size >= len(scores) else min(size, inside), rng)

    def near(self, state: State) -> Indices:
        """Ascending indices of the candidates that are some anchor's neighbours; all where there is no anchor."""
        anchors = self._anchors(state)
        n = len(state.candidates)
        if not len(anchors) or not n:
            return np.arange(n)
        looked = at_most(np.arange(n), self.sample, state.rng(1))
        found, _ = index(state.vectors, state.candidates[looked], self.metric, self.backend).search(
            anchors, self.neighbours
        )
        return looked[np.unique(found)]

    def _anchors(self, state: State) -> Floats:
        """(a, d): labelled texts of every class, and the vectors of classes without one."""
        rng = state.rng(0)
        kept = at_most(np.arange(len(state.labelled)), REMEMBERED, rng)
        vectors = space.read(state.vectors, state.labelled[kept])
        texts, classes = _members(state, kept)
        each = max(1, min(self.anchors, MOST // max(1, len(np.unique(classes)))))
        found = vectors[np.unique(texts[spread_members(classes, vectors[texts], each, rng)])]
        if state.class_vectors is None:
            return found
        unmet = np.setdiff1d(np.arange(len(state.class_vectors)), classes)
        names = np.asarray(state.class_vectors[unmet], dtype=np.float32)
        return np.concatenate([found.reshape(-1, names.shape[1]), names])


def _members(state: State, kept: Indices) -> tuple[Indices, Indices]:
    """Which of the kept labelled texts belong to which class: (p,) places in `kept` and (p,) classes.

    Every text belongs to class 0 where the labels say nothing of classes.
    """
    width = None if state.probabilities is None else state.probabilities.shape[1]
    if state.targets is None or width is None or np.shape(state.targets) != (len(state.labelled), width):
        return np.arange(len(kept)), np.zeros(len(kept), dtype=np.int64)
    targets = np.asarray(state.targets)[kept]
    if state.multilabel:
        texts, classes = np.nonzero(targets >= 0.5)
        return texts, classes
    return np.arange(len(kept)), targets.argmax(axis=1) if len(kept) else np.empty(0, dtype=np.int64)
