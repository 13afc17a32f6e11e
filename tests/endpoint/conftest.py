"""A model of three topics, and its endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from agent.distill import Model, distil
from agent.endpoint.app import create_app
from agent.student.encoder import Encoder
from tests.distill.conftest import GENTLE
from tests.distill.making import examples, make_encoder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    encoder = Encoder.load(str(make_encoder(folder / "encoder")))
    distil(examples(60), GENTLE, encoder=encoder, folder=folder / "topics")
    return folder / "topics"


@pytest.fixture(scope="session")
def model(model_folder: Path) -> Model:
    return Model.load(model_folder)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def client(model: Model, pool: ThreadPoolExecutor) -> Iterator[TestClient]:
    with TestClient(create_app(model, pool), raise_server_exceptions=False) as client:
        yield client
