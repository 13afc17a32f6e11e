"""Recorded answers: a real model's real answers, replayed through the same code path and the same ledger.

A tape is a gzip file of JSON lines: a header, then one line an answer, keyed by the question's hash. It holds no text
and no prompt, so it may be published where the texts may not.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import TapeError, TapeMiss
from agent.oracle.prompt import AnswerMode
from agent.records import Answer, Question, TokenChoice, Usage

FORMAT = "labelwright-tape"
VERSION = 1


@dataclass(frozen=True, slots=True)
class TapeHeader:
    """What every answer of a tape has in common."""

    model: str
    mode: AnswerMode
    temperature: float = 0.0
    note: str = ""


def write_tape(path: Path, header: TapeHeader, answers: Iterable[tuple[str, Answer]]) -> int:
    """Write answers sorted by key, so that the same answers give the same bytes. Returns how many there are."""
    lines = [json.dumps({"format": FORMAT, "version": VERSION} | _header(header), sort_keys=True)]
    found = dict(answers)
    lines += [json.dumps({"key": key} | _packed(found[key]), ensure_ascii=False) for key in sorted(found)]
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0, compresslevel=9) as out:
        out.write(("\n".join(lines) + "\n").encode())
    temporary = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(buffer.getvalue())
        temporary.replace(path)
    except OSError as error:
        raise TapeError(f"{path}: cannot write the tape: {error.strerror}") from None
    return len(found)


def read_tape(path: Path) -> tuple[TapeHeader, dict[str, Answer]]:
    """Raises TapeError where the file is missing, broken or from a newer version."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            head = json.loads(next(file, "null"))
            if not isinstance(head, dict) or head.get("format") != FORMAT:
                raise TapeError(f"{path}:1: not a tape; `labelwright record job.yaml` makes one")
            if head.get("version", 0) > VERSION:
                raise TapeError(f"{path}: written by a newer Labelwright (tape version {head['version']}); upgrade")
            answers = {}
            for line in file:
                row = json.loads(line)
                answers[row["key"]] = _unpacked(row, head["model"])
    except FileNotFoundError:
        raise TapeError(f"{path}: no such tape; `labelwright record job.yaml` makes one") from None
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise TapeError(f"{path}: cannot be read as a tape: {error}") from None
    header = TapeHeader(head["model"], head["mode"], head.get("temperature", 0.0), head.get("note", ""))
    return header, answers


class TapeOracle:
    """An oracle that answers from a tape. It is metered like any other: what was bought then is charged again."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path
        self.header, self._answers = read_tape(path)
        self.model, self.mode = self.header.model, self.header.mode
        self.endpoint = f"tape:{path.name}"
        self.logprobs = True

    def __len__(self) -> int:
        return len(self._answers)

    def __contains__(self, key: str) -> bool:
        return key in self._answers

    async def ask(self, question: Question, request_id: str = "") -> Answer:
        try:
            return self._answers[question.key]
        except KeyError:
            raise TapeMiss(
                f"{self.path}: no recorded answer for text {question.text_id} (question {question.key[:12]}). A tape "
                "answers only what it was recorded with: the same text, labels, guidelines, prompt, examples "
                f"and model ({self.model}). Record what is missing with `labelwright record`, or use a live base_url"
            ) from None

    async def close(self) -> None:
        """Nothing to close."""


def _header(header: TapeHeader) -> dict[str, Any]:
    return {"model": header.model, "mode": header.mode, "temperature": header.temperature, "note": header.note}


def _packed(answer: Answer) -> dict[str, Any]:
    usage = answer.usage
    tokens = [[t.token, round(t.logprob, 4), [[a, round(p, 4)] for a, p in t.top]] for t in answer.tokens]
    return {
        "content": answer.content,
        "finish": answer.finish_reason,
        "usage": [usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens] if usage else None,
        "tokens": tokens,
    }


def _unpacked(row: Mapping[str, Any], model: str) -> Answer:
    tokens = tuple(TokenChoice(t, p, tuple((a, q) for a, q in top)) for t, p, top in row["tokens"])
    usage = Usage(*row["usage"]) if row["usage"] else None
    return Answer(row["content"], model, usage, tokens, row["finish"])
