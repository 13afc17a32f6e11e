"""A job whose encoder is tuned on its labels as they grow: what it says of it, and what a stop in between changes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.distill.race import Race, Verdict
from agent.distilling import distil_model
from agent.job import Job
from agent.loop import run
from agent.store import Store
from agent.watch import Silent
from agent.workbench import Workbench
from tests.distill.making import make_encoder
from tests.servers.scripted import ScriptedServer
from tests.whole.jobs import truth, write_job

REFRESH = {"first": 40, "growth": 1.4, "tokens": 1000, "threads": 1}


class Notes(Silent):
    """Keeps what a run says."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, message: str) -> None:
        self.said.append(message)


@pytest.fixture
def job_file(tmp_path: Path, serve_gold: Callable[..., ScriptedServer]) -> Path:
    server = serve_gold(truth(), errors=0.0)
    return write_job(
        tmp_path,
        oracle__base_url=server.url,
        student__refresh=dict(REFRESH),
        distil__enabled=False,
        data__gold=None,
    )


def picked(job: Job) -> list[tuple[str, int, str]]:
    with Store.open(job.store_url) as store:
        return [(p.text_id, p.round, p.slice) for p in store.picks(job.name)]


def milestones(job: Job) -> list[dict[str, Any]]:
    with Store.open(job.store_url) as store:
        return [r.figures["encoder"] for r in store.rounds(job.name) if r.figures.get("encoder")]


def changed(path: Path, **stop: Any) -> Job:
    settings = yaml.safe_load(path.read_text())
    settings["stop"] |= stop
    path.write_text(yaml.safe_dump(settings))
    return Job.load(path)


@pytest.mark.slow
def test_the_encoder_is_tuned_when_the_labels_have_grown_and_a_stop_in_between_changes_nothing(
    job_file: Path,
) -> None:
    whole, watch = changed(job_file, max_rounds=4), Notes()
    run(whole, watch)
    found = milestones(whole)
    labels = [m["labels"] for m in found]
    assert labels[0] >= 40
    assert all(b >= 1.4 * a for a, b in pairwise(labels))
    told = [line for line in watch.said if line.startswith("encoder")]
    assert len(told) == len(found)
    for milestone in found:
        assert milestone["kept"] in ("frozen", "contrastive", "finetuned")
        assert milestone["seconds"] > 0
    straight = picked(whole)

    shutil.rmtree(whole.output_folder)
    for rounds in (1, 2, 3, 4):
        run(changed(job_file, max_rounds=rounds))
    assert picked(Job.load(job_file)) == straight, "each part went on with the encoder of the one before"
    standing = {p.name for p in (whole.output_folder / "encoders").glob("*")}
    assert len(standing) <= 2, "encoders that nothing stands on any more are gone"


def test_without_refresh_no_encoder_is_made(job_file: Path) -> None:
    settings = yaml.safe_load(job_file.read_text())
    settings["student"] = {"refresh": False}
    job_file.write_text(yaml.safe_dump(settings))
    job = changed(job_file, max_rounds=3)
    run(job)
    assert milestones(job) == []
    assert not (job.output_folder / "encoders").exists()


@pytest.fixture
def always_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first tuned encoder is taken, whatever a fold of a few labels says."""

    def judge(self: Race, vectors: Any, learn: Any, held: Any) -> Verdict:
        return Verdict(1.0 / vectors.shape[1], 0.5, 1.0)

    monkeypatch.setattr(Race, "judge", judge)


@pytest.mark.usefixtures("always_better")
def test_an_encoder_that_is_gone_or_damaged_is_made_again(job_file: Path) -> None:
    run(changed(job_file, max_rounds=3))
    job = Job.load(job_file)
    (kept,) = [p for p in (job.output_folder / "encoders").iterdir() if p.name == milestones(job)[-1]["folder"]]
    weights = (kept / "model.safetensors").read_bytes()
    (kept / "model.safetensors").write_bytes(weights[:1000])
    watch = Notes()
    run(changed(job_file, max_rounds=4), watch)
    assert any("gone or damaged; it is made again" in line for line in watch.said)
    assert len(milestones(job)) == 2
    assert (job.output_folder / "encoders" / milestones(job)[-1]["folder"] / "model.safetensors").exists()


@pytest.mark.usefixtures("always_better")
def test_what_was_tuned_from_another_encoder_is_not_gone_on_with(job_file: Path, tmp_path: Path) -> None:
    run(changed(job_file, max_rounds=3))
    settings = yaml.safe_load(job_file.read_text())
    settings["student"]["encoder"] = str(make_encoder(tmp_path / "other", "bert", layers=2))
    job_file.write_text(yaml.safe_dump(settings))
    job = changed(job_file, max_rounds=4)
    before = len(milestones(job))
    run(job)
    assert len(milestones(job)) == before + 1, "there is no refreshed encoder of this one: it is time"


@pytest.mark.usefixtures("always_better")
def test_without_gold_an_encoder_that_learnt_the_random_slice_is_not_gone_on_with(job_file: Path) -> None:
    """The student is measured on that slice from then on."""
    settings = yaml.safe_load(job_file.read_text())
    job_file.write_text(yaml.safe_dump(settings | {"data": settings["data"] | {"gold": "gold.csv"}}))
    run(changed(job_file, max_rounds=3))
    job_file.write_text(yaml.safe_dump(settings))
    job = changed(job_file, max_rounds=4)
    learnt = milestones(job)
    run(job)
    assert len(milestones(job)) == len(learnt) + 1
    assert milestones(job)[-1]["folder"] not in [m["folder"] for m in learnt]
    assert milestones(job)[-1]["learnt_slice"] is False


@pytest.mark.slow
@pytest.mark.usefixtures("always_better")
def test_the_command_distils_from_the_encoder_that_the_run_had(job_file: Path) -> None:
    settings = yaml.safe_load(job_file.read_text())
    settings["distil"] = {"epochs": 1}
    job_file.write_text(yaml.safe_dump(settings))
    job = changed(job_file, max_rounds=3)
    run(job)
    assert milestones(job)[-1]["folder"]
    model = job.output_folder / "model" / "model.safetensors"
    by_run = model.read_bytes()
    with Workbench(job) as bench:
        distil_model(bench, again=True)
    assert model.read_bytes() == by_run
