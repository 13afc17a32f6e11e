"""Several oracles' answers as one: against crowd-kit, against the formula written out, and on real text."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.doubt import Rules, Voice, believed, consensus, in_effect, smeared
from agent.report.reliability import reliability

DAWID_SKENE = Rules(prior=1e-9, unreviewed=1.0, earlier=1.0, spread=0.0)
"""Nothing is expected, every text counts, and nobody counts more than another."""


def hard(said: np.ndarray, classes: int, accuracy: float = 0.8, rows: np.ndarray | None = None) -> Voice:
    """An oracle without probabilities."""
    rows = np.arange(len(said)) if rows is None else rows
    return Voice(rows, said, smeared(said, classes, accuracy))


def guessing(truth: np.ndarray, classes: int, accuracy: float, rng: np.random.Generator) -> np.ndarray:
    """Answers of an oracle that is right so often, and else says any other class."""
    other = (truth + rng.integers(1, classes, len(truth))) % classes
    return np.where(rng.random(len(truth)) < accuracy, truth, other)


def unknown(n: int) -> np.ndarray:
    return np.full(n, -1)


# Against others ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reviewed", [0, 40])
def test_without_expectations_it_is_crowd_kits_dawid_skene(reviewed: int) -> None:
    import pandas as pd

    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 200)
    said = [guessing(truth, 3, accuracy, rng) for accuracy in (0.7, 0.8, 0.6, 0.75)]
    people = np.where(np.arange(200) < reviewed, truth, -1)
    ours = consensus([hard(s, 3) for s in said], people, np.ones(200), 3, DAWID_SKENE)
    rows = [(i, j, c) for j, s in enumerate(said) for i, c in enumerate(s.tolist())]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the next pandas
        from crowdkit.aggregation import DawidSkene

        table = pd.DataFrame(rows, columns=["task", "worker", "label"])
        known = pd.Series({i: int(truth[i]) for i in range(reviewed)}) if reviewed else None
        model = DawidSkene(n_iter=100, tol=1e-9).fit(table, known)
    theirs = model.probas_.sort_index()[[0, 1, 2]].to_numpy()
    errors = [model.errors_.loc[j].sort_index()[[0, 1, 2]].to_numpy().T for j in range(4)]
    assert np.abs(ours.posterior[reviewed:] - theirs[reviewed:]).max() < 0.01
    assert max(np.abs(a - b).max() for a, b in zip(ours.confusions, errors, strict=True)) < 0.01


cases = st.integers(0, 10_000)


@settings(max_examples=30, deadline=None)
@given(seed=cases, classes=st.integers(2, 4), people=st.integers(0, 12))
def test_the_posterior_is_the_formula(seed: int, classes: int, people: int) -> None:
    """With weights that are not learnt, against every sum written out."""
    rng = np.random.default_rng(seed)
    n, rules = 12, Rules(prior=4.0, spread=0.0)
    truth = np.where(np.arange(n) < people, rng.integers(0, classes, n), -1)
    weights = rng.uniform(0.5, 3, n)
    told = [rng.dirichlet(np.ones(classes), n) for _ in range(2)]
    rows = [np.arange(n), np.sort(rng.choice(n, 8, replace=False))]
    voices = [Voice(r, p[r].argmax(axis=1), p[r]) for r, p in zip(rows, told, strict=True)]
    found = consensus(voices, truth, weights, classes, rules)
    assert np.abs(found.posterior - slowly(voices, truth, weights, classes, rules)).max() < 1e-9
    assert found.posterior.sum(axis=1) == pytest.approx(np.ones(n))
    assert all(m.sum(axis=1) == pytest.approx(np.ones(classes)) for m in found.confusions)


def slowly(voices: list[Voice], truth: np.ndarray, weights: np.ndarray, classes: int, rules: Rules) -> np.ndarray:
    """The same by loops; with two oracles only reviewed texts count, so one pass is all there is."""
    n, everything = len(truth), range(classes)
    parts, usual = [], []
    for voice in voices:
        q = [[(p + 1e-3 / classes) / (1 + 1e-3) for p in row] for row in voice.told.tolist()]
        said = voice.said.tolist()
        own = sum(q[k][said[k]] for k in range(len(said))) / len(said)
        accuracy = min(max(own, 1 / classes), 0.98)
        joint = [[accuracy if t == g else (1 - accuracy) / (classes - 1) for g in everything] for t in everything]
        for k, g in enumerate(said):
            for t in everything:
                joint[t][g] += q[k][t]
        whole = sum(map(sum, joint))
        usual.append([sum(joint[t]) / whole for t in everything])
        matrix = []
        for t in everything:
            seen = [0.0] * classes
            for k, i in enumerate(voice.rows.tolist()):
                if truth[i] == t:
                    seen[said[k]] += weights[i]
            admitted = [joint[t][g] / sum(joint[t]) for g in everything]
            matrix.append([(rules.prior * admitted[g] + seen[g]) / (rules.prior + sum(seen)) for g in everything])
        parts.append((q, said, joint, matrix))
    scale = [rules.earlier] * (len(voices) - 1) + [1.0]
    mixed = [sum(w * u[t] for w, u in zip(scale, usual, strict=True)) / sum(scale) for t in everything]
    strength = rules.prior * classes
    reviewed = [i for i in range(n) if truth[i] >= 0]
    total = strength + sum(weights[i] for i in reviewed)
    shares = [(strength * mixed[t] + sum(weights[i] for i in reviewed if truth[i] == t)) / total for t in everything]
    found = np.zeros((n, classes))
    for i in range(n):
        for t in everything:
            logs = math.log(shares[t])
            for voice, weight, (q, said, joint, matrix) in zip(voices, scale, parts, strict=True):
                for k, row in enumerate(voice.rows.tolist()):
                    if row == i:
                        g = said[k]
                        mean = joint[t][g] / sum(joint[s][g] for s in everything)
                        logs += weight * math.log(matrix[t][g] * q[k][t] / mean)
            found[i, t] = math.exp(logs)
    return found / found.sum(axis=1, keepdims=True)


# What people's labels do ------------------------------------------------------------------------------------------


def test_before_people_are_heard_the_last_oracle_decides_and_the_others_change_how_sure_it_is() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 4, 400)
    first, last = guessing(truth, 4, 0.8, rng), guessing(truth, 4, 0.8, rng)
    found = consensus([hard(first, 4), hard(last, 4)], unknown(400), np.ones(400), 4).posterior
    assert (found.argmax(axis=1) == last).all()
    sure = found.max(axis=1)
    assert sure[first == last].min() > sure[first != last].max()


def test_a_few_reviews_do_not_make_a_matrix_wild_and_many_make_it_right() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 3, 3000)
    said = np.where((truth == 2) & (rng.random(3000) < 0.5), 0, guessing(truth, 3, 0.9, rng))
    for reviewed, low, high in ((3, 0.6, 0.9), (3000, 0.4, 0.5)):
        people = np.where(np.arange(3000) < reviewed, truth, -1)
        found = consensus([hard(said, 3)], people, np.ones(3000), 3).confusions[0]
        assert low < found[2, 2] < high
    assert found[2, 0] == pytest.approx(0.525, abs=0.05)


def test_people_show_that_an_oracle_has_nothing_to_add() -> None:
    """One echoes the other, with errors of its own on top; then two that err by themselves."""
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 4, 1500)
    people = np.where(np.arange(1500) < 150, truth, -1)
    best = guessing(truth, 4, 0.85, rng)
    echo, other = guessing(best, 4, 0.8, rng), guessing(truth, 4, 0.7, rng)
    weights = {
        name: consensus([hard(said, 4), hard(best, 4)], people, np.ones(1500), 4).weights
        for name, said in (("echo", echo), ("other", other))
    }
    assert weights["echo"][0] < 0.3
    assert weights["other"][0] > 0.6
    assert min(w[1] for w in weights.values()) > 0.6


def test_an_oracle_that_people_contradict_is_overruled() -> None:
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 3, 900)
    good, bad = guessing(truth, 3, 0.9, rng), guessing(truth, 3, 0.4, rng)
    people = np.where(np.arange(900) < 100, truth, -1)
    found = consensus([hard(good, 3), hard(bad, 3)], people, np.ones(900), 3).posterior[100:]
    assert (bad == truth).mean() < 0.5
    assert (found.argmax(axis=1) == truth[100:]).mean() > 0.88


def test_one_that_was_shown_with_a_small_chance_does_not_count_as_many() -> None:
    found = in_effect(np.array([0.05, 1.0, 1.0]))
    assert found[0] / found[1] == pytest.approx(20)
    assert found.sum() == pytest.approx(22**2 / 402)
    assert in_effect(np.ones(7)).tolist() == [1.0] * 7
    assert in_effect(np.ones(0)).tolist() == []


def test_a_calibrated_confidence_leaves_the_other_classes_their_shares() -> None:
    found = believed(np.array([[0.8, 0.15, 0.05]]), np.array([0]), np.array([0.6]))
    assert found.tolist()[0] == pytest.approx([0.6, 0.3, 0.1])


# On real text -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answered:
    """Real news articles and what three oracles said of them: taught on few, taught on more, and one that takes
    classes for each other and gives no probabilities. `people` reviewed some."""

    truth: np.ndarray
    people: np.ndarray
    weak: np.ndarray
    strong: np.ndarray
    confused: np.ndarray

    def voices(self, *names: str) -> list[Voice]:
        rows, classes = np.arange(len(self.truth)), self.weak.shape[1]
        found = []
        for name in names:
            told = getattr(self, name)
            found.append(hard(told, classes) if told.ndim == 1 else Voice(rows, told.argmax(axis=1), told))
        return found


@cache
def news() -> Answered:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    from agent.demo.corpus import articles

    found = articles()
    order = np.random.default_rng(5).permutation(len(found))[:1400]
    topics = sorted({a.topic for a in found})
    labels = np.array([topics.index(found[i].topic) for i in order])
    vectors = TfidfVectorizer(max_features=3000).fit_transform([found[i].text[:400] for i in order])

    def taught(part: slice) -> np.ndarray:
        model = LogisticRegression(C=30).fit(vectors[part], labels[part])
        return np.asarray(model.predict_proba(vectors[400:]))

    truth = labels[400:]
    rng = np.random.default_rng(6)
    wrong = rng.random(len(truth)) < np.array([0.45, 0.05, 0.3, 0.02, 0.2])[truth]
    people = np.where(np.arange(len(truth)) < 80, truth, -1)
    return Answered(truth, people, taught(slice(60)), taught(slice(60, 400)), np.where(wrong, (truth + 1) % 5, truth))


@pytest.mark.parametrize(
    "names", [("weak", "strong"), ("weak", "confused"), ("confused", "strong"), ("weak", "strong", "confused")]
)
@pytest.mark.parametrize("reviewed", [False, True])
def test_on_real_text_it_is_no_worse_than_the_newest_answer_and_knows_how_sure_to_be(
    names: tuple[str, ...], reviewed: bool
) -> None:
    have = news()
    people = have.people if reviewed else np.full_like(have.people, -1)
    voices = have.voices(*names)
    found = consensus(voices, people, np.ones(len(people)), 5).posterior[80:]
    truth = have.truth[80:]
    right = found.argmax(axis=1) == truth
    newest = (voices[-1].said[80:] == truth).mean()
    assert right.mean() >= newest - 0.01
    if reviewed:
        told = reliability(found.max(axis=1), right)
        assert told is not None
        assert told.ece < 0.08
        assert right.mean() >= max((v.said[80:] == truth).mean() for v in voices) - 0.015
