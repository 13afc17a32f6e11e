"""Grades through a whole job, with an oracle that is now and then a grade off: from choosing to a model of one's own.

The texts are made up: their grade is a count of words, which nobody has to believe.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from transformers import pipeline

from agent.distill import Grades
from agent.job import Job, TaskSettings
from agent.records import Source
from agent.store import Store
from agent.tasks import Regression
from tests.distill.making import graded, make_encoder
from tests.servers.scripted import ScriptedServer
from tests.whole.jobs import shown_job

SHOWN = shown_job("regression")
TASK = Regression(TaskSettings(**SHOWN["task"]))
POOL, GOLD, NOISE = 200, 100, 0.2


def drawn(count: int, seed: int) -> dict[str, float]:
    return dict(zip(*graded(count, seed), strict=True))


def noisy(grade: float, rng: np.random.Generator) -> float:
    """What a careless oracle says: one time in five it is a grade off, to either side."""
    if rng.random() >= NOISE:
        return grade
    beside = [near for near in (grade - 1, grade + 1) if near in TASK.scale.grades]
    return float(rng.choice(beside))


def written(path: Path, head: tuple[str, str], rows: Mapping[str, object]) -> str:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head, *rows.items()])
    return path.name


@pytest.fixture
def truth() -> dict[str, float]:
    return drawn(POOL, 0)


@pytest.fixture
def job(tmp_path: Path, truth: dict[str, float], serve_gold: Callable[..., ScriptedServer]) -> Job:
    rng = np.random.default_rng(1)
    gold = drawn(GOLD, 2)
    said = {text: TASK.show(noisy(grade, rng)) for text, grade in (truth | gold).items()}
    ids = {text: f"m{k}" for k, text in enumerate(truth)}
    settings = SHOWN | {
        "data": {
            "pool": written(tmp_path / "pool.csv", ("text", "id"), ids),
            "gold": written(tmp_path / "gold.csv", ("text", "label"), gold),
            "id": "id",
        },
        "student": {"encoder": str(make_encoder(tmp_path / "encoder"))},
        "oracle": SHOWN["oracle"] | {"base_url": serve_gold(said).url, "model": "scripted"},
        "selection": {"batch": 40, "cold_start": 20},
        "people": {"threshold": 0.05, "audit": 0.1},
        "budget": {"dollars": "0.5"},
        "stop": {"agreement": None, "max_labels": 120},
    }
    return Job.of(settings, tmp_path)


def test_the_job_of_the_page_is_one(tmp_path: Path) -> None:
    job = Job.of(SHOWN, tmp_path)
    assert job.task.kind == "regression"
    assert job.task.scale is not None
    assert (job.task.scale.low, job.task.scale.high, job.task.scale.step) == (1, 5, 1)


@pytest.mark.slow
def test_grades_go_through_a_whole_job(job: Job, truth: dict[str, float]) -> None:
    outcome = job.run()
    with Store.open(job.store_url) as store:
        labels = store.labels("urgency", source=Source.ORACLE)
        texts = store.texts("urgency", [label.text_id for label in labels])
        rounds = store.rounds("urgency")
    assert 100 <= len(labels) <= 120
    assert outcome.spending.spent <= outcome.spending.cap
    given, right = [label.value for label in labels], [truth[texts[label.text_id]] for label in labels]
    found = TASK.metrics(right, given)
    assert found["within"] == pytest.approx(1 - NOISE, abs=0.12), "what the oracle said is what was kept"
    assert found["mae"] == pytest.approx(NOISE, abs=0.12), "a grade off, and no more"
    assert all(label.confidence and label.probabilities and len(label.probabilities) == 5 for label in labels)
    assert rounds[-1].figures["metric"] == "within"
    assert rounds[-1].figures["accuracy"] > rounds[0].figures["accuracy"], "the student learns"

    model = job.output_folder / "model"
    fresh = drawn(60, 9)
    ours = Grades.load(model)
    grade = pipeline("text-classification", model=str(model), device="cpu")
    theirs = [row["score"] for row in grade(list(fresh), function_to_apply="none")]
    assert ours.scores(list(fresh)) == pytest.approx(np.clip(theirs, 1, 5), abs=1e-3)
    assert TASK.metrics(list(fresh.values()), ours.predict(list(fresh)).values)["within"] > 0.6
    assert outcome.delivered is not None
    assert outcome.delivered.final["distilled"]["metric"] == "within"
    assert "regression" in (model / "README.md").read_text(encoding="utf-8")

    rows = pq.read_table(next((job.output_folder / "labels").glob("*.parquet"))).to_pylist()
    assert {row["label"] for row in rows} == {TASK.show(value) for value in given}
