"""State: tables, migrations, and every query as a named method of `Store`. Objects are disposable, this is not."""

from agent.store.rows import (
    AttemptRow,
    AttemptState,
    FoundAnswer,
    JobRow,
    OracleSpending,
    PickRow,
    QueueRow,
    ReviewRow,
    RoundRow,
    RouteRow,
    Spending,
    StoredAnswer,
)
from agent.store.store import Store

__all__ = [
    "AttemptRow",
    "AttemptState",
    "FoundAnswer",
    "JobRow",
    "OracleSpending",
    "PickRow",
    "QueueRow",
    "ReviewRow",
    "RoundRow",
    "RouteRow",
    "Spending",
    "Store",
    "StoredAnswer",
]
