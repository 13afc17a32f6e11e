"""State: tables, migrations, and every query as a named method of `Store`. Objects are disposable, this is not."""

from agent.store.answers import ABANDONED, STOPPED
from agent.store.rows import (
    AttemptRow,
    AttemptState,
    BatchRow,
    BatchState,
    End,
    FoundAnswer,
    JobRow,
    OpenLine,
    OracleSpending,
    PickRow,
    QueueRow,
    ReviewRow,
    RoundRow,
    RouteRow,
    Spending,
    StoredAnswer,
    Wanted,
)
from agent.store.store import Store

__all__ = [
    "ABANDONED",
    "STOPPED",
    "AttemptRow",
    "AttemptState",
    "BatchRow",
    "BatchState",
    "End",
    "FoundAnswer",
    "JobRow",
    "OpenLine",
    "OracleSpending",
    "PickRow",
    "QueueRow",
    "ReviewRow",
    "RoundRow",
    "RouteRow",
    "Spending",
    "Store",
    "StoredAnswer",
    "Wanted",
]
