"""The ledger: nobody sends a request without a reservation on disk, and every reservation ends once."""

from __future__ import annotations

import asyncio
import os
import socket
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from agent.job import OracleSettings, without_secrets
from agent.ledger.commits import GroupCommits
from agent.ledger.gpu import GpuClock
from agent.ledger.prices import Tariff, charge, gpu_time
from agent.records import Answer, MicroDollars, Question
from agent.store import Store, StoredAnswer

T = TypeVar("T")


class Named(Protocol):
    """Anything with a name; an oracle has one."""

    @property
    def name(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Reservation:
    """Leave to send one question once. `worst` micro-dollars are set aside for it."""

    attempt_id: int
    oracle: str
    question: Question
    worst: MicroDollars


@dataclass(frozen=True)
class _Account:
    """One oracle of the job: who answers, at what price."""

    endpoint: str
    tariff: Tariff
    clock: GpuClock = field(default_factory=GpuClock)


class Ledger:
    """The purse of one job. Used from one event loop; everything returned is on disk by then.

    Args:
        store: where the job was opened already.
        job: its name.
        oracles: those of the job file. Raises PriceMissing for one without a price.
        owner: who reserves, different for every run; made up where not given.
    """

    def __init__(
        self, store: Store, job: str, oracles: Sequence[OracleSettings], *, owner: str | None = None
    ) -> None:
        self._accounts = {o.name: _Account(endpoint_of(o), Tariff.of(o)) for o in oracles}
        self._store, self._job = store, job
        self.owner = owner or f"{os.getpid()}@{socket.gethostname()}/{uuid.uuid4().hex[:8]}"
        self._commits = GroupCommits(store)

    def endpoint(self, oracle: Named | str) -> str:
        """Under what name an oracle's answers are kept, for `Store.answers_for`."""
        return self._account(oracle).endpoint

    def worst(self, oracle: Named | str, question: Question) -> MicroDollars:
        """What `reserve` would set aside."""
        return self._account(oracle).tariff.worst(question)

    def recover(self) -> int:
        """Call ambiguous what earlier runs left open, as they may have sent it; returns how many attempts.

        Call it once, at the start, while holding the job's RunLock: only then is every other owner dead.
        """
        return self._store.abandon_reservations(self._job, self.owner)

    async def reserve(self, oracle: Named | str, question: Question) -> Reservation:
        """Set the worst case aside. Raises BudgetExceeded where the cap has no room for it, StoreError.

        Cancelled while waiting, it gives back what it may have reserved: nothing was sent.
        """
        name = _name(oracle)
        account = self._account(name)
        worst = account.tariff.worst(question)
        key, text_id = question.key, question.text_id
        future = self._commits.submit(
            lambda tx: self._store.reserve(self._job, name, key, text_id, worst, owner=self.owner, tx=tx)
        )
        try:
            attempt_id = await _resolved(future)
        except asyncio.CancelledError:
            future.add_done_callback(self._give_back)
            raise
        account.clock.begin(attempt_id, time.monotonic())
        return Reservation(attempt_id, name, question, worst)

    async def settle(self, reservation: Reservation, answer: Answer) -> int:
        """Pay for an answer and keep it, in one commit; returns the answer's id. Do this before parsing it.

        An answer without usage costs what was reserved. Raises StoreError where the attempt ended before.
        """
        account = self._accounts[reservation.oracle]
        seconds = account.clock.end(reservation.attempt_id, time.monotonic())
        price = account.tariff.price
        if price.gpu_hour is not None:
            cost = gpu_time(price, seconds)
        else:
            cost = reservation.worst if answer.usage is None else charge(price, answer.usage)
        question = reservation.question
        stored = StoredAnswer(question.key, account.endpoint, answer, question.prompt_hash)
        return await self._write(
            lambda tx: self._store.settle(reservation.attempt_id, cost, answer.usage, stored, tx=tx)
        )

    async def release(self, reservation: Reservation, reason: str) -> None:
        """Give the reservation back: the attempt certainly cost nothing. StoreError where it ended before."""
        self._accounts[reservation.oracle].clock.forget(reservation.attempt_id)
        await self._write(lambda tx: self._store.release(reservation.attempt_id, reason, tx=tx))

    async def ambiguous(self, reservation: Reservation, reason: str) -> None:
        """Count the reservation as spent: the attempt may have cost money. StoreError where it ended before."""
        self._accounts[reservation.oracle].clock.end(reservation.attempt_id, time.monotonic())
        await self._write(lambda tx: self._store.mark_ambiguous(reservation.attempt_id, reason, tx=tx))

    def close(self) -> None:
        """Wait for the last commit. What is still reserved stays so, and is ambiguous for the next run."""
        self._commits.close()

    async def __aenter__(self) -> Ledger:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()

    async def _write(self, operation: Callable[[Connection], T]) -> T:
        # Shielded by _resolved: who stops waiting does not stop the writing.
        return await _resolved(self._commits.submit(operation))

    def _give_back(self, future: Future[int]) -> None:
        if future.exception() is not None:
            return
        attempt_id = future.result()
        with suppress(RuntimeError):  # closed meanwhile: the next run will call it ambiguous
            self._commits.submit(lambda tx: self._store.release(attempt_id, "cancelled before sending", tx=tx))

    def _account(self, oracle: Named | str) -> _Account:
        return self._accounts[_name(oracle)]


def endpoint_of(oracle: OracleSettings) -> str:
    """Who answers, as it is kept beside answers: the address without secrets, or the tape's file name.

    The model is part of each question's key already.
    """
    return f"tape:{Path(oracle.tape).name}" if oracle.tape is not None else without_secrets(oracle.base_url) or ""


def _name(oracle: Named | str) -> str:
    return oracle if isinstance(oracle, str) else oracle.name


async def _resolved(future: Future[T]) -> T:
    waiting = asyncio.wrap_future(future)
    waiting.add_done_callback(lambda f: f.cancelled() or f.exception())  # seen, also where nobody waits any more
    return await asyncio.shield(waiting)
