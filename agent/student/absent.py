"""Nobody: the student of a job that has none, and how its texts are counted without one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from agent.errors import ModelError
from agent.records import CountTokens, Floats, Prediction, Text


class Absent:
    """`agent.records.Student` where a job says `student: none`: learns nothing, and doubts every text alike."""

    def fit(self, texts: Sequence[Text], targets: Any, weights: Floats, rng: np.random.Generator) -> None: ...

    def predict(self, texts: Sequence[Text]) -> Prediction:
        return Prediction(values=[], doubt=np.ones(len(texts), np.float32))

    def save(self, folder: str) -> None: ...
    def load(self, folder: str) -> None: ...


def counter(find: Callable[[], Path]) -> CountTokens:
    """Tokens of each whole text as `Encoder.count_tokens` counts them, by an encoder's tokenizer.json alone: no
    weights, no torch. Nothing is looked for before a text is counted.

    Args:
        find: the encoder's folder. What it raises comes up from the first count; so does ModelError for a folder
            without that file.
    """

    @cache
    def tokenizer() -> Any:
        from tokenizers import Tokenizer

        file = find() / "tokenizer.json"
        if not file.is_file():
            raise ModelError(
                f"student.encoder: {file.parent} has no tokenizer.json, by which texts are counted where there is no "
                "student; name another encoder, or leave it out"
            )
        try:
            found = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises a bare Exception
            raise ModelError(f"student.encoder: {file} cannot be read: {error}") from None
        found.no_truncation()
        found.no_padding()
        return found

    def count(texts: list[str]) -> list[int]:
        return [len(e.ids) for e in tokenizer().encode_batch(texts, add_special_tokens=False)]

    return count
