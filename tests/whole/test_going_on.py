"""`labelwright distil job.yaml --from MODEL_FOLDER`, as docs/distilling.md has it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.distill import distil, made_from
from agent.distilling import distil_model
from agent.job import DistilSettings, Job
from agent.loop import run
from agent.student.encoder import Encoder
from agent.workbench import Workbench
from tests.distill.making import examples, make_encoder
from tests.servers.scripted import ScriptedServer
from tests.whole.jobs import labelwright, truth, write_job

PAGE = Path(__file__).resolve().parents[2] / "docs" / "distilling.md"


def documented() -> list[str]:
    found = re.search(r"^    labelwright (distil .*--from .*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    return shlex.split(found[1])


def test_the_documented_command_goes_on_from_last_years_model(
    tmp_path: Path,
    serve_gold: Callable[..., ScriptedServer],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changes = {"oracle__base_url": serve_gold(dict(truth())).url, "people__threshold": 0.0, "stop__max_rounds": 1}
    path = write_job(tmp_path / "job", distil__enabled=False, **changes)
    run(Job.load(path))
    monkeypatch.chdir(path.parent)
    words, known = documented(), examples(30, names=("animal", "tool"), topics=("animal", "tool"))
    old, model = Path(words[-1]), path.parent / "out" / "model"
    tiny = Encoder.load(str(make_encoder(tmp_path / "tiny")))
    distil(known, DistilSettings(epochs=1), encoder=tiny, folder=old)

    code, said = labelwright(monkeypatch, capsys, *words)
    assert code == 0, said
    assert "classes kept: tool, animal; new classes: fruit" in said
    weights, hashed = (model / "model.safetensors").read_bytes(), made_from(model)
    card = (model / "README.md").read_text(encoding="utf-8")
    assert "| went on from | model (" in card
    assert re.search(r"\| texts replayed \| [1-9]\d* \|", card), card
    assert "| gold |" in card

    for again in (words, [*words[:-1], "out/model"]):
        code, said = labelwright(monkeypatch, capsys, *again)
        assert code == 0, said
        assert "already" in said
        assert (model / "model.safetensors").read_bytes() == weights

    with Workbench(Job.load(path)) as bench:
        distil_model(bench)
    assert made_from(model) != hashed, "the labels are the same, but it began with the encoder"


def test_a_model_goes_on_alone_and_for_tasks_with_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = {"oracle__base_url": "http://127.0.0.1:9/v1"}
    path = write_job(tmp_path / "classes", **there)
    code, said = labelwright(monkeypatch, capsys, "distil", path, "--from", tmp_path, "--compare", "A", "B")
    assert (code, "--from goes on from one model" in said) == (2, True), said
    path = write_job(
        tmp_path / "numbers",
        task={"kind": "regression", "scale": {"low": 1, "high": 5}},
        data__seed=None,
        data__gold=None,
        **there,
    )
    code, said = labelwright(monkeypatch, capsys, "distil", path, "--from", tmp_path)
    assert (code, "`kind: regression`" in said, "leave --from out" in said) == (2, True, True), said
