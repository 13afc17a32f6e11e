"""Answers into a model of your own: a standard `transformers` question answering model, from the job's encoder.

Two logits a token, of beginning and of ending the answer; those of the first token say that there is none (Devlin et
al. 2019, arXiv:1810.04805, 4.2 and 4.3). A long context is read in windows that overlap.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.distill.card import Card
from agent.distill.checkpoint import PACE, Checkpoint, Note, Pace
from agent.distill.distil import save_with_card
from agent.distill.epochs import PLAIN, Manner, go_down
from agent.distill.fingerprint import fingerprint_of
from agent.distill.network import (
    COLUMNS,
    by_length,
    columns_of,
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
from agent.distill.tagging import PASSES, RATE_TIMES
from agent.distill.training import Progress
from agent.errors import ModelError
from agent.job import DistilSettings
from agent.pairing import split
from agent.records import Floats, Prediction, Value
from agent.student.choosing import Choice, Scores, as_value, choose, words_of_answer
from agent.student.encoder import CPU_BATCH_TOKENS, Encoder
from agent.student.windows import SEGMENTS, Window, windows

if TYPE_CHECKING:
    import torch

ARCHITECTURE = "ForQuestionAnswering"
NO_ANSWER = "may_have_no_answer"
"""Of a saved model's configuration: whether it may say that there is no answer. `transformers` hands it through."""
USUAL = ("question", "context")


class Answers:
    """A question answering model and its tokenizer.

    Attributes:
        columns: what question and context are called; it takes them joined (`agent.pairing`).
        may_be_none: whether it may say that there is no answer.
        max_tokens: of a window.
    """

    names: tuple[str, ...] = ()
    multilabel = False

    def __init__(self, model: Any, tokenizer: Any, max_tokens: int, batch_tokens: int = 8192) -> None:
        import torch

        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = model.eval().to(self.device)
        self.tokenizer, self.max_tokens = tokenizer, max_tokens
        self._budget = batch_tokens if self.device == "cuda" else min(batch_tokens, CPU_BATCH_TOKENS)
        self.columns: tuple[str, str] = columns_of(model.config) or USUAL
        self.may_be_none = bool(getattr(model.config, NO_ANSWER, False))

    @classmethod
    def open(cls, encoder: Encoder, columns: tuple[str, str], seed: int, *, may_be_none: bool) -> Answers:
        """The encoder with a new head on top. Raises ModelError."""
        from transformers import AutoConfig, AutoModelForQuestionAnswering

        config = AutoConfig.from_pretrained(encoder.folder, trust_remote_code=False, local_files_only=True)
        config.num_labels = 2
        setattr(config, COLUMNS, list(columns))
        setattr(config, NO_ANSWER, may_be_none)
        no_attention_dropout(config)
        with seeded(seed):
            model = read_model(encoder.folder, AutoModelForQuestionAnswering, "a question answerer", config=config)
        tokenizer = read_tokenizer(encoder.folder)
        tokenizer.model_max_length = encoder.max_tokens
        return cls(model, tokenizer, encoder.max_tokens)

    @classmethod
    def load(cls, folder: Path, batch_tokens: int = 8192) -> Answers:
        """A folder that `distil_answers` wrote, or any question answering model. Raises ModelError."""
        from transformers import AutoModelForQuestionAnswering

        model = read_model(folder, AutoModelForQuestionAnswering, "a question answerer")
        tokenizer = read_tokenizer(folder)
        return cls(model, tokenizer, most_tokens(model.config, tokenizer), batch_tokens)

    def windows(self, texts: Sequence[str]) -> list[Window]:
        """Questions with their contexts, as the network reads them."""
        return windows(self.tokenizer, texts, self.max_tokens)

    def forward(self, batch: Sequence[Window]) -> tuple[torch.Tensor, torch.Tensor]:
        """(b, t) float32 logits of beginning and of ending."""
        given: dict[str, Any] = {"input_ids": [w.tokens for w in batch]}
        if batch[0].segments is not None:
            given[SEGMENTS] = [w.segments for w in batch]
        padded = self.tokenizer.pad(given, return_tensors="pt").to(self.device)
        found = self.model(**padded)
        return found.start_logits.float(), found.end_logits.float()

    def predict(self, texts: Sequence[str]) -> Prediction:
        """The answers of n questions, and what the probability of each lacks to one."""
        found = self._read(texts)
        doubt = np.array([1 - choice.probability for _, choice in found], np.float32)
        return Prediction([value for value, _ in found], np.clip(doubt, 0, 1))

    def _read(self, texts: Sequence[str]) -> list[tuple[Value, Choice]]:
        every = self.windows(texts)
        scores = dict(self._scores(every))
        of_text: list[list[int]] = [[] for _ in texts]
        for i, window in enumerate(every):
            of_text[window.text].append(i)
        out = []
        for text, own in zip(texts, of_text, strict=True):
            places = {every[i].first + k: at for i in own for k, at in enumerate(every[i].places)}
            in_order = [places[k] for k in range(len(places))]
            choice = choose([scores[i] for i in own], len(in_order), may_be_none=self.may_be_none)
            out.append((as_value(choice, split(text)[1], in_order), choice))
        return out

    def _scores(self, every: Sequence[Window]) -> Iterator[tuple[int, Scores]]:
        """(place, scores) of each window, in batches of like length."""
        import torch

        self.model.eval()
        for batch in by_length([len(w.tokens) for w in every], self._budget):
            with torch.inference_mode():
                begins, ends = (found.cpu().numpy() for found in self.forward([every[i] for i in batch]))
            for row, i in enumerate(batch):
                own = every[i]
                starts, stops = begins[row] - begins[row, 0], ends[row] - ends[row, 0]
                yield i, Scores(own.first, starts[own.begins], stops[own.ends])

    def adds(self) -> dict[str, Kind]:
        """The answer, its characters in the context, and how sure it is; with no answer an empty one and no place."""
        found = {"answer": Kind.NAME, "start": Kind.WHOLE, "end": Kind.WHOLE, "confidence": Kind.NUMBER}
        return found | ({"p_no_answer": Kind.NUMBER} if self.may_be_none else {})

    def rows(self, texts: Sequence[str]) -> Iterator[list[Any]]:
        """What `adds` names, of each text."""
        for row in self.told(texts):
            yield list(row.values())

    def told(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """The same as JSON."""
        out = []
        for value, choice in self._read(texts):
            start, end, quote = value[0] if value else (None, None, "")
            told = {"answer": quote, "start": start, "end": end, "confidence": round(choice.probability, 6)}
            out.append(told | ({"p_no_answer": round(choice.none, 6)} if self.may_be_none else {}))
        return out

    def save(self, folder: Path) -> None:
        """Weights (safetensors), configuration and tokenizer. Raises OSError."""
        save_as_transformers(self.model, self.tokenizer, folder)


@dataclass(frozen=True)
class AnswerLessons:
    """Joined questions and contexts, the value of each (`agent.tasks.ExtractiveQa`), and (n,) float32 weights."""

    texts: Sequence[str]
    values: Sequence[Value]
    weights: Floats


def train(
    network: Answers,
    lessons: AnswerLessons,
    *,
    epochs: int,
    rate: float,
    seed: int,
    progress: Progress,
    manner: Manner = PLAIN,
    checkpoint: Checkpoint | None = None,
) -> list[float]:
    """Teach a network all answers, in place; the same arguments on one machine give the same weights.

    A window that does not hold the whole answer teaches that it has none. Returns the mean loss of each epoch: of a
    word where the answer begins or ends, in nats.
    """
    import torch

    every = [w for w in network.windows(lessons.texts) if network.may_be_none or lessons.values[w.text]]
    targets = np.array([_tokens_of_answer(w, lessons.values[w.text]) for w in every], np.int64).reshape(-1, 2)
    if not (targets.any() or (network.may_be_none and every)):
        raise ModelError("nothing to distil from: no answer stands where it is read")
    weights = lessons.weights[[w.text for w in every]]

    def loss_of(batch: list[int]) -> tuple[torch.Tensor, float]:
        logits = network.forward([every[i] for i in batch])
        wanted = torch.from_numpy(targets[batch]).to(network.device)
        count = torch.from_numpy(weights[batch]).to(network.device)
        each = sum(torch.nn.functional.cross_entropy(logits[k], wanted[:, k], reduction="none") for k in range(2))
        return (each * count).sum() / 2, float(count.sum())

    lengths = [len(w.tokens) for w in every]
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


def _tokens_of_answer(window: Window, value: Value) -> tuple[int, int]:
    """The tokens where the answer begins and ends; twice the first of all where it is not whole in the window."""
    words = words_of_answer(value, window.places)
    return (0, 0) if words is None else (window.begins[words[0]], window.ends[words[1]])


def distil_answers(
    lessons: AnswerLessons,
    columns: tuple[str, str],
    settings: DistilSettings,
    *,
    may_be_none: bool,
    encoder: Encoder,
    folder: Path,
    seed: int,
    facts: Mapping[str, Any] | None = None,
    progress: Progress = lambda done, total: None,
    note: Note = lambda said: None,
    pace: Pace = PACE,
) -> Answers:
    """Fine-tune `encoder` on answers and save a standard `transformers` folder with its card.

    Where a process is killed and another one is started it goes on, and ends with the same weights.

    Args:
        lessons: what is learnt.
        columns: what question and context are called.
        settings: epochs, and a learning rate, which counts `RATE_TIMES` here as for spans.
        may_be_none: whether there may be no answer; else those without one teach nothing.
        folder: replaced in one step; until then, and after any failure, the old one stands.
        facts: for the model card, see `agent.distill.card.Card`.
        progress: told (windows seen, windows to see).
        note: told that it goes on.
        pace: how often it is kept where it stands.

    Raises ModelError where the encoder cannot be used, nothing can be learnt, or the folder not be written.
    """
    began = time.monotonic()
    network = Answers.open(encoder, columns, seed, may_be_none=may_be_none)
    epochs = PASSES.over(len(lessons.texts), settings.epochs)
    rate = RATE_TIMES * settings.rate()
    what = [list(lessons.texts), list(lessons.values), list(columns), may_be_none, seed]
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
        "questions learnt from": len(lessons.texts),
        "loss of either end of an answer at the end, in nats": round(losses[-1], 4),
        "seconds": round(time.monotonic() - began, 1),
    }
    card = Card((), False, encoder.name, encoder.max_tokens, training, (), facts or {}, columns, quotes=True)
    save_with_card(network, card, folder)
    return network


def is_answerer(folder: Path) -> bool:
    """Whether a folder holds a question answering model."""
    return any(str(name).endswith(ARCHITECTURE) for name in saved_config(folder).get("architectures") or ())
