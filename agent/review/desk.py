"""What one person does with a job's queue: look at items, label, skip, undo. Knows no web.

The database holds everything; a `Desk` may be thrown away and made again at any moment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any

from agent.certifying import settle
from agent.images import Image
from agent.job import Job
from agent.picture import split
from agent.records import Label, Source, Text, TextId, Value
from agent.review import claiming
from agent.review.card import card, failed, plain, said
from agent.review.claiming import Ask, as_row, pot_as_row
from agent.review.parts import opening
from agent.review.unseen import Look, look_of
from agent.store import Filter, QueueRow, ReviewRow, Store
from agent.store.reviews import replaced_by
from agent.store.waiting import ACCEPT, DECIDE, FLAG, LABEL, POT, SKIP
from agent.tasks import Task

LONGEST_S = 3600.0
MOST_COUNTED = 1000
"""More texts than this that fit a filter are "1,000 and more"."""
PAGE, OPENING = 50, 160
"""How many of a person's acts are listed at once, and how many characters of each text."""
WITHOUT_LABEL = {SKIP: "skipped", FLAG: "flagged", ACCEPT: "accepted at once"}
MANY = "Many texts at once"
FOR_A_LEAD = "waits for a lead: people disagree about it."


class Stale(Exception):
    """What was asked for does not fit what the store holds now; nothing was saved."""


class NotALabel(Exception):
    """The answer is not a label of the task; the message says why, in words for the person."""


@dataclass(frozen=True, slots=True)
class Seen:
    """How the page showed a text: what an answer to it means."""

    blind: bool
    torn: bool


@dataclass(frozen=True)
class Desk:
    """One person at one job's queue. Every method may be called from any thread; each raises StoreError."""

    store: Store
    job: Job
    task: Task
    person: str
    lead: bool = False
    """Whether they decide what others disagree on."""
    known: Sequence[tuple[Text, Value]] = ()
    """Texts whose answer is known from elsewhere, as the seed's: for honey pots."""

    @cached_property
    def session(self) -> str:
        """The same for every server of this job, task and person, so that a page knows where its answers belong."""
        what = "\0".join((self.job.name, self.job.fingerprint(), self.person))
        return hashlib.sha256(what.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @cached_property
    def look(self) -> Look:
        """What the oracle did not see of a text."""
        return look_of(self.job)

    @cached_property
    def _counted(self) -> dict[str, dict[str, Any]]:
        """What the figures of each person were last."""
        return {}

    def of(self, person: str, *, lead: bool) -> Desk:
        """Another person's desk at the same job."""
        other = replace(self, person=person, lead=lead)
        # `look` takes some seconds to make where the job redacts
        other.__dict__.update(look=self.look, _counted=self._counted)
        return other

    def items(self, limit: int, *, again: bool, only: Filter | None = None) -> list[dict[str, Any]]:
        """The next items as the page gets them, see `claim`."""
        return self.cards(self.claim(limit, again=again, only=only))

    def claim(self, limit: int, *, again: bool, only: Filter | None = None) -> list[QueueRow]:
        """The next items, most urgent first; with `again` those that this person skipped too, at the end, with `only`
        just what fits that filter. They are this person's for `people.lease_minutes`. A lead is given first what
        others disagree on.

        None once the people's minutes are used up.
        """
        return claiming.claim([Ask(self, limit, again, only)])[0]

    def matching(self, only: Filter) -> int:
        """How many texts that wait for this person fit a filter, counted up to `MOST_COUNTED`."""
        count = partial(self.store.matching, self.job.name, self.person, only)
        torn = count(MOST_COUNTED, torn=True) if self.lead else 0
        return min(torn + count(MOST_COUNTED), MOST_COUNTED)

    def let_go(self, these: Sequence[TextId] | None = None) -> None:
        """Others may have what was given to this person, or these of it."""
        self.store.let_go(self.job.name, self.person, these)

    def minutes(self) -> dict[str, float] | None:
        """Minutes that people spent on this job, and how many they have; None where there is no end to them."""
        most = self.job.budget.minutes
        return None if most is None else {"used": self.store.review_seconds(self.job.name) / 60, "of": most}

    def figures(self) -> dict[str, Any]:
        """How the queue stands for this person, see `claiming.figures`."""
        return self.keep(claiming.figures([self])[0])

    def keep(self, figures: dict[str, Any]) -> dict[str, Any]:
        """These are this person's figures now."""
        self._counted[self.person] = figures
        return figures

    def figures_after(self, act: int | None) -> dict[str, Any]:
        """`figures` after an act that gave one label to one text that was left, which is what people do all day: as
        they were, but for that. What others did since is in them when the next items are."""
        before = self._counted.get(self.person)
        if act is None or before is None:
            return self.figures()
        after = before | {"left": max(before["left"] - 1, 0), "done": before["done"] + 1, "newest": act}
        return self.keep(after)

    def text(self, text_id: TextId) -> str:
        """The whole text. Raises Stale where the job has no such text."""
        found = self.store.texts(self.job.name, [text_id])
        if text_id not in found:
            raise Stale("is not a text of this job.")
        return found[text_id]

    def picture(self, text_id: TextId) -> Image | None:
        """The picture of a text of this job; None where it has none. Raises Stale where the job has no such text,
        DataError where the picture is not there any more, or another."""
        images, (_, reference) = self.job.images, split(self.text(text_id))
        return None if images is None or reference is None else images.read(reference)

    def done(self, before: int | None = None) -> dict[str, Any]:
        """This person's own acts that stand, newest first, `PAGE` at a time: those before the act with this id.
        `more` tells whether there are older ones."""
        acts = self.store.acts(self.job.name, self.person, PAGE + 1, before)
        page = acts[:PAGE]
        texts = self.store.texts(self.job.name, [act.text_id for act in page])
        labels = self.store.labels_with(self.job.name, [act.label_id for act in page if act.label_id is not None])
        told = [
            {
                "act": act.id,
                "opening": opening(self.task, texts.get(act.text_id, ""))[:OPENING] if act.action != ACCEPT else MANY,
                "given": self._told(act, labels.get(act.label_id or 0)),
                "note": act.note or "",
                "at": act.created_at.isoformat(),
            }
            for act in page
        ]
        return {"acts": told, "more": len(acts) > PAGE}

    def show_again(self, act_id: int) -> dict[str, Any]:
        """What one of this person's acts was about, as `item`, and what they gave, as `was`. An item with `instead`
        has a label of theirs, which another may take the place of. Raises Stale where it was taken back, or a text
        that was put off no longer waits."""
        act = self._own(act_id)
        if act.action == ACCEPT:
            raise Stale("Many texts were accepted by that. Take it back, and each of them waits again.")
        if act.label_id is None:
            row = self.store.waiting(self.job.name, act.text_id)
            if row is None:
                self._settled_by_other(act.text_id, None)
                raise Stale("no longer waits for a person.")
            return {"item": self.cards([row])[0], "was": None}
        value = self._given(act)
        votes = self._others(act) if act.action == DECIDE else []
        row = self._row_of(act)
        shown = card(row, self.task, None, self.look(row.text), votes=votes)
        why = f"You gave it {said(value, self.task)} before. Another label takes its place."
        reason = " ".join([why, *([shown["reason"]] if votes or row.blind else [])])
        again = {"badge": "Done before", "reason": reason, "picked": "", "instead": act.id}
        return {"item": shown | again, "was": plain(value, self.task)}

    def label(
        self,
        text_id: TextId,
        answer: object,
        seconds: float,
        instead: int | None = None,
        *,
        seen: Seen | None = None,
    ) -> int | None:
        """Save one label; a lead's decides where others disagree. A second time the same is the same as once, so that
        a page may try again. With `instead`, the id of an act of this person, it takes the place of the label that
        they gave then. `seen` is how the text was shown to them.

        Returns the act's id where it changed no more than `figures_after` says, else None.

        Raises NotALabel where `answer` is none of the task, Stale where the text does not wait (any more), or not for
        this person; or where somebody else labelled it since or decided, for a label that is to take another's place.
        """
        with self.store.transaction(self.job.name) as tx:  # nobody else writes meanwhile: two cannot both label
            row = self.store.waiting(self.job.name, text_id)
            value = self.read(answer, Text(text_id, row.text if row else self.text(text_id)))
            if instead is not None:
                self._replace(instead, text_id, value, seconds, tx)
                return None
            action = DECIDE if row and row.torn else LABEL
            if row is None and self._is_pot(text_id):
                action = POT
            elif self._has_given(row, text_id, value):
                return None
            self._check_seen(row, seen)
            label = person_label(text_id, value, self.person)
            act = self.store.review(
                self.job.name, text_id, self.person, action, label, _sane(seconds), blind=_was_blind(row, seen), tx=tx
            )
            settled = settle(self.store, self.job.name, self.task, [text_id], tx=tx)
            return act if row is not None and self._is_plain(row) and not settled else None

    def _is_plain(self, row: QueueRow) -> bool:
        """Whether a label of a text that waits leaves this person one text less, and nothing else to count."""
        may_tear = self.lead and self.job.people.votes > 1
        return not (row.skipped or row.torn or may_tear) and self.job.budget.minutes is None

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

    def skip(self, text_id: TextId, seconds: float, note: str | None = None, *, seen: Seen | None = None) -> None:
        """Put a text off; with a note, flag it for a lead. Twice in a row is the same as once. Raises Stale where it
        does not wait (any more)."""
        action = SKIP if note is None else FLAG
        with self.store.transaction(self.job.name) as tx:
            last = self._last()
            if last and (last.action, last.text_id, last.note) == (action, text_id, note):
                return
            row = self.store.waiting(self.job.name, text_id)
            if row is None and not self._is_pot(text_id):
                self._settled_by_other(text_id, None)
                raise Stale("no longer waits for a person.")
            if row is not None and row.torn and not self.lead:
                raise Stale(FOR_A_LEAD)
            self._check_seen(row, seen)
            self.store.review(
                self.job.name,
                text_id,
                self.person,
                action,
                seconds=_sane(seconds),
                note=note,
                blind=_was_blind(row, seen),
                tx=tx,
            )
            settle(self.store, self.job.name, self.task, [text_id], tx=tx)

    def undo(self, newest: int | None, act_id: int | None = None) -> dict[str, Any]:
        """Take back this person's newest act, which the page believes is `newest`; or just the act with that id.

        Returns `said` (a sentence), `item` (to show again; None where it no longer waits) and `was` (what had been
        given). Raises Stale where the newest act is another one than the page knows, or that act was taken back.
        """
        with self.store.transaction(self.job.name) as tx:
            last = self._last() if act_id is None else self._own(act_id)
            if act_id is None and (last.id if last else None) != newest:
                raise Stale("Something was done in another window meanwhile. Press u again to undo that.")
            if last is None:
                return {"said": "Nothing to undo.", "item": None, "was": None}
            former = self.store.replaced(self.job.name, last)
            self.store.undo_review(self.job.name, self.person, last.id, tx=tx)
            if former is not None:
                self._give_again(former, tx)
            if last.action == ACCEPT:
                count = self.store.wait_again(self.job.name, last.id, tx=tx)
                return {"said": f"Undone: {count:,} texts that were accepted at once wait again.", "item": None,
                        "was": None}  # fmt: skip
            settle(self.store, self.job.name, self.task, [last.text_id], tx=tx)
            seconds = 60 * self.job.people.lease_minutes
            free = self.store.hold(self.job.name, self.person, last.text_id, seconds, lead=self.lead, tx=tx)
        row = self.store.waiting(self.job.name, last.text_id) if free else self._pot_as_row(last.text_id)
        value = self._given(last)
        words = f"Undone: {self._told(last, self._label_of(last))}."
        if former is not None:
            again = self._told(former, self._label_of(former))
            return {"said": f"{words} It is {again} again.", "item": None, "was": None}
        return {
            "said": words if row else f"{words} The text does not wait for you any more.",
            "item": None if row is None else self.cards([row])[0],
            "was": None if value is None else plain(value, self.task),
        }

    def cards(self, rows: Sequence[QueueRow]) -> list[dict[str, Any]]:
        """Items as the page gets them."""
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
            trouble, of = troubles.get(row.text_id), row.text_id
            return card(
                row, self.task, trouble, self.look(row.text), votes=votes.get(of, ()), flags=flags.get(of, ())
            )

        return [shown(row) for row in rows]

    def _last(self) -> ReviewRow | None:
        """What this person did last and did not take back."""
        return self.store.last_act(self.job.name, self.person)

    def _own(self, act_id: int) -> ReviewRow:
        """One of this person's acts. Raises Stale where it is not, or was taken back."""
        act = self.store.act(self.job.name, self.person, act_id)
        if act is None:
            raise Stale("That is nothing that you did.")
        if act.undone:
            raise Stale("That was taken back already.")
        return act

    def _label_of(self, act: ReviewRow) -> Label | None:
        return None if act.label_id is None else self.store.label(self.job.name, act.label_id)

    def _given(self, act: ReviewRow) -> Value | None:
        label = self._label_of(act)
        return None if label is None else label.value

    def _told(self, act: ReviewRow, label: Label | None) -> str:
        """What was done, in a word."""
        return WITHOUT_LABEL.get(act.action, "skipped") if label is None else said(label.value, self.task)

    def _others(self, act: ReviewRow) -> list[Label]:
        """What others said of an act's text."""
        found = self.store.standing(self.job.name, [act.text_id])
        return [label for label in found if label.source is Source.PERSON and label.by != self.person]

    def _row_of(self, act: ReviewRow) -> QueueRow:
        """The text of an act as if it waited: with what the machine said, unless it was blind then or is now."""
        text_id = act.text_id
        route = self.store.newest_routes(self.job.name, [text_id]).get(text_id)
        blind = act.blind or self.store.is_blind(self.job.name, text_id)
        machine = None if blind or route is None or route.label_id is None else route.label_id
        suggestion = None if machine is None else self.store.label(self.job.name, machine)
        return replace(as_row(text_id, self.text(text_id), blind=blind), suggestion=suggestion)

    def _replace(self, act_id: int, text_id: TextId, value: Value, seconds: float, tx: Any) -> None:
        """Have a label take the place of the one that this person gave in an act. Raises Stale."""
        act = self.store.act(self.job.name, self.person, act_id)
        former = None if act is None else self._label_of(act)
        if act is None or former is None or former.id is None or act.text_id != text_id:
            raise Stale("is nothing that you labelled.")
        acts = self.store.acts_on(self.job.name, text_id)
        if act.undone:
            mine = [x for x in acts if x.person == self.person and x.label_id is not None]
            if mine and same(self._given(mine[-1]), value, self.task):
                return  # it was saved, and the page did not hear of it
            raise Stale("was changed by you in another window meanwhile.")
        if same(former.value, value, self.task):
            return
        row = self.store.waiting(self.job.name, text_id)
        if not self.lead and (act.action == DECIDE or (row is not None and row.torn)):
            raise Stale(FOR_A_LEAD)  # else one could look how others voted, and agree
        # of a honey pot others have said what they think, and that is nothing new
        known = act.action == POT
        if decided := [x.person for x in acts if x.action == DECIDE and x.id != act.id and not known]:
            raise Stale(f"was decided by {decided[-1]} meanwhile.")
        if later := [label.by for label in self._others(act) if (label.id or 0) > former.id and not known]:
            raise Stale(f"was labelled by {later[-1]} meanwhile.")
        self.store.undo_review(self.job.name, self.person, act.id, reason=replaced_by(self.person), tx=tx)
        label = person_label(text_id, value, self.person)
        # how they saw the text when they first judged it is how they know it
        self.store.review(
            self.job.name, text_id, self.person, act.action, label, _sane(seconds), blind=act.blind, tx=tx
        )
        settle(self.store, self.job.name, self.task, [text_id], tx=tx)

    def _give_again(self, former: ReviewRow, tx: Any) -> None:
        """Bring back the label that another one had taken the place of."""
        value = self._given(former)
        if value is not None:
            label = person_label(former.text_id, value, self.person)
            self.store.review(
                self.job.name, former.text_id, self.person, former.action, label, 0.0, blind=former.blind, tx=tx
            )

    def _is_pot(self, text_id: TextId) -> bool:
        return self.store.is_honey_pot(self.job.name, self.person, text_id)

    def _pot_as_row(self, text_id: TextId) -> QueueRow | None:
        """A text as an item, where it is a honey pot that this person has not answered."""
        found = self.store.open_honey_pots(self.job.name, self.person)
        return next((pot_as_row(pot) for pot in found if pot.text_id == text_id), None)

    @staticmethod
    def _check_seen(row: QueueRow | None, seen: Seen | None) -> None:
        """Raise Stale where a text is another question now than the page showed."""
        if row is not None and seen is not None and row.torn != seen.torn:
            raise Stale("is disagreed about since you saw it: it comes again with what others said.")

    def _has_given(self, row: QueueRow | None, text_id: TextId, value: Value) -> bool:
        """Whether this very label is this person's already. Raises Stale where the text waits for nobody, or not for
        them."""
        if row is None:
            mine = [x for x in self.store.acts_on(self.job.name, text_id) if x.person == self.person]
            if mine and mine[-1].action == POT:
                return self._is_same(self._given(mine[-1]), value)
            self._settled_by_other(text_id, value)
            return True
        if row.torn and not self.lead:
            raise Stale(FOR_A_LEAD)
        if row.votes and not row.torn:
            for label in self.store.standing(self.job.name, [text_id]):
                if label.source is Source.PERSON and label.by == self.person:
                    return self._is_same(label.value, value)
        return False

    def _is_same(self, former: Value, value: Value) -> bool:
        """True where this person said the same before; else raise Stale."""
        if same(former, value, self.task):
            return True
        raise Stale(f"was labelled {said(former, self.task)} by you already; undo that first.")

    def _settled_by_other(self, text_id: TextId, value: Value | None) -> None:
        """Return where the current label is this very one; else raise Stale that says whose it is."""
        label = self.store.label_of(self.job.name, text_id)
        if label is None or label.source is not Source.PERSON:
            raise Stale("no longer waits for a person.")
        if value is not None and label.by != self.person:  # of several who were asked, one may be this person
            mine = [x for x in self.store.standing(self.job.name, [text_id]) if x.by == self.person]
            label = mine[-1] if mine and mine[-1].source is Source.PERSON else label
        if value is None or label.by != self.person or not same(label.value, value, self.task):
            if self.job.people.votes > 1 and not self.lead:  # they may be asked about it yet
                raise Stale("was labelled by others meanwhile.")
            raise Stale(f"was labelled {said(label.value, self.task)} by {label.by} meanwhile.")


def person_label(text_id: TextId, value: Value, person: str) -> Label:
    """A label that a person gave just now."""
    return Label(text_id=text_id, value=value, source=Source.PERSON, by=person, created_at=datetime.now(UTC))


def same(a: Value, b: Value, task: Task) -> bool:
    """Whether two values say the same, also where one is a list and the other a tuple."""
    return task.show(a) == task.show(b)


def _was_blind(row: QueueRow | None, seen: Seen | None) -> bool | None:
    """Whether a text was shown without the machine's label: as it is shown now, unless it was shown with it. None
    where nobody knows."""
    return None if row is None else row.blind and (seen is None or seen.blind)


def _sane(seconds: float) -> float:
    return min(max(float(seconds), 0.0), LONGEST_S)
