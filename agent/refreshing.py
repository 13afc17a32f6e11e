"""Milestones: when the labels have grown enough, the encoder is tuned on them and the pool is embedded again.

What is learnt from, and when, is decided here; how, is `agent.distill.refresh`'s. A refreshed encoder is a folder
named by a hash of what made it, so a run that died goes on with it instead of making it again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.errors import ModelError
from agent.hints import beside
from agent.measuring import Lesson
from agent.records import Floats
from agent.student import HeadStudent
from agent.tasks.pairs import Paired
from agent.workbench import REFRESH, Workbench

if TYPE_CHECKING:
    from agent.distill.targets import Examples

FOLDER = "encoders"


def go_on(bench: Workbench) -> None:
    """Go on with the encoder of the last milestone, where a run begins anew."""
    if not _refreshes(bench) or bench.is_tuned:
        return
    last = bench.milestone or _last(bench)
    if not last or not last.get("folder"):
        return
    folder = bench.output(FOLDER) / last["folder"]
    try:
        if not folder.is_dir():  # else its path would be taken for a hub's id
            raise ModelError(f"{folder}: no such folder")
        _use(bench, folder)
    except ModelError:
        # it can be made again, from labels that are all there: no reason to stop
        shutil.rmtree(folder, ignore_errors=True)
        bench.watch.note(f"{folder}: the refreshed encoder is gone or damaged; it is made again")


def milestone(bench: Workbench, lessons: Sequence[Lesson], weights: Floats, trust: Floats) -> bool:
    """Refresh the encoder where the labels have grown enough since it was last tried.

    Args:
        lessons: the labels so far.
        weights: how much each counts.
        trust: how far the student as it is now believes each: an encoder would learn wrong labels by heart.

    Returns whether there is a new encoder. What came of it is left in `bench.milestone` for the round's figures. Does
    nothing for a student that has no encoder, or where the job says so.
    """
    if not _refreshes(bench):
        return False
    settings, rows = bench.job.student.refresh, _taught(bench, lessons)
    if len(rows) < settings.first:
        return False
    last = bench.milestone or _last(bench)
    is_lost = last is not None and last.get("folder") and not bench.is_tuned
    if last and not is_lost and len(rows) < settings.growth * last["labels"]:
        return False
    taught = [lessons[i] for i in rows]
    folder = bench.output(FOLDER) / _name(bench, taught, weights[rows] * trust[rows])
    found = _kept(folder) or _refresh(bench, _examples(bench, taught, weights[rows], trust[rows]), lessons, folder)
    present: str | None = (last or {}).get("folder") if bench.is_tuned else None
    stands_on = folder.name if found["kept"] != "frozen" else present
    began = time.monotonic()
    if found["kept"] != "frozen":
        _use(bench, folder)
        if len(bench.pool) <= bench.most_scored:
            _ = bench.tuned_embeddings
    seconds = round(time.monotonic() - began, 1)
    bench.milestone = {**found, "labels": len(rows), "folder": stands_on, "embedding_seconds": seconds}
    bench.milestone |= {"base": bench.first_encoder.key, "learnt_slice": bool(bench.gold)}
    _forget(bench, {stands_on, present})
    bench.watch.note(told(bench.milestone, len(bench.pool), bench.most_scored))
    return bool(found["kept"] != "frozen")


def _refreshes(bench: Workbench) -> bool:
    """A pair's vector, and that of a text with a picture, is made of two by the encoder, which no way of tuning knows
    how to learn through."""
    if isinstance(bench.task, Paired) or bench.job.data.image is not None:
        return False
    return bench.job.student.refresh.enabled and isinstance(bench.student, HeadStudent)


def told(found: Mapping[str, Any], pool: int, embedded: int) -> str:
    """A milestone in one line."""
    kept, fold = found["kept"], f"a held-out fold of {found['judged']}"
    if kept == "frozen":
        return f"encoder kept: tuning it on {found['labels']:,} labels did not help ({found['seconds']:.0f} s)"
    lost, right = ([found[name][way] for way in ("frozen", kept)] for name in ("losses", "accuracies"))
    texts = f"{pool:,} texts" if pool <= embedded else f"at most {embedded:,} of {pool:,} texts a round"
    return (
        f"encoder refreshed on {found['labels']:,} labels ({kept}, {found['seconds']:.0f} s; {texts} embedded again, "
        f"{found['embedding_seconds']:.0f} s): on {fold}, {lost[0]:.2f} to {lost[1]:.2f} nats lost a text, "
        f"{right[0]:.3f} to {right[1]:.3f} right"
    )


def _last(bench: Workbench) -> dict[str, Any] | None:
    """The last milestone, where its encoder is of use: tuned from the one that the job names now, and, where there
    are no gold texts any more, not taught by the random slice, which the student is then measured on."""
    rounds = [r.figures["encoder"] for r in bench.store.rounds(bench.job.name) if r.figures.get("encoder")]
    if not rounds:
        return None
    last, base = dict(rounds[-1]), bench.first_encoder.key
    spoilt = bool(last.get("learnt_slice")) and not bench.gold
    return None if spoilt or last.get("base", base) != base else last


def _taught(bench: Workbench, lessons: Sequence[Lesson]) -> list[int]:
    """What the encoder learns from: without gold texts the student is measured on the random slice, so an encoder
    that had seen those labels would make it look better than it is."""
    if bench.gold:
        return list(range(len(lessons)))
    picks = bench.picks()
    return [i for i, (t, _) in enumerate(lessons) if t.id not in picks or picks[t.id].slice != "random"]


def _name(bench: Workbench, lessons: Sequence[Lesson], weights: Floats) -> str:
    """A hash of labels and weights, encoder, settings and seed: the same make the same encoder."""
    settings = bench.job.student.model_dump(include={"refresh", "class_names", "unlabelled"})
    what = [bench.first_encoder.key, settings, bench.job.seed, [t.text for t in bench.class_texts]]
    rows = [
        [t.text, x.value, sorted((x.probabilities or {}).items()), round(w, 2)]
        for (t, x), w in zip(lessons, weights.tolist(), strict=True)
    ]
    return hashlib.sha256(json.dumps([what, rows], default=str).encode()).hexdigest()[:16]


def _kept(folder: Path) -> dict[str, Any] | None:
    """What is known of a refreshed encoder that is there already."""
    try:
        found: dict[str, Any] = json.loads((folder / "milestone.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def _examples(bench: Workbench, lessons: Sequence[Lesson], weights: Floats, trust: Floats) -> Examples:
    from agent.distill.targets import Examples

    return Examples(
        [t.text for t, _ in lessons],
        bench.task.targets([label for _, label in lessons]),
        weights,
        bench.task.names,
        multilabel=bench.task.widget == "multiple",
        seed=int(bench.rng(REFRESH).integers(2**31 - 1)),
        trust=trust,
    )


def _refresh(bench: Workbench, examples: Examples, lessons: Sequence[Lesson], folder: Path) -> dict[str, Any]:
    from agent.distill.refresh import RefreshSettings, refresh

    settings = bench.job.student.refresh
    done = refresh(
        bench.encoder,
        examples,
        RefreshSettings(way=settings.way, tokens=settings.tokens, threads=settings.threads),
        folder,
        lambda seen, total: bench.watch.progress("refreshing the encoder", seen, total),
        base=bench.first_encoder,
        beside=beside(bench, lessons),
    )
    found = {
        "kept": done.kept,
        "accuracies": {way: round(v, 4) for way, v in done.accuracies.items()},
        "losses": {way: round(v, 4) for way, v in done.losses.items()},
        "temperature": round(done.temperature, 4),
        "judged": done.judged,
        "seconds": round(done.seconds, 1),
    }
    if done.folder is not None:
        (folder / "milestone.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def _use(bench: Workbench, folder: Path) -> None:
    from agent.student.encoder import Encoder

    student = bench.job.student
    found = _kept(folder) or {}
    encoder = Encoder.load(str(folder), student.max_tokens, student.batch_tokens)
    bench.tune(encoder, float(found.get("temperature", 1.0)))


def _forget(bench: Workbench, needed: set[str | None]) -> None:
    """Encoders that no milestone stands on any more: each is as large as the first one."""
    for old in bench.output(FOLDER).glob("*"):
        if old.is_dir() and old.name not in needed:
            shutil.rmtree(old, ignore_errors=True)
