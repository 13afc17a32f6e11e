"""One strategy of another library, timed on the same arrays: for evals.selection_speed.

RIVALS_PYTHON evals/_other_libraries.py FOLDER ARM     ARM is `library: what`, as in ARMS

Runs in an environment of its own (`make rivals`), so it imports nothing of Labelwright. What is timed begins with
vectors in memory (single precision, where ours are read from disk) and ends with 100 chosen texts; the student's
probabilities are made in between where the strategy looks at them, by the very weights of our own student.
"""
# ruff: noqa: N803 (scikit-activeml calls by the name X)

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression

BATCH, MEMBERS = 100, 5
TIMES, ENOUGH_S = 3, 20.0
MOST_BYTES = 12 * 2**30
"""Of address space; a library that wants more has a MemoryError instead of the machine's last byte."""


class Fixed(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Our student's head as a classifier of scikit-learn's kind: fitting it changes nothing."""

    def __init__(self, weights: Any = None) -> None:
        self.weights = weights
        self.classes_ = np.arange(weights.shape[1])

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Fixed:
        return self

    def predict_proba(self, X: Any) -> Any:
        logits = X @ self.weights[:-1] + self.weights[-1]
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        return logits

    def predict(self, X: Any) -> Any:
        return self.predict_proba(X).argmax(axis=1)

    def embed(self, vectors: Any, return_proba: bool = False, pbar: Any = None) -> Any:
        """As small-text asks a classifier for vectors."""
        return (vectors, self.predict_proba(vectors)) if return_proba else vectors


class World:
    """The arrays that evals.selection_speed wrote: X (n, d), labelled (l,) rows, y (l,), weights (d + 1, C)."""

    def __init__(self, folder: Path) -> None:
        self.X, self.labelled, self.y, weights = (
            np.load(folder / f"rival-{name}.npy") for name in ("X", "labelled", "y", "weights")
        )
        free = np.ones(len(self.X), bool)
        free[self.labelled] = False
        self.free = np.flatnonzero(free)
        self.head = Fixed(weights)
        self.known = np.full(len(self.X), np.nan)
        self.known[self.labelled] = self.y

    def committee(self) -> list[Any]:
        """Heads on bootstrap samples of the labels: fitted here, as ours are while it chooses."""
        rng = np.random.default_rng(0)
        found = []
        for _ in range(MEMBERS):
            rows = rng.choice(len(self.labelled), len(self.labelled))
            found.append(LogisticRegression(C=100, max_iter=500).fit(self.X[self.labelled[rows]], self.y[rows]))
        return found


# small-text ---------------------------------------------------------------------------------------------------------


def small(name: str, **settings: Any) -> Callable[[World], Any]:
    import small_text  # type: ignore[import-not-found, unused-ignore]

    strategy = getattr(small_text, name)(**settings)
    return lambda w: strategy.query(w.head, w.X, w.free, w.labelled, w.y, n=BATCH)


def small_embedding(name: str, **settings: Any) -> Callable[[World], Any]:
    import small_text

    strategy = getattr(small_text, name)(**settings)
    return lambda w: strategy.query(w.head, w.X, w.free, w.labelled, w.y, n=BATCH, pbar=None)


# scikit-activeml ----------------------------------------------------------------------------------------------------


def sk(name: str, **settings: Any) -> Callable[[World], Any]:
    """One that looks at vectors alone."""
    from skactiveml import pool  # type: ignore[import-not-found, unused-ignore]

    strategy = getattr(pool, name)(random_state=0, **settings)
    return lambda w: strategy.query(w.X, w.known, batch_size=BATCH)


def sk_classifier(name: str, batch: int = BATCH, **settings: Any) -> Callable[[World], Any]:
    from skactiveml import pool
    from skactiveml.classifier import SklearnClassifier  # type: ignore[import-not-found, unused-ignore]

    strategy = getattr(pool, name)(random_state=0, **settings)

    def query(w: World) -> Any:
        clf = SklearnClassifier(w.head, classes=w.head.classes_).fit(w.X[w.labelled], w.y)
        return strategy.query(w.X, w.known, clf=clf, fit_clf=False, batch_size=batch)

    return query


def sk_error_reduction(w: World) -> Any:
    """It learns anew for each candidate and class, so it is given a head that can learn."""
    from skactiveml.classifier import SklearnClassifier
    from skactiveml.pool import MonteCarloEER  # type: ignore[import-not-found, unused-ignore]

    clf = SklearnClassifier(LogisticRegression(C=100, max_iter=500), classes=w.head.classes_)
    return MonteCarloEER(method="log_loss", random_state=0).query(w.X, w.known, clf=clf, batch_size=BATCH)


def sk_committee(name: str, **settings: Any) -> Callable[[World], Any]:
    from skactiveml import pool
    from skactiveml.classifier import SklearnClassifier

    strategy = getattr(pool, name)(random_state=0, **settings)

    def query(w: World) -> Any:
        members = [
            SklearnClassifier(clone(m), classes=w.head.classes_).fit(w.X[w.labelled], w.y) for m in w.committee()
        ]
        return strategy.query(w.X, w.known, ensemble=members, fit_ensemble=False, batch_size=BATCH)

    return query


# modAL --------------------------------------------------------------------------------------------------------------


def modal(name: str) -> Callable[[World], Any]:
    from modAL import uncertainty  # type: ignore[import-not-found, unused-ignore]

    choose = getattr(uncertainty, name)
    return lambda w: _indices(w, choose(w.head, w.X[w.free], n_instances=BATCH))


def modal_committee(name: str) -> Callable[[World], Any]:
    from modAL import disagreement  # type: ignore[import-not-found, unused-ignore]
    from modAL.models import ActiveLearner, Committee  # type: ignore[import-not-found, unused-ignore]

    choose = getattr(disagreement, name)

    def query(w: World) -> Any:
        committee = Committee([ActiveLearner(m) for m in w.committee()])
        return _indices(w, choose(committee, w.X[w.free], n_instances=BATCH))

    return query


def modal_density() -> Callable[[World], Any]:
    from modAL.density import information_density  # type: ignore[import-not-found, unused-ignore]
    from modAL.uncertainty import classifier_margin  # type: ignore[import-not-found, unused-ignore]

    def query(w: World) -> Any:
        pool = w.X[w.free]
        utility = (1 - classifier_margin(w.head, pool)) * information_density(pool, "euclidean")
        return w.free[np.argsort(-utility)[:BATCH]]

    return query


def modal_error_reduction() -> Callable[[World], Any]:
    from modAL.expected_error import expected_error_reduction  # type: ignore[import-not-found, unused-ignore]
    from modAL.models import ActiveLearner

    def query(w: World) -> Any:
        learner = ActiveLearner(LogisticRegression(C=100, max_iter=500).fit(w.X[w.labelled], w.y))
        learner.X_training, learner.y_training = w.X[w.labelled], w.y
        return _indices(w, expected_error_reduction(learner, w.X[w.free], loss="log", n_instances=BATCH))

    return query


def _indices(w: World, found: Any) -> Any:
    return w.free[np.asarray(found[0] if isinstance(found, tuple) else found)]


ARMS: dict[str, Callable[[], Callable[[World], Any]]] = {
    "small-text: BreakingTies": lambda: small("BreakingTies"),
    "small-text: LeastConfidence": lambda: small("LeastConfidence"),
    "small-text: PredictionEntropy": lambda: small("PredictionEntropy"),
    "small-text: GreedyCoreset": lambda: small_embedding("GreedyCoreset"),
    "small-text: EmbeddingKMeans": lambda: small_embedding("EmbeddingKMeans"),
    "small-text: ContrastiveActiveLearning": lambda: small("ContrastiveActiveLearning", pbar=None),
    "scikit-activeml: margin": lambda: sk_classifier("UncertaintySampling", method="margin_sampling"),
    "scikit-activeml: least confident": lambda: sk_classifier("UncertaintySampling", method="least_confident"),
    "scikit-activeml: entropy": lambda: sk_classifier("UncertaintySampling", method="entropy"),
    "scikit-activeml: CoreSet": lambda: sk("CoreSet"),
    "scikit-activeml: TypiClust": lambda: sk("TypiClust"),
    "scikit-activeml: ProbCover": lambda: sk("ProbCover", n_classes=10),
    "scikit-activeml: Badge": lambda: sk_classifier("Badge"),
    "scikit-activeml: ContrastiveAL": lambda: sk_classifier("ContrastiveAL"),
    "scikit-activeml: QueryByCommittee": lambda: sk_committee("QueryByCommittee", method="KL_divergence"),
    "scikit-activeml: GreedyBALD": lambda: sk_committee("GreedyBALD"),
    "scikit-activeml: MonteCarloEER": lambda: sk_error_reduction,
    "modAL: margin_sampling": lambda: modal("margin_sampling"),
    "modAL: uncertainty_sampling": lambda: modal("uncertainty_sampling"),
    "modAL: entropy_sampling": lambda: modal("entropy_sampling"),
    "modAL: max_disagreement_sampling": lambda: modal_committee("max_disagreement_sampling"),
    "modAL: information_density": modal_density,
    "modAL: expected_error_reduction": modal_error_reduction,
}
PACKAGE = {"modAL": "modAL-python"}


def main() -> None:
    warnings.simplefilter("ignore")
    arm = sys.argv[2]
    world, choose = World(Path(sys.argv[1])), ARMS[arm]()
    library = arm.partition(":")[0]
    version = metadata.version(PACKAGE.get(library, library))
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    print("ready", flush=True)
    sys.stdin.readline()
    times: list[float] = []
    while len(times) < TIMES and sum(times) < ENOUGH_S:
        start = time.perf_counter()
        chosen = np.asarray(choose(world))
        times.append(time.perf_counter() - start)
        assert len(np.unique(chosen)) == BATCH, f"{len(np.unique(chosen))} texts were chosen, not {BATCH}"
        print(json.dumps({"seconds": statistics.median(times), "library": f"{library} {version}"}), flush=True)


if __name__ == "__main__":
    main()
