"""The student of tasks whose labels are texts: it writes nothing, and remembers where labels are.

To teach a model to write takes minutes, so none is taught in the rounds. What is known at once is how far a text lies
from all that have a label, and that is its doubt: asking where nothing is near covers the pool. Its values are what
was written of the nearest of them, as a translation memory gives them: a floor that a model has to be better than.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agent.errors import ModelError
from agent.records import Floats, Prediction, Text
from agent.student.classify import ROWS_AT_ONCE, Vectors

FILE = "nearest.safetensors"


class NearestStudent:
    """`agent.records.Student` for texts; its targets are n texts. Nothing is drawn by chance.

    Doubt is 1 less the cosine to the nearest labelled text, at most 1.
    """

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors
        self._known: Floats = np.zeros((0, 0), np.float32)
        self._written: list[str] = []

    def fit(self, texts: Sequence[Text], targets: Any, weights: Floats, rng: np.random.Generator) -> None:
        """Remember n texts and what was written of each. Raises ValueError where there are none."""
        if not len(texts):
            raise ValueError("nothing to learn from: no text has a label")
        self._known, self._written = _unit(self.vectors(texts)), list(targets)

    def predict(self, texts: Sequence[Text]) -> Prediction:
        """What was written of the nearest text, and how far it is; vectors are read a chunk at a time."""
        if not self._written:
            raise RuntimeError("nothing was learnt yet: fit it or load it first")
        values: list[str] = []
        doubt = np.empty(len(texts), np.float32)
        for start in range(0, len(texts), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            near, best = self._nearest(_unit(self.vectors(texts[part])))
            doubt[part] = np.clip(1 - best, 0, 1)
            values += [self._written[i] for i in near.tolist()]
        return Prediction(values, doubt)

    def _nearest(self, own: Floats) -> tuple[Any, Floats]:
        """(m,) place of the nearest labelled text of each, the first of equal ones, and its cosine. Raises
        ModelError."""
        if own.shape[1] != self._known.shape[1]:
            said = f"it remembers vectors of {self._known.shape[1]} numbers, these have {own.shape[1]}"
            raise ModelError(f"{said}; use the encoder it was taught with, or teach it anew")
        best, near = np.full(len(own), -np.inf, np.float32), np.zeros(len(own), np.int64)
        for start in range(0, len(self._known), ROWS_AT_ONCE):
            like = own @ self._known[start : start + ROWS_AT_ONCE].T
            here = like.argmax(axis=1)
            found = like[np.arange(len(own)), here]
            near, best = np.where(found > best, start + here, near), np.maximum(found, best)
        return near, best

    def save(self, folder: str) -> None:
        """Vectors and texts; the encoder is the job's."""
        from safetensors.numpy import save_file

        where = Path(folder)
        where.mkdir(parents=True, exist_ok=True)
        whole = [text.encode("utf-8") for text in self._written]
        ends = np.cumsum([len(w) for w in whole], dtype=np.int64)
        held = {"vectors": self._known, "ends": ends, "texts": np.frombuffer(b"".join(whole), np.uint8)}
        save_file(held, where / FILE)

    def load(self, folder: str) -> None:
        """Take over what `save` wrote. Raises ModelError."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = Path(folder) / FILE
        try:
            held = load_file(path)
            whole, ends = held["texts"].tobytes(), held["ends"].tolist()
            self._written = [whole[a:b].decode("utf-8") for a, b in zip([0, *ends], ends, strict=False)]
            self._known = held["vectors"]
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise ModelError(f"{path}: no labelled texts can be read there ({error})") from None


def _unit(vectors: Any) -> Floats:
    own = np.asarray(vectors, np.float32)
    found: Floats = own / np.maximum(np.linalg.norm(own, axis=1, keepdims=True), 1e-12)
    return found
