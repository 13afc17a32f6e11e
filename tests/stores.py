"""Fixtures: addresses of new stores, on SQLite and on PostgreSQL, so that one test says something about both."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from agent.store import Store
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
            path = tmp_path / f"store{next(number)}" / "labelwright.db"
            return f"sqlite:///{path}" if empty else new_file(path)
        made.append(request.getfixturevalue("postgres").new_database(empty=empty))
        return made[-1]

    yield make
    for url in made:
        request.getfixturevalue("postgres").drop(url)


@cache
def _made() -> bytes:
    """A SQLite file with the tables in it, as a job begins with."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labelwright.db"
        Store.open(f"sqlite:///{path}").close()
        return path.read_bytes()


def new_file(path: Path) -> str:
    """The address of a new store in this file, copied, which is faster than making its tables."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_made())
    return f"sqlite:///{path}"


on_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
