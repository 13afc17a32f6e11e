"""Record a real model's answers for `evals.oracle_formats`: slow, in pieces, nothing asked twice.

    python -m evals._record_formats http://127.0.0.1:8000/v1 [--minutes 90]

`../shared/local-llm` says how to serve the model. What a tape has is not asked again, so it may be stopped and
started at any time; `labelwright record` does the same for a job of one's own.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from agent.endpoints import Seat, connect
from agent.hearing import content_free, hear
from agent.job import Job
from agent.oracle import TapeHeader, read_tape, write_tape
from agent.records import Answer, Text
from agent.workbench import Workbench
from evals._formats import FORMATS, LONG, MODEL, SETS, TEXTS, asked, recorded_at, tape_of, write_job

BLOCK = 100
"""Texts between two looks at the clock, after which the tape is written."""


def plan() -> Iterator[tuple[str, str, int]]:
    """(set, format, texts) in the order of what is missed most: all formats of the quick sets, then the long tape."""
    for name in sorted(SETS, key=["uci_sentiment", "dbpedia14", "bbc"].index):
        for form in FORMATS:
            yield name, form, TEXTS
    for name in LONG:
        yield name, "an example a class", LONG[name]


async def record(name: str, form: str, count: int, url: str, until: float) -> int:
    """Ask about the texts whose answers the tape lacks, until the clock says stop. Returns how many are missing."""
    known, path = _known(name, form), recorded_at(name, form)
    path.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        every = {"people": {"threshold": 1.0}}  # every text is in doubt, and so is asked in every order
        job = Job.load(write_job(Path(folder), name, form, every, base_url=url, timeout_s=600, max_concurrency=32))
        with Workbench(job) as bench:
            bench.own()
            seat = await connect(bench, job.oracle[0])
            try:
                left = _left(bench, seat, (*content_free(), *asked(name).texts[:count]), known)
                while left and time.monotonic() < until:
                    part, left = left[:BLOCK], left[BLOCK:]
                    began = time.monotonic()
                    heard = await hear(bench, seat, part)
                    for h in heard.values():
                        known |= {k: a.answer for k, a in zip(h.keys, h.answers, strict=True) if a.answer is not None}
                    write_tape(path, TapeHeader(MODEL, seat.questions.sampling.mode), known.items())
                    rate = len(part) / (time.monotonic() - began)
                    gold = asked(name).gold
                    right = [heard[t.id].value == gold[t.id] for t in part if t.id in heard and t.id in gold]
                    print(f"{name}, {form}: {len(left)} left, {rate:.2f} a second, {sum(right)}/{len(right)} right",
                          flush=True)  # fmt: skip
            finally:
                await seat.asker.close()
    return len(left)


def _known(name: str, form: str) -> dict[str, Answer]:
    """What is on a tape already."""
    path = tape_of(name, form)
    return dict(read_tape(path)[1]) if path.exists() else {}


def _left(bench: Workbench, seat: Seat, texts: tuple[Text, ...], known: dict[str, Answer]) -> list[Text]:
    """Those whose first question, or that in another order, has no answer yet."""
    put = seat.puts(bench, texts)
    orders = seat.settings.format.orders

    def keys(text: Text) -> list[str]:
        first = put[text.id]
        return [seat.questions(text, replace(first, order=first.order + k)).key for k in range(orders)]

    return [t for t in texts if any(key not in known for key in keys(t))]


def arguments(doc: str | None) -> tuple[str, float]:
    """Of a program that records: the endpoint's address, and until when, on the monotonic clock."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--minutes", type=float, default=24 * 60.0)
    args = parser.parse_args()
    return args.url, time.monotonic() + 60 * args.minutes


def main() -> None:
    url, until = arguments(__doc__)
    for name, form, count in plan():
        if time.monotonic() >= until:
            break
        left = asyncio.run(record(name, form, count, url, until))
        print(f"== {name}, {form}: {count - left} of {count} recorded", flush=True)


if __name__ == "__main__":
    main()
