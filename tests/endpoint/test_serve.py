"""The command itself: a process that answers, lives through what clients do, and ends at Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.distill import Model, write_onnx
from agent.endpoint.serve import TOKEN, serve
from agent.errors import ModelError, UserError

CHECKOUT = Path(__file__).resolve().parents[2]


@contextmanager
def served(folder: Path, *words: str, **env: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`labelwright serve` in a process of its own, and its address."""
    command = [sys.executable, "-m", "agent", "serve", str(folder), "--port", "0", *words]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
        env=os.environ | {"PYTHONPATH": "."} | env,
    ) as process:
        assert process.stdout is not None
        found = re.search(r"(http://\S+/)predict", process.stdout.readline())
        try:
            assert found, process.communicate(timeout=10)
            yield process, found[1]
        finally:
            process.kill()


def ask(url: str, text: str) -> str:
    request = urllib.request.Request(f"{url}predict", json.dumps({"text": text}).encode())
    with urllib.request.urlopen(request, timeout=20) as reply:
        return str(json.load(reply)["label"])


def raw(url: str, sent: bytes, *, hear: bool = True) -> bytes:
    """Bytes to the server, and what it says to them; or hang up at once."""
    where = urlsplit(url)
    with socket.create_connection((where.hostname, where.port), timeout=20) as sock:
        sock.sendall(sent)
        return sock.recv(4096) if hear else b""


def test_it_lives_through_what_clients_do_and_ctrl_c_ends_it(model_folder: Path, model: Model) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"
    with served(model_folder) as (process, url):
        assert url.startswith("http://127.0.0.1:")
        assert ask(url, "the cat") == model.predict(["the cat"]).values[0]
        for _ in range(20):
            raw(url, head + b'Content-Length: 500\r\n\r\n{"text', hear=False)
            raw(url, head + b"Content-Length: 14\r\n\r\n" + b'{"text": "dog"}'[:14], hear=False)
        assert b"400" in raw(url, b"\x16\x03\x01 not http \x00\r\n\r\n")
        assert b"413" in raw(url, head + b"Content-Length: 99999999999\r\n\r\n")
        endless = (b"100000\r\n" + b" " * 0x100000 + b"\r\n") * 10  # and no last chunk
        assert b"413" in raw(url, head + b"Transfer-Encoding: chunked\r\n\r\n" + endless)
        assert b"422" in raw(url, head + b"Content-Length: 2\r\n\r\n{}")
        assert ask(url, "the saw") == model.predict(["the saw"]).values[0]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert (process.returncode, "Traceback" in err) == (0, False)


def test_it_runs_on_onnxruntime_and_asks_for_the_token(model_folder: Path, tmp_path: Path, model: Model) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    for file in model_folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    write_onnx(folder)
    with served(folder, "--onnx", **{TOKEN: "s3cret"}) as (process, url):
        with urllib.request.urlopen(f"{url}health", timeout=20) as reply:
            assert json.load(reply)["runtime"] == "onnx"
        assert b"401" in raw(url, b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        request = urllib.request.Request(f"{url}predict", b'{"text": "the cat"}', {"Authorization": "Bearer s3cret"})
        with urllib.request.urlopen(request, timeout=20) as reply:
            assert json.load(reply)["label"] == model.predict(["the cat"]).values[0]
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert f"asks for the token in {TOKEN}" in process.stdout.read()
        assert process.wait(timeout=30) == 0


def test_other_machines_are_served_only_with_a_token(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.endpoint.serve.is_loopback", lambda _: False)
    monkeypatch.delenv(TOKEN, raising=False)
    with pytest.raises(UserError, match=rf"other machines can reach 127\.0\.0\.1: put a token into {TOKEN}"):
        serve(model_folder, port=0)
    monkeypatch.setenv(TOKEN, "two words")
    with pytest.raises(UserError, match="without blanks"):
        serve(model_folder, port=0)


def test_a_port_in_use_is_told_before_the_model_is_loaded(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} of 127.0.0.1 is in use"):
            serve(tmp_path, port=port)


def test_no_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model folder"):
        serve(tmp_path, port=0)
    assert CliRunner().invoke(app, ["serve", "--help"]).exit_code == 0
