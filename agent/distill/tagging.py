"""Spans into a model of your own: a standard `transformers` token classifier, fine-tuned from the job's encoder.

A word has the tag of its first token, so that `pipeline("token-classification", aggregation_strategy="first")` finds
the same spans.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.distill.card import Card
from agent.distill.checkpoint import PACE, Checkpoint, Note, Pace
from agent.distill.distil import save_with_card
from agent.distill.epochs import PLAIN, Manner, Passes, go_down
from agent.distill.fingerprint import fingerprint_of
from agent.distill.network import (
    by_length,
    most_tokens,
    no_attention_dropout,
    read_model,
    read_tokenizer,
    save_as_transformers,
    saved_config,
    seeded,
)
from agent.distill.shown import public_name
from agent.distill.tables import Kind
from agent.distill.training import Progress
from agent.errors import ModelError
from agent.job import DistilSettings
from agent.records import Floats, Prediction, Value
from agent.student.encoder import CPU_BATCH_TOKENS, Encoder, first_tokens, word_places
from agent.student.tagger import marked
from agent.tasks.bio import OUTSIDE, Range, tags_for, tags_of

if TYPE_CHECKING:
    import torch

NO_TAG = -100
"""What torch's cross-entropy leaves out: a token that is no word's first."""
RATE_TIMES = 15
"""So many times what `learning_rate` says: with 200 texts of bc5cdr F1 was 0.54 at five times, 0.62 at fifteen."""
PASSES = Passes(seen=2500, fewest=4, most=15)
ARCHITECTURE = "ForTokenClassification"


@dataclass(frozen=True)
class Read:
    """A text as its network reads it: tokens, which of them are a word's first, and where each word is."""

    tokens: list[int]
    firsts: list[int]
    places: list[tuple[int, int]]


class Tags:
    """A token classifier and its tokenizer.

    Attributes:
        tags: the names of its outputs: O, and B- and I- of each label.
        types: the labels.
        max_tokens: a longer text is cut, and what is cut off has no spans.
    """

    def __init__(self, model: Any, tokenizer: Any, max_tokens: int, batch_tokens: int = 8192) -> None:
        import torch

        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = model.eval().to(self.device)
        self.tokenizer, self.max_tokens = tokenizer, max_tokens
        self._budget = batch_tokens if self.device == "cuda" else min(batch_tokens, CPU_BATCH_TOKENS)
        self.tags = tuple(str(model.config.id2label[i]) for i in range(model.config.num_labels))
        self.types = tuple(dict.fromkeys(tag.partition("-")[2] for tag in self.tags if tag != OUTSIDE))

    @classmethod
    def open(cls, encoder: Encoder, types: Sequence[str], seed: int) -> Tags:
        """The encoder with a new tagger on top. Raises ModelError."""
        from transformers import AutoConfig, AutoModelForTokenClassification

        config = AutoConfig.from_pretrained(encoder.folder, trust_remote_code=False, local_files_only=True)
        tags = tags_for(types)
        config.id2label = dict(enumerate(tags))
        config.label2id = {tag: i for i, tag in enumerate(tags)}
        no_attention_dropout(config)
        with seeded(seed):
            model = read_model(encoder.folder, AutoModelForTokenClassification, "a token classifier", config=config)
        tokenizer = read_tokenizer(encoder.folder)
        tokenizer.model_max_length = encoder.max_tokens
        return cls(model, tokenizer, encoder.max_tokens)

    @classmethod
    def load(cls, folder: Path, batch_tokens: int = 8192) -> Tags:
        """A folder that `distil_spans` wrote, or any token classifier with B- and I- tags. Raises ModelError."""
        from transformers import AutoModelForTokenClassification

        model = read_model(folder, AutoModelForTokenClassification, "a token classifier")
        tokenizer = read_tokenizer(folder)
        return cls(model, tokenizer, most_tokens(model.config, tokenizer), batch_tokens)

    def read(self, texts: Sequence[str]) -> list[Read]:
        """Texts as the network reads them."""
        if not texts:  # of which the tokenizer makes nothing
            return []
        found = self.tokenizer(
            list(texts), truncation=True, max_length=self.max_tokens, return_offsets_mapping=True, verbose=False
        )
        out = []
        for i, text in enumerate(texts):
            words = found.word_ids(i)
            places = word_places(text, found["offset_mapping"][i], words)
            out.append(Read(found["input_ids"][i], first_tokens(words), places))
        return out

    def forward(self, tokens: list[list[int]]) -> torch.Tensor:
        """(b, t, C) float32 logits."""
        batch = self.tokenizer.pad({"input_ids": tokens}, return_tensors="pt").to(self.device)
        logits: torch.Tensor = self.model(**batch).logits.float()
        return logits

    def predict(self, texts: Sequence[str]) -> Prediction:
        """Spans of n texts, and the doubt in the least certain word of each."""
        values: list[Value] = [()] * len(texts)
        doubt = np.zeros(len(texts), np.float32)
        read = self.read(texts)
        for i, chances in self._chances(read):
            if len(chances):
                values[i], doubt[i] = marked(texts[i], read[i].places, chances, self.tags)
        return Prediction(values, np.clip(doubt, 0, 1))

    def _chances(self, read: Sequence[Read]) -> Iterator[tuple[int, Floats]]:
        """(place, (w, C) probabilities of its words' tags) of each text, in batches of like length."""
        import torch

        self.model.eval()
        for batch in by_length([len(r.tokens) for r in read], self._budget):
            with torch.inference_mode():
                chances = torch.softmax(self.forward([read[i].tokens for i in batch]), dim=2).cpu().numpy()
            for row, i in enumerate(batch):
                yield i, chances[row, read[i].firsts]

    @property
    def names(self) -> tuple[str, ...]:
        """The labels."""
        return self.types

    multilabel = False
    columns = None

    def adds(self) -> dict[str, Kind]:
        """The spans as JSON, and how sure the least certain word is."""
        return {"spans": Kind.NAME, "confidence": Kind.NUMBER}

    def rows(self, texts: Sequence[str]) -> Iterator[list[Any]]:
        """What `adds` names, of each text."""
        for row in self.told(texts):
            yield [json.dumps(row["spans"], ensure_ascii=False), row["confidence"]]

    def told(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """The same as JSON: each span with its place in characters, its label and its words."""
        found = self.predict(texts)
        return [
            {
                "spans": [{"start": a, "end": b, "label": n, "text": quote} for a, b, n, quote in spans],
                "confidence": round(1 - doubt, 6),
            }
            for spans, doubt in zip(found.values, found.doubt.tolist(), strict=True)
        ]

    def save(self, folder: Path) -> None:
        """Weights (safetensors), configuration and tokenizer. Raises OSError."""
        save_as_transformers(self.model, self.tokenizer, folder)


@dataclass(frozen=True)
class SpanLessons:
    """Texts, the spans of each (characters from, to, label), and (n,) float32 weights."""

    texts: Sequence[str]
    spans: Sequence[Sequence[Range]]
    weights: Floats


def train(
    network: Tags,
    lessons: SpanLessons,
    *,
    epochs: int,
    rate: float,
    seed: int,
    progress: Progress,
    manner: Manner = PLAIN,
    checkpoint: Checkpoint | None = None,
) -> list[float]:
    """Teach a network all spans, in place; the same arguments on one machine give the same weights, also where it was
    killed and goes on from what `checkpoint` has.

    Returns the mean loss of a word in nats, for each epoch.
    """
    import torch

    read = network.read(lessons.texts)
    place = {tag: i for i, tag in enumerate(network.tags)}
    targets = [
        [place.get(tag, 0) for tag in tags_of(spans, r.places)] for spans, r in zip(lessons.spans, read, strict=True)
    ]
    if not any(targets):
        raise ModelError("nothing to distil from: no labelled text has a word")

    def loss_of(batch: list[int]) -> tuple[torch.Tensor, float]:
        logits = network.forward([read[i].tokens for i in batch])
        wanted, weights = _wanted(
            logits, [read[i] for i in batch], [targets[i] for i in batch], lessons.weights[batch]
        )
        each = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), wanted.flatten(), reduction="none", ignore_index=NO_TAG
        )
        return (each * weights.flatten()).sum(), float(weights.sum())

    lengths = [len(r.tokens) for r in read]
    return go_down(
        network.model,
        lengths,
        loss_of,
        epochs=epochs,
        rate=rate,
        seed=seed,
        dropout=True,
        progress=progress,
        manner=manner,
        checkpoint=checkpoint,
    )


def _wanted(
    logits: torch.Tensor, read: Sequence[Read], targets: Sequence[list[int]], weights: Floats
) -> tuple[torch.Tensor, torch.Tensor]:
    """(b, t) tag numbers, `NO_TAG` where there is none, and weights."""
    import torch

    wanted = np.full(logits.shape[:2], NO_TAG, np.int64)
    counts = np.zeros(logits.shape[:2], np.float32)
    for row, (r, tags) in enumerate(zip(read, targets, strict=True)):
        wanted[row, r.firsts] = tags
        counts[row, r.firsts] = weights[row]
    return torch.from_numpy(wanted).to(logits.device), torch.from_numpy(counts).to(logits.device)


def distil_spans(
    lessons: SpanLessons,
    types: Sequence[str],
    settings: DistilSettings,
    *,
    encoder: Encoder,
    folder: Path,
    seed: int,
    facts: Mapping[str, Any] | None = None,
    progress: Progress = lambda done, total: None,
    note: Note = lambda said: None,
    pace: Pace = PACE,
) -> Tags:
    """Fine-tune `encoder` on the spans of texts and save a standard `transformers` folder with its card.

    Where a process is killed and another one is started it goes on, and ends with the same weights.

    Args:
        lessons: what is learnt; a text without a span teaches too.
        settings: epochs, and a learning rate, which counts `RATE_TIMES` here.
        folder: replaced in one step; until then, and after any failure, the old one stands.
        facts: for the model card, see `agent.distill.card.Card`.
        progress: told (texts seen, texts to see).
        note: told that it goes on.
        pace: how often it is kept where it stands.

    Raises ModelError where the encoder cannot be used, nothing can be learnt, or the folder not be written.
    """
    began = time.monotonic()
    network = Tags.open(encoder, types, seed)
    epochs = PASSES.over(len(lessons.texts), settings.epochs)
    rate = RATE_TIMES * settings.rate()
    what = [list(lessons.texts), [list(spans) for spans in lessons.spans], list(types), seed]
    checkpoint = Checkpoint(folder, fingerprint_of(what, [lessons.weights], settings, encoder.key), pace, note)
    losses = train(
        network,
        lessons,
        epochs=epochs,
        rate=rate,
        seed=seed,
        progress=progress,
        manner=Manner.of(settings),
        checkpoint=checkpoint,
    )
    training = {
        "encoder": public_name(encoder.name),
        "seed": seed,
        "epochs": epochs,
        "learning rate": rate,
        "texts learnt from": len(lessons.texts),
        "loss of a word at the end, in nats": round(losses[-1], 4),
        "seconds": round(time.monotonic() - began, 1),
    }
    card = Card(types, False, encoder.name, encoder.max_tokens, training, (), facts or {}, spans=True)
    save_with_card(network, card, folder)
    return network


def is_tagger(folder: Path) -> bool:
    """Whether a folder holds a token classifier."""
    return any(str(name).endswith(ARCHITECTURE) for name in saved_config(folder).get("architectures") or ())
