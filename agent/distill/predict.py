"""A distilled model at work: texts in, labels and probabilities out.

Knows a model folder and files of texts; no job and no store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from agent.distill.answering import Answers, is_answerer
from agent.distill.deciding import at_half, least_sure
from agent.distill.depicted import DepictedNetwork, is_depicted, item_of
from agent.distill.grading import Grades, is_grader
from agent.distill.network import ABSTAIN, Network, saved_config
from agent.distill.runtime import Classifier, OnnxNetwork, Runtime
from agent.distill.saving import replacing_file
from agent.distill.tables import Chunk, Kind, Wanted, check_output, open_table
from agent.distill.tagging import Tags, is_tagger
from agent.distill.writer import Writer, is_writer
from agent.errors import DataError, ModelError
from agent.images import Images
from agent.records import Floats, Prediction, Value
from agent.student.logistic import sigmoid, softmax
from agent.tasks.hierarchy import parents, summed

TEXTS_AT_ONCE = 4096


class Labeller(Protocol):
    """A saved model that labels texts, whatever a label is.

    Attributes:
        names: that a label may have.
        multilabel: any number of labels a text.
        columns: of a model of pairs, what the two texts are called; it takes them joined (`agent.pairing`).
    """

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def multilabel(self) -> bool: ...
    @property
    def columns(self) -> tuple[str, str] | None: ...

    def predict(self, texts: Sequence[str]) -> Prediction:
        """Values of n texts, and the doubt in each."""
        ...

    def adds(self) -> dict[str, Kind]:
        """Names and kinds of what it says of a text: the columns of a file."""
        ...

    def rows(self, texts: Sequence[str]) -> Iterator[list[Any]]:
        """What `adds` names, of each text."""
        ...

    def told(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """The same as JSON."""
        ...


def load_model(
    folder: str | Path, runtime: Runtime = Runtime.TORCH, *, samples: int = 0, images: Images | None = None
) -> Labeller:
    """The model of a folder that `distil` made, or of any other classifier of texts or words, answerer of questions,
    or any other that writes; of numbers only of one that `distil` made.

    Args:
        samples: see `Writer`; 0 for a model that writes nothing.
        images: where the pictures are, for a model that looks at some.

    Raises ModelError where it is none, cannot be read, or does not run on that; ExtraMissing.
    """
    what = special(Path(folder))
    if samples and not is_writer(Path(folder)):
        raise ModelError(
            f"{folder}: it {what or 'labels texts'}, and --samples is for a model that writes; leave it out"
        )
    if what is None:
        return Model.load(folder, runtime=runtime)
    if runtime is not Runtime.TORCH:
        raise ModelError(f"{folder}: it {what}, and such models run on torch alone; leave --{runtime} out")
    if is_depicted(Path(folder)):
        if images is None:
            raise ModelError(f"{folder}: it looks at pictures, which `labelwright predict` alone gives a model")
        return Model(DepictedNetwork.load(Path(folder), images))
    if is_answerer(Path(folder)):
        return Answers.load(Path(folder))
    if is_writer(Path(folder)):
        writer = Writer.load(Path(folder))
        writer.samples = samples
        return writer
    return Tags.load(Path(folder)) if is_tagger(Path(folder)) else Grades.load(Path(folder))


def abstains_below(folder: str | Path) -> float | None:
    """The confidence below which the model of a folder gives no label; None where it always gives one."""
    found = saved_config(Path(folder)).get(ABSTAIN)
    return float(found) if isinstance(found, int | float) else None


def special(folder: Path) -> str | None:
    """What the model of a folder does that is no classifier of texts; None for a classifier, or no model."""
    if is_depicted(folder):
        return "looks at pictures"
    if is_tagger(folder):
        return "finds spans"
    if is_answerer(folder):
        return "quotes answers"
    if is_writer(folder):
        return "writes texts"
    return "says numbers" if is_grader(folder) else None


@dataclass(frozen=True, eq=False)
class Read:
    """What a classifier says of n texts, as JSON, and what it saw in them.

    Attributes:
        vectors: (n, d) float32, what its last layer reads; on onnxruntime the logits.
        probabilities: (n, C) float32; for multilabel such that a label holds from one half on.
    """

    told: list[dict[str, Any]]
    vectors: Floats
    probabilities: Floats


class Model:
    """A sequence classifier of `transformers`, such as `distil` makes, on torch or on onnxruntime.

    Attributes:
        names: the C class names, in the order of the probabilities.
        multilabel: any number of labels a text.
        label_threshold: for multilabel, a label holds where its probability is at least that.
        columns: of a model of pairs, what the two texts are called; it takes them joined (`agent.pairing`).
        abstain_below: the confidence below which `rows` and `told` give no label; None where they always do.
        groups: of labels that are paths, where a text has one: what they lie in (`agent.tasks.hierarchy`).
    """

    def __init__(self, network: Classifier) -> None:
        self.network = network
        self.groups = () if network.multilabel else parents(tuple(network.names))
        self.names, self.multilabel = network.names, network.multilabel
        self.columns = network.columns
        self.abstain_below, self.label_threshold = network.abstain_below, network.label_threshold

    @classmethod
    def load(cls, folder: str | Path, batch_tokens: int = 8192, runtime: Runtime = Runtime.TORCH) -> Model:
        """Load a model folder. Raises ModelError where it is none, or cannot be read; ExtraMissing."""
        if runtime is Runtime.TORCH:
            return cls(Network.load(Path(folder), batch_tokens))
        return cls(OnnxNetwork.load(Path(folder), runtime, batch_tokens))

    def predict(self, texts: Sequence[str]) -> Prediction:
        """Values, doubt and (n, C) probabilities of n texts; these as `pipeline("text-classification")` gives them.

        Doubt is 1 minus the probability of the likeliest class; for multilabel it is that of the least certain
        decision, a half where a probability is at `label_threshold` (`agent.distill.deciding.at_half`).
        """
        probabilities = np.empty((len(texts), len(self.names)), np.float32)
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            chunk = texts[start : start + TEXTS_AT_ONCE]
            logits = self.network.logits(self.network.tokens(chunk))
            probabilities[start : start + len(chunk)] = self._chances(logits)
        return self._prediction(probabilities)

    def read(self, texts: Sequence[str]) -> Read:
        """All that one pass says of at least one text."""
        logits, vectors = self.network.read(self.network.tokens(texts))
        chances = self._chances(logits)
        decided = at_half(chances, self.label_threshold) if self.multilabel else chances
        return Read(self._as_told(self._prediction(chances)), vectors, decided)

    def adds(self) -> dict[str, Kind]:
        """Label, confidence, then each class; of a model that abstains also whether it did, and of labels that are
        paths, where a text has one, each group."""
        value = ("labels", Kind.NAMES) if self.multilabel else ("label", Kind.NAME)
        numbers = ["confidence", *(f"p_{name}" for name in (*self.names, *(f"{g}/*" for g in self.groups)))]
        silent = [("abstained", Kind.FLAG)] if self.abstain_below is not None else []
        return dict([value, *silent, *((name, Kind.NUMBER) for name in numbers)])

    def rows(self, texts: Sequence[str]) -> Iterator[list[Any]]:
        """What `adds` names, of each text."""
        return self._rows(self.predict(texts))

    def told(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """The same as JSON."""
        return self._as_told(self.predict(texts))

    def _rows(self, found: Prediction) -> Iterator[list[Any]]:
        assert found.probabilities is not None
        columns = [1 - found.doubt, found.probabilities]
        columns += [summed(found.probabilities, self.names)] if self.groups else []
        numbers = np.column_stack(columns).astype(float)
        for value, row in zip(found.values, numbers.tolist(), strict=True):
            said = value if isinstance(value, str) else list(value)
            if self.abstain_below is None:
                yield [said, *row]
            else:
                silent = row[0] < self.abstain_below
                yield [None if silent else said, silent, *row]

    def _as_told(self, found: Prediction) -> list[dict[str, Any]]:
        return [self._told(*row) for row in self._rows(found)]

    def _told(self, value: Any, *numbers: Any) -> dict[str, Any]:
        said: dict[str, Any] = {"labels" if self.multilabel else "label": value}
        if self.abstain_below is not None:
            said["abstained"], *numbers = numbers  # type: ignore[assignment]
        confidence, *chances = numbers
        said |= {"confidence": round(confidence, 6), "probabilities": _named(self.names, chances)}
        if self.groups:
            said["groups"] = _named(self.groups, chances[len(self.names) :])
        return said

    def _chances(self, logits: Floats) -> Floats:
        return sigmoid(logits) if self.multilabel else softmax(logits)

    def _prediction(self, probabilities: Floats) -> Prediction:
        return Prediction(list(self._values(probabilities)), self._doubt(probabilities), probabilities)

    def _values(self, probabilities: Floats) -> Iterator[Value]:
        if not self.multilabel:
            return (self.names[c] for c in probabilities.argmax(axis=1))
        return (tuple(self.names[c] for c in np.flatnonzero(row)) for row in probabilities >= self.label_threshold)

    def _doubt(self, probabilities: Floats) -> Floats:
        several = self.multilabel
        sure = least_sure(probabilities, self.label_threshold) if several else probabilities.max(axis=1)
        doubt: Floats = np.clip(1 - sure, 0, 1).astype(np.float32)
        return doubt


def _named(names: Sequence[str], chances: Sequence[float]) -> dict[str, float]:
    """The first probabilities, by name."""
    return {n: round(p, 6) for n, p in zip(names, chances, strict=False)}


def predict_file(
    model: Labeller,
    path: str | Path,
    output: str | Path,
    text_column: str | None = None,
    *,
    second_column: str | None = None,
    image_column: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Label a file of any size in flat memory; the output appears whole or not at all.

    All columns are kept, and these added: `label` (`labels`, a list, for multilabel), `confidence`, and `p_NAME` for
    each class; or `spans`, as JSON, and `confidence`; or `score`, a number, and `confidence`; or `answer`, where it
    begins and ends in the context (`start`, `end`), and `confidence`; or `answer`, a text, `confidence` and
    `entropy`. A model that abstains adds `abstained`, where the label is empty; one whose labels are paths
    `p_GROUP/*`, the sum of those in a group. A name that is taken already gets `_predicted` at its end. A row without
    text gets none of them.

    Args:
        model: the model.
        path: .csv .tsv .jsonl .parquet.
        output: where to; of the same kind.
        text_column: the column that holds the texts; by default `text`, or of pairs what the model remembers.
        second_column: of pairs, that of the second text; by default what the model remembers.
        image_column: of texts with pictures, that of the pictures' paths, in the folder of the file.
        progress: told (rows done, rows) after each chunk.

    Returns the number of rows. Raises DataError for what is wrong with the file, before anything is predicted.
    """
    source, target = Path(path), Path(output)
    table = open_table(source, wanted=_wanted(model, source, text_column, second_column, image_column))
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


def _wanted(model: Labeller, source: Path, text: str | None, second: str | None, image: str | None) -> Wanted:
    """What a model reads of a file. Raises DataError for an option that is not this model's."""
    depicted = looks_at(model)
    if depicted is None:
        if image is not None:
            raise DataError(f"--image {image!r}: this model looks at no pictures; leave it out")
        return Wanted(columns_to_read(model, text, second))
    if second is not None:
        raise DataError(f"--second {second!r}: this model labels texts with pictures, not pairs; leave it out")
    columns = (text or depicted.reads[0], image or depicted.reads[1])
    return Wanted(columns, ("--text", "--image"), partial(item_of, Images(source.parent), source.name))


def looks_at(model: Labeller) -> DepictedNetwork | None:
    """The network of a model of texts with pictures; None for another model."""
    return model.network if isinstance(model, Model) and isinstance(model.network, DepictedNetwork) else None


def columns_to_read(model: Labeller, text: str | None, second: str | None = None) -> tuple[str, ...]:
    """The columns of a file that hold its texts, one or of pairs two: those that are named, else the model's.

    Raises DataError for a second one where the model reads single texts.
    """
    if model.columns is not None:
        first, other = model.columns
        return text or first, second or other
    if second is not None:
        raise DataError(f"--second {second!r}: this model labels single texts, not pairs; leave it out")
    return (text or "text",)


def new_columns(model: Labeller, taken: Sequence[str]) -> dict[str, Kind]:
    """Names and kinds of the columns that `predict_file` adds, none of which the file has already."""
    found: dict[str, Kind] = {}
    for name, kind in model.adds().items():
        free = name
        while free in taken or free in found:
            free += "_predicted"
        found[free] = kind
    return found


def _cells(model: Labeller, chunk: Chunk) -> list[list[Any]]:
    """One list of cells for each new column; None where a row has no text."""
    rows = [i for i, text in enumerate(chunk.texts) if text is not None]
    found = model.rows([text for text in chunk.texts if text is not None])
    cells: list[list[Any]] = [[None] * len(chunk.texts) for _ in model.adds()]
    for i, row in zip(rows, found, strict=True):
        for column, cell in zip(cells, row, strict=True):
            column[i] = cell
    return cells
