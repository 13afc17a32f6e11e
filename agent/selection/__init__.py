"""Which texts to ask about: scores, the composition of a batch, the cold start, sizes, and when to stop.

Pure functions of numbers; every random choice takes a generator.
"""

from agent.selection.batch import compose
from agent.selection.coldstart import cold_start
from agent.selection.registry import STRATEGIES, find_strategy
from agent.selection.seam import BatchStrategy, Choice, Chosen, Ranked, State, Strategy, Trial, top
from agent.selection.sizes import auto_batch, auto_cold_start
from agent.selection.stopping import Stop, StopReason, StopState, cohens_kappa, f_change_bound, should_stop

__all__ = [
    "STRATEGIES",
    "BatchStrategy",
    "Choice",
    "Chosen",
    "Ranked",
    "State",
    "Stop",
    "StopReason",
    "StopState",
    "Strategy",
    "Trial",
    "auto_batch",
    "auto_cold_start",
    "cohens_kappa",
    "cold_start",
    "compose",
    "f_change_bound",
    "find_strategy",
    "should_stop",
    "top",
]
