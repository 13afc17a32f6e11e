"""The endpoint as a Starlette app: JSON in and out, errors as sentences."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import Executor
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from agent.distill import Labeller
from agent.endpoint.batches import Batches, Busy, Gone
from agent.endpoint.door import HEALTH, LEFT, Door, Rule
from agent.endpoint.keeper import Keeper
from agent.endpoint.metrics import CONTENT_TYPE, Metrics
from agent.pairing import join
from agent.web import answer

BODY_BYTES = 10_000_000
HELD_BYTES = 100_000_000
"""Of all bodies together, those that wait counted: what comes on top is told to come later."""
BODY_S = 30.0
MOST_TEXTS = 1000
WAYS = 'POST /predict {"text": "..."} or {"texts": ["...", ...]}, GET /health, GET /metrics'

SINGLE = '{"text": "..."} or {"texts": ["...", ...]}'
PAIRS = '{"text": "...", "second": "..."} or {"texts": [{"text": "...", "second": "..."}, ...]}'

Told = dict[str, Any]


def create_app(
    model: Labeller,
    pool: Executor,
    *,
    about: Told | None = None,
    rule: Rule | None = None,
    most_waiting: int = 4096,
    keeper: Keeper | None = None,
) -> Starlette:
    """The endpoint of one model.

    Args:
        pool: where the model works, a thread of its own.
        about: what `GET /health` says besides.
        rule: who may ask.
        most_waiting: texts; who comes on top of them is told to come later.
        keeper: answers in the model's place, and keeps what it sees.
    """
    metrics = Metrics()
    batches = Batches(keeper.told if keeper else model.told, pool, metrics.batch, most_waiting=most_waiting)
    bodies = _Bodies()

    async def predict(request: Request) -> Response:
        with bodies.kept() as body:
            try:
                texts, is_one = asked(await body.read(request), pairs=model.columns is not None)
                found = await batches.ask(texts, request.is_disconnected)
            except (ClientDisconnect, Gone):
                return answer({"error": "the request broke off"}, LEFT)
            except Busy as busy:
                return later(str(busy), busy.wait_s)
        return answer(found[0] if is_one else {"predictions": found})

    async def health(request: Request) -> Response:
        return answer({"status": "ok", "labels": list(model.names), "multilabel": model.multilabel, **(about or {})})

    async def figures(request: Request) -> Response:
        more = keeper.parts() if keeper else ()
        return PlainTextResponse(metrics.text(batches.waiting, more), headers={"Content-Type": CONTENT_TYPE})

    return Starlette(
        routes=[
            Route("/predict", predict, methods=["POST"]),
            Route(HEALTH, health, methods=["GET"]),
            Route("/metrics", figures, methods=["GET"]),
        ],
        middleware=[Middleware(Door, rule=rule or Rule(), counted=metrics.requests)],
        exception_handlers={HTTPException: failed, Exception: broken},
    )


# What is asked ----------------------------------------------------------------------------------------------------


def asked(body: bytes, *, pairs: bool) -> tuple[list[str], bool]:
    """The texts of a request (of pairs, joined), and whether it was one alone. Raises HTTPException for what makes no
    sense."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        said = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise HTTPException(400, f"not JSON: {said}") from None
    one = {"text", "second"} if pairs else {"text"}
    if not isinstance(found, dict) or found.keys() not in (one, {"texts"}):
        raise HTTPException(422, f"a JSON object was expected: {PAIRS if pairs else SINGLE}")
    if "text" in found:
        return [_item(found, "", pairs=pairs)], True
    texts = found["texts"]
    if not isinstance(texts, list) or not texts:
        raise HTTPException(422, "texts: a list of at least one text was expected")
    if len(texts) > MOST_TEXTS:
        raise HTTPException(413, f"texts: {len(texts):,} of them, and one request takes at most {MOST_TEXTS:,}")
    return [
        _item(item if pairs else {"text": item}, f"texts[{i}]", pairs=pairs) for i, item in enumerate(texts)
    ], False


def _item(found: object, place: str, *, pairs: bool) -> str:
    if not pairs:
        assert isinstance(found, dict)
        return _text(found["text"], place or "text")
    if not isinstance(found, dict) or found.keys() != {"text", "second"}:
        raise HTTPException(422, f'{place}: a pair was expected: {{"text": "...", "second": "..."}}')
    dot = f"{place}." if place else ""
    return join(_text(found["text"], f"{dot}text"), _text(found["second"], f"{dot}second"))


def _text(found: object, place: str) -> str:
    if not isinstance(found, str):
        raise HTTPException(422, f"{place}: a text was expected, not {_kind(found)}")
    if not found.strip():
        raise HTTPException(422, f"{place}: it is empty")
    try:
        found.encode()
    except UnicodeEncodeError:
        raise HTTPException(422, f"{place}: it holds half of a surrogate pair, which is no text") from None
    return found


def _kind(found: object) -> str:
    if found is None:
        return "null"
    kinds = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return kinds[type(found)]


class _Bodies:
    """All bodies that are held at the moment, in bytes."""

    def __init__(self) -> None:
        self.held = 0

    def kept(self) -> _Body:
        return _Body(self)


class _Body:
    """One of them, from its first byte until its answer is known."""

    def __init__(self, bodies: _Bodies) -> None:
        self._bodies, self._size = bodies, 0

    def __enter__(self) -> _Body:
        return self

    def __exit__(self, *_: object) -> None:
        self._bodies.held -= self._size

    async def read(self, request: Request) -> bytes:
        """The whole body. Raises HTTPException where it is too long or too slow, Busy where too much is held."""
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > BODY_BYTES:
            raise _too_long()
        parts = bytearray()
        try:
            async with asyncio.timeout(BODY_S):
                async for part in request.stream():
                    self._hold(len(part))
                    parts += part
        except TimeoutError:
            raise HTTPException(408, f"the body took longer than {BODY_S:g} s") from None
        return bytes(parts)

    def _hold(self, size: int) -> None:
        self._size += size
        self._bodies.held += size
        if self._size > BODY_BYTES:
            raise _too_long()
        if self._bodies.held > HELD_BYTES:
            raise HTTPException(503, "too much is asked at the same time; try again in 1 s", {"Retry-After": "1"})


def _too_long() -> HTTPException:
    return HTTPException(413, f"the body is longer than {BODY_BYTES:,} bytes; send fewer texts at a time")


# What is answered -------------------------------------------------------------------------------------------------


def later(said: str, wait_s: int) -> Response:
    """No room now."""
    reply = answer({"error": said}, 503)
    reply.headers["Retry-After"] = str(wait_s)
    return reply


async def failed(request: Request, error: Exception) -> Response:
    """A request that makes no sense."""
    assert isinstance(error, HTTPException)
    said = (
        f"{request.method} {request.url.path}: there is {WAYS}" if error.status_code in (404, 405) else error.detail
    )
    reply = answer({"error": said}, error.status_code)
    reply.headers.update(error.headers or {})
    return reply


async def broken(request: Request, error: Exception) -> Response:
    """A bug; the traceback is in the server's terminal."""
    return answer({"error": f"the server failed on this ({type(error).__name__}); its terminal says more"}, 500)
