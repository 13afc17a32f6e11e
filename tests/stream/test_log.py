"""The folder: its budget holds whoever writes and dies, its lines are a pool, and its report says what happened."""

from __future__ import annotations

import json
import multiprocessing
import stat
from datetime import UTC, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.distill import Reference
from agent.errors import DataError
from agent.stream import Log, report
from agent.stream import log as logs
from tests.stream.making import NOON, a_reference, about, seen


def lines(folder: Path) -> list[dict[str, Any]]:
    path = folder / "kept.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def texts(n: int, name: str = "text") -> list[str]:
    return [f"{name} {i}" for i in range(n)]


def a_day(line: dict[str, Any]) -> str:
    return str(line["time"])[:10]


class DiedError(Exception):
    """In the place of kill -9."""


steps = st.lists(
    st.tuples(st.sampled_from(["write", "restart", "die", "other"]), st.integers(1, 60), st.integers(0, 2)),
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(steps, st.integers(1, 12), st.booleans())
def test_no_order_of_writes_restarts_and_deaths_passes_the_budget(
    stream: list[tuple[str, int, int]], most: int, has_reference: bool
) -> None:
    described = about(a_reference() if has_reference else None)
    with TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        folder = Path(place) / "log"
        log, other = Log(folder, described, most, seed=1), Log(folder, described, most)
        for number, (what, n, day) in enumerate(stream):
            batch = seen(texts(n, f"{number}"), day=day, seed=number)
            if what == "die":  # after the count, before the lines
                with patch.context() as dying:
                    dying.setattr(Log, "_append", lambda *_: (_ for _ in ()).throw(DiedError))
                    with pytest.raises(DiedError):
                        log.write(batch)
            if what in ("die", "restart"):
                log = Log(folder, described, most)
            (other if what == "other" else log).write(batch)
            found = lines(folder)
            for date in {a_day(line) for line in found}:
                counted = json.loads((folder / "state.json").read_text())["days"][date]["kept"]
                assert sum(a_day(line) == date for line in found) <= sum(counted.values()) <= most
        assert len({line["text"] for line in found}) == len(found) if stream else True


def writes(folder: Path, name: str) -> None:
    log = Log(folder, about(a_reference()), 20)
    for i in range(15):
        log.write(seen(texts(20, f"{name} {i}"), seed=i))


def test_processes_share_the_budget_and_a_killed_one_leaves_whole_lines(tmp_path: Path) -> None:
    folder, fork = tmp_path / "log", multiprocessing.get_context("spawn")
    Log(folder, about(a_reference()), 20, seed=2)
    processes = [fork.Process(target=writes, args=(folder, name)) for name in "abc"]
    for process in processes:
        process.start()
    processes[0].join(timeout=60)
    processes[1].kill()
    for process in processes:
        process.join(timeout=60)
    Log(folder, about(a_reference()), 20).write(seen(texts(50, "last")))
    assert 5 < len(lines(folder)) <= 20
    assert report(folder).most_kept <= 20


def test_half_a_line_is_cut_off_by_the_next_who_writes(tmp_path: Path) -> None:
    log = Log(tmp_path, about(), 50, seed=0)
    log.write(seen(texts(100)))
    whole = (tmp_path / "kept.jsonl").read_bytes()
    (tmp_path / "kept.jsonl").write_bytes(whole + b'{"text": "half of')
    Log(tmp_path, about(), 50)
    assert (tmp_path / "kept.jsonl").read_bytes() == whole


def test_what_a_line_says(tmp_path: Path) -> None:
    log = Log(tmp_path, about(a_reference()), 30, seed=0)
    log.write(seen(texts(300)))
    found = lines(tmp_path)
    assert {line["why"] for line in found} == {"unsure", "chance"}
    for line in found:
        assert line["time"] == NOON.astimezone(UTC).isoformat(timespec="seconds")
        assert 0 < line["probability"] <= 1
        assert (line["probability"] < 0.2) == (line["why"] == "chance")
        assert line["label"] in "abcdef"
        assert 0 < line["confidence"] <= 1
        assert 0 <= line["novelty"] <= 2
        assert line["model"] == "topics"


def test_the_day_is_that_of_utc(tmp_path: Path) -> None:
    log = Log(tmp_path, about(a_reference()), 5, seed=0)
    log.write(seen(texts(200)))
    late = seen(texts(200, "late"))
    late = logs.Seen(late.texts, late.told, late.vectors, late.probabilities, NOON + timedelta(hours=11, minutes=59))
    log.write(late)
    assert {a_day(line) for line in lines(tmp_path)} == {"2026-03-01"}
    log.write(seen(texts(200, "next"), day=1))
    assert {a_day(line) for line in lines(tmp_path)} == {"2026-03-01", "2026-03-02"}
    assert max(sum(a_day(x) == d for x in lines(tmp_path)) for d in ("2026-03-01", "2026-03-02")) <= 5


def test_only_the_owner_reads_what_is_kept(tmp_path: Path) -> None:
    Log(tmp_path / "log", about(), 50, seed=0).write(seen(texts(100)))
    report(tmp_path / "log")
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "log").iterdir()} == {0o600}


whole = a_reference()
only_taught = Reference(whole.anchors, whole.vectors[:0], whole.probabilities[:0])


@pytest.mark.parametrize(("reference", "watched"), [(whole, 800), (only_taught, 600), (None, 400)])
def test_a_drift_is_found_kept_and_told(tmp_path: Path, reference: Reference | None, watched: int) -> None:
    log = Log(tmp_path, about(reference), 40, seed=0)
    for i in range(16):
        assert log.write(seen(texts(50, f"old {i}"), seed=i)) == []
    found = [alarm for i in range(10) for alarm in log.write(seen(texts(50, f"new {i}"), (3, 4, 5), day=1, seed=i))]
    assert {alarm.of for alarm in found} == {"inputs", "predictions"}
    assert Log(tmp_path, about(), 40).write(seen(texts(50, "newer"), (3, 4, 5), day=1)) == [], "it is said once"
    said = report(tmp_path)
    (model,) = said.models
    assert {a.of for a in model.alarms} == {"inputs", "predictions"}
    assert all(watched < a.text <= watched + 200 and abs(a.onset - watched) < 100 for a in model.alarms)
    assert ("first inputs" in model.reference) == (reference is not whole)
    assert all(shown.text.startswith("new") for shown in model.shown)
    assert said.kept["drift"] > 0
    assert max(after - before for _, before, after in model.moved[:3]) > 0.2
    words = " ".join(" ".join(line) for line in said.lines())
    assert "drift of inputs found at input" in words
    assert json.loads((tmp_path / "drift.json").read_text())["models"][0]["alarms"][0]["of"] in (
        "inputs",
        "predictions",
    )


def test_another_model_is_watched_by_itself(tmp_path: Path) -> None:
    Log(tmp_path, about(a_reference()), 40, seed=0).write(seen(texts(100), (3, 4, 5)))
    other = Log(tmp_path, about(a_reference((3, 4, 5)), key="k2"), 40)
    assert other.write(seen(texts(300, "more"), (3, 4, 5))) == []
    assert [len(model.alarms) for model in report(tmp_path).models] == [2, 0]


def test_pairs_are_kept_as_their_two_texts(tmp_path: Path) -> None:
    from dataclasses import replace

    from agent.pairing import join

    log = Log(tmp_path, replace(about(a_reference()), columns=("premise", "hypothesis")), 40, seed=0)
    batch = [join(f"it rains {i}", "it is wet") for i in range(100)]
    log.write(seen(batch))
    log.write(seen(batch))
    found = lines(tmp_path)
    assert {line["hypothesis"] for line in found} == {"it is wet"}
    assert len({line["premise"] for line in found}) == len(found)


def test_folders_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "kept.jsonl").write_text("{}\n")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "state.json").write_text('{"format": 1}')
    for name, said in (
        ("file", "file: cannot be written"),
        ("strange", "kept.jsonl without state.json"),
        ("broken", "state.json: not what a log wrote"),
    ):
        with pytest.raises(DataError, match=said):
            Log(tmp_path / name, about(), 10)
    with pytest.raises(DataError, match="give one at least"):
        Log(tmp_path / "none", about(), 0)
    with pytest.raises(DataError, match="no log"):
        report(tmp_path / "nothing")
