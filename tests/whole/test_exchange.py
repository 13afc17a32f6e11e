"""A job whose queue is labelled in another tool, by the commands; and how far all agree in the end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.job import Job
from agent.loop import run
from agent.records import Source
from agent.store import Store
from tests.servers.scripted import ScriptedServer
from tests.whole.jobs import labelwright, truth, write_job

Serve = Callable[..., ScriptedServer]


@pytest.fixture
def job(tmp_path: Path, serve_gold: Serve) -> Path:
    """A job that ran for a round, with texts that wait."""
    people = {"threshold": 0.99, "audit": 0.3}
    changes = {"distil__enabled": False, "stop__max_rounds": 1, "people": people}
    path = write_job(tmp_path, oracle__base_url=serve_gold(dict(truth())).url, **changes)
    run(Job.load(path))
    return path


def label_all(tasks: Path, person: str) -> int:
    """What somebody does in Label Studio with a file of tasks, and exports; returns how many were blind."""
    gold, given = truth(), json.loads(tasks.read_text("utf-8"))
    for number, task in enumerate(given):
        value = {"choices": [gold[task["data"]["text"]]]}
        result = [{"from_name": "label", "to_name": "text", "type": "choices", "value": value}]
        task["annotations"] = [{"completed_by": {"email": person}, "result": result, "lead_time": 2.0 + number % 3}]
    tasks.write_text(json.dumps(given), encoding="utf-8")
    blind = [t for t in given if t["meta"]["blind"]]
    assert all(t["predictions"] == [] for t in blind)
    assert len([t for t in given if t["predictions"]]) == len(given) - len(blind)
    return len(blind)


def test_the_queue_goes_to_label_studio_and_comes_back_and_all_are_held_against_each_other(
    job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(*words: object) -> str:
        code, said = labelwright(monkeypatch, capsys, *words)
        assert code == 0, said
        return said

    # the seed's label of a text, beside an oracle's, is nobody's opinion
    assert "nothing to compare" in command("agreement", job)
    assert command("agreement", job, "--json") == "null"
    tasks = tmp_path / "queue.json"
    said = command("queue", "export", job, "--format", "label-studio", "--output", tasks)
    assert "label them there, export as JSON, then: labelwright queue import" in said
    waiting = len(json.loads(tasks.read_text("utf-8")))
    assert waiting > 3
    label_all(tasks, "ada@example.com")
    assert f"{waiting} added, 0 still empty" in command("queue", "import", job, tasks)
    assert f"{waiting} unchanged" in command("queue", "import", job, tasks)
    with Store.open(Job.load(job).store_url) as store:
        people = [x for x in store.current("small").values() if x.source is Source.PERSON]
        assert {x.by for x in people} == {"ada@example.com"}
        assert len(people) == waiting
        assert store.queue("small") == []
    # a second person gets every labelled text, in Argilla's form
    folder = tmp_path / "all"
    command("queue", "export", job, "--format", "argilla", "--all", "--output", folder)
    records = json.loads((folder / "records.json").read_text("utf-8"))
    for record in records:
        record["responses"].setdefault("label", []).append({"value": "fruit", "user_id": None})
    (folder / "records.json").write_text(json.dumps(records), encoding="utf-8")
    assert f"{len(records)} added" in command("queue", "import", job, folder, "--person", "bob")
    said = command("agreement", job)
    assert "ada@example.com" in said
    assert "Krippendorff’s alpha" in said
    found = json.loads(command("agreement", job, "--json"))
    assert {r["name"] for r in found["raters"]} == {"ada@example.com", "bob", "local/scripted"}
    ada = next(p for p in found["people"] if p["name"] == "ada@example.com")
    assert ada["seconds"] == 3.0
    assert ada["compared"] == waiting
    # the report says the same
    command("report", job)
    told = json.loads((tmp_path / "out" / "report" / "report.json").read_text("utf-8"))["agreement"]
    assert told == found


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", '[{"data": {"text_id": "nope"}, "annotations": [{"result": []}]}]', "0 added"),
        ("a.json", '[{"data": {"text_id": 7}, "annotations": [{"result": 1}]}]', "record 1 (line 1), annotations[0]"),
        ("a.json", '[{"x": 1}]', "say which it is with --format"),
        ("a.csv", "id,label\nnope,fruit\n", "a.csv:2: id 'nope' is no text of job small"),
    ],
)
def test_a_bad_file_is_one_message_and_exit_code_2(  # noqa: PLR0917 - a row and what pytest gives
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: str,
    said: str,
) -> None:
    job = write_job(tmp_path, oracle__base_url="http://127.0.0.1:1/v1")
    (tmp_path / name).write_text(content, encoding="utf-8")
    code, told = labelwright(monkeypatch, capsys, "queue", "import", job, tmp_path / name)
    assert said in told
    assert code == (0 if "added" in said else 2)


def test_an_unknown_format_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = write_job(tmp_path, oracle__base_url="http://127.0.0.1:1/v1")
    code, told = labelwright(monkeypatch, capsys, "queue", "export", job, "--format", "prodigy")
    assert code == 2
    assert "unknown format 'prodigy'; known: csv, label-studio, argilla" in told


def test_a_job_that_never_ran_has_no_agreement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = write_job(tmp_path, oracle__base_url="http://127.0.0.1:1/v1")
    code, told = labelwright(monkeypatch, capsys, "agreement", job)
    assert code == 2
    assert "`labelwright run` makes it" in told
