"""A distilled model at work elsewhere: the same labels from four programs, how fast it answers, and what it survives.

    python -m evals.serving [--quick]

A model is distilled from BBC articles with their own topics. Then other articles are labelled by
`transformers.pipeline`, by plain onnxruntime as the model card says it, and by `labelwright serve` with each of its
runtimes, a request a text. Speed is of texts of twelve words from 32 clients on this machine, which take processor
time too; beside it stands what the same model does in this process with all texts at once: no server can do more.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.demo.corpus import Article, articles
from agent.distill import Examples, Model, Runtime, distil, write_onnx
from agent.job import DistilSettings
from agent.records import Floats
from evals._clients import CLIENTS, ask_all, do_wrong, served
from evals.outcome import Outcome, is_quick

SHORT_WORDS, TURNS = 12, 3
ENOUGH = 200.0
INT8_POINTS = 1.0
SWITCHES: dict[Runtime, tuple[str, ...]] = {
    Runtime.TORCH: (),
    Runtime.ONNX: ("--onnx",),
    Runtime.INT8: ("--int8",),
}


@dataclass(frozen=True)
class Size:
    """How many texts teach, are compared, are asked for speed; and how many requests make no sense."""

    learn: int = 300
    epochs: int = 2
    texts: int = 1000
    short: int = 3000
    wrong: int = 1000


QUICK = Size(learn=100, epochs=1, texts=200, short=400, wrong=200)


@dataclass(frozen=True)
class Said:
    """Labels of texts, and (n, C) probabilities in the order of the names."""

    labels: list[str]
    probabilities: Floats


def teach(folder: Path, known: Sequence[Article], names: tuple[str, ...], epochs: int) -> None:
    targets = np.array([[float(a.topic == name) for name in names] for a in known], np.float32)
    weights = np.ones(len(known), np.float32)
    examples = Examples([a.text for a in known], targets, weights, names)
    distil(examples, DistilSettings(epochs=epochs), folder=folder)
    write_onnx(folder, int8=True)


# The same labels ---------------------------------------------------------------------------------------------------


def by_pipeline(folder: Path, texts: Sequence[str], names: Sequence[str]) -> Said:
    from transformers import pipeline

    found = pipeline("text-classification", model=str(folder), truncation=True, top_k=None, device="cpu")(list(texts))
    scores = [{d["label"]: d["score"] for d in each} for each in found]
    return Said([each[0]["label"] for each in found], np.array([[s[n] for n in names] for s in scores], np.float32))


def by_onnxruntime(folder: Path, texts: Sequence[str], names: Sequence[str]) -> Said:
    """As the model card has it, sixteen texts at a time."""
    import onnxruntime
    import scipy.special
    from transformers import AutoTokenizer

    read = AutoTokenizer.from_pretrained(folder)
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    parts = []
    for start in range(0, len(texts), 16):
        batch = read(list(texts[start : start + 16]), truncation=True, padding=True, return_tensors="np")
        logits = session.run(["logits"], {i.name: batch[i.name] for i in session.get_inputs()})[0]
        parts.append(scipy.special.softmax(logits, axis=1))
    found = np.concatenate(parts)
    return Said([names[c] for c in found.argmax(axis=1)], found)


def by_endpoint(url: str, texts: Sequence[str], names: Sequence[str]) -> Said:
    answers, _, _ = asyncio.run(ask_all(url, texts))
    chances = [[a["probabilities"][n] for n in names] for a in answers]
    return Said([a["label"] for a in answers], np.array(chances, np.float32))


def compare(outcome: Outcome, what: str, found: Said, expected: Said, *, same_is_due: bool = True) -> None:
    """Count labels that are the same, and say how far the probabilities are apart, there and where they are not."""
    differs = [a != b for a, b in zip(found.labels, expected.labels, strict=True)]
    gaps = np.abs(found.probabilities - expected.probabilities).max(axis=1)
    apart = f"; {gaps[differs].max():.2g} where the label differs" if any(differs) else ""
    same, total = len(differs) - sum(differs), len(differs)
    outcome.add(
        f"same labels as transformers.pipeline: {what}",
        same,
        f"of {total:,}; probabilities differ by at most {gaps.max():.2g}{apart}",
        target="all" if same_is_due else "",
        holds=same == total if same_is_due else None,
    )


# How fast ----------------------------------------------------------------------------------------------------------


def alone(model: Model, texts: Sequence[str]) -> float:
    """Texts a second of the model in this process, all at once."""
    began = time.perf_counter()
    model.predict(texts)
    return len(texts) / (time.perf_counter() - began)


async def mixed(url: str, texts: Sequence[str], wrong: int) -> tuple[list[str], int]:
    """Labels of good requests while others make no sense, and how many of those were answered as is due."""
    (answers, _, _), right = await asyncio.gather(ask_all(url, texts), do_wrong(url, wrong))
    return [str(a.get("label")) for a in answers], right


def measure_speed(outcome: Outcome, folder: Path, url: str, runtime: Runtime, short: Sequence[str]) -> None:
    """The server and the model alone take turns: other work on this machine slows both."""
    model = Model.load(folder, runtime=runtime)
    asyncio.run(ask_all(url, short[: 4 * CLIENTS]))
    alone(model, short[: 4 * CLIENTS])
    rates, limits, seconds = [], [], list[float]()
    for turn in np.array_split(np.arange(len(short)), TURNS):
        part = [short[i] for i in turn]
        _, each, whole = asyncio.run(ask_all(url, part))
        rates.append(len(part) / whole)
        seconds += each
        limits.append(alone(model, part))
    rate, limit = statistics.median(rates), statistics.median(limits)
    p95 = 1000 * float(np.percentile(seconds, 95))
    outcome.add(
        f"serve, {runtime}: {CLIENTS} clients, texts of {SHORT_WORDS} words",
        round(rate, 1),
        f"requests a second; {rate / limit:.0%} of the limit",
        target=f">= {ENOUGH:g}" if runtime is not Runtime.ONNX else "",
        holds=rate >= ENOUGH if runtime is not Runtime.ONNX else None,
        rival=f"the model alone, all at once: {limit:.0f}",
    )
    outcome.add(f"serve, {runtime}: 95 % are answered within", round(p95, 1), "ms")


def measure_survival(outcome: Outcome, url: str, short: Sequence[str], wrong: int) -> None:
    before = [a["label"] for a in asyncio.run(ask_all(url, short))[0]]
    labels, right = asyncio.run(mixed(url, short, wrong))
    outcome.add(
        "requests that make no sense, answered as is due", right, f"of {wrong}", target="all", holds=right == wrong
    )
    same = sum(a == b for a, b in zip(labels, before, strict=True))
    outcome.add(
        "good requests among them, labelled as before",
        same,
        f"of {len(short)}",
        target="all",
        holds=same == len(short),
    )
    alive = asyncio.run(ask_all(url, short[:1]))[0][0]["status"] == 200
    outcome.add("the server lives on", "yes" if alive else "no", "", target="yes", holds=alive)


def main() -> int:
    outcome, size = Outcome("serving", quick=is_quick()), QUICK if is_quick() else Size()
    every = articles()
    mixed_up = [every[i] for i in np.random.default_rng(11).permutation(len(every))]
    known, rest = mixed_up[: size.learn], mixed_up[size.learn : size.learn + size.texts]
    names, texts = tuple(sorted({a.topic for a in every})), [a.text for a in rest]
    words = " ".join(a.text for a in mixed_up).split()
    short = [" ".join(words[i * SHORT_WORDS : (i + 1) * SHORT_WORDS]) for i in range(size.short)]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        teach(folder, known, names, size.epochs)
        expected = by_pipeline(folder, texts, names)
        compare(outcome, "onnxruntime", by_onnxruntime(folder, texts, names), expected)
        right = {}
        for runtime, words_of in SWITCHES.items():
            with served(folder, *words_of) as url:
                found = by_endpoint(url, texts, names)
                compare(outcome, f"serve, {runtime}", found, expected, same_is_due=runtime is not Runtime.INT8)
                right[runtime] = 100 * float(np.mean([a.topic == b for a, b in zip(rest, found.labels, strict=True)]))
                measure_speed(outcome, folder, url, runtime, short)
                if runtime is Runtime.INT8:
                    measure_survival(outcome, url, short, size.wrong)
        lost = right[Runtime.TORCH] - right[Runtime.INT8]
        outcome.add(
            "accuracy: torch / weights of eight bits",
            f"{right[Runtime.TORCH]:.1f} / {right[Runtime.INT8]:.1f}",
            f"% of {len(rest):,} texts",
            target=f"at most {INT8_POINTS:g} point less",
            holds=lost <= INT8_POINTS,
        )
    return outcome.finish()


if __name__ == "__main__":
    sys.exit(main())
