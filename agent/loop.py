"""The loop: pick, ask, triage, refit, measure, until there is a reason to stop. Then distil, report, export."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from agent import delivery, escalating, gold, picking, relabelling, steps, suspects
from agent.endpoints import Seat, connect
from agent.escalating import Stronger
from agent.job import Job
from agent.records import Label, MicroDollars, Text, TextId
from agent.report import wording
from agent.selection import Forecast, Look, Stop, StopReason, StopState, should_stop
from agent.serving import serving
from agent.store import PickRow, RoundRow, Spending
from agent.watch import Watch
from agent.workbench import Workbench

HALTED = "halted"
HALTED_BY_YOU = (HALTED, "stopped by you: run the same command again to go on; nothing is paid twice")
STOPPING = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C, and what a system sends before it kills


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        reason: why the loop ended: a `StopReason`, or halted (Ctrl-C).
        message: the same as a sentence.
        labels: texts that have a label.
        waiting: texts that wait for a person.
        spending: the money.
        delivered: final figures, findings and what was written; None where a person stopped the run.
    """

    reason: str
    message: str
    labels: int
    waiting: int
    spending: Spending
    delivered: delivery.Delivered | None = None


def run(job: Job, watch: Watch | None = None) -> Outcome:
    """Run a job, or go on with it. Nothing that was answered is bought again.

    Raises UserError for what the person can fix: JobLocked, DataError, EndpointError, TapeMiss and the like.
    """
    with Workbench(job, watch) as bench:
        bench.own()
        with halting(bench), serving(bench):
            reason, message = asyncio.run(_rounds(bench))
        bench.watch.stopped(message)
        delivered = None if reason == HALTED else delivery.deliver(bench, message)
        return Outcome(
            reason=reason,
            message=message,
            labels=sum(bench.store.count_labels(job.name).values()),
            waiting=bench.store.queue_size(job.name),
            spending=bench.store.spending(job.name),
            delivered=delivered,
        )


async def _rounds(bench: Workbench) -> tuple[str, str]:
    """The loop itself. Returns the reason that ended it, and a sentence."""
    table = Table(bench)
    number = len(bench.store.rounds(bench.job.name))
    _ = (
        bench.strategy,
        bench.student,
        bench.redactor,
        bench.to_write,
    )  # a name that is not known is told before anything is spent
    if bench.without_slice:
        bench.watch.note(bench.without_slice)
    steps.triage_again(bench, number)
    steps.refit(bench)
    try:
        while (stop := _stop(bench, table)) is None:
            began = time.monotonic()
            await table.ask_gold()
            picks = steps.open_picks(bench)
            number = min((p.round for p in picks), default=number)
            if not picks and not steps.unfinished(bench, number):
                affordable = await table.affordable()
                if bench.halted:
                    continue
                picks = picking.select(bench, number, affordable, _again(bench, table, number, affordable))
            if picks:
                await _round(bench, table, number, picks)
            steps.refit(bench)
            steps.measure(bench, number, steps.since(began))
            number = len(bench.store.rounds(bench.job.name))
        if stop[0] not in (HALTED, StopReason.BUDGET):
            await _afterwards(bench, table)
        if not bench.halted:
            suspects.after_run(bench)
        return HALTED_BY_YOU if bench.halted else stop
    finally:
        await table.close()


async def _round(bench: Workbench, table: Table, number: int, picks: list[PickRow]) -> None:
    """Ask about the picks, from the first oracle to the last, and say what became of them; before that, about the
    labels that the round asks again."""
    await _ask_again(bench, table)
    await _cascade(bench, table, number, picks)
    tally = steps.routed(bench, number)
    bench.watch.triaged(tally["accepted"], tally["people"], tally["failed"], bench.store.queue_size(bench.job.name))


def _again(bench: Workbench, table: Table, number: int, affordable: int) -> int:
    """Choose the labels that a round asks again. Returns how many new texts it has to do without for them."""
    if not bench.job.selection.relabel:
        return 0
    return relabelling.choose(bench, number, picking.batch(bench, affordable), table.pays)


async def _ask_again(bench: Workbench, table: Table) -> None:
    """Ask about the labels that were chosen for it, and say what came of that. What the money does not pay for, or
    was not asked as a person stopped the run, stays as it was."""
    if not bench.job.selection.relabel:
        return
    texts = changed = 0
    before = bench.store.spending(bench.job.name).spent
    for (place, _), own in relabelling.grouped(relabelling.waiting(bench)).items():
        if bench.halted or not table.pays(place):
            continue
        seat = await table.seat(place)
        heard = await steps.ask_again(bench, seat, own)
        if seat.asker.state.exhausted:
            table.broke.add(place)
        found = relabelling.settle(bench, own, *steps.take(bench, seat, heard))
        texts, changed = texts + found.texts, changed + found.changed
    if texts:
        paid = wording.dollars(bench.store.spending(bench.job.name).spent - before)
        labels = f"{texts:,} label{' was' if texts == 1 else 's were'}"
        bench.watch.note(f"{labels} asked about again, for {paid}: {changed:,} changed")


async def _cascade(
    bench: Workbench, table: Table, number: int, picks: Sequence[PickRow], *, last: bool = False
) -> int:
    """Every oracle's turn. The first is asked about `picks`, each other one about what the one before was not sure
    of, now or in an earlier round, as far as that is worth it. With `last`, no text will be picked after these.

    Returns how many labels came.
    """
    following: Stronger | None = None
    sent: list[Label] = []
    choice = given = 0  # of choices by chance, each has a number: no two share a stream
    for place in range(len(bench.job.oracle)):
        labels, failed = await _asked(bench, table, place, picks)
        came = {x.text_id for x in labels} | set(failed)
        unasked = [x for x in sent if x.text_id not in came]
        if following and unasked and not bench.halted:  # the money has gone: what the oracle before said stands
            broke = replace(following, payable=False)
            steps.triage(bench, number, unasked, {}, stronger=broke, choice=1000 + choice)
            bench.watch.note(broke.told(len(unasked)))
        following = escalating.stronger(bench, place, labels, payable=table.pays(place + 1), last=last)
        choice = 100 * last + (0 if following is None else place + 1 + (place > 0))
        now = steps.triage(bench, number, labels, failed, stronger=following, choice=choice)
        given += len(labels)
        if bench.halted or following is None:
            break
        sent = escalating.onward(bench, place, following, now)
        picks = [bench.picks()[x.text_id] for x in sent]
    return given


async def _asked(
    bench: Workbench, table: Table, place: int, picks: Sequence[PickRow]
) -> tuple[list[Label], dict[TextId, str]]:
    """What an oracle says of texts: labels, and why the others have none. A text in neither was not asked."""
    if not picks:
        return [], {}
    seat = await table.seat(place)
    heard = await steps.ask(bench, seat, picks)
    if seat.asker.state.exhausted:
        table.broke.add(place)
    return steps.take(bench, seat, heard)


async def _afterwards(bench: Workbench, table: Table) -> None:
    """The rounds are over: what was put off goes to the stronger oracles, with the money that is left."""
    if await _cascade(bench, table, len(bench.store.rounds(bench.job.name)), [], last=True):
        steps.refit(bench)


class Table:
    """The oracles of a job, each connected when it is first asked: a job that has nothing to ask sends nothing."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._seats: dict[int, Seat] = {}
        self._gold_done: set[int] = set()
        self.broke: set[int] = set()  # oracles that the money does not pay for any more

    async def seat(self, place: int = 0) -> Seat:
        """The oracle at `place` of the job's list. Raises EndpointError."""
        if place not in self._seats:
            seat = await connect(self._bench, self._bench.job.oracle[place])
            self._bench.on_halt(seat.asker.halt)
            self._seats[place] = seat
        return self._seats[place]

    def pays(self, place: int) -> bool:
        """Whether there is an oracle at `place`, and the money that is left pays for a question to it."""
        there = place < len(self._bench.job.oracle) and place not in self.broke
        return there and escalating.pays_for(self._bench, place)

    async def affordable(self, place: int = 0) -> int:
        """How many questions the rest of the budget is expected to pay for, by what answers cost so far."""
        bench, seat = self._bench, await self.seat(place)
        spending = bench.store.spending(bench.job.name)
        left = spending.cap - spending.spent
        worst = self.worst(seat)
        by = spending.by_oracle.get(seat.settings.name)
        if by is None or by.settled_count < 5:
            return int(max(1, left // max(1, worst)))
        mean = max(1.0, by.spent / max(1, by.settled_count + by.ambiguous_count))
        return int(max(1, left / mean))

    def worst(self, seat: Seat) -> MicroDollars:
        """The worst case of a typical question: that of the first text of the pool."""
        text = next(iter(self._bench.pool.texts()))
        put = seat.puts(self._bench, [text], keep=False)[text.id]
        question = seat.questions.maybe(text, put) or seat.questions(Text(text.id, ""), put)
        return self._bench.tariff(seat.settings).worst(question)

    async def ask_gold(self) -> None:
        """Once a run, where the job says so: what oracles say of the gold texts, which costs what it costs."""
        bench = self._bench
        for place in gold.places(bench):
            if place in self._gold_done or gold.is_known(bench, place) or (place and not self.pays(place)):
                continue
            self._gold_done.add(place)
            seat = await self.seat(place)
            await gold.ask(bench, seat)
            if seat.asker.state.exhausted:
                self.broke.add(place)
            if bench.halted:
                return

    async def close(self) -> None:
        for seat in self._seats.values():
            await seat.asker.close()


def _stop(bench: Workbench, table: Table) -> tuple[str, str] | None:
    """Why not to go on: the person, the money, the pool, the job's limits, or a student that has settled."""
    if bench.halted:
        return HALTED_BY_YOU
    rounds = bench.store.rounds(bench.job.name)
    spending = bench.store.spending(bench.job.name)
    labels = sum(bench.store.count_labels(bench.job.name).values())
    picks, open_picks = bench.picks(), steps.open_picks(bench)
    left = escalating.texts_left(bench)
    # a round that was stopped half-way is not done: its open picks are asked before any limit of rounds counts it
    half_done = {p.round for p in open_picks}
    rounds = [r for r in rounds if r.round not in half_done]
    state = StopState(
        affordable=0 if 0 in table.broke or spending.spent >= spending.cap else 1,
        candidates=left + len(open_picks),
        labels=labels,
        rounds=len(rounds),
        agreements=[r.figures["kappa"] for r in rounds if r.figures.get("kappa") is not None],
        looks=_looks(rounds),
        gain=_gain(bench, rounds),
    )
    stop: Stop | None = should_stop(state, bench.job.stop)
    if stop is not None and stop.reason is StopReason.BUDGET:
        return stop.reason, _used_up(spending)
    most = bench.job.stop.max_labels
    if stop is None and most is not None and not open_picks and len(picks) >= most:
        said = f"{len(picks)} texts were asked about ({labels} labels), and stop.max_labels is {most}"
        return StopReason.MAX_LABELS, said
    return (stop.reason, stop.message) if stop is not None else None


def _looks(rounds: Sequence[RoundRow]) -> list[Look]:
    """How good each round's student was: the looks of the newest kind, since gold may have come later."""
    found = [Look(**r.figures["look"]) for r in rounds if r.figures.get("look")]
    return [look for look in found if look.measured_on == found[-1].measured_on]


def _gain(bench: Workbench, rounds: Sequence[RoundRow]) -> Forecast | None:
    """What the next dollar is expected to buy; None where that is not asked for or cannot be told."""
    if bench.job.stop.gain_per_dollar is None:
        return None
    ahead = escalating.outlook(bench, rounds)
    if ahead.per_dollar is None or ahead.per_dollar_lo is None or ahead.per_dollar_hi is None:
        return None
    return Forecast(ahead.per_dollar, ahead.per_dollar_lo, ahead.per_dollar_hi)


def _used_up(spending: Spending) -> str:
    spent, cap = wording.dollars(spending.spent), wording.dollars(spending.cap)
    return f"the budget pays for no further question: {spent} of {cap} are spent; raise `budget.dollars` to go on"


@contextmanager
def halting(bench: Workbench) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM) ends the round cleanly, the second one ends the program."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def first(signum: int, frame: object) -> None:
        for number in STOPPING:  # before anything is said: who reads it may press again at once
            signal.signal(number, signal.default_int_handler)
        bench.halt()
        bench.watch.note("stopping: what is under way is paid and kept; press Ctrl-C again to leave at once")

    before = {number: signal.signal(number, first) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
