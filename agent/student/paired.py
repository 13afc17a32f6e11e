"""Two texts to one vector: what a frozen encoder says of each, and how the two differ and agree.

(u, v, |u - v|, u * v) of both texts' vectors, as Conneau et al. 2017 (InferSent, arXiv:1705.02364) and Reimers and
Gurevych 2019 (Sentence-BERT, arXiv:1908.10084, 3.1) give it to a linear classifier. Knows joined texts
(`agent.pairing`) and an encoder; no task and no pool.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from agent.pairing import split
from agent.records import CountTokens, Floats

PARTS = 4


class Encodes(Protocol):
    """What an encoder is here; see `agent.student.encoder.Encoder`."""

    key: str
    dim: int

    @property
    def encode(self) -> Callable[[Sequence[str]], Floats]: ...


class PairEncoder:
    """An encoder of joined pairs.

    Two pairs are near each other where both texts are, and where they differ and agree in the same; so copies with a
    word changed and clusters are found among these vectors as among those of single texts.

    Attributes:
        key: as an encoder's.
        dim: four times that of the encoder.
    """

    def __init__(self, encoder: Encodes) -> None:
        self._encoder = encoder
        self.key, self.dim = f"pairs-{encoder.key}", PARTS * encoder.dim

    def encode(self, texts: Sequence[str]) -> Floats:
        """(n, 4d) float32 vectors of length one. A text that stands in several pairs is encoded once."""
        if not len(texts):
            return np.zeros((0, self.dim), np.float32)
        both = [split(text) for text in texts]
        place: dict[str, int] = {}
        rows = np.array([[place.setdefault(t, len(place)) for t in pair] for pair in both], np.int64)
        vectors = self._encoder.encode(list(place))
        return combined(vectors[rows[:, 0]], vectors[rows[:, 1]])


def combined(first: Floats, second: Floats) -> Floats:
    """(n, 4d) float32 of length one, from twice (n, d) of length one.

    The product is times the root of d: else its entries, of size 1/d where all others are of size 1/sqrt(d), would
    count for nothing beside one penalty for all weights.
    """
    product = first * second * np.float32(np.sqrt(first.shape[1]))
    whole = np.hstack([first, second, np.abs(first - second), product])
    whole /= np.maximum(np.linalg.norm(whole, axis=1, keepdims=True), np.float32(1e-9))
    found: Floats = whole.astype(np.float32, copy=False)
    return found


def counted_apart(count_tokens: CountTokens) -> CountTokens:
    """Counts the tokens of both texts of each pair, without the mark between them."""

    def count(texts: list[str]) -> list[int]:
        found = count_tokens([part for text in texts for part in split(text)])
        return [a + b for a, b in zip(found[::2], found[1::2], strict=True)]

    return count
