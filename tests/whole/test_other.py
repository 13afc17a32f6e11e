"""A class for texts that none of the others fits: asked for, learnt, measured, and looked at for new classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import JobFileError
from agent.job import FormatSettings, Job, TaskSettings
from agent.oracle import Questions, Sampling, Template
from agent.oracle.phrasing import Phrasing, Put
from agent.records import Text, TextId
from agent.tasks import build, prompt_of
from tests.whole.jobs import sentences, shown_job
from tests.whole.real import Make, rows_of

TEXT = Text(TextId("x"), "a text")


def job_of(folder: Path, **task: object) -> Job:
    return Job.of(shown_job("classification") | {"task": task}, folder)


@pytest.mark.parametrize(
    ("task", "name", "about"),
    [
        ({"other": True}, "other", "none of the other labels fits the text"),
        ({"other": "nothing of it"}, "nothing of it", "none of the other labels fits the text"),
        ({"other": "weather", "labels": {"a": "", "weather": "it rains"}}, "weather", "it rains"),
    ],
)
def test_other_is_a_label_like_others(tmp_path: Path, task: dict[str, object], name: str, about: str) -> None:
    job = job_of(tmp_path, **{"labels": ["a", "b"], **task})
    assert job.task.labels[name] == about
    assert build(job.task).names[-1] == name
    again = Job.of(job.settings(), tmp_path)
    assert (again.task, again.fingerprint()) == (job.task, job.fingerprint())


def test_a_job_without_one_is_what_it_was(tmp_path: Path) -> None:
    plain = job_of(tmp_path, labels=["a", "b"])
    assert "other" not in plain.settings()["task"]
    assert job_of(tmp_path, labels=["a", "b"], other=False).fingerprint() == plain.fingerprint()
    assert prompt_of(build(plain.task)) == "classification/v3"
    assert prompt_of(build(job_of(tmp_path, labels=["a", "other"]).task)) == "classification/v3", "it is just a name"


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (
            {"kind": "multilabel", "labels": ["a", "b"], "other": True},
            "a text without any label is one that none fits",
        ),
        ({"labels": [], "other": True}, "`other`: other is the only label"),
        ({"labels": ["a"], "other": 3}, "true, false or the name of a label"),
        ({"labels": ["a"], "other": " "}, "is empty"),
    ],
)
def test_what_cannot_be_is_named(tmp_path: Path, task: dict[str, object], said: str) -> None:
    with pytest.raises(JobFileError, match=said):
        job_of(tmp_path, **task)


@pytest.mark.parametrize("mode", ["choice", "json_schema"])
def test_the_oracle_is_told_when_to_say_it(mode: str) -> None:
    settings = TaskSettings(labels={"a": "one", "b": ""}, other="neither")
    task = build(settings)
    ask = Questions(Phrasing(task, settings), Template.find(prompt_of(task)), sampling=Sampling("m", mode))  # type: ignore[arg-type]
    ask.check(TEXT)
    system = ask(TEXT).messages[0].content
    assert "Where none of the other labels fits the text, the label is: neither\n" in system
    assert "- neither: none of the other labels fits the text" in system


def test_it_stands_on_no_shortlist_which_has_none_of_these() -> None:
    settings = TaskSettings(labels=list("abcdef"), other=True)
    task = build(settings)
    phrasing = Phrasing(task, settings, FormatSettings(shortlist=3))
    assert phrasing.listed(Put(names=("other", "a", "c", "b", "f"))) == ("a", "c", "b")


@pytest.mark.slow
def test_what_fits_nothing_goes_through_a_whole_job_and_is_shown(make: Make) -> None:
    made = [(text, "other" if label == "animal" else label) for text, label in sentences(200)]
    settings = shown_job("classification") | {"task": {"labels": {"fruit": "sweet", "tool": "hard"}, "other": True}}
    real = make(settings, dict(made[:140]), dict(made[140:]), errors=0.1)
    assert "classification, 3 labels; other is for texts that none of the others fits" in real.command("check")
    real.command("run")
    real.review(4)
    handed = real.hand_over()
    found = handed.report["unfitting"]
    exported = [r for r in rows_of(real.job.output_folder / "labels" / "labels.jsonl") if r["label"] == "other"]
    assert (found["name"], found["texts"]) == ("other", len(exported))
    assert sum(size for size, _ in found["groups"]) == len(exported)
    shown = [text for _, texts in found["groups"] for text in texts]
    assert 3 <= len(shown) <= 15
    assert set(shown) <= {row["text"] for row in exported}
    page = (real.job.output_folder / "report" / "report.html").read_text(encoding="utf-8")
    assert "Where none of the labels fits" in page
    assert shown[0] in page
    assert {"fruit", "tool", "other"} >= {row["label"] for row in handed.predicted}
    assert "p_other" in handed.predicted[0]
    assert "is meant to get other" in (handed.model / "README.md").read_text(encoding="utf-8")
