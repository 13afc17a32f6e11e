"""Clients of `labelwright serve`: 32 that ask properly, and one that does everything wrong that clients do."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

CLIENTS = 32
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
DROPPED = b""
"""In the place of a status: the client hung up and heard none."""


@contextmanager
def served(folder: Path, *words: str) -> Iterator[str]:
    """`labelwright serve` in a process of its own, and its address."""
    command = [sys.executable, "-m", "agent", "serve", str(folder), "--port", "0", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"(http://\S+/)predict", process.stdout.readline())
        try:
            if found is None:
                raise RuntimeError("the endpoint did not start")
            yield found[1]
        finally:
            process.send_signal(signal.SIGINT)
            process.stdout.read()


async def ask_all(url: str, texts: Sequence[str]) -> tuple[list[dict[str, Any]], list[float], float]:
    """One request a text, so many clients at once: answers in the texts' order, seconds of each, and of all."""
    answers: list[dict[str, Any]] = [{} for _ in texts]
    seconds = [0.0 for _ in texts]
    todo = iter(range(len(texts)))

    async def client(session: aiohttp.ClientSession) -> None:
        for i in todo:
            began = time.perf_counter()
            async with session.post(f"{url}predict", json={"text": texts[i]}) as reply:
                answers[i] = {"status": reply.status} | await reply.json()
            seconds[i] = time.perf_counter() - began

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        began = time.perf_counter()
        await asyncio.gather(*(client(session) for _ in range(CLIENTS)))
        return answers, seconds, time.perf_counter() - began


def _post(body: bytes) -> bytes:
    return HEAD % len(body) + body


WRONG: tuple[tuple[bytes, bytes], ...] = (
    (_post(b"{"), b"400"),
    (_post(b""), b"400"),
    (_post(b"[" * 50_000), b"400"),
    (_post(b"\xff\xfe{}"), b"400"),
    (_post(b'{"text": 7}'), b"422"),
    (_post(b'{"text": ""}'), b"422"),
    (_post(b'{"texts": ["a", null]}'), b"422"),
    (_post(b'{"text": "\\ud800"}'), b"422"),
    (_post(b'{"nothing": 1}'), b"422"),
    (_post(json.dumps({"texts": ["a"] * 2000}).encode()), b"413"),
    (HEAD % 99_999_999_999, b"413"),
    (b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404"),
    (b"POST /predict HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n", b"400"),
    (b"\x16\x03\x01\x02\x00 not HTTP\r\n\r\n", b"400"),
    (HEAD % 500 + b'{"text": "half of', DROPPED),
    (_post(b'{"text": "whoever asked this does not wait for the answer"}'), DROPPED),
    (b"POST /predict HT", DROPPED),
)
"""What is sent, and the status that is due."""


async def do_wrong(url: str, times: int) -> int:
    """Send so many requests that make no sense, two at a time, and count those that were answered as is due."""
    where = urlsplit(url)
    todo = iter(range(times))
    right = 0

    async def client() -> None:
        nonlocal right
        for i in todo:
            sent, due = WRONG[i % len(WRONG)]
            reader, writer = await asyncio.open_connection(where.hostname, where.port)
            writer.write(sent)
            await writer.drain()
            heard = due if due == DROPPED else (await asyncio.wait_for(reader.readline(), 60)).split(b" ")[1]
            right += heard == due
            writer.close()

    await asyncio.gather(client(), client())
    return right
