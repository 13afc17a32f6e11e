"""An OpenAI-compatible server that answers from a script, and writes down what it charged before it answers.

    python -m tests.servers.scripted --gold FILE.jsonl --errors 0.1 --port 0 --log FILE

It shares no module with the product and needs the standard library only, so that its log is evidence: one JSON line
a request, on disk before anything is sent. A line of the gold file is `{"text": ..., "label": ...}`; a label that
is a list is answered as a JSON list, one that is a mapping as it stands. `README.md` here lists what it can do wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.servers.batches import Batches
from tests.servers.charges import ChargeLog, Prices, Row
from tests.servers.chat import Desk, error
from tests.servers.faults import BatchFaults, Faults
from tests.servers.files import Shelf
from tests.servers.model import ScriptedModel, chance
from tests.servers.options import Options, arguments
from tests.servers.protocol import Connection, Request, Response, Send
from tests.servers.quirks import Quirks

__all__ = ["BatchFaults", "Faults", "Prices", "Quirks", "ScriptedServer"]


class Service:
    """Which path is whose."""

    def __init__(self, desk: Desk, batch_faults: BatchFaults) -> None:
        self.desk, self._faults = desk, batch_faults
        self._shelf = Shelf(desk.now)
        self.batches = Batches(desk, self._shelf, batch_faults)
        self._visits = 0

    def handle(self, request: Request, send: Send) -> None:
        if request.path == "/v1/chat/completions" and request.method == "POST":
            self.desk.chat(request, send)
        elif request.path == "/health":
            send(Response.of(200, {}))
        elif self.desk.faults.refuses_key:
            send(Response.of(401, error("Incorrect API key.", "invalid_api_key")))
        elif request.path == "/v1/models":
            model = {"id": self.desk.name, "object": "model", "created": 0, "owned_by": "tests"}
            send(Response.of(200, {"object": "list", "data": [model]}))
        else:
            send(self._bulk(request))

    def _bulk(self, request: Request) -> Response:
        """Files and batches."""
        self._visits += 1
        if chance(self.desk.model.seed, "visit", self._visits) < self._faults.share_503:
            return Response.of(503, error("The server is overloaded.", "overloaded"))
        kind, *named = request.path.split("/")[2:] or [""]
        known: dict[tuple[str, str, int], Callable[..., Response]] = {
            ("POST", "files", 0): self._shelf.upload,
            ("GET", "files", 0): self._shelf.listed,
            ("GET", "files", 1): self._shelf.one,
            ("DELETE", "files", 1): self._shelf.one,
            ("GET", "files", 2): self._content,
            ("POST", "batches", 0): self.batches.submit,
            ("GET", "batches", 0): self.batches.listed,
            ("GET", "batches", 1): self.batches.one,
            ("POST", "batches", 2): self.batches.cancel,
        }
        answer = known.get((request.method, kind, len(named)))
        if answer is None or named[1:] not in ([], ["content" if kind == "files" else "cancel"]):
            return Response.of(404, error(f"no such path: {request.path}", "not_found"))
        return answer(request, *named[:1])

    def _content(self, request: Request, file_id: str) -> Response:
        response = self._shelf.content(request, file_id)
        cut = chance(self.desk.model.seed, "download", self._visits) < self._faults.share_truncated
        if cut and response.status == 200:
            response.how = "truncated"
        return response


class ScriptedServer:
    """One server on a port of its own: `with ScriptedServer({"a text": "a label"}) as server: server.url`.

    It runs in a thread with an event loop of its own. `log` is the file of its charges, none by default;
    `model` is one of your own, in place of that which knows `gold`.
    """

    def __init__(
        self,
        gold: Mapping[str, Any],
        *,
        errors: float = 0.0,
        seed: int = 0,
        name: str = "scripted",
        faults: Faults | None = None,
        batch_faults: BatchFaults | None = None,
        quirks: Quirks | None = None,
        prices: Prices | None = None,
        log: Path | None = None,
        port: int = 0,
        model: ScriptedModel | None = None,
    ) -> None:
        known = {text.strip(): value for text, value in gold.items()}
        self.model = model or ScriptedModel(known, errors, seed)
        self.log = ChargeLog(log)
        self._faults = faults or Faults()
        desk = Desk(self.model, name, self._faults, prices or Prices(), self.log, quirks or Quirks())
        self._service = Service(desk, batch_faults or BatchFaults())
        self._listening = socket.create_server(("127.0.0.1", port), backlog=1024)
        self._connected: set[Connection] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="scripted-server")
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/v1"

    @property
    def asked(self) -> list[Row]:
        """The log's rows so far."""
        return list(self.log.rows)

    def start(self) -> ScriptedServer:
        self._thread.start()
        return self

    def stop(self) -> None:
        """Hang up, as a server that goes down does. What was charged is in the log."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self.log.close()

    def __enter__(self) -> ScriptedServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        serving = self._loop.create_server(self._connection, sock=self._listening)
        server = self._loop.run_until_complete(serving)
        try:
            self._loop.run_forever()
        finally:
            server.close()
            self._loop.run_until_complete(self._ended())
            self._loop.close()

    def _connection(self) -> Connection:
        return Connection(self._service.handle, self._connected, self._service.desk.now, self._faults.hang_s)

    async def _ended(self) -> None:
        self._service.batches.stop()
        for connection in list(self._connected):
            connection.hang_up()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # connections notice that they are lost
        await self.log.written()


def main() -> None:
    options: Options = arguments(sys.argv[1:])
    with options.gold.open(encoding="utf-8") as file:
        gold = {row["text"]: row["label"] for row in map(json.loads, file)}
    server = ScriptedServer(
        gold,
        errors=options.errors,
        seed=options.seed,
        name=options.model,
        faults=options.faults,
        batch_faults=options.batch_faults,
        quirks=options.quirks,
        prices=options.prices,
        log=options.log,
        port=options.port,
    )
    print(f"serving {server.url}", flush=True)
    with server, contextlib.suppress(KeyboardInterrupt):
        if options.until_stdin_ends:
            sys.stdin.read()
        else:
            threading.Event().wait()


if __name__ == "__main__":
    main()
