"""A model that is there already, from which a training goes on: what it knows of the classes that are wanted.

Classes are matched by name. Knows a model folder and names; not how anything is learnt (`agent.distill.going_on`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent.distill.card import FACTS
from agent.distill.network import HALF, Network, quietly, saved_config
from agent.distill.reference import model_key
from agent.distill.runtime import Runtime
from agent.distill.targets import Examples
from agent.distill.writer import is_writer
from agent.errors import ModelError
from agent.records import Floats
from agent.student.encoder import Encoder

CLASSIFIER, REGRESSION = "ForSequenceClassification", "regression"
SEEN = "the model that it goes on from may have learnt the labels that would be held out"


@dataclass(frozen=True, eq=False)
class Start:
    """A model that a training goes on from. Build one with `Start.read`.

    Attributes:
        encoder: its layers, as an encoder of their own.
        hashed: a short hash of its weights, which `labelwright serve` tells too.
        texts: such as it was made for, without labels: they are replayed. With none, what has no labels is forgotten.
        is_classifier: of texts, or a regression, so that its last layers have learnt what to read.
        names: the classes that it knows, C; none of a regression.
        multilabel, columns: as for `agent.distill.network.Network`.
        rows: (d + 1, C) float32, its classifier: weights, and the biases below them.
        label_threshold: the probability from which on its labels hold.
    """

    encoder: Encoder
    hashed: str
    texts: tuple[str, ...]
    is_classifier: bool
    names: tuple[str, ...]
    multilabel: bool
    columns: tuple[str, str] | None
    rows: Floats
    label_threshold: float = HALF

    @classmethod
    def read(cls, folder: str | Path, texts: Sequence[str] = (), max_tokens: int = 256) -> Start:
        """The model of a folder: a classifier that `distil` made or anybody else, or whatever else has an encoder.

        `max_tokens`: a longer text is cut. Raises ModelError where there is none, or it cannot be read.
        """
        path = Path(folder)
        if not path.is_dir():
            raise ModelError(f"{path}: no such folder; name one that `distil` made")
        if is_writer(path):
            raise ModelError(f"{path}: a model that writes, which no classifier can go on from; name another")
        try:
            with quietly():  # of weights of the classifier, which no encoder has a use for
                encoder = Encoder.load(str(path), max_tokens)
        except ModelError as error:
            raise ModelError(str(error).removeprefix("student.encoder: ")) from None
        config = saved_config(path)
        is_classifier = any(str(name).endswith(CLASSIFIER) for name in config.get("architectures") or ())
        network = Network.load(path) if is_classifier and config.get("problem_type") != REGRESSION else None
        return cls(
            encoder,
            model_key(path, Runtime.TORCH),
            tuple(texts),
            is_classifier,
            () if network is None else network.names,
            network is not None and network.multilabel,
            None if network is None else network.columns,
            np.zeros((1, 0), np.float32) if network is None else _rows(network),
            HALF if network is None else network.label_threshold,
        )

    @property
    def name(self) -> str:
        """The folder's own: its path is nobody's business."""
        return self.encoder.folder.resolve().name

    @property
    def max_tokens(self) -> int:
        return self.encoder.max_tokens

    @property
    def key(self) -> str:
        """A hash of all of it that a training depends on, wherever the folder is."""
        what = [self.encoder.content, self.hashed, self.encoder.pooling, self.max_tokens, self.is_classifier]
        what += [self.names, self.multilabel, self.columns, self.texts]
        what += [] if self.label_threshold == HALF else [self.label_threshold]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]

    @property
    def made_of(self) -> str:
        """The encoder that it was made of, by the name on its card; its own where it has none."""
        try:
            about = json.loads((self.encoder.folder / FACTS).read_text(encoding="utf-8"))
            return str(about["card"]["encoder"])
        except (OSError, ValueError, KeyError, TypeError):
            return self.name

    def knows(self, names: Sequence[str]) -> bool:
        """Whether any of these classes is one of its own."""
        return not set(self.names).isdisjoint(names)

    def check(self, known: Examples) -> None:
        """Raises ModelError where a class of the same name is of another kind."""
        if not self.knows(known.names):
            return
        if self.multilabel != known.multilabel:
            self._refuse(f"gives a text {_given(self.multilabel)}, and this task gives it {_given(known.multilabel)}")
        if self.columns != known.columns:
            hint = " (config.json says so as `text_columns`)" if known.columns else ""
            self._refuse(f"reads {_read(self.columns)}{hint}, and this task {_read(known.columns)}")

    def _refuse(self, why: str) -> None:
        raise ModelError(
            f"{self.encoder.name}: this model {why}, so it cannot go on from it; to use its encoder alone, name the "
            "folder as `student.encoder` in the job file"
        )

    def told(self, names: Sequence[str]) -> str:
        """What of it is of use for these classes, as a sentence."""
        here = f"goes on from {self.name} ({self.hashed})"
        if not self.knows(names):
            why = "none of its classes is one of these" if self.names else "it is no classifier of texts"
            return f"{here}: {why}, so its layers are taken, and the classifier is new"
        return f"{here}: {'; '.join(f'{what}: {which}' for what, which in self.classes(names))}"

    def classes(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """Which classes are kept, which are new and which are dropped, where there are any."""
        parts = {
            "classes kept": [n for n in names if n in self.names],
            "new classes": [n for n in names if n not in self.names],
            "classes dropped": [n for n in self.names if n not in names],
        }
        return [(what, _few(which)) for what, which in parts.items() if which]


Source = Encoder | Start
"""What a training begins with."""


def may_have_learnt(source: Source, known: Examples) -> bool:
    """Whether it may know labels of these classes by heart, so that none of them can measure what comes of it."""
    return isinstance(source, Start) and source.knows(known.names)


def opened(source: Source, known: Examples) -> Network:
    """A network for these classes, whose classifier has learnt nothing yet."""
    how: dict[str, Any] = {"multilabel": known.multilabel, "columns": known.columns, "seed": known.seed}
    if isinstance(source, Start):
        return Network.open(source.encoder, known.names, reads_as_before=source.is_classifier, **how)
    return Network.open(source, known.names, **how)


def _rows(network: Network) -> Floats:
    last = network.classifier()
    weights = last.weight.detach().float().cpu().numpy()
    bias = np.zeros(len(weights)) if last.bias is None else last.bias.detach().float().cpu().numpy()
    return np.column_stack([weights, bias]).T.astype(np.float32)


def _given(several: bool) -> str:
    return "any number of labels" if several else "one label"


def _read(columns: tuple[str, str] | None) -> str:
    return "single texts" if columns is None else f"pairs of {columns[0]} and {columns[1]}"


def _few(names: Sequence[str], most: int = 10) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"
