"""A fresh store, and one that holds the finished job: made once, copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.store import Store
from tests.report import a_job

FILE = "labelwright.db"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Files of an empty store and of a finished job."""
    empty, finished = (tmp_path_factory.mktemp(name) / FILE for name in ("empty", "finished"))
    Store.open(f"sqlite:///{empty}").close()
    shutil.copy(empty, finished)
    with Store.open(f"sqlite:///{finished}") as store:
        a_job.done(store)
    return empty, finished


@pytest.fixture
def store(made: tuple[Path, Path], tmp_path: Path) -> Iterator[Store]:
    """Nothing in it."""
    with Store.open(f"sqlite:///{shutil.copy(made[0], tmp_path / FILE)}") as opened:
        yield opened


@pytest.fixture
def done(made: tuple[Path, Path], tmp_path: Path) -> Iterator[Store]:
    """The job of `a_job`, finished."""
    with Store.open(f"sqlite:///{shutil.copy(made[1], tmp_path / FILE)}") as opened:
        yield opened
