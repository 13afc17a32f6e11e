"""Named moments of a run at which its process can be made to kill itself. The product has no hooks: it is wrapped.

A moment is a product function (or one of aiohttp or SQLAlchemy that the product goes through) about to be called, or
having returned. A name that is gone raises `Disarmed`, so that a rename cannot quietly disarm a test.
"""

from __future__ import annotations

import functools
import inspect
import os
import signal
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any

Act = Callable[[Any], None]
"""Given the function's result where it has returned, else its first argument."""


class Disarmed(LookupError):
    """What should be wrapped is not there any more."""


class Fuse:
    """Kills the process, as `kill -9` does, when it is called for the n-th time."""

    def __init__(self, nth: int) -> None:
        self._left, self._lock = nth, threading.Lock()

    def __call__(self, _: Any = None) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def find(path: str) -> tuple[Any, str]:
    """`package.module:Class.name` as (where it is defined, name). Raises Disarmed."""
    module, _, inside = path.partition(":")
    *way, name = inside.split(".")
    try:
        owner: Any = import_module(module)
        for part in way:
            owner = getattr(owner, part)
    except (ImportError, AttributeError) as error:
        raise Disarmed(f"{path}: {error}") from None
    if not callable(vars(owner).get(name)):
        raise Disarmed(f"{path}: there is no function of this name any more; say in {__file__} what took its place")
    return owner, name


def around(path: str, *, before: Act | None = None, after: Act | None = None) -> None:
    """Have `before` and `after` called around the function at `path`, which may be async."""
    owner, name = find(path)
    original = vars(owner)[name]

    @functools.wraps(original)
    def plain(*args: Any, **kwargs: Any) -> Any:
        if before is not None:
            before(args[0] if args else None)
        result = original(*args, **kwargs)
        if after is not None:
            after(result)
        return result

    @functools.wraps(original)
    async def waiting(*args: Any, **kwargs: Any) -> Any:
        if before is not None:
            before(args[0] if args else None)
        result = await original(*args, **kwargs)
        if after is not None:
            after(result)
        return result

    setattr(owner, name, waiting if inspect.iscoroutinefunction(original) else plain)


def _before(path: str) -> Callable[[Fuse], None]:
    return lambda fuse: around(path, before=fuse)


def _after(path: str) -> Callable[[Fuse], None]:
    return lambda fuse: around(path, after=fuse)


def _in_migration(fuse: Fuse) -> None:
    """After the n-th statement of an upgrade: between tables, and before the commit that makes it count."""
    cursor = "sqlalchemy.engine.default:DefaultDialect.do_execute"
    upgrading = threading.Event()
    for how in ("upgrade", "make"):
        around(f"agent.store.migrate:{how}", before=lambda _: upgrading.set(), after=lambda _: upgrading.clear())
    around(cursor, after=lambda _: fuse() if upgrading.is_set() else None)


def _in_embedding(fuse: Fuse) -> None:
    """Vectors of the n-th block are written, and the record that covers them is not. Blocks are made small."""
    embeddings = import_module("agent.pool.embeddings")
    if not isinstance(vars(embeddings).get("BLOCK"), int):
        raise Disarmed("agent.pool.embeddings: BLOCK is gone")
    embeddings.BLOCK = 32  # type: ignore[attr-defined]
    around("agent.pool.embeddings:_save", before=fuse)


def _in_distilling(fuse: Fuse) -> None:
    """The n-th batch of lessons."""
    around("agent.distill.descent:Descent.go", after=fuse)


def _in_export(fuse: Fuse) -> None:
    """A label file is open, full, or has just taken its name."""
    writers = "agent.report.writers:"
    for kind in ("ParquetFile", "CsvFile", "JsonLinesFile", "DatasetFolder"):
        around(f"{writers}{kind}.write", after=fuse)
    for kind in ("_File", "DatasetFolder"):
        around(f"{writers}{kind}.finish", before=fuse, after=fuse)


def _posted(fuse: Fuse) -> Act:
    return lambda reply: fuse() if reply.method == "POST" else None


def _after_headers(fuse: Fuse) -> None:
    around("aiohttp.client_reqrep:ClientResponse.start", after=_posted(fuse))


def _after_body(fuse: Fuse) -> None:
    """The whole answer has come, and nothing has been done with it."""
    owner, name = find("agent.oracle.wire:_whole")
    original = vars(owner)[name]

    @functools.wraps(original)
    async def whole(response: Any) -> bytes:
        body: bytes = await original(response)
        _posted(fuse)(response)
        return body

    setattr(owner, name, whole)


MONEY: dict[str, Callable[[Fuse], None]] = {
    "before-reserve": _before("agent.ledger.ledger:Ledger.reserve"),
    "after-reserve": _after("agent.ledger.ledger:Ledger.reserve"),
    "before-send": _before("agent.oracle.wire:Wire.post"),
    "after-send": _after("aiohttp.client_reqrep:ClientRequest.write_bytes"),
    "after-headers": _after_headers,
    "after-body": _after_body,
    "before-settle": _before("agent.ledger.ledger:Ledger.settle"),
    "after-settle": _after("agent.ledger.ledger:Ledger._settled"),
    "before-commit": _before("sqlalchemy.engine.default:DefaultDialect.do_commit"),
    "after-commit": _after("sqlalchemy.engine.default:DefaultDialect.do_commit"),
}
"""Reached over and over while a job asks."""

ROUND: dict[str, Callable[[Fuse], None]] = {
    "picks-kept": _after("agent.store.picks:Picks.add_picks"),
    "answers-before-labels": _before("agent.steps:take"),
    "labels-before-routes": _before("agent.store.queue:Queue.add_routes"),
    "before-measure": _before("agent.steps:measure"),
}
"""Reached once a round."""

EARLY: dict[str, Callable[[Fuse], None]] = {
    "in-migration": _in_migration,
    "in-embedding": _in_embedding,
    "in-pool": _before("agent.pool.build:_sync"),
}
"""Reached at the start of a job's life only."""

LATE: dict[str, Callable[[Fuse], None]] = {"in-export": _in_export, "in-report": _before("agent.delivery:write")}
"""Reached when everything was asked."""

DISTIL: dict[str, Callable[[Fuse], None]] = {
    "in-distilling": _in_distilling,
    "saving-model": _after("agent.distill.network:Network.save"),
}
"""Reached where a model is made."""

POINTS = MONEY | ROUND | EARLY | LATE | DISTIL

AGAIN: dict[str, Callable[[Fuse], None]] = {
    "again-chosen": _after("agent.relabelling:choose"),
    "again-asked": _before("agent.relabelling:settle"),
    "again-settled": _after("agent.relabelling:settle"),
}
"""Reached where a job asks again about labels."""


def arm(point: str, nth: int) -> None:
    """Have this process die when it reaches `point` for the n-th time. Raises Disarmed, KeyError."""
    (POINTS | AGAIN)[point](Fuse(nth))


def witness(path: str) -> None:
    """Write down, outside the store, the number of every answer that a run was told is on disk."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def note(number: int) -> None:
        os.write(file, b"%d\n" % number)

    around("agent.ledger.ledger:Ledger._settled", after=note)
