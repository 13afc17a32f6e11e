"""Gold and seed files: texts with the labels that somebody gave them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from agent.errors import DataError
from agent.images import Images
from agent.job import DataSettings
from agent.pool.batch import SECOND, Batch, text_columns, whole_text
from agent.pool.distinct import digest
from agent.pool.pool import Pool
from agent.pool.reader import find
from agent.records import Text, TextId, Value
from agent.tasks import Task

SHOWN = 20


def read_labelled(
    path: str | Path,
    data: DataSettings,
    task: Task,
    *,
    key: str = "data.gold",
    pool: Pool | None = None,
    images: Images | None = None,
) -> list[tuple[Text, Value]]:
    """Every row of a labelled file, in order.

    A text's id is the hash of its content and its row -1; where `pool` holds the very same text, both are the pool's.
    The id column is not read: a gold file numbers its rows as it likes, and 17 there need not be 17 in the pool.

    Args:
        path: of a file or folder of the kinds a pool can be.
        key: the setting that named it, for messages.
        images: where the pictures are, of texts that have some.

    Raises DataError: as reading a pool does; and once for all rows whose text or label is no good.
    """
    source = find(Path(path), key, data.split)
    found: list[tuple[Text, Value]] = []
    problems: list[str] = []
    for batch in source.read(text_columns(data) | {"data.label": data.label}):
        for i in range(len(batch)):
            try:
                found.append(_row(batch, i, task, images))
            except DataError as error:
                problems.append(str(error))
    if problems:
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        total = len(problems) + len(found)
        head = f"{source.name}: {len(problems)} of its {total} rows are no good; mend or remove them (`{key}`)"
        raise DataError("\n".join([head, *problems[:SHOWN], *more]))
    if not found:
        raise DataError(f"{source.name}: a header and no rows (`{key}`)")
    return list(_placed(found, pool)) if pool else found


def _row(batch: Batch, i: int, task: Task, images: Images | None) -> tuple[Text, Value]:
    text = whole_text(batch, i, images)
    if not text.strip():
        empty = "a text" if SECOND in batch.cells else "the text" if images is None else "the name of the picture"
        raise DataError(f"{batch.place(i)}: {empty} is empty")
    known = Text(TextId(digest(text).hex()), text)
    try:
        return known, task.read(batch.cells["data.label"][i], known)
    except ValueError as error:
        raise DataError(f"{batch.place(i)}: {error}") from None


def _placed(found: list[tuple[Text, Value]], pool: Pool) -> Iterator[tuple[Text, Value]]:
    """The pool's own texts in place of those that it holds too."""
    rows = pool.find([text.text for text, _ in found])
    known = iter(pool.texts(rows[rows >= 0]))
    for (text, value), inside in zip(found, np.asarray(rows >= 0).tolist(), strict=True):
        yield (next(known) if inside else text), value
