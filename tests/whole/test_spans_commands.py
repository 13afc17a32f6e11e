"""Commands on a job of spans that was never run: what they say of it fits a task without classes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.scripted import ScriptedServer
from tests.whole.jobs import labelwright, write_job

TEXTS = [f"Ada went to London in week {n}." for n in range(30)]


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
