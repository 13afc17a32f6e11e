"""Texts with pictures through a whole job, by the commands, with the job file of docs/tasks/images.md.

The texts say nothing: what is right only the pictures show, and the scripted oracle answers by the bytes that it got.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.job import Job
from agent.picture import split
from agent.records import Source
from agent.workbench import Workbench
from tests.pictures import COLOURS, picture, tiny_clip
from tests.servers.charges import Prices
from tests.servers.model import PICTURE
from tests.servers.scripted import ScriptedServer
from tests.whole.jobs import labelwright, shown_job

Serve = Callable[..., ScriptedServer]
POOL, GOLD = 48, 12
MEANS = {colour: f"something {colour}" for colour in COLOURS}


def test_the_job_of_the_page_is_one(tmp_path: Path) -> None:
    job = Job.of(shown_job("images"), tmp_path)
    assert (job.task.kind, job.task.image, job.oracle[0].image_tokens) == ("classification", "photo", 1280)


@dataclass
class Parcels:
    """A job in a folder, and whoever answers it."""

    folder: Path
    server: ScriptedServer
    say: Callable[..., tuple[int, str]]

    def command(self, *words: object) -> str:
        code, said = self.say(words[0], self.folder / "job.yaml", *words[1:])
        assert code == 0, said
        return said

    def write(self, **changes: Any) -> None:
        settings = shown_job("images")
        settings["task"]["labels"] = MEANS
        settings["student"] = {"encoder": "clip"}
        settings["oracle"] |= {"base_url": self.server.url, "model": "scripted", "image_tokens": PICTURE}
        settings["data"]["seed"] = "seed.csv"
        settings |= {
            "people": {"threshold": 0.7, "audit": 0.1},
            "selection": {"batch": 12, "cold_start": 12},
            "stop": {"max_rounds": 2, "agreement": None},
        }
        path = self.folder / "job.yaml"
        path.write_text(yaml.safe_dump(settings | changes), encoding="utf-8")

    def keeps_no_bytes(self) -> None:
        """What the job left behind holds words, paths and hashes."""
        encoded = [base64.b64encode(f.read_bytes())[-60:] for f in (self.folder / "photos").iterdir()]
        for file in (f for f in (self.folder / "out").rglob("*") if f.is_file()):
            held = file.read_bytes()
            assert not any(some in held for some in encoded), file

    def labels(self) -> dict[str, str]:
        """The path of each labelled picture, with what the oracle said."""
        job = Job.load(self.folder / "job.yaml")
        with Workbench(job) as bench:
            found = {i: x.value for i, x in bench.store.current(job.name).items() if x.source is Source.ORACLE}
            texts = bench.store.texts(job.name, list(found))
        return {picture_of(texts[i]): value for i, value in found.items()}


def picture_of(text: str) -> str:
    _, image = split(text)
    assert image is not None
    return image.path


def colour_of(path: str) -> str:
    return list(COLOURS)[int(Path(path).stem) % len(COLOURS)]


@pytest.fixture
def parcels(
    tmp_path: Path, serve_gold: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Parcels:
    tiny_clip(tmp_path / "clip")
    rows, truth = [], {}
    for i in range(POOL + GOLD + len(COLOURS)):
        path = picture(tmp_path / "photos" / f"{i}.png", colour_of(f"{i}.png"), shade=i % 25)
        rows.append((f"thing number {i % 5}", f"photos/{i}.png", colour_of(path.name)))
        truth[f"{rows[-1][0]}\n{hashlib.sha256(path.read_bytes()).hexdigest()}"] = rows[-1][2]
    for name, some in (("claims", rows[:POOL]), ("gold", rows[POOL : POOL + GOLD]), ("seed", rows[POOL + GOLD :])):
        with (tmp_path / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            head = ("message", "photo", "label")
            csv.writer(file).writerows([r if name != "claims" else r[:2] for r in (head, *some)])
    made = Parcels(
        tmp_path,
        serve_gold(truth, seed=3, prices=Prices("0.05", "0.10")),
        lambda *words: labelwright(monkeypatch, capsys, *words),
    )
    made.write()
    return made


def test_a_whole_job(parcels: Parcels) -> None:
    assert "clip, 16 dimensions" in parcels.command("check")
    parcels.command("run")
    labels = parcels.labels()
    assert len(labels) == 24
    assert all(value == colour_of(path) for path, value in labels.items()), "the texts say nothing: it saw the bytes"
    out = parcels.folder / "out"
    report = json.loads((out / "report" / "report.json").read_text(encoding="utf-8"))
    charged = sum(row["charged"] for row in parcels.server.asked)
    assert report["money"]["spent"] == charged > 0
    exported = [json.loads(line) for line in (out / "labels" / "labels.jsonl").read_text("utf-8").splitlines()]
    assert {row["image"]: row["label"] for row in exported} == labels
    assert {row["text"] for row in exported} == {f"thing number {i}" for i in range(5)}
    code, said = parcels.say("predict", out / "model", parcels.folder / "gold.csv")
    assert (code, f"{GOLD} texts" in said) == (0, True), said
    with (parcels.folder / "gold.labelled.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    right = sum(row["label"] == row["label_predicted"] for row in found) / GOLD
    distilled = next(m for m in report["models"] if m["name"] == "distilled")
    assert right == distilled["accuracy"]["value"] > 0.7, "chance is a third"
    before = len(parcels.server.asked)
    parcels.command("run")
    assert len(parcels.server.asked) == before, "nothing is bought twice"
    parcels.keeps_no_bytes()


def test_a_job_in_batches(parcels: Parcels) -> None:
    oracle = shown_job("images")["oracle"] | {"base_url": parcels.server.url, "model": "scripted"}
    oracle |= {"mode": "batch", "image_tokens": PICTURE, "batch": {"poll_s": 0.05}}
    parcels.write(oracle=oracle, student="none", selection={})
    parcels.command("run")
    labels = parcels.labels()
    assert len(labels) == POOL
    assert all(value == colour_of(path) for path, value in labels.items())
    assert {row["kind"] for row in parcels.server.asked if row["charged"]} <= {"batch", "chat"}
    parcels.keeps_no_bytes()


def test_no_more_is_spent_than_the_cap_though_most_of_it_is_for_pictures(parcels: Parcels) -> None:
    parcels.write(budget={"dollars": 0.0003}, student="none", selection={})
    said = parcels.command("run")
    assert "raise `budget.dollars` to go on" in said
    charged = sum(row["charged"] for row in parcels.server.asked)
    assert 200 < charged <= 300
    assert sum(row["prompt_tokens"] for row in parcels.server.asked) > PICTURE * len(parcels.server.asked)


def test_an_estimate_counts_the_pictures(parcels: Parcels) -> None:
    few = json.loads(parcels.command("estimate", "--json"))
    parcels.write(oracle=shown_job("images")["oracle"] | {"base_url": parcels.server.url, "model": "scripted"})
    many = json.loads(parcels.command("estimate", "--json"))
    more = 1e-6 * 0.05 * (1280 - PICTURE) * (1 + len(COLOURS))  # each question shows one example a class
    for end in ("value", "high"):
        assert many[0]["label_dollars"][end] - few[0]["label_dollars"][end] == pytest.approx(more)
    assert many[0]["label_dollars"]["low"] == few[0]["label_dollars"]["low"], "a picture may cost less"


def test_a_bad_picture_is_told_before_anything_is_asked(parcels: Parcels) -> None:
    (parcels.folder / "photos" / "7.png").write_text("no picture")
    code, said = parcels.say("run", parcels.folder / "job.yaml")
    assert code == 2
    assert "claims.csv:9: picture 'photos/7.png' is not PNG, JPEG, WebP or GIF" in said
    assert parcels.server.asked == []


def test_an_encoder_of_texts_alone_is_refused_before_anything_is_asked(parcels: Parcels) -> None:
    parcels.write(student={"encoder": "builtin:minilm"})
    code, said = parcels.say("run", parcels.folder / "job.yaml")
    assert code == 2
    assert "reads no pictures" in said
    assert parcels.server.asked == []


def test_a_picture_that_changes_stops_the_run_and_costs_nothing(parcels: Parcels) -> None:
    parcels.write(student="none", stop={"max_rounds": 1}, selection={})
    parcels.command("check")  # reads the pool
    picture(parcels.folder / "photos" / "7.png", "red", shade=99)
    code, said = parcels.say("run", parcels.folder / "job.yaml")
    assert code == 2
    assert "photos/7.png: has changed since the pool was read" in said
    report = parcels.command("status", "--json")
    charged = sum(row["charged"] for row in parcels.server.asked)
    assert json.loads(report)["spent_dollars"] == charged / 1e6
