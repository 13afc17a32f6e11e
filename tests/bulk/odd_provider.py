"""A provider of batches that does what a test tells it to, and remembers what it was asked. Standard library only."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FILE = re.compile(rb'filename="[^"]*"\r\n(?:[^\r\n]+\r\n)*\r\n(.*?)\r\n--', re.DOTALL)
Way = Callable[["OddProvider", "Door"], bool]
Described = Callable[["OddProvider", Sequence[str], int], Mapping[str, Any]]


def line(custom_id: str, status: int = 200, body: Any = None, error: Any = None) -> bytes:
    """One line of an output or error file."""
    usage = {"prompt_tokens": 30, "completion_tokens": 2}
    answer = {"model": "m", "choices": [{"message": {"content": "fruit"}, "finish_reason": "stop"}], "usage": usage}
    response = None if error else {"status_code": status, "body": answer if body is None else body}
    return json.dumps({"id": "x", "custom_id": custom_id, "response": response, "error": error}).encode() + b"\n"


def counts(total: int, completed: int, failed: int) -> dict[str, int]:
    return {"total": total, "completed": completed, "failed": failed}


class Door(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    provider: OddProvider

    def log_message(self, *_: Any) -> None:
        """Silence."""

    def say(self, said: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> bool:
        raw = said if isinstance(said, bytes) else json.dumps(said).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(raw)), "Content-Type": "application/json"}.items():
            self.send_header(name, value)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)
        return True

    def hang_up(self) -> bool:
        """Say nothing, and close."""
        self.close_connection = True
        return True

    def answer(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0].removeprefix("/v1")
        self.provider.log.append((self.command, path))
        with suppress(ConnectionError):
            way = self.provider.ways.get((self.command, path.split("/")[1]))
            if way is None or not way(self.provider, self):
                self._usual(path)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815

    def _usual(self, path: str) -> bool:
        shop, name = self.provider, path.split("/")[2] if path.count("/") > 1 else ""
        if self.command == "DELETE":
            shop.files.pop(name, None)
            return self.say({"id": name, "object": "file", "deleted": True})
        if path == "/files":
            found = FILE.search(self.body)
            assert found is not None
            return self.say({"id": shop.put(found[1] + b"\n"), "object": "file"})
        if path == "/batches" and self.command == "POST":
            return self.say(shop.create(self.body))
        if path == "/batches":
            return self.say({"object": "list", "data": list(shop.batches.values()), "has_more": False})
        if path.endswith("/content"):
            return self.say(shop.files[name])
        shop.looks += 1
        return self.say({**shop.batches[name], **shop.described(shop, shop.ids[name], shop.looks)})


class OddProvider:
    """`with OddProvider(described, ways) as provider: provider.url`.

    Args:
        described: what a look at a batch says, given the batch's custom ids and how many looks there were.
        ways: by method and first part of the path, what is done before the usual; True where that was all.
    """

    def __init__(self, described: Described, ways: Mapping[tuple[str, str], Way] | None = None) -> None:
        self.described, self.ways = described, dict(ways or {})
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.ids: dict[str, list[str]] = {}
        self.log: list[tuple[str, str]] = []
        self.looks = 0
        self.closing = threading.Event()  # ends what drips
        door = type("Door", (Door,), {"provider": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), door)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> OddProvider:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def put(self, content: bytes) -> str:
        """A new file; returns its name."""
        name = f"file-{len(self.log)}-{len(self.files)}"
        self.files[name] = content
        return name

    def create(self, body: bytes, name: Any = None) -> dict[str, Any]:
        """A new batch, which runs from now on."""
        asked = json.loads(body)
        name = name or f"batch_{len(self.batches) + 1}"
        known = {"object": "batch", "status": "in_progress", "created_at": 1, "completion_window": "24h"}
        self.batches[str(name)] = {"id": name, "endpoint": "/v1/chat/completions", **known, **asked}
        raw = self.files[asked["input_file_id"]]
        self.ids[str(name)] = [json.loads(row)["custom_id"] for row in raw.splitlines() if row.strip()]
        return self.batches[str(name)]

    def over(
        self, rows: Sequence[bytes], counted: Mapping[str, Any] | None, status: str = "completed", **more: Any
    ) -> dict[str, Any]:
        """A batch that is over, with these lines in its output file."""
        output = {"output_file_id": self.put(b"".join(rows))} if rows else {}
        stamps = {"in_progress_at": 10, "completed_at": 20}
        return {"status": status, "request_counts": counted} | stamps | output | more
