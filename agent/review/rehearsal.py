"""Doing once what people will ask for, before they can: so that nobody waits for what is slow the first time.

Statements are made, and planned where the database plans them for long, tables are read into memory. With fifty
people whose pages come back after a restart, all of that would be in front of each of them.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress

from agent.job import Job
from agent.review.claiming import Ask, claim, figures
from agent.review.desk import Desk, NotALabel, Stale
from agent.store import Store
from agent.tasks import Task

TIMES = 7
"""PostgreSQL's driver has a statement prepared when it comes for the sixth time."""


class _Over(Exception):
    """Nothing of it is to be kept."""


def rehearse(store: Store, job: Job, task: Task, connections: int = 1) -> None:
    """Look at what is next, label one text, put one off and take both back, as a lead who is nobody; nothing of it is
    kept. Where the store cannot be used now, or a task of one's own fails, that is for the first who asks to learn.

    `connections` to the database are got ready: as many as are used at a time once many ask.
    """
    with suppress(Exception), ExitStack() as used:
        for _ in range(connections):
            for _ in range(TIMES):
                _rehearse(store, job, task)
            # writers take turns, and would all be given this connection
            used.enter_context(store.snapshot())


def _rehearse(store: Store, job: Job, task: Task) -> None:
    nobody = Desk(store, job, task, "", lead=True)
    with suppress(_Over, Stale, NotALabel), store.transaction(job.name, few=True) as tx:
        with store.joined(tx):
            _act(nobody)
        raise _Over


def _act(desk: Desk) -> None:
    store, job = desk.store, desk.job.name
    store.reviewer(job, "")
    rows = desk.claim(8, again=True)
    several = [desk, desk.of("", lead=False)]
    claim([Ask(one, 8) for one in several])
    figures(several)
    if not rows:
        return
    desk.skip(rows[-1].text_id, 0.0)
    store.undo_review(job, desk.person)
    name = desk.task.names[0] if desk.task.names else ""
    desk.label(rows[0].text_id, [name] if desk.task.widget == "multiple" else name, 0.0)
    store.undo_review(job, desk.person)
    desk.let_go()
