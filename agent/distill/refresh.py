"""The representation, refreshed inside the loop: a copy of the encoder is tuned on the labels so far.

Knows labelled texts, an encoder and a folder; no store, no pool and no round. Whoever calls embeds the pool again.

Two ways lead there: a classifier on the encoder's vectors is trained with it (`finetuned`), or texts of like labels
are drawn together (`contrastive`). A fold of the labels is kept from both. What has the lowest loss on that fold, for
a student that is taught as the loop's own, with the first encoder beside the tuned one, learns on from where it is,
now from every label; where nothing beats what the loop has now, that is kept (`frozen`).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from agent.distill.race import NOTHING_BESIDE, Beside, Kept, Outcome, Race, RefreshSettings
from agent.distill.saving import replacing
from agent.distill.targets import Examples
from agent.distill.tower import Tower
from agent.distill.training import Progress
from agent.records import Floats, Rows
from agent.student.encoder import Encoder
from agent.student.heads import side_by_side

__all__ = ["Beside", "RefreshSettings", "Refreshed", "pinned", "refresh"]

FACTS = "refresh.json"
FEWEST_TEXTS, FEWEST_JUDGED = 40, 16
"""With fewer labels nothing is tuned; with fewer new ones than that, the fold is drawn from all of them."""
FOLD, MOST_JUDGED = 0.2, 400
MOST_TOKENS = 96
"""Of one text: what it is about is said by then, and a long text would leave nothing of the budget for others."""


@dataclass(frozen=True)
class Refreshed:
    """What came of it.

    Attributes:
        kept: the way that won, or `frozen`.
        folder: the new encoder's; None where the present one is kept.
        losses: nats on the fold, of `frozen` and of each way that was tried; empty where nothing could be judged.
        accuracies: share of the fold where the likeliest class (multilabel: every decision) is the label's.
        temperature: what the logits of a head on the new encoder should be divided by on new texts. It is taught on
            texts that the encoder has learnt by heart, and is surer than it should be; the fold tells by how much. At
            least one.
        judged: number of texts in the fold.
        seconds: that it took.
    """

    kept: Kept
    folder: Path | None = None
    losses: Mapping[str, float] = field(default_factory=dict)
    accuracies: Mapping[str, float] = field(default_factory=dict)
    temperature: float = 1.0
    judged: int = 0
    seconds: float = 0.0


def refresh(
    encoder: Encoder,
    examples: Examples,
    settings: RefreshSettings,
    folder: str | Path,
    progress: Progress = lambda done, total: None,
    *,
    base: Encoder | None = None,
    beside: Beside = NOTHING_BESIDE,
) -> Refreshed:
    """Tune a copy of the encoder on labelled texts, and save it as a folder that `Encoder.load` opens.

    Args:
        encoder: the one that the loop has now, which must be beaten; it stands beside `base` where it is another.
        examples: the labels so far, and the seed.
        settings: the way and the cost.
        folder: replaced in one step when a new encoder is better; else untouched.
        progress: told (tokens learnt from, tokens in all).
        base: what is tuned; `encoder` where None. Where `encoder` was itself refreshed, name the first one here: the
            result then depends on the labels alone, and not on the milestones before. Its fold is drawn from texts
            that `encoder` has not learnt from, as far as there are enough.
        beside: what teaches the loop's student beside labels; it is not learnt from here, the judge's student has it.

    The same arguments give the same bytes on one machine. Raises DataError without labels, ModelError where the
    encoder cannot be used or the folder not be written.
    """
    began = time.monotonic()
    known = examples.checked()
    if len(known.texts) < FEWEST_TEXTS or not np.ptp(known.targets, axis=0).any():
        return Refreshed("frozen", seconds=time.monotonic() - began)
    with pinned(settings.threads):
        tower, some = _build(base or encoder, known, settings, beside)
        present, held = _present(encoder, base, tower, some, beside)
        if len(held) < FEWEST_JUDGED:
            return Refreshed("frozen", seconds=time.monotonic() - began)
        found = Race(tower, some, settings, progress, beside).run(present, held)
        if found.kept != "frozen":
            with replacing(Path(folder)) as partial:
                tower.save(partial)
                _write_facts(partial, (base or encoder).name, tower.layers, some, found)
    return Refreshed(
        found.kept,
        Path(folder) if found.kept != "frozen" else None,
        {way: v.loss for way, v in found.verdicts.items()},
        {way: v.accuracy for way, v in found.verdicts.items()},
        found.verdicts[found.kept].temperature,
        len(held),
        time.monotonic() - began,
    )


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """torch on so many threads, other linear algebra on one: rounding is the same whatever the caller has set."""
    import torch
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(limits=1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


# What is learnt from, and what is judged on -------------------------------------------------------------------------


def fold(known: Examples, fresh: Rows, rng: np.random.Generator) -> Rows:
    """Sorted rows to be judged on: a fifth of all, of those in `fresh`; no class is left with fewer than two."""
    likeliest = known.targets.argmax(axis=1)
    left = np.bincount(likeliest, minlength=known.targets.shape[1])
    wanted = min(MOST_JUDGED, len(fresh), max(FEWEST_JUDGED, round(FOLD * len(known.texts))))
    held: list[int] = []
    for i in rng.permutation(fresh).tolist():
        if len(held) < wanted and left[likeliest[i]] > 2:
            left[likeliest[i]] -= 1
            held.append(i)
    return np.array(sorted(held), np.int64)


def affordable(lengths: Rows, tokens: int, rng: np.random.Generator) -> Rows:
    """Sorted rows of texts of these lengths, at random, that have `tokens` tokens together, or all of them."""
    order = rng.permutation(len(lengths))
    return np.sort(order[: max(FEWEST_TEXTS, int(np.searchsorted(np.cumsum(lengths[order]), tokens)))])


def _build(base: Encoder, known: Examples, settings: RefreshSettings, beside: Beside) -> tuple[Tower, Examples]:
    """The tower on as many of the texts as the budget lets it see at least once, and on those of `beside`."""
    lengths = np.minimum(np.array(base.count_tokens(known.texts), np.int64) + 2, MOST_TOKENS)
    rows = affordable(lengths, settings.tokens, np.random.default_rng([known.seed, 3]))
    some = known.part(rows)
    return Tower(base, [*some.texts, *beside.texts], settings.layers, MOST_TOKENS), some


def _present(
    encoder: Encoder, base: Encoder | None, tower: Tower, known: Examples, beside: Beside
) -> tuple[Floats, Rows]:
    """The tower's texts as the encoders that must be beaten see them, and the fold that they are beaten on."""
    rng = np.random.default_rng([known.seed, 4])
    facts = _read_facts(encoder.folder)
    learnt = set(facts.get("learnt", ()))
    fresh = np.array([i for i, t in enumerate(known.texts) if _digest(t) not in learnt], np.int64)
    held = fold(known, fresh, rng)
    if base is None or base is encoder:
        return tower.start, held
    if len(held) < FEWEST_JUDGED:  # it knows them all by heart: judged against the one that it was better than
        return tower.start, fold(known, np.arange(len(known.texts)), rng)
    if facts.get("layers") != tower.layers:  # tuned by other settings: what the tower keeps of each text is no use
        return side_by_side(tower.start, encoder.encode([*known.texts, *beside.texts])), held
    first = tower.state()
    tower.become(encoder)
    with tower.upper():
        tuned = tower.encode()
    tower.restore(first)
    return side_by_side(tower.start, tuned), held


# The facts that lie beside a refreshed encoder ---------------------------------------------------------------------


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _write_facts(folder: Path, base: str, layers: int, known: Examples, found: Outcome) -> None:
    about: dict[str, Any] = {
        "format": 1,
        "base": Path(base).name,
        "layers": layers,
        "kept": found.kept,
        "losses": {way: v.loss for way, v in found.verdicts.items()},
    }
    about |= {"temperature": found.verdicts[found.kept].temperature, "learnt": sorted(map(_digest, known.texts))}
    (folder / FACTS).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def _read_facts(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found
