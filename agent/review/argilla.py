"""Items as Argilla 2 keeps a data set on disk: a folder with `records.json`, and settings in `.argilla/`.

`rg.Dataset.from_disk(folder)` makes the data set on a server; `rg.Record.from_dict` takes each record by itself, for
`dataset.records.log`. What machines said is the suggestion, what people said are responses. Argilla knows people by
UUIDs, so a name becomes one by its hash; the metadata `labelwright` keeps the names, and where everything comes from.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from agent.errors import DataError
from agent.job import Job
from agent.records import TextId
from agent.review.card import finite, plain
from agent.review.items import CANCELLED, EMPTY, Filled, Given, Item, is_written, moment, seconds_of, written_at
from agent.review.records import Record, encode, read_all, write_all, written
from agent.tasks import Task
from agent.tasks.pairs import parts

NAME, TEXT, OURS = "label", "text", "labelwright"
RECORDS, SETTINGS, DATASET = "records.json", ".argilla/settings.json", ".argilla/dataset.json"
SUBMITTED = "submitted"


class Argilla:
    """A folder as `rg.Dataset.to_disk` writes it. A file of records alone is read too."""

    def write(self, items: Iterator[Item], job: Job, task: Task, path: Path) -> int:
        """Write a record an item, and the data set's settings; returns how many."""
        try:
            (path / ".argilla").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{path}: cannot be written: {error.strerror}; name a folder to make") from None
        for name, content in ((SETTINGS, _settings(job, task)), (DATASET, _dataset(job))):
            with written(path / name) as file:
                json.dump(content, file, indent=1)
        return write_all(path / RECORDS, (_record(item, job, task) for item in items))

    def read(self, path: Path, task: Task, tally: Counter[str], people: Collection[str]) -> Iterator[Filled]:
        """The submitted responses of every record."""
        file = path / RECORDS if path.is_dir() else path
        # where somebody was known by the UUID alone at first, the name is what counts
        known = {user_id(name): name for name in sorted(people, key=lambda name: user_id(name) != name)}
        for record in read_all(file):
            yield from _Responses(file, record, task, known).filled(tally)


@lru_cache(maxsize=1000)  # as many people as label at once
def user_id(name: str) -> str:
    """The UUID of a person: of a name its hash, of a UUID (a user of an Argilla server) itself."""
    try:
        return str(uuid.UUID(name))
    except ValueError:
        digest = hashlib.sha256(b"labelwright person\0" + name.encode("utf-8", "surrogatepass")).digest()
        return str(uuid.UUID(bytes=digest[:16], version=5))


# Out -------------------------------------------------------------------------------------------------------------


def _record(item: Item, job: Job, task: Task) -> dict[str, Any]:
    machine = item.machines[-1] if item.machines else None
    people = {user_id(g.label.by): _person(g, task) for g in item.people}
    ours = {"job": job.name, **item.provenance(), "people": people}
    told = {} if item.blind else {"round": item.round, "slice": item.slice or None, "reason": item.reason or None}
    suggestion = {}
    if machine is not None:
        suggestion = {
            NAME: {"value": plain(machine.value, task), "score": finite(machine.confidence), "agent": machine.by}
        }
    responses = [
        {"value": plain(g.label.value, task), "user_id": user_id(g.label.by), "status": SUBMITTED}
        for g in item.people
    ]
    return {
        "id": item.text_id,
        "fields": {part.key: part.text for part in parts(task, item.text)},
        "metadata": {**{k: v for k, v in told.items() if v is not None}, OURS: encode(ours)},
        "suggestions": suggestion,
        "responses": {NAME: responses} if responses else {},
        "vectors": {},
        "_server_id": None,
    }


def _person(given: Given, task: Task) -> dict[str, Any]:
    """Who gave a label, and when, for as long as it stays the same."""
    label = given.label
    return {"name": label.by, "value": task.show(label.value), "seconds": given.seconds, "at": written_at(label)}


def _settings(job: Job, task: Task) -> dict[str, Any]:
    """A data set's settings, as `rg.Settings.from_json` takes them."""
    if is_written(task):
        asked: dict[str, Any] = {"type": "text", "use_markdown": False}
    else:
        told = job.task.labels
        options = [{"value": n, "text": n, "description": told.get(n) or None} for n in task.names]
        kind = "multi_label_selection" if task.widget == "multiple" else "label_selection"
        asked = {"type": kind, "options": options}
    required = task.widget != "multiple"  # no label is a label too
    fields = parts(task, "")
    titles = ["Text"] if len(fields) == 1 else [part.name for part in fields]
    return {
        "guidelines": job.task.guidelines or None,
        "questions": [_named(NAME, "Label", required=required, settings=asked)],
        "fields": [
            _named(part.key, title, required=True, settings={"type": "text", "use_markdown": False})
            for part, title in zip(fields, titles, strict=True)
        ],
        "vectors": [],
        "metadata": [
            _shown("round", {"type": "integer", "min": None, "max": None}, everybody=True),
            _shown("slice", {"type": "terms", "values": None}, everybody=True),
            _shown("reason", {"type": "terms", "values": None}, everybody=True),
            _shown(OURS, {"type": "terms", "values": None}, everybody=False),
        ],
        "allow_extra_metadata": True,
    }


def _named(name: str, title: str, **more: Any) -> dict[str, Any]:
    return {"id": None, "name": name, "title": title, **more}


def _shown(name: str, settings: Mapping[str, Any], *, everybody: bool) -> dict[str, Any]:
    return _named(name, name, settings=dict(settings), visible_for_annotators=everybody)


def _dataset(job: Job) -> dict[str, Any]:
    return {
        "id": None,
        "name": job.name,
        "guidelines": job.task.guidelines or None,
        "allow_extra_metadata": True,
        "status": "draft",
    }


# In --------------------------------------------------------------------------------------------------------------


class _Responses:
    """One record of a data set."""

    def __init__(self, path: Path, record: Record, task: Task, known: Mapping[str, str]) -> None:
        self._path, self._record, self._task, self._known = path, record, task, known

    def filled(self, tally: Counter[str]) -> Iterator[Filled]:
        content = self._record.content
        text_id = content.get("id")
        if not isinstance(text_id, str | int) or isinstance(text_id, bool):
            raise self._wrong("id", "no id of a text")
        by_question = self._object("responses")
        responses = by_question.get(NAME) or []
        if not isinstance(responses, list) or not all(isinstance(r, dict) for r in responses):
            raise self._wrong(f"responses.{NAME}", "a list of objects was expected")
        if by_question and NAME not in by_question:
            raise self._wrong("responses", f"no question `{NAME}`; it has {', '.join(sorted(by_question))[:200]}")
        ours = self._ours()
        tally[EMPTY] += not responses
        for number, response in enumerate(responses):
            if response.get("status", SUBMITTED) not in (SUBMITTED, None):
                tally[CANCELLED] += 1  # discarded, or a draft
                continue
            yield self._response(TextId(str(text_id)), response, ours, f"responses.{NAME}[{number}]")

    def _response(self, text_id: TextId, response: Mapping[str, Any], ours: Mapping[str, Any], key: str) -> Filled:
        answer, who = response.get("value"), response.get("user_id")
        names = [answer] if isinstance(answer, str) else answer
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise self._wrong(f"{key}.value", "no label in it")
        if self._task.widget != "multiple" and len(names) != 1:
            raise self._wrong(f"{key}.value", f"{len(names)} labels, and a text has one")
        if who is not None and not isinstance(who, str):
            raise self._wrong(f"{key}.user_id", f"no user: {str(who)[:80]!r}")
        place = f"{self._record.place}, {key}"
        said = names if self._task.widget == "multiple" else str(names[0])
        before = ours.get(who or "")
        if not isinstance(before, dict):
            return Filled(place, text_id, said, self._known.get(who, who) if who else None)
        name = before.get("name")
        person = name if isinstance(name, str) else who
        if not self._is_same(said, before.get("value")):
            return Filled(place, text_id, said, person)
        at = moment(before.get("at"), f"{self._path}:{place}")
        return Filled(place, text_id, said, person, seconds_of(before.get("seconds")), at)

    def _is_same(self, answer: str | list[str], shown: object) -> bool:
        """Whether a response is what it was when it left: then its time holds."""
        try:
            return self._task.show(self._task.read(answer)) == shown
        except ValueError:
            return False

    def _ours(self) -> Mapping[str, Any]:
        """Who was whom when the record left; nothing where that was lost or changed."""
        kept = self._object("metadata").get(OURS)
        try:
            people = json.loads(kept)["people"] if isinstance(kept, str) else {}
        except (ValueError, KeyError, TypeError):
            return {}
        return people if isinstance(people, dict) else {}

    def _object(self, key: str) -> dict[str, Any]:
        found = self._record.content.get(key) or {}
        if not isinstance(found, dict):
            raise self._wrong(key, "an object was expected")
        return found

    def _wrong(self, key: str, said: str) -> DataError:
        return DataError(f"{self._path}:{self._record.place}, {key}: {said}")
