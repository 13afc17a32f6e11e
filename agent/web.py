"""What every web room stands on: an address to listen at, uvicorn's settings, whose name a request calls, JSON out.

Knows no label, no model and no page.
"""

from __future__ import annotations

import errno
import ipaddress
import json
import socket
import sys
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from starlette.responses import Response

from agent.errors import UserError

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
BACKLOG = 128


def bound(host: str, port: int) -> socket.socket:
    """A socket at an address, which does not listen yet: who asks before all is ready is to ask again, and not to
    wait in a row with all others. Raises UserError where the address cannot be had."""
    if not 0 <= port <= 65535:
        raise UserError(f"port {port}: ports go from 0 (any free one) to 65535")
    try:
        family, kind, proto, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError):
        raise UserError(f"host {host!r} is not known; 127.0.0.1 serves this machine alone") from None
    sock = socket.socket(family, kind, proto)
    try:
        if sys.platform != "win32":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(where)
    except OSError as error:
        sock.close()
        raise UserError(_why(error, host, port)) from None
    return sock


def listen(sock: socket.socket, host: str, port: int, backlog: int = BACKLOG) -> None:
    """Raises UserError where another server took the address meanwhile."""
    try:
        sock.listen(backlog)
    except OSError as error:
        raise UserError(_why(error, host, port)) from None


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is in use: the same server may run there already (http://{host}:{port}/); "
            f"end it, or take another port (--port {port % 65535 + 1}, or --port 0 for any free one)"
        )
    if error.errno == errno.EACCES:
        return f"port {port} needs an administrator's rights; take one above 1023 (--port 8765)"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine; 127.0.0.1 serves this machine alone, 0.0.0.0 every network"
    return f"cannot listen on {host}, port {port}: {error.strerror}"


def is_loopback(sock: socket.socket) -> bool:
    """Whether only this machine can reach the socket."""
    return ipaddress.ip_address(sock.getsockname()[0].partition("%")[0]).is_loopback


def hosts(sock: socket.socket, host: str) -> frozenset[str] | None:
    """The names that a Host header may carry; None for any, where every address of the machine is served."""
    if ipaddress.ip_address(sock.getsockname()[0].partition("%")[0]).is_unspecified:
        return None
    return LOOPBACK | {bracketed(host).lower()}


def named_host(header: str) -> str | None:
    """The name in a Host header, without the port, IPv6 in brackets; None where the header makes no sense."""
    try:
        parts = urlsplit(f"//{header}")
        name, _ = parts.hostname, parts.port  # a port that is no number raises
    except ValueError:
        return None
    if name is None or parts.netloc != header or parts.username is not None:
        return None
    return bracketed(name)


def bracketed(host: str) -> str:
    """A host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def address(sock: socket.socket, host: str) -> str:
    """The address to open."""
    name = socket.gethostname() if hosts(sock, host) is None else host
    return f"http://{bracketed(name)}:{sock.getsockname()[1]}/"


def quiet(app: object) -> uvicorn.Config:
    """Settings of a server that says nothing unless something is wrong."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        access_log=False,
        log_level="warning",
        lifespan="off",
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=3,
    )


def answer(data: dict[str, Any], status: int = 200) -> Response:
    """JSON in ASCII, which carries any string, also half of a surrogate pair."""
    return Response(json.dumps(data, allow_nan=False), status, media_type="application/json")
