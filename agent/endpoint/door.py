"""Who may ask, and how each request ended. A middleware that knows no texts.

On a loopback address without a token, a request must name this server (DNS rebinding) and may not come from a web
site that is open in the same browser. With a token that is enough.
"""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.web import answer, named_host

HEALTH = "/health"
LEFT = 499
"""Nobody hears this status: it is how nginx counts those who leave before their answer."""


@dataclass(frozen=True)
class Rule:
    """`token` is what everyone shows, None for nobody; `hosts` what a Host header may name, None for anything."""

    token: str | None = field(default=None, repr=False)
    hosts: Collection[str] | None = None


class Door:
    """ASGI middleware: refuses who may not come in, and counts every request by its status."""

    def __init__(self, app: ASGIApp, rule: Rule, counted: Counter[int]) -> None:
        self.app, self._rule, self._counted = app, rule, counted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = LEFT

        async def send_counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await (self._refusal(scope) or self.app)(scope, receive, send_counted)
        except Exception:
            status = 500
            raise
        finally:
            self._counted[status] += 1

    def _refusal(self, scope: Scope) -> Response | None:
        headers, rule = Headers(scope=scope), self._rule
        if rule.token is not None:
            return None if scope["path"] == HEALTH or _shows(headers, rule.token) else _who()
        if rule.hosts is not None and named_host(headers.get("host", "")) not in rule.hosts:
            return answer({"error": "this server is not the one that was asked for (Host)"}, 400)
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return answer({"error": "another web site asked for this (Sec-Fetch-Site)"}, 403)
        return None


def _shows(headers: Headers, token: str) -> bool:
    """Whether the token is there, in a time that does not tell how much of it was right."""
    kind, _, shown = headers.get("authorization", "").partition(" ")
    return kind.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), token.encode())


def _who() -> Response:
    reply = answer({"error": "this server asks for a token: Authorization: Bearer TOKEN"}, 401)
    reply.headers["WWW-Authenticate"] = "Bearer"
    return reply
