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


def arms() -> dict[str, Pick]:
    from small_text import BreakingTies, ContrastiveActiveLearning

    return {
        "small-text breaking ties": small_text(BreakingTies, False),
        "small-text contrastive": small_text(lambda: ContrastiveActiveLearning(pbar=None), True),
        "scikit-activeml badge": skactiveml("Badge"),
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
    for arm in sys.argv[2:]:
        print(json.dumps([arm, picks(given, arms()[arm])]), flush=True)
