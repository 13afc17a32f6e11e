"""Money: what a request may cost at most, what it did cost, and that neither is ever forgotten (law 1)."""

from agent.ledger.ledger import Ledger, Reservation
from agent.ledger.lock import RunLock
from agent.ledger.prices import Tariff, charge, prompt_bound, worst_case

__all__ = ["Ledger", "Reservation", "RunLock", "Tariff", "charge", "prompt_bound", "worst_case"]
