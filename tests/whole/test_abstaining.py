"""A whole job whose model abstains: in files, over HTTP, and on its card, held against gold."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.testclient import TestClient

from agent.distill import abstains_below, load_model
from agent.endpoint.app import create_app
from tests.whole.jobs import DESCRIPTIONS, sentences, shown_job
from tests.whole.real import Make

BELOW = 0.9


@pytest.mark.slow
def test_a_model_that_abstains_goes_through_a_whole_job(make: Make) -> None:
    made = sentences(200)
    settings = shown_job("classification") | {"task": {"labels": DESCRIPTIONS}, "distil": {"abstain_below": BELOW}}
    real = make(settings, dict(made[:140]), dict(made[140:]), errors=0.1)
    real.command("run")
    handed = real.hand_over()
    assert abstains_below(handed.model) == BELOW
    for row in handed.predicted:
        assert row["abstained"] == (row["confidence"] < BELOW)
        assert (row["label"] is None) == row["abstained"]

    about = json.loads((handed.model / "labelwright.json").read_text(encoding="utf-8"))["card"]
    on_gold = {f["name"]: f for f in about["figures"] if f["measured_on"] == "gold"}
    answers = [(row["label"], real.gold[row["text"]]) for row in handed.predicted if not row["abstained"]]
    assert on_gold["coverage"]["value"] == pytest.approx(len(answers) / len(real.gold))
    assert on_gold["accuracy"]["n"] == len(real.gold), "of all texts, as if it answered always"
    if answers:
        right = sum(said == true for said, true in answers) / len(answers)
        assert on_gold["accuracy of what is answered"]["value"] == pytest.approx(right)

    with ThreadPoolExecutor(1) as pool:
        model = load_model(handed.model)
        client = TestClient(create_app(model, pool), base_url="http://127.0.0.1")
        texts = list(real.gold)
        told = client.post("/predict", json={"texts": texts}).json()["predictions"]
    assert [row["abstained"] for row in told] == [row["abstained"] for row in handed.predicted]
    assert all((row["label"] is None) == row["abstained"] and len(row["probabilities"]) == 3 for row in told)
