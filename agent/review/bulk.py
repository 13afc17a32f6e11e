"""All texts that fit a filter are accepted at once, after a sample of them was checked: what a person does at a desk.

The sample is drawn by chance, and labelled one by one as everything else. When a sequential test (`agent.audit`) has
shown that fewer than `people.target_error` of the machines' labels are wrong, the rest may be accepted. It is looked
at whenever all that was drawn is checked, and more may be drawn: whoever looks often is not mistaken more often.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from agent.audit import Verdict, acceptance, at_most, needed
from agent.review.desk import Desk, Stale
from agent.store import BulkRow, Filter
from agent.tasks import is_right

ALPHA = 0.05
STREAM = 8128  # of the job's seed: no other random choice draws from it
ASKED = tuple(f.name for f in fields(Filter) if f.name not in {"bulk", "of_everybody"})
NOTHING = "Nothing that matches can be accepted at once: no machine's label of it is open to you."


@dataclass(frozen=True, slots=True)
class Check:
    """Where the check of a bulk is.

    Attributes:
        bulk: its id.
        asked: the filter, without what it does not ask.
        population: texts that it is about.
        sample: of them, that were drawn to be checked.
        left: of the sample, that nobody labelled or put off yet.
        wrong: of the sample, that a person labelled otherwise.
        skipped: of the sample, that a person put off: they count as wrong, so that nobody skips a label to a bulk.
        at_most: the share of the population that is wrong, at most.
        limit: the share that has to be ruled out.
        alpha: the chance to be mistaken about that.
        verdict: accept, reject, or open.
        more: items to check next, where it is open and nothing is left; 0 where that leads nowhere.
        rest: texts that may be accepted now.
        accepted: texts that were; None where they were not, or that was taken back.
    """

    bulk: int
    asked: dict[str, Any]
    population: int
    sample: int
    left: int
    wrong: int
    skipped: int
    at_most: float
    limit: float
    alpha: float
    verdict: str
    more: int
    rest: int
    accepted: int | None

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def plan(desk: Desk, only: Filter | None) -> dict[str, Any]:
    """What accepting all that fits a filter would take: how many texts it is, and how many are checked first. Draws
    nothing. Raises Stale where it cannot be had."""
    asked = _asked(desk, only)
    going = _going(desk, asked)
    if going is not None:
        return check(desk, going.id).told()
    assert only is not None  # or nothing was asked
    population = desk.store.acceptable(desk.job.name, desk.person, only)
    if not population:
        raise Stale(NOTHING)
    limit = desk.job.people.target_error
    return {"population": population, "sample": _first(population, limit), "limit": limit, "alpha": ALPHA}


def begin(desk: Desk, only: Filter | None) -> Check:
    """Draw what is checked first. A filter that this person began to check goes on where it was, so that nobody draws
    until it suits. Raises Stale where that cannot be."""
    asked = _asked(desk, only)
    store, job = desk.store, desk.job.name
    assert only is not None
    with store.transaction(job) as tx:
        going = _going(desk, asked)
        if going is not None:
            return check(desk, going.id)
        rng = np.random.default_rng([desk.job.seed, STREAM, len(store.bulks(job))])
        limit = desk.job.people.target_error
        made = store.draw_bulk(job, desk.person, only, asked, rng, most_wrong=limit, alpha=ALPHA, tx=tx)
        if made is None:
            raise Stale(NOTHING)
        store.draw_more(job, made.id, _first(made.population, limit), tx=tx)
    return check(desk, made.id)


def check(desk: Desk, bulk_id: int) -> Check:
    """Where a check of this person is. Raises Stale where it is not theirs."""
    bulk = _own(desk, bulk_id)
    store, job = desk.store, desk.job.name
    items = store.bulk_items(job, bulk)
    population = bulk.population - store.decided_since(job, bulk.id)
    bad = [i.judged and not is_right(desk.task, i.given, i.value, seen=True) for i in items]
    put_off = [i.skipped and not i.judged for i in items]
    left = sum(not (i.judged or i.skipped) for i in items)
    # in the order of drawing, up to the first that is left: the order of answers must not choose what is looked at
    seen = next((k for k, i in enumerate(items) if not (i.judged or i.skipped)), len(items))
    against = np.array([a or b for a, b in zip(bad, put_off, strict=True)][:seen], np.bool_)
    verdict, most, more = Verdict.OPEN, 1.0, 0
    if population:
        verdict = acceptance(against, population, bulk.most_wrong, bulk.alpha).verdict
        most = at_most(against, population, bulk.alpha)
        if verdict is Verdict.OPEN and not left:
            more = (needed(against, population, bulk.most_wrong, bulk.alpha) or len(items)) - len(items)
    taken = store.acceptances(job, [bulk.id]).get(bulk.id)
    return Check(
        bulk=bulk.id,
        asked=dict(bulk.asked),
        population=population,
        sample=len(items),
        left=left,
        wrong=sum(bad),
        skipped=sum(put_off),
        at_most=most,
        limit=bulk.most_wrong,
        alpha=bulk.alpha,
        verdict=str(verdict),
        more=more,
        rest=0 if taken else store.to_accept(job, bulk),
        accepted=taken[1] if taken else None,
    )


def more(desk: Desk, bulk_id: int) -> Check:
    """Draw what is to be checked next, where what was drawn decides nothing. Raises Stale where it is not so."""
    with desk.store.transaction(desk.job.name) as tx:
        found = check(desk, bulk_id)
        if found.left:
            return found  # the page asked twice
        if not found.more:
            raise Stale("No further check decides this one.")
        drawn = _own(desk, bulk_id).drawn + found.more
        desk.store.draw_more(desk.job.name, bulk_id, drawn, tx=tx)
    return check(desk, bulk_id)


def accept(desk: Desk, bulk_id: int, seconds: float) -> dict[str, Any]:
    """Accept the rest of a bulk whose check showed what it had to; a second time is the same as once. Undo takes it
    back as a whole. Returns how many texts were `accepted`. Raises Stale where it was not shown."""
    store, job = desk.store, desk.job.name
    with store.transaction(job) as tx:
        bulk, found = _own(desk, bulk_id), check(desk, bulk_id)
        if found.accepted is not None:
            return {"accepted": found.accepted}
        if found.left:
            raise Stale("Not all that was drawn is checked yet.")
        if found.verdict != Verdict.ACCEPT:
            raise Stale(f"It is not shown that fewer than {_percent(found.limit)} of the labels are wrong.")
        if not found.rest:
            raise Stale("Nothing is left to accept.")
        note = f"{found.wrong + found.skipped} of {found.sample} wrong: at most {_percent(found.at_most)}"
        _, count = store.accept_bulk(job, bulk, seconds, f"{note} of {found.population:,}", tx=tx)
    return {"accepted": count}


def _asked(desk: Desk, only: Filter | None) -> dict[str, Any]:
    """What a filter asks. Raises Stale where this person may not accept what fits it."""
    if desk.job.people.votes > 1 and not desk.lead:
        raise Stale("Where several people label each text, a lead may accept many at once.")
    asked = {} if only is None else {k: v for k in ASKED if (v := getattr(only, k)) != getattr(Filter(), k)}
    if not asked:
        raise Stale("Filter the texts first: what matches can be accepted at once.")
    return asked


def _going(desk: Desk, asked: dict[str, Any]) -> BulkRow | None:
    """The check of this filter that this person began, as long as something of it may still be accepted."""
    mine = [b for b in desk.store.bulks(desk.job.name) if b.person == desk.person and dict(b.asked) == asked]
    if not mine or desk.store.acceptances(desk.job.name, [mine[-1].id]):
        return None
    return mine[-1] if desk.store.to_accept(desk.job.name, mine[-1]) else None


def _own(desk: Desk, bulk_id: int) -> BulkRow:
    found = desk.store.bulk(desk.job.name, bulk_id)
    if found is None or found.person != desk.person:
        raise Stale("That is no check that you began.")
    return found


def _first(population: int, limit: float) -> int:
    return needed([], population, limit, ALPHA) or population


def _percent(share: float) -> str:
    """With one decimal, never rounded to less."""
    return f"{np.ceil(1000 * share - 1e-9) / 10:g} %"
