"""Real data of every kind of task, as rows of a job's files: what is given, and the label as a gold file has it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow.parquet as pq

from evals._corpora import DATA

MOST_CHARS, MOST_OF_A_SENTENCE = 1200, 160
"""Of a text, so that a small server on a processor has answered within minutes."""


@dataclass(frozen=True)
class Row:
    """One text: its columns, and its label as a gold file has it."""

    given: dict[str, str]
    label: Any


@dataclass(frozen=True)
class TaskSet:
    """A task on one set.

    Attributes:
        task: the section of the job file.
        columns: of the text, one or two.
        read: a row of the set's file to one here; None leaves it out.
        more: other sections of the job.
    """

    name: str
    task: dict[str, Any]
    columns: tuple[str, ...]
    read: Callable[[dict[str, Any]], Row | None]
    more: dict[str, Any] = field(default_factory=dict)

    def rows(self) -> list[Row]:
        """Of the training part, in the file's order, each text once."""
        found: dict[tuple[str, ...], Row] = {}
        for raw in pq.read_table(DATA / self.name / "train.parquet").to_pylist():
            row = self.read(raw)
            if row is not None:
                found.setdefault(tuple(row.given.values()), row)
        return list(found.values())


def names(folder: str) -> list[str]:
    """The set's classes, as its own file lists them."""
    return list(json.loads((DATA / folder / "labels.json").read_text(encoding="utf-8")))


def _one(raw: dict[str, Any]) -> Row | None:
    return Row({"text": raw["text"]}, raw["label"])


def _several(raw: dict[str, Any]) -> Row | None:
    return Row({"text": raw["text"]}, list(raw["labels"]))


def _tagged(raw: dict[str, Any]) -> Row | None:
    """Texts without a span are left out: of forty, most would have none."""
    tags = list(raw["tags"])
    return Row({"text": raw["text"]}, tags) if any(t != "O" for t in tags) else None


def _pair(raw: dict[str, Any]) -> Row | None:
    return Row({"premise": raw["text_a"], "hypothesis": raw["text_b"]}, raw["label"])


def _question(raw: dict[str, Any]) -> Row | None:
    if len(raw["context"]) > MOST_CHARS:
        return None
    answer = {"text": raw["answers"][0], "answer_start": raw["answer_starts"][0]}
    return Row({"question": raw["question"], "context": raw["context"]}, answer)


def _translated(raw: dict[str, Any]) -> Row | None:
    if raw["target_lang"] != "deu" or len(raw["source"]) > MOST_OF_A_SENTENCE:
        return None
    return Row({"text": raw["source"]}, raw["target"])


def _summarised(raw: dict[str, Any]) -> Row | None:
    return None if len(raw["text"]) > MOST_CHARS else Row({"text": raw["text"]}, list(raw["all_summaries"]))


def _writes(guidelines: str, most: int, right_at: float) -> dict[str, Any]:
    return {"kind": "generation", "guidelines": guidelines, "max_answer_tokens": most, "right_at": right_at}


def _classes(kind: str, folder: str) -> dict[str, Any]:
    return {"kind": kind, "labels": names(folder)}


def sets() -> dict[str, TaskSet]:
    """By name. Raises FileNotFoundError where the data is not on this machine."""
    pairs = {
        "kind": "pairs",
        "labels": {
            "entailment": "the hypothesis must be true where the premise is",
            "neutral": "the hypothesis may be false though the premise is true",
        },
    }
    found = (
        TaskSet("uci_sentiment", _classes("classification", "uci_sentiment"), ("text",), _one),
        TaskSet("goemotions", _classes("multilabel", "goemotions"), ("text",), _several),
        TaskSet("nlupp", _classes("multilabel", "nlupp"), ("text",), _several),
        TaskSet("wnut17", _classes("spans", "wnut17"), ("text",), _tagged),
        TaskSet("bc5cdr", _classes("spans", "bc5cdr"), ("text",), _tagged),
        TaskSet("med_nli", pairs, ("premise", "hypothesis"), _pair),
        TaskSet("xquad_en", {"kind": "extractive_qa"}, ("question", "context"), _question),
        TaskSet("ntrex", _writes("Translate the sentence into German.", 96, 0.5), ("text",), _translated),
        TaskSet("scitldr", _writes("Say in one sentence what is new in it.", 64, 0.4), ("text",), _summarised),
    )
    return {s.name: s for s in found}
