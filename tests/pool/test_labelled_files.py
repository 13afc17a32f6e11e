"""Gold and seed files: every bad row is named at once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import datasets
import pytest

from agent.errors import DataError
from agent.job import TaskSettings
from agent.pool import read_labelled
from agent.tasks import Task, build
from tests.pool.making import WRITERS, job, opened, write_csv, write_jsonl, write_parquet

NAMES = ["card_arrival", "lost_card"]


def task(kind: str = "classification") -> Task:
    return build(TaskSettings(kind=kind, labels=dict.fromkeys(NAMES, "")))


def read(folder: Path, name: str, kind: str = "classification", **data: Any) -> list[tuple[str, Any]]:
    return [(t.text, v) for t, v in read_labelled(folder / name, job(folder, **data).data, task(kind))]


@pytest.mark.parametrize("name", WRITERS)
def test_labels_are_read_from_every_format(tmp_path: Path, name: str) -> None:
    rows = [{"text": "where is it", "label": "card_arrival"}, {"text": "gone", "label": "Lost_Card"}]
    WRITERS[name](tmp_path / name, rows)
    assert read(tmp_path, name) == [("where is it", "card_arrival"), ("gone", "lost_card")]


def test_several_labels_are_read_from_a_list_and_from_a_cell(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "gold.jsonl", [{"text": "both", "label": NAMES[::-1]}, {"text": "none", "label": []}])
    assert read(tmp_path, "gold.jsonl", "multilabel") == [("both", tuple(NAMES)), ("none", ())]
    write_csv(
        tmp_path / "gold.csv", [{"text": "both", "label": "lost_card|card_arrival"}, {"text": "none", "label": ""}]
    )
    assert read(tmp_path, "gold.csv", "multilabel") == [("both", tuple(NAMES)), ("none", ())]


@pytest.mark.parametrize("as_parquet", [False, True])
def test_class_numbers_of_a_data_set_read_as_their_names(tmp_path: Path, as_parquet: bool) -> None:
    features = datasets.Features(text=datasets.Value("string"), label=datasets.ClassLabel(names=NAMES))
    made = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features)
    name = "gold.parquet" if as_parquet else "gold"
    if as_parquet:
        made.to_parquet(str(tmp_path / name))
    else:
        made.save_to_disk(str(tmp_path / name))
    assert read(tmp_path, name) == [("a", "lost_card"), ("b", "card_arrival")]


def test_texts_have_no_row_unless_the_pool_holds_them(tmp_path: Path) -> None:
    write_csv(tmp_path / "pool.csv", [{"key": "x1", "text": "in the pool"}, {"key": "x2", "text": "too"}])
    write_csv(tmp_path / "gold.csv", [{"text": t, "label": NAMES[0]} for t in ("elsewhere", "too")])
    settings = job(tmp_path).data
    alone = read_labelled(tmp_path / "gold.csv", settings, task())
    assert [t.row for t, _ in alone] == [-1, -1]
    assert alone[0][0].id == hashlib.sha256(b"elsewhere").hexdigest()[:32]
    placed = read_labelled(tmp_path / "gold.csv", settings, task(), pool=opened(tmp_path, id="key"))
    assert [(t.row, t.text) for t, _ in placed] == [(-1, "elsewhere"), (1, "too")]
    assert placed[1][0].id == "x2"


def test_every_bad_row_is_named_with_the_nearest_label(tmp_path: Path) -> None:
    rows = [
        {"text": "fine", "label": "lost_card"},
        {"text": "a", "label": "card_arival"},
        {"text": "", "label": "lost_card"},
        {"text": "b", "label": "weather"},
    ]
    write_csv(tmp_path / "gold.csv", rows)
    with pytest.raises(DataError) as caught:
        read(tmp_path, "gold.csv")
    head, *lines = str(caught.value).splitlines()
    assert head == "gold.csv: 3 of its 4 rows are no good; mend or remove them (`data.gold`)"
    assert lines == [
        "gold.csv:3: unknown label 'card_arival'; did you mean 'card_arrival'?",
        "gold.csv:4: the text is empty",
        "gold.csv:5: unknown label 'weather'; the job's labels are card_arrival, lost_card",
    ]


def test_of_many_bad_rows_twenty_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    write_parquet(tmp_path / "seed.parquet", [{"text": f"t{i}", "label": "x"} for i in range(25)])
    with pytest.raises(DataError) as caught:
        read_labelled(tmp_path / "seed.parquet", job(tmp_path).data, task(), key="data.seed")
    head, *lines = str(caught.value).splitlines()
    assert "25 of its 25 rows are no good" in head
    assert "data.seed" in head
    assert lines[0].startswith("seed.parquet, row 1: unknown label 'x'")
    assert (len(lines), lines[-1]) == (21, "and 5 more")


def test_a_missing_label_column_is_named_with_its_key(tmp_path: Path) -> None:
    write_csv(tmp_path / "gold.csv", [{"text": "a", "labels": "lost_card"}])
    with pytest.raises(DataError, match=r"no column 'label' \(`data\.label`\).*did you mean 'labels'\?"):
        read(tmp_path, "gold.csv")


@pytest.mark.parametrize("content", ["", "text,label\n"])
def test_a_labelled_file_without_rows_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "gold.csv").write_text(content)
    with pytest.raises(DataError, match=r"gold\.csv"):
        read(tmp_path, "gold.csv")


def test_a_missing_labelled_file_is_named_with_its_key(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such file or folder; set `data\.seed`"):
        read_labelled(tmp_path / "none.csv", job(tmp_path).data, task(), key="data.seed")
