"""Record a real model's answers for `evals.hostile`: in pieces, nothing asked twice.

    python -m evals._record_hostile http://127.0.0.1:8000/v1 [--minutes 90]

`../shared/local-llm` says how to serve the model. What a tape has is not asked again, so it may be stopped and
started at any time.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from agent.endpoints import Seat, connect
from agent.job import Job
from agent.oracle import TapeHeader, read_tape, write_tape
from agent.records import Answer, Text
from agent.workbench import Workbench
from evals._formats import MODEL
from evals._hostile import WAYS, asked_in, tape_of, texts_of, unanswered, write_job
from evals._record_formats import arguments
from tests.hostile import LABELS

BLOCK = 100
"""Texts between two looks at the clock, after which the tape is written."""


async def record(task: str, url: str, until: float) -> int:
    """Ask what the tapes of a task lack, until the clock says stop. Returns how many questions are missing."""
    missing = 0
    with tempfile.TemporaryDirectory() as folder:
        job = Job.load(write_job(Path(folder), task, base_url=url, timeout_s=600, max_concurrency=32))
        with Workbench(job) as bench:
            bench.own()
            seat = await connect(bench, job.oracle[0])
            try:
                for name, way in WAYS.items():
                    missing += await _one_way(asked_in(way, seat, bench), task, name, until)
            finally:
                await seat.asker.close()
    return missing


async def _one_way(seat: Seat, task: str, name: str, until: float) -> int:
    path = tape_of(task, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    known: dict[str, Answer] = dict(read_tape(path)[1]) if path.exists() else {}
    left = unanswered(seat, texts_of(task), known)
    while left and time.monotonic() < until:
        part, left = left[:BLOCK], left[BLOCK:]
        began = time.monotonic()
        known |= await _answers(seat, part)
        write_tape(path, TapeHeader(MODEL, seat.questions.sampling.mode), known.items())
        rate = len(part) / (time.monotonic() - began)
        print(f"{task}, {name}: {len(left)} left, {rate:.2f} a second", flush=True)
    return len(left)


async def _answers(seat: Seat, texts: list[Text]) -> dict[str, Answer]:
    """What was said, label or not: what a text made of an answer is what is measured."""
    asked = [seat.questions(t, seat.questions.first(t)) for t in texts]
    found = await seat.asker.ask(asked)
    return {q.key: a for q in asked if (a := found[q.text_id].answer) is not None}


def main() -> None:
    url, until = arguments(__doc__)
    for task in LABELS:
        if time.monotonic() < until:
            left = asyncio.run(record(task, url, until))
            print(f"== {task}: {left} questions left", flush=True)


if __name__ == "__main__":
    main()
