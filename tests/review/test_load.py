"""A small slice of `evals.review_load`: several pages at a server that is killed, while a run writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.outcome import Outcome
from evals.review_load import Size, measure


@pytest.mark.timeout(180)
def test_pages_and_servers_may_die_and_no_confirmed_label_is_lost(tmp_path: Path) -> None:
    outcome = Outcome("review_load")
    measure(outcome, "SQLite", f"sqlite:///{tmp_path / 'store.db'}", tmp_path, Size(8, 40, 0.02, 1, 120))
    assert [r for r in outcome.rows if r.holds is False and r.unit != "ms"] == []
