"""A fresh store with one job in it, and short ways to fill it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.records import MicroDollars
from agent.store import Store
from tests.stores import NewStore


@pytest.fixture
def url(new_store: NewStore) -> str:
    return new_store()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as opened:
        opened.open_job("job", {"seed": 0}, "print", MicroDollars(1_000))
        yield opened
