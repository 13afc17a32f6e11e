"""Batches: an input file in, an output file and an error file out, some time later, at half the price.

A batch goes on by itself (`phase_s`), or a step each time that it is looked at (`polls`). What was done of it is
charged line by line, in the same log as live requests, whether or not anybody ever comes to fetch it.
"""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.servers.charges import Row
from tests.servers.chat import Desk, error
from tests.servers.faults import BatchFaults
from tests.servers.files import Shelf, page
from tests.servers.model import chance
from tests.servers.protocol import Request, Response

ENDPOINT = "/v1/chat/completions"
STEPS = 10  # in which a batch is worked off
CHUNK = 100  # lines between two looks at what else there is to do
OVER = ("completed", "failed", "expired", "cancelled")
Line = dict[str, Any]


@dataclass
class Batch:
    """One batch. `stamps` holds when it came to each status."""

    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: Mapping[str, str] | None
    stamps: dict[str, int]
    id: str = field(default_factory=lambda: f"batch_{uuid.uuid4().hex[:24]}")
    status: str = "validating"
    errors: list[dict[str, Any]] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    outputs: list[Line] = field(default_factory=list)
    failures: list[Line] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    looked_at: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def described(self) -> dict[str, Any]:
        """As OpenAI describes it."""
        done = {line["custom_id"] for line in self.outputs}
        stamps = ("in_progress", "finalizing", "cancelling", *OVER)
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "errors": {"object": "list", "data": self.errors} if self.errors else None,
            "input_file_id": self.input_file_id,
            "completion_window": self.completion_window,
            "status": self.status,
            "output_file_id": self.files.get("output"),
            "error_file_id": self.files.get("error"),
            "created_at": self.stamps["validating"],
            "expires_at": self.stamps["validating"] + 86_400,
            **{f"{name}_at": self.stamps.get(name) for name in stamps},
            "request_counts": {"total": len(self.lines), "completed": len(done), "failed": len(self.failures)},
            "metadata": self.metadata,
        }


class Batches:
    """Every batch there is, oldest first."""

    def __init__(self, desk: Desk, shelf: Shelf, faults: BatchFaults) -> None:
        self._desk, self._shelf, self._faults = desk, shelf, faults
        self.batches: dict[str, Batch] = {}

    def submit(self, request: Request) -> Response:
        """POST /v1/batches"""
        try:
            asked = json.loads(request.body)
            stamps = {"validating": int(self._desk.now())}
            batch = Batch(
                asked["input_file_id"],
                asked["endpoint"],
                asked["completion_window"],
                asked.get("metadata"),
                stamps,
            )
        except (KeyError, TypeError, ValueError) as problem:
            return Response.of(400, error(f"missing or wrong: {problem}", "invalid_request_error"))
        if batch.input_file_id not in self._shelf.files:
            return Response.of(400, error(f"No such File object: {batch.input_file_id}", "invalid_request_error"))
        self.batches[batch.id] = batch
        batch.task = asyncio.get_running_loop().create_task(self._live(batch))
        response = Response.of(200, batch.described())
        if chance(self._desk.model.seed, "submit", len(self.batches)) < self._faults.share_submit_reset:
            response.how = "reset"
        return response

    def listed(self, request: Request) -> Response:
        """GET /v1/batches, newest first"""
        return page([b.described() for b in self.batches.values()], request.query, most=100, newest_first=True)

    def one(self, request: Request, batch_id: str) -> Response:
        """GET /v1/batches/{id}"""
        batch = self.batches.get(batch_id)
        if batch is None:
            return Response.of(404, error(f"No batch found with id '{batch_id}'.", "not_found"))
        response = Response.of(200, batch.described())
        batch.looked_at.set()
        return response

    def cancel(self, request: Request, batch_id: str) -> Response:
        """POST /v1/batches/{id}/cancel"""
        batch = self.batches.get(batch_id)
        if batch is None:
            return Response.of(404, error(f"No batch found with id '{batch_id}'.", "not_found"))
        if batch.status not in ("validating", "in_progress", "cancelling"):
            said = f"Cannot cancel a batch with status '{batch.status}'."
            return Response.of(409, error(said, "invalid_request_error"))
        if batch.status != "cancelling":
            self._come_to(batch, "cancelling")
        return Response.of(200, batch.described())

    def stop(self) -> None:
        """End what goes on by itself."""
        for batch in self.batches.values():
            if batch.task is not None:
                batch.task.cancel()

    async def _live(self, batch: Batch) -> None:
        """A batch from its submission to its end."""
        await self._phase(batch)
        batch.errors = self._refused(batch)
        if batch.errors:
            self._come_to(batch, "failed")
            return
        if batch.status == "validating":
            self._come_to(batch, "in_progress")
        expire_after = self._faults.expire_after
        most = len(batch.lines) if expire_after is None else int(len(batch.lines) * expire_after)
        done = await self._work(batch, most)
        cancelled = batch.status == "cancelling"
        if not cancelled:
            self._come_to(batch, "finalizing" if done == len(batch.lines) else "in_progress")
        await self._phase(batch)
        end = "cancelled" if cancelled else "completed" if done == len(batch.lines) else "expired"
        self._close(batch, batch.lines[done:], end)

    async def _work(self, batch: Batch, most: int) -> int:
        """Answer the first `most` lines in steps; returns how many were done when somebody cancelled."""
        done, polls = 0, self._faults.polls
        steps = STEPS if polls is None else max(1, polls)
        for step in range(1, steps + 1):
            await self._phase(batch, steps)
            reach = most * step // steps
            while done < reach and batch.status == "in_progress":
                chunk = batch.lines[done : min(reach, done + CHUNK)]
                rows = [row for line in chunk for row in self._answer(batch, line)]
                await self._desk.log.write(rows)
                done += len(chunk)
                await asyncio.sleep(0)
            if batch.status != "in_progress":
                break
        return done

    async def _phase(self, batch: Batch, steps: int = 1) -> None:
        """A phase, or one of its steps, passes."""
        if self._faults.polls is None:
            await asyncio.sleep(self._faults.phase_s / steps)
            return
        for _ in range(self._faults.polls if steps == 1 else 1):
            batch.looked_at.clear()
            await batch.looked_at.wait()

    def _come_to(self, batch: Batch, status: str) -> None:
        batch.status = status
        batch.stamps.setdefault(status, int(self._desk.now()))

    def _refused(self, batch: Batch) -> list[dict[str, Any]]:
        """What is wrong with the input file; its lines are read on the way."""
        if self._faults.refuses_input:
            return [_problem("invalid_input_file", "The input file was refused.", None)]
        stored = self._shelf.files.get(batch.input_file_id)
        if stored is None or stored.purpose != "batch":
            return [_problem("invalid_input_file", "There is no such file of purpose batch.", None)]
        written = [raw for raw in stored.content.splitlines() if raw.strip()]
        if not written:
            return [_problem("empty_file", "The input file is empty.", None)]
        if len(written) > self._faults.most_lines:
            return [_problem("too_many_requests", f"More than {self._faults.most_lines} lines.", None)]
        problems, seen = [], set()
        for number, raw in enumerate(written, 1):
            line, problem = _read(raw, batch.endpoint)
            if line is not None and line["custom_id"] in seen:
                problem = ("duplicate_custom_id", f"The custom_id {line['custom_id']} is there twice.")
            if problem is not None or line is None:
                problems.append(_problem(*(problem or ("invalid_json_line", "")), number))
                continue
            seen.add(line["custom_id"])
            batch.lines.append(line)
        return problems[:50]

    def _answer(self, batch: Batch, line: Line) -> list[Row]:
        """Answer one line, into the output or into the error file; the rows of the log to be written."""
        desk, body = self._desk, line["body"]
        try:
            row = desk.row("batch", body) | {"custom_id": line["custom_id"], "batch": batch.id}
        except (ValueError, TypeError, AttributeError):
            said = error("the body is no chat request", "invalid_request_error")
            batch.failures.append(_result(line, 400, said))
            return []
        if body.get("model") != desk.name:
            row |= {"status": 404}
            said = error(f"The model `{body.get('model')}` does not exist.", "model_not_found")
            batch.failures.append(_result(line, 404, said))
        elif (refusal := desk.quirks.refusal(body)) is not None:
            row |= {"status": refusal.status, "fault": "refused"}
            batch.failures.append(_result(line, refusal.status, json.loads(refusal.body)))
        elif desk.chance("line", row) < self._faults.share_failed:
            row |= {"status": 500, "fault": "failed"}
            batch.failures.append(_result(line, 500, error("The server had an error.", "server_error")))
        else:
            fault = desk.faults.drawn(desk.chance("fault", row))
            row["fault"] = fault = fault if fault in ("garbage", "no_usage") else None
            reply = desk.charge(body, row, garbage=fault == "garbage")
            if desk.faults.no_usage or fault == "no_usage":
                del reply["usage"]
            twice = desk.chance("twice", row) < self._faults.share_duplicated
            batch.outputs += [_result(line, 200, reply)] * (2 if twice else 1)
        return [row]

    def _close(self, batch: Batch, undone: list[Line], status: str) -> None:
        code, said = "batch_expired", "This request could not be executed before the completion window expired."
        if status == "cancelled":
            code, said = "batch_cancelled", "This request was not executed: the batch was cancelled."
        batch.failures += [_result(line, None, {"code": code, "message": said}) for line in undone]
        if self._faults.shuffled:
            random.Random(self._desk.model.seed).shuffle(batch.outputs)
        for kind, lines in (("output", batch.outputs), ("error", batch.failures)):
            if lines:
                raw = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
                name = f"{batch.id}_{kind}.jsonl"
                encoded = raw.encode("utf-8", "backslashreplace")
                batch.files[kind] = self._shelf.put(encoded, name, "batch_output").id
        self._come_to(batch, status)


def _read(raw: bytes, endpoint: str) -> tuple[Line | None, tuple[str, str] | None]:
    """One line of an input file, or what is wrong with it: code and message."""
    try:
        line = json.loads(raw)
    except ValueError:
        return None, ("invalid_json_line", "This line is not parseable as valid JSON.")
    if not isinstance(line, dict) or not {"custom_id", "method", "url", "body"} <= line.keys():
        return None, ("missing_required_parameter", "custom_id, method, url and body are needed.")
    if line["method"] != "POST":
        return None, ("invalid_method", "The method must be POST.")
    if line["url"] != endpoint or endpoint != ENDPOINT:
        return None, ("invalid_url", f"The URL provided for this line does not match {endpoint}.")
    if not isinstance(line["body"], dict):
        return None, ("invalid_body", "The body must be an object.")
    return line, None


def _problem(code: str, message: str, line: int | None) -> dict[str, Any]:
    return {"code": code, "message": message, "param": None, "line": line}


def _result(line: Line, status: int | None, body: Any) -> Line:
    """A line of the output or error file; without a status it was never executed, and `body` says why."""
    request_id = uuid.uuid4().hex
    response = {"status_code": status, "request_id": request_id, "body": body} if status is not None else None
    failed = body if status is None else None
    return {
        "id": f"batch_req_{request_id[:24]}",
        "custom_id": line["custom_id"],
        "response": response,
        "error": failed,
    }
