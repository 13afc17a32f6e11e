"""A model in production whose inputs change: is it seen, is the budget kept, and does what was kept mend the model?

    python -m evals.stream [--quick]

A model tells ten domains of requests to an assistant (clinc150) apart. It is taught by 400 texts, nine tenths of them
of five domains, and so is the first half of a stream of 20,000; from the middle on nine tenths are of the other five.
A thousand texts are a day. They go through the log of `labelwright serve --log` (the HTTP part is left to the tests),
which keeps at most a hundred a day; what it kept gets its gold labels, and the model is taught anew by the old texts
and these. So are two rivals that keep as many a day at most: random texts, and the first whose doubt is above a bar
that was set on texts of before the change.

Streams without drift are the same 20,000 texts, as the model saw them, in random orders.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from agent.distill import Examples, Model, Reference, Runtime, distil, model_key, read_reference
from agent.job import DistilSettings
from agent.records import Floats, Rows
from agent.stream import About, Alarm, Drift, Log, Seen, report
from agent.stream.drift import Yardstick
from agent.tasks.intervals import horvitz_thompson_mean, wilson
from evals._corpora import DATA, missing
from evals.outcome import Outcome, is_quick

OFTEN = 0.9
"""Share of the five domains that are frequent at the time."""
BATCH = 50
BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
SOON, POINTS = 1000, 2.0


@dataclass(frozen=True)
class Size:
    """Texts of each kind, and how many streams without drift."""

    taught: int = 400
    unseen: int = 200
    half: int = 10_000
    day: int = 1000
    a_day: int = 100
    before: int = 400
    after: int = 800
    quiet: int = 20


QUICK = Size(taught=200, half=1200, day=240, a_day=24, before=200, after=300, quiet=2)


@dataclass(frozen=True, eq=False)
class Corpus:
    """Texts and their domains; places of the first five domains and of the others, each to be used once."""

    texts: list[str]
    labels: Rows
    names: tuple[str, ...]
    free: tuple[list[int], list[int]]

    def draw(self, n: int, share: float, rng: np.random.Generator) -> Rows:
        """n places that nobody has had, so many of the first five domains, in random order."""
        first = round(n * share)
        taken = [pile.pop() for pile, count in zip(self.free, (first, n - first), strict=True) for _ in range(count)]
        return rng.permutation(np.array(taken, np.int64))

    def some(self, rows: Rows) -> list[str]:
        return [self.texts[i] for i in rows]


def clinc150(rng: np.random.Generator) -> Corpus:
    found: dict[str, str] = {}
    for part in ("test", "train", "dev"):
        for row in pq.read_table(DATA / "clinc150" / f"{part}.parquet").to_pylist():
            if row["label"] != "oos":
                found.setdefault(" ".join(row["text"].split()), row["domain"])
    names = tuple(sorted(set(found.values())))
    labels = np.array([names.index(domain) for domain in found.values()], np.int64)
    first = rng.permutation(len(names))[: len(names) // 2]
    order = rng.permutation(len(labels))
    is_first = np.isin(labels[order], first)
    return Corpus(list(found), labels, names, (order[is_first].tolist(), order[~is_first].tolist()))


def teach(folder: Path, corpus: Corpus, rows: Rows, unseen: Sequence[str] = ()) -> Model:
    targets = np.eye(len(corpus.names), dtype=np.float32)[corpus.labels[rows]]
    examples = Examples(corpus.some(rows), targets, np.ones(len(rows), np.float32), corpus.names)
    distil(examples, DistilSettings(epochs=1 if is_quick() else "auto"), folder=folder, unseen=unseen)
    return Model.load(folder)


def right(model: Model, corpus: Corpus, rows: Rows) -> float:
    """Accuracy in percent."""
    chances = model.predict(corpus.some(rows)).probabilities
    assert chances is not None
    return 100 * float((chances.argmax(axis=1) == corpus.labels[rows]).mean())


# The stream --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Answered:
    """The stream as the model saw it: where its texts are in the corpus, and what was said of them."""

    rows: Rows
    told: list[dict[str, object]]
    vectors: Floats
    probabilities: Floats


def answered(model: Model, corpus: Corpus, rows: Rows) -> Answered:
    parts = [model.read(corpus.some(rows[i : i + 2000])) for i in range(0, len(rows), 2000)]
    return Answered(
        rows,
        [told for part in parts for told in part.told],
        np.concatenate([part.vectors for part in parts]),
        np.concatenate([part.probabilities for part in parts]),
    )


def logged(log: Log, stream: Answered, corpus: Corpus, day: int) -> list[Alarm]:
    """Put the stream through a log. Returns what it found."""
    found = []
    for start in range(0, len(stream.rows), BATCH):
        part = slice(start, start + BATCH)
        when = BEGUN + timedelta(days=start // day, seconds=start % day)
        texts = corpus.some(stream.rows[part])
        found += log.write(Seen(texts, stream.told[part], stream.vectors[part], stream.probabilities[part], when))
    return found


def first_found(alarms: Sequence[Alarm], of: str) -> int | None:
    return next((alarm.text for alarm in alarms if alarm.of == of), None)


def without_drift(stream: Answered, names: tuple[str, ...], seeds: int) -> tuple[int, int]:
    """Of streams in random order, how many had a drift of inputs, and how many one of predictions."""
    inputs, predictions = 0, 0
    for seed in range(seeds):
        order = np.random.default_rng([seed, 7]).permutation(len(stream.rows))
        vectors, chances = stream.vectors[order], stream.probabilities[order]
        yardstick = Yardstick.of(vectors[:200])
        watch = Drift.new(yardstick, names, vectors[200:400], chances[200:400], multilabel=False)
        watch.see(vectors[400:], chances[400:])
        inputs, predictions = inputs + watch.drifts("inputs"), predictions + watch.drifts("predictions")
    return inputs, predictions


# Rivals ------------------------------------------------------------------------------------------------------------


def by_random(stream: Answered, size: Size) -> Rows:
    """As many each day as may be kept."""
    rng, days = np.random.default_rng(13), range(0, len(stream.rows), size.day)
    return np.concatenate([stream.rows[d + rng.permutation(size.day)[: size.a_day]] for d in days])


def by_fixed_doubt(stream: Answered, size: Size, reference: Reference) -> Rows:
    """The first each day whose doubt is above a bar: that of the budget's share before the change."""
    bar = np.quantile(1 - reference.probabilities.max(axis=1), 1 - size.a_day / size.day)
    doubt = 1 - stream.probabilities.max(axis=1)
    days = range(0, len(stream.rows), size.day)
    return np.concatenate(
        [stream.rows[d + np.flatnonzero(doubt[d : d + size.day] >= bar)[: size.a_day]] for d in days]
    )


# What came of it ---------------------------------------------------------------------------------------------------


def tell_drift(
    outcome: Outcome, alarms: Sequence[Alarm], stream: Answered, names: tuple[str, ...], size: Size
) -> None:
    for of in ("inputs", "predictions"):
        at = first_found(alarms, of)
        late = None if at is None else at - size.half
        outcome.add(
            f"drift of {of}: reported after",
            "never" if late is None else late,
            "texts after the change",
            target=f"1 to {SOON:,}",
            holds=late is not None and 0 < late <= SOON,
        )
    for of, count in zip(("inputs", "predictions"), without_drift(stream, names, size.quiet), strict=True):
        unit = f"of {size.quiet} streams of {len(stream.rows) - 400:,} texts without drift"
        outcome.add(f"drift of {of}: false alarms", count, unit, target="0", holds=count == 0)


def tell_kept(outcome: Outcome, folder: Path, corpus: Corpus, stream: Answered, size: Size) -> Rows:
    """The budget, and the accuracy that chance estimates. Returns places of what was kept in the corpus."""
    lines = [json.loads(line) for line in (folder / "kept.jsonl").read_text(encoding="utf-8").splitlines()]
    days = [line["time"][:10] for line in lines]
    most = max(days.count(day) for day in set(days))
    outcome.add("kept on the fullest day", most, "texts", target=f"<= {size.a_day}", holds=most <= size.a_day)
    told = report(folder)
    unit = ", ".join(f"{n} {why}" for why, n in told.kept.items())
    outcome.add("kept in all", len(lines), f"of {size.a_day * len(set(days)):,} that may be: {unit}")
    place = {text: i for i, text in enumerate(corpus.texts)}
    change = (BEGUN + timedelta(days=size.half // size.day)).isoformat()
    said = corpus.labels[stream.rows] == stream.probabilities.argmax(axis=1)
    halves = (("before", said[: size.half], False), ("after", said[size.half :], True))
    for name, part, is_after in halves:
        drawn = [line for line in lines if line["why"] == "chance" and (line["time"] >= change) == is_after]
        good = [float(corpus.names[corpus.labels[place[line["text"]]]] == line["label"]) for line in drawn]
        mean, low, high = horvitz_thompson_mean(good, [line["probability"] for line in drawn])
        truth = float(part.mean())
        outcome.add(
            f"accuracy {name} the change, from the {len(drawn)} that chance kept",
            round(100 * mean, 1),
            f"% ({100 * low:.1f} to {100 * high:.1f})",
            target="the true one is in its 95 % interval",
            holds=bool(low <= truth <= high),
            rival=f"truth: {100 * truth:.1f}",
        )
    return np.array([place[line["text"]] for line in lines], np.int64)


def main() -> int:
    if why := missing():
        print(why)
        return 2
    outcome, size = Outcome("stream", quick=is_quick()), QUICK if is_quick() else Size()
    rng = np.random.default_rng(17)
    corpus = clinc150(rng)
    taught, unseen = (corpus.draw(n, OFTEN, rng) for n in (size.taught, size.unseen))
    before, after = corpus.draw(size.before, OFTEN, rng), corpus.draw(size.after, 1 - OFTEN, rng)
    rows = np.concatenate([corpus.draw(size.half, OFTEN, rng), corpus.draw(size.half, 1 - OFTEN, rng)])
    with tempfile.TemporaryDirectory() as place:
        folder, seen = Path(place) / "model", Path(place) / "seen"
        model = teach(folder, corpus, taught, corpus.some(unseen))
        reference = read_reference(folder, Runtime.TORCH, multilabel=False)
        assert reference is not None
        stream = answered(model, corpus, rows)
        about = About("model", model_key(folder, Runtime.TORCH), corpus.names, reference=reference)
        alarms = logged(Log(seen, about, size.a_day, seed=17), stream, corpus, size.day)
        tell_drift(outcome, alarms, stream, corpus.names, size)
        kept = tell_kept(outcome, seen, corpus, stream, size)
        was = 100 * float((corpus.labels[rows] == stream.probabilities.argmax(axis=1))[: size.half].mean())
        outcome.add("accuracy before the change", round(was, 1), f"% of {size.half:,} texts of the stream")
        fell = right(model, corpus, after)
        outcome.add("the same model after it", round(fell, 1), f"% of {size.after:,} held-out texts")
        tell_anew(outcome, Path(place), corpus, Held(taught, before, after, was), {
            "what the log kept": kept,
            "random texts": by_random(stream, size),
            "doubt above a fixed bar": by_fixed_doubt(stream, size, reference),
        })  # fmt: skip
    return outcome.finish()


@dataclass(frozen=True, eq=False)
class Held:
    """Texts that taught, held-out texts of before and after the change, and the accuracy there was, in percent."""

    taught: Rows
    before: Rows
    after: Rows
    was: float


def tell_anew(outcome: Outcome, place: Path, corpus: Corpus, held: Held, arms: dict[str, Rows]) -> None:
    """Teach a model by the old texts and each arm's; the first is ours."""
    for number, (name, rows) in enumerate(arms.items()):
        learnt = teach(place / f"again{number}", corpus, np.concatenate([held.taught, rows]))
        found, still = right(learnt, corpus, held.after), right(learnt, corpus, held.before)
        low, high = wilson(found / 100 * len(held.after), len(held.after))
        ours = number == 0
        outcome.add(
            f"taught anew by {name} ({len(rows):,} labels): after the change",
            round(found, 1),
            f"% ({100 * low:.1f} to {100 * high:.1f}); on texts of before: {still:.1f}",
            target=f"at most {POINTS:g} points below before" if ours else "",
            holds=bool(found >= held.was - POINTS) if ours else None,
        )


if __name__ == "__main__":
    sys.exit(main())
