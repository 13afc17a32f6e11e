"""One HTTP request, once: what leaves for an endpoint, and what a failure on the way says about money.

aiohttp rather than the openai client's own transport, which takes 3 to 4 ms of processor time a request (see
`evals/throughput.py`). Nothing here sends a second time what may already be charged: no retries, no redirects.
What a failure costs is told by where it happened: before anything was sent, certainly nothing; after, unknown.
"""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from math import isfinite
from time import time
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from agent.errors import Charge, OracleError

CONNECT_S = 10.0
MOST_BYTES = 32 << 20
LOOPBACK = ("127.0.0.1", "::1", "localhost")
OURS = "lw-"  # how the ledger's names of requests begin
LEAST_SECRET = 4  # characters: what is shorter is part of many words
IDLE_S = 4.0  # below the 5 s after which uvicorn, and so vLLM, hangs up: a request must not meet that moment
NOT_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, whole. `retry_after_s` is None where the server asked for no wait."""

    status: int
    raw: bytes
    reason: str
    retry_after_s: float | None

    def json(self) -> Any:
        """The decoded body. Raises ValueError where it is no JSON, or is nested deeper than anything sensible."""
        try:
            return json.loads(self.raw)
        except RecursionError:
            raise ValueError("nested too deeply") from None

    def told(self) -> Any:
        """The decoded body of an error, or nothing where it is no JSON."""
        try:
            return self.json()
        except ValueError:
            return None


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    """The body, as long as it is no longer than any answer can be: a few compressed bytes may stand for gigabytes."""
    received = bytearray()
    async for piece in response.content.iter_chunked(1 << 18):
        received += piece
        if len(received) > MOST_BYTES:
            response.close()
            raise ValueError("an endless answer")
    return bytes(received)


class Wire:
    """Connections to one endpoint, opened when first used and kept alive. For one event loop.

    Args:
        base_url: may hold a user and password (sent as Basic auth where there is no key) and a query.
        name: what to call the endpoint in a message, without secrets.
        key: sent as a bearer token; None sends none.
        timeout_s: for a whole request, from the first byte sent to the last received.
    """

    def __init__(self, base_url: str, name: str, key: str | None, timeout_s: float) -> None:
        self._name, self._timeout_s = name, timeout_s
        parts = urlsplit(base_url)
        user, _, self._host = parts.netloc.rpartition("@")
        self._parts = parts
        host = parts.hostname or ""
        is_here = host in LOOPBACK  # no proxy can reach what listens here alone
        self._proxy = None if is_here or proxy_bypass(host) else getproxies().get(parts.scheme)
        self._headers = {"Content-Type": "application/json", "User-Agent": "labelwright"}
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"
        elif user:
            self._headers["Authorization"] = "Basic " + base64.b64encode(unquote(user).encode()).decode()
        self._session: aiohttp.ClientSession | None = None
        password = unquote(user).partition(":")[2] or unquote(user)
        sent = [key or "", password, self._headers.get("Authorization", "").partition(" ")[2]]
        self._secrets = [s for s in (*sent, *(v for _, v in parse_qsl(parts.query))) if len(s) >= LEAST_SECRET]

    def masked(self, said: str) -> str:
        """What a server said, without what must not reach a log: it may quote the key, or the address, back."""
        for secret in self._secrets:
            said = said.replace(secret, "***")
        return said

    async def post(self, path: str, body: Any, request_id: str = "") -> Reply:
        """Send one JSON body, once. Raises OracleError where no whole reply came back."""
        raw = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        # both names, as servers know the one or the other: their log can be held against the ledger
        headers = {"X-Request-Id": request_id, "X-Client-Request-Id": request_id} if request_id else {}
        return await self._exchange("POST", path, raw, headers)

    async def get(self, path: str) -> Reply:
        """Raises OracleError where no whole reply came back."""
        return await self._exchange("GET", path, None, {})

    async def close(self) -> None:
        """Let go of every connection. Closing twice is fine."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _exchange(self, method: str, path: str, raw: bytes | None, headers: dict[str, str]) -> Reply:
        try:
            async with self._opened().request(
                method, self._url(path), data=raw, headers=headers, allow_redirects=False, proxy=self._proxy
            ) as response:
                received = await _whole(response)
                # a stray reply on a kept connection would be taken for this one's; a server that echoes names tells
                echoed = response.headers.get("X-Request-Id", "")
                if echoed.startswith(OURS) and echoed != headers.get("X-Request-Id", echoed):
                    response.close()
                    raise ValueError("the reply to another request")
                wait_s = retry_after(response.headers.get("Retry-After"), response.headers.get("Date"))
                return Reply(response.status, received, response.reason or "", wait_s)
        except NOT_SENT as error:
            what = "timed out" if isinstance(error, TimeoutError) else "connection failed"
            raise OracleError(f"{self._name}: {what} before sending", charge=Charge.NONE, unreachable=True) from None
        except TimeoutError:
            raise OracleError(f"{self._name}: timed out after sending", charge=Charge.UNKNOWN) from None
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError, ValueError) as error:
            said = f"{self._name}: connection failed after sending ({type(error).__name__})"
            raise OracleError(said, charge=Charge.UNKNOWN) from None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            # by default aiohttp rounds up to whole seconds, and the worst case of a price for time is the time-out
            exact = self._timeout_s + 1
            timeout = aiohttp.ClientTimeout(
                self._timeout_s, sock_connect=min(CONNECT_S, self._timeout_s / 2), ceil_threshold=exact
            )
            # no limit: how many requests are under way is decided where they are paid for
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, headers=self._headers)
        return self._session

    def _url(self, path: str) -> str:
        parts = self._parts
        return urlunsplit((parts.scheme, self._host, parts.path.rstrip("/") + path, parts.query, ""))


def retry_after(header: str | None, date: str | None = None) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or as a date; None where it asks for nothing.

    A date is told by the server's clock, so it is held against the reply's own `Date`, not against ours.
    """
    if not header:
        return None
    try:
        wait_s = float(header)
    except ValueError:
        until, sent = _moment(header), _moment(date)
        if until is None:
            return None
        wait_s = until - (time() if sent is None else sent)
    return max(0.0, wait_s) if isfinite(wait_s) else None


def _moment(date: str | None) -> float | None:
    """An HTTP date as seconds since 1970; None where it is none."""
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except (ValueError, OverflowError, OSError):  # no date, or one in a year that no clock shows
        return None
