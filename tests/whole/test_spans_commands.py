"""Commands on a job of spans that was never run: what they say of it fits a task without classes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.oracle.phrasing import PLAIN, Put
from agent.oracle.prompt import Questions
from agent.records import Message, Question, Text
from tests.servers.scripted import ScriptedServer
from tests.whole.jobs import labelwright, write_job

TEXTS = [f"Ada went to London in week {n}." for n in range(30)]
MARKED = {"spans": [{"text": "Ada", "label": "person"}, {"text": "London", "label": "place"}]}


@pytest.fixture
def job(tmp_path: Path, serve_gold: Callable[..., ScriptedServer]) -> Path:
    path = write_job(
        tmp_path,
        oracle__base_url=serve_gold({}).url,
        task={"kind": "spans", "labels": {"person": "a human being", "place": "where it is"}},
        data={"pool": "posts.jsonl"},
    )
    (tmp_path / "posts.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in TEXTS), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("check",), (0, "task: spans, 2 labels")),
        (("pilot", "--dollars", "1"), (2, "ways of asking are tried for tasks with classes alone")),
        (("distil",), (2, "nothing to distil yet: some labels must be accepted")),
        (("distil", "--compare", "builtin:minilm", "another"), (2, "encoders are compared for tasks with classes")),
    ],
)
def test_what_they_say_fits_a_task_without_classes(
    job: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    expected: tuple[int, str],
) -> None:
    found, said = labelwright(monkeypatch, capsys, words[0], job, *words[1:])
    assert expected[1] in said
    assert found == expected[0]


def test_gold_answers_are_read_again_by_the_run_and_the_report_that_come_later(
    tmp_path: Path,
    serve_gold: Callable[..., ScriptedServer],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write_job(
        tmp_path,
        oracle__base_url=serve_gold(dict.fromkeys(TEXTS, MARKED)).url,
        task={"kind": "spans", "labels": {"person": "a human being", "place": "where it is"}},
        data={"pool": "posts.jsonl", "gold": "gold.jsonl", "ask_gold": True},
        selection={"batch": 10, "cold_start": 10},
        stop__max_rounds=1,
        distil__enabled=False,
    )
    gold = [{"text": t, "label": MARKED["spans"]} for t in TEXTS[20:]]
    for name, rows in (("posts", [{"text": t} for t in TEXTS[:20]]), ("gold", gold)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    for command in ("run", "run", "report"):
        code, said = labelwright(monkeypatch, capsys, command, path)
        assert code == 0, said
    report = json.loads((tmp_path / "out" / "report" / "report.json").read_text(encoding="utf-8"))
    (oracle,) = (model for model in report["models"] if model["name"] == "oracle")
    assert (oracle["accuracy"]["value"], oracle["accuracy"]["n"]) == (1.0, 10)


def test_nearest_examples_are_spans_of_what_is_shown_and_tell_nothing_that_is_hidden(
    tmp_path: Path,
    serve_gold: Callable[..., ScriptedServer],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = serve_gold(dict.fromkeys(TEXTS, MARKED))
    path = write_job(
        tmp_path,
        oracle__base_url=server.url,
        oracle__format={"examples": "nearest", "nearest": 8},
        task={"kind": "spans", "labels": {"person": "a human being", "place": "where it is"}},
        data={"pool": "posts.jsonl", "seed": "seed.jsonl", "redact": ["email"]},
        selection={"batch": 10, "cold_start": 10},
        stop__max_rounds=1,
        distil__enabled=False,
    )
    plain, long = "Grace went to Rome.", f"{'so ' * 400} Heidi went to Oslo."
    seed = [
        ("Write to ada@example.com.", [{"text": "ada@example.com", "label": "person"}]),
        (plain, [{"text": "Grace", "label": "person"}, {"text": "Rome", "label": "place"}]),
        (long, [{"text": "Heidi", "label": "person"}]),
    ]
    rows = {"seed": [{"text": t, "label": v} for t, v in seed], "posts": [{"text": t} for t in TEXTS]}
    for name, held in rows.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in held), encoding="utf-8")
    sent: list[list[Message]] = []
    built = Questions.__call__

    def kept(self: Questions, text: Text, put: Put = PLAIN) -> Question:
        question = built(self, text, put)
        sent.append(list(question.messages))
        return question

    monkeypatch.setattr(Questions, "__call__", kept)
    code, said = labelwright(monkeypatch, capsys, "run", path)
    assert code == 0, said
    every = {message.content for messages in sent for message in messages}
    assert json.dumps({"spans": seed[1][1]}) in every
    assert not [content for content in every if "ada@example" in content or "Heidi" in content]
