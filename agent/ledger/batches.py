"""The money of batches: attempts reserved in one commit with the batch that they are sent in, and ended in groups.

What is reserved here outlives the process: a provider works on without us, and the next run asks what came of it.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agent.errors import Charge
from agent.job import OracleSettings
from agent.ledger.ledger import endpoint_of
from agent.ledger.prices import Tariff, charge, gpu_time, shares
from agent.records import Answer, MicroDollars, Question
from agent.store import AttemptState, BatchRow, BatchState, End, OpenLine, Store, StoredAnswer, Wanted
from agent.store.engine import in_parts

GROUP = 256  # attempts that are ended in one commit


@dataclass(frozen=True, slots=True)
class Opened:
    """A batch whose attempts are reserved: `lines` are those of the questions that the cap had room for, in order."""

    batch: BatchRow
    lines: list[tuple[Question, OpenLine]]


@dataclass(frozen=True, slots=True)
class LineEnd:
    """What came of one line: an answer, or why there is none and whether that may have been charged. `adapted` where
    it was the way of asking that was refused, and will be another one next time."""

    line: OpenLine
    answer: Answer | None = None
    reason: str = ""
    charge: Charge = Charge.NONE
    retryable: bool = True
    adapted: bool = False


class BatchLedger:
    """The batches of one oracle in one job's purse. Blocks while it writes; call it from a thread of its own.

    Args:
        store: where the job is open.
        job: its name.
        settings: the oracle's.
        owner: who reserves.
        tariff: the oracle's tariff in batches; by default with the bound from bytes.
    """

    def __init__(
        self, store: Store, job: str, settings: OracleSettings, *, owner: str, tariff: Tariff | None = None
    ) -> None:
        self.store, self.job, self.oracle = store, job, settings.name
        self.settings, self._owner = settings, owner
        self._tariff = tariff or Tariff.in_batches(settings)
        self._endpoint = endpoint_of(settings)

    def open(self, questions: Sequence[Question], least: int = 1) -> Opened:
        """A new batch of as many of the questions as the cap has room for, in order: prepared, in one commit.

        All questions are of one prompt. Raises BudgetExceeded where the cap has no room for `least` of them.
        """
        worsts = self._worsts(questions, alone=least <= 1)
        wanted = [Wanted(self.oracle, q.key, q.text_id, w) for q, w in zip(questions, worsts, strict=True)]
        details = {"prompt_hash": questions[0].prompt_hash, "nonce": uuid.uuid4().hex}
        with self.store.transaction() as tx:
            batch_id = self.store.add_batch(self.job, self.oracle, details, tx=tx)
            ids = self.store.reserve_many(self.job, wanted, owner=self._owner, batch_id=batch_id, tx=tx)
            lines = [
                (question, OpenLine(attempt_id, w.question_key, w.text_id, w.worst))
                for question, w, attempt_id in zip(questions, wanted, ids, strict=True)
                if attempt_id is not None
            ]
            if len(lines) < max(1, least):
                raise self.store.no_room(self.job, worsts[0], tx=tx)
            known: dict[str, Any] = {"lines": len(lines), "limit_s": self._limit_s(lines)}
            batch = self.store.move_batch(batch_id, BatchState.PREPARED, details=known, tx=tx)
        return Opened(batch, lines)

    def move(self, batch: BatchRow, state: BatchState, **what: Any) -> BatchRow:
        """See `Store.move_batch`."""
        return self.store.move_batch(batch.id, state, **what)

    def end(self, batch: BatchRow, ends: Sequence[LineEnd]) -> dict[int, int]:
        """End attempts, a few hundred a commit, each answer kept with what it cost. Attempt to answer id.

        An answer without usage costs what was reserved for it.
        """
        found: dict[int, int] = {}
        for part in in_parts(ends, GROUP):
            ids = self.store.end_many([self._ended(batch, e, self._cost(e)) for e in part])
            found |= {e.line.attempt_id: i for e, i in zip(part, ids, strict=True) if i is not None}
        return found

    def end_by_time(self, batch: BatchRow, ends: Sequence[LineEnd], seconds: float | None) -> dict[int, int]:
        """The same where the price is one for time: what the batch took is shared by the lines that were answered.

        What those cannot bear is borne by lines without an answer, as many as it takes; the others cost nothing. A
        command that outlived us may have taken more than all of them had set aside: the answered ones cost that too.
        Where nobody knows how long it took, every line costs its worst case. All of it in one commit: a share depends
        on all the others.
        """
        answered = [e for e in ends if e.answer is not None]
        failed = [e for e in ends if e.answer is None]
        reserved = MicroDollars(sum(e.line.worst for e in ends))
        total = reserved if seconds is None else gpu_time(self._tariff.price, seconds)
        costs = shares(MicroDollars(total), [e.line.worst for e in answered])
        beyond = shares(MicroDollars(max(0, total - reserved)), [MicroDollars(total)] * len(answered))
        costs = [MicroDollars(cost + more) for cost, more in zip(costs, beyond, strict=True)]
        rows = [self._ended(batch, e, cost) for e, cost in zip(answered, costs, strict=True)]
        left = total - sum(costs)
        for e in failed:
            charged = Charge.UNKNOWN if left > 0 else Charge.NONE
            left -= e.line.worst
            rows.append(self._ended(batch, LineEnd(e.line, None, e.reason, charged), MicroDollars(0)))
        ids = self.store.end_many(rows)
        return {r.attempt_id: i for r, i in zip(rows, ids, strict=True) if i is not None}

    @property
    def by_time(self) -> bool:
        """Whether the price is one for time."""
        return self._tariff.price.gpu_hour is not None

    def _cost(self, end: LineEnd) -> MicroDollars:
        if end.answer is None:
            return MicroDollars(0)
        return end.line.worst if end.answer.usage is None else charge(self._tariff.price, end.answer.usage)

    def _ended(self, batch: BatchRow, end: LineEnd, cost: MicroDollars) -> End:
        if end.answer is None:
            state = AttemptState.RELEASED if end.charge is Charge.NONE else AttemptState.AMBIGUOUS
            return End(end.line.attempt_id, state, end.reason)
        stored = StoredAnswer(
            end.line.question_key, self._endpoint, end.answer, str(batch.details.get("prompt_hash", ""))
        )
        return End(end.line.attempt_id, AttemptState.SETTLED, "", cost, end.answer.usage, stored)

    def _worsts(self, questions: Sequence[Question], *, alone: bool) -> list[MicroDollars]:
        """A file is paid for the time that it may take, by all its lines together.

        An engine is loaded already: what is left of the money may be less than that, if the file is the only one. A
        command would spend it on loading.
        """
        files, price = self.settings.run_batch, self._tariff.price
        if files is None or not self.by_time:
            return [self._tariff.worst(q) for q in questions]
        whole = int(gpu_time(price, files.timeout_s))
        if files.llm is not None and alone:
            purse = self.store.job(self.job)
            left, one = purse.cap - purse.spent - purse.reserved, int(gpu_time(price, self.settings.timeout_s))
            if left < min(one, whole):
                return [MicroDollars(min(one, whole))] * len(questions)  # none of which is to be had
            if left < whole:
                return [MicroDollars(max(1, left // len(questions)))] * len(questions)
        return [MicroDollars(-(-whole // len(questions)))] * len(questions)

    def _limit_s(self, lines: Sequence[tuple[Question, OpenLine]]) -> float | None:
        """Seconds that a command may take: its time-out, or what the money that could be set aside pays for."""
        command, rate = self.settings.run_batch, self._tariff.price.gpu_hour
        if command is None or not rate:
            return None if command is None else command.timeout_s
        paid_s = float(sum(line.worst for _, line in lines) * 3600 / (rate * 1_000_000))
        return min(command.timeout_s, paid_s)
