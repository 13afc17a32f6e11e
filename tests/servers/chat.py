"""Chat completions: what one request is answered, what it is charged, and how the answer goes wrong on its way."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from tests.servers.charges import ChargeLog, Prices, Row
from tests.servers.faults import Faults, Window, Workers
from tests.servers.model import Form, ScriptedModel, Token, asked_about, chance, weight
from tests.servers.protocol import Request, Response, Send
from tests.servers.quirks import Quirks


@dataclass
class Desk:
    """What all requests share: the model, its price, the faults, the log."""

    model: ScriptedModel
    name: str
    faults: Faults
    prices: Prices
    log: ChargeLog
    quirks: Quirks = field(default_factory=Quirks)
    seen: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        f = self.faults
        self._workers = Workers(f.workers, f.queue)
        limits = {"requests": f.requests_per_minute, "tokens": f.tokens_per_minute}
        self._windows = {name: Window(most, f.window_s) for name, most in limits.items() if most is not None}

    def now(self) -> float:
        """What time it is, as far as this server knows."""
        return time.time() + self.faults.skew_s

    def chat(self, request: Request, send: Send) -> None:
        """One live request. What was charged for is in the log before anything is sent."""
        try:
            body = json.loads(request.body)
            row = self.row("chat", body)
        except (ValueError, TypeError, AttributeError):
            send(Response.of(400, error("the body is no chat request", "invalid_request_error")))
            return
        row["request_id"] = request.headers.get("x-request-id")
        refused = self._refused(body, row)
        if refused is None and not self._workers.enter(lambda: self._serve(body, row, send)):
            refused = self._busy(self.faults.busy_status, "The server is overloaded.", "overloaded")
        if refused is not None:
            row |= {"status": refused.status}
            self.log.append([row], lambda: send(refused))

    def row(self, kind: str, body: Mapping[str, Any]) -> Row:
        """The log's row for a request that was not charged yet. Raises ValueError where it has no messages."""
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise ValueError("no messages")
        shape = json.dumps(messages, sort_keys=True, ensure_ascii=False).encode("utf-8", "backslashreplace")
        sha = hashlib.sha256(shape).hexdigest()
        self.seen[sha] += 1
        return {
            "kind": kind,
            "at": round(time.time(), 4),
            "sha": sha,
            "text": asked_about(messages),
            "max_completion_tokens": body.get("max_completion_tokens"),
            "fields": sorted(body),
            "roles": [str(m.get("role")) for m in messages if isinstance(m, Mapping)],
            "status": 0,
            "fault": None,
            "charged": 0,
        }

    def chance(self, what: str, row: Row) -> float:
        """A number from 0 to 1 for this question, another one each time it comes."""
        return chance(self.model.seed, what, row["sha"], self.seen[row["sha"]])

    def charge(self, body: Mapping[str, Any], row: Row, *, garbage: bool = False) -> dict[str, Any]:
        """The completion; what it cost is put into the row."""
        reply = self._completion(body, row["text"], garbage=garbage)
        row |= reply["usage"] | {"status": 200}
        row["cached_tokens"] = row.pop("prompt_tokens_details", {}).get("cached_tokens", 0)
        row["charged"] = self.prices.charge(row, batch=row["kind"] == "batch")
        return reply

    def _refused(self, body: Mapping[str, Any], row: Row) -> Response | None:
        if self.faults.refuses_key:
            return Response.of(401, error("Incorrect API key provided.", "invalid_api_key"))
        if body.get("model") != self.name:
            return Response.of(404, error(f"The model `{body.get('model')}` does not exist.", "model_not_found"))
        if (refusal := self.quirks.refusal(body)) is not None:
            row["fault"] = "refused"
            return refusal
        if not self._windows:
            return None
        now = time.monotonic()
        amount = {"requests": 1, "tokens": weight(body["messages"]) + (row["max_completion_tokens"] or 0)}
        waits = {name: window.wait_s(amount[name], now) for name, window in self._windows.items()}
        worst = max(waits, key=waits.__getitem__)
        if waits[worst] > 0:
            row["fault"] = f"{worst}_limit"
            said = f"Rate limit reached for {worst} per minute."
            return self._busy(429, said, "rate_limit_exceeded", waits[worst])
        for name, window in self._windows.items():
            window.take(amount[name], now)
        return None

    def _busy(self, status: int, message: str, code: str, wait_s: float | None = None) -> Response:
        wait_s = self.faults.retry_after_s if wait_s is None else wait_s
        when = formatdate(self.now() + wait_s, usegmt=True) if self.faults.retry_after_date else f"{wait_s:.3g}"
        headers = {"Retry-After": when} if status == 429 or wait_s else {}
        return Response.of(status, error(message, code), headers | self._limits())

    def _limits(self) -> dict[str, str]:
        """What is left of the minute, as OpenAI says it."""
        now = time.monotonic()
        found: dict[str, str] = {}
        for name, window in self._windows.items():
            reset_s = window.wait_s(window.limit, now)
            found |= {
                f"x-ratelimit-limit-{name}": str(window.limit),
                f"x-ratelimit-remaining-{name}": str(window.left),
                f"x-ratelimit-reset-{name}": f"{reset_s:.3f}s",
            }
        return found

    def _serve(self, body: Mapping[str, Any], row: Row, send: Send) -> None:
        delay_s = self.faults.latency_s + self.faults.jitter_s * self.chance("jitter", row)
        if delay_s:
            asyncio.get_running_loop().call_later(delay_s, self._finish, body, row, send)
        else:
            self._finish(body, row, send)

    def _finish(self, body: Mapping[str, Any], row: Row, send: Send) -> None:
        response = self._response(body, row)
        if row["fault"] in ("hang", "reset"):
            row["status"] = 0  # nothing is sent
        self.log.append([row], lambda: send(response))
        self._workers.leave()

    def _response(self, body: Mapping[str, Any], row: Row) -> Response:
        row["fault"] = fault = self.faults.drawn(self.chance("fault", row))
        if fault == "503":
            row["status"] = 503
            return Response.of(503, error("The server is overloaded.", "overloaded"))
        if fault == "429":
            row["status"] = 429
            return self._busy(429, "Rate limit reached.", "rate_limit_exceeded")
        reply = self.charge(body, row, garbage=fault == "garbage")
        if fault == "charged_503":
            row["status"] = 503
            return Response.of(503, error("The server is overloaded.", "overloaded"))
        if self.faults.no_usage or fault == "no_usage":
            del reply["usage"]
        response = Response.of(200, reply, self._limits())
        if fault == "bad_json":
            response.body = b"<html>" + response.body
        if fault in ("hang", "reset", "truncated"):
            response.how = fault
        return response

    def _completion(self, body: Mapping[str, Any], text: str, *, garbage: bool) -> dict[str, Any]:
        form = Form.of(body, self.faults.ignored)
        content, tokens = self.model.garbage(form) if garbage else self.model.says(text, form)
        content, tokens = self.quirks.dressed(content, tokens, form)
        known = [body.get(n) for n in ("max_completion_tokens", "max_tokens") if n not in self.faults.ignored]
        most = next((n for n in known if n), 256)
        thought = self.quirks.thought()[:most]
        stopped = len(thought) + len(tokens) <= most
        if not stopped:
            tokens = tokens[: most - len(thought)]
            content = "".join(t[0] for t in tokens)
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop" if stopped else "length", "logprobs": None}
        choice["message"] = {"role": "assistant", "content": content}
        if thought:
            choice["message"] |= {"reasoning_content": "".join(t[0] for t in thought), "content": content or None}
        tokens = thought + tokens
        if body.get("logprobs") and not self.faults.no_logprobs:
            choice["logprobs"] = {"content": [_token(t, int(body.get("top_logprobs") or 0)) for t in tokens]}
        prompt = weight(body["messages"])
        usage: dict[str, Any] = {
            "prompt_tokens": prompt,
            "completion_tokens": len(tokens),
            "total_tokens": prompt + len(tokens),
        }
        if self.faults.cached_share:
            usage["prompt_tokens_details"] = {"cached_tokens": int(prompt * self.faults.cached_share)}
        return {
            "id": "chatcmpl-scripted",
            "object": "chat.completion",
            "created": int(self.now()),
            "model": self.name,
            "choices": [choice],
            "usage": usage,
        }


def _token(token: Token, most: int) -> dict[str, Any]:
    name, logprob, top = token
    shown = [{"token": t, "logprob": p, "bytes": None} for t, p in top[:most]]
    return {"token": name, "logprob": logprob, "bytes": None, "top_logprobs": shown}


def error(message: str, code: str) -> dict[str, Any]:
    """An error's body as OpenAI writes it."""
    return {"error": {"message": message, "type": "scripted", "code": code}}
