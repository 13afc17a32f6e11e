"""A job's labels as files, each with where it came from, one row for every row of the pool."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from agent.errors import DataError
from agent.opinions import beside_triage, named, opinions
from agent.records import Label, Route, Source, TextId
from agent.report.card import Count, card
from agent.report.gather import standing
from agent.report.sums import as_json, known
from agent.report.writers import CHAT, CONLL, OF_ONE_KIND, SQUAD, TOLD, WRITERS, Batch, Row, Writer, schema
from agent.selection.reasons import in_words
from agent.store import IN_BULK, PickRow, RouteRow, Store
from agent.tasks import ExtractiveQa, Generation, Spans, Task
from agent.tasks.pairs import parts

FORMATS = tuple(name for name in WRITERS if name not in OF_ONE_KIND)
BATCH_ROWS, BATCH_CHARACTERS = 10_000, 8_000_000


class PoolRow(NamedTuple):
    """One row of the person's own file: the id it had there, its text, the id of that, and what the student says of
    it where nobody else was asked, with whether that is accepted."""

    id: object
    text: str
    text_id: TextId
    guess: Label | None = None
    accepted: bool = False


def export(  # noqa: PLR0917 - where from, what, where to
    store: Store,
    job: str,
    task: Task,
    pool_rows: Iterable[PoolRow],
    folder: Path,
    formats: Sequence[str] = FORMATS,
    *,
    all_rows: bool = False,
    guidelines: str = "",
    hide_people: bool = False,
) -> list[Path]:
    """Write a job's labels and a data card; returns the paths. What is not labelled is left out, or has no label.

    Rows come in the order of the pool, and every copy of a text has its label: `duplicate_of` names the first, and
    only the first has the cost, so that `cost_dollars` adds up. Memory holds the labels, never the pool. Done again
    with the same store, the bytes are the same.

    Args:
        pool_rows: every row of the pool, copies too.
        formats: of `parquet`, `csv`, `jsonl`, `datasets`, and for spans `conll`, for questions `squad`, for texts
            `chat`.
        all_rows: also rows without a label.
        guidelines: what the first turn of each conversation of `chat` says.
        hide_people: those who gave labels are `person 1`, `person 2` and so on.

    Raises:
        DataError: an unknown format, or a folder that cannot be written.
    """
    _check(formats, task)
    kept = _Kept.read(store, job, task, hide_people=hide_people)
    writers: list[Writer] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        columns = schema(task.names, task.widget == "multiple", [part.key for part in parts(task, "")])
        tally = Count(formats, columns)
        for name in dict.fromkeys(formats):
            told = columns.with_metadata({TOLD: guidelines.encode("utf-8")}) if name == CHAT else columns
            writers.append(WRITERS[name](folder, told))
        for rows in _batches(kept.rows(pool_rows, all_rows)):
            tally.add(rows)
            batch = Batch(rows, columns)
            for writer in writers:
                writer.write(batch)
        for writer in writers:
            writer.finish()
        (folder / "README.md").write_text(card(store, job, task, tally), encoding="utf-8")
    except OSError as error:
        _discard(writers)
        raise DataError(
            f"cannot write labels to {folder}: {error.strerror or error}; make room, or choose another folder"
        ) from None
    except BaseException:
        _discard(writers)
        raise
    return [*(w.path for w in writers), folder / "README.md"]


def formats_of(task: Task) -> tuple[str, ...]:
    """The formats that labels of a task can be written in."""
    own = [
        name for kind, name in ((Spans, CONLL), (ExtractiveQa, SQUAD), (Generation, CHAT)) if isinstance(task, kind)
    ]
    return (*FORMATS, *own)


def _check(formats: Sequence[str], task: Task) -> None:
    known = formats_of(task)
    for name in formats:
        if name in OF_ONE_KIND and name not in known:
            raise DataError(f"format {name!r}: it holds {OF_ONE_KIND[name]}, and labels of {task.kind} are none")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise DataError(f"unknown format {name!r}; {hint}")
    if not formats:
        raise DataError(f"no format to export to; known: {', '.join(known)}")


def _discard(writers: Iterable[Writer]) -> None:
    for writer in writers:
        writer.discard()


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Batches of bounded size, in rows and in characters: a text may be a megabyte."""
    batch: list[Row] = []
    characters = 0
    for row in rows:
        batch.append(row)
        characters += len(row["text"])
        if len(batch) >= BATCH_ROWS or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


@dataclass(frozen=True)
class _Kept:
    """What the store holds of every label, and which texts have been written already."""

    task: Task
    current: Mapping[TextId, Label]
    posterior: Mapping[TextId, Mapping[str, float]]
    picks: Mapping[TextId, PickRow]
    routes: Mapping[TextId, RouteRow]
    drawn: Set[TextId]  # people see them only because an audit drew them
    called: Mapping[str, str]  # what people are called where their names are not shown
    first: dict[TextId, str] = field(default_factory=dict)

    @classmethod
    def read(cls, store: Store, job: str, task: Task, *, hide_people: bool) -> _Kept:
        row = store.job(job)  # says so where there is none
        said = opinions(store, job, task, named(row.settings.get("oracle", ())))
        current = {**store.current(job), **said.counts}
        picks, routes = {p.text_id: p for p in store.picks(job)}, store.routes(job)
        called = _called(current, routes) if hide_people else {}
        return cls(task, current, said.posterior, picks, routes, beside_triage(store.audited(job), routes), called)

    def rows(self, pool_rows: Iterable[PoolRow], all_rows: bool) -> Iterator[Row]:
        """One row for every row of the pool that has a label, or for all."""
        for row in pool_rows:
            label = self.current.get(row.text_id, row.guess)
            if label is not None or all_rows:
                yield self._row(row, label)

    def _row(self, row: PoolRow, label: Label | None) -> Row:
        original, text, text_id = _valid(str(row.id)), _valid(row.text), row.text_id
        pick, route = self.picks.get(text_id), self.routes.get(text_id)
        first = self.first.get(text_id)
        if label is not None and first is None:
            self.first[text_id] = original  # only texts with a label are remembered: those are few, the pool is not
        return {
            "id": original,
            **{part.key: part.text for part in parts(self.task, text)},
            "label": None if label is None else self._value(label),
            "source": label and label.source.value,
            "by": label and self._by(label),
            "confidence": label and known(label.confidence),
            "lost_mass": known(label.lost_mass) if label is not None and label.source is Source.ORACLE else None,
            "probabilities": label and self._probabilities(label.probabilities),
            "posterior": label and self._probabilities(self.posterior.get(text_id)),
            "cost_dollars": None if label is None else label.cost / 1e6 if first is None else 0.0,
            "prompt_hash": label and (label.prompt_hash or None),
            "round": pick and pick.round,
            "slice": pick and pick.slice,
            "inclusion_probability": pick and pick.probability,
            "score": pick and known(pick.score),
            "because": None if pick is None else _valid(in_words(pick.slice, pick.why, pick.probability)),
            "why": None if pick is None else _why(pick),
            "route": self._standing(row, label, route),
            "review_probability": None if route is None or text_id in self.drawn else route.probability,
            "created_at": label and label.created_at,
            "text_id": text_id,
            "duplicate_of": first,
        }

    def _standing(self, row: PoolRow, label: Label | None, route: RouteRow | None) -> str | None:
        if label is None:
            return _waits(route)
        if label is row.guess:
            return "accepted" if row.accepted else "unsure"
        stands = standing(label, route)
        if stands == "accepted" and route is not None and route.reason.startswith(IN_BULK):
            name = route.reason.removeprefix(IN_BULK)
            return _valid(IN_BULK + self.called.get(name, name))
        return stands

    def _by(self, label: Label) -> str:
        return self.called.get(label.by, label.by) if label.source is Source.PERSON else label.by

    def _value(self, label: Label) -> Any:
        return list(label.value) if self.task.widget == "multiple" else self.task.show(label.value)

    def _probabilities(self, told: Mapping[str, float] | None) -> dict[str, float | None] | None:
        """The probability of every class in the job's order; None where there are none."""
        return {n: known(told.get(n)) for n in self.task.names or told} if told else None


def _called(current: Mapping[TextId, Label], routes: Mapping[TextId, RouteRow]) -> dict[str, str]:
    """A number in place of each person's name."""
    names = {label.by for label in current.values() if label.source is Source.PERSON}
    names |= {r.reason.removeprefix(IN_BULK) for r in routes.values() if r.reason.startswith(IN_BULK)}
    return {name: f"person {number}" for number, name in enumerate(sorted(names), 1)}


def _why(pick: PickRow) -> str:
    """What selection noted of its choice, as JSON; a number that JSON cannot hold is null."""
    return _valid(json.dumps(as_json(pick.why), ensure_ascii=False, allow_nan=False))


def _waits(route: RouteRow | None) -> str | None:
    return "waiting" if route is not None and route.route is not Route.ACCEPTED else None


def _valid(text: str) -> str:
    """Text that UTF-8 can hold: half surrogates, which no file can, become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")
