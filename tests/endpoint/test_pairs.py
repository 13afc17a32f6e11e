"""Pairs over HTTP: both texts by name."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.testclient import TestClient

from agent.distill import Model
from agent.endpoint.app import create_app
from agent.pairing import join


@pytest.fixture
def paired(model: Model, pool: ThreadPoolExecutor) -> TestClient:
    reads = Model(model.network)
    reads.columns = ("premise", "hypothesis")
    return TestClient(create_app(reads, pool))


def test_a_pair_is_answered(paired: TestClient, model: Model) -> None:
    one, other = {"text": "the cat", "second": "a saw"}, {"text": "soup", "second": "rice"}
    with paired as client:
        assert client.post("/predict", json=one).json() == model.told([join("the cat", "a saw")])[0]
        many = client.post("/predict", json={"texts": [one, other]}).json()["predictions"]
    assert [p["label"] for p in many] == [
        p["label"] for p in model.told([join("the cat", "a saw"), join("soup", "rice")])
    ]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"text": "alone"}, 'a JSON object was expected: {"text": "...", "second": "..."}'),
        ({"texts": ["alone"]}, "texts[0]: a pair was expected"),
        ({"texts": [{"text": "a", "second": 3}]}, "texts[0].second: a text was expected, not a number"),
        ({"text": "a", "second": " "}, "second: it is empty"),
    ],
)
def test_half_a_pair_is_none(paired: TestClient, body: object, said: str) -> None:
    with paired as client:
        reply = client.post("/predict", json=body)
    assert reply.status_code == 422
    assert said in reply.json()["error"]
