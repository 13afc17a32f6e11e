"""Metered asks in batches: reserve many, send them together, come back later, end each by what came of it.

The same law as in `agent.asking`: what is sent is reserved first, what is reserved ends once, an answer is kept with
its cost before it is read. How far a batch is, is in the store after every step, so a run may die at any of them, and
the next one goes on: what may have been started is looked for, never started again.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

from agent.asking import Asked, Asker, Asking, Check, shared
from agent.errors import BudgetExceeded, Charge, EndpointError, OracleError, StoreError, UserError
from agent.harvest import NEVER_DONE, Counts, Harvest, Patience, Work
from agent.ledger import BatchLedger, Ledger, LineEnd, Opened
from agent.ledger.batches import GROUP
from agent.oracle.carrier import ELSEWHERE, Carrier, Look, Untraceable, Writer
from agent.oracle.dialect import Dialect
from agent.oracle.lines import Returned, file_of, write_lines, written
from agent.records import Question, TextId
from agent.store import BatchRow, BatchState, Store
from agent.store.engine import in_parts

GROWTH, LONGEST = 1.3, 12  # of the time between two looks: each is so much longer, up to so many times the first
LINE_BYTES = 120  # what a line is beside its body
T = TypeVar("T")


class _Halted(Exception):
    """Ctrl-C came before what was waited for."""


class BulkAsker(Asker):
    """Asks one oracle in batches. To whoever asks it is an `Asker` that takes its time.

    Args:
        oracle: writes the requests.
        ledger: of the job.
        store: where bought answers are.
        carrier: who takes batches away and brings them back.
        books: the oracle's batches in the job's purse, and its settings.
        watch: called with the live figures.
        note: told what is worth a line.
    """

    def __init__(
        self,
        oracle: Writer,
        ledger: Ledger,
        store: Store,
        *,
        carrier: Carrier,
        books: BatchLedger,
        watch: Callable[[Asking], None] = lambda _: None,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(oracle, ledger, store, attempts=books.settings.attempts, watch=watch)
        self._writer, self.carrier, self._books = oracle, carrier, books
        self._poll_s, self._say = carrier.poll_s, note
        self._woken = asyncio.Event()
        self._looks: dict[int, Look] = {}  # the last one at each open batch
        self._patience = Patience(oracle.name)
        self._spoken: dict[int, Dialect] = {}  # how the lines of each batch were written, of those of this run

    def halt(self) -> None:
        """Wait no longer. Batches that are under way stay so. Safe to call from a signal handler."""
        self.state.halted = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)

    async def close(self) -> None:
        """Let go of the oracle and the carrier. Batches that are under way stay so."""
        await self.carrier.close()
        await super().close()

    async def ask(
        self, questions: Sequence[Question], check: Check = lambda _question, _answer: None
    ) -> dict[TextId, Asked]:
        """Ask them all, and wait for what comes. See `Asker.ask`.

        A question that is in a batch of an earlier run is not sent again. What came of a batch without an answer is
        sent once more, in another one.

        Raises EndpointError where batches cannot be sent or fetched; what is under way stays so.
        """
        self._loop, self._woken = asyncio.get_running_loop(), asyncio.Event()
        self.state.total += len(questions)
        alike: dict[str, list[Question]] = {}
        for question in questions:
            alike.setdefault(question.key, []).append(question)
        found, tries = self._known(alike, check)
        self._note(found, known=True)
        work = Work(self._store, alike, tries, check, self._attempts)
        for batch in self._open():
            work.sent.update(line.question_key for line in self._store.open_lines(batch.id))
        new = [same[0] for key, same in alike.items() if same[0].text_id not in found and not work.sent[key]]
        work.todo.extend(new)
        await self._run(work)
        for key, asked in work.answered.items():
            found |= shared(alike[key], asked)
        return found

    async def collect(self, *, cancel: bool = False) -> int:
        """See earlier batches to their end, and send nothing; returns how many there were.

        Args:
            cancel: have the provider stop working on them; what it did until then is paid and kept.
        """
        self._loop, self._woken = asyncio.get_running_loop(), asyncio.Event()
        batches = self._open()
        for batch in batches if cancel else ():
            if batch.state is BatchState.SUBMITTED:
                try:
                    await self.carrier.cancel(batch)
                except OracleError as error:  # one that has just ended cannot be cancelled
                    self._say(f"batch {batch.remote_id} was not cancelled: {error}")
        await self._run(Work(self._store, {}, {}, lambda _question, _answer: None))
        return len(batches)

    def _open(self) -> list[BatchRow]:
        return self._store.batches(self._ledger.job, self.oracle.name, unfinished=True)

    async def _run(self, work: Work) -> None:
        """Send what can be paid, look at what is under way, take home what is done, until nothing is left to do."""
        wait_s = self._poll_s
        while not self.state.halted:
            await self._send_batches(work)
            batches = self._open()
            if not batches:
                return
            moved = [await self._advance(batch, work) for batch in batches if not self.state.halted]
            self._show(batches)
            if any(moved):
                wait_s = self._poll_s
                continue
            if all(b.remote_id == ELSEWHERE for b in batches):
                more = f", and so are {len(batches) - 1} more in its folder" if len(batches) > 1 else ""
                said = f"{self.carrier.waits_for(batches[0])}{more}"
                raise EndpointError(f"oracle {self.oracle.name}: {said}; then run the same command again")
            await self._pause(wait_s)
            wait_s = min(wait_s * GROWTH, self._poll_s * LONGEST)
        for batch in self._open():
            self._say(f"{self.carrier.waits_for(batch)}: run the same command again to collect it")

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._woken.wait(), seconds)
        except TimeoutError:
            return

    async def _unless_halted(self, call: Coroutine[Any, Any, T]) -> T:
        """What a call brings. Raises _Halted where Ctrl-C comes first: never for a call that may cost money."""
        task, woken = asyncio.ensure_future(call), asyncio.ensure_future(self._woken.wait())
        try:
            await asyncio.wait({task, woken}, return_when=asyncio.FIRST_COMPLETED)
            if self.state.halted:  # also where the call is over: the wait for an engine ends when a run is stopped
                raise _Halted
            return task.result()
        finally:
            task.cancel()
            woken.cancel()
            await asyncio.gather(task, woken, return_exceptions=True)

    def _show(self, batches: Sequence[BatchRow]) -> None:
        """The live figures, with what is done but not fetched yet."""
        there = sum(self._looks[b.id].done for b in batches if b.id in self._looks)
        there = min(there, self.state.total - self.state.done)
        self.state.done += there
        self._watch(self.state)
        self.state.done -= there

    # Sending --------------------------------------------------------------------------------------------------------

    async def _send_batches(self, work: Work) -> None:
        """As many batches as the purse allows. While some are under way, less than half of one more is not worth it:
        what comes back pays for a whole one."""
        while work.todo and not (self.state.exhausted or self.state.halted):
            under_way = len(self._open())
            if under_way >= self.carrier.most_open:
                return
            part = self._part(work.todo)
            try:
                opened = await asyncio.to_thread(self._books.open, part, -(-len(part) // 2) if under_way else 1)
            except BudgetExceeded:
                self.state.exhausted = not under_way
                return
            self._ledger.look_again()
            sent = {question.key for question, _ in opened.lines}
            work.sent.update(sent)
            work.todo = deque(q for q in work.todo if q.key not in sent)
            await self._dispatch(opened, work)

    def _part(self, todo: Sequence[Question]) -> list[Question]:
        """The first questions, as many as one batch holds."""
        part: list[Question] = []
        size = 0
        for question in todo:
            size += LINE_BYTES + len(written(0, self._writer.body(question)))
            full = len(part) >= self.carrier.most_lines or size > self.carrier.most_bytes
            if part and (full or question.prompt_hash != part[0].prompt_hash):
                break
            part.append(question)
        return part

    async def _dispatch(self, opened: Opened, work: Work) -> None:
        """Write a batch's file, send it, start it: each step on disk before the next."""
        batch = opened.batch
        path = file_of(self.carrier.folder, batch, "input")
        self._spoken[batch.id] = self._writer.dialect
        lines = (written(line.attempt_id, self._writer.body(question)) for question, line in opened.lines)
        try:
            await asyncio.to_thread(write_lines, path, lines)
            details = await self._unless_halted(self.carrier.send(batch, path))
        except OSError as error:
            self._give_back(batch, work, f"not sent: {error.strerror}")
            raise StoreError(f"{path}: cannot write the batch: {error.strerror}; make room, then run again") from None
        except _Halted:
            self._give_back(batch, work, "not sent: the run was stopped")
            return
        except UserError as error:
            self._give_back(batch, work, f"not sent: {error}")
            raise
        except OracleError as error:  # a file that is up there twice costs nothing
            self._give_back(batch, work, f"not sent: {error}")
            await self._refusal(error)
            return
        batch = self._books.move(batch, BatchState.UPLOADED, details={**details, "started_at": time.time()})
        await self._start(batch, work)

    async def _start(self, batch: BatchRow, work: Work) -> None:
        """Start a batch that was never started before; whether it was, where the answer got lost, is found out."""
        try:
            remote_id = await self.carrier.start(batch)
        except UserError as error:
            self._give_back(batch, work, f"not started: {error}")
            raise
        except Untraceable:
            self._books.move(batch, BatchState.UPLOADED, details={"accepted": True})
            return
        except OracleError as error:
            if error.charge is Charge.NONE:
                self._give_back(batch, work, f"not started: {error}")
                await self._refusal(error)
            return  # or it stays as it is: the next look finds out
        self._submitted(batch, remote_id)

    def _submitted(self, batch: BatchRow, remote_id: str) -> None:
        self._patience.taken()
        batch = self._books.move(batch, BatchState.SUBMITTED, remote_id=remote_id)
        lines, where = batch.details.get("lines"), self.carrier.waits_for(batch)
        self._say(f"{self.oracle.name}: {lines} questions are under way: {where}")

    async def _refusal(self, error: OracleError) -> None:
        """Wait a little before a batch is sent once more, or raise EndpointError."""
        times = self._patience.refused(error)
        self._say(f"{self.oracle.name}: a batch was not taken, trying again: {error}")
        await self._pause(self._poll_s * times)

    def _give_back(self, batch: BatchRow, work: Work, reason: str) -> None:
        """Release a batch that was certainly never started; its questions are to be sent yet."""
        lines = self._store.open_lines(batch.id)
        self._books.end(batch, [LineEnd(line, None, reason) for line in lines])
        self._books.move(batch, BatchState.HARVESTED, reason=reason)
        for line in lines:
            work.again(line.question_key)
        self._ledger.look_again()
        self.carrier.tidy(batch)

    def _write_off(self, batch: BatchRow, work: Work, reason: str) -> None:
        """Count a batch of which nothing will come as spent: every line of it has failed once."""
        ends = [LineEnd(line, None, reason, Charge.UNKNOWN) for line in self._store.open_lines(batch.id)]
        self._books.end(batch, ends)
        self._books.move(batch, BatchState.HARVESTED, reason=reason)
        self._looks.pop(batch.id, None)
        self._take(work, ends, {}, Dialect())
        self._say(f"batch {batch.remote_id or batch.id}: {reason}; its {len(ends)} questions count as spent")

    # Coming back ----------------------------------------------------------------------------------------------------

    async def _advance(self, batch: BatchRow, work: Work) -> bool:
        """Take one batch one step further, if there is a step; whether there was."""
        try:
            if batch.state is BatchState.PREPARED:
                self._give_back(batch, work, "the run ended before it was sent")
            elif batch.state is BatchState.UPLOADED:
                await self._look_for(batch, work)
            elif batch.state is BatchState.SUBMITTED:
                return await self._look(batch)
            else:
                await self._harvest(batch, work)
        except _Halted:
            return False
        except OracleError as error:
            return await self._missed(batch, error, work)
        return True

    async def _look_for(self, batch: BatchRow, work: Work) -> None:
        """What became of a batch that may have been started. Should that not come to light, it is sent again once."""
        try:
            remote_id = await self._unless_halted(self.carrier.find(batch))
        except Untraceable as error:
            self._write_off(batch, work, f"nobody can tell whether it was started: {error}")
        else:
            if remote_id is not None:
                self._submitted(batch, remote_id)
                return
            self._give_back(batch, work, "it was never started")
        self._patience.lost_start(batch)

    async def _look(self, batch: BatchRow) -> bool:
        look = self._looks[batch.id] = await self._unless_halted(self.carrier.look(batch))
        self._patience.seen(batch)
        if is_over := self._patience.is_over(batch, look, self._poll_s):
            counts = {"done": look.done, "failed": look.failed, "total": look.total, "counted": look.counted}
            details = {**look.details, **counts, "seconds": look.seconds, "status": look.status}
            self._books.move(batch, BatchState.FINISHED, details=details, reason=look.reason)
        return is_over

    async def _missed(self, batch: BatchRow, error: OracleError, work: Work) -> bool:
        """A look that brought nothing: once more later, unless the provider has forgotten the batch."""
        if self._patience.may_be_forgotten(batch, error) and await self._is_gone(batch):
            self._write_off(batch, work, f"the provider does not know it any more: {error}")
            return True
        self._patience.missed(batch, error)
        return False

    async def _is_gone(self, batch: BatchRow) -> bool:
        """Whether what came of an old batch is certainly lost, and it is not the address or the key that is wrong."""
        try:
            if batch.state is BatchState.FINISHED:  # the batch may be there still, and only its files thrown away
                with suppress(OracleError):
                    await self._unless_halted(self.carrier.look(batch))
                    return True
            return await self._unless_halted(self.carrier.is_gone(batch))
        except (OracleError, _Halted):
            return False

    async def _harvest(self, batch: BatchRow, work: Work) -> None:
        """Fetch what came, end every attempt by it, and only then call the batch harvested."""
        paths = await self._unless_halted(self.carrier.fetch(batch))
        details = batch.details
        lines = {line.attempt_id: line for line in self._store.open_lines(batch.id)}
        spoken = self._spoken.get(batch.id, Dialect())
        ended = self._store.ended_lines(batch.id)
        harvest = Harvest(lines, ended, self.oracle.model, self.carrier.secret, lambda r: self._taught(r, spoken))
        none_ran = not paths and _none_ran(details)
        if self._books.by_time:
            ends = [*harvest.read(paths), *harvest.missing()]
            seconds = 0.0 if none_ran else details.get("seconds")
            ids = await asyncio.to_thread(self._books.end_by_time, batch, ends, seconds)
            self._take(work, ends, ids, spoken)
        else:
            for part in in_parts(harvest.read(paths), GROUP):
                self._take(work, part, await asyncio.to_thread(self._books.end, batch, part), spoken)
            part = list(harvest.missing(none_ran=none_ran, counts=_counts(details)))
            self._take(work, part, await asyncio.to_thread(self._books.end, batch, part), spoken)
        remarks = harvest.remarks()
        reason = "; ".join(said for said in (batch.reason, remarks) if said)
        batch = self._books.move(batch, BatchState.HARVESTED, reason=reason)
        self._looks.pop(batch.id, None)
        self._tell(batch, harvest.answered, len(lines), remarks)
        if not remarks:
            self.carrier.tidy(batch)
        answered = harvest.answered + len(harvest.ended)
        if not answered and harvest.adapted:
            return  # the next batch is written in another way
        self._patience.harvested(batch, answered, len(lines), batch.reason or harvest.last)

    def _taught(self, returned: Returned, spoken: Dialect) -> bool:
        return self._writer.refused(returned.status or 400, [returned.error, returned.body], spoken)

    def _tell(self, batch: BatchRow, answered: int, of: int, remarks: str) -> None:
        minutes = (datetime.now(UTC) - batch.created_at).total_seconds() / 60
        odd = f"; {remarks}, see {self.carrier.folder}" if remarks else ""
        self._say(f"batch {batch.remote_id} {batch.details.get('status')}: {answered} of {of} answered "
                  f"after {minutes:.0f} min{odd}")  # fmt: skip

    def _take(self, work: Work, ends: Sequence[LineEnd], ids: Mapping[int, int], spoken: Dialect) -> None:
        """Tell the work what its attempts came to."""
        done = len(work.answered)
        for end in ends:
            alike = work.alike.get(end.line.question_key)
            if end.answer is not None and alike:
                self._writer.heard(alike[0], end.answer, spoken)
            work.take(end, ids.get(end.line.attempt_id))
        new = list(work.answered.values())[done:]
        self.state.done += len(new)
        self.state.failed += sum(asked.answer is None for asked in new)
        self._ledger.look_again()
        self._watch(self.state)


def _none_ran(details: Mapping[str, Any]) -> bool:
    """Whether a batch was refused as a whole, before any line of it was run."""
    counted = any(details.get(name) for name in ("done", "failed", "total"))
    refused = details.get("status") == "failed" and not counted and not details.get("began")
    return refused or details.get("status") == "not begun"


def _counts(details: Mapping[str, Any]) -> Counts | None:
    """What the provider counted of a batch that ended before its time."""
    if not details.get("counted") or details.get("status") not in NEVER_DONE:
        return None
    return Counts(int(details["done"]), int(details["failed"]), int(details["total"]))
