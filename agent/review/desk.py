"""What one person does with a job's queue: look at items, label, skip, undo. Knows no web.

The database holds everything; a `Desk` may be thrown away and made again at any moment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any

from agent.certifying import settle
from agent.job import Job
from agent.records import Label, Source, Text, TextId, Value
from agent.review.card import card, failed, plain, said
from agent.review.unseen import Look, look_of
from agent.store import QueueRow, ReviewRow, Store
from agent.store.waiting import DECIDE, FLAG, LABEL, SKIP
from agent.tasks import Task

LONGEST_S = 3600.0
PUT_OFF = {SKIP: "skipped", FLAG: "flagged"}


class Stale(Exception):
    """What was asked for does not fit what the store holds now; nothing was saved."""


class NotALabel(Exception):
    """The answer is not a label of the task; the message says why, in words for the person."""


@dataclass(frozen=True)
class Desk:
    """One person at one job's queue. Every method may be called from any thread; each raises StoreError."""

    store: Store
    job: Job
    task: Task
    person: str
    lead: bool = False
    """Whether they decide what others disagree on."""

    @cached_property
    def session(self) -> str:
        """The same for every server of this job, task and person, so that a page knows where its answers belong."""
        what = "\0".join((self.job.name, self.job.fingerprint(), self.person))
        return hashlib.sha256(what.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @cached_property
    def look(self) -> Look:
        """What the oracle did not see of a text."""
        return look_of(self.job)

    def items(self, limit: int, *, again: bool) -> list[dict[str, Any]]:
        """The next items, most urgent first; with `again` those that this person skipped too, at the end. They are
        this person's for `people.lease_minutes`. A lead is given first what others disagree on.

        None once the people's minutes are used up: what a person is at then is still saved, but nothing is added.
        """
        minutes = self.minutes()
        if minutes is not None and minutes["used"] >= minutes["of"]:
            return []
        seconds = 60 * self.job.people.lease_minutes
        claim = partial(self.store.claim, self.job.name, self.person, seconds=seconds, again=again)
        rows = claim(limit=limit, torn=True) if self.lead else []
        return self._cards(rows + (claim(limit=limit - len(rows)) if len(rows) < limit else []))

    def let_go(self, keep: Sequence[TextId] = ()) -> None:
        """Others may have what was given to this person, but for these."""
        self.store.let_go(self.job.name, self.person, keep)

    def minutes(self) -> dict[str, float] | None:
        """Minutes that people spent on this job, and how many they have; None where there is no end to them."""
        most = self.job.budget.minutes
        return None if most is None else {"used": self.store.review_seconds(self.job.name) / 60, "of": most}

    def figures(self) -> dict[str, Any]:
        """How much is left to this person (without what they skipped), skipped and done by them, and their newest
        act; what waits for a lead, too."""
        queued, last = self.store.queued(self.job.name, self.person), self._last()
        return {
            "left": queued.open + (queued.torn if self.lead else 0),
            "skipped": queued.put_off,
            "torn": queued.torn,
            "done": self.store.labelled(self.job.name, self.person),
            "newest": last.id if last else None,
            "minutes": self.minutes(),
        }

    def text(self, text_id: TextId) -> str:
        """The whole text. Raises Stale where the job has no such text."""
        found = self.store.texts(self.job.name, [text_id])
        if text_id not in found:
            raise Stale("is not a text of this job.")
        return found[text_id]

    def label(self, text_id: TextId, answer: object, seconds: float) -> None:
        """Save one label; a lead's decides where others disagree. A second time the same is the same as once, so that
        a page may try again.

        Raises NotALabel where `answer` is none of the task, Stale where the text does not wait (any more), or not for
        this person.
        """
        value = self.read(answer, Text(text_id, self.text(text_id)))
        with self.store.transaction(self.job.name) as tx:  # nobody else writes meanwhile: two cannot both label
            row = self.store.waiting(self.job.name, text_id)
            if self._has_given(row, text_id, value):
                return
            label, action = person_label(text_id, value, self.person), DECIDE if row and row.torn else LABEL
            self.store.review(self.job.name, text_id, self.person, action, label, _sane(seconds), tx=tx)
            settle(self.store, self.job.name, self.task, [text_id], tx=tx)

    def read(self, answer: object, text: Text) -> Value:
        """What the page sent as a value of the task. Raises NotALabel."""
        if self.task.widget == "multiple":
            if not isinstance(answer, list) or not all(isinstance(a, str) for a in answer):
                raise NotALabel("a list of labels was expected")
        elif not isinstance(answer, str):
            raise NotALabel("a label was expected as text")
        try:
            return self.task.read(answer, text)
        except ValueError as wrong:
            raise NotALabel(str(wrong)) from None

    def skip(self, text_id: TextId, seconds: float, note: str | None = None) -> None:
        """Put a text off; with a note, flag it for a lead. Twice in a row is the same as once. Raises Stale where it
        does not wait (any more)."""
        action = SKIP if note is None else FLAG
        with self.store.transaction(self.job.name) as tx:
            last = self._last()
            if last and (last.action, last.text_id, last.note) == (action, text_id, note):
                return
            if self.store.waiting(self.job.name, text_id) is None:
                self._settled_by_other(text_id, None)
                raise Stale("no longer waits for a person.")
            self.store.review(self.job.name, text_id, self.person, action, seconds=_sane(seconds), note=note, tx=tx)
            settle(self.store, self.job.name, self.task, [text_id], tx=tx)

    def undo(self, newest: int | None) -> dict[str, Any]:
        """Take back this person's newest act, which the page believes is `newest`.

        Returns `said` (a sentence), `item` (to show again; None where it no longer waits) and `was` (what had been
        given). Raises Stale where the newest act is another one than the page knows.
        """
        with self.store.transaction(self.job.name) as tx:
            last = self._last()
            if (last.id if last else None) != newest:
                raise Stale("Something was done in another window meanwhile. Press u again to undo that.")
            if last is None:
                return {"said": "Nothing to undo.", "item": None, "was": None}
            self.store.undo_review(self.job.name, self.person, tx=tx)
            settle(self.store, self.job.name, self.task, [last.text_id], tx=tx)
        row = self.store.waiting(self.job.name, last.text_id)
        value = self._given(last)
        words = f"Undone: {PUT_OFF.get(last.action, 'skipped') if value is None else said(value, self.task)}."
        return {
            "said": words if row else f"{words} The text no longer waits for a person.",
            "item": None if row is None else self._cards([row])[0],
            "was": None if value is None else plain(value, self.task),
        }

    def _cards(self, rows: Sequence[QueueRow]) -> list[dict[str, Any]]:
        wrong = [row.text_id for row in rows if failed(row)]
        troubles = self.store.troubles(self.job.name, wrong) if wrong else {}
        votes: dict[TextId, list[Label]] = {}
        if self.lead and (torn := [row.text_id for row in rows if row.torn]):
            for label in self.store.standing(self.job.name, torn):
                if label.source is Source.PERSON:
                    votes.setdefault(label.text_id, []).append(label)
        put_off = [row.text_id for row in rows if row.skipped] if self.lead else []
        flags = self.store.flags(self.job.name, put_off) if put_off else {}

        def shown(row: QueueRow) -> dict[str, Any]:
            trouble, said_of, notes = (found.get(row.text_id) for found in (troubles, votes, flags))
            return card(row, self.task, trouble, self.look(row.text), said_of or (), notes or ())

        return [shown(row) for row in rows]

    def _last(self) -> ReviewRow | None:
        """What this person did last and did not take back."""
        return self.store.last_act(self.job.name, self.person)

    def _given(self, act: ReviewRow) -> Value | None:
        if act.label_id is None:
            return None
        label = self.store.label(self.job.name, act.label_id)
        return None if label is None else label.value

    def _has_given(self, row: QueueRow | None, text_id: TextId, value: Value) -> bool:
        """Whether this very label is this person's already. Raises Stale where the text waits for nobody, or not for
        them."""
        if row is None:
            self._settled_by_other(text_id, value)
            return True
        if row.torn and not self.lead:
            raise Stale("waits for a lead: people disagree about it.")
        if row.votes and not row.torn:
            for label in self.store.standing(self.job.name, [text_id]):
                if label.source is Source.PERSON and label.by == self.person:
                    if same(label.value, value, self.task):
                        return True
                    raise Stale(f"was labelled {said(label.value, self.task)} by you already; undo that first.")
        return False

    def _settled_by_other(self, text_id: TextId, value: Value | None) -> None:
        """Return where the current label is this very one; else raise Stale that says whose it is."""
        label = self.store.label_of(self.job.name, text_id)
        if label is None or label.source is not Source.PERSON:
            raise Stale("no longer waits for a person.")
        if value is not None and label.by != self.person:  # of several who were asked, one may be this person
            mine = [x for x in self.store.standing(self.job.name, [text_id]) if x.by == self.person]
            label = mine[-1] if mine and mine[-1].source is Source.PERSON else label
        if value is None or label.by != self.person or not same(label.value, value, self.task):
            raise Stale(f"was labelled {said(label.value, self.task)} by {label.by} meanwhile.")


def person_label(text_id: TextId, value: Value, person: str) -> Label:
    """A label that a person gave just now."""
    return Label(text_id=text_id, value=value, source=Source.PERSON, by=person, created_at=datetime.now(UTC))


def same(a: Value, b: Value, task: Task) -> bool:
    """Whether two values say the same, also where one is a list and the other a tuple."""
    return task.show(a) == task.show(b)


def _sane(seconds: float) -> float:
    return min(max(float(seconds), 0.0), LONGEST_S)
