"""`student: none`: every text is labelled, within the budget, and nothing is chosen, learnt or distilled."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import JobFileError
from agent.job import Job
from agent.loop import run
from agent.records import CountTokens
from agent.store import Store
from agent.student import load_counter, load_encoder
from tests.servers.scripted import ScriptedServer
from tests.whole.jobs import labelwright, settings, truth, write_job, write_rows

Serve = Callable[..., ScriptedServer]
HEAVY = {"torch", "transformers", "sklearn", "openai"}
CODE = """\
import sys
from agent import cli
sys.argv = ["labelwright", "run", sys.argv[1]]
cli.main()
print("LOADED", *sorted({m.split(".")[0] for m in sys.modules}))
"""


def plain(**changes: Any) -> dict[str, Any]:
    """The changes that make the small job one without a student, and what else is to be changed."""
    without: dict[str, Any] = {
        "student": "none",
        "selection": {},
        "distil": {},
        "stop": {},
        "data__gold": None,
        "data__seed": None,
    }
    return without | changes


def exported(job: Job) -> list[dict[str, str]]:
    with (job.output_folder / "labels" / "labels.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_text_is_labelled_and_no_machine_learning_library_is_loaded(tmp_path: Path, serve_gold: Serve) -> None:
    server = serve_gold(dict(truth()))
    file = write_job(tmp_path, **plain(oracle__base_url=server.url))
    done = subprocess.run([sys.executable, "-c", CODE, file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *_, loaded = done.stdout.splitlines()
    assert not HEAVY & set(loaded.split())
    rows = exported(Job.load(file))
    assert {r["text"]: r["label"] for r in rows} == dict(list(truth().items())[:120])
    assert {float(r["inclusion_probability"]) for r in rows} == {1.0}
    assert len(server.asked) == 121, "one question a text, and the probe"
    assert not (tmp_path / "out" / "cache" / "embeddings").exists()


def test_the_report_says_what_is_not_there(
    tmp_path: Path, serve_gold: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_job(tmp_path, **plain(oracle__base_url=serve_gold(dict(truth()), errors=0.1).url))
    write_rows(tmp_path / "gold.csv", list(truth().items())[:60], labelled=True)
    file.write_text(file.read_text(encoding="utf-8").replace("pool: pool.csv", "pool: pool.csv\n  gold: gold.csv"))
    code, said = labelwright(monkeypatch, capsys, "run", file)
    assert code == 0
    assert "no student asked about in an order by chance" in said
    assert "student on" not in said
    assert "distilled model" not in said
    report = json.loads((tmp_path / "out/report/report.json").read_text(encoding="utf-8"))
    assert [m["name"] for m in report["models"]] == ["oracle"]
    assert report["models"][0]["accuracy"]["n"] == 60, "the oracle is measured on the pool's gold texts"
    page = (tmp_path / "out/report/report.html").read_text(encoding="utf-8")
    assert "No student." in page
    assert "What selection bought" not in page
    card = (tmp_path / "out/labels/README.md").read_text(encoding="utf-8")
    assert "stand for the pool" in card
    for command, expected in (
        ("check", "student: none: every text is asked about"),
        ("status", "for people, 0 failed"),
        ("estimate", "texts"),
    ):
        code, said = labelwright(monkeypatch, capsys, command, file)
        assert code == 0, said
        assert expected in said
        assert "not measured" not in said


def test_a_budget_that_ends_first_leaves_a_random_part_and_goes_on_with_more(
    tmp_path: Path, serve_gold: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve_gold(dict(truth()))
    file = write_job(tmp_path, **plain(oracle__base_url=server.url, budget__dollars=0.01))
    code, said = labelwright(monkeypatch, capsys, "run", file)
    job = Job.load(file)
    first = exported(job)
    assert code == 0
    assert 10 < len(first) < 110
    assert f"not asked {120 - len(first)} texts of the pool, about $" in said
    places = [list(truth()).index(r["text"]) for r in first]
    assert max(places) > len(first), "not the first texts of the file"
    file.write_text(file.read_text(encoding="utf-8").replace("dollars: 0.01", "dollars: 1"), encoding="utf-8")
    assert run(Job.load(file)).labels == 120
    asked = [r["text"] for r in server.asked if r["text"] in truth()]
    assert sorted(asked) == sorted(set(asked)), "nothing is bought twice"


def test_a_student_that_comes_later_asks_the_same_questions(
    tmp_path: Path, serve_gold: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    long = [f"{text} " + "and so it went on, with this and that " * 40 for text in list(truth())[:30]]
    server = serve_gold({})
    changes: dict[str, Any] = plain(oracle__base_url=server.url, data__max_tokens=64, people__threshold=0)
    file = write_job(tmp_path, **changes)
    write_rows(tmp_path / "pool.csv", [(t, "") for t in long], labelled=False)
    assert run(Job.load(file)).labels == 30
    asked = len(server.asked)
    code, said = labelwright(monkeypatch, capsys, "distil", file)
    assert code == 2
    assert "has no student (`student: none`)" in said
    later = settings(**changes | {"student": {"refresh": False}, "distil": {"enabled": False}})
    file.write_text(yaml.safe_dump(later, sort_keys=False), encoding="utf-8")
    outcome = run(Job.load(file))
    assert outcome.labels == 30
    assert len(server.asked) == asked


def test_rounds_are_as_large_as_the_job_says(tmp_path: Path, serve_gold: Serve) -> None:
    changes = plain(oracle__base_url=serve_gold(dict(truth())).url, selection={"batch": 50}, stop={"max_rounds": 2})
    job = Job.load(write_job(tmp_path, **changes))
    assert (run(job).reason, run(job).labels) == ("max_rounds", 100)
    with Store.open(job.store_url) as store:
        assert [len(store.picks(job.name, n)) for n in range(2)] == [50, 50]
        assert {p.slice for p in store.picks(job.name)} == {"random"}


def test_a_seed_is_shown_to_the_oracle_and_not_asked_about(tmp_path: Path, serve_gold: Serve) -> None:
    server = serve_gold(dict(truth()))
    file = write_job(tmp_path, **plain(oracle__base_url=server.url, data__seed="seed.csv"))
    rows = list(truth().items())[:6]
    write_rows(tmp_path / "seed.csv", rows, labelled=True)
    assert run(Job.load(file)).labels == 114
    assert not {text for text, _ in rows} & {r["text"] for r in server.asked}


def test_what_needs_a_student_is_told_at_once_with_its_lines(tmp_path: Path) -> None:
    changes = plain(
        selection={"strategy": "margin", "unbiased": True},
        stop={"target_accuracy": 0.9, "agreement": 0.99},
        distil={"enabled": True},
        student={"kind": "none", "max_tokens": 128},
        oracle__base_url="http://127.0.0.1:1/v1",
        oracle__format={"shortlist": 2, "examples": "nearest"},
    )
    file = write_job(tmp_path, **changes)
    with pytest.raises(JobFileError) as caught:
        Job.load(file)
    lines = file.read_text(encoding="utf-8").splitlines()
    found = {said.split("`")[1]: lines[line - 1].strip() for line, said in caught.value.problems}
    assert found == {
        "selection.strategy": "strategy: margin",
        "selection.unbiased": "unbiased: true",
        "stop.target_accuracy": "target_accuracy: 0.9",
        "stop.agreement": "agreement: 0.99",
        "distil.enabled": "enabled: true",
        "student.max_tokens": "max_tokens: 128",
        "oracle.format.shortlist": "shortlist: 2",
        "oracle.format.examples": "examples: nearest",
    }
    assert all("needs a student" in said for _, said in caught.value.problems)


@pytest.mark.parametrize("said", ["none", False, {"kind": "none"}, {"kind": "none", "encoder": "builtin:minilm"}])
def test_a_job_without_a_student_is_the_same_read_back(tmp_path: Path, said: object) -> None:
    job = Job.load(write_job(tmp_path, **plain(student=said, oracle__base_url="http://127.0.0.1:1/v1")))
    assert not job.has_student
    assert (job.selection.strategy, job.distil.enabled, job.stop.agreement) == ("random", False, None)
    again = Job.of(job.settings(), tmp_path)
    assert again.settings() == job.settings()


@pytest.fixture(scope="module")
def counters(tmp_path_factory: pytest.TempPathFactory) -> tuple[CountTokens, CountTokens]:
    job = Job.load(write_job(tmp_path_factory.mktemp("job"), oracle__base_url="http://127.0.0.1:1/v1"))
    return load_counter(job), load_encoder(job).count_tokens


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=80), max_size=5))
def test_texts_are_counted_as_the_encoder_counts_them(
    counters: tuple[CountTokens, CountTokens], texts: list[str]
) -> None:
    without, with_student = counters
    assert without(texts) == with_student(texts)
