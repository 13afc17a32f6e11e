"""The provider misbehaves as it was told, and its log has every charge before its client knows of it."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from tests.servers.charges import Prices, read_log
from tests.servers.faults import Window
from tests.servers.scripted import Faults, ScriptedServer

LABELS = ("card_arrival", "card_lost", "refund")
GOLD = {f"text {i}": LABELS[i % 3] for i in range(300)}
Serve = Callable[..., ScriptedServer]


def always(fault: str) -> Faults:
    share: dict[str, Any] = {f"share_{fault}": 1.0}
    found = Faults(**share)
    assert found.drawn(0.5) == fault
    return found


class Client:
    """One connection that is kept alive."""

    def __init__(self, server: ScriptedServer, timeout_s: float = 20) -> None:
        host, port = server.url.removeprefix("http://").removesuffix("/v1").split(":")
        self.connection = http.client.HTTPConnection(host, int(port), timeout=timeout_s)

    def send(self, text: str, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
        messages = [{"role": "user", "content": f"<text>\n{text}\n</text>\nLabel:"}]
        body = {"model": "scripted", "messages": messages, "structured_outputs": {"choice": LABELS}}
        sent = json.dumps(body | {"max_completion_tokens": 8})
        self.connection.request("POST", "/v1/chat/completions", sent, headers or {})
        return self.connection.getresponse()

    def ask(self, text: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
        with self.send(text, headers) as reply:
            assert reply.status == 200
            found: dict[str, Any] = json.loads(reply.read())
            return found

    def close(self) -> None:
        self.connection.close()


@pytest.fixture
def dial() -> Any:
    """Clients that hang up with the test."""
    dialled: list[Client] = []

    def start(server: ScriptedServer, **more: Any) -> Client:
        dialled.append(Client(server, **more))
        return dialled[-1]

    yield start
    for client in dialled:
        client.close()


def test_the_charge_is_the_tokens_at_the_prices_it_was_told(serve_gold: Serve, dial: Any, tmp_path: Path) -> None:
    prices = Prices("0.15", "2.5", cached_input="0.07")
    server = serve_gold(GOLD, prices=prices, faults=Faults(cached_share=0.5), log=tmp_path / "log")
    usage = dial(server).ask("text 4", {"X-Request-Id": "attempt 17"})["usage"]
    (row,) = read_log(tmp_path / "log")
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    exact = 0.15 * (usage["prompt_tokens"] - cached) + 0.07 * cached + 2.5 * usage["completion_tokens"]
    assert cached > 0
    assert exact <= row["charged"] < exact + 1
    assert (row["request_id"], row["kind"], row["fault"], row["cached_tokens"]) == (
        "attempt 17",
        "chat",
        None,
        cached,
    )


@pytest.mark.parametrize("fault", ["hang", "reset", "truncated"])
def test_what_is_charged_and_never_arrives_is_in_the_log(
    fault: str, serve_gold: Serve, dial: Any, tmp_path: Path
) -> None:
    server = serve_gold(GOLD, faults=always(fault), log=tmp_path / "log")
    client = dial(server, timeout_s=0.3)
    missing = {"hang": TimeoutError, "reset": ConnectionResetError, "truncated": http.client.IncompleteRead}
    with pytest.raises(missing[fault]):
        client.send("text 1").read()
    (row,) = read_log(tmp_path / "log")
    assert row["charged"] > 0
    assert (row["fault"], row["status"]) == (fault, 200 if fault == "truncated" else 0)


@pytest.mark.parametrize("fault", ["bad_json", "garbage", "no_usage", "charged_503"])
def test_what_is_charged_and_no_good_is_in_the_log(fault: str, serve_gold: Serve, dial: Any) -> None:
    server = serve_gold(GOLD, faults=always(fault))
    with dial(server).send("text 1") as reply:
        raw = reply.read()
    assert server.asked[0]["charged"] > 0
    assert reply.status == server.asked[0]["status"] == (503 if fault == "charged_503" else 200)
    if fault == "bad_json":
        with pytest.raises(json.JSONDecodeError):
            json.loads(raw)
    elif fault == "garbage":
        assert json.loads(raw)["choices"][0]["message"]["content"] not in LABELS
    elif fault == "no_usage":
        assert "usage" not in json.loads(raw)


def test_a_server_that_hangs_ends_the_silence_at_last(serve_gold: Serve, dial: Any) -> None:
    server = serve_gold(GOLD, faults=Faults(share_hang=1.0, hang_s=0.05))
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        dial(server).send("text 1")


def test_every_fault_comes_as_often_as_asked() -> None:
    faults = Faults(share_503=0.1, share_429=0.05, share_hang=0.05, share_reset=0.05, share_garbage=0.02)
    drawn = Counter(faults.drawn((i + 0.5) / 1000) for i in range(1000))
    assert drawn == {"503": 100, "429": 50, "hang": 50, "reset": 50, "garbage": 20, None: 730}


@pytest.mark.parametrize("date", [False, True])
def test_a_full_minute_is_refused_until_there_is_room(date: bool, serve_gold: Serve, dial: Any) -> None:
    faults = Faults(requests_per_minute=3, window_s=1.5, retry_after_date=date, skew_s=7200)
    server = serve_gold(GOLD, faults=faults)
    client = dial(server)
    for i in range(3):
        client.ask(f"text {i}")
    with client.send("text 3") as refused:
        refused.read()
    assert (refused.status, refused.headers["x-ratelimit-remaining-requests"]) == (429, "0")
    if date:
        wait_s = parsedate_to_datetime(refused.headers["Retry-After"]).timestamp() - time.time()
        assert 7190 < wait_s < 7210, "its clock is two hours ahead, and so is the date"
        return
    wait_s = float(refused.headers["Retry-After"])
    assert 0 < wait_s <= 1.5
    threading.Event().wait(wait_s + 0.01)  # as long as the server asked for
    client.ask("text 3")
    assert [r["charged"] > 0 for r in server.asked] == [True, True, True, False, True]


def test_a_window_says_exactly_when_there_is_room_again() -> None:
    window = Window(limit=10, seconds=60)
    for at, amount in ((0.0, 4), (10.0, 4), (20.0, 2)):
        assert window.wait_s(amount, at) == 0
        window.take(amount, at)
    assert (window.wait_s(1, 30.0), window.wait_s(4, 30.0), window.wait_s(5, 30.0)) == (30.0, 30.0, 40.0)
    assert window.wait_s(4, 60.0) == 0


def test_beyond_its_knee_requests_wait_and_beyond_its_queue_they_are_refused(serve_gold: Serve, dial: Any) -> None:
    server = serve_gold(GOLD, faults=Faults(workers=1, queue=1, latency_s=0.8, busy_status=429))
    statuses: list[int] = []

    def ask(i: int) -> None:
        with dial(server).send(f"text {i}") as reply:
            reply.read()
            statuses.append(reply.status)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(statuses) == {200: 2, 429: 2}
    assert statuses[:2] == [429, 429], "who is refused is refused at once"


def test_its_clock_can_be_wrong(serve_gold: Serve, dial: Any) -> None:
    server = serve_gold(GOLD, faults=Faults(skew_s=-86_400))
    with dial(server).send("text 1") as reply:
        created = json.loads(reply.read())["created"]
    dated = parsedate_to_datetime(reply.headers["Date"]).timestamp()
    assert abs(created - dated) <= 1
    assert -86_410 < dated - time.time() < -86_390


def test_a_request_may_come_in_pieces_and_chunks(serve_gold: Serve) -> None:
    server = serve_gold(GOLD)
    port = int(server.url.removesuffix("/v1").rsplit(":", 1)[1])
    body = json.dumps({"model": "scripted", "messages": [{"role": "user", "content": "hello"}]}).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:10], body[10:])) + b"0\r\n\r\n"
    raw = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        for i in range(0, len(raw), 25):
            connection.sendall(raw[i : i + 25])
        assert b"HTTP/1.1 200 OK" in connection.recv(65536)


@pytest.mark.parametrize("body", ["[]", "{", '{"model": "scripted"}', '{"messages": "hello"}'])
def test_what_is_no_chat_request_is_refused_and_not_charged(body: str, serve_gold: Serve, dial: Any) -> None:
    server = serve_gold(GOLD)
    connection = dial(server).connection
    connection.request("POST", "/v1/chat/completions", body)
    with connection.getresponse() as reply:
        assert reply.status == 400
    assert not server.asked


def test_it_serves_hundreds_at_once_and_logs_each(serve_gold: Serve, dial: Any, tmp_path: Path) -> None:
    server = serve_gold(GOLD, log=tmp_path / "log")

    def ask(k: int) -> None:
        client = dial(server)
        for i in range(5):
            client.ask(f"text {5 * k + i}")

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(r["text"] for r in read_log(tmp_path / "log")) == dict.fromkeys(GOLD, 1)
    assert server.asked == read_log(tmp_path / "log")
