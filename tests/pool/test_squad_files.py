"""SQuAD's own files as pool and as gold, and what is wrong with those that are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.errors import DataError
from agent.job import DataSettings, TaskSettings
from agent.pairing import split
from agent.pool import read_labelled
from agent.tasks import ExtractiveQa

CONTEXT = "Ada met Grace in London. Ada left."
TASK = ExtractiveQa(TaskSettings(kind="extractive_qa", no_answer=True))
DATA = DataSettings(pool="x", text="question", second="context")


OFF = {"question": "?", "answers": [{"text": "Bob", "answer_start": 0}]}


def squad(*asked: dict[str, Any]) -> dict[str, Any]:
    return {"version": "v2.0", "data": [{"title": "Ada", "paragraphs": [{"context": CONTEXT, "qas": list(asked)}]}]}


def test_questions_are_rows_with_their_answers(tmp_path: Path) -> None:
    two = [{"text": "London", "answer_start": 17}, {"text": "in London", "answer_start": 14}]
    asked = [
        {"id": "a", "question": "Where?", "answers": two},
        {
            "id": "b",
            "question": "Who left?",
            "answers": [{"text": "Ada", "answer_start": 25}],
            "is_impossible": False,
        },
        {
            "id": "c",
            "question": "Why?",
            "answers": [],
            "is_impossible": True,
            "plausible_answers": [{"text": "Ada", "answer_start": 0}],
        },
    ]
    path = tmp_path / "dev.json"
    path.write_text(json.dumps(squad(*asked)), encoding="utf-8")
    found = read_labelled(path, DATA, TASK)
    assert [split(text.text) for text, _ in found] == [(a["question"], CONTEXT) for a in asked]
    assert [value for _, value in found] == [
        ((17, 23, "London"), (14, 23, "in London")),
        ((25, 28, "Ada"),),
        (),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (json.dumps(squad(OFF)), "dev.json, row 1: 'Bob'"),
        ("[1", "dev.json: not JSON in UTF-8"),
        ('{"text": "a"}\n{"text": "b"}\n', "one object a line is .jsonl"),
        ("[]", "dev.json: no `data` as SQuAD's files have"),
        ('{"data": [{"paragraphs": 3}]}', "dev.json: data[0]: `paragraphs` is no list"),
        (
            '{"data": [{"paragraphs": [{"qas": [{"question": "?"}]}]}]}',
            "data[0].paragraphs[0].qas[0]: has no",
        ),
        (
            json.dumps(squad({"question": "?", "answers": [{"text": "Bob", "answer_start": 0}]})),
            "dev.json, row 1: 'Bob'",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "dev.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_labelled(path, DATA, TASK)
    assert said in str(caught.value)


def test_a_folder_is_not_read_for_the_json_that_lies_in_it(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text("{}", encoding="utf-8")
    (tmp_path / "rows.csv").write_text(f"question,context,label\nWhere?,{CONTEXT},London\n", encoding="utf-8")
    assert len(read_labelled(tmp_path, DATA, TASK)) == 1
