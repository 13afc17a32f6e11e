"""A pool whose truth is known: texts of a class lie around one point."""

from typing import Any

import numpy as np

from agent.records import Floats
from agent.selection.seam import State


def blobs(n: int = 200, labels: int = 40, classes: int = 3, *, multilabel: bool = False, **known: Any) -> State:
    """`n` candidates and `labels` labelled texts of eight numbers; rows of the candidates come first."""
    rng = np.random.default_rng(known.pop("chance", 0))
    middle = rng.normal(size=(classes, 8))
    truth = np.arange(n + labels) % classes
    points = (middle[truth] + 0.7 * rng.normal(size=(n + labels, 8))).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    logits = 2 * points @ middle.T
    p = 1 / (1 + np.exp(-logits)) if multilabel else np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    targets = np.float32(rng.random((labels, classes)) < p[n:]) if multilabel else np.eye(classes)[truth[n:]]
    told: dict[str, Any] = {
        "probabilities": p[:n].astype(np.float32),
        "labelled": np.arange(n, n + labels),
        "targets": targets.astype(np.float32),
        "foreseen": p[n:].astype(np.float32),
        "penalty": 0.1,
        "multilabel": multilabel,
        "seed": (0, 1),
    }
    doubt = (1 - p[:n].max(axis=1)).astype(np.float32)
    return State(np.arange(n), doubt, lambda rows: points[rows], **{**told, **known})


def joint(k: int, n: int, classes: int, seed: int) -> Floats:
    """Members' or samples' probabilities (k, n, C); some of them nought and one."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(classes, 0.3), (k, n)).astype(np.float32)
    p[0, 0] = np.eye(classes)[0]
    return p
