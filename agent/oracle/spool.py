"""Files for a vLLM that is loaded once and answers them without being a server: `agent.oracle.offline` at work.

For each file an order lies in a folder, the spool. Its name says how far it is, so that a run that comes later knows
what one that was killed had ordered, and an engine that outlived it goes on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from agent.errors import EndpointError
from agent.job import OracleSettings
from agent.oracle.carrier import UNWATCHED, Look
from agent.oracle.lines import file_of
from agent.oracle.offline import DONE, LOST, ORDER, TAKEN, Order
from agent.oracle.shards import count_lines
from agent.store import BatchRow

POLL_S = 0.25  # first wait between two looks: they cost nothing
MOST_OPEN = 3  # files under way: one is worked on, and the next is there when it is done


class Engine(Protocol):
    """Who works the orders in `spool` off, and writes into `log`. See `agent.engines`."""

    spool: Path
    log: Path

    async def up(self) -> None:
        """It runs and is loaded. What one that ended was at is lost by then. Raises EndpointError."""
        ...

    @property
    def runs(self) -> bool:
        """Whether it runs, as far as this run knows."""
        ...

    def ended(self) -> str | None:
        """How it ended by itself in this run, in words; None where it did not."""
        ...

    async def finish(self) -> None:
        """Have it begin nothing more, and wait until what it is at is kept."""
        ...

    def end(self) -> None:
        """End it at once."""
        ...


class Spool:
    """Carries batches to an engine and back.

    Args:
        settings: an oracle with `run_batch.llm`.
        folder: where the files are.
        engine: who answers them.
    """

    most_bytes = 1 << 40
    most_open = MOST_OPEN
    secret: str | None = None

    def __init__(self, settings: OracleSettings, folder: Path, engine: Engine) -> None:
        if settings.run_batch is None or settings.run_batch.llm is None:
            raise ValueError(f"oracle {settings.name} has no run_batch.llm")
        self.name, self.folder = settings.name, folder.resolve()
        self.most_lines, self.poll_s = settings.run_batch.shard, min(settings.batch.poll_s, POLL_S)
        self._timeout_s, self._engine = settings.run_batch.timeout_s, engine
        self._lost: set[int] = set()  # batches that are known to be lost, and not fetched yet
        self._noted: dict[str, tuple[float, float]] = {}  # seconds of an order, and when they were first seen

    async def send(self, batch: BatchRow, file: Path) -> Mapping[str, Any]:
        """The file is where the engine reads it; that is loaded first. Raises EndpointError."""
        await self._engine.up()
        return {"input": file.name}

    async def start(self, batch: BatchRow) -> str:
        """Place the order. Raises EndpointError where it cannot be written."""
        order = self._order(batch)
        try:
            order.write()
        except OSError as error:
            raise EndpointError(
                f"oracle {self.name}: cannot write {order.path}: {error.strerror}; make room, then run again"
            ) from None
        return order.path.stem

    async def find(self, batch: BatchRow) -> str | None:
        """Its name, where there is an order, or what came of one."""
        order = self._order(batch)
        return order.path.stem if order.output.exists() or self._state(order) is not None else None

    async def look(self, batch: BatchRow) -> Look:
        """How far it is. Where no engine works on it, one is started; one that takes too long is ended."""
        order = self._order(batch)
        if not order.output.exists():
            await self._see_to(order)
        is_done = order.output.exists()  # asked first: its seconds are noted before it is there
        state, said = self._read(order)
        seconds, why = said.get("seconds"), str(said.get("why") or "")
        if is_done:
            return Look("completed", ended=True, counted=False, seconds=seconds)
        if state == LOST:
            self._lost.add(batch.id)
            status, reason = ("died", why) if why else (UNWATCHED, "its vLLM was ended while nobody watched")
            return Look(status, ended=True, counted=False, reason=reason, seconds=seconds)
        if state not in (ORDER, TAKEN):
            reason = f"{self._engine.spool} holds nothing of it any more"
            return Look("died", ended=True, counted=False, reason=reason)
        if state == TAKEN and (so_far := self._so_far(order, seconds or 0.0)) > order.limit_s:
            self._engine.end()
            lose(self._engine, f"it was ended after {so_far:.0f} s; it may take {order.limit_s:.0f} s", so_far)
        return Look("running", ended=False, done=count_lines(order.part), counted=False, seconds=seconds)

    async def is_gone(self, batch: BatchRow) -> bool:
        """An order is never lost: its file tells."""
        return False

    async def fetch(self, batch: BatchRow) -> list[Path]:
        """The file of answers; of an engine that died, what was answered by then."""
        order = self._order(batch)
        self._lost.discard(batch.id)
        return [path for path in (order.output, order.part) if path.exists()][:1]

    async def cancel(self, batch: BatchRow) -> None:
        """Withdraw the order, where nobody works on it yet."""
        self._order(batch).path.unlink(missing_ok=True)

    def tidy(self, batch: BatchRow) -> None:
        """Questions and answers are the person's to keep; the order is done with."""
        order = self._order(batch)
        for path in (order.part, *(order.path.with_suffix(state) for state in (DONE, LOST))):
            path.unlink(missing_ok=True)

    def waits_for(self, batch: BatchRow) -> str:
        """What to tell a person about a batch that is not done."""
        return f"vLLM has them as {self._order(batch).path.stem}"

    async def close(self) -> None:
        """What is worked on is kept; what is not begun waits for the next run."""
        await self._engine.finish()

    async def _see_to(self, order: Order) -> None:
        """Have an engine run where this order needs one.

        Where one of this run ended, what came of the file that it was at is settled first: it may end the run.
        """
        if (why := self._engine.ended()) is not None:
            lose(self._engine, why)
        waits = self._state(order) in (ORDER, TAKEN) and not self._lost
        if waits and not self._engine.runs:
            await self._engine.up()

    def _so_far(self, order: Order, noted: float) -> float:
        """How long an order is worked on, with the time since it was last `noted`."""
        name, now = order.path.stem, time.monotonic()
        if self._noted.get(name, (None, 0.0))[0] != noted:
            self._noted[name] = noted, now
        return noted + now - self._noted[name][1]

    def _order(self, batch: BatchRow) -> Order:
        given, output = (file_of(self.folder, batch, what) for what in ("input", "output"))
        path = self._engine.spool / f"{given.name.removesuffix('.input.jsonl')}{ORDER}"
        return Order(path, given, output, float(batch.details.get("limit_s") or self._timeout_s))

    def _state(self, order: Order) -> str | None:
        """How far it is; None where there is no such order."""
        return self._read(order)[0]

    def _read(self, order: Order) -> tuple[str | None, dict[str, Any]]:
        """How far it is, and what its file says. Looked at twice, since it may move on while we look."""
        for state in (ORDER, TAKEN, DONE, LOST) * 2:
            with suppress(FileNotFoundError):
                return state, json.loads(order.path.with_suffix(state).read_text(encoding="utf-8"))
        return None, {}


def lose(engine: Engine, why: str, seconds: float | None = None) -> None:
    """Give up the order that an engine was at when it ended.

    Args:
        why: it ended, "" where nobody knows.
        seconds: how long it was at it; by default until its log was last written.
    """
    for path in engine.spool.glob(f"*{TAKEN}"):
        order = Order.read(path)
        if order.output.exists():
            order.move(DONE)
            continue
        took = _until_it_ended(order, engine.log) if seconds is None else seconds
        part = path.with_name(f".{path.name}.part")
        part.write_text(json.dumps({"seconds": took, "why": why}) + "\n", encoding="utf-8")
        part.replace(path.with_suffix(LOST))
        path.unlink()


def _until_it_ended(order: Order, log: Path) -> float | None:
    """Seconds; None where nothing tells, as the clock was set back meanwhile."""
    if not log.exists():
        return None
    since = log.stat().st_mtime - order.path.stat().st_mtime
    return order.seconds + since if since >= 0 else None
