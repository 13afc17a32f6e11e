"""Label files: whole, the same each time, and readable by what people read them with."""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from agent.errors import DataError
from agent.records import Label, Pick, Source, TextId
from agent.report.export import FORMATS, PoolRow, export
from agent.report.writers import Batch, schema
from agent.store import Store
from tests.report import a_job

TRICKY = 'line\r\nbreak, "quoted", tab\t, = 1+1, \u2028 émoji 🎉'


def pool() -> list[PoolRow]:
    """Every text of the job, the first one three times, one that nobody labelled."""
    rows = [PoolRow(f"row-{i}", text, TextId(f"t{i}")) for i, (text, *_) in enumerate(a_job.ROWS)]
    first = rows[0]
    return [*rows, first._replace(id="copy-1"), PoolRow(77, TRICKY, TextId("new")), first._replace(id="copy-2")]


def frame(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "labels.parquet")


def test_every_row_of_the_pool_with_a_label_is_written_with_its_provenance(done: Store, tmp_path: Path) -> None:
    paths = export(done, a_job.JOB, a_job.task(), pool(), tmp_path)
    assert [p.name for p in paths] == ["labels.parquet", "labels.csv", "labels.jsonl", "datasets", "README.md"]
    rows = frame(tmp_path).set_index("id")
    assert list(rows.index) == [*(f"row-{i}" for i in range(7)), "copy-1", "copy-2"]
    first = rows.loc["row-0"]
    assert (first.label, first.source, first.by, first.route) == ("card", "oracle", "local/small", "accepted")
    assert (first.confidence, first.prompt_hash, first["round"], first.slice) == (0.95, "prompt-1", 0, "random")
    assert first.probabilities == pytest.approx({"card": 0.95, "cash": 0.025, "loan": 0.025})
    assert (first.inclusion_probability, first.review_probability) == (0.2, 0.1)
    assert first.created_at.tzinfo is not None
    person = rows.loc["row-2"]
    assert (person.label, person.source, person.by, person.route) == ("loan", "person", "ann", "person")
    assert pd.isna(person.probabilities)
    assert rows.loc["row-4"].route == "waiting"
    assert rows.loc["row-5"].route == "accepted"


def test_copies_have_the_label_of_the_first_and_cost_nothing(done: Store, tmp_path: Path) -> None:
    export(done, a_job.JOB, a_job.task(), pool(), tmp_path, ["parquet"])
    rows = frame(tmp_path).set_index("id")
    assert list(rows.loc[["row-0", "copy-1", "copy-2"]].duplicate_of.fillna("")) == ["", "row-0", "row-0"]
    assert list(rows.loc[["row-0", "copy-1", "copy-2"]].label) == ["card"] * 3
    assert rows.cost_dollars.sum() == pytest.approx(sum(x.cost for x in done.current(a_job.JOB).values()) / 1e6)


def test_copies_that_share_their_id_too_are_paid_once(done: Store, tmp_path: Path) -> None:
    export(done, a_job.JOB, a_job.task(), [pool()[0]] * 3, tmp_path, ["parquet"])
    assert list(frame(tmp_path).cost_dollars) == [0.0001, 0.0, 0.0]


def test_rows_without_a_label_can_be_written_too(done: Store, tmp_path: Path) -> None:
    export(done, a_job.JOB, a_job.task(), pool(), tmp_path, all_rows=True)
    rows = frame(tmp_path).set_index("id")
    assert rows.loc["77"].text == TRICKY
    assert pd.isna(rows.loc["77"].label)
    assert len(rows) == len(pool())
    table = pd.read_csv(tmp_path / "labels.csv", keep_default_na=False, dtype=str).set_index("id")
    assert table.loc["77"].text == TRICKY
    assert table.loc["77"].label == ""


def test_all_formats_say_the_same(done: Store, tmp_path: Path) -> None:
    export(done, a_job.JOB, a_job.task(), pool(), tmp_path, all_rows=True)
    lines = [json.loads(x) for x in (tmp_path / "labels.jsonl").read_text("utf-8").split("\n") if x]
    saved = datasets.load_from_disk(str(tmp_path / "datasets"))
    table = pd.read_csv(tmp_path / "labels.csv", keep_default_na=False, na_values={"confidence": ""})
    for name in ("id", "text", "label", "route", "duplicate_of", "slice", "round", "confidence"):
        assert saved[name] == [r[name] for r in lines]
    assert saved["probabilities"] == [r["probabilities"] for r in lines]
    assert list(table.text) == saved["text"]
    assert [json.loads(p) if p else None for p in table.probabilities] == [r["probabilities"] for r in lines]
    assert [t.isoformat() if t else None for t in saved["created_at"]] == [r["created_at"] for r in lines]
    assert list(lines[0]) == list(table.columns) == saved.column_names


def test_exporting_again_gives_the_same_bytes(done: Store, tmp_path: Path) -> None:
    def everything(name: str) -> dict[str, bytes]:
        export(done, a_job.JOB, a_job.task(), pool(), tmp_path / name, all_rows=True)
        files = sorted(p for p in (tmp_path / name).rglob("*") if p.is_file())
        return {str(p.relative_to(tmp_path / name)): p.read_bytes() for p in files}

    first = everything("one")
    assert len(first) == 7
    assert everything("two") == first
    assert everything("one") == first  # over the old files, and nothing is left beside them


def test_an_empty_export_can_be_read(store: Store, tmp_path: Path) -> None:
    a_job.begin(store)
    export(store, a_job.JOB, a_job.task(), pool(), tmp_path)
    assert len(frame(tmp_path)) == 0
    assert len(datasets.load_from_disk(str(tmp_path / "datasets"))) == 0
    assert "0 of 0 rows have a label" in (tmp_path / "README.md").read_text("utf-8")


def test_several_classes_are_a_list(store: Store, tmp_path: Path) -> None:
    a_job.begin(store)
    a_job.pick(store, 0, {"t0": "both", "t1": "none"}, "random", 1.0)
    a_job.give(store, "t0", ["card", "cash"], 0.9)
    a_job.give(store, "t1", [], 0.8)
    rows = [PoolRow("a", "both", TextId("t0")), PoolRow("b", "none", TextId("t1"))]
    task = a_job.task("multilabel")
    export(store, a_job.JOB, task, rows, tmp_path)
    assert datasets.load_from_disk(str(tmp_path / "datasets"))["label"] == [["card", "cash"], []]
    cells = pd.read_csv(tmp_path / "labels.csv", keep_default_na=False).label
    assert [task.read(c) for c in cells] == [("card", "cash"), ()]


def test_the_label_of_a_task_without_classes_is_as_it_shows(store: Store, tmp_path: Path) -> None:
    class Spans:
        kind, widget, names = "spans", "json", ()
        show = staticmethod(json.dumps)

    a_job.begin(store)
    a_job.pick(store, 0, {"t0": "x"}, "random", 1.0)
    span = {"start": 0, "end": 1}
    label = Label(TextId("t0"), span, Source.ORACLE, "local/small", probabilities={"yes": 0.5})
    store.add_labels(a_job.JOB, [label])
    export(store, a_job.JOB, Spans(), [PoolRow("a", "x", TextId("t0"))], tmp_path)  # type: ignore[arg-type]
    row = frame(tmp_path).iloc[0]
    assert json.loads(row.label) == span
    assert json.loads(row.probabilities) == {"yes": 0.5}


def test_text_that_utf8_cannot_hold_is_written_all_the_same(done: Store, tmp_path: Path) -> None:
    rows = [PoolRow("a\udc80", "half \udcff and \x00", TextId("t0"))]
    export(done, a_job.JOB, a_job.task(), rows, tmp_path)
    assert frame(tmp_path).iloc[0].text == "half ? and \x00"


def test_the_data_card_counts_and_explains(done: Store, tmp_path: Path) -> None:
    export(done, a_job.JOB, a_job.task(), pool(), tmp_path)
    card = (tmp_path / "README.md").read_text("utf-8")
    assert card.startswith('---\npretty_name: "tickets"\n')
    for part in (
        "9 of 9 rows have a label; 2 repeat a text",
        "| card | 4 |",
        "| waiting | 1 |",
        "prompt-1",
        "local/small",
    ):
        assert part in card
    for column in frame(tmp_path).columns:
        assert f"| `{column}` |" in card


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
def test_datasets_reads_the_folder_by_its_card(store: Store, tmp_path: Path, kind: str) -> None:
    a_job.begin(store)
    a_job.pick(store, 0, {"t0": "both", "t1": "one"}, "random", 1.0)
    a_job.give(store, "t0", ["card", "cash"] if kind == "multilabel" else "card", 0.9)
    a_job.give(store, "t1", ["loan"] if kind == "multilabel" else "loan", 0.8)
    rows = [PoolRow("a", "both", TextId("t0")), PoolRow("b", "one", TextId("t1"))]
    export(store, a_job.JOB, a_job.task(kind), rows, tmp_path / "out")
    read = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))["train"]
    assert read.to_list() == datasets.load_from_disk(str(tmp_path / "out" / "datasets")).to_list()
    head = yaml.safe_load((tmp_path / "out" / "README.md").read_text("utf-8").split("---\n")[1])
    assert head["license"] == "unknown"
    assert head["dataset_info"]["features"] == read.features._to_yaml_list()
    assert head["dataset_info"]["splits"] == [{"name": "train", "num_examples": 2}]


def test_people_can_be_numbers(done: Store, tmp_path: Path) -> None:
    export(done, a_job.JOB, a_job.task(), pool(), tmp_path, hide_people=True)
    rows = frame(tmp_path).set_index("id")
    assert rows.loc["row-2"].by == "person 1"
    assert rows.loc["row-0"].by == "local/small"
    for path in ("labels.csv", "labels.jsonl", "README.md"):
        assert "ann" not in (tmp_path / path).read_text("utf-8").replace("channel", "")


@pytest.mark.parametrize(("name", "hint"), [("parqet", "did you mean 'parquet'"), ("xlsx", "known: parquet, csv")])
def test_an_unknown_format_is_refused(done: Store, tmp_path: Path, name: str, hint: str) -> None:
    with pytest.raises(DataError, match=hint):
        export(done, a_job.JOB, a_job.task(), pool(), tmp_path, [name])


def test_a_folder_that_is_something_else_is_not_overwritten(done: Store, tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="holds something else"):
        export(done, a_job.JOB, a_job.task(), pool(), tmp_path)
    assert (tmp_path / "datasets" / "thesis.txt").read_text() == "years of work"
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith("labelwright.db")) == ["datasets"]


def test_a_pool_that_breaks_midway_leaves_the_old_files(done: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(done, a_job.JOB, a_job.task(), pool(), out)
    before = (out / "labels.csv").read_bytes()

    def broken() -> Iterator[PoolRow]:
        yield pool()[0]
        raise RuntimeError("a bad disk")

    with pytest.raises(RuntimeError, match="bad disk"):
        export(done, a_job.JOB, a_job.task(), broken(), out)
    assert (out / "labels.csv").read_bytes() == before
    assert sorted(p.name for p in out.iterdir()) == [
        "README.md",
        "datasets",
        "labels.csv",
        "labels.jsonl",
        "labels.parquet",
    ]


def test_a_file_in_the_way_of_the_folder_is_named(done: Store, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(DataError, match=r"cannot write labels to .*out"):
        export(done, a_job.JOB, a_job.task(), pool(), tmp_path / "out")


def test_memory_does_not_grow_with_the_pool(done: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[export.__module__], "BATCH_ROWS", 200)

    def rows(n: int) -> Iterator[PoolRow]:
        return (PoolRow(f"row-{i}", f"some text that is number {i}", TextId(f"t{i}")) for i in range(n))

    def peak(n: int) -> int:
        tracemalloc.start()
        export(done, a_job.JOB, a_job.task(), rows(n), tmp_path / "out", ["csv", "jsonl"], all_rows=True)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(1_000)  # imports
    assert peak(8_000) < 1.5 * peak(1_000)


def test_what_the_student_says_of_a_text_never_stands_before_a_label(done: Store, tmp_path: Path) -> None:
    rows = [
        row._replace(guess=Label(row.text_id, "loan", Source.STUDENT, "student", None, 0.9), accepted=k < 9)
        for k, row in enumerate([*pool(), PoolRow("late", "late", TextId("late"))])
    ]
    export(done, a_job.JOB, a_job.task(), rows, tmp_path, ["parquet"])
    found = frame(tmp_path).set_index("id")
    assert len(found) == len(rows)
    by_student = found[found.source == "student"]
    assert list(by_student.index) == ["77", "late"]
    assert list(by_student.route) == ["accepted", "unsure"]
    assert list(by_student.cost_dollars) == [0, 0]
    assert found.loc["row-0"].label == "card"


def test_formats_are_those_that_the_command_names() -> None:
    assert FORMATS == ("parquet", "csv", "jsonl", "datasets")


def test_every_label_carries_why_its_text_was_picked(done: Store, tmp_path: Path) -> None:
    why = {"strategy": "mine", "rank": 3, "near": [0.5, float("nan")], "covers": ["Ulm"]}
    done.add_picks(a_job.JOB, 9, [Pick(TextId("late"), 70, "unsure", 0.25, None, why)], {TextId("late"): "late"})
    a_job.give(done, "late", "card", 0.9)
    export(
        done,
        a_job.JOB,
        a_job.task(),
        [*pool(), PoolRow("late", "late", TextId("late"))],
        tmp_path,
        ["parquet", "jsonl"],
    )
    rows = frame(tmp_path).set_index("id")
    assert json.loads(rows.loc["late"].why) == {**why, "near": [0.5, None]}
    assert (rows.loc["late"].score, rows.loc["row-0"].score, rows.loc["row-0"].why) == (0.25, 0.5, "{}")


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SAID = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
CHANCES = st.none() | st.fixed_dictionaries({"a": st.none() | st.floats(0, 1), 'b "x"': st.floats(0, 1)})
ROWS = st.fixed_dictionaries(
    {
        "id": SAID,
        "label": st.none() | st.lists(SAID, max_size=3),
        "confidence": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "round": st.none() | st.integers(-(2**63), 2**63 - 1),
        "probabilities": CHANCES,
        "created_at": st.none() | st.integers(0, 2**52).map(lambda us: EPOCH + timedelta(microseconds=us)),
    }
)


@given(rows=st.lists(ROWS, max_size=5))
@example(rows=[{"id": "\0\u2028", "label": [""], "confidence": 1, "round": 0, "probabilities": None,
                "created_at": datetime(2026, 1, 1, tzinfo=UTC)}])  # fmt: skip
def test_rows_become_arrow_as_the_slow_way_makes_them(rows: list[dict[str, Any]]) -> None:
    columns = pa.schema([(n, schema(["a", 'b "x"'], several=True).field(n).type) for n in
                         ("id", "label", "confidence", "round", "probabilities", "created_at")])  # fmt: skip
    assert Batch(rows, columns).table.equals(pa.Table.from_pylist(rows, schema=columns))
