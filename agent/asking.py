"""Asking inside the budget: reserve, send, settle, and only then read the answer.

This is where an oracle that does not know money meets a ledger that does not know models. Every retry is a new
reservation. What was answered before is not bought again. One text that fails never stops the others; what can never
succeed (a refused key, a tape without the answer) stops all of them, once what is under way has come home.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import tenacity

from agent.errors import BudgetExceeded, Charge, EndpointError, OracleError, UserError
from agent.ledger import Ledger, Reservation
from agent.records import Answer, Oracle, Question, TextId
from agent.store import Store

LONGEST_WAIT_S = 30.0
FAILED_IN_A_ROW = 25  # texts without an answer, each after all its attempts, before the endpoint is given up


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of one question.

    `answer` is None where every attempt failed; `reasons` says why. `bought` is False where the answer was known.
    """

    text_id: TextId
    answer: Answer | None
    answer_id: int | None = None
    reasons: tuple[str, ...] = ()
    bought: bool = True


@dataclass
class Asking:
    """How a batch went, while it goes: the live figures that a person watches.

    `exhausted` is set where the budget does not pay for another question; `halted` where a person stopped it.
    """

    total: int = 0
    done: int = 0
    known: int = 0
    failed: int = 0
    exhausted: bool = False
    halted: bool = False


class Asker:
    """Asks one oracle, at most `concurrency` questions at a time.

    Args:
        oracle: who answers.
        ledger: who pays.
        store: where bought answers are.
        concurrency: requests in flight.
        attempts: tries a question.
        watch: called after each question with the live figures.
    """

    def __init__(
        self,
        oracle: Oracle,
        ledger: Ledger,
        store: Store,
        *,
        concurrency: int = 16,
        attempts: int = 3,
        watch: Callable[[Asking], None] = lambda _: None,
    ) -> None:
        self.oracle, self._ledger, self._store = oracle, ledger, store
        self._concurrency, self._attempts, self._watch = concurrency, attempts, watch
        self._in_flight = 0
        self._freed = asyncio.Event()
        self._fatal: UserError | None = None
        self._failed_in_a_row = 0
        self.state = Asking()

    def halt(self) -> None:
        """Send nothing more; what is under way comes home. Safe to call from a signal handler."""
        self.state.halted = True

    async def ask(self, questions: Sequence[Question]) -> dict[TextId, Asked]:
        """Ask them all. A text that is missing from the result was not asked: the money or the person said stop.

        Raises EndpointError or TapeMiss, after what was under way has been settled.
        """
        self.state.total += len(questions)
        found = self._known(questions)
        self.state.known += len(found)
        self.state.done += len(found)
        self._watch(self.state)
        waiting = iter([q for q in questions if q.text_id not in found])
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._concurrency, len(questions) - len(found))):
                group.create_task(self._work(waiting, found))
        if self._fatal is not None:
            raise self._fatal
        return found

    def _known(self, questions: Sequence[Question]) -> dict[TextId, Asked]:
        answers = self._store.answers_for([q.key for q in questions], self._ledger.endpoint(self.oracle))
        return {
            q.text_id: Asked(q.text_id, answers[q.key].answer, answers[q.key].answer_id, bought=False)
            for q in questions
            if q.key in answers
        }

    async def _work(self, waiting: Iterator[Question], found: dict[TextId, Asked]) -> None:
        for question in waiting:
            if self.state.halted or self.state.exhausted or self._fatal is not None:
                return
            try:
                asked = await self._one(question)
            except BudgetExceeded:
                self.state.exhausted = True
                return
            except UserError as error:
                self._fatal = self._fatal or error
                return
            if asked is None:
                return
            found[question.text_id] = asked
            self.state.done += 1
            self.state.failed += asked.answer is None
            self._watch(self.state)

    async def _one(self, question: Question) -> Asked | None:
        """One question, with as many attempts as the job allows; None where a person stopped it between two."""
        reasons: list[str] = []
        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(self._attempts),
            wait=_wait,
            retry=tenacity.retry_if_exception(lambda e: isinstance(e, OracleError) and e.retryable),
            reraise=True,
        )
        try:
            async for attempt in retrying:
                if self.state.halted and reasons:
                    return None  # a retry is sent anew: this text waits for the next run
                with attempt:
                    return await self._attempt(question, reasons)
        except OracleError as error:
            self._give_up_on_endpoint(error)
        return Asked(question.text_id, None, reasons=tuple(reasons))

    def _give_up_on_endpoint(self, error: OracleError) -> None:
        """Raise EndpointError where it is not this text that fails: asking on would only burn money."""
        self._failed_in_a_row += 1
        if error.unreachable:
            raise EndpointError(
                f"oracle {self.oracle.name}: {error}; start the server or mend `base_url`, then run again: "
                "everything answered so far is kept"
            )
        if self._failed_in_a_row >= FAILED_IN_A_ROW:
            raise EndpointError(
                f"oracle {self.oracle.name}: {self._failed_in_a_row} texts in a row got no answer, the last one: "
                f"{error}; look at the server, then run again: everything answered so far is kept"
            )

    async def _attempt(self, question: Question, reasons: list[str]) -> Asked:
        """Reserve, send, settle. However this ends, the reservation has ended with it."""
        reservation = await self._reserve(question)
        try:
            answer = await self.oracle.ask(question)
        except OracleError as error:
            reasons.append(str(error))
            await self._fail(reservation, str(error), error.charge)
            raise
        except UserError as error:  # refused before any work was done
            await self._fail(reservation, str(error), Charge.NONE)
            raise
        except BaseException as error:
            # cancelled or broken on our side: whether it was charged is not known
            await asyncio.shield(self._fail(reservation, f"stopped: {type(error).__name__}", Charge.UNKNOWN))
            raise
        try:
            answer_id = await self._ledger.settle(reservation, answer)
        finally:
            self._free()
        self._failed_in_a_row = 0
        return Asked(question.text_id, answer, answer_id, tuple(reasons))

    async def _reserve(self, question: Question) -> Reservation:
        """A reservation; where the money is only tied up in flight, wait for some to come back."""
        while True:
            freed = self._freed
            try:
                reservation = await self._ledger.reserve(self.oracle, question)
            except BudgetExceeded:
                if freed.is_set():
                    continue
                if self._in_flight == 0:
                    raise
                await freed.wait()
            else:
                self._in_flight += 1
                return reservation

    async def _fail(self, reservation: Reservation, reason: str, charge: Charge) -> None:
        try:
            if charge is Charge.NONE:
                await self._ledger.release(reservation, reason)
            else:
                await self._ledger.ambiguous(reservation, reason)
        finally:
            self._free()

    def _free(self) -> None:
        self._in_flight -= 1
        self._freed.set()
        self._freed = asyncio.Event()


def _wait(state: tenacity.RetryCallState) -> float:
    """Seconds to the next attempt: what the server asked for, else full jitter over 0.5, 1, 2, ... seconds.

    Jitter needs no seed: it changes when a question is asked, never which one.
    """
    error = state.outcome.exception() if state.outcome else None
    jittered = tenacity.wait_random_exponential(multiplier=0.5, max=LONGEST_WAIT_S)(state)
    if isinstance(error, OracleError) and error.retry_after_s is not None:
        return min(LONGEST_WAIT_S, error.retry_after_s) + jittered / 10
    return jittered
