"""HTTP/1.1 by hand on asyncio, fast enough for thousands of requests a second on one core. Standard library only.

A connection is kept alive and serves one request at a time. What is sent may be sent badly, on purpose.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

REASONS = {status.value: status.phrase for status in HTTPStatus}
MOST_HEAD = 65536


@dataclass(frozen=True, slots=True)
class Request:
    """One request, whole. Header names are in lower case, `query` holds the last value of each name."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Response:
    """What to send, and how: `whole`, `truncated` (half the body, then the end), `reset` or `hang` (nothing)."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    how: str = "whole"

    @classmethod
    def of(cls, status: int, value: Any, headers: Mapping[str, str] | None = None) -> Response:
        """`value` as JSON."""
        raw = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
        return cls(status, raw, {"Content-Type": "application/json", **(headers or {})})


Send = Callable[[Response], None]


class Connection(asyncio.Protocol):
    """One client. `handle` is given each request with a function that sends the answer, once, from the event loop.

    Args:
        handle: answers requests; it may call its second argument at once or later.
        connected: everything that is open, so that a server that goes down can hang up.
        clock: what time this server believes it is, seconds since 1970, for the Date header.
        hang_s: after how long a connection that hangs is ended at last.
    """

    def __init__(
        self,
        handle: Callable[[Request, Send], None],
        connected: set[Connection],
        clock: Callable[[], float],
        hang_s: float,
    ) -> None:
        self._handle, self._connected, self._clock, self._hang_s = handle, connected, clock, hang_s
        self._received = bytearray()
        self._busy = False
        self._hanging: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connected.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connected.discard(self)
        if self._hanging is not None:
            self._hanging.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._busy:
            self._next()

    def hang_up(self) -> None:
        """End the connection, as a server that goes down does."""
        self._transport.abort()

    def _next(self) -> None:
        try:
            request = self._whole_request()
        except (ValueError, UnicodeDecodeError):
            self._send(Response.of(400, {"error": {"message": "this is no HTTP request"}}))
            self._transport.close()
            return
        if request is not None:
            self._busy = True
            self._handle(request, self._send)

    def _whole_request(self) -> Request | None:
        """The first request in what was received, which is then forgotten; None where it is not whole yet."""
        received = self._received
        end = received.find(b"\r\n\r\n")
        if end < 0:
            if len(received) > MOST_HEAD:
                raise ValueError("a head without an end")
            return None
        first, *lines = received[:end].decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if headers.get("transfer-encoding", "").lower() == "chunked":
            found = _unchunked(received, end + 4)
        else:
            stop = end + 4 + int(headers.get("content-length", 0))
            found = (bytes(received[end + 4 : stop]), stop) if len(received) >= stop else None
        if found is None:
            return None
        body, used = found
        del received[:used]
        path, _, query = target.partition("?")
        return Request(method, path.rstrip("/") or "/", _query(query), headers, body)

    def _send(self, response: Response) -> None:
        if self._transport.is_closing():
            return
        if response.how == "reset":
            linger = struct.pack("ii", 1, 0)
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._transport.abort()
            return
        if response.how == "hang":
            loop = asyncio.get_running_loop()
            self._hanging = loop.call_later(self._hang_s, self._transport.abort)
            return
        body = response.body if response.how == "whole" else response.body[: len(response.body) // 2]
        self._transport.write(self._head(response) + body)
        if response.how != "whole":
            self._transport.close()
            return
        self._busy = False
        if self._received:
            self._next()

    def _head(self, response: Response) -> bytes:
        lines = [
            f"HTTP/1.1 {response.status} {REASONS.get(response.status, 'Scripted')}",
            f"Date: {formatdate(self._clock(), usegmt=True)}",
            f"Content-Length: {len(response.body)}",
            *(f"{name}: {value}" for name, value in response.headers.items()),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _query(written: str) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(urlsplit("?" + written).query).items()} if written else {}


def _unchunked(received: bytearray, start: int) -> tuple[bytes, int] | None:
    """The body of a chunked request and where it ends; None where it is not whole yet."""
    parts: list[bytes] = []
    while (line := received.find(b"\r\n", start)) >= 0:
        size = int(received[start:line].split(b";")[0], 16)
        if len(received) < line + 2 + size + 2:
            return None
        if size == 0:
            return b"".join(parts), line + 4
        parts.append(bytes(received[line + 2 : line + 2 + size]))
        start = line + 2 + size + 2
    return None
