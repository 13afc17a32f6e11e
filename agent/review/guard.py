"""What keeps other web sites, and other people, out of the review page. A middleware that knows no labels.

The page shows private texts and takes labels, on a port that every web site open in the same browser can reach:

- DNS rebinding: a request must name this server in its Host header.
- Forged requests: a POST must come from this page (Origin), as JSON, with the token that only this page was given.
- Script in a text or a label: a policy that runs nothing but the files of `static/`, and no markup made from strings.
- Other pages framing or reading it: framing, opener and cross-origin reads are refused.
- Where several people review, or it listens beyond this machine, everyone shows a token of their own: once in the
  address, from then on in a cookie that no script can read. Who is let in no more is out at once.
- Guessing tokens, and a page that went mad: so many requests a second, and few wrong tokens.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlencode

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from markupsafe import escape
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.review.limits import RateLimit
from agent.store import Reviewer
from agent.web import LOOPBACK, named_host

CALLS = (200, 50.0)  # requests of one person: at once, and a second
LOOK_UPS = 2  # of tokens at a time: quick ones, and each takes a connection to the database
WRONG = (10, 1 / 6)  # wrong tokens from one address
REFUSED = "This page asks who you are: open the address with your own token, from whoever runs the review."

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Door:
    """Who may come in.

    `people` says whose a token is, and is None for one person on a loopback address, where the address itself is the
    limit. `hosts` is None where any name will do, which is safe only with tokens: another site's name for this server
    has no cookie that holds one. From `token` comes what each person's page sends with each change.
    """

    hosts: Collection[str] | None = LOOPBACK
    people: Callable[[str], Reviewer | None] | None = field(default=None, repr=False)
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    def __post_init__(self) -> None:
        if self.hosts is None and self.people is None:
            raise ValueError("a server that answers to any name asks for tokens")

    def token_of(self, name: str) -> str:
        """What a person's page sends with each change: another one's page, open in the same browser, has another."""
        return hmac.new(self.token.encode(), name.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


class Guard:
    """ASGI middleware: refuses what does not come from the page itself, and puts `HEADERS` on every response."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self.app = app
        self.door = door
        self._calls, self._wrong = RateLimit(*CALLS), RateLimit(*WRONG)
        self._looking_up = CapacityLimiter(LOOK_UPS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        answer = await self.refusal(scope) or self.app
        await answer(scope, receive, send_guarded)

    async def refusal(self, scope: Scope) -> Response | None:
        """The response to a request that may not come in; None for one that may. Who sent it is in the scope then,
        as `reviewer`, where people show tokens."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._is_ours(host):
            return PlainTextResponse("This server is not the one that was asked for (Host).", 400)
        if self.door.people is not None and (answer := await self._ask_token(scope, headers, self.door.people)):
            return answer
        if scope["path"].startswith("/api/") and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return _no(403, "Only the review page itself may ask for this (Sec-Fetch-Site).")
        who = scope.get("reviewer")
        if wait := self._calls.wait_s(who.name if who is not None else ""):
            return _no(429, "Too many requests; it goes on in a moment.", wait)
        if scope["method"] in ("GET", "HEAD"):
            return None
        return self._forged(headers, host, self.door.token if who is None else self.door.token_of(who.name))

    def _forged(self, headers: Headers, host: str, token: str) -> Response | None:
        """The response to a request that changes something and does not come from this page."""
        if headers.get("origin", "").partition("://")[2] != host:
            return _no(403, "Only the review page itself may do this (Origin).")
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return _no(415, "JSON was expected.")
        if not _equal(headers.get("x-labelwright-token", ""), token):
            return _no(403, "This page is from before the server was started again, or another person's (token).")
        return None

    def _is_ours(self, host: str) -> bool:
        name = named_host(host)
        return name is not None and (self.door.hosts is None or name in self.door.hosts)

    async def _ask_token(
        self, scope: Scope, headers: Headers, people: Callable[[str], Reviewer | None]
    ) -> Response | None:
        """None for somebody who is let in. A token in the address goes into a cookie, and out of the address."""
        port = headers.get("host", "").rpartition(":")[2]
        cookie = f"labelwright-{port if port.isdecimal() else 80}"
        asked = parse_qs(scope["query_string"].decode("latin-1"))
        in_address = asked.get("key", [""])[0] if scope["method"] == "GET" else ""
        shown = in_address or _cookie(headers, cookie)
        caller = (scope.get("client") or ("",))[0]
        who = await run_sync(people, shown, limiter=self._looking_up) if shown else None
        if who is None:  # a right one always opens: many may come from one address
            wait = self._wrong.wait_s(caller) if shown else 0.0
            return _no(429, "Too many wrong tokens; try again in a moment.", wait) if wait else _no(401, REFUSED)
        if in_address:
            rest = urlencode({k: v for k, v in asked.items() if k != "key"}, doseq=True)
            here = "/" + scope["path"].lstrip("/") + (f"?{rest}" if rest else "")  # `//` would be another server
            answer: Response = RedirectResponse(here, 303)
            if headers.get("sec-fetch-site") == "cross-site":  # which would come without the cookie
                answer = HTMLResponse(f'<!doctype html><meta http-equiv="refresh" content="0; url={escape(here)}">')
            answer.set_cookie(cookie, in_address, httponly=True, samesite="strict")
            return answer
        scope["reviewer"] = who
        return None


def _no(status: int, words: str, wait_s: float = 0.0) -> Response:
    return JSONResponse({"error": words}, status, {"Retry-After": str(math.ceil(wait_s))} if wait_s else None)


def _equal(given: str, wanted: str) -> bool:
    return secrets.compare_digest(given.encode("utf-8", "surrogatepass"), wanted.encode())


def _cookie(headers: Headers, name: str) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return "" if found is None else found.value
