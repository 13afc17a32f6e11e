"""The picks of small-text's and scikit-activeml's strategies. Runs in an environment of their own (`make rivals`).

    .cache/rivals/bin/python evals/_rival_picks.py TASK.npz ARM [ARM ...]

Shares no code with Labelwright: it gets vectors, the oracle's labels and the sizes of the rounds, and prints one JSON
line an arm: its name, and the picks of each round. The first round is random, as in both libraries' own examples;
their model is scikit-learn's logistic regression on the same vectors, with the little penalty that unit vectors want.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

warnings.filterwarnings("ignore")
Pick = Callable[..., Any]
DIMENSIONS = 384  # of the vectors
MANY = 70  # classes, from which on BADGE's own distances take minutes a curve
C = 30.0  # the inverse penalty: 1 leaves 77 classes nearly uniform on unit vectors


def logistic() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=C, max_iter=200)


class Sure:
    """What small-text asks of a classifier."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def predict_proba(self, data: Any) -> Any:
        return self.model.predict_proba(data.x if hasattr(data, "x") else data)

    def predict(self, data: Any, return_proba: bool = False) -> Any:
        p = self.predict_proba(data)
        said = self.model.classes_[p.argmax(axis=1)]
        return (said, p) if return_proba else said

    def embed(self, data: Any, return_proba: bool = False, **_: Any) -> Any:
        found = data.x if hasattr(data, "x") else data
        return (found, self.predict_proba(data)) if return_proba else found


class Data:
    """What small-text asks of a data set with dense vectors."""

    def __init__(self, rows: Any) -> None:
        self.x = rows

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, wanted: Any) -> Data:
        return Data(self.x[wanted])


def small_text(make: Callable[[], Any], needs_embeddings: bool) -> Pick:
    def pick(x: Any, known: Any, y: Any, free: Any, *, size: int, seed: int) -> Any:
        np.random.seed(seed)  # small-text draws from the global generator
        model = Sure(logistic().fit(x[known], y))
        more = {"embeddings": x} if needs_embeddings else {}
        return make().query(model, Data(x), free, known, y, n=size, **more)

    return pick


class Factors:
    """Distances of all gradient embeddings to one of them, for scikit-activeml's BADGE where classes are many.

    An embedding is the outer product of C errors and d coordinates, and BADGE compares all n of them in full, n C d
    numbers each time one is picked: a quarter of an hour a curve with 150 classes. The product of two embeddings is
    the product of their errors' times that of their coordinates', so that n (C + d) numbers do. All else of BADGE is
    the library's own. Only the last digits differ, and a pick is a draw that they hardly ever move: curves of 77 and
    150 classes that were drawn both ways are the same to the last pick.
    """

    embeddings: Any = None

    def __call__(self, X: Any, Y: Any) -> Any:  # noqa: N803 (scikit-learn's names)
        if self.embeddings is not X:
            self._factorise(X)
        errors, coordinates = _factors(Y.reshape(1, -1, DIMENSIONS))
        product = (self.errors @ errors[0]) * (self.coordinates @ coordinates[0])
        squared = self.squares + float((errors[0] ** 2).sum()) - 2 * product
        return np.zeros(len(X), dtype=int), np.sqrt(np.maximum(squared, 0))

    def _factorise(self, found: Any) -> None:
        self.embeddings = found
        blocks = found.reshape(len(found), -1, DIMENSIONS)
        parts = [_factors(blocks[i : i + 256]) for i in range(0, len(found), 256)]
        self.errors = np.concatenate([e for e, _ in parts])
        self.coordinates = np.concatenate([c for _, c in parts])
        self.squares = (self.errors**2).sum(axis=1)


def _factors(blocks: Any) -> tuple[Any, Any]:
    """Errors (n, C) and coordinates (n, d) of length one, of (n, C, d) outer products."""
    largest = np.square(blocks).sum(axis=2).argmax(axis=1)
    coordinates = blocks[np.arange(len(blocks)), largest]
    coordinates = coordinates / np.maximum(np.linalg.norm(coordinates, axis=1, keepdims=True), 1e-300)
    return np.einsum("ncd,nd->nc", blocks, coordinates), coordinates


def badge(classes: int) -> Pick:
    if classes >= MANY:
        import skactiveml.pool._badge as module

        module.pairwise_distances_argmin_min = Factors()
    return skactiveml("Badge")


def skactiveml(name: str) -> Pick:
    def pick(x: Any, known: Any, y: Any, free: Any, *, size: int, seed: int) -> Any:
        import skactiveml.pool
        from skactiveml.classifier import SklearnClassifier

        labels = np.full(len(x), np.nan)
        labels[known] = y
        model = SklearnClassifier(logistic(), classes=np.unique(y))
        strategy = getattr(skactiveml.pool, name)(random_state=seed)
        return strategy.query(X=x, y=labels, clf=model, candidates=free, batch_size=size)

    return pick


def arms(classes: int) -> dict[str, Pick]:
    from small_text import BreakingTies, ContrastiveActiveLearning

    return {
        "small-text breaking ties": small_text(BreakingTies, False),
        "small-text contrastive": small_text(lambda: ContrastiveActiveLearning(pbar=None), True),
        "scikit-activeml badge": badge(classes),
        "scikit-activeml dropquery": skactiveml("DropQuery"),
    }


def picks(task: Any, pick: Pick) -> list[list[int]]:
    x, said, silent, sizes = task["vectors"], task["labels"], task["silent"], task["sizes"].tolist()
    seed = int(task["seed"])
    asked = np.random.default_rng([seed, 77]).permutation(len(x))[: sizes[0]]
    rounds = [asked.tolist()]
    for number, size in enumerate(sizes[1:]):
        known = asked[~silent[asked]]
        free = np.setdiff1d(np.arange(len(x)), asked)
        chosen = np.asarray(pick(x, known, said[known], free, size=size, seed=seed * 100 + number), dtype=int).ravel()
        asked = np.concatenate([asked, chosen])
        rounds.append(chosen.tolist())
    return rounds


if __name__ == "__main__":
    given = dict(np.load(sys.argv[1]))
    known = arms(int(given["labels"].max()) + 1)
    for arm in sys.argv[2:]:
        print(json.dumps([arm, picks(given, known[arm])]), flush=True)
