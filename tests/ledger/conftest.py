"""A store with one job, a ledger on it, and questions to reserve for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.ledger import Ledger
from agent.records import MicroDollars
from agent.store import Store
from tests.ledger.making import LOCAL, STRONG
from tests.stores import NewStore


@pytest.fixture
def url(new_store: NewStore) -> str:
    return new_store()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as opened:
        opened.open_job("job", {}, "print", MicroDollars(1_000_000))
        yield opened


@pytest.fixture
def ledger(store: Store) -> Iterator[Ledger]:
    opened = Ledger(store, "job", [LOCAL, STRONG])
    yield opened
    opened.close()
