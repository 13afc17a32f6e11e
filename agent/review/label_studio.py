"""Items as Label Studio takes and gives them: JSON tasks, and the labelling configuration beside them.

A task's `data` has `text` (of a pair `text` and `second`), and the text's id twice: as `id`, and as `text_id`, since
Label Studio's short export (JSON-MIN) writes its own number over `id`. What machines said are `predictions`, what
people said `annotations`; where both come from is in `meta`. Read are both of Label Studio's JSON exports.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from agent.errors import DataError
from agent.job import Job
from agent.records import TextId, Value
from agent.review.card import finite, plain
from agent.review.items import CANCELLED, EMPTY, Filled, Given, Item, is_written, moment, seconds_of, written_at
from agent.review.records import Record, read_all, write_all, written
from agent.tasks import Task
from agent.tasks.pairs import parts

NAME, TEXT = "label", "text"  # of the control and of what it is about
NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class LabelStudio:
    """A JSON file of tasks; `.xml` beside it is the labelling configuration of a project for them."""

    def write(self, items: Iterator[Item], job: Job, task: Task, path: Path) -> int:
        """Write a task an item; returns how many."""
        config = configuration(job, task)
        count = write_all(path, (_task(item, job, task) for item in items))
        with written(config_path(path)) as file:
            file.write(config)
        return count

    def read(self, path: Path, task: Task, tally: Counter[str], people: Collection[str]) -> Iterator[Filled]:
        """The newest annotation of every person of every task."""
        for record in read_all(path):
            yield from _Export(path, record, task, tally).filled()


def config_path(path: Path) -> Path:
    """Where the labelling configuration of a file of tasks is."""
    return path.with_suffix(".xml")


def configuration(job: Job, task: Task) -> str:
    """A project's labelling configuration. Raises DataError for a label that XML cannot hold."""
    lines = ["<View>", *_texts(task)]
    if is_written(task):
        lines.append(f'  <TextArea name="{NAME}" toName="{TEXT}" maxSubmissions="1" editable="true"/>')
    else:
        choice = "multiple" if task.widget == "multiple" else "single"
        required = "false" if task.widget == "multiple" else "true"
        lines.append(f'  <Choices name="{NAME}" toName="{TEXT}" choice="{choice}" required="{required}">')
        for name in task.names:
            if NO_XML.search(name):
                raise DataError(f"label {name!r} has a character that XML cannot hold: rename it for Label Studio")
            hint = NO_XML.sub("", job.task.labels.get(name) or "")
            said = f" hint={quoteattr(hint)}" if hint else ""
            lines.append(f"    <Choice value={quoteattr(name)}{said}/>")
        lines.append("  </Choices>")
    return "\n".join([*lines, "</View>", ""])


def _texts(task: Task) -> Iterator[str]:
    """What is labelled: a text, or both of a pair, each below its name."""
    shown = parts(task, "")
    for part in shown:
        if len(shown) > 1:
            yield f"  <Header value={quoteattr(NO_XML.sub('', part.name))}/>"
        yield f'  <Text name="{part.key}" value="${part.key}"/>'


# Out -------------------------------------------------------------------------------------------------------------


def _task(item: Item, job: Job, task: Task) -> dict[str, Any]:
    return {
        "data": {"id": item.text_id, "text_id": item.text_id, **{p.key: p.text for p in parts(task, item.text)}},
        "predictions": [_prediction(x.value, x.by, x.confidence, task) for x in item.machines],
        "annotations": [_annotation(given, task) for given in item.people],
        "meta": {"job": job.name, **item.provenance()},
    }


def _prediction(value: Value, by: str, confidence: float | None, task: Task) -> dict[str, Any]:
    sure = finite(confidence)
    scored = {} if sure is None else {"score": sure}
    return {"model_version": by, "result": _result(value, task), **scored}


def _annotation(given: Given, task: Task) -> dict[str, Any]:
    return {
        "result": _result(given.label.value, task),
        "completed_by": {"email": given.label.by},
        "lead_time": given.seconds or None,
        "created_at": written_at(given.label),
        "was_cancelled": False,
        "ground_truth": False,
    }


def _result(value: Value, task: Task) -> list[dict[str, Any]]:
    said = plain(value, task)
    if is_written(task):
        kind, held = "textarea", {"text": [said]}
    else:
        kind, held = "choices", {"choices": said if isinstance(said, list) else [said]}
    if task.widget == "multiple" and not said:
        return []  # no choice is made: that is a label too
    return [{"id": NAME, "from_name": NAME, "to_name": TEXT, "type": kind, "value": held}]


# In --------------------------------------------------------------------------------------------------------------


class _Export:
    """One record of an export: a task with its annotations, or in the short form one annotation."""

    def __init__(self, path: Path, record: Record, task: Task, tally: Counter[str]) -> None:
        self._path, self._record, self._task, self._tally = path, record, task, tally

    def filled(self) -> Iterator[Filled]:
        content = self._record.content
        if "data" not in content:
            if not {"annotator", "annotation_id", "lead_time"} & content.keys():
                raise self._wrong("", f"no key `data`; it has {', '.join(sorted(content))[:200] or 'none'}")
            yield from self._short(content)
            return
        text_id = self._id(content["data"], "data")
        annotations = content.get("annotations", content.get("completions")) or []
        if not isinstance(annotations, list):
            raise self._wrong("annotations", "a list was expected")
        newest: dict[str | None, Filled] = {}
        for number, annotation in enumerate(annotations):
            found = self._annotation(annotation, text_id, f"annotations[{number}]")
            if found is not None:
                newest.pop(found.person, None)
                newest[found.person] = found
        self._tally[EMPTY] += not annotations
        yield from newest.values()

    def _annotation(self, annotation: object, text_id: TextId, key: str) -> Filled | None:
        if not isinstance(annotation, dict):
            raise self._wrong(key, "an object was expected")
        if annotation.get("was_cancelled") or annotation.get("skipped"):
            self._tally[CANCELLED] += 1
            return None
        answer = self._answer(annotation.get("result"), key)
        if answer is None:
            self._tally[EMPTY] += 1
            return None
        return self._made(text_id, answer, annotation, annotation.get("completed_by"), key)

    def _made(
        self, text_id: TextId, answer: str | list[str], said: Mapping[str, Any], who: object, key: str
    ) -> Filled:
        place = self._place(key)
        seconds = seconds_of(said.get("lead_time"))
        at = moment(said.get("created_at"), f"{self._path}:{place}.created_at")
        person = _person(who)
        if person is None and who is not None:
            raise self._wrong(f"{key}.completed_by" if key else "annotator", f"no person: {str(who)[:80]!r}")
        return Filled(place, text_id, answer, person, seconds, at)

    def _answer(self, result: object, key: str) -> str | list[str] | None:
        """The first thing said of the label; None where nothing was."""
        if not isinstance(result, list) or not all(isinstance(r, dict) for r in result):
            raise self._wrong(f"{key}.result", "a list of objects was expected")
        wanted = "textarea" if is_written(self._task) else "choices"
        own = [r for r in result if r.get("type") == wanted]
        named = [r for r in own if r.get("from_name") == NAME] or own
        if not named:
            return [] if self._task.widget == "multiple" else None
        if len({r.get("from_name") for r in named}) > 1:
            raise self._wrong(f"{key}.result", f"several controls; call the one that is meant `{NAME}`")
        value = named[0].get("value")
        held = value.get("text" if wanted == "textarea" else "choices") if isinstance(value, dict) else None
        return self._said(held, f"{key}.result")

    def _said(self, held: object, key: str) -> str | list[str]:
        """A choice, several, or a written text."""
        if isinstance(held, dict):
            held = held.get("choices")
        names = [held] if isinstance(held, str) else held
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise self._wrong(key, "no choice in it")
        if self._task.widget == "multiple":
            return names
        if len(names) != 1:
            raise self._wrong(key, f"{len(names)} choices, and a text has one label")
        return str(names[0])

    def _short(self, content: Mapping[str, Any]) -> Iterator[Filled]:
        text_id = self._id(content, "")
        if NAME not in content and self._task.widget != "multiple":
            self._tally[EMPTY] += 1
            return
        answer = self._said(content.get(NAME, []), NAME)
        yield self._made(text_id, answer, content, content.get("annotator"), "")

    def _id(self, data: object, key: str) -> TextId:
        if not isinstance(data, dict):
            raise self._wrong(key, "an object was expected")
        found = data.get("text_id", data.get("id") if key else None)
        if not isinstance(found, str | int) or isinstance(found, bool):
            raise self._wrong(f"{key}.text_id".strip("."), "no id of a text: export the queue anew, and label that")
        return TextId(str(found))

    def _place(self, key: str) -> str:
        return f"{self._record.place}{f', {key}' if key else ''}"

    def _wrong(self, key: str, said: str) -> DataError:
        return DataError(f"{self._path}:{self._place(key)}: {said}")


def _person(who: object) -> str | None:
    """An annotator: an e-mail address, or the number that Label Studio gave them."""
    if isinstance(who, dict):
        who = who.get("email") or who.get("id")
    if isinstance(who, bool) or not isinstance(who, str | int):
        return None
    return str(who) or None
