"""What a step consists of: several batches teach what one as large does, and 16 bits what 32 do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.distill import GradeLessons, Model, distil, distil_grades
from agent.distill.epochs import Manner, go_down
from agent.job import DistilSettings
from agent.student.encoder import Encoder
from agent.tasks.scale import Scale
from tests.distill.making import examples, graded, sentences


class Line(torch.nn.Module):
    """A model of one layer, with word vectors as `transformers` has them."""

    def __init__(self) -> None:
        super().__init__()
        self.words = torch.nn.Embedding(2, 2)
        self.last = torch.nn.Linear(3, 1)
        with torch.no_grad():
            self.last.weight.copy_(torch.tensor([[0.5, -1.0, 2.0]]))
            self.last.bias.zero_()

    def get_input_embeddings(self) -> torch.nn.Embedding:
        return self.words


def gradients(manner: Manner, weights: list[float]) -> torch.Tensor:
    """Of one step on so many lessons, after clipping."""
    rng = np.random.default_rng(len(weights))
    given = torch.from_numpy(rng.normal(size=(len(weights), 3)).astype(np.float32))
    wanted = torch.from_numpy(rng.normal(size=len(weights)).astype(np.float32))
    model, counts = Line(), torch.tensor(weights)

    def loss_of(batch: list[int]) -> tuple[torch.Tensor, float]:
        off = (model.last(given[batch])[:, 0] - wanted[batch]) ** 2
        return (counts[batch] * off).sum(), float(counts[batch].sum())

    how = {"epochs": 1, "rate": 0.01, "seed": 0, "dropout": False, "progress": lambda done, total: None}
    go_down(model, [3] * len(weights), loss_of, manner=manner, **how)  # type: ignore[arg-type]
    assert model.last.weight.grad is not None
    assert model.last.bias.grad is not None
    return torch.cat(
        [*(p.grad.flatten() for p in model.last.parameters() if p.grad is not None), model.last.weight[0]]
    )


@settings(max_examples=40, deadline=None)
@given(
    weights=st.lists(st.sampled_from([0.0, 0.25, 1.0, 3.0]), min_size=2, max_size=24).filter(any),
    parts=st.integers(2, 6),
    total=st.booleans(),
)
def test_batches_that_are_added_up_teach_what_one_large_batch_does(
    weights: list[float], parts: int, total: bool
) -> None:
    small = -(-len(weights) // parts)
    weight = sum(weights) if total else None
    one = gradients(Manner(weight=weight, batch=len(weights)), weights)
    several = gradients(Manner(weight=weight, batch=small, accumulate=parts), weights)
    torch.testing.assert_close(several, one, rtol=1e-4, atol=1e-5)


def test_an_encoder_learns_the_same_from_batches_that_are_added_up(encoder: Encoder, tmp_path: Path) -> None:
    """Dropout is off in a regression, so nothing but rounding differs."""
    texts, grades = graded(48)
    lessons = GradeLessons(texts, np.array(grades, np.float32), np.ones(48, np.float32))
    said = {}
    for name, how in {"one": {"batch": 48}, "four": {"batch": 12, "accumulate": 4}}.items():
        settings = DistilSettings(epochs=3, learning_rate=1e-4, **how)
        made = distil_grades(lessons, Scale(1, 5, 1), settings, encoder=encoder, folder=tmp_path / name, seed=1)
        said[name] = made.scores(graded(30, seed=8)[0])
    np.testing.assert_allclose(said["four"], said["one"], atol=2e-3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_with_any_precision_it_learns_its_classes(encoder: Encoder, tmp_path: Path, precision: str) -> None:
    settings = DistilSettings(epochs=3, learning_rate=1e-4, precision=precision)  # type: ignore[arg-type]
    distil(examples(120), settings, encoder=encoder, folder=tmp_path / "m")
    texts, topics = sentences(60, seed=5)
    model = Model.load(tmp_path / "m")
    assert next(model.network.model.parameters()).dtype == torch.float32  # type: ignore[attr-defined]
    assert np.mean([a == b for a, b in zip(model.predict(texts).values, topics, strict=True)]) > 0.85


def test_the_precision_is_another_arithmetic(encoder: Encoder, tmp_path: Path) -> None:
    for precision in ("float32", "bfloat16"):
        settings = DistilSettings(epochs=1, learning_rate=1e-4, precision=precision)
        distil(examples(32), settings, encoder=encoder, folder=tmp_path / precision)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("float32", "bfloat16")]
    assert weights[0] != weights[1]
