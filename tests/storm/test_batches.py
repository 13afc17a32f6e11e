"""A slice of `python -m tests.storm batches`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.storm.batches import figures, storm


@pytest.mark.slow
def test_three_jobs_in_batches_that_are_killed_again_and_again_lose_nothing(tmp_path: Path) -> None:
    tally = storm(tmp_path, 3, seed=11)
    told = figures(tally)
    told.finish()
    assert told.failed == told.problems == []
    assert tally.kills.total() >= 3
