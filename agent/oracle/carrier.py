"""Whoever takes batches of questions away and brings back what came of them: the seam, and what it tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from agent.errors import Charge, OracleError
from agent.oracle.dialect import Dialect
from agent.records import Answer, Oracle, Question
from agent.store import BatchRow

ELSEWHERE = "elsewhere"  # the name of a batch that a person takes away, and brings back
UNWATCHED = "lost"  # the status of one whose worker was killed while nobody watched: no failure of its own


class Untraceable(OracleError):
    """Whether a batch was started cannot be found out: it may run, and cost money, without ever being collected."""

    def __init__(self, message: str) -> None:
        super().__init__(message, charge=Charge.UNKNOWN, retryable=False)


@dataclass(frozen=True, slots=True)
class Look:
    """What is seen of a batch at one moment.

    Attributes:
        status: the provider's word for it.
        ended: nothing more will be worked on.
        understood: whether the status is one that we know.
        done: lines that were answered so far; `failed`: lines that were refused; `total`: 0 where not known.
        counted: whether the provider says how many were done and failed.
        reason: what went wrong with the whole of it, "" where nothing did.
        seconds: how long it was worked on, None where that is not known.
        details: what is needed to fetch what came of it.
    """

    status: str
    ended: bool
    understood: bool = True
    done: int = 0
    failed: int = 0
    total: int = 0
    counted: bool = True
    reason: str = ""
    seconds: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


class Carrier(Protocol):
    """`BatchApi`, `Shards` or `Spool`. Files that it is given and those that it brings are in `folder`.

    `most_lines` and `most_bytes` bound one batch, `most_open` how many may be under way; `poll_s` is the first wait
    between two looks. `secret` is the key that must not be stored, should the other side quote it.
    """

    folder: Path
    secret: str | None
    most_lines: int
    most_bytes: int
    most_open: int
    poll_s: float

    async def send(self, batch: BatchRow, file: Path) -> Mapping[str, Any]:
        """Bring the lines to where they are answered; nothing is charged yet. Returns what to remember of it."""
        ...

    async def start(self, batch: BatchRow) -> str:
        """Have them answered; returns the batch's name there. A failure says whether it may have begun."""
        ...

    async def find(self, batch: BatchRow) -> str | None:
        """The name of a batch that may have been started; None where it was not, and never will be.

        Raises Untraceable where nobody can tell, OracleError where it is worth another try.
        """
        ...

    async def look(self, batch: BatchRow) -> Look: ...

    async def is_gone(self, batch: BatchRow) -> bool:
        """Whether a batch that nobody can look at any more is certainly not known there. Raises OracleError."""
        ...

    async def fetch(self, batch: BatchRow) -> list[Path]:
        """Files of lines that came back, whole."""
        ...

    async def cancel(self, batch: BatchRow) -> None: ...

    def tidy(self, batch: BatchRow) -> None:
        """Everything is in the store: what lies in the folder is not needed any more."""
        ...

    def waits_for(self, batch: BatchRow) -> str:
        """What a person is told about a batch that is not done."""
        ...

    async def close(self) -> None: ...


class Writer(Oracle, Protocol):
    """An oracle that can write its request down, and learns how it wants to be written (`agent.oracle.dialect`)."""

    dialect: Dialect

    def refused(self, status: int, body: Any, spoken: Dialect) -> bool: ...

    def heard(self, question: Question, answer: Answer, spoken: Dialect) -> None: ...

    def body(self, question: Question) -> dict[str, Any]: ...
