"""What a saved classifier runs on: torch, or onnxruntime with the files that `labelwright onnx` wrote.

Knows tokens and logits; nothing of how the files came to be.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from agent.distill.network import (
    MULTI,
    Tokens,
    abstention_of,
    by_length,
    check_folder,
    columns_of,
    cut_tokens,
    most_tokens,
    read_tokenizer,
    threshold_of,
    to_pad,
)
from agent.errors import ExtraMissing, ModelError
from agent.records import Floats
from agent.student.encoder import CPU_BATCH_TOKENS

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class Runtime(StrEnum):
    """What computes."""

    TORCH = "torch"
    ONNX = "onnx"  # onnxruntime, with the weights as they are
    INT8 = "int8"  # onnxruntime, with weights of eight bits

    @classmethod
    def chosen(cls, *, onnx: bool, int8: bool) -> Runtime:
        """As two switches say it."""
        return cls.INT8 if int8 else cls.ONNX if onnx else cls.TORCH


FILES = {Runtime.ONNX: "model.onnx", Runtime.INT8: "model-int8.onnx"}


class Classifier(Protocol):
    """Texts to logits; `agent.distill.network.Network` is one.

    Attributes:
        names: the C class names, in the order of the logits.
        multilabel: each class is a decision of its own.
        columns: where a text is a pair (`agent.pairing`), what its two texts are called.
        abstain_below: the confidence below which a text gets no label; None where every text gets one.
        label_threshold: for multilabel, the probability from which on a label holds.
    """

    names: tuple[str, ...]
    multilabel: bool
    columns: tuple[str, str] | None
    abstain_below: float | None
    label_threshold: float

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Token numbers of each text, cut where the model's reach ends."""
        ...

    def logits(self, tokens: Tokens) -> Floats:
        """(n, C) float32."""
        ...

    def read(self, tokens: Tokens) -> tuple[Floats, Floats]:
        """The same, and (n, d) float32 vectors that say what a text is like, of one pass."""
        ...


class OnnxNetwork:
    """A `Classifier` on onnxruntime, on the processor.

    Args:
        folder: of the tokenizer and the configuration.
        file: the network itself.
        runtime: of the file. With weights of eight bits each text goes through alone: what goes in is rounded to the
            range of the whole batch, and a label may not depend on whose texts came along (4 of 400 did).
        batch_tokens: most tokens, padding counted, that go through at once.

    Raises ModelError where one of them cannot be read, ExtraMissing without onnxruntime.
    """

    def __init__(
        self, folder: Path, file: Path, runtime: Runtime = Runtime.ONNX, batch_tokens: int = CPU_BATCH_TOKENS
    ) -> None:
        self._session = _session(file)
        self._inputs = [given.name for given in self._session.get_inputs()]
        if not set(self._inputs) <= set(INPUTS):
            raise ModelError(f"{file}: wants {', '.join(self._inputs)}; known are {', '.join(INPUTS)}")
        config, self.tokenizer = _read_config(folder), read_tokenizer(folder)
        self.max_tokens = most_tokens(config, self.tokenizer)
        self.batch_tokens = 1 if runtime is Runtime.INT8 else min(batch_tokens, CPU_BATCH_TOKENS)
        self.names = tuple(str(config.id2label[i]) for i in range(config.num_labels))
        self.multilabel = config.problem_type == MULTI
        self.columns = columns_of(config)
        self.abstain_below = abstention_of(config)
        self.label_threshold = threshold_of(config)

    @classmethod
    def load(cls, folder: Path, runtime: Runtime, batch_tokens: int = CPU_BATCH_TOKENS) -> OnnxNetwork:
        """The file that `labelwright onnx` put into a model folder. Raises ModelError, ExtraMissing."""
        check_folder(folder)
        file = folder / FILES[runtime]
        if not file.is_file():
            switch = " --int8" if runtime is Runtime.INT8 else ""
            raise ModelError(f"{folder}: it has no {file.name}; write it first: labelwright onnx {folder}{switch}")
        return cls(folder, file, runtime, batch_tokens)

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Token numbers of each text with the marks the model wants, cut at `max_tokens`."""
        return cut_tokens(self.tokenizer, texts, self.max_tokens, pairs=self.columns is not None)

    def logits(self, tokens: Tokens) -> Floats:
        """(n, C) float32, in batches of like length."""
        out = np.empty((len(tokens), len(self.names)), np.float32)
        for batch in by_length([len(t) for t in tokens], self.batch_tokens):
            padded = self.tokenizer.pad(to_pad([tokens[i] for i in batch]), return_tensors="np")
            none = np.zeros_like(padded["input_ids"])  # a text alone is the first of its pair: of type 0
            out[batch] = self._session.run(None, {name: padded.get(name, none) for name in self._inputs})[0]
        return out

    def read(self, tokens: Tokens) -> tuple[Floats, Floats]:
        """The logits twice: nothing else comes out of such a file."""
        logits = self.logits(tokens)
        return logits, logits


def _session(file: Path) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise missing("onnxruntime") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))  # what torch keeps to; 0 is every core
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # a class for each kind of failure, none of them public
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{file}: onnxruntime cannot read it: {said}") from None


def _read_config(folder: Path) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{folder}: its config.json cannot be read: {said}") from None


def missing(package: str) -> ExtraMissing:
    """What is said where a package of the extra is not there."""
    return ExtraMissing(f"ONNX needs {package}, which is not installed: pip install 'labelwright[onnx]'")
