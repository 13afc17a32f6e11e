"""`serve --log`: answers are what they were, what is kept is a pool for the next job, and a drift is said once."""

from __future__ import annotations

import json
import signal
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from agent.cli import app
from agent.distill import Model, Runtime
from agent.endpoint.app import create_app
from agent.endpoint.keeper import Keeper
from agent.endpoint.serve import Keeping, kept
from agent.errors import UserError
from agent.stream import About, Log
from tests.distill.making import sentences
from tests.endpoint.test_serve import ask, served

DAY = datetime(2026, 3, 1, 9, tzinfo=UTC)


def keeper_of(model: Model, folder: Path, said: Callable[[str], None] = print, a_day: int = 30) -> Keeper:
    log = Log(folder, About("topics", "key", model.names), a_day, seed=1)
    return Keeper(model, log, said, clock=lambda: DAY)


def figures(client: TestClient) -> dict[str, str]:
    page = client.get("/metrics").text
    return dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))


def test_answers_are_the_same_and_the_figures_tell_what_was_kept(
    model: Model, pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    texts = sentences(900, seed=3)[0]
    keeper = keeper_of(model, tmp_path)
    with TestClient(create_app(model, pool, keeper=keeper)) as client:
        found = client.post("/predict", json={"texts": texts[:500]}).json()["predictions"]
        client.post("/predict", json={"texts": texts[500:]})
        keeper.close()
        seen = figures(client)
        assert client.get("/health").json()["status"] == "ok"
    assert [f["label"] for f in found] == list(model.predict(texts[:500]).values)
    lines = (tmp_path / "kept.jsonl").read_text(encoding="utf-8").splitlines()
    assert seen["labelwright_log_texts_total"] == "900"
    assert sum(int(n) for name, n in seen.items() if name.startswith("labelwright_log_kept_total")) == len(lines) > 5
    assert seen["labelwright_log_left_today"] == str(30 - len(lines))
    assert seen["labelwright_log_lost_total"] == "0"
    assert seen['labelwright_drift_found{of="inputs"}'] == "0"
    assert float(seen['labelwright_drift_bets{of="predictions"}']) < 100


def test_a_drift_is_said_once(model: Model, tmp_path: Path) -> None:
    said: list[str] = []
    keeper = keeper_of(model, tmp_path, said.append)
    for topics, seed in ((("animal",), 1), (("food",), 2), (("tool",), 3)):
        texts = sentences(700, seed=seed, topics=topics)[0]
        for start in range(0, len(texts), 50):
            keeper.told(texts[start : start + 50])
    keeper.close()
    assert len(said) == len({line.split(":")[0] for line in said}) <= 2
    assert f"labelwright drift {tmp_path} says more" in said[0]
    shown = CliRunner().invoke(app, ["drift", str(tmp_path)])
    assert "drift of predictions" in shown.output
    assert "before," in shown.output
    told = json.loads(CliRunner().invoke(app, ["drift", str(tmp_path), "--json"]).output)
    assert told == json.loads((tmp_path / "drift.json").read_text(encoding="utf-8"))


def test_a_disk_that_refuses_stops_no_answer(model: Model, tmp_path: Path) -> None:
    said: list[str] = []
    keeper = keeper_of(model, tmp_path / "log", said.append)
    (tmp_path / "log" / "state.json").write_text("{", encoding="utf-8")
    assert keeper.told(["the cat"]) == model.told(["the cat"])
    keeper.close()
    assert len(said) == 1
    assert "Texts are answered all the same" in said[0]


def test_what_is_kept_is_the_next_jobs_pool(model_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "seen"
    with served(model_folder, "--log", str(folder), "--log-per-day", "40") as (process, url):
        assert process.stdout is not None
        said = "".join(process.stdout.readline() for _ in range(2))
        assert "keeps at most 40 of the texts a day" in said
        many = json.dumps({"texts": sentences(400, seed=8)[0]}).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{url}predict", many), timeout=30) as reply:
            assert len(json.load(reply)["predictions"]) == 400
        assert ask(url, "the cat") in ("animal", "tool", "food")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert (process.returncode, "Traceback" in err) == (0, False)
    assert 5 < len((folder / "kept.jsonl").read_text(encoding="utf-8").splitlines()) <= 40
    (tmp_path / "tape.jsonl").write_text("", encoding="utf-8")
    (tmp_path / "job.yaml").write_text(
        "task:\n  kind: classification\n  labels: {animal: beasts, tool: things to work with, food: to eat}\n"
        "data: {pool: seen/kept.jsonl, text: text}\n"
        "oracle: {name: local, base_url: 'http://127.0.0.1:9/v1', model: m, price: {input: 1, output: 1}}\n"
        "budget: {dollars: 1}\n",
        encoding="utf-8",
    )
    checked = json.loads(CliRunner().invoke(app, ["check", str(tmp_path / "job.yaml"), "--json"]).output)
    found = {f["what"]: f for f in checked}
    assert found["pool"]["fine"], found["pool"]
    shown = CliRunner().invoke(app, ["drift", str(folder)])
    assert (shown.exit_code, "401 on 1 day" in shown.output) == (0, True)


def test_only_classifiers_are_logged(model_folder: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="--log keeps texts for classifiers alone"),
        kept(model_folder, object(), Runtime.TORCH, Keeping(tmp_path)),  # type: ignore[arg-type]
    ):
        pass
