"""Serving the page: the address, Ctrl-C, and every reason why it cannot be had."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import urllib.request
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from sqlalchemy import event

from agent.errors import StoreError, UserError
from agent.job import Job
from agent.review.rehearsal import rehearse
from agent.review.serve import serve
from agent.store import Store
from agent.tasks import Task
from agent.web import address, bound, hosts, is_loopback
from tests.review.scenes import news

CHECKOUT = Path(__file__).resolve().parents[2]

SERVER = """
    import sys
    from pathlib import Path
    from agent.review.serve import serve
    from tests.review.scenes import news
    made = news(Path(sys.argv[1]), 2)
    serve(*made.parts, "ada", port=0)
    print("ended", flush=True)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server in a process of its own, and its address."""
    command = [sys.executable, "-c", textwrap.dedent(SERVER), str(tmp_path)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
        env=os.environ | {"PYTHONPATH": "."},
    ) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found, process.communicate(timeout=10)
        yield process, found[0]
        if process.poll() is None:
            process.kill()


def test_the_printed_address_serves_the_page_and_ctrl_c_ends_it_without_a_traceback(server: Any) -> None:
    process, url = server
    with urllib.request.urlopen(url, timeout=20) as reply:
        assert b"news" in reply.read()
        assert "uvicorn" not in str(reply.headers).lower()
    with urllib.request.urlopen(f"{url}api/items", timeout=20) as reply:
        assert len(json.load(reply)["items"]) == 2
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert out.endswith("ended\n")
    assert err == ""


def test_it_listens_on_this_machine_alone(server: Any) -> None:
    _, url = server
    assert url.startswith("http://127.0.0.1:")


def test_a_port_in_use_names_the_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port} of 127.0.0.1 is in use: .*--port {port % 65535 + 1}"):
            serve(*news(tmp_path, 1).parts, "ada", port=port)


def test_nobody_is_let_in_before_all_is_ready(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = news(tmp_path, 3)
    before, reviews = made.state(), made.store.reviews("news")
    asked: list[int] = []

    def ask(*_: object, **__: object) -> None:
        with socket.socket() as client:
            asked.append(client.connect_ex(("127.0.0.1", port)))

    def ready(store: Store, job: Job, task: Task, connections: int) -> None:
        rehearse(store, job, task, connections)
        ask()

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setattr("agent.review.serve.rehearse", ready)
    monkeypatch.setattr("uvicorn.Server.run", ask)
    serve(*made.parts, "ada", port=port)
    assert asked == [errno.ECONNREFUSED, 0]
    assert (made.state(), made.store.reviews("news")) == (before, reviews), "a rehearsal leaves nothing"


def test_a_rehearsal_gets_every_connection_ready(tmp_path: Path) -> None:
    made = news(tmp_path, 3)
    made.store.close()
    opened: list[object] = []
    event.listen(made.store._engine, "connect", lambda connection, _: opened.append(connection))
    rehearse(*made.parts, connections=3)
    assert len(opened) == 3


def test_a_rehearsal_waits_for_a_store_that_is_locked_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = news(tmp_path, 3)
    tried: list[str] = []

    def locked(_: Store, job: str, **__: object) -> None:
        tried.append(job)
        raise StoreError("the database is locked for more than 30 s")

    with monkeypatch.context() as here:
        here.setattr(Store, "transaction", locked)
        rehearse(*made.parts, connections=3)
    assert tried == ["news"]


def test_a_task_of_ones_own_that_fails_does_not_keep_the_server_from_starting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = news(tmp_path, 3)
    before = made.state()

    def fail(*_: object) -> None:
        raise KeyError("a bug in a task of one's own")

    monkeypatch.setattr(type(made.task), "read", fail)
    rehearse(*made.parts)
    assert (made.state(), made.store.reviews("news")) == (before, [])


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_cannot_be_is_said(port: int) -> None:
    with pytest.raises(UserError, match="ports go from 0"):
        bound("127.0.0.1", port)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EACCES, "above 1023"),
        (errno.EADDRNOTAVAIL, "no address of this machine"),
        (errno.EPERM, "cannot listen"),
    ],
)
def test_other_reasons_are_said_in_words(monkeypatch: pytest.MonkeyPatch, number: int, said: str) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(UserError, match=said):
        bound("127.0.0.1", 80)


def test_an_unknown_host_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(UserError, match=r"host 'no\.such\.host' is not known"):
        bound("no.such.host", 0)


@pytest.mark.parametrize("person", ["", "  ", "a\nb", "\udcff"])
def test_a_person_needs_a_name(tmp_path: Path, person: str) -> None:
    with pytest.raises(UserError, match="who reviews"):
        serve(*news(tmp_path, 1).parts, person)


def test_every_address_of_the_machine_answers_to_any_name() -> None:
    with socket.socket() as sock:
        sock.bind(("0.0.0.0", 0))
        assert not is_loopback(sock)
        assert hosts(sock, "0.0.0.0") is None
        assert address(sock, "0.0.0.0") == f"http://{socket.gethostname()}:{sock.getsockname()[1]}/"


def test_other_machines_are_served_only_where_somebody_has_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.review.serve.is_loopback", lambda _: False)
    with pytest.raises(UserError, match=r"nobody has a token yet.*labelwright reviewers add"):
        serve(*news(tmp_path, 1).parts, "ada", port=0)


def test_a_loopback_address_answers_to_the_names_of_this_machine() -> None:
    with bound("localhost", 0) as sock:
        assert is_loopback(sock)
        assert hosts(sock, "localhost") == frozenset({"127.0.0.1", "localhost", "[::1]"})


def test_the_browser_is_opened_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    class Quick:
        """A server that ends at once, as after Ctrl-C."""

        def __init__(self, config: object) -> None: ...

        def run(self, sockets: list[socket.socket]) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(uvicorn, "Server", Quick)
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setattr(threading.Thread, "start", lambda thread: thread.run())
    serve(*news(tmp_path, 1).parts, "ada", port=0, open_browser=True)
    assert len(opened) == 1
    assert opened[0].startswith("http://127.0.0.1:")
