"""The rest of the pool, labelled by the student: which of its labels are accepted is for people to say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.job import Job
from agent.loop import run
from tests.servers.scripted import ScriptedServer
from tests.whole.jobs import answer_queue, labelwright, truth, write_job

Serve = Callable[..., ScriptedServer]


def rows(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "out" / "labels" / "labels.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_the_student_labels_what_nobody_was_asked_about_and_people_say_what_of_it_is_accepted(
    tmp_path: Path, serve_gold: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve_gold(dict(truth()), errors=0.1)
    changes = {
        "people__threshold": 1.0,
        "people__target_error": 0.1,
        "stop__max_rounds": None,
        "stop__max_labels": 60,
    }
    changes |= {"distil__enabled": False, "data__seed": None, "selection__batch": 40}
    path = write_job(tmp_path, oracle__base_url=server.url, **changes)
    command = ("export", path, "--formats", "jsonl", "--student")
    code, said = labelwright(monkeypatch, capsys, *command)
    assert code == 2
    assert "no label has taught the student yet; run the job first" in said
    run(Job.load(path))
    assert len(rows(tmp_path)) == 60

    code, said = labelwright(monkeypatch, capsys, *command)
    assert code == 0
    assert "the student labelled 60 rows that nobody was asked about; none is accepted: 0 people's labels" in said
    found = rows(tmp_path)
    assert len(found) == 120
    assert {r["route"] for r in found if r["source"] == "student"} == {"unsure"}
    assert len(server.asked) == len({r["sha"] for r in server.asked}), "nobody is asked"

    answer_queue(Job.load(path))
    code, said = labelwright(monkeypatch, capsys, *command)
    assert "are accepted, from 0." in said
    found, once = rows(tmp_path), (tmp_path / "out" / "labels" / "labels.jsonl").read_bytes()
    by_student = [r for r in found if r["source"] == "student"]
    accepted = [r for r in by_student if r["route"] == "accepted"]
    assert len(by_student) == 60
    assert len(accepted) > 20
    assert sum(r["label"] != truth()[r["text"]] for r in accepted) <= 0.1 * len(accepted)
    unsure = [r["confidence"] for r in by_student if r["route"] == "unsure"]
    assert min(r["confidence"] for r in accepted) >= max(unsure, default=0)
    assert all(sum(r["probabilities"].values()) == pytest.approx(1, abs=1e-4) for r in by_student)
    assert all(r["cost_dollars"] == 0 and r["round"] is None and r["by"] == "student" for r in by_student)
    labelwright(monkeypatch, capsys, *command)
    assert (tmp_path / "out" / "labels" / "labels.jsonl").read_bytes() == once
