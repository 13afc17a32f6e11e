"""What tests of the whole share: a process that has everything imported, and forks runs of the command."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.storm.lives import Stable


@pytest.fixture(scope="session")
def stable() -> Iterator[Stable]:
    with Stable() as runs:
        yield runs
