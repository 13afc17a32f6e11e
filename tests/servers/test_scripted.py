"""The scripted server's own word can be trusted: it is wrong as often as it says, and logs before it answers."""

from __future__ import annotations

import http.client
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.servers.model import Form, ScriptedModel
from tests.servers.scripted import Faults, ScriptedServer

LABELS = ("card_arrival", "card_lost", "refund")
GOLD = {f"text {i}": LABELS[i % 3] for i in range(600)}
Serve = Callable[..., ScriptedServer]


def post(url: str, text: str, **more: Any) -> tuple[int, dict[str, Any]]:
    host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    messages = [
        {"role": "system", "content": "label it"},
        {"role": "user", "content": f"<text>\n{text}\n</text>\nLabel:"},
    ]
    body = {"model": "scripted", "messages": messages, "structured_outputs": {"choice": LABELS}} | more
    connection.request("POST", "/v1/chat/completions", json.dumps(body))
    reply = connection.getresponse()
    found = reply.status, json.loads(reply.read())
    connection.close()
    return found


def test_it_is_wrong_about_the_share_it_was_told_and_less_sure_of_it() -> None:
    model = ScriptedModel(GOLD, errors=0.1, seed=3)
    wrong = [t for t in GOLD if model.is_wrong_about(t)]
    assert 0.06 * len(GOLD) < len(wrong) < 0.14 * len(GOLD)
    sure = {t: model.sureness(t) for t in GOLD}
    right = [p for t, p in sure.items() if t not in wrong]
    assert sum(right) / len(right) > sum(sure[t] for t in wrong) / len(wrong) + 0.1
    form = Form("choice", LABELS)
    assert [t for t in GOLD if model.says(t, form)[0] != GOLD[t]] == wrong


@pytest.mark.parametrize("text", ["text 0", "text 1", "text 2"])
def test_its_tokens_tell_exactly_what_it_believes(text: str) -> None:
    model = ScriptedModel(GOLD, seed=3)
    content, tokens = model.says(text, Form("choice", LABELS))
    assert "".join(t[0] for t in tokens) == content
    assert math.exp(sum(t[1] for t in tokens)) == pytest.approx(model.beliefs(text, LABELS)[content])
    for _, _, top in tokens:
        assert sum(math.exp(p) for _, p in top) == pytest.approx(1.0)


def test_a_request_is_on_disk_before_it_is_answered(serve_gold: Serve, tmp_path: Path) -> None:
    server = serve_gold(GOLD, log=tmp_path / "log.jsonl")
    status, reply = post(server.url, "text 7")
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert status == 200
    assert reply["choices"][0]["message"]["content"] == GOLD["text 7"]
    assert [(r["text"], r["status"]) for r in rows] == [("text 7", 200)]
    assert rows[0]["prompt_tokens"] == reply["usage"]["prompt_tokens"] > 0


def test_failures_come_as_often_as_asked_and_pass_when_tried_again(serve_gold: Serve) -> None:
    server = serve_gold(GOLD, faults=Faults(share_503=0.2, share_429=0.2, retry_after_s=3))
    statuses = [post(server.url, f"text {i}")[0] for i in range(100)]
    assert {s: statuses.count(s) > 8 for s in set(statuses)} == {200: True, 429: True, 503: True}
    unlucky = f"text {statuses.index(503)}"
    assert 200 in [post(server.url, unlucky)[0] for _ in range(20)]


def test_a_longer_answer_than_allowed_is_cut_and_said_to_be(serve_gold: Serve) -> None:
    _, reply = post(serve_gold(GOLD).url, "text 0", max_completion_tokens=1)
    assert reply["choices"][0]["finish_reason"] == "length"
    assert reply["usage"]["completion_tokens"] == 1


def test_a_mapping_is_answered_as_it_stands_where_no_form_is_asked_for(serve_gold: Serve) -> None:
    server = serve_gold({"a text": {"labels": "refund"}})
    _, said = post(server.url, "a text", structured_outputs=None)
    assert json.loads(said["choices"][0]["message"]["content"]) == {"labels": "refund"}


def test_it_runs_as_a_command(tmp_path: Path) -> None:
    gold = tmp_path / "gold.jsonl"
    gold.write_text("".join(json.dumps({"text": t, "label": y}) + "\n" for t, y in GOLD.items()))
    command = [sys.executable, "-m", "tests.servers.scripted", "--gold", str(gold), "--log", str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            assert post(url, "text 5")[1]["choices"][0]["message"]["content"] == GOLD["text 5"]
        finally:
            process.terminate()
    assert len((tmp_path / "log").read_text().splitlines()) == 1
