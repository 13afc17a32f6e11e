"""The rivals of `evals.training_speed`: `transformers.Trainer` and `pipeline` as they come.

`DataCollatorWithPadding`, which `Trainer` takes by itself, pads every batch of random texts to its longest one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Plain:
    """How the rival trains.

    Attributes:
        batch: texts a step; 8 is what `TrainingArguments` says.
        bf16: mixed precision, which `TrainingArguments` leaves off.
    """

    batch: int = 8
    bf16: bool = False

    @property
    def name(self) -> str:
        return f"Trainer, {self.batch} texts a batch" + (", bf16" if self.bf16 else "")


@dataclass(frozen=True)
class Part:
    """Texts and the class of each, of `names`."""

    names: tuple[str, ...]
    texts: list[str]
    labels: list[int]


@dataclass(frozen=True)
class Course:
    """A rival's way, the tokens at which a text is cut, passes over the texts, and the seed."""

    plain: Plain
    most: int
    epochs: int
    seed: int


class Rows:
    """Tokens and labels as `Trainer` takes them."""

    def __init__(self, tokens: dict[str, Any], labels: Sequence[int]) -> None:
        self._tokens, self._labels = tokens, labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {name: values[i] for name, values in self._tokens.items()} | {"labels": self._labels[i]}


def train(encoder: Path, known: Part, course: Course, folder: Path) -> None:
    """Train a classifier of these texts into `folder`."""
    import torch
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        PrinterCallback,
        Trainer,
        TrainingArguments,
    )
    from transformers.utils import logging

    torch.manual_seed(course.seed)
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    tokenizer.model_max_length = course.most
    named = {"id2label": dict(enumerate(known.names)), "label2id": {n: i for i, n in enumerate(known.names)}}
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    model = AutoModelForSequenceClassification.from_pretrained(encoder, num_labels=len(known.names), **named)
    rows = Rows(dict(tokenizer(known.texts, truncation=True)), known.labels)
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=course.epochs,
        per_device_train_batch_size=course.plain.batch,
        bf16=course.plain.bf16,
        use_cpu=not torch.cuda.is_available(),
        seed=course.seed,
        save_strategy="no",
        report_to="none",
        logging_strategy="no",
        disable_tqdm=True,
    )
    trainer = Trainer(model, arguments, train_dataset=rows, processing_class=tokenizer)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trainer.save_model(str(folder))


def labeller(folder: Path) -> Callable[[Sequence[str]], list[str]]:
    """What labels texts as `pipeline` does, 32 at a time."""
    import torch
    from transformers import pipeline

    device = "cuda" if torch.cuda.is_available() else "cpu"
    say = pipeline("text-classification", model=str(folder), device=device, batch_size=32, truncation=True)
    return lambda texts: [row["label"] for row in say(list(texts))]
