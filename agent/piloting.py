"""A pilot: a few answers bought before a job runs, so that its price is measured and not guessed.

They come out of the job's own budget and stay in its store: the run does not buy them again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from agent.endpoints import Seat, connect, live
from agent.errors import UserError
from agent.estimating import SAMPLE_STREAM, Pilot, keep_pilot
from agent.hearing import hear, worst_cases
from agent.job import OracleSettings
from agent.loop import halting
from agent.records import Text
from agent.serving import serving
from agent.workbench import Workbench


def pilot(bench: Workbench, size: int) -> Pilot:
    """Ask the first oracle about `size` texts, drawn at random from the pool with the job's seed, and note which.

    A larger pilot later holds the smaller one: what was answered is not bought again. It is asked live, also where
    the job sends batches.

    Raises UserError: another run owns the job, the budget does not hold it, the endpoint does not answer.
    """
    bench.own()
    with halting(bench), serving(bench):
        return asyncio.run(_pilot(bench, live(bench, bench.job.oracle[0]), size))


async def _pilot(bench: Workbench, settings: OracleSettings, size: int) -> Pilot:
    rows = bench.rng(SAMPLE_STREAM).permutation(len(bench.pool))[:size]
    texts = list(bench.pool.texts(np.asarray(rows, np.int64)))
    seat = await connect(bench, settings)
    bench.on_halt(seat.asker.halt)
    try:
        _check_room(bench, seat, texts)
        heard = await hear(bench, seat, texts)
    finally:
        await seat.asker.close()
    return keep_pilot(bench, settings, [t.id for t in texts if t.id in heard], seat.questions.prompt_hash)


def _check_room(bench: Workbench, seat: Seat, texts: Sequence[Text]) -> None:
    """Refuse a pilot whose worst case the budget does not hold. Answers that are there already cost nothing."""
    worst = worst_cases(bench, seat, texts)
    purse = bench.store.spending(bench.job.name)
    room = purse.cap - purse.spent - purse.reserved
    if sum(worst) <= room:
        return
    fits = len(texts) - len(worst) + int(np.searchsorted(np.cumsum(worst), room, side="right"))
    raise UserError(
        f"a pilot of {len(texts)} texts may cost up to ${sum(worst) / 1e6:.4f}, and of the budget of "
        f"${purse.cap / 1e6:.4f} only ${max(0, room) / 1e6:.4f} are left: "
        + (f"try --pilot {fits}, or raise `budget.dollars`" if fits else "raise `budget.dollars`")
    )
