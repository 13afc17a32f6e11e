"""Recording a tape: every question of a job put to a live oracle once, through the ledger, and kept without texts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from agent.endpoints import connect
from agent.errors import UserError
from agent.hearing import hear
from agent.job import Job
from agent.loop import halting
from agent.oracle import TapeHeader, TapeOracle, write_tape
from agent.records import Text
from agent.serving import serving
from agent.store import Spending
from agent.watch import Watch
from agent.workbench import Workbench


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a recording came to. `missing` questions were not answered: run it again, or raise the budget."""

    path: Path
    answers: int
    missing: int
    spending: Spending


def record(job: Job, path: Path, *, limit: int | None = None, watch: Watch | None = None) -> Recorded:
    """Ask the first oracle about every pool and gold text (the first `limit` of them), and write the tape.

    May be stopped and run again at any time: answered questions are in the store and are not bought twice.
    """
    with Workbench(job, watch) as bench:
        bench.own()
        with halting(bench), serving(bench):
            return asyncio.run(_record(bench, path, limit))


async def _record(bench: Workbench, path: Path, limit: int | None) -> Recorded:
    seat = await connect(bench, bench.job.oracle[0])
    oracle = seat.asker.oracle
    if isinstance(oracle, TapeOracle):
        raise UserError(
            "recording needs a live endpoint: give the first oracle a `base_url` or `serve` instead of a `tape`"
        )
    bench.on_halt(seat.asker.halt)
    texts: list[Text] = [*bench.pool.texts(), *(t for t, _ in bench.gold)][:limit]
    try:
        heard = await hear(bench, seat, texts)
    finally:
        await seat.asker.close()
    keyed = [(key, a.answer) for h in heard.values() for key, a in zip(h.keys, h.answers, strict=True)]
    header = TapeHeader(oracle.model, seat.questions.sampling.mode, seat.questions.sampling.temperature)
    count = write_tape(path, header, [(k, a) for k, a in keyed if a is not None])
    missing = sum(t.id not in heard or not heard[t.id].answers for t in texts)
    return Recorded(path, count, missing, bench.store.spending(bench.job.name))
