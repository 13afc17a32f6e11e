"""Which encoder is worth distilling into: each is trained on the same labels, and the best is kept.

Knows labelled texts and names of encoders; no store and no job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.distill.abstaining import Choose
from agent.distill.checkpoint import PACE, Note, Pace
from agent.distill.distil import Distilled, distil
from agent.distill.shown import public_name
from agent.distill.targets import Examples
from agent.distill.training import Progress
from agent.distill.trials import LOSSES, Attempt, Trial, Watched, attempts, best_of, split
from agent.errors import DataError
from agent.job import DistilSettings
from agent.student.encoder import Encoder


@dataclass(frozen=True)
class Compared:
    """What came of it.

    Attributes:
        trials: of each encoder, in the order in which they were named.
        best: the name of the one that was kept.
        why: a sentence.
        measured_on: whose labels were held out.
        distilled: the model, made of the best encoder and all labels.
    """

    trials: tuple[Trial, ...]
    best: str
    why: str
    measured_on: str
    distilled: Distilled

    def table(self) -> list[tuple[str, ...]]:
        """Rows of words, the head first."""
        texts = len(self.trials[0].right)
        rows: list[tuple[str, ...]] = [
            ("encoder", f"right of {texts:,} held out", "95 % interval", "seconds", "MB", "")
        ]
        for trial in self.trials:
            lo, hi = trial.interval
            ends, kept = f"{lo:.1%} to {hi:.1%}", "kept" if trial.name == self.best else ""
            figures = (f"{trial.accuracy:.1%}", ends, f"{trial.seconds:.1f}", f"{trial.megabytes:.0f}")
            rows.append((trial.name, *figures, kept))
        return rows

    def figures(self) -> dict[str, Any]:
        """The same for machines."""
        rows = [
            {
                "encoder": t.name,
                "accuracy": t.accuracy,
                "lo": t.interval[0],
                "hi": t.interval[1],
                "texts": len(t.right),
                "seconds": t.seconds,
                "megabytes": t.megabytes,
            }
            for t in self.trials
        ]
        return {"encoders": rows, "best": self.best, "why": self.why, "measured_on": self.measured_on}


def compare(
    examples: Examples,
    settings: DistilSettings,
    encoders: Sequence[Encoder],
    *,
    folder: str | Path,
    facts: Mapping[str, Any] | None = None,
    progress: Progress = lambda done, total: None,
    note: Note = lambda said: None,
    pace: Pace = PACE,
    choose: Choose | None = None,
    unseen: Sequence[str] = (),
) -> Compared:
    """Train each encoder on the same split, then the best of them on all labels; its card says so.

    A tie, which is what chance may explain, keeps the smaller, or the first. Encoders learn by cross-entropy where
    the loss is `auto`, which is chosen for the best alone. A comparison that was killed goes on where it was. Other
    arguments as for `distil`, which says what is raised; DataError also where there are too few labels to compare on.
    """
    names = [encoder.name for encoder in encoders]
    if len(set(names)) < len(names) or len(names) < 2:
        raise DataError(
            f"two encoders or more are compared, each named once; these are: {', '.join(names) or 'none'}"
        )
    known = examples.checked()
    plain = settings.model_copy(update={"loss": LOSSES[0]}) if settings.loss == "auto" else settings
    parts = split(known)
    ways = [Attempt(encoder.name, plain, encoder) for encoder in encoders]
    trials = attempts(known, parts, ways, Watched(Path(folder), progress, note, pace), "encoder")
    best, why = best_of(trials)
    note(f"encoder: {public_name(best.name)}; {why}")
    distilled = distil(
        examples,
        settings,
        encoder=encoders[names.index(best.name)],
        folder=folder,
        facts=facts,
        progress=progress,
        note=note,
        pace=pace,
        choose=choose,
        unseen=unseen,
        chosen={
            "encoders compared": ", ".join(map(public_name, names)),
            "why this encoder": f"{why} ({parts.measured_on})",
        },
    )
    return Compared(tuple(trials), best.name, why, parts.measured_on, distilled)
