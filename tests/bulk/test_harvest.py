"""What is made of the lines that came back: whose each is, what it cost, and what nobody can know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Charge
from agent.harvest import Counts, Harvest
from agent.ledger import LineEnd
from agent.oracle.lines import read_line, write_lines, written
from agent.records import MicroDollars, TextId
from agent.store import OpenLine

BODY = {"choices": [{"message": {"content": "fruit"}}], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}


def lines(*ids: int) -> dict[int, OpenLine]:
    return {i: OpenLine(i, f"key {i}", TextId(f"text {i}"), MicroDollars(10)) for i in ids}


def line(i: int | str, status: int | None = 200, body: Any = BODY, error: Any = None) -> str:
    response = None if status is None else {"status_code": status, "request_id": "r", "body": body}
    return json.dumps({"id": "x", "custom_id": f"lw-{i}", "response": response, "error": error})


def never_ran(i: int, code: str = "batch_expired") -> str:
    return line(i, None, error={"code": code, "message": "too late"})


def read(folder: Path, rows: list[str], *ids: int, ended: set[int] | None = None) -> tuple[list[LineEnd], Harvest]:
    path = folder / "output.jsonl"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    harvest = Harvest(lines(*ids), ended or set(), "model")
    return list(harvest.read([path])), harvest


def rest(harvest: Harvest, **known: Any) -> dict[int, Charge]:
    return {end.line.attempt_id: end.charge for end in harvest.missing(**known)}


@pytest.mark.parametrize(
    ("row", "charge", "retryable"),
    [
        (never_ran(1), Charge.NONE, True),
        (never_ran(1, "batch_cancelled"), Charge.NONE, True),
        (line(1, 400, {"error": {"message": "too long"}}), Charge.NONE, False),
        (line(1, 429, {"error": {"message": "slow down"}}), Charge.NONE, True),
        (line(1, 408, {"error": {"message": "gave up"}}), Charge.UNKNOWN, True),
        (line(1, 400, {"error": {"code": "content_filter", "message": "no"}}), Charge.UNKNOWN, False),
        (line(1, 500, {"error": {"message": "oh"}}), Charge.UNKNOWN, True),
        (line(1, None, error={"code": "request_timeout", "message": "slow"}), Charge.UNKNOWN, True),
        (line(1, None, error="what"), Charge.UNKNOWN, True),
        (line(1, 200, None), Charge.UNKNOWN, True),
        (line(1, 200, {"error": {"message": "oops"}}), Charge.UNKNOWN, True),
        (line(1, None), Charge.UNKNOWN, True),
        (line(1, 400, None, error="Request must not be sent in stream mode"), Charge.NONE, False),
    ],
)
def test_a_line_without_an_answer_says_whether_it_may_have_been_charged(
    tmp_path: Path, row: str, charge: Charge, retryable: bool
) -> None:
    ends, _ = read(tmp_path, [row], 1)
    assert [(e.answer, e.charge, e.retryable) for e in ends] == [(None, charge, retryable)]
    assert ends[0].reason


def test_an_error_that_is_empty_is_none(tmp_path: Path) -> None:
    ends, _ = read(tmp_path, [line(1, error={})], 1)
    assert ends[0].answer is not None
    assert ends[0].answer.content == "fruit"


def test_the_first_of_two_lines_counts_and_the_other_is_noted(tmp_path: Path) -> None:
    ends, harvest = read(tmp_path, [line(1), line(1, 500), line(2), line(2)], 1, 2)
    assert [e.answer is not None for e in ends] == [True, True]
    assert harvest.remarks() == "2 lines came twice"


def test_lines_of_somebody_else_and_half_a_line_are_noted(tmp_path: Path) -> None:
    rows = [line(9), line("x"), '{"custom_id": "mine-1"}', "[]", line(1), line(2)[:40]]
    ends, harvest = read(tmp_path, rows, 1, 2)
    assert [e.line.attempt_id for e in ends] == [1]
    assert harvest.remarks() == "2 lines could not be read, 3 lines were not of this batch"


def test_what_an_earlier_run_ended_is_not_ended_again(tmp_path: Path) -> None:
    ends, harvest = read(tmp_path, [line(1), line(2)], 2, ended={1})
    assert [e.line.attempt_id for e in ends] == [2]
    assert harvest.remarks() == ""


def test_what_is_missing_from_a_batch_that_ran_may_have_been_charged(tmp_path: Path) -> None:
    _, harvest = read(tmp_path, [line(1)], 1, 2)
    assert rest(harvest) == {2: Charge.UNKNOWN}


def test_what_is_missing_was_never_run_where_the_counts_say_so(tmp_path: Path) -> None:
    _, harvest = read(tmp_path, [line(1), line(2, 500)], 1, 2, 3)
    assert rest(harvest, counts=Counts(completed=1, failed=1, total=3)) == {3: Charge.NONE}


@pytest.mark.parametrize(
    "counts",
    [
        Counts(2, 1, 3),
        Counts(2, 0, 3),
        Counts(0, 0, 0),
        Counts(1, 1, 2),
        Counts(1, 0, 3),
        Counts(0, 1, 3),
        Counts(1, 2, 3),
        Counts(1, 1, 4),
        None,
    ],
)
def test_what_is_missing_may_have_been_charged_where_the_counts_are_not_those_of_the_files(
    tmp_path: Path, counts: Counts | None
) -> None:
    _, harvest = read(tmp_path, [line(1), line(2, 500)], 1, 2, 3)
    assert rest(harvest, counts=counts) == {3: Charge.UNKNOWN}


def test_what_is_missing_may_be_the_line_that_could_not_be_read(tmp_path: Path) -> None:
    _, harvest = read(tmp_path, [line(1), line(2, 500), line(3)[:-5]], 1, 2, 3)
    assert rest(harvest, counts=Counts(1, 1, 3)) == {3: Charge.UNKNOWN}


@pytest.mark.parametrize("odd", ["lw-" + "1" * 5000, "lw-" + "9" * 20, "lw-"])
def test_a_number_that_no_attempt_has_is_not_ours(tmp_path: Path, odd: str) -> None:
    row = line(1).replace('"lw-1"', json.dumps(odd))
    ends, harvest = read(tmp_path, [row, line(2)], 1, 2)
    assert [e.line.attempt_id for e in ends] == [2]
    assert harvest.remarks() == "1 lines were not of this batch"


def test_a_line_of_brackets_without_end_spoils_no_other(tmp_path: Path) -> None:
    deep = '{"custom_id":"lw-1","response":' + "[" * 100_000
    nested = line(2).replace('"fruit"', "[" * 900 + "]" * 900)
    ends, harvest = read(tmp_path, [deep, nested, line(3)], 1, 2, 3)
    assert [e.line.attempt_id for e in ends] == [2, 3]
    assert ends[1].answer is not None
    assert harvest.remarks().startswith("1 lines could not be read")


@pytest.mark.parametrize("turned", [False, True])
def test_an_answer_counts_whichever_line_of_its_number_comes_first(tmp_path: Path, turned: bool) -> None:
    rows = [never_ran(1), line(2, 500), line(1), line(2)]
    ends, harvest = read(tmp_path, rows[::-1] if turned else rows, 1, 2)
    assert sorted(e.line.attempt_id for e in ends if e.answer is not None) == [1, 2]
    assert len(ends) == 2
    assert harvest.remarks() == "2 lines came twice"


def test_a_key_that_a_line_quotes_is_not_repeated_not_even_half_of_it(tmp_path: Path) -> None:
    key = "abcdef0123456789abcdef0123456789"
    said = {"error": {"message": "y" * 185 + " " + key}}
    rows = [line(1, 400, said), line(2, None, error="bad " + key), line(3, 200, said)]
    path = tmp_path / "output.jsonl"
    path.write_text("\n".join(rows), encoding="utf-8")
    harvest = Harvest(lines(1, 2, 3), set(), "model", key)
    reasons = [e.reason for e in harvest.read([path])]
    assert len(reasons) == 3
    assert not [r for r in [*reasons, harvest.last] if key[:6] in r]
    assert "***" in reasons[0]


def test_a_batch_that_was_refused_as_a_whole_cost_nothing(tmp_path: Path) -> None:
    assert set(rest(Harvest(lines(1, 2), set(), "m"), none_ran=True).values()) == {Charge.NONE}


@given(st.binary())
def test_no_bytes_break_the_reader(raw: bytes) -> None:
    found = read_line(raw)
    assert found is None or isinstance(found.custom_id, str)


@given(st.text(), st.integers(1, 2**62))
def test_what_is_written_can_be_read_back(content: str, attempt_id: int) -> None:
    raw = written(attempt_id, {"messages": [{"role": "user", "content": content}]})
    assert raw.count(b"\n") == 1
    assert json.loads(raw)["custom_id"] == f"lw-{attempt_id}"
    assert read_line(raw).attempt_id == attempt_id  # type: ignore[union-attr]


def test_a_file_that_could_not_be_written_whole_is_not_there(tmp_path: Path) -> None:
    def broken() -> Any:
        yield b"one\n"
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_lines(tmp_path / "input.jsonl", broken())
    assert not (tmp_path / "input.jsonl").exists()
