"""Fixtures: addresses of new stores, on SQLite and on PostgreSQL, so that one test says something about both."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.postgres import NotInstalled, PostgresServer

NewStore = Callable[..., str]


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL for the whole session; where it is not installed, the tests that need it are skipped."""
    try:
        server = PostgresServer()
    except NotInstalled as missing:
        pytest.skip(str(missing))
    with server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    """The kind of database."""
    return str(request.param)


@pytest.fixture
def new_store(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[NewStore]:
    """Makes stores: `new_store()` is the address of a new one each time, `new_store(empty=True)` of one without
    tables yet. They are gone after the test."""
    number = itertools.count(1)
    made: list[str] = []

    def make(*, empty: bool = False) -> str:
        if backend == "sqlite":
            return f"sqlite:///{tmp_path / f'store{next(number)}' / 'labelwright.db'}"
        made.append(request.getfixturevalue("postgres").new_database(empty=empty))
        return made[-1]

    yield make
    for url in made:
        request.getfixturevalue("postgres").drop(url)


on_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
