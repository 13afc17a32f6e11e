"""A file in, the same file out with labels and probabilities; or a clear word and nothing at all."""

from __future__ import annotations

import csv
import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from agent.distill import Model, predict_file
from agent.errors import DataError
from tests.distill.making import sentences

tables = importlib.import_module("agent.distill.tables")
lines = importlib.import_module("agent.pool.lines")
TEXTS, _ = sentences(25, seed=12)
ROWS = [{"id": f"00{i}", "text": text, "note": 'a "b", c\nd' if i == 3 else ""} for i, text in enumerate(TEXTS)]


def write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(list(rows)), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            out = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            out.writeheader()
            out.writerows(rows)
    return path


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return list(parquet.read_table(path).to_pylist())
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("at_once", [4, 4096])
def test_every_kind_of_file_keeps_its_rows_and_gains_columns(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, at_once: int
) -> None:
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", at_once)
    monkeypatch.setattr(lines, "ROWS_AT_ONCE", at_once)
    source, target = write(tmp_path / f"in{suffix}", ROWS), tmp_path / "deep" / f"out{suffix}"
    assert predict_file(model, source, target) == 25
    found, expected = read(target), model.predict(TEXTS)
    assert expected.probabilities is not None
    assert [{k: row[k] for k in ROWS[0]} for row in found] == ROWS
    assert [row["label"] for row in found] == list(expected.values)
    numbers = [[float(row["confidence"]), *(float(row[f"p_{name}"]) for name in model.names)] for row in found]
    wanted = np.column_stack([1 - expected.doubt, expected.probabilities])
    np.testing.assert_allclose(numbers, wanted, atol=2e-6)
    assert list(found[0]) == ["id", "text", "note", "label", "confidence", *(f"p_{name}" for name in model.names)]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_multilabel_writes_lists(multilabel_folder: Path, tmp_path: Path, suffix: str) -> None:
    model = Model.load(multilabel_folder)
    source, target = write(tmp_path / f"in{suffix}", ROWS), tmp_path / f"out{suffix}"
    predict_file(model, source, target)
    found = [row["labels"] for row in read(target)]
    lists = [json.loads(cell) for cell in found] if suffix == ".csv" else found
    assert [tuple(cell) for cell in lists] == list(model.predict(TEXTS).values)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_column_of_the_same_name_is_kept_beside_ours(model: Model, tmp_path: Path, suffix: str) -> None:
    rows: list[dict[str, Any]] = [{"text": text, "label": "mine"} for text in TEXTS[:3]]
    target = tmp_path / f"out{suffix}"
    predict_file(model, write(tmp_path / f"in{suffix}", rows), target)
    for row, value in zip(read(target), model.predict(TEXTS[:3]).values, strict=True):
        assert (row["label"], row["label_predicted"]) == ("mine", value)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_row_without_text_gets_no_label(model: Model, tmp_path: Path, suffix: str) -> None:
    empty = "" if suffix == ".csv" else None
    rows: list[dict[str, Any]] = [{"text": "the cat", "k": "a"}, {"text": empty, "k": "b"}, {"text": "  ", "k": "c"}]
    target = tmp_path / f"out{suffix}"
    assert predict_file(model, write(tmp_path / f"in{suffix}", rows), target) == 3
    found = read(target)
    assert found[0]["label"] == model.predict(["the cat"]).values[0]
    for row in found[1:]:
        assert [row[c] or None for c in ("label", "confidence", "p_animal")] == [None, None, None]


def test_parquet_keeps_its_types(model: Model, tmp_path: Path) -> None:
    table = pa.table({"text": TEXTS[:2], "n": pa.array([1, None], pa.int16()), "tags": [["a"], []]})
    parquet.write_table(table, tmp_path / "in.parquet")
    predict_file(model, tmp_path / "in.parquet", tmp_path / "out.parquet")
    found = parquet.read_table(tmp_path / "out.parquet")
    assert found.select(["text", "n", "tags"]).equals(table)
    assert found.schema.field("confidence").type == pa.float32()


def test_any_text_comes_through_unchanged(model: Model, tmp_path: Path) -> None:
    texts = ["[bold]x", "<script>", "\u202eabc", "nul\x00 inside", "x" * 1_000_000, "é ☃ 日本", "=1+1"]
    for suffix in (".csv", ".jsonl"):
        source = write(tmp_path / f"in{suffix}", [{"text": t} for t in texts])
        predict_file(model, source, tmp_path / f"out{suffix}")
        assert [row["text"] for row in _wide(tmp_path / f"out{suffix}")] == texts


def _wide(path: Path) -> list[dict[str, Any]]:
    csv.field_size_limit(10**8)
    return read(path)


def test_objects_may_differ_in_their_keys(model: Model, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"text": "the cat"}, {"text": "a saw", "label": {"deep": [1]}, "odd": "\ud800"}]
    predict_file(model, write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl")
    found = read(tmp_path / "out.jsonl")
    assert found[1]["label"] == {"deep": [1]}
    assert found[1]["odd"] == "\ud800"
    assert found[0]["label_predicted"] in model.names


def test_progress_counts_rows(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "ROWS_AT_ONCE", 10)
    told: list[tuple[int, int]] = []
    predict_file(
        model,
        write(tmp_path / "in.csv", ROWS),
        tmp_path / "out.csv",
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(10, 25), (20, 25), (25, 25)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.csv", "id,txet\n1,a\n", r"in\.csv: no column 'text'.*did you mean 'txet'"),
        ("in.jsonl", '{"text": "a"}\n{"txt": "b"}\n', r"in\.jsonl:2: no column 'text'"),
        ("in.jsonl", '{"text": "a"}\n{"text": ["b"]}\n', r"in\.jsonl:2: .*holds list"),
        ("in.jsonl", '{"text": "a"}\n[1]\n', r"in\.jsonl:2: a JSON list, not an object"),
        ("in.jsonl", '{"text": "\\ud800"}\n', r"in\.jsonl:1: .*surrogate"),
        ("in.csv", "text,n\na,1\nb\n", r"in\.csv:3: 1 cells where the header has 2"),
        ("in.csv", "", r"in\.csv: empty"),
        ("in.xlsx", "text", r"in\.xlsx: unknown file type '\.xlsx'; known: \.csv"),
        ("in.parquet", "text", r"in\.parquet: cannot be read as Parquet"),
    ],
)
def test_a_bad_file_is_named_with_its_line_and_nothing_is_written(
    model: Model, tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        predict_file(model, tmp_path / name, tmp_path / f"out{Path(name).suffix}")
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_numbers_are_no_text(model: Model, tmp_path: Path) -> None:
    parquet.write_table(pa.table({"text": [1, 2]}), tmp_path / "in.parquet")
    with pytest.raises(DataError, match="holds int64, not text"):
        predict_file(model, tmp_path / "in.parquet", tmp_path / "out.parquet")


def test_the_file_that_is_read_is_never_written(model: Model, tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv", ROWS)
    with pytest.raises(DataError, match="name another output"):
        predict_file(model, source, source)
    with pytest.raises(DataError, match=r"name the output out\.csv"):
        predict_file(model, source, tmp_path / "out.parquet")
    with pytest.raises(DataError, match="no such file"):
        predict_file(model, tmp_path / "none.csv", tmp_path / "out.csv")


def test_a_crash_halfway_leaves_the_old_output(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "ROWS_AT_ONCE", 10)
    source, target = write(tmp_path / "in.csv", ROWS), tmp_path / "out.csv"
    target.write_text("old")

    def crash(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_file(model, source, target, progress=crash)
    assert target.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.csv", "out.csv"]
