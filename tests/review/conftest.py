"""The desk and the page do the same on every kind of store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.store import Store
from tests.review import scenes
from tests.stores import NewStore


@pytest.fixture(autouse=True)
def no_rate_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test asks more in a second than a person does; those of the limit itself put it back."""
    monkeypatch.setattr("agent.review.guard.CALLS", (10**9, 1e9))


@pytest.fixture
def each_kind_of_store(new_store: NewStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every scene of the test is on SQLite, then on PostgreSQL."""
    opened: list[Store] = []

    def open_store(_: Path) -> Store:
        opened.append(Store.open(new_store()))
        return opened[-1]

    monkeypatch.setattr(scenes, "open_store", open_store)
    yield
    for store in opened:
        store.close()
