"""Queues made of hostile texts, for the page and for HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.job import Job
from tests.review.hostile_texts import FAMILIES, HOSTILE, as_name
from tests.review.scenes import Scene, Waiting, scene

TEN = (
    "</script><script>window.ran=1</script>",
    '<img src=x onerror="window.ran=1">',
    "__proto__",
    "constructor",
    "pay \u202e001\u202c to Ada",
    "nul \x00 in the middle",
    FAMILIES["marks"][1],
    FAMILIES["long"][0],
    "{{ 7 * 7 }}",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645 <b>(1)</b>",
)
"""Labels with a number key each."""


def waiting(texts: Sequence[str], labels: Sequence[str], *, several: bool = False) -> list[Waiting]:
    """Every text, with hostile words wherever else a stranger's words can stand. Of the labels only the suggested
    one has a probability, so that `constructor` has none of its own."""
    found = []
    for number, text in enumerate(texts):
        label = labels[number % len(labels)]
        found.append(
            Waiting(
                text,
                (label,) if several else label,
                id=text if len(text) < 200 else f"{number} {text[:100]}",
                probabilities={label: 0.5},
                reason=f"{'failed: ' if number % 5 == 0 else ''}{text[:1500]}",
                slice=text[:30] if number % 7 == 0 else "unsure",
                why={text[:100]: text[:300], "strategy": text[:200], "rank": 1, "of": 2},
                by=text[:300] or "nobody",
            )
        )
    return found


def all_texts(folder: Path, **settings: Any) -> Scene:
    """Every hostile text, among ten hostile labels with hostile descriptions."""
    about = {name: HOSTILE[17 * number][:500] for number, name in enumerate(TEN)}
    return scene(folder, waiting(HOSTILE, TEN), labels=about, **settings)


def as_labels(folder: Path, *, several: bool = False) -> Scene:
    """Every hostile text that may name a label does, and one text for each of them waits."""
    names = [text for text in HOSTILE if as_name(text) and len(text) <= 500]
    plain = [f"Text number {number}." for number in range(len(names))]
    kind = "multilabel" if several else "classification"
    return scene(folder, waiting(plain, names, several=several), labels={n: n for n in names}, kind=kind)


def named(made: Scene, name: str) -> Scene:
    """The same under a name that a job file would not take; there is no queue for it."""
    return Scene(made.store, made.job.model_copy(update={"name": name}), made.task)


def guided(job: Job, guidelines: str) -> Job:
    return job.model_copy(update={"task": job.task.model_copy(update={"guidelines": guidelines})})
