"""Encoders and models that are made once and read by many tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.distill import Model, distil
from agent.job import DistilSettings
from agent.student.encoder import Encoder
from tests.distill.making import examples, make_encoder

GENTLE = DistilSettings(epochs=3, learning_rate=1e-4)


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Encoder.load(str(make_encoder(tmp_path_factory.mktemp("encoders") / "tiny")))


@pytest.fixture(scope="session")
def model_folder(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of animals, tools and foods, of 120 texts."""
    folder = tmp_path_factory.mktemp("models") / "topics"
    distil(examples(120), GENTLE, encoder=encoder, folder=folder)
    return folder


@pytest.fixture(scope="session")
def model(model_folder: Path) -> Model:
    return Model.load(model_folder)


@pytest.fixture(scope="session")
def multilabel_folder(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts of one topic each, and every third of them of none."""
    folder = tmp_path_factory.mktemp("models") / "many"
    known = examples(120)
    targets = np.array(known.targets)
    targets[:, 2] = 0  # nobody calls food a food
    distil(replace(known, targets=targets, multilabel=True), GENTLE, encoder=encoder, folder=folder)
    return folder
