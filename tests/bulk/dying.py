"""A run in a process of its own that ends itself, as `kill -9` does, at a point that its caller names.

    python -m tests.bulk.dying FOLDER URL COUNT POINT

The points are put in from outside: the product knows none of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import openai._response

from agent.errors import UserError
from agent.ledger import BatchLedger, batches
from agent.oracle import BatchApi
from agent.records import MicroDollars
from agent.store import BatchState
from tests.bulk.making import RICH, ask, at, opened, questions

POINTS = (
    "before the upload",
    "after the upload",
    "as it is noted that it is up",
    "before it is started",
    "after it was started",
    "as it is noted that it was started",
    "while waiting",
    "as it is noted that it is done",
    "before the download",
    "in the middle of the download",
    "after the download",
    "after a few answers",
    "before it is called harvested",
    "after it is called harvested",
)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str, applies: Callable[..., bool] = lambda *_: True) -> None:
    real = getattr(owner, name)

    def dies(*args: Any, **kwargs: Any) -> Any:
        if applies(*args):
            die()
        return real(*args, **kwargs)

    setattr(owner, name, dies)


def after(owner: Any, name: str) -> None:
    real = getattr(owner, name)

    async def dies(*args: Any, **kwargs: Any) -> Any:
        await real(*args, **kwargs)
        die()

    setattr(owner, name, dies)


def after_the_move(state: BatchState) -> None:
    real = BatchLedger.move

    def dies(self: BatchLedger, batch: Any, to: BatchState, **what: Any) -> Any:
        moved = real(self, batch, to, **what)
        if to is state:
            die()
        return moved

    BatchLedger.move = dies  # type: ignore[method-assign]


def before_the_move(state: BatchState) -> None:
    before(BatchLedger, "move", lambda _self, _batch, to: to is state)


def nth(count: int) -> Callable[..., bool]:
    calls = iter(range(1, 1_000_000))
    return lambda *_: next(calls) == count


def cut_the_stream() -> None:
    async def half(self: Any, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        async for piece in self.http_response.aiter_bytes(100):
            yield piece
            die()

    openai._response.AsyncAPIResponse.iter_bytes = half  # type: ignore[method-assign, assignment]


def arm(point: str) -> None:
    batches.GROUP = 5
    import agent.bulk

    agent.bulk.GROUP = 5
    {
        "never": lambda: None,
        "before the upload": lambda: before(BatchApi, "send"),
        "after the upload": lambda: after(BatchApi, "send"),
        "as it is noted that it is up": lambda: after_the_move(BatchState.UPLOADED),
        "before it is started": lambda: before(BatchApi, "start"),
        "after it was started": lambda: after(BatchApi, "start"),
        "as it is noted that it was started": lambda: after_the_move(BatchState.SUBMITTED),
        "while waiting": lambda: before(BatchApi, "look", nth(3)),
        "as it is noted that it is done": lambda: after_the_move(BatchState.FINISHED),
        "before the download": lambda: before(BatchApi, "fetch"),
        "in the middle of the download": cut_the_stream,
        "after the download": lambda: after(BatchApi, "fetch"),
        "after a few answers": lambda: before(BatchLedger, "end", nth(3)),
        "before it is called harvested": lambda: before_the_move(BatchState.HARVESTED),
        "after it is called harvested": lambda: after_the_move(BatchState.HARVESTED),
    }[point]()


def main() -> int:
    folder, url, count, point = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
    arm(point)
    cap = folder / "cap"
    with opened(folder, MicroDollars(int(cap.read_text())) if cap.exists() else RICH) as store:
        try:
            found = asyncio.run(ask(store, at(url, batch={"lines": 20}), questions(count), folder=folder))
        except UserError as error:
            print(error, file=sys.stderr)
            return error.exit_code
    answers = {i: a.answer.content if a.answer else None for i, a in found.items()}
    (folder / "found.json").write_text(json.dumps(answers), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
