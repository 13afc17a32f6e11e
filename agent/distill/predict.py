"""A distilled model at work: texts in, labels and probabilities out.

Knows a model folder and files of texts; no job and no store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agent.distill.network import Network
from agent.distill.runtime import Classifier, OnnxNetwork, Runtime
from agent.distill.saving import replacing_file
from agent.distill.tables import Chunk, Kind, check_output, open_table
from agent.errors import DataError
from agent.records import Floats, Prediction, Value
from agent.student.logistic import sigmoid, softmax

TEXTS_AT_ONCE = 4096


class Model:
    """A sequence classifier of `transformers`, such as `distil` makes, on torch or on onnxruntime.

    Attributes:
        names: the C class names, in the order of the probabilities.
        multilabel: any number of labels a text; a label holds where its probability is at least one half.
    """

    def __init__(self, network: Classifier) -> None:
        self.network = network
        self.names, self.multilabel = network.names, network.multilabel

    @classmethod
    def load(cls, folder: str | Path, batch_tokens: int = 8192, runtime: Runtime = Runtime.TORCH) -> Model:
        """Load a model folder. Raises ModelError where it is none, or cannot be read; ExtraMissing."""
        if runtime is Runtime.TORCH:
            return cls(Network.load(Path(folder), batch_tokens))
        return cls(OnnxNetwork.load(Path(folder), runtime, batch_tokens))

    def predict(self, texts: Sequence[str]) -> Prediction:
        """Values, doubt and (n, C) probabilities of n texts; the same as `pipeline("text-classification")` gives.

        Doubt is 1 minus the probability of the likeliest class; for multilabel, of the least certain decision.
        """
        probabilities = np.empty((len(texts), len(self.names)), np.float32)
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            chunk = texts[start : start + TEXTS_AT_ONCE]
            logits = self.network.logits(self.network.tokens(chunk))
            probabilities[start : start + len(chunk)] = sigmoid(logits) if self.multilabel else softmax(logits)
        return Prediction(list(self._values(probabilities)), self._doubt(probabilities), probabilities)

    def _values(self, probabilities: Floats) -> Iterator[Value]:
        if not self.multilabel:
            return (self.names[c] for c in probabilities.argmax(axis=1))
        return (tuple(self.names[c] for c in np.flatnonzero(row)) for row in probabilities >= 0.5)

    def _doubt(self, probabilities: Floats) -> Floats:
        decisions = np.maximum(probabilities, 1 - probabilities)
        sure = decisions.min(axis=1) if self.multilabel else probabilities.max(axis=1)
        doubt: Floats = np.clip(1 - sure, 0, 1).astype(np.float32)
        return doubt


def predict_file(
    model: Model,
    path: str | Path,
    output: str | Path,
    text_column: str = "text",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Label a file of any size in flat memory; the output appears whole or not at all.

    All columns are kept, and these added: `label` (`labels`, a list, for multilabel), `confidence`, and `p_NAME` for
    each class. A name that the file has already gets `_predicted` at its end. A row without text gets none of them.

    Args:
        model: the model.
        path: .csv .tsv .jsonl .parquet.
        output: where to; of the same kind.
        text_column: the column that holds the texts.
        progress: told (rows done, rows) after each chunk.

    Returns the number of rows. Raises DataError for what is wrong with the file, before anything is predicted.
    """
    source, target = Path(path), Path(output)
    table = open_table(source, text_column)
    check_output(source, target)
    columns = new_columns(model, table.columns)
    done = 0
    try:
        with replacing_file(target) as partial, table.writer(partial, columns) as write:
            for chunk in table.chunks():
                write(chunk, dict(zip(columns, _cells(model, chunk), strict=True)))
                done += len(chunk.texts)
                progress(done, table.total)
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error.strerror or error}") from error
    return done


def told(found: Prediction) -> Iterator[tuple[Value, list[float]]]:
    """Of each text the value, and its confidence followed by the probability of each class."""
    assert found.probabilities is not None
    numbers = np.column_stack([1 - found.doubt, found.probabilities]).astype(float)
    return zip(found.values, numbers.tolist(), strict=True)


def new_columns(model: Model, taken: Sequence[str]) -> dict[str, Kind]:
    """Names and kinds of the columns that `predict_file` adds: label, confidence, then each class."""
    wanted = ["labels" if model.multilabel else "label", "confidence", *(f"p_{name}" for name in model.names)]
    found: dict[str, Kind] = {}
    for name in wanted:
        free = name
        while free in taken or free in found:
            free += "_predicted"
        found[free] = Kind.NUMBER if found else Kind.NAMES if model.multilabel else Kind.NAME
    return found


def _cells(model: Model, chunk: Chunk) -> list[list[Any]]:
    """One list of cells for each new column; None where a row has no text."""
    rows = [i for i, text in enumerate(chunk.texts) if text is not None]
    found = told(model.predict([text for text in chunk.texts if text is not None]))
    cells: list[list[Any]] = [[None] * len(chunk.texts) for _ in range(2 + len(model.names))]
    for i, (value, row) in zip(rows, found, strict=True):
        for column, cell in zip(cells, [value if isinstance(value, str) else list(value), *row], strict=True):
            column[i] = cell
    return cells
