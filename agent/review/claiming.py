"""The next items of people who ask at about the same time, and how the queue stands for each: few statements for all.

Alone it is the same, for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.records import TextId
from agent.store import Filter, HoneyPot, QueueRow, Wish

if TYPE_CHECKING:
    from agent.review.desk import Desk


@dataclass(frozen=True)
class Ask:
    """What somebody wants to see next, see `Desk.claim`."""

    desk: Desk
    limit: int
    again: bool = False
    only: Filter | None = None


def claim(asks: Sequence[Ask]) -> list[list[QueueRow]]:
    """The next items for each, of one job. They are that person's for `people.lease_minutes`.

    None once the people's minutes are used up: what a person is at then is still saved, but nothing is added.
    """
    one = asks[0].desk
    minutes = one.minutes()
    if minutes is not None and minutes["used"] >= minutes["of"]:
        for ask in asks:
            ask.desk.let_go()
        return [[] for _ in asks]
    wishes = [Wish(ask.desk.person, ask.limit, ask.desk.lead, ask.again, ask.only) for ask in asks]
    found = one.store.claim(one.job.name, wishes, 60 * one.job.people.lease_minutes)
    if not one.job.people.honey_pots:
        return found
    return [rows if ask.only else _with_honey_pots(ask.desk, rows) for ask, rows in zip(asks, found, strict=True)]


def _with_honey_pots(desk: Desk, rows: Sequence[QueueRow]) -> list[QueueRow]:
    """The next items with the honey pots that come with them, which look like any blind text."""
    store, share, job, seed = desk.store, desk.job.people.honey_pots, desk.job.name, desk.job.seed
    store.draw_honey_pots(job, desk.person, share, [row.text_id for row in rows], seed=seed, known=desk.known)
    left = {pot.text_id: pot for pot in store.open_honey_pots(job, desk.person)}
    here: list[QueueRow] = []
    for row in rows:
        mine = [pot for pot in left.values() if pot.beside == row.text_id]
        here += [*(pot_as_row(left.pop(pot.text_id)) for pot in mine), row]
    return [*map(pot_as_row, left.values()), *here]  # what is left of an earlier page comes first


def figures(desks: Sequence[Desk]) -> list[dict[str, Any]]:
    """How much is left to each person (without what they skipped), skipped and done by them, and their newest act;
    what waits for a lead, too."""
    one = desks[0]
    with one.store.at_once():
        queued, minutes = one.store.queued(one.job.name, [desk.person for desk in desks]), one.minutes()
    found = []
    for desk in desks:
        mine, lead = queued[desk.person], desk.lead
        found.append(
            {
                "left": mine.open + (mine.torn - mine.torn_put_off if lead else 0),
                "skipped": mine.put_off + (mine.torn_put_off if lead else 0),
                # who is asked for a vote would see by it how others voted
                "torn": mine.torn if lead else 0,
                "done": mine.labelled,
                "newest": mine.newest,
                "minutes": minutes,
            }
        )
    return found


def pot_as_row(pot: HoneyPot) -> QueueRow:
    """A honey pot as any blind item of the queue."""
    return as_row(pot.text_id, pot.text, blind=True)


def as_row(text_id: TextId, text: str, *, blind: bool) -> QueueRow:
    """A text that does not wait, as if it did."""
    return QueueRow(
        text_id=text_id,
        text=text,
        reason="",
        blind=blind,
        priority=0.0,
        round=0,
        slice="",
        why={},
        suggestion=None,
        skipped=False,
    )
