"""The provider's Batch API, as the openai client sees it: every status, both files, and what is charged."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import openai
import pytest
from openai.types import Batch

from tests.servers.charges import Prices, read_log
from tests.servers.scripted import BatchFaults, Faults, ScriptedServer

LABELS = ("red", "green", "blue")
GOLD = {f"text {i}": LABELS[i % 3] for i in range(40)}
ENDPOINT: Literal["/v1/chat/completions"] = "/v1/chat/completions"
OVER = ("completed", "failed", "expired", "cancelled")
Serve = Callable[..., ScriptedServer]


def line(i: int, **changes: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"<text>\ntext {i}\n</text>"}]
    body = {"model": "scripted", "messages": messages, "structured_outputs": {"choice": LABELS}}
    return {"custom_id": f"q{i}", "method": "POST", "url": ENDPOINT, "body": body} | changes


def client(server: ScriptedServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url, api_key="key", max_retries=0)


def submit(asking: openai.OpenAI, lines: list[dict[str, Any]]) -> Batch:
    raw = "".join(json.dumps(one) + "\n" for one in lines).encode()
    stored = asking.files.create(file=("input.jsonl", raw), purpose="batch")
    assert asking.files.content(stored.id).content == raw
    return asking.batches.create(
        input_file_id=stored.id, endpoint=ENDPOINT, completion_window="24h", metadata={"job": "the job"}
    )


def finished(asking: openai.OpenAI, batch_id: str) -> tuple[Batch, list[str]]:
    """The batch at its end, and each status that it was seen in."""
    seen = []
    for _ in range(2000):
        batch = asking.batches.retrieve(batch_id)
        seen.append(batch.status)
        if batch.status in OVER:
            return batch, list(dict.fromkeys(seen))
        threading.Event().wait(0.002)
    raise AssertionError(f"the batch never ended: {seen[-1]}")


def rows(asking: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    return [json.loads(raw) for raw in asking.files.content(file_id).text.splitlines()] if file_id else []


def test_a_batch_goes_through_its_phases_and_answers_each_line(serve_gold: Serve, tmp_path: Path) -> None:
    server = serve_gold(GOLD, batch_faults=BatchFaults(polls=2), prices=Prices("3", "7"), log=tmp_path / "log")
    with client(server) as asking:
        batch, seen = finished(asking, submit(asking, [line(i) for i in range(40)]).id)
        output = rows(asking, batch.output_file_id)
    assert seen == ["validating", "in_progress", "finalizing", "completed"]
    assert batch.error_file_id is None
    assert batch.request_counts is not None
    assert batch.request_counts.model_dump() == {"total": 40, "completed": 40, "failed": 0}
    said = {r["custom_id"]: r["response"]["body"]["choices"][0]["message"]["content"] for r in output}
    assert said == {f"q{i}": GOLD[f"text {i}"] for i in range(40)}
    for logged, answered in zip(read_log(tmp_path / "log"), output, strict=True):
        usage = answered["response"]["body"]["usage"]
        exact = (3 * usage["prompt_tokens"] + 7 * usage["completion_tokens"]) / 2
        assert exact <= logged["charged"] < exact + 1, "half the price, whole micro-dollars"
        assert (logged["kind"], logged["custom_id"], logged["batch"]) == ("batch", answered["custom_id"], batch.id)


def test_failed_lines_are_in_the_error_file_and_some_outputs_twice(serve_gold: Serve) -> None:
    script = BatchFaults(share_failed=0.2, share_duplicated=0.2, shuffled=True)
    server = serve_gold(GOLD, batch_faults=script, faults=Faults(share_garbage=0.1, share_no_usage=0.1))
    with client(server) as asking:
        batch, _ = finished(asking, submit(asking, [line(i) for i in range(40)]).id)
        output, failed = rows(asking, batch.output_file_id), rows(asking, batch.error_file_id)
    times = Counter(r["custom_id"] for r in output)
    assert set(times.values()) == {1, 2}
    assert not set(times) & {r["custom_id"] for r in failed}
    assert len(times) + len(failed) == 40
    assert list(times) != sorted(times, key=lambda name: int(name[1:]))
    assert {r["response"]["status_code"] for r in failed} == {500}
    assert len([r for r in server.asked if r["charged"]]) == len(times), "a line that is twice is charged once"
    assert any("usage" not in r["response"]["body"] for r in output)
    assert {r["response"]["body"]["choices"][0]["message"]["content"] for r in output} - set(LABELS)


@pytest.mark.parametrize("how", ["expired", "cancelled"])
def test_what_was_done_of_an_unfinished_batch_is_charged_and_kept(how: str, serve_gold: Serve) -> None:
    script = BatchFaults(polls=4, expire_after=0.5 if how == "expired" else None)
    server = serve_gold(GOLD, batch_faults=script)
    with client(server) as asking:
        batch = submit(asking, [line(i) for i in range(40)])
        while how == "cancelled" and batch.status != "cancelling":
            counts = asking.batches.retrieve(batch.id).request_counts
            if counts is not None and counts.completed >= 20:
                batch = asking.batches.cancel(batch.id)
        batch, seen = finished(asking, batch.id)
        output, failed = rows(asking, batch.output_file_id), rows(asking, batch.error_file_id)
    assert seen[-1] == how
    assert 0 < len(output) == len([r for r in server.asked if r["charged"]]) < 40
    assert {r["custom_id"] for r in output} | {r["custom_id"] for r in failed} == {f"q{i}" for i in range(40)}
    assert {(r["response"], r["error"]["code"]) for r in failed} == {(None, f"batch_{how}")}


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([line(1), line(1)], "duplicate_custom_id"),
        ([line(1, method="GET")], "invalid_method"),
        ([line(1, url="/v1/embeddings")], "invalid_url"),
        ([{"custom_id": "q"}], "missing_required_parameter"),
        ([], "empty_file"),
        ([line(i) for i in range(6)], "too_many_requests"),
    ],
)
def test_a_bad_input_file_fails_its_batch_and_costs_nothing(
    lines: list[dict[str, Any]], code: str, serve_gold: Serve
) -> None:
    server = serve_gold(GOLD, batch_faults=BatchFaults(most_lines=5))
    with client(server) as asking:
        batch, seen = finished(asking, submit(asking, lines).id)
    assert seen[-1] == "failed"
    assert batch.errors is not None
    assert [problem.code for problem in batch.errors.data or ()] == [code]
    assert not server.asked


def test_a_line_that_is_no_chat_request_fails_alone(serve_gold: Serve) -> None:
    server = serve_gold(GOLD)
    lines = [line(1), line(2, body={"model": "scripted"}), line(3, body={"model": "other", "messages": [{}]})]
    with client(server) as asking:
        batch, _ = finished(asking, submit(asking, lines).id)
        failed = rows(asking, batch.error_file_id)
    assert {r["custom_id"]: r["response"]["status_code"] for r in failed} == {"q2": 400, "q3": 404}
    assert [r["custom_id"] for r in server.asked if r["charged"]] == ["q1"]


def test_a_batch_whose_submission_was_cut_off_is_found_in_the_list(serve_gold: Serve) -> None:
    server = serve_gold(GOLD, batch_faults=BatchFaults(share_submit_reset=1.0))
    with client(server) as asking:
        for count in range(1, 4):
            with pytest.raises(openai.APIConnectionError):
                submit(asking, [line(count)])
        listed = list(asking.batches.list(limit=2))
    assert len({batch.id for batch in listed}) == 3, "page after page"
    assert {batch.metadata["job"] for batch in listed if batch.metadata} == {"the job"}


def test_looking_may_fail_and_a_download_may_break_off(serve_gold: Serve) -> None:
    script = BatchFaults(share_503=0.5, share_truncated=1.0)
    server = serve_gold(GOLD, batch_faults=script)
    statuses: Counter[int] = Counter()
    with client(server) as asking:
        for _ in range(40):
            try:
                asking.batches.list()
            except openai.InternalServerError as error:
                statuses[error.status_code] += 1
    assert 10 < statuses[503] < 30
    cut = serve_gold(GOLD, batch_faults=BatchFaults(share_truncated=1.0))
    with client(cut) as asking:
        stored = asking.files.create(file=("input.jsonl", b"x" * 100), purpose="batch")
        with pytest.raises(openai.APIConnectionError):
            asking.files.content(stored.id)
        assert [found.id for found in asking.files.list(purpose="batch")] == [stored.id]
        asking.files.delete(stored.id)
        with pytest.raises(openai.NotFoundError):
            asking.files.retrieve(stored.id)
