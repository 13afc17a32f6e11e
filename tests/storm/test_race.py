"""A small race, as the big one of `make storm`: the cap holds for every run, by the provider's own log."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stores import NewStore
from tests.storm import race


@pytest.mark.slow
def test_no_run_is_charged_more_than_its_cap_and_calm_ones_use_it(tmp_path: Path) -> None:
    figures = race.storm(len(race.WEATHER) * len(race.WORKERS), 1, tmp_path, shared=1000)
    assert not figures.failed
    assert not figures.problems


@pytest.mark.slow
def test_the_cap_holds_for_ledgers_that_know_nothing_of_each_other(tmp_path: Path, new_store: NewStore) -> None:
    figures = race.storm(6, 2, tmp_path, shared=1, new_store=new_store)
    assert not figures.failed
    assert not figures.problems
