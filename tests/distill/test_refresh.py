"""The refreshed encoder is better on labels that it did not learn from, or it is not taken."""

from __future__ import annotations

import json
import pathlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.distill import Examples
from agent.distill.contrastive import deal_by_class, similarity, supcon
from agent.distill.race import Beside, Race, RefreshSettings, Verdict, Way
from agent.distill.refresh import FEWEST_TEXTS, affordable, fold, pinned, refresh
from agent.distill.tower import Tower
from agent.errors import DataError
from agent.student.encoder import Encoder
from agent.student.head import Head
from agent.student.heads import Heads
from agent.student.teaching import Labelled, teach
from tests.distill.making import NAMES, examples, make_encoder, sentences

SMALL = RefreshSettings(way="auto", tokens=12_000, layers=1, batch=16, learning_rate=3e-3, threads=1)


def accuracy(encoder: Encoder, known: Examples) -> float:
    texts, said = sentences(150, seed=9)
    head = Head(len(NAMES))
    head.fit(encoder.encode(known.texts), known.targets, known.weights, np.random.default_rng(0))
    right = head.predict(encoder.encode(texts)).argmax(axis=1)
    return float(np.mean([NAMES[c] == s for c, s in zip(right, said, strict=True)]))


# The loss ---------------------------------------------------------------------------------------------------------


def slow_supcon(v: np.ndarray, t: np.ndarray, w: np.ndarray, tau: float) -> float:
    total = counted = 0.0
    for i in range(len(v)):
        others = [j for j in range(len(v)) if j != i]
        alike = {j: float(t[i] @ t[j]) * w[j] for j in others}
        mass = sum(alike.values())
        below = np.log(sum(np.exp(v[i] @ v[j] / tau) for j in others))
        loss = sum(a / mass * (below - v[i] @ v[j] / tau) for j, a in alike.items()) if mass > 0 else 0.0
        total += w[i] * min(mass, 1.0) * loss
        counted += w[i] * min(mass, 1.0)
    return total / max(counted, 1e-6)


@given(st.integers(0, 10_000), st.integers(2, 9))
@settings(max_examples=30, deadline=None)
def test_the_loss_is_the_obvious_one(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    v = rng.normal(size=(n, 4))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    t, w = rng.dirichlet(np.ones(3), n), rng.uniform(0.1, 2, n)
    found = supcon(*(torch.from_numpy(a) for a in (v, t, w)), temperature=0.2, multilabel=False)
    assert float(found) == pytest.approx(slow_supcon(v, t, w, 0.2), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("n", [1, 3])
def test_a_batch_without_positives_teaches_nothing_and_breaks_nothing(n: int) -> None:
    v = torch.nn.functional.normalize(torch.ones(n, 4), dim=1).requires_grad_()
    supcon(v, torch.eye(3)[:n], torch.ones(n), temperature=0.1, multilabel=False).backward()
    assert v.grad is not None
    assert torch.equal(v.grad, torch.zeros(n, 4))


def test_texts_of_several_classes_are_as_alike_as_their_classes() -> None:
    targets = torch.tensor([[1.0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]])
    found = similarity(targets, multilabel=True)
    assert found[0].tolist() == [1.0, 0.5, 0.0, 0.0, 0.0]
    assert found[3, 4] == 1.0


@given(st.integers(0, 10_000), st.integers(1, 80), st.integers(2, 20))
@settings(max_examples=30, deadline=None)
def test_every_text_is_dealt_once(seed: int, n: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    batches = deal_by_class(rng.dirichlet(np.ones(4), n).astype(np.float32), size, rng)
    assert sorted(i for b in batches for i in b) == list(range(n))
    assert max(map(len, batches)) <= size


# The tower --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_upper_layers_on_kept_states_say_what_the_whole_model_says(
    tmp_path: pathlib.Path, kind: str, pooling: str
) -> None:
    encoder = Encoder.load(str(make_encoder(tmp_path / "e", kind, pooling=pooling, layers=3)))
    texts, _ = sentences(20)
    tower = Tower(encoder, texts, 1, 64)
    with tower.upper():
        np.testing.assert_allclose(tower.encode(), encoder.encode(texts), atol=1e-5)
        with torch.no_grad():
            some = tower.vectors([7, 2, 2]).numpy()
    np.testing.assert_allclose(some, encoder.encode([texts[i] for i in (7, 2, 2)]), atol=1e-5)


def test_only_upper_layers_learn(tmp_path: pathlib.Path, encoder: Encoder) -> None:
    done = refresh(encoder, examples(60), replace(SMALL, way="finetuned"), tmp_path / "r")
    assert done.folder is not None
    before, after = (dict(Encoder.load(str(f))._model.named_parameters()) for f in (encoder.folder, done.folder))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("encoder.layer.1.") for name in changed)


def apart(vectors: np.ndarray, known: Examples) -> float:
    """How much more alike two texts of one class are than two of different ones."""
    cosines, same = vectors @ vectors.T, known.targets @ known.targets.T > 0.5
    itself = np.eye(len(same), dtype=bool)
    return float(cosines[same & ~itself].mean() - cosines[~same].mean())


@pytest.mark.parametrize("way", ["contrastive", "finetuned"])
def test_either_way_draws_classes_apart_for_texts_not_learnt_from(encoder: Encoder, way: Way) -> None:
    known = examples(120)
    tower = Tower(encoder, known.texts, 1, 64)
    race = Race(tower, known, SMALL, lambda done, total: None)
    new = Examples(known.texts[60:], known.targets[60:], known.weights[60:], NAMES)
    before = apart(tower.start[60:], new)
    with tower.upper():
        race.learn(way, np.arange(60), 10_000)
        assert apart(tower.encode()[60:], new) > 2 * before


# The whole --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["auto", "finetuned"])
def test_a_refreshed_encoder_is_better_on_new_texts(tmp_path: pathlib.Path, encoder: Encoder, way: Way) -> None:
    known = examples(60)
    seen: list[tuple[int, int]] = []
    done = refresh(encoder, known, replace(SMALL, way=way), tmp_path / "r", lambda a, b: seen.append((a, b)))
    assert done.kept in ({"finetuned", "contrastive"} if way == "auto" else {way})
    assert done.folder == tmp_path / "r"
    new = Encoder.load(str(done.folder))
    assert (new.pooling, new.dim, new.max_tokens) == (encoder.pooling, encoder.dim, encoder.max_tokens)
    assert new.key != encoder.key
    assert accuracy(new, known) >= accuracy(encoder, known)
    assert done.losses[done.kept] < done.losses["frozen"]
    assert seen == sorted(seen)
    assert seen[-1][0] <= seen[-1][1]


def test_a_label_that_is_not_believed_judges_and_does_not_teach(encoder: Encoder) -> None:
    known, learn, held = examples(120), np.arange(90), np.arange(90, 120)
    tower = Tower(encoder, known.texts, 1, 64)

    def verdict(doubted: np.ndarray) -> Verdict:
        trust = np.ones(120, np.float32)
        trust[doubted] = 0.05
        race = Race(tower, replace(known, trust=trust), SMALL, lambda done, total: None)
        return race.judge(tower.start, learn, held)

    nobody = verdict(learn[:0])
    assert verdict(held[::2]) == nobody
    assert verdict(learn[::2]) != nobody


def test_labels_that_mean_nothing_leave_the_encoder_as_it_is(tmp_path: pathlib.Path, encoder: Encoder) -> None:
    known = examples(120)
    noise = replace(known, targets=np.random.default_rng(3).permutation(known.targets))
    done = refresh(encoder, noise, SMALL, tmp_path / "r")
    if done.kept == "frozen":
        assert not (tmp_path / "r").exists()
    assert done.losses[done.kept] <= done.losses["frozen"]


def test_few_labels_and_one_class_leave_it_as_it_is(tmp_path: pathlib.Path, encoder: Encoder) -> None:
    assert refresh(encoder, examples(FEWEST_TEXTS - 1), SMALL, tmp_path / "r").kept == "frozen"
    assert refresh(encoder, examples(80, topics=("animal",)), SMALL, tmp_path / "r").kept == "frozen"
    with pytest.raises(DataError):
        refresh(encoder, replace(examples(60), weights=np.zeros(60, np.float32)), SMALL, tmp_path / "r")


def test_any_number_of_labels_a_text(tmp_path: pathlib.Path, encoder: Encoder) -> None:
    done = refresh(encoder, replace(examples(120), multilabel=True), SMALL, tmp_path / "r")
    assert set(done.losses) == {"frozen", "finetuned", "contrastive"}
    assert done.judged == 24


def test_the_same_labels_write_the_same_bytes_on_one_thread_and_two(tmp_path: pathlib.Path, encoder: Encoder) -> None:
    before = torch.get_rng_state()
    for name, threads in (("a", 1), ("b", 2)):
        was = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            refresh(encoder, examples(60), SMALL, tmp_path / name)
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(was)
    assert torch.equal(before, torch.get_rng_state())
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert pathlib.Path("model.safetensors") in files
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_the_second_refresh_is_judged_on_texts_that_the_first_did_not_learn(
    tmp_path: pathlib.Path, encoder: Encoder
) -> None:
    first = refresh(encoder, examples(90), replace(SMALL, way="finetuned"), tmp_path / "r")
    assert first.folder is not None
    learnt = json.loads((first.folder / "refresh.json").read_text())["learnt"]
    assert len(learnt) == len(set(examples(90).texts))
    present = Encoder.load(str(first.folder))
    again = refresh(present, examples(150), replace(SMALL, way="finetuned"), tmp_path / "s", base=encoder)
    assert 16 <= again.judged <= 60
    assert refresh(present, examples(90), replace(SMALL, way="finetuned"), tmp_path / "t", base=encoder).judged == 18


def test_no_class_loses_its_last_two_texts_to_the_fold() -> None:
    known = examples(60)
    rare = replace(known, targets=np.eye(3, dtype=np.float32)[[2, 2] + [0, 1] * 29])
    held = fold(rare, np.arange(60), np.random.default_rng(0))
    assert len(held) == 16
    assert not set(held.tolist()) & {0, 1}
    assert set(fold(rare, np.arange(10, 20), np.random.default_rng(0)).tolist()) <= set(range(10, 20))


def test_only_as_many_texts_as_the_budget_sees_once() -> None:
    lengths = np.full(1000, 10)
    assert len(affordable(lengths, 5000, np.random.default_rng(0))) in (499, 500)
    assert affordable(lengths, 50_000, np.random.default_rng(0)).tolist() == list(range(1000))


def test_a_tuned_encoder_is_not_praised_for_what_names_say_anyway(encoder: Encoder) -> None:
    known, learn, held = examples(120), np.arange(60), np.arange(60, 120)
    texts, said = sentences(40, seed=9)
    names = [next(t for t, s in zip(texts, said, strict=True) if s == name) for name in NAMES]
    beside = Beside(names, texts, stand_for=2.0)
    tower = Tower(encoder, [*known.texts, *beside.texts], 1, 64)
    plain = Race(tower, known, SMALL, lambda done, total: None).judge(tower.start, learn, held)
    told = Race(tower, known, SMALL, lambda done, total: None, beside).judge(tower.start, learn, held)
    assert told != plain
    heads = Heads(len(NAMES))
    hints = beside.hints(tower.start[120:])
    lessons = Labelled(tower.start[learn], known.targets[learn], known.weights[learn])
    teach(heads, lessons, np.random.default_rng([known.seed, 6]), hints)
    right = heads.predict(tower.start[held]).argmax(axis=1) == known.targets[held].argmax(axis=1)
    assert told.accuracy == pytest.approx(right.mean()), "the student that judges is the loop's own"


def test_threads_are_put_back_after_an_error() -> None:
    before = torch.get_num_threads()
    with pytest.raises(DataError), pinned(before + 1):
        replace(examples(9), weights=np.zeros(9, np.float32)).checked()
    assert torch.get_num_threads() == before


def test_vectors_are_the_same_on_one_thread_and_two(encoder: Encoder) -> None:
    texts, _ = sentences(200)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(encoder.encode(texts).astype(np.float16))
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(found[0], found[1])


def test_a_tower_becomes_what_another_was_saved_as(tmp_path: pathlib.Path, encoder: Encoder) -> None:
    done = refresh(encoder, examples(60), replace(SMALL, way="finetuned"), tmp_path / "r")
    assert done.folder is not None
    tuned = Encoder.load(str(done.folder))
    texts, _ = sentences(30, seed=4)
    tower = Tower(encoder, texts, SMALL.layers, 64)
    tower.become(tuned)
    with tower.upper():
        np.testing.assert_allclose(tower.encode(), tuned.encode(texts), atol=1e-5)
