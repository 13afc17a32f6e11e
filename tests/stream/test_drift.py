"""Drift: found soon where it is, hardly ever where it is not, and what it was is told."""

from __future__ import annotations

import json

import numpy as np
import pytest

from agent.stream.drift import Drift, Yardstick
from tests.stream.making import NAMES, a_reference, drawn

OLD, NEW = (0, 1, 2), (0, 1, 2, 3, 4, 5)


def watching(classes: tuple[int, ...] = OLD, seed: int = 99) -> Drift:
    reference = a_reference(classes, seed)
    yardstick = Yardstick.of(reference.anchors)
    return Drift.new(yardstick, NAMES, reference.vectors, reference.probabilities, multilabel=False)


def test_a_stream_without_drift_is_hardly_ever_said_to_drift() -> None:
    """At most one in a hundred of each kind: of thirty streams two would be too many."""
    found = []
    for seed in range(30):
        watch = watching(seed=1000 + seed)
        found += watch.see(*drawn(1000, OLD, np.random.default_rng(seed)))
    assert len(found) <= 2


@pytest.mark.parametrize("quiet", [0, 3000])
def test_new_topics_are_found_soon_and_about_when_they_came(quiet: int) -> None:
    rng, watch = np.random.default_rng(3), watching()
    assert watch.see(*drawn(quiet, OLD, rng)) == []
    found = {alarm.of: alarm for alarm in watch.see(*drawn(500, NEW, rng))}
    assert set(found) == {"inputs", "predictions"}
    for alarm in found.values():
        assert quiet < alarm.text <= quiet + 300
        assert abs(alarm.onset - quiet) <= 60
        assert alarm.money >= 100
    assert watch.see(*drawn(500, NEW, rng)) == [], "it is said once"


def test_the_classes_before_and_after_are_told_apart() -> None:
    rng, watch = np.random.default_rng(3), watching((0, 1))
    watch.see(*drawn(1000, (0, 1), rng))
    watch.see(*drawn(1000, (4, 5), rng))
    before, after = watch.before / watch.before.sum(), watch.after / watch.after.sum()
    assert before[:2].sum() > 0.8
    assert after[4:].sum() > 0.8
    assert watch.before.sum() + watch.after.sum() == 200 + 2000


def test_a_class_that_vanishes_is_a_drift_of_predictions() -> None:
    rng, watch = np.random.default_rng(4), watching()
    watch.see(*drawn(1000, OLD, rng))
    assert "predictions" in {alarm.of for alarm in watch.see(*drawn(600, (0, 1), rng))}


def test_it_goes_on_from_what_was_kept_as_if_nothing_had_happened() -> None:
    vectors, chances = drawn(700, NEW, np.random.default_rng(5))
    whole, first = watching((0, 1, 2, 3, 4)), watching((0, 1, 2, 3, 4))
    whole.see(vectors, chances)
    first.see(vectors[:130], chances[:130])
    again = Drift.of(json.loads(json.dumps(first.kept())), first.yardstick)
    again.see(vectors[130:], chances[130:])
    assert again.kept() == whole.kept()


def test_several_labels_a_text() -> None:
    rng = np.random.default_rng(6)
    vectors, chances = drawn(400, OLD, rng)
    watch = Drift.new(Yardstick.of(vectors[:200]), NAMES, vectors[200:], chances[200:], multilabel=True)
    watch.see(*drawn(300, OLD, rng))
    assert watch.alarms == []
    assert {alarm.of for alarm in watch.see(*drawn(500, (3, 4), rng))} == {"inputs", "predictions"}
