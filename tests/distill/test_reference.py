"""What a model folder says of the texts of its time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.distill import Model, Runtime, distil, read_reference
from agent.errors import ModelError
from agent.student.encoder import Encoder
from tests.distill.conftest import GENTLE
from tests.distill.making import examples, sentences


def test_it_holds_what_the_model_says_of_unseen_texts_and_no_text(encoder: Encoder, tmp_path: Path) -> None:
    unseen = sentences(50, seed=9)[0]
    distil(examples(30), GENTLE, encoder=encoder, folder=tmp_path / "m", unseen=unseen)
    found = read_reference(tmp_path / "m", Runtime.TORCH, multilabel=False)
    assert found is not None
    said = Model.load(tmp_path / "m").read(unseen)
    np.testing.assert_allclose(found.probabilities, said.probabilities, atol=1e-5)
    np.testing.assert_allclose(found.vectors, said.vectors, atol=2e-2)
    assert found.anchors.shape == (30, 32)
    assert b"cat" not in (tmp_path / "m" / "labelwright.vectors").read_bytes()
    onnx = read_reference(tmp_path / "m", Runtime.ONNX, multilabel=False)
    assert onnx is not None
    assert onnx.vectors.shape == (50, 3)
    assert read_reference(tmp_path / "m", Runtime.INT8, multilabel=False) is None


def test_what_one_pass_says_is_what_predict_says(model: Model) -> None:
    texts = sentences(20, seed=3)[0]
    found = model.read(texts)
    assert found.told == model.told(texts)
    assert model.network.read(model.network.tokens(texts))[0].shape == (20, 3)


def test_a_file_that_cannot_be_read_is_named(model_folder: Path, tmp_path: Path) -> None:
    assert read_reference(tmp_path, Runtime.TORCH, multilabel=False) is None
    (tmp_path / "labelwright.vectors").write_bytes(b"no")
    with pytest.raises(ModelError, match=r"labelwright\.vectors: cannot be read"):
        read_reference(tmp_path, Runtime.TORCH, multilabel=False)
