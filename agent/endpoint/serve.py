"""Serves a distilled model from this process until Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import uvicorn

from agent.distill import Labeller, Model, Runtime, load_model, model_key, read_reference
from agent.endpoint.app import create_app
from agent.endpoint.door import Rule
from agent.endpoint.keeper import Keeper
from agent.errors import UserError
from agent.stream import About, Log
from agent.web import address, bound, hosts, is_loopback, listen, quiet

TOKEN = "LABELWRIGHT_TOKEN"  # noqa: S105  (the name of the variable)
PORT = 8766
MANY = 2048
"""Connections that may wait to be let in: a client for each worker of a large fleet, all at once."""


@dataclass(frozen=True)
class Keeping:
    """Where what comes in is kept, and how much of it a day."""

    folder: Path
    a_day: int = 100


def serve(
    folder: str | Path,
    host: str = "127.0.0.1",
    port: int = PORT,
    runtime: Runtime = Runtime.TORCH,
    keeping: Keeping | None = None,
) -> None:
    """Load a model, print its address, and return after Ctrl-C. Port 0 takes any free one.

    Whoever asks shows the token of the environment variable `TOKEN`, where that is set. Raises UserError where it is
    not and other machines can reach the address, or the address cannot be had; ModelError, ExtraMissing; DataError
    where nothing can be kept.
    """
    with (
        contextlib.closing(bound(host, port)) as sock,
        contextlib.ExitStack() as after,
        ThreadPoolExecutor(1) as pool,
    ):
        token = _token(needed=not is_loopback(sock), host=host)
        model = load_model(folder, runtime)
        model.told(["the first one takes longer"])
        name = Path(folder).resolve().name
        rule = Rule(token, None if token else hosts(sock, host))
        keeper = after.enter_context(kept(Path(folder), model, runtime, keeping)) if keeping else None
        app = create_app(model, pool, about={"model": name, "runtime": runtime.value}, rule=rule, keeper=keeper)
        listen(sock, host, port, MANY)
        url = address(sock, host)
        print(f"{name}, {len(model.names)} labels, on {runtime}: {url}predict", flush=True)
        print(f"{url}health and {url}metrics say how it is. Ctrl-C ends it.", flush=True)
        if keeping:
            print(f"{keeping.folder} keeps at most {keeping.a_day:,} of the texts a day, as they are.", flush=True)
        if token:
            print(f"It asks for the token in {TOKEN} (Authorization: Bearer TOKEN).", flush=True)
        if not is_loopback(sock):
            print("Other machines can reach this address, unencrypted: put it behind HTTPS beyond your own network.",
                  file=sys.stderr)  # fmt: skip
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again once everything is closed
            uvicorn.Server(quiet(app)).run(sockets=[sock])


@contextlib.contextmanager
def kept(folder: Path, model: Labeller, runtime: Runtime, keeping: Keeping) -> Iterator[Keeper]:
    """Answers with the model, and keeps what it sees until the block ends. Raises UserError, DataError."""
    if not isinstance(model, Model):
        raise UserError(f"{folder}: --log keeps texts for classifiers alone, and this is none; leave it out")
    reference = read_reference(folder, runtime, multilabel=model.multilabel, threshold=model.label_threshold)
    key = model_key(folder, runtime)
    about = About(folder.resolve().name, key, model.names, model.multilabel, model.columns, reference)
    keeper = Keeper(model, Log(keeping.folder, about, keeping.a_day), partial(print, flush=True))
    with contextlib.closing(keeper):
        yield keeper


def _token(*, needed: bool, host: str) -> str | None:
    """Raises UserError where there is none and it is needed, or it can stand in no header."""
    token = os.environ.get(TOKEN, "")
    if not token:
        if needed:
            raise UserError(
                f"other machines can reach {host}: put a token into {TOKEN} first, such as "
                f"export {TOKEN}=$(python -c 'import secrets; print(secrets.token_urlsafe(24))'); "
                "whoever asks sends it as Authorization: Bearer TOKEN"
            )
        return None
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise UserError(f"{TOKEN}: letters, digits and marks of ASCII without blanks were expected")
    return token
