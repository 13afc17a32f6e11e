"""What a client of the endpoint sees: the same as `labelwright predict` writes, or one sentence."""

from __future__ import annotations

import json
import re
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from agent.distill import Model, predict_file
from agent.endpoint.app import BODY_BYTES, MOST_TEXTS, create_app
from agent.endpoint.door import Rule
from agent.web import LOOPBACK
from tests.distill.making import NAMES, sentences

TEXTS = [*sentences(20, seed=4)[0], "é ☃ 日本", "nul\x00 inside", "cat " * 500]
JSON = {"Content-Type": "application/json"}


def written(model: Model, folder: Path) -> list[dict[str, Any]]:
    """What `labelwright predict` writes."""
    source, target = folder / "in.jsonl", folder / "out.jsonl"
    source.write_text("".join(json.dumps({"text": t}) + "\n" for t in TEXTS), encoding="utf-8")
    predict_file(model, source, target)
    rows = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    return [
        {"label": r["label"], "confidence": r["confidence"], "probabilities": {n: r[f"p_{n}"] for n in NAMES}}
        for r in rows
    ]


def near(found: dict[str, Any], expected: dict[str, Any]) -> bool:
    chances = pytest.approx(expected["probabilities"], abs=2e-6)
    sure = pytest.approx(expected["confidence"], abs=2e-6)
    return (found["label"], found["confidence"], found["probabilities"]) == (expected["label"], sure, chances)


def test_it_says_what_predict_writes(client: TestClient, model: Model, tmp_path: Path) -> None:
    expected = written(model, tmp_path)
    found = client.post("/predict", json={"texts": TEXTS}).json()["predictions"]
    assert all(near(f, e) for f, e in zip(found, expected, strict=True))
    one = client.post("/predict", json={"text": TEXTS[0]})
    assert one.status_code == 200
    assert near(one.json(), expected[0])


def test_several_labels_a_text_are_a_list(model: Model, pool: ThreadPoolExecutor) -> None:
    many = Model(model.network)
    many.multilabel = True
    with TestClient(create_app(many, pool)) as client:
        found = client.post("/predict", json={"text": "the cat"}).json()
    assert found["labels"] == list(many.predict(["the cat"]).values[0])


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "not JSON"),
        (b"{", 400, "not JSON"),
        (b"\xff\xfe\x00", 400, "not JSON"),
        (b"[" * 100_000, 400, "not JSON: nested too deeply"),
        (b'{"text": ' + b"9" * 5000 + b"}", 400, "not JSON"),
        (b"[]", 422, "a JSON object was expected"),
        (b'"a cat"', 422, "a JSON object was expected"),
        (b"{}", 422, "a JSON object was expected"),
        (b'{"text": "a", "texts": ["b"]}', 422, "a JSON object was expected"),
        (b'{"txt": "a"}', 422, "a JSON object was expected"),
        (b'{"text": null}', 422, "text: a text was expected, not null"),
        (b'{"text": 3}', 422, "text: a text was expected, not a number"),
        (b'{"text": NaN}', 422, "text: a text was expected, not a number"),
        (b'{"text": true}', 422, "text: a text was expected, not true or false"),
        (b'{"text": ["a"]}', 422, "text: a text was expected, not a list"),
        (b'{"text": {"a": 1}}', 422, "text: a text was expected, not an object"),
        (b'{"text": " \\n"}', 422, "text: it is empty"),
        (b'{"text": "\\ud800"}', 422, "half of a surrogate pair"),
        (b'{"text": "\xed\xa0\x80"}', 422, "half of a surrogate pair"),
        (b'{"texts": "a"}', 422, "texts: a list"),
        (b'{"texts": []}', 422, "texts: a list of at least one"),
        (b'{"texts": ["a", ""]}', 422, r"texts\[1\]: it is empty"),
        (b'{"texts": ["a", 1]}', 422, r"texts\[1\]: a text was expected"),
        (json.dumps({"texts": ["a"] * (MOST_TEXTS + 1)}).encode(), 413, "1,001 of them"),
        (b" " * (BODY_BYTES + 1), 413, "longer than 10,000,000 bytes"),
    ],
)
def test_what_makes_no_sense_is_told_and_the_next_is_answered(
    client: TestClient, body: bytes, status: int, said: str
) -> None:
    reply = client.post("/predict", content=body, headers=JSON)
    assert reply.status_code == status
    assert re.search(said, reply.json()["error"])
    assert client.post("/predict", json={"text": "the cat"}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/", 404), ("GET", "/predict", 405), ("PUT", "/x", 404)]
)
def test_another_address_says_what_there_is(client: TestClient, method: str, path: str, status: int) -> None:
    reply = client.request(method, path)
    assert reply.status_code == status
    assert "POST /predict" in reply.json()["error"]


def test_health_and_metrics(model: Model, pool: ThreadPoolExecutor) -> None:
    with TestClient(create_app(model, pool, about={"model": "topics"})) as client:
        assert client.get("/health").json() == {
            "status": "ok", "labels": list(NAMES), "multilabel": False, "model": "topics",
        }  # fmt: skip
        client.post("/predict", json={"texts": ["a", "b", "c"]})
        client.post("/predict", json={"text": ""})
        reply = client.get("/metrics")
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = dict(line.rsplit(" ", 1) for line in reply.text.splitlines() if not line.startswith("#"))
    assert found['labelwright_requests_total{status="200"}'] == "2"
    assert found['labelwright_requests_total{status="422"}'] == "1"
    assert found["labelwright_texts_total"] == "3"
    assert found['labelwright_batch_texts_bucket{le="2"}'] == "0"
    assert found['labelwright_batch_texts_bucket{le="4"}'] == "1"
    assert found['labelwright_batch_seconds_bucket{le="+Inf"}'] == found["labelwright_batch_seconds_count"] == "1"
    assert float(found["labelwright_batch_seconds_sum"]) > 0
    assert found["labelwright_waiting_texts"] == "0"
    assert {line.split()[2] for line in reply.text.splitlines() if line.startswith("# TYPE")} == {
        re.sub(r"(\{|_bucket|_sum|_count).*", "", name) for name in found
    }


class Busy(Executor):
    """Never begins."""

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        return Future()


def test_beyond_the_queue_one_is_told_to_come_later(model: Model) -> None:
    with TestClient(create_app(model, Busy(), most_waiting=2)) as client:
        reply = client.post("/predict", json={"texts": ["a", "b", "c"]})
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
    assert "try again in 1 s" in reply.json()["error"]


def test_a_bug_is_an_answer_too_and_the_server_lives_on(
    model: Model, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TestClient(create_app(model, pool), raise_server_exceptions=False) as client:
        with monkeypatch.context() as here:
            here.setattr(model.network, "logits", lambda _: 1 / 0)
            reply = client.post("/predict", json={"text": "a"})
        assert (reply.status_code, "ZeroDivisionError" in reply.json()["error"]) == (500, True)
        assert client.post("/predict", json={"text": "a"}).status_code == 200
        assert 'labelwright_requests_total{status="500"} 1' in client.get("/metrics").text


def test_with_a_token_only_who_shows_it_is_answered(model: Model, pool: ThreadPoolExecutor) -> None:
    with TestClient(create_app(model, pool, rule=Rule(token="s3cret"))) as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "s3cret"}, {"Authorization": "é"}):
            raw = {name: value.encode() for name, value in headers.items()}
            reply = client.post("/predict", json={"text": "a"}, headers=raw)
            assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
            assert client.get("/metrics", headers=raw).status_code == 401
        right = {"Authorization": "Bearer s3cret"}
        assert client.post("/predict", json={"text": "a"}, headers=right).status_code == 200
        assert client.get("/health").status_code == 200
        assert 'labelwright_requests_total{status="401"} 8' in client.get("/metrics", headers=right).text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 400),
        ({"Host": "127.0.0.1:x"}, 400),
        ({"Host": "localhost", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "localhost:8766"}, 200),
        ({"Host": "[::1]:8766"}, 200),
    ],
)
def test_other_web_sites_cannot_ask(
    model: Model, pool: ThreadPoolExecutor, headers: dict[str, str], status: int
) -> None:
    with TestClient(create_app(model, pool, rule=Rule(hosts=LOOPBACK))) as client:
        assert client.post("/predict", json={"text": "a"}, headers=headers).status_code == status
