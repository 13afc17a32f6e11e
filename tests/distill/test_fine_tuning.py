"""The network learns what it is told, as strongly as it is told, and the same way every time."""

from __future__ import annotations

import importlib
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agent.distill import Distilled, Examples, Model, distil
from agent.distill.epochs import BATCH_TEXTS, BATCH_TOKENS, deal
from agent.distill.finetune import (
    Course,
    Lessons,
    finetune,
    held_losses,
    passes_for,
    warm_start,
)
from agent.distill.mean_pooling import MEAN_GAIN, POOLER_GAIN
from agent.distill.network import Network
from agent.distill.targets import best_temperature, hold_out
from agent.errors import DataError, ModelError
from agent.job import DistilSettings
from agent.student.encoder import Encoder
from agent.student.logistic import softmax
from tests.distill.conftest import GENTLE
from tests.distill.making import NAMES, examples, make_encoder, sentences

targets = importlib.import_module("agent.distill.targets")


def taught(
    known: Examples, encoder: Encoder, folder: Path, settings: DistilSettings = GENTLE
) -> tuple[Model, Distilled]:
    done = distil(known, settings, encoder=encoder, folder=folder)
    return Model.load(folder), done


def said(model: Model, texts: list[str]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    found = model.predict(texts).probabilities
    assert found is not None
    return found


def test_new_texts_get_the_right_label(model: Model) -> None:
    texts, topics = sentences(90, seed=5)
    assert np.mean([a == b for a, b in zip(model.predict(texts).values, topics, strict=True)]) > 0.85


def test_the_same_seed_writes_the_same_bytes(encoder: Encoder, tmp_path: Path) -> None:
    for name in ("a", "b"):
        taught(examples(), encoder, tmp_path / name)
    for file in sorted(p.name for p in (tmp_path / "a").iterdir()):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_another_seed_gives_another_network(encoder: Encoder, tmp_path: Path) -> None:
    taught(examples(), encoder, tmp_path / "a")
    taught(replace(examples(), seed=1), encoder, tmp_path / "b")
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("a", "b")]
    assert weights[0] != weights[1]


def test_no_global_generator_moves(encoder: Encoder, tmp_path: Path) -> None:
    before = torch.get_rng_state(), random.getstate(), repr(np.random.get_state())
    taught(examples(), encoder, tmp_path / "m")
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1], before[2]) == (random.getstate(), repr(np.random.get_state()))


def test_a_doubtful_teacher_makes_a_doubtful_model(encoder: Encoder, tmp_path: Path) -> None:
    sure = examples(90)
    doubtful = replace(sure, targets=0.7 * sure.targets + 0.1)
    texts, _ = sentences(60, seed=3)
    top = [said(taught(e, encoder, tmp_path / n)[0], texts).max(1).mean() for n, e in (("s", sure), ("d", doubtful))]
    assert top[0] > 0.85
    assert 0.6 < top[1] < 0.85


def test_a_text_of_weight_zero_changes_nothing(encoder: Encoder, tmp_path: Path) -> None:
    known = examples(40)
    wrong = Examples(
        [*known.texts, "the cat", "one saw"],
        np.vstack([known.targets, [[0, 1, 0], [0, 0, 1]]]).astype(np.float32),
        np.append(known.weights, [0, 0]).astype(np.float32),
        NAMES,
    )
    taught(known, encoder, tmp_path / "a")
    taught(wrong, encoder, tmp_path / "b")
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("a", "b")]
    assert weights[0] == weights[1]


def test_of_two_contradicting_labels_the_heavier_wins(encoder: Encoder, tmp_path: Path) -> None:
    known = examples(60, names=("animal", "tool"), topics=("animal", "tool"))
    twice = Examples(
        [*known.texts, *known.texts],
        np.vstack([known.targets, known.targets[:, ::-1]]),
        np.array([8.0] * 60 + [1.0] * 60, np.float32),
        known.names,
    )
    model, _ = taught(twice, encoder, tmp_path / "m")
    texts, topics = sentences(40, seed=4, topics=("animal", "tool"))
    right = said(model, texts)[np.arange(40), [known.names.index(t) for t in topics]]
    assert 0.75 < right.mean() < 0.96  # eight of nine say so


def test_a_class_without_labels_is_hardly_ever_likely(encoder: Encoder, tmp_path: Path) -> None:
    known = examples(60, names=("animal", "tool", "vehicle"), topics=("animal", "tool"))
    model, _ = taught(known, encoder, tmp_path / "m")
    texts, _ = sentences(60, seed=9)  # foods among them, which were never shown either
    assert said(model, texts)[:, 2].max() < 0.2


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_a_handful_of_labels_is_enough_to_begin(encoder: Encoder, tmp_path: Path, n: int) -> None:
    model, done = taught(examples(n), encoder, tmp_path / "m", DistilSettings(learning_rate=1e-4))
    assert (done.learnt, done.held_out, done.figures) == (n, 0, ())
    assert np.isfinite(said(model, ["the cat", ""])).all()


def test_a_hundred_and_fifty_classes(encoder: Encoder, tmp_path: Path) -> None:
    names = tuple(f"class {i}" for i in range(150))
    texts, _ = sentences(150)
    targets = np.eye(150, dtype=np.float32)
    model, done = taught(Examples(texts, targets, np.ones(150, np.float32), names), encoder, tmp_path / "m")
    assert model.names == names
    assert done.figures == ()  # one label of each class foresees no other, so nothing was measured
    np.testing.assert_allclose(said(model, texts[:9]).sum(1), 1, rtol=1e-5)


def test_each_class_of_multilabel_is_a_decision_of_its_own(multilabel_folder: Path) -> None:
    texts, topics = sentences(60, seed=8)
    values = Model.load(multilabel_folder).predict(texts).values
    expected = [() if t == "food" else (t,) for t in topics]
    assert np.mean([a == b for a, b in zip(values, expected, strict=True)]) > 0.8


def test_no_labels_are_refused_with_a_way_out(encoder: Encoder, tmp_path: Path) -> None:
    known = replace(examples(4), weights=np.zeros(4, np.float32))
    with pytest.raises(DataError, match="no label to distil from"):
        distil(known, GENTLE, encoder=encoder, folder=tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_an_encoder_without_a_classifier_of_its_kind_is_refused(encoder: Encoder, tmp_path: Path) -> None:
    folder = make_encoder(tmp_path / "odd", "clip_text_model")
    with pytest.raises(ModelError, match="cannot be loaded as a sequence classifier"):
        distil(examples(6), GENTLE, encoder=str(folder), folder=tmp_path / "m")


def test_progress_ends_at_its_total_and_never_falls(encoder: Encoder, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    distil(
        examples(50),
        GENTLE,
        encoder=encoder,
        folder=tmp_path / "m",
        progress=lambda done, total: told.append((done, total)),
    )
    assert told[-1] == (150, 150)
    assert told == sorted(told)


# Mean pooling -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_the_added_layer_computes_the_mean_that_the_encoder_pools(kind: str, tmp_path: Path) -> None:
    """The slow obvious twin: pool the encoder's own states by hand."""
    encoder = Encoder.load(str(make_encoder(tmp_path / kind, kind)))
    network = Network.open(encoder, NAMES, multilabel=False, seed=0)
    texts, _ = sentences(12)  # of several lengths, so that padding would show
    inner = network.model.base_model
    for tokens, found in zip(network.tokens(texts), network.features(network.tokens(texts)), strict=True):
        with torch.no_grad():
            states = inner(torch.tensor([tokens]), output_hidden_states=True).hidden_states[-2][0]
        mixed = states[0] + MEAN_GAIN * states.mean(0)
        level = (mixed - mixed.mean()) / mixed.std(correction=0)
        np.testing.assert_allclose(found, torch.tanh(POOLER_GAIN * level), atol=1e-3)


def test_an_encoder_that_pools_by_its_first_token_gets_no_layer(tmp_path: Path) -> None:
    encoder = Encoder.load(str(make_encoder(tmp_path / "cls", pooling="cls")))
    assert Network.open(encoder, NAMES, multilabel=False, seed=0).model.config.num_hidden_layers == 2


def test_an_architecture_that_cannot_take_the_layer_still_learns(tmp_path: Path) -> None:
    encoder = Encoder.load(str(make_encoder(tmp_path / "d", "distilbert")))
    model, _ = taught(examples(60), encoder, tmp_path / "m")
    assert model.names == NAMES


def test_a_model_can_be_distilled_further_with_other_classes(model_folder: Path, tmp_path: Path) -> None:
    names = ("animal", "anything else")
    known = examples(60)
    targets = np.stack([known.targets[:, 0], known.targets[:, 1:].sum(1)], axis=1)
    distil(replace(known, names=names, targets=targets), GENTLE, encoder=str(model_folder), folder=tmp_path / "m")
    assert Model.load(tmp_path / "m").names == names


# Holding out ------------------------------------------------------------------------------------------------------


def lessons(network: Network, known: Examples) -> Lessons:
    return Lessons(network.tokens(known.texts), known.targets, known.weights)


def test_the_weights_that_are_kept_are_those_that_were_judged(encoder: Encoder) -> None:
    network = Network.open(encoder, NAMES, multilabel=False, seed=0)
    learn, held_out = lessons(network, examples(60)), lessons(network, examples(30, seed=2))
    warm_start(network, learn, 0)
    trained = finetune(network, learn, Course(epochs=6, learning_rate=3e-3, patience=2), held_out)
    assert held_losses(network, held_out).mean() == pytest.approx(trained.held_out[trained.epochs], rel=1e-4)
    assert len(trained.losses) <= trained.epochs + 2


def test_a_few_labels_all_teach_and_are_measured_by_cross_validation(encoder: Encoder, tmp_path: Path) -> None:
    _, done = taught(examples(120), encoder, tmp_path / "m")
    (figure,) = done.figures
    assert (done.learnt, done.held_out, figure.n) == (120, 0, 120)
    assert "cross-validated" in figure.measured_on
    assert figure.lo is not None
    assert figure.hi is not None
    assert 0.6 < figure.lo < figure.value <= figure.hi


def test_of_many_labels_some_are_held_out_to_measure(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "HOLD_OUT_FROM", 100)
    model, done = taught(examples(120), encoder, tmp_path / "m")
    (figure,) = done.figures
    assert (done.learnt, done.held_out, figure.n) == (108, 12, 12)
    assert done.temperature != 1
    assert model.names == NAMES


@given(st.integers(0, 400), st.integers(1, 30), st.integers(0, 9))
def test_holding_out_leaves_two_of_every_class_and_takes_no_more_than_a_tenth(
    n: int, classes: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    wanted = np.eye(classes, dtype=np.float32)[rng.integers(0, classes, n)]
    known = Examples([""] * n, wanted, np.ones(n, np.float32), [str(c) for c in range(classes)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, "HOLD_OUT_FROM", 10)
        learn, held = hold_out(known, rng)
    assert sorted([*learn.tolist(), *held.tolist()]) == list(range(n))
    assert len(held) <= round(n / 10)
    kept = wanted[learn].sum(0)
    assert (kept >= np.minimum(wanted.sum(0), 2)).all()


def test_a_temperature_makes_loud_logits_fit_doubtful_targets() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1, (400, 3)).astype(np.float32)
    wanted = softmax(logits)
    weights = np.ones(400, np.float32)
    assert best_temperature(3 * logits, wanted, weights, multilabel=False) == pytest.approx(3, rel=0.05)
    few = best_temperature(3 * logits[:2], wanted[:2], weights[:2], multilabel=False)
    assert 1 < few < 2.9  # two texts cannot say much


def test_an_unreliable_teacher_makes_an_unsure_model(encoder: Encoder, tmp_path: Path) -> None:
    """A third of the labels are wrong at random: nobody may be sure of anything."""
    known = examples(300)
    rng = np.random.default_rng(0)
    wrong = rng.random(300) < 1 / 3
    shifted = np.where(wrong[:, None], np.roll(known.targets, 1, axis=1), known.targets)
    model, _ = taught(replace(known, targets=shifted), encoder, tmp_path / "m")
    texts, _ = sentences(60, seed=11)
    assert 0.5 < said(model, texts).max(1).mean() < 0.85


# Batches ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 6000), max_size=300), st.integers(0, 9))
def test_every_text_is_dealt_once_in_batches_that_fit(lengths: list[int], seed: int) -> None:
    batches = deal(lengths, np.random.default_rng(seed))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) <= BATCH_TEXTS
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= BATCH_TOKENS


@given(st.integers(1, 10**7), st.integers(2, 1000))
def test_epochs_stay_within_bounds_fall_with_more_labels_and_rise_with_more_classes(n: int, classes: int) -> None:
    passes = passes_for(classes)
    assert passes.fewest <= passes.over(n + 1) <= passes.over(n) <= passes.most
    assert passes.over(n) <= passes_for(classes + 1).over(n)
    assert passes.over(n, 7) == 7
