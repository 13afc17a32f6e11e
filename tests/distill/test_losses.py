"""Losses that wrong labels move less, and which labels look wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agent.distill.coteaching import share_forgotten
from agent.distill.losses import Q, row_losses, small_losses, trust_out_of_fold
from agent.student.teaching import LEAST_TRUST

numbers = st.floats(-30, 30, width=32)


@st.composite
def batches(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(n, C) logits, targets whose rows sum to one, and targets that are C decisions each."""
    n, classes, seed = draw(st.integers(1, 5)), draw(st.integers(2, 6)), draw(st.integers(0, 99))
    logits = draw(st.lists(numbers, min_size=n * classes, max_size=n * classes))
    rng = np.random.default_rng(seed)
    single, many = rng.dirichlet(np.full(classes, 0.3), n), rng.random((n, classes))
    return torch.tensor(logits).reshape(n, classes).double(), torch.tensor(single), torch.tensor(many)


def slow(logits: list[float], target: list[float], q: float, *, multilabel: bool) -> float:
    """One row, as the paper writes it."""
    if multilabel:
        found = 0.0
        for z, t in zip(logits, target, strict=True):
            holds, does_not = 1 / (1 + math.exp(-z)), 1 / (1 + math.exp(z))
            found += t * (1 - holds**q) / q + (1 - t) * (1 - does_not**q) / q
        return found
    total = sum(math.exp(z) for z in logits)
    return sum(t * (1 - (math.exp(z) / total) ** q) / q for z, t in zip(logits, target, strict=True))


@given(batches(), st.floats(0.05, 1.0), st.booleans())
def test_the_generalised_loss_is_what_the_paper_writes(
    batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor], q: float, multilabel: bool
) -> None:
    logits, targets = batch[0], batch[2 if multilabel else 1]
    found = row_losses(logits, targets, multilabel=multilabel, q=q).tolist()
    rows = zip(logits.tolist(), targets.tolist(), strict=True)
    assert found == pytest.approx([slow(z, t, q, multilabel=multilabel) for z, t in rows], rel=1e-6, abs=1e-9)


@given(batches(), st.booleans())
def test_it_becomes_cross_entropy_as_q_goes_to_nought(
    batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor], multilabel: bool
) -> None:
    logits, targets = batch[0], batch[2 if multilabel else 1]
    tiny, none = (row_losses(logits, targets, multilabel=multilabel, q=q) for q in (1e-7, 0.0))
    assert tiny.tolist() == pytest.approx(none.tolist(), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("loud", [1.0, 80.0, 1e4])
def test_gradients_are_finite_and_no_larger_than_those_of_cross_entropy(multilabel: bool, loud: float) -> None:
    targets = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]])
    norms = []
    for q in (Q, 0.0):
        logits = (loud * torch.tensor([[-1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, -1.0, 0.5]])).requires_grad_()
        row_losses(logits, targets, multilabel=multilabel, q=q).sum().backward()  # type: ignore[no-untyped-call]
        assert logits.grad is not None
        assert torch.isfinite(logits.grad).all()
        norms.append(float(logits.grad[0].norm()))  # a label that the network finds unlikely
    assert norms[0] <= norms[1]


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=20), st.floats(0, 1), st.integers(0, 99))
def test_of_a_batch_the_largest_losses_of_doubtful_labels_are_left_out(
    rows: list[tuple[int, bool]], share: float, seed: int
) -> None:
    losses = np.array([loss for loss, _ in rows], np.float32)
    doubtful = np.array([doubted for _, doubted in rows], np.bool_)
    kept = small_losses(losses, doubtful, share, np.random.default_rng(seed))
    assert kept[~doubtful].all()
    wanted = share * doubtful.sum()
    assert math.floor(wanted) <= (~kept).sum() <= math.ceil(wanted)
    left, learnt = losses[~kept], losses[kept & doubtful]
    assert not len(left) or not len(learnt) or left.min() >= learnt.max()


def test_a_share_of_less_than_one_row_is_left_out_now_and_then() -> None:
    rng = np.random.default_rng(0)
    left = [(~small_losses(np.ones(16, np.float32), np.ones(16, np.bool_), 0.03, rng)).sum() for _ in range(2000)]
    assert np.mean(left) == pytest.approx(16 * 0.03, abs=0.05)


def test_the_share_rises_over_half_of_the_epochs_to_the_noise() -> None:
    assert [share_forgotten(0.2, e, 4) for e in range(4)] == [0.1, 0.2, 0.2, 0.2]
    assert [share_forgotten(0.3, e, 1) for e in range(1)] == [0.3]


def blobs(n: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """True classes, and probabilities of a good model."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, n)
    p = rng.dirichlet(np.ones(classes), n) * 0.2 + 0.8 * np.eye(classes)[true]
    return true, p.astype(np.float32)


def test_labels_that_look_wrong_out_of_fold_get_less_weight_but_for_peoples() -> None:
    true, p = blobs(200, 4)
    said = true.copy()
    said[:20] = (true[:20] + 1) % 4
    sure = np.zeros(200, np.bool_)
    sure[:5] = True
    trust = trust_out_of_fold(np.eye(4, dtype=np.float32)[said], p, sure)
    assert (trust[:5] == 1).all()
    assert (trust[5:20] == np.float32(LEAST_TRUST)).sum() >= 14  # of one it may be sure of no class
    assert (trust[20:] == 1).all()


def test_a_class_that_nobody_gave_is_no_obstacle() -> None:
    true, p = blobs(100, 4)
    said = np.where(true == 3, 0, true)
    trust = trust_out_of_fold(np.eye(4, dtype=np.float32)[said], p, None)
    assert set(np.unique(trust).tolist()) <= {1.0, np.float32(LEAST_TRUST)}


def test_nothing_is_doubted_where_no_model_could_be_taught() -> None:
    assert (trust_out_of_fold(np.eye(3, dtype=np.float32), np.full((3, 3), 1 / 3, np.float32), None) == 1).all()
