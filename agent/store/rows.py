"""What the store gives back: a frozen record a kind of row. Times are UTC with their zone, money is micro-dollars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from agent.records import Answer, Label, MicroDollars, Route, TextId, Usage, Value


class AttemptState(StrEnum):
    """Where an attempt is. It starts reserved and ends exactly once (law 1)."""

    RESERVED = "reserved"
    SETTLED = "settled"
    RELEASED = "released"  # certainly not charged
    AMBIGUOUS = "ambiguous"  # may have been charged: counts as spent, at its worst case


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job and its purse: `spent + reserved <= cap` unless the cap was lowered or a provider overcharged."""

    name: str
    settings: Mapping[str, Any]
    fingerprint: str
    cap: MicroDollars
    spent: MicroDollars
    reserved: MicroDollars
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PickRow:
    """One text that was picked, why, and the text itself. `probability` is None where no chance was involved."""

    text_id: TextId
    row: int
    round: int
    slice: str
    score: float
    probability: float | None
    why: Mapping[str, Any]
    text: str


@dataclass(frozen=True, slots=True)
class FrameRow:
    """What stands beside a text in the question about it: its likely classes, likeliest first, and the ids of worked
    examples with the values that they had then, as the task shows them; None where none were looked for."""

    names: tuple[str, ...] = ()
    examples: tuple[tuple[TextId, str], ...] | None = None


@dataclass(frozen=True, slots=True)
class RoundRow:
    """One finished round and its figures."""

    round: int
    figures: Mapping[str, Any]
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """A raw answer as it is kept: `endpoint` names who answered, `question_key` what was asked."""

    question_key: str
    endpoint: str
    answer: Answer
    prompt_hash: str


class FoundAnswer(NamedTuple):
    """A bought answer and its id."""

    answer_id: int
    answer: Answer


class Wanted(NamedTuple):
    """Leave that is asked for: to put one question to an oracle once, for at most `worst` micro-dollars."""

    oracle: str
    question_key: str
    text_id: TextId
    worst: MicroDollars


class End(NamedTuple):
    """How one attempt ended. `charged` and `answer` are for a settled one; what an ambiguous one costs is known."""

    attempt_id: int
    state: AttemptState
    reason: str = ""
    charged: MicroDollars = MicroDollars(0)
    usage: Usage | None = None
    answer: StoredAnswer | None = None


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One attempt to buy an answer.

    `worst` is what was reserved. `charged` is what it counts as spent: the charge of a settled attempt (more than
    `worst` where a provider overcharged), `worst` of an ambiguous one, 0 of any other.
    """

    id: int
    oracle: str
    question_key: str
    text_id: TextId
    worst: MicroDollars
    charged: MicroDollars
    state: AttemptState
    reason: str
    owner: str
    usage: Usage | None
    answer_id: int | None
    created_at: datetime
    ended_at: datetime | None


class BatchState(StrEnum):
    """How far a batch is. Each step is committed before the next one is taken."""

    PREPARED = "prepared"  # its attempts are reserved; nothing has left that could be charged
    UPLOADED = "uploaded"  # its lines are at the provider; whether it was started is not known
    SUBMITTED = "submitted"  # the provider works on it
    FINISHED = "finished"  # the provider is done: completed, failed, expired or cancelled
    HARVESTED = "harvested"  # each of its attempts has ended


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One batch. `remote_id` is the provider's name for it, "" where none is known; `details` holds files and counts;
    `reason` is what its end was, or what was odd about it."""

    id: int
    job: str
    oracle: str
    state: BatchState
    remote_id: str
    details: Mapping[str, Any]
    reason: str
    created_at: datetime
    changed_at: datetime


class OpenLine(NamedTuple):
    """One attempt of a batch that has not ended."""

    attempt_id: int
    question_key: str
    text_id: TextId
    worst: MicroDollars


@dataclass(frozen=True, slots=True)
class OracleSpending:
    """One oracle's share of a job's spending. `spent` includes `ambiguous`."""

    spent: MicroDollars
    reserved: MicroDollars
    ambiguous: MicroDollars
    settled_count: int
    released_count: int
    ambiguous_count: int
    usage: Usage


@dataclass(frozen=True, slots=True)
class Spending:
    """A job's money at one moment. `spent` includes `ambiguous`; `usage` is what settled answers reported.

    `overcharged` is by how much answers cost more than their worst case: the one way in which spent passes a cap.
    """

    cap: MicroDollars
    spent: MicroDollars
    reserved: MicroDollars
    ambiguous: MicroDollars
    settled_count: int
    released_count: int
    ambiguous_count: int
    usage: Usage
    by_oracle: Mapping[str, OracleSpending]
    overcharged: MicroDollars


LABEL_ERROR = "label error"
"""How the reason begins of a text whose accepted label looks wrong: people are shown it since it was chosen."""


@dataclass(frozen=True, slots=True)
class RouteRow:
    """Where triage sent one text, and why.

    `probability` is the recorded chance of having been sent there where chance decided (an audit), else None. That of
    a label that looks wrong is still the one with which an audit might have drawn it: nothing drew it, and whoever
    weighs by chances leaves it out (`agent.opinions.beside_triage`).
    `priority` orders the people's queue, higher first; None lets the store choose: doubt (1 - confidence), and for
    blind items a number that does not depend on the confidence, so that the order gives nothing away and a
    half-worked queue holds no biased part of the audit.
    """

    text_id: TextId
    label_id: int | None
    route: Route
    reason: str
    confidence: float | None = None
    blind: bool = False
    probability: float | None = None
    priority: float | None = None

    @property
    def is_accepted(self) -> bool:
        """The machine's label counts, also while a person audits it, or is shown it since it looks wrong."""
        return self.route is Route.ACCEPTED or self.blind or self.looks_wrong

    @property
    def looks_wrong(self) -> bool:
        """It was accepted, and people are shown it since it looks wrong."""
        return self.route is Route.PERSON and self.reason.startswith(LABEL_ERROR)


@dataclass(frozen=True, slots=True)
class QueueRow:
    """One text that waits for a person. `suggestion` is the machine's label, None where the item is blind. `votes`
    people labelled it, who disagree where it is `torn`."""

    text_id: TextId
    text: str
    reason: str
    blind: bool
    priority: float
    round: int
    slice: str
    why: Mapping[str, Any]
    suggestion: Label | None
    skipped: bool
    votes: int = 0
    torn: bool = False


@dataclass(frozen=True, slots=True)
class Queued:
    """How the queue stands for one person: texts that are `open` to them, that they put off, and that others disagree
    on, with how many of those they put off; how often they `labelled` one, and the id of the `newest` thing they did.
    What they took back does not count."""

    open: int
    put_off: int
    torn: int
    torn_put_off: int
    labelled: int
    newest: int | None


@dataclass(frozen=True, slots=True)
class HoneyPot:
    """A honey pot that a person has not answered: a text whose answer is known, to come before the text `beside`."""

    text_id: TextId
    text: str
    beside: TextId


@dataclass(frozen=True, slots=True)
class HoneyPotAnswer:
    """What a person said of a honey pot: what was `known`, and what they `gave`. It was one of `among` texts; each
    text that they were given came with one with this `probability`."""

    person: str
    text_id: TextId
    known: Value
    gave: Value
    probability: float
    among: int


@dataclass(frozen=True, slots=True)
class Filter:
    """Which of the texts that wait are wanted; what is None or False does not matter.

    `words` stand in the text, whatever their case. `label` is the machine's, or one of its several; its confidence is
    `low` to `high`, both included; `disagree`: the student and an oracle said different things. These three find no
    blind text. `round` is when it was sent to a person, `person` labelled it. `flagged` and `skipped` are by whoever
    asks, or `of_everybody` for flags. `bulk` is one whose items are to be checked.
    """

    words: str = ""
    label: str | None = None
    round: int | None = None
    low: float | None = None
    high: float | None = None
    person: str | None = None
    disagree: bool = False
    flagged: bool = False
    skipped: bool = False
    of_everybody: bool = False
    bulk: int | None = None

    @property
    def asks_machine(self) -> bool:
        """Whether it depends on what a machine said."""
        return self.label is not None or self.low is not None or self.high is not None or self.disagree


@dataclass(frozen=True, slots=True)
class Wish:
    """How many items a person wants next: for a `lead`, what others disagree on first; `again`, also what they put
    off; `only` what fits a filter."""

    person: str
    limit: int
    lead: bool = False
    again: bool = False
    only: Filter | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it is for whatever comes next, and for nothing that was put off or fits a filter."""
        return not self.again and self.only is None


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Somebody who may review a job, as a `reviewer` or as a `lead`; not any more since `revoked_at`."""

    name: str
    role: str
    created_at: datetime
    revoked_at: datetime | None = None


class History(NamedTuple):
    """One text with all its labels that stand, oldest first. `seconds` is how long people took, by the label's id;
    `route` is the newest decision, None without any; a text that was not picked has no round. `blind`: people are not
    to see what machines said, by that decision or since an audit drew the text."""

    text_id: TextId
    text: str
    labels: tuple[Label, ...]
    seconds: Mapping[int, float]
    route: RouteRow | None
    round: int | None
    slice: str
    blind: bool


@dataclass(frozen=True, slots=True)
class ReviewRow:
    """One thing a person did: label, skip, flag, decide, accept (what is left of the bulk `bulk_id`), or undo (of the
    review `undoes`). `undone` reads: this was taken back."""

    id: int
    text_id: TextId
    person: str
    action: str
    label_id: int | None
    undone: bool
    seconds: float
    blind: bool
    created_at: datetime
    undoes: int | None = None
    note: str | None = None
    bulk_id: int | None = None


@dataclass(frozen=True, slots=True)
class BulkRow:
    """Texts that fitted a filter (`asked`) when `person` wanted to accept their labels at once, `population` of them,
    in an order drawn by chance. The first `drawn` are to be checked, to show that fewer than `most_wrong` of all are
    wrong, with a chance of `alpha` to be mistaken."""

    id: int
    person: str
    asked: Mapping[str, Any]
    population: int
    drawn: int
    most_wrong: float
    alpha: float
    created_at: datetime


@dataclass(frozen=True, slots=True)
class BulkItem:
    """One label of a bulk that is to be checked, and what a person said of its text: `judged` tells whether one did,
    `skipped` whether one put it off."""

    text_id: TextId
    value: Any
    judged: bool
    given: Any
    skipped: bool


@dataclass(frozen=True, slots=True)
class Beside:
    """What a person gave a text, `blind` to what the `machine` had said of it; and the chance with which triage had
    drawn it for that, where it had."""

    blind: bool
    given: Any
    machine: Any
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class AuditItem:
    """One label that an audit drew: its place in the order of drawing and in people's queue (`priority`, higher
    first), its stratum, its chance to be drawn, the chance to be right that was foretold of it, and whether it was
    accepted then or waited for a person."""

    text_id: TextId
    label_id: int
    place: int
    priority: float
    stratum: int
    probability: float
    foretold: float
    accepted: bool


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One audit. `design` is what its figures need beside the items, see `agent.certifying.Design`. Once `closed_at`
    is set nothing of it waits for a person any more: its test is decided."""

    id: int
    design: Mapping[str, Any]
    created_at: datetime
    closed_at: datetime | None


@dataclass(frozen=True, slots=True)
class AuditAnswer:
    """One label that an audit drew, who gave it, and what a person said of its text: `judged` tells whether one did,
    `skipped` whether one put it off and nobody judged it."""

    item: AuditItem
    drawn: Any
    by: str
    judged: bool
    given: Any
    skipped: bool


@dataclass(frozen=True, slots=True)
class AuditLeft:
    """How many items of audits wait for a person, and how many more were skipped."""

    waiting: int
    skipped: int


@dataclass(frozen=True, slots=True)
class Sum:
    """How many of something, and what they cost together."""

    count: int
    cost: MicroDollars


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason why attempts gave no label. `state` is released, ambiguous, or `invalid` for a paid answer."""

    state: str
    reason: str
    count: int
    cost: MicroDollars


@dataclass(frozen=True, slots=True)
class RoundCost:
    """What attempts about the texts of one round and slice cost that are in one state."""

    round: int
    slice: str
    state: AttemptState
    cost: MicroDollars


@dataclass(frozen=True, slots=True)
class Trouble:
    """What went wrong with one text, oldest first as (reason, how often), and what all its attempts cost."""

    reasons: tuple[tuple[str, int], ...]
    cost: MicroDollars

    @property
    def times(self) -> int:
        return sum(count for _, count in self.reasons)


@dataclass(frozen=True, slots=True)
class TextCost:
    """What asking about one text came to, in micro-dollars: `plain` for answers whose tokens are known, `unclear` for
    all that was charged at its worst case. `good`: an answer came that is not known to be no label."""

    text_id: TextId
    plain: float
    unclear: float
    good: bool
