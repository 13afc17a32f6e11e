"""Streams of made-up vectors: classes that lie in different places, and a model that knows where."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from agent.distill import Reference
from agent.records import Floats
from agent.stream import About, Seen

CLASSES, DIM = 6, 16
NAMES = tuple("abcdef")
PLACES = np.random.default_rng(5).normal(size=(CLASSES, DIM)).astype(np.float32)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def drawn(n: int, classes: Sequence[int], rng: np.random.Generator) -> tuple[Floats, Floats]:
    """(n, d) vectors of texts of these classes, and (n, C) what the model says of them."""
    vectors = PLACES[rng.choice(classes, n)] + 0.8 * rng.normal(size=(n, DIM))
    logits = vectors @ PLACES.T / 4
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    return vectors.astype(np.float32), (chances / chances.sum(axis=1, keepdims=True)).astype(np.float32)


def a_reference(classes: Sequence[int] = (0, 1, 2), seed: int = 99) -> Reference:
    rng = np.random.default_rng(seed)
    return Reference(drawn(200, classes, rng)[0], *drawn(200, classes, rng))


def about(reference: Reference | None = None, key: str = "k1") -> About:
    return About("topics", key, NAMES, reference=reference)


def seen(texts: Sequence[str], classes: Sequence[int] = (0, 1, 2), *, day: int = 0, seed: int = 0) -> Seen:
    """These texts, answered together on that day."""
    vectors, chances = drawn(len(texts), classes, np.random.default_rng([seed, len(texts)]))
    told = [
        {"label": NAMES[c], "confidence": float(row[c])} for row, c in zip(chances, chances.argmax(1), strict=True)
    ]
    return Seen(texts, told, vectors, chances, NOON + timedelta(days=day))
