"""A head that learns from hints as well, and believes a label less where everything else speaks against it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.student.head import Head
from agent.student.heads import Heads, side_by_side
from agent.student.teaching import LEAST_TRUST, ODDS_OF_ERROR, Hints, Labelled, teach, trust
from tests.student.making import clusters, one_hot

CLASSES = 4


def labelled(seed: int, n: int, wrong: float = 0.0) -> tuple[Labelled, np.ndarray, Any]:
    """n labelled texts, which of the labels are wrong, and 200 texts without one with their classes."""
    rng = np.random.default_rng(seed)
    vectors, classes = clusters(rng, n + 200, CLASSES, dim=12)
    lies = rng.random(n) < wrong
    said = np.where(lies, (classes[:n] + rng.integers(1, CLASSES, n)) % CLASSES, classes[:n])
    known = Labelled(vectors[:n], one_hot(said, CLASSES), np.ones(n, np.float32))
    return known, lies, (vectors[n:], classes[n:])


def taught(known: Labelled, hints: Hints, seed: int = 0) -> tuple[Heads, np.ndarray]:
    heads = Heads(CLASSES)
    return heads, teach(heads, known, np.random.default_rng(seed), hints)


def fitted(known: Labelled, seed: int) -> Head:
    """On labels alone."""
    head = Head(CLASSES)
    head.fit(*known.arrays, np.random.default_rng(seed))
    return head


@given(st.integers(0, 10_000), st.integers(12, 60))
@settings(max_examples=20, deadline=None)
def test_the_parts_of_a_head_are_those_that_had_not_seen_a_fold(seed: int, n: int) -> None:
    known, _, _ = labelled(seed, n, 0.1)
    head = fitted(known, seed)
    seen = []
    for held, part in head.parts():
        seen += held.tolist()
        np.testing.assert_allclose(part.predict(known.vectors[held]), head.out_of_fold[held], atol=1e-4)
    assert sorted(seen) in ([], list(range(n)))


@given(st.integers(0, 10_000), st.integers(12, 60))
@settings(max_examples=20, deadline=None)
def test_trust_without_hints_is_bayes_rule_on_what_was_foreseen(seed: int, n: int) -> None:
    known, _, _ = labelled(seed, n, 0.2)
    head = fitted(known, seed)
    found = trust(head, known, Hints())
    if not list(head.parts()):
        assert (found == 1).all()
        return
    alone = {
        int(i)
        for held, _ in head.parts()
        for i in held
        if not known.targets[np.setdiff1d(np.arange(n), held)][:, known.targets[i].argmax()].any()
    }
    for i, row in enumerate(head.out_of_fold.tolist()):
        if i in alone:
            assert found[i] == 1
            continue
        said = int(known.targets[i].argmax())
        other = max(p for c, p in enumerate(row) if c != said)
        expected = max(LEAST_TRUST, row[said] / (row[said] + ODDS_OF_ERROR * other))
        assert found[i] == pytest.approx(expected, abs=2e-3)


def test_wrong_labels_are_believed_less_and_the_student_is_better_for_it() -> None:
    right = {True: 0.0, False: 0.0}
    for seed in range(8):
        known, lies, (others, classes) = labelled(seed, 60, 0.25)
        for doubts in (True, False):
            doubtful = np.full(60, doubts)
            head, believed = taught(known, Hints(others=others, doubtful=doubtful), seed)
            right[doubts] += float((head.predict(others).argmax(axis=1) == classes).mean()) / 8
            if doubts:
                assert believed[lies].mean() < 0.6 * believed[~lies].mean()
            else:
                assert (believed == 1).all()
    assert right[True] > right[False] + 0.01


def test_a_label_that_nobody_doubts_counts_in_full() -> None:
    known, lies, (others, _) = labelled(3, 60, 0.3)
    doubtful = ~lies  # the wrong ones were given by people
    _, believed = taught(known, Hints(others=others, doubtful=doubtful))
    assert (believed[lies] == 1).all()
    assert (believed[~lies] < 1).any()


def test_a_label_whose_class_no_other_has_is_believed_unless_the_class_s_name_says_something() -> None:
    known, _, (others, classes) = labelled(0, 4)
    doubtful = np.ones(4, bool)
    _, believed = taught(known, Hints(others=others, doubtful=doubtful))
    assert (believed == 1).all()
    names = np.stack([others[classes == c].mean(axis=0) for c in range(CLASSES)])
    _, believed = taught(known, Hints(names=names, doubtful=doubtful))
    assert (believed < 1).all()


def test_without_hints_it_is_the_plain_head() -> None:
    known, _, (others, _) = labelled(1, 40)
    head, _ = taught(known, Hints(), 7)
    np.testing.assert_array_equal(head.predict(others), fitted(known, 7).predict(others))


def test_several_labels_a_text_take_no_hints() -> None:
    known, _, (others, _) = labelled(1, 40)
    heads = []
    for hints in (Hints(), Hints(names=known.vectors[:CLASSES], others=others, doubtful=np.ones(40, bool))):
        head = Heads(CLASSES, independent=True)
        believed = teach(head, known, np.random.default_rng(0), hints)
        assert (believed == 1).all()
        heads.append(head)
    np.testing.assert_array_equal(heads[0].predict(others), heads[1].predict(others))


def test_on_two_encoders_labels_are_doubted_by_the_first_and_both_learn_what_they_guess_together() -> None:
    """The second knows every label by heart, the wrong ones too: alone it would doubt none of them."""
    known, lies, (others, classes) = labelled(2, 80, 0.25)
    rng = np.random.default_rng(5)
    by_heart = known.targets @ rng.normal(size=(CLASSES, 12)) + 0.01 * rng.normal(size=(80, 12))
    by_heart /= np.linalg.norm(by_heart, axis=1, keepdims=True)
    both = Labelled(side_by_side(known.vectors, by_heart.astype(np.float32)), known.targets, known.weights)
    seen = side_by_side(others, others[:, ::-1].copy())
    heads = Heads(CLASSES, temperatures=(1.0, 2.0))
    believed = teach(heads, both, np.random.default_rng(0), Hints(others=seen, doubtful=np.ones(80, bool)))
    _, alone = taught(known, Hints(others=others, doubtful=np.ones(80, bool)))
    np.testing.assert_allclose(believed, alone, atol=1e-5)
    assert believed[lies].mean() < 0.6 * believed[~lies].mean()
    assert float((heads.predict(seen).argmax(axis=1) == classes).mean()) > 0.6


def test_a_sample_of_the_others_teaches_as_much_as_all_of_them() -> None:
    known, _, (others, _) = labelled(4, 40)
    twice = np.repeat(others, 2, axis=0)
    whole, _ = taught(known, Hints(others=twice))
    sample, _ = taught(known, Hints(others=others, stand_for=2.0))
    np.testing.assert_allclose(sample.predict(others), whole.predict(others), atol=2e-3)
