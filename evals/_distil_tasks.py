"""Distilling where a text has any number of labels: classes (GoEmotions) or spans (WNUT17). For evals.distil.

Both are sets of things: class names, or (from, to, type). Right is counted over all texts as F1.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from agent.distill import Examples, Model, SpanLessons, Tags, distil, distil_spans
from agent.job import DistilSettings, TaskSettings
from agent.records import Floats, Text, TextId
from agent.student import Tagger
from agent.student.encoder import BUILTIN, Encoder
from agent.student.head import Head
from agent.tasks import Spans
from evals._corpora import DATA, kept_vectors
from evals._distilling import SEED

KINDS = ("gold", "symmetric", "instance")
WRONG = 0.2
LABELS, TEST, APART = 2000, 1000, 1500
QUICK_LABELS, QUICK_TEST = 100, 200
TOKENS = 48
DRAWS = 500

Things = frozenset[Any]


@dataclass(frozen=True)
class Sets:
    """Texts and the set of each in three parts: to label, to test on, and those that taught the `instance` oracle."""

    name: str
    names: tuple[str, ...]
    texts: tuple[list[str], list[str], list[str]]
    gold: tuple[list[Things], list[Things], list[Things]]


def counted(gold: Sequence[Things], said: Sequence[Things]) -> Floats:
    """(n, 2): of each text what is in both twice, and what is in either, counted in each."""
    return np.array([[2 * len(g & s), len(g) + len(s)] for g, s in zip(gold, said, strict=True)], np.float32)


def f1(counts: Floats) -> float:
    """Over all texts, in percent."""
    both, all_ = counts.sum(axis=0)
    return round(100 * float(both / max(all_, 1)), 2)


def by_chance(a: Floats, b: Floats) -> str:
    """95 % of the difference in F1, over texts drawn with replacement."""
    rng = np.random.default_rng(SEED)
    rows = rng.integers(len(a), size=(DRAWS, len(a)))
    drawn = [100 * (x[rows, 0].sum(1) / np.maximum(x[rows, 1].sum(1), 1)) for x in (a, b)]
    lo, hi = np.quantile(drawn[0] - drawn[1], [0.025, 0.975])
    return f"95 % interval {lo:+.1f} to {hi:+.1f}"


def read(name: str, *, quick: bool) -> Sets:
    """`goemotions` or `wnut17`. Raises FileNotFoundError where the data is not here."""
    names = tuple(json.loads((DATA / name / "labels.json").read_text(encoding="utf-8")))
    sets_of = _tagged(names) if name == "wnut17" else lambda row: frozenset(row["labels"])
    texts, gold = [], []
    rng = np.random.default_rng(SEED)
    labels, test = (QUICK_LABELS, QUICK_TEST) if quick else (LABELS, TEST)
    used: set[str] = set()
    for part, count in (("test", test), ("train", labels + APART)):
        rows = pq.read_table(DATA / name / f"{part}.parquet").to_pylist()
        found: dict[str, Things] = {}
        for i in rng.permutation(len(rows)):
            if rows[i]["text"] not in used:
                found.setdefault(rows[i]["text"], sets_of(rows[i]))
            if len(found) == count:
                break
        used |= set(found)
        texts.append(list(found))
        gold.append(list(found.values()))
    return Sets(
        name,
        names,
        (texts[1][:labels], texts[0], texts[1][labels:]),
        (gold[1][:labels], gold[0], gold[1][labels:]),
    )


def _tagged(names: tuple[str, ...]) -> Callable[[dict[str, Any]], Things]:
    task = Spans(TaskSettings(kind="spans", labels=dict.fromkeys(names, "")))

    def sets_of(row: dict[str, Any]) -> Things:
        value = task.read(list(row["tags"]), Text(TextId("x"), row["text"]))
        return frozenset((start, end, name) for start, end, name, _ in value)

    return sets_of


# Oracles --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """What an oracle says of the n texts to label and of the test texts.

    `soft`: (n, C) how likely it holds each class of the former; None where it does not say.
    """

    of_pool: list[Things]
    of_test: list[Things]
    soft: Floats | None = None


def said_by(kind: str, known: Sets) -> Told:
    """Gold; one thing in five forgotten or taken for another class (`symmetric`); or a model of the frozen encoder,
    taught on texts apart (`instance`)."""
    if kind == "gold":
        return Told(known.gold[0], known.gold[1])
    if kind == "symmetric":
        rng = np.random.default_rng([SEED, 1])
        return Told(_careless(known.gold[0], known, rng), _careless(known.gold[1], known, rng))
    both = [*known.texts[0], *known.texts[1]]
    n = len(known.texts[0])
    if known.name == "wnut17":
        said = _tagger(known, both)
        return Told(said[:n], said[n:])
    said, chances = _head(known, both)
    return Told(said[:n], said[n:], chances[:n])


def reviewed(known: Sets, told: Told, share: float) -> Told:
    """With gold in place of the share of an oracle's sets of classes that is most likely wrong, as people would be
    shown it: by what a head that did not see the text says of all decisions together, and what the oracle says."""
    said = _matrix(told.of_pool, known.names)
    learnt = said if told.soft is None else told.soft
    head = Head(len(known.names), independent=True)
    vectors = kept_vectors(f"{known.name}-sets", tuple(known.texts[0]))
    head.fit(vectors, learnt, np.ones(len(said), np.float32), np.random.default_rng(SEED))
    believed = sum(_likely(said, chances) for chances in (head.out_of_fold, told.soft) if chances is not None)
    shown = np.argsort(believed, kind="stable")[: round(share * len(said))]
    of_pool, soft = list(told.of_pool), None if told.soft is None else told.soft.copy()
    for i in shown:
        of_pool[i] = known.gold[0][i]
        if soft is not None:
            soft[i] = _matrix([of_pool[i]], known.names)[0]
    return Told(of_pool, told.of_test, soft)


def _likely(said: Floats, chances: Floats) -> Floats:
    """(n,) the logarithm of how likely each set is."""
    right = np.where(said > 0.5, chances, 1 - chances)
    return np.asarray(np.log(np.maximum(right, 1e-6)).sum(axis=1), np.float32)


def _careless(gold: Sequence[Things], known: Sets, rng: np.random.Generator) -> list[Things]:
    def another(thing: Any) -> Any:
        name = str(rng.choice(known.names))
        return (*thing[:-1], name) if isinstance(thing, tuple) else name

    found = []
    for things in gold:
        dealt = [(thing, rng.random()) for thing in sorted(things)]
        said = [thing if u >= WRONG else another(thing) for thing, u in dealt if u >= WRONG / 2]
        found.append(frozenset(said))
    return found


def _head(known: Sets, texts: list[str]) -> tuple[list[Things], Floats]:
    apart, wanted = (kept_vectors(f"{known.name}-sets", tuple(t)) for t in (known.texts[2], texts))
    head = Head(len(known.names), independent=True)
    head.fit(apart, _matrix(known.gold[2], known.names), np.ones(len(apart), np.float32), np.random.default_rng(SEED))
    chances = head.predict(wanted)
    return [frozenset(known.names[j] for j in np.flatnonzero(row >= 0.5)) for row in chances], chances


def _tagger(known: Sets, texts: list[str]) -> list[Things]:
    tagger = Tagger(known.names, lambda: Encoder.load(BUILTIN, max_tokens=128))
    taught = [Text(TextId(f"a{i}"), t) for i, t in enumerate(known.texts[2])]
    values = [
        tuple((*s, t[s[0] : s[1]]) for s in sorted(g)) for t, g in zip(known.texts[2], known.gold[2], strict=True)
    ]
    tagger.fit(taught, values, np.ones(len(taught), np.float32), np.random.default_rng(SEED))
    said = tagger.predict([Text(TextId(f"b{i}"), t) for i, t in enumerate(texts)]).values
    return [frozenset(tuple(span[:3]) for span in value) for value in said]


def _matrix(sets: Sequence[Things], names: tuple[str, ...]) -> Floats:
    return np.array([[name in things for name in names] for things in sets], np.float32)


# Students -------------------------------------------------------------------------------------------------------


def student(
    known: Sets, labels: Sequence[Things], settings: DistilSettings, soft: Floats | None = None
) -> list[Things]:
    """What a model of these labels, or soft ones in their place, says of the test texts."""
    ones = np.ones(len(labels), np.float32)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        if known.name == "wnut17":
            lessons = SpanLessons(known.texts[0], [sorted(things) for things in labels], ones)
            encoder = Encoder.load(BUILTIN, max_tokens=128)
            distil_spans(lessons, known.names, settings, encoder=encoder, folder=folder, seed=SEED)
            said = Tags.load(folder).predict(known.texts[1]).values
            return [frozenset(tuple(span[:3]) for span in value) for value in said]
        targets = _matrix(labels, known.names) if soft is None else soft
        examples = Examples(known.texts[0], targets, ones, known.names, multilabel=True, seed=SEED)
        distil(examples, settings, encoder=Encoder.load(BUILTIN, max_tokens=TOKENS), folder=folder)
        return [frozenset(value) for value in Model.load(folder).predict(known.texts[1]).values]
