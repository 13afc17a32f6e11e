"""Machines' labels put right: by how a machine errs, by texts alike, and by people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.distill import Examples, distil
from agent.distill.correcting import FEWEST, PRIOR, Corrected, _even, _Machines, correct
from agent.doubt import by_its_own_word
from agent.job import DistilSettings
from agent.records import Floats, Rows
from agent.student.encoder import Encoder
from tests.distill.making import NAMES, examples

CLASSES = 3


def blobs(n: int, seed: int = 0, apart: float = 2.5) -> tuple[Floats, Rows]:
    """n points around three corners, and the corner of each."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % CLASSES
    return (apart * np.eye(CLASSES, 8)[truth] + rng.normal(0, 1, (n, 8))).astype(np.float32), truth


def labelled(truth: Rows, said: Rows, people: Rows | tuple[int, ...] = ()) -> Examples:
    """Examples of what a machine said of each, and of what is true of those that people saw."""
    seen = np.zeros(len(truth), np.bool_)
    seen[list(people)] = True
    one = np.eye(CLASSES, dtype=np.float32)
    texts, ones = [f"text {i}" for i in range(len(truth))], np.ones(len(truth), np.float32)
    return Examples(texts, one[np.where(seen, truth, said)], ones, NAMES, people=seen, told=one[said])


def taken_for(truth: Rows, share: float, seed: int = 1) -> Rows:
    """What a machine says that takes a share of class 0 for class 1."""
    rng = np.random.default_rng(seed)
    return np.where((truth == 0) & (rng.random(len(truth)) < share), 1, truth)


def wrong_where_hard(features: Floats, truth: Rows) -> Rows:
    """What a machine says that takes each text for the nearest corner, as it sees it: a little askew."""
    corners = np.eye(CLASSES, 8) + np.random.default_rng(4).normal(0, 0.15, (CLASSES, 8))
    return np.asarray((features @ corners.T).argmax(axis=1), truth.dtype)


def right(found: Corrected, truth: Rows) -> float:
    return float((found.targets.argmax(axis=1) == truth).mean())


def test_a_class_that_is_taken_for_another_is_found_again() -> None:
    features, truth = blobs(600)
    said = taken_for(truth, 0.4)
    found = correct(features, labelled(truth, said))
    assert found is not None
    assert (said == truth).mean() < 0.88
    assert right(found, truth) > 0.95
    assert found.changed == int((found.targets.argmax(axis=1) != said).sum())
    (mistake,) = found.mistakes
    assert (mistake.truth, mistake.said) == (0, 1)
    assert 0.3 < mistake.share < 0.5
    assert found.told(NAMES) == f"{NAMES[1]} for {NAMES[0]} ({mistake.share:.0%})"


def test_where_a_machine_errs_on_hard_texts_alone_its_labels_stay() -> None:
    """What contradicts them there errs on the same texts."""
    features, truth = blobs(900)
    said = wrong_where_hard(features, truth)
    assert 0.03 < (said != truth).mean() < 0.2
    known = replace(labelled(truth, said), trust=np.linspace(0.5, 1, 900, dtype=np.float32))
    found = correct(features, known)
    assert found is not None
    assert (found.changed, found.left) == (0, 900)
    assert found.targets.tolist() == known.targets.tolist()
    assert found.weights.tolist() == known.teaching.tolist()
    assert found.judging.tolist() == known.weights.tolist()
    assert found.rows(NAMES)["labels left as given, wrong only where texts are hard"] == 900


def test_but_a_mistake_that_people_know_of_is_put_right_there_too() -> None:
    """Of a rare class, so that hardly any easy text shows it."""
    features, truth = blobs(2400)
    said = wrong_where_hard(features, truth)
    said = np.where((truth == 0) & (np.random.default_rng(6).random(2400) < 0.7), 1, said)
    rows = np.setdiff1d(np.arange(2400), np.flatnonzero(truth == 0)[30:])
    features, truth, said = features[rows], truth[rows], said[rows]
    seen = np.flatnonzero(truth == 0)[:20]
    found = correct(features, labelled(truth, said, seen))
    assert found is not None
    assert found.left > 1500
    taken = np.setdiff1d(np.flatnonzero((truth == 0) & (said == 1)), seen)
    assert found.changed >= len(taken) > 4
    assert (found.targets[taken].argmax(axis=1) == 0).all()


def test_one_machine_errs_on_hard_texts_and_another_by_chance() -> None:
    features, truth = blobs(1200)
    by = np.arange(1200) // 600
    other = np.where(np.random.default_rng(5).random(1200) < 0.2, (truth + 1) % CLASSES, truth)
    said = np.where(by == 0, wrong_where_hard(features, truth), other)
    found = correct(features, replace(labelled(truth, said), by=by))
    assert found is not None
    assert found.left == 600
    changed = found.targets.argmax(axis=1) != said
    assert not changed[by == 0].any()
    assert changed[by == 1].mean() > 0.1


def test_people_tell_what_the_labels_alone_cannot() -> None:
    """Of a class that is mostly taken for another, the labels themselves say that it is the other."""
    features, truth = blobs(600)
    said = taken_for(truth, 0.8)
    alone = correct(features, labelled(truth, said))
    seen = np.random.default_rng(2).permutation(len(truth))[:60]
    heard = correct(features, labelled(truth, said, seen))
    assert alone is not None
    assert heard is not None
    assert right(alone, truth) < 0.8
    assert right(heard, truth) > 0.95


def test_what_people_said_stands() -> None:
    features, truth = blobs(300)
    odd = truth.copy()
    odd[:20] = (truth[:20] + 1) % CLASSES  # against everything that is like it
    known = labelled(odd, truth, tuple(range(20)))
    found = correct(features, known)
    assert found is not None
    assert found.targets[:20].argmax(axis=1).tolist() == odd[:20].tolist()
    assert found.weights[:20].tolist() == [1.0] * 20


def test_right_labels_stay_as_they_were_given() -> None:
    features, truth = blobs(300, apart=6)
    known = labelled(truth, truth)
    soft = (0.9 * known.targets + 0.1 / CLASSES).astype(np.float32)
    found = correct(features, replace(known, targets=soft, told=soft))
    assert found is not None
    assert found.changed == 0
    assert found.targets.tolist() == soft.tolist()
    assert found.weights.min() > 0.9
    assert found.mistakes == ()


def test_each_machine_has_mistakes_of_its_own() -> None:
    """One is right, the other takes all of one class for another: together they look half right."""
    features, truth = blobs(600)
    by = np.random.default_rng(3).integers(0, 2, len(truth))
    said = np.where((by == 1) & (truth == 0), 1, truth)
    known = labelled(truth, said, np.flatnonzero(by == 1)[:40])
    found = correct(features, replace(known, by=by + 7))
    assert found is not None
    assert right(found, truth) > 0.97


def test_a_rare_class_keeps_its_labels() -> None:
    """Whoever has not seen the one text of a class takes it for another."""
    features, truth = blobs(300, apart=4)
    truth[:299] = truth[:299] % 2
    truth[299] = 2
    found = correct(features, labelled(truth, truth))
    assert found is not None
    assert found.targets[299].argmax() == 2


def test_a_few_labels_of_many_classes_stay_as_they_were_given() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(100), 3)
    features = (np.eye(100, dtype=np.float32)[truth] + rng.normal(0, 0.3, (300, 100))).astype(np.float32)
    targets, ones = np.eye(100, dtype=np.float32)[truth], np.ones(300, np.float32)
    names = tuple(map(str, range(100)))
    assert correct(features, Examples([""] * 300, targets, ones, names, people=np.zeros(300, np.bool_))) is None


def test_labels_that_are_not_believed_at_all_are_left_alone() -> None:
    features, truth = blobs(300)
    known = replace(labelled(truth, truth), trust=np.zeros(300, np.float32))
    assert correct(features, known) is None


@pytest.mark.parametrize("beside", [{"by": np.zeros(3, np.int64)}, {"told": np.full((60, 3), np.nan, np.float32)}])
def test_what_stands_beside_the_labels_must_fit_them(beside: dict[str, Floats | Rows]) -> None:
    with pytest.raises(ValueError, match="beside the targets"):
        replace(examples(60), **beside).checked()  # type: ignore[arg-type]


@pytest.mark.parametrize("what", ["few", "several", "nobody"])
def test_where_nothing_can_be_known_nothing_is_put_right(what: str) -> None:
    features, truth = blobs(FEWEST + 20)
    known = labelled(truth, truth)
    if what == "few":
        known, features = known.part(np.arange(FEWEST - 1)), features[: FEWEST - 1]
    if what == "several":
        known = replace(known, multilabel=True)
    if what == "nobody":
        known = replace(known, people=None)
    assert correct(features, known) is None


@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 30))
@settings(max_examples=30)
def test_matrices_are_what_counting_one_by_one_finds(seed: int, machines: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    told = rng.dirichlet(np.full(CLASSES, 0.3), n).astype(np.float32)
    people = rng.random(n) < 0.3
    silent = people & (rng.random(n) < 0.5)
    told[silent] = 0
    by = rng.integers(0, machines, n)
    given, ones = np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, n)], np.ones(n, np.float32)
    targets = np.where(people[:, None], given, told)
    known = Examples([""] * n, targets, ones, NAMES, people=people, told=told, by=by)
    truth, weights = rng.dirichlet(np.ones(CLASSES), n), rng.random(n) + 0.1
    work = _Machines(known)
    work.learn(truth, weights)

    heard = [i for i in range(n) if not silent[i]]
    names = sorted({int(by[i]) for i in heard}) or [0]
    for k, name in enumerate(names):
        counts = np.zeros((CLASSES, CLASSES))
        for i in heard:
            if by[i] == name:
                counts[:, told[i].argmax()] += weights[i] * truth[i]
        usual = PRIOR * _even(CLASSES, float(np.trace(counts) / max(counts.sum(), 1e-9)))
        slow = (counts + usual) / (counts + usual).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(work.matrices[k], slow, rtol=1e-6, atol=1e-9)
    chances = work.chances()
    assert (chances[silent] == 1).all()
    for k, name in enumerate(names):
        rows = [i for i in heard if by[i] == name]
        said = told[rows].argmax(axis=1)
        own, _ = by_its_own_word(told[rows].astype(np.float64), said)
        np.testing.assert_allclose(chances[rows], np.exp(own) * work.matrices[k][:, said].T, rtol=1e-6)


def test_the_card_says_what_was_put_right(tmp_path: Path, encoder: Encoder) -> None:
    known = examples(240)
    truth = known.targets.argmax(axis=1)
    said = np.eye(len(NAMES), dtype=np.float32)[taken_for(truth, 0.4)]
    seen = np.zeros(len(truth), np.bool_)
    seen[:60] = True
    mixed = replace(known, targets=np.where(seen[:, None], known.targets, said), people=seen, told=said)
    notes: list[str] = []
    for labels in ("corrected", "as_given"):
        how = DistilSettings(epochs=1, labels=labels)
        distil(mixed, how, encoder=encoder, folder=tmp_path / labels, note=notes.append)
    (note,) = notes
    assert f"labels of machines were learnt as another class: {NAMES[1]} for {NAMES[0]} (" in note
    corrected, as_given = ((tmp_path / x / "README.md").read_text() for x in ("corrected", "as_given"))
    assert "labels of machines learnt as another class" in corrected
    assert f"{NAMES[1]} for {NAMES[0]} (" in corrected
    assert "learnt as another class" not in as_given
