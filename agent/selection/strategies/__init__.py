"""What a text is worth asking about: one file a family, each class a strategy that the job file can name.

`ALL` is what the registry knows. The formulas themselves are plain functions on arrays beside each class.
"""

from collections.abc import Callable

from agent.selection.seam import Strategy
from agent.selection.strategies.knowledge import Knowledge
from agent.selection.strategies.uncertainty import Entropy, LeastConfidence, Margin, Random

ALL: tuple[Callable[..., Strategy], ...] = (
    Random,
    LeastConfidence,
    Margin,
    Entropy,
    Knowledge,
)

__all__ = ["ALL", "Entropy", "Knowledge", "LeastConfidence", "Margin", "Random"]
