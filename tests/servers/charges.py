"""What the server charged: its own arithmetic, and a log that is on disk before anything is sent.

Nothing of the product is used here, so that a mistake in its money cannot hide in its evidence.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Prices:
    """Dollars per million tokens, as written; `batch` is the factor for lines of a batch."""

    input: str = "1"
    output: str = "2"
    cached_input: str | None = None
    batch: str = "0.5"

    def charge(self, usage: Mapping[str, int], *, batch: bool = False) -> int:
        """Whole micro-dollars for one request, rounded up."""
        cached = usage.get("cached_tokens", 0)
        pico = (usage["prompt_tokens"] - cached) * _pico(self.input)
        pico += cached * _pico(self.input if self.cached_input is None else self.cached_input)
        pico += usage["completion_tokens"] * _pico(self.output)
        if batch:
            pico = int(pico * Decimal(self.batch))
        return -(-pico // 1_000_000)


def _pico(dollars_a_million: str) -> int:
    """Millionths of a micro-dollar a token."""
    return int(Decimal(dollars_a_million) * 1_000_000)


class ChargeLog:
    """One row a request, in memory and, where there is a file, on disk. Requests share each fsync.

    Written from the server's event loop, read from any thread.
    """

    def __init__(self, path: Path | None) -> None:
        self.rows: list[Row] = []
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644) if path else None
        self._changed = threading.Condition()
        self._waiting: list[tuple[Sequence[Row], Callable[[], None]]] = []
        self._syncing = False
        self._writer = ThreadPoolExecutor(1, "charge-log")

    def append(self, rows: Sequence[Row], then: Callable[[], None]) -> None:
        """Write rows, and call `then` on the event loop once they are on disk."""
        if self._file is None:
            self._publish(rows)
            then()
            return
        self._waiting.append((rows, then))
        if not self._syncing:
            self._sync(asyncio.get_running_loop())

    async def write(self, rows: Sequence[Row]) -> None:
        """Returns once the rows are on disk."""
        written = asyncio.Event()
        self.append(rows, written.set)
        await written.wait()

    async def written(self) -> None:
        """Returns once everything appended so far is on disk."""
        await self.write([])

    def wait_for(self, count: int, timeout_s: float) -> bool:
        """Wait until that many rows are on disk; False where they never came."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.rows) >= count, timeout_s)

    def close(self) -> None:
        self._writer.shutdown()
        if self._file is not None:
            os.close(self._file)

    def _sync(self, loop: asyncio.AbstractEventLoop) -> None:
        group, self._waiting, self._syncing = self._waiting, [], True
        raw = "".join(json.dumps(row, ensure_ascii=False) + "\n" for rows, _ in group for row in rows)
        writing = loop.run_in_executor(self._writer, self._to_disk, raw.encode("utf-8", "backslashreplace"))
        writing.add_done_callback(lambda done: self._synced(loop, done, group))

    def _to_disk(self, raw: bytes) -> None:
        assert self._file is not None
        while raw:
            raw = raw[os.write(self._file, raw) :]
        os.fsync(self._file)

    def _synced(
        self,
        loop: asyncio.AbstractEventLoop,
        done: asyncio.Future[None],
        group: Sequence[tuple[Sequence[Row], Callable[[], None]]],
    ) -> None:
        done.result()  # a log that cannot be written answers nobody
        self._syncing = False
        if self._waiting:
            self._sync(loop)
        self._publish([row for rows, _ in group for row in rows])
        for _, then in group:
            then()

    def _publish(self, rows: Sequence[Row]) -> None:
        with self._changed:
            self.rows.extend(rows)
            self._changed.notify_all()


def read_log(path: Path) -> list[Row]:
    """The rows of a log as they are on disk, without a last line that is still being written."""
    raw = path.read_bytes()
    return [json.loads(line) for line in raw[: raw.rfind(b"\n") + 1].splitlines()]
