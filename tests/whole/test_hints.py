"""A student that learns from the classes' names and from texts without a label, unless the job says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent import picking, steps
from agent.errors import JobFileError
from agent.job import Job
from agent.records import Floats
from agent.workbench import Workbench
from tests.servers.scripted import ScriptedServer
from tests.whole.jobs import sentences, truth, write_job


def probabilities(
    folder: Path, url: str, way: str, *, names: bool = False, **changes: Any
) -> tuple[Floats, float, float]:
    """What the student says of the whole pool once twenty texts are labelled; its penalty and its temperature."""
    said = {"student__unlabelled": way, "student__class_names": names, "student__label_noise": "ignore"}
    said |= {"stop__max_rounds": 1, "distil__enabled": False}
    path = write_job(folder, oracle__base_url=url, **(said | changes))
    job = Job.load(path)
    job.run()
    with Workbench(job) as bench:
        bench.own()
        steps.refit(bench)
        found = bench.student.predict(bench.pool.texts()).probabilities
        assert found is not None
        state = picking.state_of(bench, np.arange(5), 1)
        assert state.foreseen is not None, "out-of-fold predictions are of the labels alone"
        return found, state.penalty, bench.student.head.each[0].temperature  # type: ignore[attr-defined]


@pytest.mark.slow
def test_texts_without_a_label_move_the_student_and_nothing_that_is_measured_on_labels(
    tmp_path: Path, serve_gold: Callable[..., ScriptedServer]
) -> None:
    url = serve_gold(truth()).url
    found = {way: probabilities(tmp_path / way, url, way) for way in ("off", "self_training", "propagation")}
    plain, penalty, temperature = found["off"]
    for way in ("self_training", "propagation"):
        moved, *same = found[way]
        assert same == [penalty, temperature]
        assert not np.allclose(moved, plain)
        np.testing.assert_allclose(moved.sum(axis=1), 1, atol=1e-5)
    names = ("fruit", "tool", "animal")
    gold = [names.index(label) for _, label in sentences(166)[:120]]
    right = {way: float((p.argmax(axis=1) == gold).mean()) for way, (p, _, _) in found.items()}
    assert right["self_training"] >= right["off"] - 0.05


def test_the_names_of_the_classes_teach_where_they_say_something(
    tmp_path: Path, serve_gold: Callable[..., ScriptedServer]
) -> None:
    url = serve_gold(truth()).url
    plain, *measured = probabilities(tmp_path / "off", url, "off")
    named, *same = probabilities(tmp_path / "on", url, "off", names=True)
    assert same == measured, "penalty and temperature are of labels alone"
    assert not np.allclose(named, plain)
    assert (named.argmax(axis=1) == plain.argmax(axis=1)).mean() > 0.9


def test_labels_that_look_wrong_count_for_less_unless_the_job_says_otherwise(
    tmp_path: Path, serve_gold: Callable[..., ScriptedServer]
) -> None:
    answers = truth()
    wrong = dict(list(answers.items())[:120:4])
    names = ("fruit", "tool", "animal")
    lies = {text: names[(names.index(label) + 1) % 3] for text, label in wrong.items()}
    url = serve_gold({**answers, **lies}).url
    right = {}
    for way in ("ignore", "reweight"):
        found, *_ = probabilities(tmp_path / way, url, "self_training", student__label_noise=way, stop__max_rounds=3)
        gold = [names.index(label) for _, label in sentences(166)[:120]]
        right[way] = float((found.argmax(axis=1) == gold).mean())
    assert right["reweight"] > right["ignore"]


def test_another_word_is_refused(tmp_path: Path) -> None:
    path = write_job(tmp_path, oracle__base_url="http://127.0.0.1:9/v1", student__unlabelled="magic")
    with pytest.raises(JobFileError, match="unlabelled"):
        Job.load(path)
