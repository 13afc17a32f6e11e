"""Labelled text for the benchmarks of selection: six sets, cut the same way every time, and their vectors.

`../shared/data` (or LABELWRIGHT_SHARED) holds five of them; BBC news comes from the package of the demo. Vectors are
kept under `.cache/vectors` in half precision, as a job keeps them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from agent.pairing import join
from agent.records import Floats, Rows

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("LABELWRIGHT_SHARED", ROOT.parent / "shared")) / "data"
CACHE = ROOT / ".cache" / "vectors"
TUNED_ON = ("banking77", "fewrel", "uci_sentiment")
"""Everything was tuned on these; the others were only ever measured."""
SETS = ("banking77", "clinc150", "dbpedia14", "fewrel", "uci_sentiment", "bbc")
PAIRS = {"med_nli": ("premise", "hypothesis")}
POOL, TEST, APART = 5000, 1000, 2000


@dataclass(frozen=True)
class Corpus:
    """One set: a pool to select from, texts to test on, and texts apart from both that taught an oracle.

    Attributes:
        names: C class names; described: the same with a sentence each where the set has one.
        texts, labels: of every text; labels (n,) int64 are indices into `names`.
        pool, test, apart: (m,) int64 indices into them, disjoint.
        columns: of a set of pairs, what the two texts are called; they are joined (`agent.pairing`).
    """

    name: str
    names: tuple[str, ...]
    described: tuple[str, ...]
    texts: tuple[str, ...]
    labels: Rows
    pool: Rows
    test: Rows
    apart: Rows
    columns: tuple[str, str] | None = None

    @cached_property
    def vectors(self) -> Floats:
        """(n, 384) float32 of length one, by the packaged encoder; made once (a minute or two) and kept."""
        return kept_vectors(self.name, self.texts, _encode_pairs if self.columns else None)

    @cached_property
    def class_vectors(self) -> Floats:
        """(C, 384) of the names and descriptions."""
        return kept_vectors(f"{self.name}-classes", self.described)


def kept_vectors(
    name: str, texts: tuple[str, ...], encode: Callable[[tuple[str, ...]], Floats] | None = None
) -> Floats:
    """Vectors of texts, from `.cache/vectors` where the same texts were encoded before; by the packaged encoder where
    no other is named."""
    key = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]
    path = CACHE / f"{name}-{key}.npy"
    if not path.exists():
        if encode is None:
            from agent.student.encoder import Encoder

            encode = Encoder.load("builtin:minilm", max_tokens=128).encode
        CACHE.mkdir(parents=True, exist_ok=True)
        made = encode(texts).astype(np.float16)
        part = path.with_suffix(f".{os.getpid()}.part.npy")
        np.save(part, made)
        part.replace(path)
    found: Floats = np.load(path).astype(np.float32)
    return found


def _encode_pairs(texts: tuple[str, ...]) -> Floats:
    from agent.student.encoder import Encoder
    from agent.student.paired import PairEncoder

    return PairEncoder(Encoder.load("builtin:minilm", max_tokens=128)).encode(texts)


@lru_cache(maxsize=8)
def corpus(name: str) -> Corpus:
    """A set by name. Raises FileNotFoundError where its data is not on this machine."""
    if name == "bbc":
        texts, labels, names, cuts = _bbc()
        described = names
    else:
        texts, labels, names, cuts = _shared(name)
        described = _described(name, names)
    index = {n: i for i, n in enumerate(names)}
    found = np.array([index[label] for label in labels], np.int64)
    rng = np.random.default_rng(0)
    train, test, apart = (rng.permutation(part) for part in cuts)
    if not len(apart):
        apart, train = np.split(train, [min(APART, len(train) // 3)])
    used = (train[:POOL], test[:TEST], apart[:APART])
    kept = np.concatenate(used)
    pool, tested, aside = np.split(np.arange(len(kept)), np.cumsum([len(part) for part in used])[:2])
    chosen = tuple(texts[i] for i in kept)
    return Corpus(name, names, described, chosen, found[kept], pool, tested, aside, PAIRS.get(name))


def missing() -> str | None:
    """Why the sets cannot be read here, or None."""
    if not DATA.is_dir():
        return f"no data sets at {DATA}: set LABELWRIGHT_SHARED to the folder that holds data/"
    return None


def _shared(name: str) -> tuple[list[str], list[str], tuple[str, ...], tuple[Rows, Rows, Rows]]:
    folder = DATA / name
    texts: dict[str, str] = {}
    starts = []
    for part in ("test", "train"):  # what is in both stays in the test
        for row in pq.read_table(folder / f"{part}.parquet").to_pylist():
            if name in PAIRS:
                texts.setdefault(join(row["text_a"], row["text_b"]), row["label"])
            elif row["label"] != "oos":
                texts.setdefault(" ".join(row["text"].split()), row["label"])
        starts.append(len(texts))
    names = tuple(n for n in json.loads((folder / "labels.json").read_text()) if n != "oos")
    return (
        list(texts),
        list(texts.values()),
        names,
        (np.arange(starts[0], starts[1]), np.arange(starts[0]), np.arange(0)),
    )


def _bbc() -> tuple[list[str], list[str], tuple[str, ...], tuple[Rows, Rows, Rows]]:
    """The demo's own pool and gold texts, since a real model's answers to those are recorded."""
    from agent.demo.corpus import TOPICS, articles, split
    from agent.demo.showing import DRAWN_WITH

    seed, pool, gold = split(np.random.default_rng(DRAWN_WITH))
    drawn = {a.name for a in (*seed, *pool, *gold)}
    every = [*pool, *gold, *(a for a in articles() if a.name not in drawn)]
    ends = np.cumsum([len(pool), len(gold)])
    cuts = (np.arange(ends[0]), np.arange(ends[0], ends[1]), np.arange(ends[1], len(every)))
    return [a.text for a in every], [a.topic for a in every], tuple(dict.fromkeys(TOPICS.values())), cuts


def _described(name: str, names: tuple[str, ...]) -> tuple[str, ...]:
    told: dict[str, str] = {}
    if name == "fewrel":
        told = json.loads((DATA / name / "relations.json").read_text())
    words = {n: n.replace("_", " ") for n in names}
    return tuple(f"{words[n]}: {told[n]}" if n in told else words[n] for n in names)
