"""The student for tasks with classes: a head on stored vectors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from agent.errors import ModelError
from agent.records import Floats, Prediction, Text, Value
from agent.student.heads import Heads
from agent.tasks import Task

Vectors = Callable[[Sequence[Text]], Floats]
"""n texts → (n, d) float32, from a store of vectors or straight from an encoder; of k encoders side by side."""

ROWS_AT_ONCE = 2_048
"""Few enough that vectors and logits stay in the processor's cache, enough for an encoder to batch by length."""
FORMAT = 2


class HeadStudent:
    """`agent.records.Student` for classification and multilabel tasks.

    Values are class names; where `multilabel`, tuples of those names with a probability of at least one half.

    Doubt is 1 minus the confidence in the value: 1 minus the probability of the likeliest class; for multilabel that
    of the least certain decision, the maximum over classes of min(p, 1 - p), as `Multilabel.confidence` has it.

    Attributes:
        vectors: of any texts, from the encoders that the head stands on.
        head: one for each encoder whose vectors lie side by side, with the temperatures of `agent.student.heads`;
            `head.out_of_fold` holds honest probabilities of the texts last learnt from.
    """

    def __init__(
        self, task: Task, vectors: Vectors, multilabel: bool, temperatures: Sequence[float] = (1.0,)
    ) -> None:
        self.names = tuple(task.names)
        self.multilabel = multilabel
        self.head = Heads(len(self.names), independent=multilabel, temperatures=temperatures)
        self.vectors = vectors

    def fit(self, texts: Sequence[Text], targets: Floats, weights: Floats, rng: np.random.Generator) -> None:
        """Learn from n texts: `targets` (n, C) float32, `weights` (n,) float32. Forgets what it learnt before."""
        self.head.fit(self.vectors(texts), targets, weights, rng)

    def predict(self, texts: Sequence[Text]) -> Prediction:
        """Values, doubt and (n, C) probabilities. Vectors are read a chunk at a time; ask for a slice of a large
        pool at a time where even (n, C) is too much. A value becomes a name when it is looked at."""
        n = len(texts)
        probabilities, doubt = np.empty((n, len(self.names)), np.float32), np.empty(n, np.float32)
        for start in range(0, n, ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            probabilities[part] = self.head.predict(self.vectors(texts[part]))
            doubt[part] = self._doubt(probabilities[part])
        return Prediction(_Named(self.names, probabilities, self.multilabel), doubt, probabilities)

    @property
    def foreseen(self) -> Floats:
        """(n, C) float32: what students that had not seen each of the texts last learnt from said of it."""
        return self.head.out_of_fold

    @property
    def penalty(self) -> float:
        """l2 of the head, the precision of its prior."""
        return self.head.l2

    def save(self, folder: str) -> None:
        """Write `head.safetensors` and `head.json`."""
        where = Path(folder)
        where.mkdir(parents=True, exist_ok=True)
        save_file(self.head.state(), where / "head.safetensors")
        about = {"format": FORMAT, "names": self.names, "multilabel": self.multilabel}
        (where / "head.json").write_text(json.dumps(about, ensure_ascii=False, indent=2), encoding="utf-8")

    def load(self, folder: str) -> None:
        """Take over what `save` wrote. Raises ModelError where it is none of ours, or of another task."""
        where = Path(folder)
        try:
            about = json.loads((where / "head.json").read_text(encoding="utf-8"))
            state = load_file(where / "head.safetensors")
        except (OSError, ValueError, SafetensorError) as error:
            raise ModelError(f"{where}: no head can be read there ({error})") from None
        if about.get("format") != FORMAT:
            raise ModelError(f"{where}: format {about.get('format')} of a head; this version reads {FORMAT}")
        if (tuple(about.get("names", ())), about.get("multilabel")) != (self.names, self.multilabel):
            raise ModelError(f"{where}: that head was taught other labels, or another kind of task; fit it anew")
        try:
            self.head.restore(state)
        except (KeyError, ValueError) as error:
            raise ModelError(f"{where}: head.safetensors does not hold a head ({error})") from None

    def _doubt(self, p: Floats) -> Floats:
        sure = np.maximum(p, 1 - p).min(axis=1) if self.multilabel else p.max(axis=1)
        doubt: Floats = np.clip(1 - sure, 0, 1)
        return doubt


class _Named(Sequence[Value]):
    """What each row of probabilities says, as names: a list of a million names that nobody reads is never made."""

    def __init__(self, names: tuple[str, ...], probabilities: Floats, multilabel: bool) -> None:
        self._names, self._probabilities, self._multilabel = names, probabilities, multilabel

    def __len__(self) -> int:
        return len(self._probabilities)

    @overload
    def __getitem__(self, index: int) -> Value: ...
    @overload
    def __getitem__(self, index: slice) -> list[Value]: ...
    def __getitem__(self, index: int | slice) -> Any:
        rows = self._probabilities[index]
        return self._read(rows) if rows.ndim == 2 else self._read(rows[None])[0]

    def __iter__(self) -> Iterator[Value]:
        for start in range(0, len(self), ROWS_AT_ONCE):
            yield from self[start : start + ROWS_AT_ONCE]

    def __repr__(self) -> str:
        return f"<{len(self)} values: {', '.join(map(repr, self[:3]))}{', ...' if len(self) > 3 else ''}>"

    def _read(self, rows: Floats) -> list[Value]:
        if not self._multilabel:
            return [self._names[c] for c in rows.argmax(axis=1).tolist()]
        return [tuple(self._names[c] for c in np.flatnonzero(row)) for row in rows >= 0.5]
