"""Vectors of pairs: both texts' vectors, how they differ and how they agree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from agent.pairing import join
from agent.records import Floats
from agent.student.paired import PairEncoder, combined, counted_apart

PAIRS = [("a", "b"), ("a", "c"), ("b", "a")]


class Counting:
    """An encoder of random vectors, which writes down what it was asked."""

    key, dim = "counting", 8

    def __init__(self) -> None:
        self.seen: list[str] = []

    def encode(self, texts: Sequence[str]) -> Floats:
        self.seen += texts
        rows = [np.random.default_rng(list(t.encode())).normal(size=self.dim) for t in texts]
        found: Floats = np.array([r / np.linalg.norm(r) for r in rows], np.float32)
        return found


def test_a_pairs_vector_is_both_vectors_their_difference_and_their_product() -> None:
    encoder = Counting()
    found = PairEncoder(encoder).encode([join(*pair) for pair in PAIRS])
    assert found.shape == (3, PairEncoder(encoder).dim) == (3, 32)
    for row, (a, b) in zip(found, PAIRS, strict=True):
        u, v = Counting().encode([a, b])
        slow = np.concatenate([u, v, np.abs(u - v), u * v * np.sqrt(8)])
        np.testing.assert_allclose(row, slow / np.linalg.norm(slow), atol=1e-6)


def test_a_text_of_several_pairs_is_encoded_once() -> None:
    encoder = Counting()
    PairEncoder(encoder).encode([join(*pair) for pair in PAIRS])
    assert sorted(encoder.seen) == ["a", "b", "c"]


def test_no_pairs_have_no_vectors() -> None:
    assert PairEncoder(Counting()).encode([]).shape == (0, 32)


def test_vectors_of_pairs_are_kept_apart_from_those_of_texts() -> None:
    assert PairEncoder(Counting()).key != Counting.key


@pytest.mark.parametrize("dim", [8, 384])
def test_none_of_the_four_parts_drowns_the_others(dim: int) -> None:
    rng = np.random.default_rng(0)
    u, v = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in rng.normal(size=(2, 100, dim)).astype(np.float32))
    sizes = np.linalg.norm(combined(u, v).reshape(100, 4, dim), axis=2).mean(axis=0)
    assert sizes.max() < 2 * sizes.min()


def test_tokens_of_a_pair_are_those_of_both_texts() -> None:
    def words(texts: list[str]) -> list[int]:
        return [len(t.split()) for t in texts]

    assert counted_apart(words)([join("one two", "three"), "no pair"]) == [3, 2]
