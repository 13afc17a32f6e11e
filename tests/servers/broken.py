"""A server that reads one whole request and then misbehaves in one chosen way. Standard library only."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from typing import Any

Behaviour = Callable[["BrokenServer", socket.socket], None]


def replies(status: int, body: bytes | Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Behaviour:
    """A whole reply with this status and body."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return says(_head(status, len(raw), headers) + raw)


def truncates(body: bytes, missing: int) -> Behaviour:
    """A reply that ends `missing` bytes before it said it would."""
    return says(_head(200, len(body) + missing, None) + body)


def says(raw: bytes) -> Behaviour:
    """These bytes, then the end of the connection."""

    def behave(_: BrokenServer, connection: socket.socket) -> None:
        connection.sendall(raw)

    return behave


def resets(_: BrokenServer, connection: socket.socket) -> None:
    """The connection is torn down after the request was read."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def hangs(server: BrokenServer, _: socket.socket) -> None:
    """Nothing is ever said, until the server stops."""
    server.stopping.wait()


def _head(status: int, length: int, headers: Mapping[str, str] | None) -> bytes:
    lines = [f"HTTP/1.1 {status} Scripted", "Content-Type: application/json", f"Content-Length: {length}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode()


class BrokenServer:
    """`with BrokenServer(hangs) as server: server.url`. `requests` holds each whole request that came in."""

    def __init__(self, behave: Behaviour) -> None:
        self._behave = behave
        self.requests: list[bytes] = []
        self.stopping = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/v1"

    def __enter__(self) -> BrokenServer:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        # closing a listening socket does not wake who waits in accept; shutting it down does
        self._listening.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listening.close()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            self.requests.append(_whole_request(connection))
            self._behave(self, connection)


def _whole_request(connection: socket.socket) -> bytes:
    raw = b""
    while b"\r\n\r\n" not in raw and (part := connection.recv(65536)):
        raw += part
    head, _, body = raw.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while len(body) < int(lengths[0] if lengths else 0) and (part := connection.recv(65536)):
        body += part
    return head + b"\r\n\r\n" + body


def unused_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])
