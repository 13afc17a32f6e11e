"""What a text is worth asking about: one file a family, each class a strategy that the job file can name.

`ALL` is what the registry knows. The formulas themselves are plain functions on arrays beside each class.
"""

from collections.abc import Callable

from agent.selection.seam import Strategy
from agent.selection.strategies.balance import Balanced
from agent.selection.strategies.bandit import Bandit
from agent.selection.strategies.fusion import Adaptive
from agent.selection.strategies.knowledge import Knowledge
from agent.selection.strategies.power import Power
from agent.selection.strategies.priced import Priced
from agent.selection.strategies.trusted import Trusted
from agent.selection.strategies.uncertainty import Entropy, LeastConfidence, Margin, Random

ALL: tuple[Callable[..., Strategy], ...] = (
    Random,
    LeastConfidence,
    Margin,
    Entropy,
    Knowledge,
    Power,
    Balanced,
    Priced,
    Trusted,
    Adaptive,
    Bandit,
)

__all__ = [
    "ALL",
    "Adaptive",
    "Balanced",
    "Bandit",
    "Entropy",
    "Knowledge",
    "LeastConfidence",
    "Margin",
    "Power",
    "Priced",
    "Random",
    "Trusted",
]
