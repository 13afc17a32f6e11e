"""Money: what a request may cost at most, what it did cost, and that neither is ever forgotten (law 1)."""

from agent.ledger.batches import BatchLedger, LineEnd, Opened
from agent.ledger.ledger import Ledger, Purse, Reservation, endpoint_of
from agent.ledger.lock import JobLock, RunLock
from agent.ledger.prices import Tariff, charge, prompt_bound, worst_case
from agent.ledger.tokens import PromptTokens

__all__ = [
    "BatchLedger",
    "JobLock",
    "Ledger",
    "LineEnd",
    "Opened",
    "PromptTokens",
    "Purse",
    "Reservation",
    "RunLock",
    "Tariff",
    "charge",
    "endpoint_of",
    "prompt_bound",
    "worst_case",
]
