"""Serves the review page from this process until Ctrl-C."""

from __future__ import annotations

import contextlib
import sys
import threading
import webbrowser
from collections.abc import Sequence

import uvicorn

from agent.errors import UserError
from agent.job import Job
from agent.records import Text, Value
from agent.review.app import create_app
from agent.review.rehearsal import rehearse
from agent.store import Store
from agent.store.reviewers import LEAD
from agent.tasks import Task
from agent.web import address, bound, hosts, is_loopback, listen, quiet

AT_ONCE = 3
"""Connections to the database that many people use at a time: one saves, two look tokens up."""
SWITCH_S = 0.0005
"""How long a thread of the server may work before another has its turn. Whoever is saving an answer asks the database
ten times for it, and would wait five milliseconds, Python's default, to go on after each."""


def serve(  # noqa: PLR0917  (the first six are what a command passes)
    store: Store,
    job: Job,
    task: Task,
    person: str | None,
    host: str = "127.0.0.1",
    port: int = 8765,
    open_browser: bool = False,
    known: Sequence[tuple[Text, Value]] = (),
) -> None:
    """Serve the page, print its address, and return after Ctrl-C.

    `known` are texts whose answer is known, for honey pots. Port 0 takes any free one. `person` is who reviews; None
    where several do, with tokens. On an address that other machines can reach it is always tokens. Raises UserError
    where the person has no name, nobody has a token, or the address cannot be had.
    """
    if person is not None:
        check_name(person)
    with contextlib.closing(bound(host, port)) as sock:
        person = person if is_loopback(sock) else None
        if person is None:
            check_people(store, job)
        store.take_stock()
        store.recount(job.name)
        rehearse(store, job, task, connections=1 if person is not None else AT_ONCE)
        app = create_app(store, job, task, person, hosts=hosts(sock, host), known=known)
        listen(sock, host, port)
        url = address(sock, host)
        if person is None:
            print(f"Review of {job.name}: {url}?key=TOKEN, with each one's own token in place of TOKEN", flush=True)
        else:
            print(f"Review of {job.name} as {person}: {url}", flush=True)
        print("Ctrl-C ends it. Every answer is saved at once.", flush=True)
        if not is_loopback(sock):
            print("Other machines can reach this address, unencrypted: put it behind HTTPS beyond your own network.",
                  file=sys.stderr)  # fmt: skip
        if open_browser:
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        sys.setswitchinterval(SWITCH_S)
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again once everything is closed
            uvicorn.Server(quiet(app)).run(sockets=[sock])


def check_people(store: Store, job: Job) -> None:
    """Raises UserError where nobody has a token, and says so where some texts would wait for ever."""
    people = [r for r in store.reviewers(job.name) if r.revoked_at is None]
    if not people:
        raise UserError(
            "nobody has a token yet, and other people are to review: let each in by name, "
            "labelwright reviewers add JOB.YAML ada"
        )
    votes = job.people.votes
    if len(people) < votes:
        print(f"`people.votes` is {votes}, and {len(people)} may review: no text is done before more are let in.",
              file=sys.stderr)  # fmt: skip
    if votes > 1 and not any(r.role == LEAD for r in people):
        print("Nobody is a lead: what people disagree on waits for one (reviewers add NAME --role lead).",
              file=sys.stderr)  # fmt: skip


def check_name(person: str) -> None:
    """Raises UserError for what is no name to keep labels under."""
    if not person.strip() or not person.isprintable():
        raise UserError(f"who reviews? {person!r} is no name to keep labels under; give one, such as ada")
