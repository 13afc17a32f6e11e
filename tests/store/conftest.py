"""A fresh store with one job in it, and short ways to fill it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.records import MicroDollars
from agent.store import Store


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'out' / 'labelwright.db'}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as opened:
        opened.open_job("job", {"seed": 0}, "print", MicroDollars(1_000))
        yield opened
