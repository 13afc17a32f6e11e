"""SQuAD's own files (v1.1 and v2.0): articles of paragraphs of questions, read as rows of a question and its context.

A row has the columns `id`, `title`, `question`, `context`, `is_impossible`, and its answers as `answers` and as
`label`, each {"text", "answer_start"}; a question that cannot be answered has none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from agent.errors import DataError
from agent.pool.batch import Batch, Columns, check_columns
from agent.pool.lines import ROWS_AT_ONCE

NAMES = ("id", "title", "question", "context", "is_impossible", "answers", "label")


def read_squad(path: Path, columns: Columns) -> Iterator[Batch]:
    """Rows of a file, which is in memory as a whole. Raises DataError where it is none of SQuAD's."""
    check_columns(path.name, columns, NAMES)
    start = 1
    every = _rows(path)
    while rows := list(islice(every, ROWS_AT_ONCE)):
        cells = {key: [row[name] for row in rows] for key, name in columns.items()}
        yield Batch(cells, path.name, range(start, start + len(rows)), by_line=False)
        start += len(rows)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path.name}: not JSON in UTF-8 ({error}); one object a line is .jsonl") from None
    if not isinstance(found, dict) or not isinstance(found.get("data"), list):
        raise DataError(
            f"{path.name}: no `data` as SQuAD's files have; a .json file is read as one of those, rows are .jsonl"
        )
    for at, article in _each(found, "data", path.name):
        for inside, paragraph in _each(article, "paragraphs", at):
            for place, asked in _each(paragraph, "qas", inside):
                yield _row(article, paragraph, asked, place)


def _row(article: dict[str, Any], paragraph: dict[str, Any], asked: dict[str, Any], place: str) -> dict[str, Any]:
    missing = [name for name, there in (("context", paragraph), ("question", asked)) if name not in there]
    if missing:
        raise DataError(f"{place}: has no `{missing[0]}`, as SQuAD's files have")
    answers = [] if asked.get("is_impossible") else asked.get("answers", [])
    return {
        "id": asked.get("id", ""),
        "title": article.get("title", ""),
        "question": asked["question"],
        "context": paragraph["context"],
        "is_impossible": bool(asked.get("is_impossible")),
        "answers": answers,
        "label": answers,
    }


def _each(holder: dict[str, Any], name: str, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """What a list holds, each with its place as a message names it. Raises DataError where there is no such list."""
    listed = holder.get(name)
    if not isinstance(listed, list):
        raise DataError(f"{place}: `{name}` is no list, as SQuAD's files have")
    for number, item in enumerate(listed):
        at = f"{place}: {name}[{number}]" if name == "data" else f"{place}.{name}[{number}]"
        if not isinstance(item, dict):
            raise DataError(f"{at}: no object, as SQuAD's files have")
        yield at, item
