"""Which texts to ask about: scores, the composition of a batch, the cold start, sizes, and when to stop.

Pure functions of numbers; every random choice takes a generator.
"""

from agent.selection.batch import compose
from agent.selection.coldstart import cold_start
from agent.selection.forecast import Curve, Forecast, Point, fit_curve
from agent.selection.registry import STRATEGIES, find_strategy, with_parts
from agent.selection.seam import BatchStrategy, Choice, Chosen, Ranked, State, Strategy, Trial, top
from agent.selection.sizes import auto_batch, auto_cold_start
from agent.selection.stopping import (
    Look,
    Stop,
    StopReason,
    StopState,
    f_change_bound,
    lower_bound,
    should_stop,
)
from agent.selection.strategies.bandit import reward, surprise
from agent.selection.trying import is_own, tried
from agent.selection.weighting import Weights, batch_lure, clip, drawn, lure

__all__ = [
    "STRATEGIES",
    "BatchStrategy",
    "Choice",
    "Chosen",
    "Curve",
    "Forecast",
    "Look",
    "Point",
    "Ranked",
    "State",
    "Stop",
    "StopReason",
    "StopState",
    "Strategy",
    "Trial",
    "Weights",
    "auto_batch",
    "auto_cold_start",
    "batch_lure",
    "clip",
    "cold_start",
    "compose",
    "drawn",
    "f_change_bound",
    "find_strategy",
    "fit_curve",
    "is_own",
    "lower_bound",
    "lure",
    "reward",
    "should_stop",
    "surprise",
    "top",
    "tried",
    "with_parts",
]
