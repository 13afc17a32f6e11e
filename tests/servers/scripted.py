"""An OpenAI-compatible server that answers from a script, and writes down what it answered before it answers.

    python -m tests.servers.scripted --gold FILE.jsonl --errors 0.1 --port 0 --log FILE

It shares no module with the product and needs the standard library only, so that its log is evidence: one JSON line
a request, on disk before the answer is sent. A line of the gold file is `{"text": ..., "label": ...}`; a label that
is a list is answered as a JSON list, one that is a mapping as it stands.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from tests.servers.model import Form, ScriptedModel, Token, asked_about, chance, weight


@dataclass(frozen=True)
class Faults:
    """What goes wrong, and how often (shares of requests, drawn anew for each time a question comes)."""

    refuses_key: bool = False
    share_503: float = 0.0
    share_429: float = 0.0
    retry_after_s: float = 0.0
    latency_s: float = 0.0
    no_usage: bool = False
    no_logprobs: bool = False
    ignored: frozenset[str] = frozenset()


class Log:
    """Rows of what was answered, in memory and, where there is a file, on disk. Threads share each fsync."""

    def __init__(self, path: Path | None) -> None:
        self.rows: list[dict[str, Any]] = []
        self._file = path.open("a", encoding="utf-8") if path else None
        self._writing, self._syncing = threading.Condition(), threading.Lock()
        self._synced = 0

    def append(self, row: dict[str, Any]) -> None:
        """Returns once the row is on disk."""
        with self._writing:
            self.rows.append(row)
            mine = len(self.rows)
            self._writing.notify_all()
            if self._file:
                self._file.write(json.dumps(row, ensure_ascii=False) + "\n")
        if self._file is None:
            return
        with self._syncing:
            if self._synced >= mine:
                return  # somebody else's fsync took this row along
            with self._writing:
                self._file.flush()
                reached = len(self.rows)
            os.fsync(self._file.fileno())
            self._synced = reached

    def wait_for(self, count: int, timeout_s: float) -> bool:
        """Wait until that many requests were answered; False where they never came."""
        with self._writing:
            return self._writing.wait_for(lambda: len(self.rows) >= count, timeout_s)

    def close(self) -> None:
        if self._file:
            self._file.close()


@dataclass
class Desk:
    """What all requests share: the model, the faults, the log."""

    model: ScriptedModel
    name: str
    faults: Faults
    log: Log
    seen: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and JSON for one chat request; logged before it is returned."""
        messages = body.get("messages", [])
        shape = json.dumps(messages, sort_keys=True, ensure_ascii=False).encode()
        row: dict[str, Any] = {"sha": hashlib.sha256(shape).hexdigest(), "text": asked_about(messages)}
        row |= {"max_completion_tokens": body.get("max_completion_tokens")}
        status, reply = self._refused(body, row["sha"]) or (200, self._completion(body, row["text"]))
        usage = reply.pop("usage", None) if self.faults.no_usage else reply.get("usage")
        row |= {"status": status, **(usage or {})}
        self.log.append(row)
        return status, reply

    def _refused(self, body: Mapping[str, Any], sha: str) -> tuple[int, dict[str, Any]] | None:
        with self.lock:
            self.seen[sha] += 1
            times = self.seen[sha]
        if self.faults.refuses_key:
            return 401, _error("Incorrect API key provided.", "invalid_api_key")
        if body.get("model") != self.name:
            return 404, _error(f"The model `{body.get('model')}` does not exist.", "model_not_found")
        drawn = chance(self.model.seed, "fault", sha, times)
        if drawn < self.faults.share_503:
            return 503, _error("The server is overloaded.", "overloaded")
        if drawn < self.faults.share_503 + self.faults.share_429:
            return 429, _error("Rate limit reached.", "rate_limit_exceeded")
        return None

    def _completion(self, body: Mapping[str, Any], text: str) -> dict[str, Any]:
        content, tokens = self.model.says(text, Form.of(body, self.faults.ignored))
        most = body.get("max_completion_tokens") or body.get("max_tokens") or 256
        stopped = len(tokens) <= most
        if not stopped:
            tokens = tokens[:most]
            content = "".join(t[0] for t in tokens)
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop" if stopped else "length", "logprobs": None}
        choice["message"] = {"role": "assistant", "content": content}
        if body.get("logprobs") and not self.faults.no_logprobs:
            choice["logprobs"] = {"content": [_token(t, int(body.get("top_logprobs") or 0)) for t in tokens]}
        prompt = weight(body["messages"])
        return {
            "id": "chatcmpl-scripted",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self.name,
            "choices": [choice],
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": len(tokens),
                "total_tokens": prompt + len(tokens),
            },
        }


def _token(token: Token, most: int) -> dict[str, Any]:
    name, logprob, top = token
    shown = [{"token": t, "logprob": p, "bytes": None} for t, p in top[:most]]
    return {"token": name, "logprob": logprob, "bytes": None, "top_logprobs": shown}


def _error(message: str, code: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "scripted", "code": code}}


class Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 with keep-alive; each answer leaves in one packet."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    desk: ClassVar[Desk]

    def do_GET(self) -> None:
        if self.path.rstrip("/") == "/v1/models":
            refused = self.desk.faults.refuses_key
            models = {"object": "list", "data": [{"id": self.desk.name, "object": "model", "created": 0}]}
            self._send(
                401 if refused else 200, _error("Incorrect API key.", "invalid_api_key") if refused else models
            )
        else:
            self._send(404, _error(f"no such path: {self.path}", "not_found"))

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path.rstrip("/") != "/v1/chat/completions":
            self._send(404, _error(f"no such path: {self.path}", "not_found"))
            return
        if self.desk.faults.latency_s:
            time.sleep(self.desk.faults.latency_s)
        self._send(*self.desk.answer(json.loads(raw)))

    def _send(self, status: int, reply: Mapping[str, Any]) -> None:
        body = json.dumps(reply, ensure_ascii=False).encode()
        with contextlib.suppress(ConnectionError):  # whoever asked may be dead by now
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            if status == 429:
                self.send_header("Retry-After", str(self.desk.faults.retry_after_s))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """The log is the desk's."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int, handler: type[Handler]) -> None:
        self.open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        """End connections that are kept alive, as a server that goes down does."""
        for request in list(self.open):
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)


class ScriptedServer:
    """One server on a port of its own: `with ScriptedServer({"a text": "a label"}) as server: server.url`."""

    def __init__(
        self,
        gold: Mapping[str, Any],
        *,
        errors: float = 0.0,
        seed: int = 0,
        name: str = "scripted",
        faults: Faults | None = None,
        log: Path | None = None,
        port: int = 0,
    ) -> None:
        known = {text.strip(): value for text, value in gold.items()}
        self.model = ScriptedModel(known, errors, seed)
        self.log = Log(log)
        desk = Desk(self.model, name, faults or Faults(), self.log)
        self._server = _Server(port, type("BoundHandler", (Handler,), {"desk": desk}))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def asked(self) -> list[dict[str, Any]]:
        """The log's rows so far."""
        return list(self.log.rows)

    def start(self) -> ScriptedServer:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()
        self.log.close()

    def __enter__(self) -> ScriptedServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="an OpenAI-compatible server that answers from a script")
    parser.add_argument("--gold", type=Path, required=True, help='JSON lines of {"text": ..., "label": ...}')
    parser.add_argument("--errors", type=float, default=0.0, help="share of texts it is wrong about")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--log", type=Path, help="one JSON line a request, appended")
    parser.add_argument("--model", default="scripted", help="the one model it serves")
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--fail-401", action="store_true", help="refuse every key")
    parser.add_argument("--fail-503", type=float, default=0.0, metavar="SHARE")
    parser.add_argument("--fail-429", type=float, default=0.0, metavar="SHARE")
    parser.add_argument("--retry-after-s", type=float, default=0.0, help="what a 429 asks to wait")
    parser.add_argument("--no-usage", action="store_true")
    parser.add_argument("--no-logprobs", action="store_true")
    parser.add_argument("--ignore", action="append", default=[], choices=["structured_outputs", "response_format"])
    return parser.parse_args()


def main() -> None:
    options = _arguments()
    with options.gold.open(encoding="utf-8") as file:
        gold = {row["text"]: row["label"] for row in map(json.loads, file)}
    faults = Faults(
        refuses_key=options.fail_401,
        share_503=options.fail_503,
        share_429=options.fail_429,
        retry_after_s=options.retry_after_s,
        latency_s=options.latency_ms / 1000,
        no_usage=options.no_usage,
        no_logprobs=options.no_logprobs,
        ignored=frozenset(options.ignore),
    )
    script = {"errors": options.errors, "seed": options.seed, "name": options.model}
    server = ScriptedServer(gold, faults=faults, log=options.log, port=options.port, **script)
    print(f"serving {server.url}", flush=True)
    with server, contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()


if __name__ == "__main__":
    main()
