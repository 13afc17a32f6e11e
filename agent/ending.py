"""What a person sees when a run has ended: the table, and where to go from here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from agent.delivery import Delivered
from agent.loop import Outcome
from agent.report import final_table
from agent.report.terminal import line


def ending(delivered: Delivered, job_file: Path) -> Iterator[RenderableType]:
    """The end-of-run table, what was written, and the command that helps next."""
    yield Text()
    yield final_table(delivered.findings, job_file=str(job_file))
    yield Text()
    for name, where in delivered.paths.items():
        yield line(name, str(where))
    if delivered.findings.waiting_count:
        yield line("next", f"labelwright review {job_file}")


def as_json(outcome: Outcome) -> dict[str, Any]:
    """The same for machines."""
    delivered = outcome.delivered
    return {
        "reason": outcome.reason,
        "message": outcome.message,
        "labels": outcome.labels,
        "waiting": outcome.waiting,
        "spent_dollars": outcome.spending.spent / 1e6,
        "cap_dollars": outcome.spending.cap / 1e6,
        "ambiguous": outcome.spending.ambiguous_count,
        "final": delivered.final if delivered else {},
        "outlook": delivered.findings.as_json()["outlook"] if delivered else None,
        "paths": {k: str(v) for k, v in delivered.paths.items()} if delivered else {},
    }
