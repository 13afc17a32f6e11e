from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.store import Store
from tests.bulk.making import RICH
from tests.stores import NewStore


@pytest.fixture
def store(new_store: NewStore) -> Iterator[Store]:
    with Store.open(new_store()) as made:
        made.open_job("job", {}, "print", RICH)
        yield made
