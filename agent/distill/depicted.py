"""A classifier of texts with pictures: a model like CLIP as it is, and a head on its vectors, in one folder.

Nothing of the encoder is tuned: what is learnt are the weights of the head, in a second. The folder holds a copy of
the encoder, which is a standard `transformers` folder; the head is read by `agent.distill.load_model` alone.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agent.distill.card import Card
from agent.distill.correcting import correct
from agent.distill.distil import cross_validated, save_with_card
from agent.distill.network import ABSTAIN, HALF, saved_config
from agent.distill.shown import public_name
from agent.distill.targets import Examples
from agent.distill.training import Progress
from agent.errors import ModelError
from agent.images import Images
from agent.job import DistilSettings
from agent.picture import Reference, join
from agent.records import Floats
from agent.student.depicted import PREPARED, DepictedEncoder
from agent.student.encoder import WANTED
from agent.student.head import Head

KIND = "labelwright-depicted"
ENCODER, HEAD = "encoder", "head.safetensors"
AT_ONCE = 256
"""Texts whose vectors are made between two times that somebody is told."""


class DepictedNetwork:
    """A `Classifier` of items (`agent.picture`); what it takes for tokens are the items themselves.

    Attributes:
        reads: the columns of a file that hold texts and the paths of pictures, as the job had them.
    """

    columns: tuple[str, str] | None = None
    label_threshold = HALF

    def __init__(
        self,
        encoder: DepictedEncoder,
        head: Head,
        names: Sequence[str],
        reads: tuple[str, str],
        abstain_below: float | None = None,
    ) -> None:
        self.encoder, self.head, self.names, self.reads = encoder, head, tuple(names), reads
        self.multilabel, self.abstain_below = head.independent, abstain_below

    @classmethod
    def load(cls, folder: Path, images: Images) -> DepictedNetwork:
        """A folder that `distil_depicted` wrote, for the pictures of another. Raises ModelError, ExtraMissing."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        said = saved_config(folder)
        try:
            names, (text, image), most = said["names"], said["reads"], int(said["max_tokens"])
            head = Head(len(names), independent=bool(said["multilabel"]))
            head.restore(load_file(folder / HEAD))
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            raise ModelError(f"{folder}: its head cannot be read ({error}); distil it again") from None
        encoder = DepictedEncoder.of(str(folder / ENCODER), images, most)
        return cls(encoder, head, names, (str(text), str(image)), said.get(ABSTAIN))

    def tokens(self, texts: Sequence[str]) -> Any:
        return list(texts)

    def logits(self, tokens: Any) -> Floats:
        return self.head.logits(self.encoder.encode(tokens))

    def read(self, tokens: Any) -> tuple[Floats, Floats]:
        vectors = self.encoder.encode(tokens)
        return self.head.logits(vectors), vectors

    def save(self, folder: Path) -> None:
        """Raises OSError."""
        from safetensors.numpy import save_file

        copy = folder / ENCODER
        copy.mkdir()
        for file in {f for pattern in (*WANTED, PREPARED) for f in self.encoder.folder.glob(pattern) if f.is_file()}:
            shutil.copyfile(file, copy / file.name)
        save_file(self.head.state(), folder / HEAD)
        said: dict[str, Any] = {
            "model_type": KIND,
            "names": list(self.names),
            "multilabel": self.multilabel,
            "reads": list(self.reads),
            "max_tokens": self.encoder.max_tokens,
        }
        if self.abstain_below is not None:
            said[ABSTAIN] = self.abstain_below
        (folder / "config.json").write_text(json.dumps(said, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def distil_depicted(
    examples: Examples,
    settings: DistilSettings,
    reads: tuple[str, str],
    *,
    encoder: DepictedEncoder,
    folder: Path,
    facts: Mapping[str, Any] | None = None,
    progress: Progress = lambda done, total: None,
) -> DepictedNetwork:
    """Learn a head on the vectors of labelled items, and save it with its encoder and its card.

    The same arguments give the same files on one machine. A process that is killed begins anew: it takes as long as
    the vectors of the labelled texts do.

    Args:
        settings: of which only `labels` and `abstain_below` have a meaning here.
        reads: the columns that hold texts and the paths of pictures.
        folder: replaced in one step; until then, and after any failure, the old one stands.

    Raises DataError without labels or for a picture that cannot be read, ModelError where the folder cannot be
    written.
    """
    began = time.monotonic()
    known = examples.checked()
    vectors = np.empty((len(known.texts), encoder.dim), np.float32)
    for start in range(0, len(known.texts), AT_ONCE):
        some = known.texts[start : start + AT_ONCE]
        vectors[start : start + len(some)] = encoder.encode(some)
        progress(start + len(some), len(known.texts))
    head = Head(len(known.names), independent=known.multilabel)
    righted = correct(vectors, known) if settings.labels == "corrected" else None
    targets, weights = (known.targets, known.teaching) if righted is None else (righted.targets, righted.weights)
    head.fit(vectors, targets, weights, np.random.default_rng([known.seed, 0]))
    network = DepictedNetwork(encoder, head, known.names, reads, settings.abstain_below)
    training = {
        "encoder": public_name(encoder.name),
        "seed": known.seed,
        "penalty": head.l2,
        "temperature": round(head.temperature, 4),
        **({} if righted is None else righted.rows(known.names)),
        "texts learnt from": len(known.texts),
        "seconds": round(time.monotonic() - began, 1),
    }
    card = Card(
        known.names,
        known.multilabel,
        encoder.name,
        encoder.max_tokens,
        training,
        cross_validated(head, known.targets),
        facts or {},
        abstain_below=settings.abstain_below,
        depicted=reads,
    )
    save_with_card(network, card, folder)
    return network


def is_depicted(folder: Path) -> bool:
    """Whether a folder holds a classifier of texts with pictures."""
    return saved_config(folder).get("model_type") == KIND


def item_of(images: Images, place: str, words: str | None, path: str | None) -> str | None:
    """A row's text and picture as one (`agent.picture`); None where it names no picture. Raises DataError."""
    if path is None or not path.strip():
        return None
    found: Reference = images.found(path.strip(), place)
    return join(words or "", found)
