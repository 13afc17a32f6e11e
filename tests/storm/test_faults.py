"""A small job against a provider that does everything wrong, as the big one of `make storm`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.storm import faults


@pytest.mark.slow
def test_every_text_comes_to_an_end_and_every_charge_is_in_the_ledger(tmp_path: Path) -> None:
    figures = faults.storm(300, 3, tmp_path, timeout_s=0.5)
    assert not figures.failed
    assert not figures.problems
