"""Money: what a request may cost at most, what it did cost, and that neither is ever forgotten (law 1)."""

from agent.ledger.ledger import Ledger, Purse, Reservation
from agent.ledger.lock import RunLock
from agent.ledger.prices import Tariff, charge, prompt_bound, worst_case
from agent.ledger.tokens import PromptTokens

__all__ = ["Ledger", "PromptTokens", "Purse", "Reservation", "RunLock", "Tariff", "charge", "prompt_bound", "worst_case"]
