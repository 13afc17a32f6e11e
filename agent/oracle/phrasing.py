"""A task as an oracle is asked about it: labels by name or by code, in one order or another, all or the likely ones.

A phrased task is a task of the same kind whose labels are the aliases that stand in the prompt, so that schema,
parsing and token probabilities are the task's own; what it reads is turned back into the job's names here.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import Any

import numpy as np

from agent.errors import AnswerInvalid, JobFileError
from agent.job import FormatSettings, TaskSettings
from agent.oracle.completion import THINKS, thought_only
from agent.records import Answer, AnswerSchema, Belief, Text, Value
from agent.tasks import Classification, Generation, Multilabel, Pairs, Task
from agent.tasks.peeling import is_whole

NONE = "none of these"
NONE_MEANS = "no other label here fits the text"
REASON_TOKENS = 80
"""Most tokens of a reason. Twenty words take about thirty; who writes more is cut off, and asked again."""


@dataclass(frozen=True, slots=True)
class Put:
    """How one text is put.

    Attributes:
        order: which of the orders of labels.
        names: the classes that are listed, likeliest first; None lists all.
        examples: worked examples for this text alone, before those that all questions share.
        other_way: its words are marked where the format leaves them plain, and the other way round.
        sample: which of several answers to the same question, where an oracle draws them (`format.samples`).
    """

    order: int = 0
    names: tuple[str, ...] | None = None
    examples: tuple[tuple[Text, Value], ...] = ()
    other_way: bool = False
    sample: int = 0


PLAIN = Put()


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer says. `value` is None where it says that no class of its shortlist fits; no label, and no
    failure either: all classes are to be asked for."""

    value: Value | None
    belief: Belief


class Phrasing:
    """How a task's labels are put to an oracle, and read back.

    Args:
        task: whose labels they are.
        settings: the task's own, from which a phrased task is built.
        form: the format; the default one changes nothing, for any task.
        seed: of the orders of labels.

    Raises JobFileError for a format that the kind of task cannot be put in.
    """

    def __init__(self, task: Task, settings: TaskSettings, form: FormatSettings | None = None, seed: int = 0) -> None:
        self.form = form or FormatSettings()
        self._task, self._settings = task, settings
        self._check()
        self._alias = dict(zip(task.names, codes(len(task.names)), strict=True)) if self._coded else {}
        self._name = {alias: name for name, alias in self._alias.items()}
        self._orders = orders(len(task.names), self.form.orders, seed)
        self._whole: dict[int, Task] = {}

    def _check(self) -> None:
        changed = [
            key
            for key in ("answer", "descriptions", "orders", "reason", "shortlist")
            if getattr(self.form, key) != FormatSettings.model_fields[key].default
        ]
        if changed and type(self._task) not in (Classification, Multilabel, Pairs):
            said = (
                f"`oracle.format`: `{changed[0]}` is for classification, multilabel and pairs, not {self._task.kind}"
            )
            raise JobFileError("job", [(0, said)])
        if self.form.shortlist is not None and type(self._task) not in (Classification, Pairs):
            said = "`oracle.format`: `shortlist` is for tasks with one label a text"
            raise JobFileError("job", [(0, said)])

    @property
    def _coded(self) -> bool:
        return self.form.answer == "code"

    def marked(self, put: Put = PLAIN) -> bool:
        """Whether a text's words are marked."""
        return (self.form.spotlight == "mark") != put.other_way

    def asked(self, put: Put = PLAIN) -> Task:
        """The task that the oracle sees: its names are the aliases that stand in the prompt."""
        listed = self.listed(put)
        if listed is None and not self._coded and self.form.descriptions and put.order % len(self._orders) == 0:
            return self._task
        if listed is not None:
            return self._built(self._in_order(put.order, listed), open_end=True)
        order = put.order % len(self._orders)
        if order not in self._whole:
            self._whole[order] = self._built(self._in_order(order, self._task.names), open_end=False)
        return self._whole[order]

    def listed(self, put: Put) -> tuple[str, ...] | None:
        """The classes of a shortlist; None where all are listed: it would leave out one class at most."""
        if self.form.shortlist is None or put.names is None:
            return None
        # a shortlist ends in "none of these": only beside all the classes does `other` mean what it says
        names = tuple(n for n in put.names if n != self._settings.other)[: self.form.shortlist]
        return names if len(names) + 1 < len(self._task.names) else None

    def _in_order(self, order: int, names: Sequence[str]) -> list[str]:
        """Names in one of the orders; a shortlist keeps its own where there is one order only."""
        if len(self._orders) == 1:
            return list(names)
        place = {self._task.names[i]: k for k, i in enumerate(self._orders[order % len(self._orders)])}
        return sorted(names, key=place.__getitem__)

    def _built(self, names: Sequence[str], *, open_end: bool) -> Task:
        """A task of the same kind whose labels are the aliases of `names`, in their order."""
        labels = {self._alias.get(n, n): self._described(n) for n in names}
        if open_end:
            labels |= {self._none: NONE if self._coded else NONE_MEANS}
        return type(self._task)(self._settings.model_copy(update={"labels": labels}))

    @property
    def _none(self) -> str:
        """What the answer is called that no class of the shortlist fits."""
        if self._coded:
            return codes(len(self._task.names) + 1)[-1]
        return NONE if NONE not in self._task.names else f"[{NONE}]"

    def _described(self, name: str) -> str:
        said = self._settings.labels.get(name, "") if self.form.descriptions else ""
        return (f"{name}: {said}" if said else name) if self._coded else said

    def order_of(self, text: Text) -> int:
        """The order in which a text is asked first: the same for the same words, whatever its id."""
        return zlib.crc32(text.text.encode("utf-8", "surrogatepass")) % len(self._orders)

    # Out ------------------------------------------------------------------------------------------------------------

    def variables(self, text: Text, put: Put = PLAIN) -> dict[str, Any]:
        """What fills the template."""
        return dict(self.asked(put).variables(text))

    def schema(self, text: Text, put: Put = PLAIN) -> AnswerSchema:
        """What an answer must look like, in aliases, with a reason before it where the format has one."""
        schema = self.asked(put).schema(text)
        if not self.form.reason:
            return schema
        inner = dict(schema.json_schema)
        inner["properties"] = {"reason": {"type": "string"}, **inner["properties"]}
        inner["required"] = ["reason", *inner["required"]]
        return AnswerSchema(json_schema=inner, max_tokens=schema.max_tokens + REASON_TOKENS)

    def written(self, value: Value, *, plain: bool) -> str:
        """An ideal answer, as a worked example shows it: `plain` is the label alone."""
        task, given = self._task, value
        if self._coded:
            task = self.asked()
            given = tuple(self._alias[n] for n in value) if isinstance(value, tuple) else self._alias[value]
        if plain:
            return task.show(given)
        said = task.write(given)
        if not self.form.reason:
            return said
        return json.dumps({"reason": self._reason(value), **json.loads(said)}, ensure_ascii=False)

    def _reason(self, value: Value) -> str:
        """What stands in for the reason that nobody gave for a worked example: what its labels mean."""
        names = value if isinstance(value, tuple) else (value,)
        return "; ".join(self._settings.labels.get(n) or f"it is {n}" for n in names) or "nothing applies"

    # Back -----------------------------------------------------------------------------------------------------------

    def read(self, text: Text, answer: Answer, put: Put = PLAIN) -> Reading:
        """An answer as the job's own value, with the probability of every class.

        Raises AnswerInvalid, also where it was cut off: half a name can be another label.
        """
        if thought_only(answer):
            raise AnswerInvalid(f"no answer: {THINKS}")
        asked = self.asked(put)
        is_free = not asked.schema(text).json_schema
        if answer.finish_reason == "length" and (is_free or not is_whole(answer.content)):
            raise AnswerInvalid(f"cut off before its end: {answer.content[:80]!r}")
        if answer.finish_reason == "content_filter" and is_free:
            raise AnswerInvalid("the endpoint's filter cut the answer off (content_filter)")
        try:
            said = asked.parse(answer.content, text)
        except AnswerInvalid:
            if not self._coded:
                raise
            return Reading(self._task.parse(answer.content, text), Belief(float("nan")))  # the name, for the code
        belief = asked.confidence(answer, said)
        if asked is self._task:
            return Reading(said, belief)
        return self._back(said, belief, self.listed(put))

    def _back(self, said: Value, belief: Belief, listed: Sequence[str] | None) -> Reading:
        value: Value | None
        if isinstance(said, tuple):
            named = {self._name.get(n, n) for n in said}
            value = tuple(n for n in self._task.names if n in named)
        else:
            value = None if listed is not None and said == self._none else self._name.get(said, said)
        given = belief.probabilities
        if given is None:
            return Reading(value, belief)
        told = {self._name.get(alias, alias): p for alias, p in given.items() if alias != self._none}
        if listed is None:
            return Reading(value, replace(belief, probabilities={n: told[n] for n in self._task.names}))
        # the probability of "none of these" is that of the classes that were left out, and nothing tells them apart
        rest = given.get(self._none, 0.0) / max(1, len(self._task.names) - len(listed))
        whole = {n: told.get(n, rest) for n in self._task.names}
        confidence = whole[value] if isinstance(value, str) else belief.confidence
        return Reading(value, Belief(confidence, whole, belief.lost_mass))


def most_alike(readings: Sequence[Reading], task: Generation) -> tuple[int, Reading]:
    """Of several answers of texts the place of the one that is most like the others, and as sure as all are alike."""
    if len(readings) == 1:
        return 0, readings[0]
    place, alike = task.chosen([r.value for r in readings])
    return place, Reading(readings[place].value, Belief(alike))


def merged(readings: Sequence[Reading], names: Sequence[str]) -> Reading:
    """One reading out of several of the same text, put in other orders.

    Where token probabilities came, their mean; where none did, the share of readings that named a class, with one
    more reading spread over all of them, so that three that agree do not make it certain. The value is the likeliest
    class; for several labels a text, those that are likelier than not.

    Args:
        readings: one or more, each with a value.
        names: the job's classes.
    """
    if len(readings) == 1 or not names:
        return readings[0]
    several = isinstance(readings[0].value, tuple)
    told = [r for r in readings if r.belief.probabilities is not None]
    if told:
        table = np.array([[(r.belief.probabilities or {}).get(n, 0.0) for n in names] for r in told])
        p = table.mean(axis=0)
    else:
        sets = [r.value if isinstance(r.value, tuple) else (r.value,) for r in readings]
        said = np.array([[n in labels for n in names] for labels in sets], np.float64)
        p = (said.sum(axis=0) + (0.5 if several else 1 / len(names))) / (len(readings) + 1)
    lost = float(np.mean([r.belief.lost_mass for r in told or readings]))
    value: Value
    if several:
        value = tuple(n for n, share in zip(names, p, strict=True) if share > 0.5)
        confidence = float(np.maximum(p, 1 - p).min())
    else:
        value, confidence = names[int(p.argmax())], float(p.max())
    return Reading(value, Belief(confidence, dict(zip(names, p.tolist(), strict=True)), lost))


def codes(count: int) -> list[str]:
    """Short aliases, all of one length: letters while they last, else numbers.

    >>> codes(3), codes(27)[-1], codes(101)[0]
    (['A', 'B', 'C'], '27', '001')
    """
    if count <= len(ascii_uppercase):
        return list(ascii_uppercase[:count])
    width = len(str(count))
    return [str(i).zfill(width) for i in range(1, count + 1)]


def orders(classes: int, count: int, seed: int) -> list[list[int]]:
    """`count` orders of `classes` labels: as given, backwards, then a random one and its reverse, and so on.

    An order and its reverse take every label to the middle on average, so that what a model likes about the first
    place cancels out (Lu et al. 2022, arXiv:2104.08786, for what order does to an answer).
    """
    rng = np.random.default_rng([seed, 0x0DE5])
    found: list[list[int]] = [list(range(classes))]
    while len(found) < count:
        if len(found) % 2:
            found.append(found[-1][::-1])
        else:
            found.append([int(i) for i in rng.permutation(classes)])
    return found
