"""Nearest neighbours among embeddings: exact and block by block, or by an approximate index where one is asked for.

Knows no labels and no scores. The exact search reads the pool block by block, on one thread, so a memmap of any size
will do; an approximate index holds its own copy of the vectors and is worth its building time only where it is
searched with many queries.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal, Protocol, cast

import numpy as np

from agent.errors import ExtraMissing
from agent.records import Floats, Rows
from agent.selection.seam import Indices
from agent.selection.space import one_thread

Metric = Literal["euclidean", "cosine"]
Backend = Literal["exact", "usearch", "faiss"]
BACKENDS = ("exact", "usearch", "faiss")
PACKAGES = {"usearch": "usearch", "faiss": "faiss-cpu"}

QUERIES = 1_024  # queries that are compared at a time,
POINTS = 8_192  # with so many of the pool: 32 MB of distances
NUMBERS = 2**22  # numbers of a (queries, k, d) array that are held together


class Index(Protocol):
    """Something that can be asked for neighbours."""

    def search(self, queries: Floats, k: int) -> tuple[Indices, Floats]:
        """The min(k, m) nearest of the m indexed vectors to each of `queries` (q, d), the nearest first.

        Returns:
            Positions in the indexed rows (q, k) int64, and distances (q, k) float32: Euclidean, or 1 - cosine.
        """
        ...


def index(
    vectors: Callable[[Rows], Floats], rows: Rows, metric: Metric = "euclidean", backend: Backend = "exact"
) -> Index:
    """An index over the pool's `rows` (m,).

    Exact search costs O(q m d) time and O(k q) memory beside one block. `usearch` and `faiss` build a graph (HNSW,
    Malkov and Yashunin 2020) on one thread, so that the same vectors give the same graph: O(m log m) at building,
    then O(log m) a query, m d float16 or float32 numbers in memory, and some neighbours are missed.

    Raises ExtraMissing: the package of an approximate index is not installed.
    """
    if backend == "exact":
        return _Exact(vectors, rows, metric)
    module = _imported(backend)
    make = _Usearch if backend == "usearch" else _Faiss
    return make(module, vectors, rows, metric)


def nearest(
    queries: Floats, points: Floats, k: int, metric: Metric = "euclidean", backend: Backend = "exact"
) -> tuple[Indices, Floats]:
    """The min(k, m) nearest of `points` (m, d) to each of `queries` (q, d): indices and distances, (q, k) each."""
    return index(lambda rows: points[rows], np.arange(len(points)), metric, backend).search(queries, k)


def unit(vectors: Floats) -> Floats:
    """The vectors (m, d) scaled to length one; a vector of zeros stays as it is."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, np.float32(1e-12)), dtype=np.float32)


def squared_distances(left: Floats, right: Floats) -> Floats:
    """(a, b) float32 squared Euclidean distances of (a, d) to (b, d), never below 0; a (a, b) array is held."""
    out = left @ right.T
    out *= -2
    out += np.einsum("ij,ij->i", left, left)[:, None]
    out += np.einsum("ij,ij->i", right, right)
    return cast(Floats, np.maximum(out, 0, out=out))


class _Exact:
    def __init__(self, vectors: Callable[[Rows], Floats], rows: Rows, metric: Metric) -> None:
        self.vectors, self.rows, self.metric = vectors, rows, metric

    def search(self, queries: Floats, k: int) -> tuple[Indices, Floats]:
        k, q = min(k, len(self.rows)), len(queries)
        middle = (
            self._form(queries).mean(axis=0) if q else np.float32(0)
        )  # far off, |a|² + |b|² - 2ab is all rounding
        asked = self._form(queries) - middle
        found = np.zeros((q, k), dtype=np.int64)
        away = np.full((q, k), np.inf, dtype=np.float32)
        if not k:
            return found, away
        with one_thread():
            for start in range(0, len(self.rows), POINTS):
                points = self._form(self.vectors(self.rows[start : start + POINTS])) - middle
                for at in range(0, q, QUERIES):
                    part = slice(at, at + QUERIES)
                    _merge(found[part], away[part], squared_distances(asked[part], points), start)
            return self._sorted(self._form(queries), found)

    def _form(self, vectors: Floats) -> Floats:
        plain = np.asarray(vectors, dtype=np.float32)
        return unit(plain) if self.metric == "cosine" else plain

    def _sorted(self, asked: Floats, found: Indices) -> tuple[Indices, Floats]:
        """Distances from differences: |a|² + |b|² - 2ab is off by some thousandths where a and b are alike."""
        away = np.empty(found.shape, dtype=np.float32)
        step = max(1, NUMBERS // max(1, found.shape[1] * asked.shape[1]))
        for at in range(0, len(found), step):
            rows, where = np.unique(found[at : at + step], return_inverse=True)
            points = self._form(self.vectors(self.rows[rows]))
            difference = points[where.reshape(-1, found.shape[1])] - asked[at : at + step, None, :]
            away[at : at + step] = np.einsum("qkd,qkd->qk", difference, difference)
        order = np.lexsort((found, away), axis=1)
        away = np.take_along_axis(away, order, axis=1)
        distance = away / 2 if self.metric == "cosine" else np.sqrt(away)
        return np.take_along_axis(found, order, axis=1), distance.astype(np.float32)


def _merge(found: Indices, away: Floats, block: Floats, start: int) -> None:
    """Keeps, in place, the k smallest of what was `found` so far and of a block of squared distances (q, p)."""
    k = found.shape[1]
    bar = away.max(axis=1)
    for i in np.flatnonzero((block < bar[:, None]).any(axis=1)).tolist():
        near = np.flatnonzero(block[i] < bar[i])
        if len(near) > k:
            near = near[np.argpartition(block[i, near], k - 1)[:k]]
        distance = np.concatenate([away[i], block[i, near]])
        position = np.concatenate([found[i], near + start])
        kept = np.argsort(distance, kind="stable")[:k]
        found[i], away[i] = position[kept], distance[kept]


class _Usearch:
    def __init__(self, module: Any, vectors: Callable[[Rows], Floats], rows: Rows, metric: Metric) -> None:
        self.metric, self.size, self.index = metric, len(rows), None
        for start in range(0, len(rows), POINTS):
            block = np.asarray(vectors(rows[start : start + POINTS]), dtype=np.float32)
            if self.index is None:
                kind = "cos" if metric == "cosine" else "l2sq"
                self.index = module.Index(ndim=block.shape[1], metric=kind, dtype="f16")
            self.index.add(np.arange(start, start + len(block)), block, threads=1)

    def search(self, queries: Floats, k: int) -> tuple[Indices, Floats]:
        k = min(k, self.size)
        if self.index is None or not len(queries):
            return np.empty((len(queries), k), dtype=np.int64), np.empty((len(queries), k), dtype=np.float32)
        hits = self.index.search(np.asarray(queries, dtype=np.float32), k, threads=1)
        shape = (len(queries), -1)
        found = np.asarray(hits.keys).reshape(shape).astype(np.int64)
        away = np.asarray(hits.distances, dtype=np.float32).reshape(shape)
        return found, away if self.metric == "cosine" else np.sqrt(np.maximum(away, 0))


class _Faiss:
    LINKS = 32  # neighbours that each point of the graph keeps

    def __init__(self, module: Any, vectors: Callable[[Rows], Floats], rows: Rows, metric: Metric) -> None:
        self.metric, self.size, self.index = metric, len(rows), None
        with one_thread():  # faiss uses OpenMP
            for start in range(0, len(rows), POINTS):
                block = self._form(vectors(rows[start : start + POINTS]))
                self.index = self.index or module.IndexHNSWFlat(block.shape[1], self.LINKS)
                self.index.add(block)

    def search(self, queries: Floats, k: int) -> tuple[Indices, Floats]:
        k = min(k, self.size)
        if self.index is None or not len(queries):
            return np.empty((len(queries), k), dtype=np.int64), np.empty((len(queries), k), dtype=np.float32)
        self.index.hnsw.efSearch = max(64, 2 * k)
        with one_thread():
            away, found = self.index.search(self._form(queries), k)
        distance = away / 2 if self.metric == "cosine" else np.sqrt(np.maximum(away, 0))
        found = np.where(found < 0, found[:, :1], found)  # the graph led nowhere further: the nearest once more
        return found.astype(np.int64), distance.astype(np.float32)

    def _form(self, vectors: Floats) -> Floats:
        plain = np.ascontiguousarray(vectors, dtype=np.float32)
        return unit(plain) if self.metric == "cosine" else plain


def _imported(backend: Backend) -> Any:
    try:
        return import_module("usearch.index" if backend == "usearch" else "faiss")
    except ImportError:
        raise ExtraMissing(
            f"neighbours by {backend}: the package is not installed: pip install {PACKAGES[backend]}"
        ) from None
