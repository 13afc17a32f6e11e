"""What came back of a batch: whose each line is, and what that means for those who asked.

A file may hold a line twice, a line of somebody else, half a line, or not all of them, in any order.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.asking import FAILED_IN_A_ROW, Asked, Check, Tries, problem_of
from agent.errors import Charge, EndpointError, OracleError
from agent.ledger import LineEnd
from agent.oracle.carrier import UNWATCHED, Look
from agent.oracle.lines import Returned, read_lines
from agent.records import Answer, Question
from agent.store import BatchRow, OpenLine, Store

SENT_TWICE = 2  # batches that a question goes out in, before it counts as failed for now
REFUSED = 10  # batches in a row that were not taken, before the endpoint is given up for now
LOST = 30  # looks at one batch in a row that brought nothing: about half an hour
FORGOTTEN = timedelta(hours=48)  # no batch lives longer than a day
NAMELESS = 36  # first waits between two looks, that a file may take to be named once its batch is over
NEVER_DONE = ("expired", "cancelled")  # ends of a batch that leave lines unasked
TWICE, UNKNOWN, UNREADABLE = "came twice", "were not of this batch", "could not be read"


@dataclass(frozen=True, slots=True)
class Counts:
    """Lines of a batch, as the provider counts them."""

    completed: int
    failed: int
    total: int


@dataclass
class Harvest:
    """One pass over a batch's files.

    Args:
        lines: attempts that have not ended, by id.
        ended: attempts of the batch that ended in an earlier pass.
        model: what to call the model where a line does not say.
        secret: a key that is not to be stored, should a line quote it.
        teach: is shown what was refused; whether the same question, asked in another way, may be taken.
    """

    lines: Mapping[int, OpenLine]
    ended: set[int]
    model: str
    secret: str | None = None
    teach: Callable[[Returned], bool] = lambda _: False
    answered: int = 0
    adapted: int = 0
    last: str = ""  # why the last one that has no answer has none
    odd: Counter[str] = field(default_factory=Counter)
    _seen: set[int] = field(default_factory=set)
    _completed: int = 0

    def read(self, paths: Sequence[Path]) -> Iterator[LineEnd]:
        """What became of each attempt that is named in the files, once: an answer, if there is one, wherever it is.

        Raises OSError.
        """
        found = (line for path in paths for line in read_lines(path))
        best = {line.attempt_id for line in found if line is not None and line.completed}
        for path in paths:
            for returned in read_lines(path):
                attempt_id = self._of_this_batch(returned, best)
                if returned is None or attempt_id is None:
                    continue
                self._seen.add(attempt_id)
                self._completed += returned.completed
                if attempt_id in self.lines:
                    yield self._end(self.lines[attempt_id], returned)

    def missing(self, *, none_ran: bool = False, counts: Counts | None = None) -> Iterator[LineEnd]:
        """The attempts that no file named. Call it when `read` is through.

        Args:
            none_ran: the provider refused the batch as a whole.
            counts: of a batch that ended before its time; None for any other, or where the provider does not count.
                Only where it counts exactly what the files hold, what is missing was never run.
        """
        certain = not self._seen if none_ran else counts is not None and self._agrees(counts)
        reason = "the batch ended before it was run" if certain else "it came back in no file"
        for attempt_id, line in self.lines.items():
            if attempt_id not in self._seen:
                self.last = self.last or reason
                yield LineEnd(line, None, reason, Charge.NONE if certain else Charge.UNKNOWN)

    def remarks(self) -> str:
        """What was odd, as a sentence; "" where nothing was."""
        return ", ".join(f"{n} lines {what}" for what, n in sorted(self.odd.items()))

    def _agrees(self, counts: Counts) -> bool:
        of, seen = len(self.lines) + len(self.ended), len(self._seen)
        exact = (self._completed, seen - self._completed, of) == (counts.completed, counts.failed, counts.total)
        return exact and of > 0 and not self.odd[UNREADABLE]

    def _of_this_batch(self, returned: Returned | None, best: set[int | None]) -> int | None:
        """The attempt of a line that counts: readable, ours, the first of its kind, and none has a better one."""
        if returned is None:
            self.odd[UNREADABLE] += 1
            return None
        attempt_id = returned.attempt_id
        if attempt_id is None or not (attempt_id in self.lines or attempt_id in self.ended):
            self.odd[UNKNOWN] += 1
            return None
        if attempt_id in self._seen or (attempt_id in best and not returned.completed):
            self.odd[TWICE] += 1
            return None
        return attempt_id

    def _end(self, line: OpenLine, returned: Returned) -> LineEnd:
        try:
            answer = self._answer(returned)
        except OracleError as error:
            self.last, adapted = str(error), self.teach(returned)
            self.adapted += adapted
            return LineEnd(line, None, str(error), error.charge, error.retryable or adapted, adapted)
        self.answered += 1
        return LineEnd(line, answer)

    def _answer(self, returned: Returned) -> Answer:
        """Raises OracleError, without the key in it."""
        try:
            try:
                return returned.answer(self.model)
            except OracleError:
                if not self.secret:
                    raise
                return returned.without(self.secret).answer(self.model)
        except (RecursionError, OverflowError, ValueError, TypeError) as error:
            self.odd[UNREADABLE] += 1
            raise OracleError(f"unreadable answer: {type(error).__name__}", charge=Charge.UNKNOWN) from None


@dataclass
class Patience:
    """How often in a row something went wrong that no single text is to blame for.

    Every method raises EndpointError, which names the oracle, where it makes no sense to go on. What was answered and
    what is under way is kept.
    """

    oracle: str
    _refused: int = 0
    _lost: Counter[int] = field(default_factory=Counter)
    _lost_starts: int = 0
    _nameless: dict[int, float] = field(default_factory=dict)
    _fruitless: int = 0
    _fruitless_lines: int = 0

    def refused(self, error: OracleError) -> int:
        """A batch was not taken, and cost nothing; how often that was so in a row."""
        self._refused += 1
        if not error.retryable or self._refused >= REFUSED:
            raise EndpointError(
                f"oracle {self.oracle}: the endpoint takes no batch: {error}; set `mode: live`, or look at the "
                "endpoint, then run again: everything answered so far is kept"
            )
        return self._refused

    def taken(self) -> None:
        """A batch was taken."""
        self._refused = 0

    def lost_start(self, batch: BatchRow) -> None:
        """A batch was sent, and it never came to light whether it started: sent again once, and no more."""
        self._lost_starts += 1
        if self._lost_starts >= SENT_TWICE:
            raise EndpointError(
                f"oracle {self.oracle}: the endpoint's answer to the start of a batch was lost twice, and neither "
                f"is in its list (the last one: {batch.id}); look at the provider's own page for batches that run "
                "all the same, then run again: everything answered so far is kept"
            )

    def may_be_forgotten(self, batch: BatchRow, error: OracleError) -> bool:
        """A look brought nothing: whether that may be because the provider has thrown the batch away."""
        return error.charge is Charge.NONE and not error.retryable and is_old(batch)

    def missed(self, batch: BatchRow, error: OracleError) -> None:
        """A look brought nothing, and not because the batch was thrown away."""
        self._lost[batch.id] += 1
        if not error.retryable or self._lost[batch.id] >= LOST:
            raise EndpointError(
                f"oracle {self.oracle}: batch {batch.remote_id or batch.id} cannot be looked at: {error}; look at "
                "the endpoint (the `base_url` and key it was sent with), then run again to collect it"
            )

    def seen(self, batch: BatchRow) -> None:
        """A look at the batch brought something."""
        del self._lost[batch.id]

    def is_over(self, batch: BatchRow, look: Look, poll_s: float) -> bool:
        """Whether nothing more is to be expected of a batch.

        Not yet, for a few minutes, where lines were answered and no file of them is named; and at last, where nobody
        knows what its status means.
        """
        if not look.ended:
            return not look.understood and is_old(batch)
        if not look.counted or not look.done or "output_file_id" in look.details:
            return True
        first = self._nameless.setdefault(batch.id, time.monotonic())
        return time.monotonic() - first > NAMELESS * poll_s

    def harvested(self, batch: BatchRow, answered: int, of: int, why: str) -> None:
        """A batch is home, with so many answers: where there is none, sending more would only burn money."""
        status = batch.details.get("status")
        if answered or not of or status == UNWATCHED:
            self._fruitless = self._fruitless_lines = 0
            return
        self._fruitless, self._fruitless_lines = self._fruitless + 1, self._fruitless_lines + of
        twice, many = self._fruitless >= SENT_TWICE, self._fruitless_lines >= FAILED_IN_A_ROW
        broken = status in ("not begun", "died")
        if broken or (twice and (many or status == "failed")) or (many and status == "completed"):
            raise EndpointError(
                f"oracle {self.oracle}: batch {batch.remote_id} came back without a single answer; look at the job "
                "file and the endpoint, then run again: everything answered so far is kept. "
                f"How it ended: {why or status}"
            )


def is_old(batch: BatchRow) -> bool:
    """Whether a batch was sent longer ago than any batch lives."""
    return datetime.now(UTC) - batch.created_at > FORGOTTEN


@dataclass
class Work:
    """One asking: what is to be sent yet, how often what was sent, and what came.

    Args:
        store: where invalid answers are marked.
        alike: question key to the questions that share it; all else goes by the key.
        tries: what was tried before, by key.
        check: raises AnswerInvalid, see `Asker.ask`.
        attempts: failures of one question, after which it has failed for good.
    """

    store: Store
    alike: Mapping[str, Sequence[Question]]
    tries: dict[str, Tries]
    check: Check
    attempts: int = 1
    todo: deque[Question] = field(default_factory=deque)
    sent: Counter[str] = field(default_factory=Counter)
    answered: dict[str, Asked] = field(default_factory=dict)

    def again(self, key: str) -> None:
        """Nothing was tried: the question is to be sent yet."""
        self.sent[key] -= 1
        if key in self.alike and key not in self.answered:
            self.todo.append(self.alike[key][0])

    def take(self, end: LineEnd, answer_id: int | None) -> None:
        """An attempt ended: answered, failed, or to be sent once more. One that nobody asks about was paid anyway."""
        key = end.line.question_key
        if key not in self.alike or key in self.answered:
            return
        if end.adapted:
            self.again(key)
            return
        tries = self.tries.setdefault(key, Tries())
        if end.answer is not None and answer_id is not None:
            problem = problem_of(self.alike[key][0], end.answer, self.check)
            if problem is None:
                self._keep(key, end.answer, answer_id)
                return
            self.store.mark_invalid(answer_id, problem)
            tries.unusable(end.answer.content, problem)
        else:
            tries.failed += end.charge is not Charge.NONE
            tries.hopeless = not end.retryable
            tries.reasons.append(end.reason)
        if tries.hopeless or tries.failed >= self.attempts or self.sent[key] >= SENT_TWICE:
            self._keep(key, None, None)
        else:
            self.todo.append(self.alike[key][0])

    def _keep(self, key: str, answer: Answer | None, answer_id: int | None) -> None:
        reasons = tuple(self.tries[key].reasons) if key in self.tries else ()
        self.answered[key] = Asked(self.alike[key][0].text_id, answer, answer_id, reasons)
