"""What a job is said to cost before it is run."""

from __future__ import annotations

from agent.estimating import Estimate
from agent.records import MicroDollars


def test_every_sum_an_estimate_gives_to_machines_is_in_dollars() -> None:
    found = Estimate("main", "m", 7.2, 7.0, 7.4, MicroDollars(51), 277, 300, 0.00216, "200 prompts")
    figures = found.figures()
    assert figures["expected_dollars"] == 7.2 / 1e6
    assert figures["worst_dollars"] == 51 / 1e6
    assert figures["pool_dollars"] == 0.00216
    assert figures["labels"] == 277
