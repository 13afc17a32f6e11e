"""Record a real model's answers for `evals.oracle_formats`: slow, in pieces, nothing asked twice.

    python -m evals._record_formats http://127.0.0.1:8000/v1 [--minutes 90]

`../shared/local-llm` says how to serve the model. What a tape has is not asked again, so it may be stopped and
started at any time; `labelwright record` does the same for a job of one's own.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from agent.endpoints import Seat, connect
from agent.hearing import hear
from agent.job import Job
from agent.oracle import TapeHeader, read_tape, write_tape
from agent.records import Answer, Text
from agent.workbench import Workbench
from evals._formats import FORMATS, LONG, MODEL, SETS, TEXTS, asked, tape_of, write_job

BLOCK = 25
"""Texts between two looks at the clock, after which the tape is written."""


def plan() -> Iterator[tuple[str, str, int]]:
    """(set, format, texts) in the order of what is missed most: all formats of the quick sets, then the long tape."""
    for name in sorted(SETS, key=["uci_sentiment", "dbpedia14", "bbc"].index):
        for form in FORMATS:
            yield name, form, TEXTS
    yield "uci_sentiment", "an example a class", LONG["uci_sentiment"]


async def record(name: str, form: str, count: int, url: str, until: float) -> int:
    """Ask about the texts whose answers the tape lacks, until the clock says stop. Returns how many are missing."""
    path = tape_of(name, form)
    known = _known(name, form, path)
    with tempfile.TemporaryDirectory() as folder:
        job = Job.load(write_job(Path(folder), name, form, base_url=url, timeout_s=600, max_concurrency=32))
        with Workbench(job) as bench:
            bench.own()
            seat = await connect(bench, job.oracle[0])
            try:
                left = _left(bench, seat, asked(name).texts[:count], known)
                while left and time.monotonic() < until:
                    part, left = left[:BLOCK], left[BLOCK:]
                    began = time.monotonic()
                    heard = await hear(bench, seat, part)
                    for h in heard.values():
                        known |= {k: a.answer for k, a in zip(h.keys, h.answers, strict=True) if a.answer is not None}
                    write_tape(path, TapeHeader(MODEL, seat.questions.sampling.mode), known.items())
                    rate = len(part) / (time.monotonic() - began)
                    right = [heard[t.id].value == asked(name).gold[t.id] for t in part if t.id in heard]
                    print(f"{name}, {form}: {len(left)} left, {rate:.2f} a second, {sum(right)}/{len(part)} right",
                          flush=True)  # fmt: skip
            finally:
                await seat.asker.close()
    return len(left)


def _known(name: str, form: str, path: Path) -> dict[str, Answer]:
    """What is on the tape already; of BBC news with an example a class, the demo's tape is all there is to ask."""
    if name == "bbc" and form == "an example a class" and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        import agent.demo

        shutil.copyfile(Path(agent.demo.__file__).parent / "tape.jsonl.gz", path)
    return dict(read_tape(path)[1]) if path.exists() else {}


def _left(bench: Workbench, seat: Seat, texts: tuple[Text, ...], known: dict[str, Answer]) -> list[Text]:
    """Those whose first question, or that in another order, has no answer yet."""
    put = seat.puts(bench, texts)
    orders = seat.settings.format.orders

    def keys(text: Text) -> list[str]:
        first = put[text.id]
        return [seat.questions(text, replace(first, order=first.order + k)).key for k in range(orders)]

    return [t for t in texts if any(key not in known for key in keys(t))]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--minutes", type=float, default=24 * 60.0)
    args = parser.parse_args()
    until = time.monotonic() + 60 * args.minutes
    for name, form, count in plan():
        if time.monotonic() >= until:
            break
        left = asyncio.run(record(name, form, count, args.url, until))
        print(f"== {name}, {form}: {count - left} of {count} recorded", flush=True)


if __name__ == "__main__":
    main()
