"""A whole job whose labels are paths: asked by group, measured at each level, predicted with each group's share."""

from __future__ import annotations

import json

import pytest

from agent.records import Source
from tests.whole.jobs import sentences, shown_job
from tests.whole.real import Make

PATHS = {"fruit": "living/fruit", "animal": "living/animal", "tool": "thing/tool"}


@pytest.mark.slow
def test_labels_that_are_paths_go_through_a_whole_job(make: Make) -> None:
    made = [(text, PATHS[label]) for text, label in sentences(200)]
    labels = {"living/fruit": "sweet", "thing/tool": "to work with", "living/animal": "it moves"}
    settings = shown_job("classification") | {"task": {"labels": labels}}
    real = make(settings, dict(made[:140]), dict(made[140:]), errors=0.15)
    said = real.command("run")
    assert "at level 1" in said
    kept = real.quality(Source.ORACLE)
    assert kept["accuracy"] <= kept["accuracy_level_1"] < 1

    real.review(3)
    handed = real.hand_over()
    models = {m["name"]: m for m in handed.report["models"]}
    for name in ("oracle", "distilled"):
        (level,) = models[name]["levels"]
        assert level["metric"] == "accuracy_level_1"
        assert models[name]["accuracy"]["value"] <= level["value"]
        assert level["lo"] <= level["value"] <= level["hi"]
    assert handed.report["confusion"]["names"] == ["living/fruit", "living/animal", "thing/tool"]
    page = (real.job.output_folder / "report" / "report.html").read_text(encoding="utf-8")
    assert "At each level" in page
    card = (handed.model / "README.md").read_text(encoding="utf-8")
    assert "accuracy\\_level\\_1" in card
    for row in handed.predicted:
        chances = [row["p_living/fruit"], row["p_living/animal"]]
        assert row["p_living/*"] == pytest.approx(sum(chances), abs=1e-5)
        assert row["p_living/*"] + row["p_thing/*"] == pytest.approx(1, abs=1e-5)
    again = json.loads((real.job.output_folder / "report" / "report.json").read_text(encoding="utf-8"))
    assert again["models"] == handed.report["models"]
