"""A distilled model as ONNX: written beside its weights, and held against torch before anybody relies on it.

Knows a model folder and texts. The calibrated temperature is part of the classifier's weights, so it comes along.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from agent.distill.distil import add_onnx
from agent.distill.network import Network
from agent.distill.predict import Model, columns_to_read, special
from agent.distill.runtime import FILES, INPUTS, OnnxNetwork, Runtime, missing
from agent.distill.saving import replacing_file
from agent.distill.tables import open_table
from agent.errors import DataError, ModelError
from agent.job import DataSettings, TaskSettings
from agent.pool.labelled import read_labelled
from agent.records import Value
from agent.tasks import build

MOST_MB = 2000
"""What one file of ONNX holds: the limit of Protocol Buffers, 2 GiB."""
LENGTHS = (1, 2, 5, 12, 30, 80, 200, 600)
"""Words of the texts that are compared where none are given: from one to more than most models read."""
WORDS = """
The bank said on Tuesday that its profits rose by a third last year, and shares went up 4.5% in early trade. Who won?
The home side scored twice in the second half: 2-1, their ninth victory in a row! Ministers will vote on the new tax
before the election; the opposition calls it "unfair". A phone that folds was shown at the fair in Barcelona (price:
about $1,800), with a battery for two days. The film took the prize for best actress, and the band's new album is out
on Friday. My card was charged twice — please send the money back!! I can't log in any more, where is my password?
How far is it from Paris to London in kilometres? Das Wetter wird morgen besser, sagt der Bericht. Le conseil
municipal a voté le budget. El equipo perdió en casa. 新しい製品は来月発売されます。 Доктор посоветовал больше спать.
😀 ok ... http://example.com/a?b=c
"""


@dataclass(frozen=True)
class Checks:
    """What a file of ONNX is held against torch on.

    Attributes:
        texts: a file of texts of the kinds that `predict` reads; None for texts that come with Labelwright.
        gold: a file of texts with the right labels, to measure accuracy on.
        text, label: columns; None for `text`, and of pairs the two are those that the model remembers.
    """

    texts: Path | None = None
    gold: Path | None = None
    text: str | None = None
    label: str = "label"


@dataclass(frozen=True)
class Written:
    """One file, and how near it comes to torch.

    Attributes:
        megabytes: its size, in millions of bytes.
        texts, same: how many texts were compared, and how many of them got the same label.
        largest: difference of any probability of any of them.
        accuracy: share of the gold texts that it labels right; None without gold.
    """

    runtime: Runtime
    file: Path
    megabytes: float
    texts: int
    same: int
    largest: float
    accuracy: float | None


@dataclass(frozen=True)
class Exported:
    """What came of it. `accuracy` is torch's on `gold` texts, None and 0 without gold."""

    files: tuple[Written, ...]
    accuracy: float | None
    gold: int

    def lines(self) -> Iterator[tuple[str, str]]:
        """The same in words: what is spoken of, and what is said."""
        for w in self.files:
            same = f"{w.same:,} of {w.texts:,} texts get the same label as with torch"
            far = f"probabilities differ by at most {w.largest:.2g}"
            yield w.file.name, f"{w.megabytes:,.1f} MB; {same}; {far}"
        if self.accuracy is not None:
            yield f"accuracy on {self.gold:,} texts", f"{self.accuracy:.1%} with torch"
            for w in self.files:
                assert w.accuracy is not None
                yield "", f"{w.accuracy:.1%} as {w.file.name} ({(w.accuracy - self.accuracy) * 100:+.1f} points)"

    def figures(self) -> dict[str, Any]:
        """The same as plain values."""
        files = [asdict(w) | {"runtime": w.runtime.value, "file": str(w.file)} for w in self.files]
        return {"files": files, "accuracy": self.accuracy, "gold": self.gold}


def write_onnx(folder: str | Path, checks: Checks | None = None, *, int8: bool = False) -> Exported:
    """Write `model.onnx` into a model folder, with `int8` also `model-int8.onnx`, and say so on its card.

    Each appears whole or not at all, and neither where `model.onnx` gives a single text another label than torch.
    Weights of eight bits may: how many is told.

    Raises ModelError for that, and for a folder that is no model's or cannot be written; DataError for what is wrong
    with a file; ExtraMissing.
    """
    where, asked = Path(folder), checks or Checks()
    if what := special(where):
        raise ModelError(f"{where}: it {what}, and only classifiers of texts are written as ONNX")
    model = Model.load(where)
    assert isinstance(model.network, Network)
    texts = _texts(asked, model)
    gold, answers = _gold(asked, model)
    runtimes = [Runtime.ONNX, Runtime.INT8] if int8 else [Runtime.ONNX]
    said, right = _Said.of(model, texts), _Said.of(model, gold)
    found: list[Written] = []
    try:
        with ExitStack() as files:
            partial = {r: files.enter_context(replacing_file(where / FILES[r])) for r in runtimes}
            _export(model.network, partial[Runtime.ONNX])
            if int8:
                _quantise(partial[Runtime.ONNX], partial[Runtime.INT8])
            for runtime, file in partial.items():
                other = Model(OnnxNetwork(where, file, runtime))
                same, largest = said.against(other)
                if runtime is Runtime.ONNX and same < len(texts):
                    raise ModelError(_differs(where, len(texts), same, largest))
                accuracy = _share(other.predict(gold).values, answers)
                size = file.stat().st_size / 1e6
                found.append(Written(runtime, where / FILES[runtime], size, len(texts), same, largest, accuracy))
        add_onnx(where, [w.file.name for w in found])
    except OSError as error:
        raise ModelError(f"{where}: cannot be written: {error.strerror or error}") from error
    return Exported(tuple(found), _share(right.values, answers), len(gold))


def _differs(folder: Path, texts: int, same: int, largest: float) -> str:
    return (
        f"{folder}: as ONNX it gives {texts - same} of {texts} texts another label than with torch (probabilities "
        f"differ by up to {largest:.2g}), so nothing was written; use it with torch"
    )


# What it is held against -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Said:
    """What torch said of some texts."""

    texts: list[str]
    values: list[Value]
    probabilities: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = field(repr=False)

    @classmethod
    def of(cls, model: Model, texts: list[str]) -> _Said:
        found = model.predict(texts)
        assert found.probabilities is not None
        return cls(texts, list(found.values), found.probabilities)

    def against(self, other: Model) -> tuple[int, float]:
        """How many labels are the same, and the largest difference of a probability."""
        found = other.predict(self.texts)
        assert found.probabilities is not None
        same = sum(a == b for a, b in zip(self.values, found.values, strict=True))
        return same, float(np.abs(self.probabilities - found.probabilities).max())


def _texts(checks: Checks, model: Model) -> list[str]:
    if checks.texts is None:
        return list(_own_texts())
    columns = columns_to_read(model, checks.text)
    table = open_table(checks.texts, *columns)
    found = [text for chunk in table.chunks() for text in chunk.texts if text is not None]
    if not found:
        raise DataError(f"{checks.texts}: no text in column {columns[0]!r}, and it takes one to compare")
    return found


def _own_texts() -> Iterator[str]:
    """From each of several places of `WORDS` so many words on, going round."""
    words = WORDS.split()
    for length in LENGTHS:
        for start in range(0, len(words), 11):
            yield " ".join(words[(start + i) % len(words)] for i in range(length))


def _gold(checks: Checks, model: Model) -> tuple[list[str], list[Value]]:
    """Texts and their right labels; empty without a gold file."""
    if checks.gold is None:
        return [], []
    kind = "multilabel" if model.multilabel else "classification"
    task = build(TaskSettings(kind=kind, labels=dict.fromkeys(model.names, "")))
    text, *second = columns_to_read(model, checks.text)
    columns = DataSettings(pool=str(checks.gold), text=text, second=second[0] if second else None, label=checks.label)
    found = read_labelled(checks.gold, columns, task, key="--gold")
    return [text.text for text, _ in found], [value for _, value in found]


def _share(said: Sequence[Value], answers: Sequence[Value]) -> float | None:
    """The share of answers that were said; of several labels, all of them and no other."""
    if not answers:
        return None
    return sum(_plain(a) == _plain(b) for a, b in zip(said, answers, strict=True)) / len(answers)


def _plain(value: Value) -> object:
    return value if isinstance(value, str) else frozenset(map(str, value))


# Writing it --------------------------------------------------------------------------------------------------------


def _export(network: Network, file: Path) -> None:
    """Inputs (n, t) int64, as many as the tokenizer gives; output `logits`, (n, C) float32. Raises ModelError."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        _need(package)
    import torch

    megabytes = sum(p.numel() * p.element_size() for p in network.model.parameters()) / 1e6
    if megabytes > MOST_MB:
        raise ModelError(f"the model has {megabytes:,.0f} MB of weights, and a file of ONNX holds {MOST_MB:,}")
    # two texts of different length: a dimension of one, or without padding, would be taken for fixed
    example = network.tokenizer(["a text", "another text that is longer"], padding=True, return_tensors="pt")
    taken = signature(network.model.forward).parameters
    inputs = {name: example[name] for name in INPUTS if name in example and name in taken}
    try:
        with _quietly(), torch.inference_mode():
            torch.onnx.export(
                deepcopy(network.model).cpu().eval(),
                (),
                file,
                kwargs=inputs,
                input_names=list(inputs),
                output_names=["logits"],
                dynamic_shapes={name: {0: "batch", 1: "tokens"} for name in inputs},
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"a {network.model.config.model_type} cannot be written as ONNX: {said}") from error


def _quantise(whole: Path, file: Path) -> None:
    """Weights of eight bits; what goes through is rounded while it runs (dynamic quantisation)."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quietly():
        # a scale for each column, and seven bits: eight overflow on processors without VNNI (onnxruntime's manual)
        quantize_dynamic(whole, file, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8)


def _need(package: str) -> None:
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise missing(package)


@contextmanager
def _quietly() -> Iterator[None]:
    """No word of the exporter on what it skips, nor of the quantiser on what one might do before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)
