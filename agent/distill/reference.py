"""What a model's inputs looked like when it was made: vectors of texts that taught it, and of texts that did not.

They lie in the model folder, a few hundred of each and no text, so that whoever serves the model can tell when inputs
or predictions are no longer like them. What taught a model lies nearer to what it knows than any new text: it says
where known texts are, and only the others say what new ones look like.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.distill.deciding import at_half
from agent.distill.network import HALF, Network
from agent.distill.runtime import FILES, Runtime
from agent.errors import ModelError
from agent.records import Floats
from agent.student.logistic import sigmoid, softmax

VECTORS = "labelwright.vectors"
"""Safetensors by its content; under another ending, since what ends so in a model folder is taken for weights."""
MOST = 200
"""Texts of each kind."""


@dataclass(frozen=True, eq=False)
class Reference:
    """Texts of before.

    Attributes:
        anchors: (m, d) vectors of texts that taught the model.
        vectors, probabilities: (n, d) and (n, C) of other texts such as are expected; n is 0 where there were none.
    """

    anchors: Floats
    vectors: Floats
    probabilities: Floats


def write_reference(
    network: Network, taught: Sequence[str], fresh: Sequence[str], folder: Path, rng: np.random.Generator
) -> None:
    """Put a random part of the texts into a model folder, as vectors. Raises OSError."""
    from safetensors.numpy import save_file

    tensors: dict[str, Floats] = {}
    for name, texts in (("taught", taught), ("fresh", fresh)):
        some = [texts[i] for i in np.sort(rng.permutation(len(texts))[:MOST])]
        logits, vectors = network.read(network.tokens(some) if some else [])
        tensors |= {f"{name}_logits": logits.copy(), f"{name}_vectors": vectors.astype(np.float16)}
    save_file(tensors, folder / VECTORS)


def model_key(folder: Path, runtime: Runtime) -> str:
    """A short hash of a model's weights, as that runtime has them. Raises ModelError."""
    files = [folder / FILES[runtime]] if runtime in FILES else sorted(folder.glob("*.safetensors"))
    hashed = hashlib.sha256()
    try:
        for file in files:
            with file.open("rb") as opened:
                hashed.update(hashlib.file_digest(opened, "sha256").digest())
    except OSError as error:
        raise ModelError(f"{folder}: its weights cannot be read: {error.strerror or error}") from None
    return hashed.hexdigest()[:12]


def read_reference(folder: Path, runtime: Runtime, *, multilabel: bool, threshold: float = HALF) -> Reference | None:
    """What a model folder holds of it for this runtime; None where it has nothing. For multilabel probabilities are
    such that a label, which holds from the `threshold` on, does so from one half on.

    With weights of eight bits the numbers are others, and none were written of them. Raises ModelError where the file
    is there and cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = folder / VECTORS
    if runtime is Runtime.INT8 or not path.is_file():
        return None
    kind = "vectors" if runtime is Runtime.TORCH else "logits"
    try:
        found = load_file(path)
        chances = (sigmoid if multilabel else softmax)(found["fresh_logits"])
        chances = at_half(chances, threshold) if multilabel else chances
        anchors, vectors = (found[f"{name}_{kind}"].astype(np.float32) for name in ("taught", "fresh"))
    except (OSError, SafetensorError, KeyError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); remove it; first inputs take its place") from None
    return Reference(anchors, vectors, chances)
