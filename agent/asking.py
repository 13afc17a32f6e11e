"""Metered asks: the only place where an oracle that does not know money meets a ledger that does not know models.

Each attempt is reserved, sent and ended; each retry is a new attempt. Equal questions share one answer, and one that
is in the store is not bought again. A text that fails never stops the others: after `attempts` failures, counted
over every run, it has failed for good. What can never succeed (a refused key, a tape without the answer) stops all
of them, once what is under way has come home.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import tenacity

from agent.balance import Balance, Endpoint, Turn
from agent.errors import AnswerInvalid, BudgetExceeded, Charge, EndpointError, OracleError, UserError
from agent.ledger import Ledger, Reservation
from agent.pacing import LONGEST_PAUSE_S, Pace
from agent.records import Answer, Oracle, Question, TextId
from agent.store import STOPPED, Store

LONGEST_WAIT_S = 30.0
FAILED_IN_A_ROW = 25  # texts of batches that came back without an answer, before the endpoint is given up
UNANSWERED = 20  # attempts in a row that got no answer, before the endpoint is given up
OVERCHARGED = 100  # part of the cap that answers may cost beyond their worst cases, before the run stops
PATIENCE_S = 300.0  # with an endpoint that says only that it is busy
SETTLING = 4  # for so many questions that may be in flight there is one more whose answer is being put on disk
BYTES_A_TOKEN = 4  # about, until answers tell
REMEDY = "start the server or mend `base_url`"

Check = Callable[[Question, Answer], None]


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
    at_once: int = 0
    exhausted: bool = False
    halted: bool = False


@dataclass
class Tries:
    """What was tried for one question, in this run and before: how often it failed, why, and what was said last."""

    failed: int = 0
    reasons: list[str] = field(default_factory=list)
    said: str | None = None
    hopeless: bool = False

    def unusable(self, said: str, problem: str) -> None:
        """An answer came that is no label. Who says the very same twice will say it again."""
        self.failed, self.hopeless, self.said = self.failed + 1, said == self.said, said
        self.reasons.append(problem)


class _Elsewhere(Exception):
    """The question was not taken where it was sent, and cost nothing: another endpoint is to get it."""


class Asker:
    """Asks one oracle, as many questions at a time as it can take.

    Args:
        oracle: who answers.
        ledger: who pays.
        store: where bought answers are.
        max_concurrency: most requests in flight, where no `balance` says it.
        attempts: failures of one question, after which it has failed for good.
        balance: its endpoints; by default one that is asked as fast as it answers.
        kept_under: names of the endpoints whose answers count as its own; by default those that the ledger knows.
        watch: called after each question with the live figures.
        remedy: what a person can do where nobody listens.
    """

    def __init__(
        self,
        oracle: Oracle,
        ledger: Ledger,
        store: Store,
        *,
        max_concurrency: int = 64,
        attempts: int = 3,
        balance: Balance | None = None,
        kept_under: Sequence[str] | None = None,
        watch: Callable[[Asking], None] = lambda _: None,
        remedy: str = REMEDY,
    ) -> None:
        self._remedy = remedy
        self.oracle, self._ledger, self._store = oracle, ledger, store
        self._attempts, self._watch, self._kept_under = attempts, watch, kept_under
        self.balance = balance or Balance([Endpoint(oracle, Pace(max_concurrency))])
        self._in_flight = 0
        self._freed = asyncio.Event()
        self._fatal: UserError | None = None
        self._unanswered = 0
        self._tokens_a_byte = 1 / BYTES_A_TOKEN
        self._loop: asyncio.AbstractEventLoop | None = None
        self.state = Asking()

    def halt(self) -> None:
        """Send nothing more; what is under way comes home. Safe to call from a signal handler."""
        self.state.halted = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.balance.stop)

    async def close(self) -> None:
        """Let go of the oracle."""
        await self.balance.close()

    async def ask(
        self, questions: Sequence[Question], check: Check = lambda _question, _answer: None
    ) -> dict[TextId, Asked]:
        """Ask them all. A text that is missing from the result was not asked: the money or the person said stop.

        Args:
            check: raises AnswerInvalid for an answer that is no label. It was paid; it counts as a failure, and the
                question is asked again unless it was answered with the very same words twice.

        Raises EndpointError or TapeMiss, after what was under way has been settled.
        """
        self._loop = asyncio.get_running_loop()
        if self.state.halted:
            self.balance.stop()
        self.state.total += len(questions)
        alike: dict[str, list[Question]] = {}
        for question in questions:
            alike.setdefault(question.key, []).append(question)
        found, tries = self._known(alike, check)
        self._note(found, known=True)
        waiting = iter([same[0] for key, same in alike.items() if same[0].text_id not in found])

        def keep(question: Question, asked: Asked) -> None:
            mine = shared(alike[question.key], asked)
            self._note(mine)
            found.update(mine)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self.balance.ceiling + self.balance.ceiling // SETTLING, len(alike))):
                group.create_task(self._work(waiting, tries, check, keep))
        if self._fatal is not None:
            raise self._fatal
        return found

    def _known(
        self, alike: Mapping[str, Sequence[Question]], check: Check
    ) -> tuple[dict[TextId, Asked], dict[str, Tries]]:
        """What the store has: answers that are labels, and what was tried for the questions that have none."""
        endpoints = self._ledger.known_at(self.oracle) if self._kept_under is None else self._kept_under
        bought = self._store.answers_for(alike, *endpoints)
        found: dict[TextId, Asked] = {}
        tries = {key: Tries(n) for key, n in self._store.failed_tries(self._ledger.job, alike).items()}
        for key, (answer_id, answer) in bought.items():
            problem = problem_of(alike[key][0], answer, check)
            if problem is None:
                found |= {q.text_id: Asked(q.text_id, answer, answer_id, bought=False) for q in alike[key]}
            else:
                before = tries.setdefault(key, Tries(1))
                before.said, before.reasons = answer.content, [problem]
        for key, before in tries.items():
            if before.failed >= self._attempts and alike[key][0].text_id not in found:
                reasons = tuple(before.reasons) or (f"no answer in {before.failed} attempts",)
                found |= {q.text_id: Asked(q.text_id, None, reasons=reasons, bought=False) for q in alike[key]}
        self._store.reuse(self._ledger.job, [(a.text_id, a.answer_id) for a in found.values() if a.answer_id])
        return found, tries

    def _note(self, found: Mapping[TextId, Asked], *, known: bool = False) -> None:
        self.state.known += len(found) if known else 0
        self.state.done += len(found)
        self.state.failed += sum(a.answer is None for a in found.values())
        self.state.at_once = self.balance.in_flight
        self._watch(self.state)

    async def _work(
        self,
        waiting: Iterator[Question],
        tries: Mapping[str, Tries],
        check: Check,
        keep: Callable[[Question, Asked], None],
    ) -> None:
        for question in waiting:
            if self.state.halted or self.state.exhausted or self._fatal is not None:
                return
            try:
                asked = await self._one(question, tries.get(question.key) or Tries(), check)
            except BudgetExceeded:
                self.state.exhausted = True
                return
            except UserError as error:
                self._end(error)
                return
            if asked is None:
                return
            keep(question, asked)

    def _end(self, error: UserError) -> None:
        """Nothing more can succeed: nobody waits for a turn any longer, and what is under way comes home."""
        self._fatal = self._fatal or error
        self.balance.stop()

    async def _one(self, question: Question, tries: Tries, check: Check) -> Asked | None:
        """One question, with as many attempts as the job allows; None where a person stopped it between two."""
        try:
            return await self._attempt(question, tries, check)
        except (OracleError, AnswerInvalid, _Elsewhere) as error:
            failed: Exception | None = error
        retrying = tenacity.AsyncRetrying(
            stop=lambda _: tries.hopeless or tries.failed >= self._attempts,
            wait=_wait,
            sleep=self._nap,
            retry=tenacity.retry_if_exception_type((OracleError, AnswerInvalid, _Elsewhere)),
            reraise=True,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    if failed is not None:  # the first attempt, made already: most questions need no other
                        first, failed = failed, None
                        try:
                            raise first
                        finally:
                            del first  # it holds this frame, and this frame it
                    return await self._attempt(question, tries, check)
        except OracleError as error:
            self._give_up_on_endpoint(error)
        except AnswerInvalid:
            pass
        return Asked(question.text_id, None, reasons=tuple(tries.reasons))

    def _give_up_on_endpoint(self, error: OracleError) -> None:
        """Raise EndpointError where it is not this text that fails: asking on would only burn money."""
        kept = "then run again: everything answered so far is kept"
        if error.unreachable:
            raise EndpointError(f"oracle {self.oracle.name}: {error}; {self._remedy}, {kept}")
        if self._unanswered >= UNANSWERED:
            raise EndpointError(
                f"oracle {self.oracle.name}: {self._unanswered} attempts in a row got no answer, the last one: "
                f"{error}; look at the server, {kept}"
            )

    async def _attempt(self, question: Question, tries: Tries, check: Check) -> Asked | None:
        """Wait for a turn, reserve, send, settle. However this ends, the reservation has ended with it.

        None where the turn never came: a person stopped it. Raises EndpointError where no endpoint is left.
        """
        written = sum(len(m.content) for m in question.messages)
        tokens = self._tokens_a_byte * written + question.picture_tokens + question.schema.max_tokens
        turn = await self.balance.enter(tokens)
        if turn is None:
            self._stop_where_nobody_answers()
            return None
        try:
            reservation = await self._reserve(question, turn)
            if reservation is None:
                return None
            answer = await self._send(question, reservation, tries, turn)
            try:
                settled = self._ledger.settle(reservation, answer)
                if (beyond := self._overcharged()) is not None:
                    self._end(beyond)
                self._learn(answer, tokens, question, turn)
            except BaseException:
                self._free()
                raise
        finally:
            self.balance.leave(turn)  # the endpoint does not wait for our disk: somebody else asks meanwhile
        try:
            answer_id = await settled
        finally:
            self._free()
        self._unanswered = 0
        problem = problem_of(question, answer, check)
        if problem is None:
            return Asked(question.text_id, answer, answer_id, tuple(tries.reasons))
        self._store.mark_invalid(answer_id, problem)
        tries.unusable(answer.content, problem)
        raise AnswerInvalid(problem)

    async def _send(self, question: Question, reservation: Reservation, tries: Tries, turn: Turn) -> Answer:
        """The one request that the reservation is for. Raises what it raised, the reservation ended."""
        try:
            return await turn.endpoint.oracle.ask(question, reservation.request_id)
        except OracleError as error:
            await self._fail(reservation, str(error), error.charge)
            self._judge(error, tries, turn)
            tries.reasons.append(str(error))
            raise
        except EndpointError as error:  # refused before any work was done
            await self._fail(reservation, str(error), Charge.NONE)
            if self.balance.is_alone:
                raise
            self.balance.failed(turn, str(error), certain=True)
            raise _Elsewhere from error
        except UserError as error:
            await self._fail(reservation, str(error), Charge.NONE)
            raise
        except BaseException as error:
            # cancelled or broken on our side: whether it was charged is not known, and nothing can be waited for
            self._ledger.abandon(reservation, f"{STOPPED}{type(error).__name__}")
            self._free()
            raise

    def _judge(self, error: OracleError, tries: Tries, turn: Turn) -> None:
        """Whose failure it is: a text's, or that of an endpoint which is asked too much, or is broken.

        Raises _Elsewhere where the question was not taken, and another endpoint may take it.
        """
        if error.adapted:
            self.balance.answered(turn)
            return  # of how it was asked: it is asked in another way at once
        pace = turn.endpoint.pace
        if error.busy:
            pace.refused(error.retry_after_s)
        problem = self._beyond_patience(error, pace)
        if problem is not None and self.balance.is_alone:
            raise problem
        is_broken = error.unreachable or (error.charge is Charge.UNKNOWN and error.retryable)
        if problem is not None:
            self.balance.failed(turn, str(problem), certain=True, wait_s=error.retry_after_s or 0.0)
        elif is_broken:
            self.balance.failed(turn, str(error))
        else:
            self.balance.answered(turn)
        was_not_taken = error.unreachable or (error.busy and (problem is not None or pace.paused_for() > 0))
        if was_not_taken and error.charge is Charge.NONE and not self.balance.is_alone:
            raise _Elsewhere
        if not (error.busy and error.charge is Charge.NONE):
            tries.failed += 1
            self._unanswered += self.balance.is_alone or not is_broken  # of several, who is broken is left out
        tries.hopeless = not error.retryable

    def _beyond_patience(self, error: OracleError, pace: Pace) -> EndpointError | None:
        """What to say where an endpoint is so busy that waiting for it makes no sense; None where it does."""
        if error.retry_after_s is not None and error.retry_after_s > LONGEST_PAUSE_S:
            minutes = min(error.retry_after_s / 60, 24 * 60)
            return EndpointError(
                f"oracle {self.oracle.name}: {error}; it asks for a wait of {minutes:.0f} minutes or more: "
                "run again then; everything answered so far is kept"
            )
        if pace.busy_for() > PATIENCE_S:
            return EndpointError(
                f"oracle {self.oracle.name}: {error}; it has been too busy for {PATIENCE_S / 60:.0f} minutes: set "
                "`limits` or a lower `max_concurrency`, then run again; everything answered so far is kept"
            )
        return None

    def _stop_where_nobody_answers(self) -> None:
        """Raises EndpointError where every endpoint is left out: asking on would only burn money."""
        if self.balance.all_out and not self.state.halted:
            each = "; ".join(f"{e.called}: {e.said}" for e in self.balance.endpoints)
            raise EndpointError(
                f"oracle {self.oracle.name}: none of its {len(self.balance.endpoints)} endpoints answers ({each}); "
                f"{self._remedy}, then run again: everything answered so far is kept"
            )

    def _overcharged(self) -> UserError | None:
        """A provider whose answers cost more than their worst case makes a cap worthless: stop in time."""
        over = self._ledger.overcharged
        if not over or over * OVERCHARGED <= self._ledger.purse.cap:
            return None
        return EndpointError(
            f"oracle {self.oracle.name}: its answers cost {over / 1e6:.6f} dollars more than their worst case, so no "
            "cap would hold: it ignores `max_completion_tokens`, `tokenizer` is another model's, or a picture has "
            "more than `image_tokens`; everything answered so far is kept"
        )

    def _learn(self, answer: Answer, tokens: float, question: Question, turn: Turn) -> None:
        used = answer.usage.prompt_tokens + answer.usage.completion_tokens if answer.usage else tokens
        turn.endpoint.pace.answered(tokens - used)
        self.balance.answered(turn)
        if answer.usage is not None:
            size = max(1, sum(len(m.content) for m in question.messages))
            of_words = max(0, answer.usage.prompt_tokens - question.picture_tokens)
            self._tokens_a_byte += (of_words / size - self._tokens_a_byte) / 10

    async def _reserve(self, question: Question, turn: Turn) -> Reservation | None:
        """A reservation; where the money is only tied up in flight, wait for some to come back. None where a person,
        or what can never succeed, stopped it meanwhile."""
        while not (self.state.halted or self._fatal):
            freed = self._freed
            try:
                reservation = await self._ledger.reserve(self.oracle, question, turn.endpoint.name)
            except BudgetExceeded:
                if freed.is_set():
                    continue
                if self._in_flight == 0:
                    raise
                await freed.wait()
            else:
                self._in_flight += 1
                return reservation
        return None

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

    async def _nap(self, seconds: float) -> None:
        await self.balance.nap(seconds)


def problem_of(question: Question, answer: Answer, check: Check) -> str | None:
    """Why an answer is no label of its task, None where it is one."""
    try:
        check(question, answer)
    except AnswerInvalid as error:
        return str(error)
    return None


def shared(alike: Sequence[Question], asked: Asked) -> dict[TextId, Asked]:
    """Every text's own copy of the answer that equal questions share: bought once."""
    return {
        q.text_id: Asked(q.text_id, asked.answer, asked.answer_id, asked.reasons, bought=asked.bought and place == 0)
        for place, q in enumerate(alike)
    }


def _wait(state: tenacity.RetryCallState) -> float:
    """Seconds to the next attempt: what the server asked for, else full jitter over 0.5, 1, 2, ... seconds.

    Jitter needs no seed: it changes when a question is asked, never which one.
    """
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, AnswerInvalid) or (isinstance(error, OracleError) and error.adapted):
        return 0.0
    jittered = tenacity.wait_random_exponential(multiplier=0.5, max=LONGEST_WAIT_S)(state)
    if isinstance(error, _Elsewhere):
        return jittered / 10
    if isinstance(error, OracleError) and error.retry_after_s is not None:
        return min(LONGEST_WAIT_S, error.retry_after_s) + jittered / 10
    return jittered
