"""`labelwright distil job.yaml --compare A B`: a table, and the model of the best."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.job import Job
from agent.loop import run
from tests.distill.making import make_encoder
from tests.servers.scripted import ScriptedServer
from tests.whole.jobs import labelwright, truth, write_job

POOL = 300


def test_the_best_of_two_encoders_is_kept(
    tmp_path: Path,
    serve_gold: Callable[..., ScriptedServer],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = serve_gold(dict(truth(POOL)))
    changes = {"oracle__base_url": server.url, "selection__batch": POOL, "selection__cold_start": POOL}
    path = write_job(tmp_path, pool=POOL, people__threshold=0.0, stop__max_rounds=1, distil__enabled=False, **changes)
    run(Job.load(path))
    named = [str(make_encoder(tmp_path / name, layers=n)) for name, n in (("large", 3), ("small", 1))]
    code, said = labelwright(monkeypatch, capsys, "distil", path, "--compare", *named)
    assert code == 0, said
    assert "95 % interval" in said
    assert f"kept: {named[1]}" in " ".join(said.split())
    card = (tmp_path / "out" / "model" / "README.md").read_text(encoding="utf-8")
    assert "| encoders compared | large, small |" in card
    assert "gold" in card
    code, said = labelwright(monkeypatch, capsys, "distil", path, "--compare", *named, "--json")
    found = json.loads(said[said.index("{") :])
    assert [row["encoder"] for row in found["encoders"]] == named


@pytest.mark.parametrize("words", [("--compare",), ("one-encoder",)])
def test_compare_and_encoders_go_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    path = write_job(tmp_path, oracle__base_url="http://127.0.0.1:9/v1")
    code, said = labelwright(monkeypatch, capsys, "distil", path, *words)
    assert code == 2
    assert "--compare and the encoders go together" in " ".join(said.split())
