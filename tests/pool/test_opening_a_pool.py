"""A pool reads the same texts from every format, and finds them again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from agent.pool import Pool
from tests.pool.making import WRITERS, job, opened, pool_of, words, write_csv, write_jsonl, write_parquet

ODD = [
    "where is my card?",
    'he said "no", and left\nfor good',
    "NA",
    "null",
    "007",
    "  padded  ",
    "[bold] <script>alert(1)</script> \u202eright to left\u202c",
    "tab\there, NUL\0there",
    "naïve 猫 🐈‍⬛",
]


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_pool(tmp_path: Path, name: str) -> None:
    rows = [{"key": f"00{i}", "text": t} for i, t in enumerate(ODD)]
    WRITERS[name](tmp_path / name, rows)
    pool = opened(tmp_path, pool=name, id="key")
    assert [(t.id, t.text, t.row) for t in pool.texts()] == [(f"00{i}", t, i) for i, t in enumerate(ODD)]
    assert pool.key == pool_of(tmp_path, ODD).key


def test_a_folder_is_read_file_by_file_in_the_order_of_names(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    write_jsonl(folder / "b.jsonl", [{"text": "two"}])
    write_csv(folder / "a.csv", [{"text": "one"}])
    write_parquet(folder / "c.parquet", [{"text": "three"}])
    (folder / "README.md").write_text("no data")
    assert [t.text for t in opened(tmp_path, pool="many").texts()] == ["one", "two", "three"]


def test_a_split_is_chosen_from_a_saved_data_set_of_several(tmp_path: Path) -> None:
    splits = {s: datasets.Dataset.from_dict({"text": [f"a {s} text"]}) for s in ("train", "test")}
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path / "saved"))
    assert opened(tmp_path, pool="saved", split="test").texts()[0].text == "a test text"


def test_a_pandas_categorical_reads_as_text(tmp_path: Path) -> None:
    column = pa.array(["a", "b", "a"]).dictionary_encode()
    parquet.write_table(pa.table({"text": column}), tmp_path / "pool.parquet")
    assert [t.text for t in opened(tmp_path, pool="pool.parquet").texts()] == ["a", "b"]


def test_numbers_serve_as_ids(tmp_path: Path) -> None:
    write_parquet(tmp_path / "pool.parquet", [{"n": 17, "text": "a"}, {"n": 18, "text": "b"}])
    assert opened(tmp_path, pool="pool.parquet", id="n").row_of("18") == 1  # type: ignore[arg-type]


def test_a_text_without_an_id_is_named_by_its_content(tmp_path: Path) -> None:
    text = pool_of(tmp_path, ["naïve"]).texts()[0]
    assert text.id == hashlib.sha256("naïve".encode()).hexdigest()[:32]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    (tmp_path / "pool.csv").write_bytes(b"\xef\xbb\xbftext\na\n")
    (tmp_path / "pool.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "a"}\n')
    for name in ("pool.csv", "pool.jsonl"):
        assert opened(tmp_path, pool=name).texts()[0].text == "a"


def test_a_line_of_a_megabyte_is_one_text(tmp_path: Path) -> None:
    long = "word " * 200_000
    write_csv(tmp_path / "pool.csv", [{"text": long}, {"text": "short"}])
    assert [t.text for t in opened(tmp_path).texts()] == [long, "short"]


def test_texts_are_found_by_row_id_and_content(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, [f"text {i}" for i in range(10_000)])
    rows = np.array([9_999, 0, 4_321])
    texts = pool.texts(rows)
    assert [t.text for t in texts] == ["text 9999", "text 0", "text 4321"]
    assert [pool.row_of(t.id) for t in texts] == rows.tolist()
    assert pool.id_of(4_321) == texts[2].id
    assert pool.find(["text 7", "no such text"]).tolist() == [7, -1]
    assert pool.rows_of([texts[0].id, "none"]).tolist() == [9_999, -1]  # type: ignore[list-item]
    with pytest.raises(KeyError):
        pool.row_of("none")  # type: ignore[arg-type]


def test_empty_texts_are_left_out_and_counted(tmp_path: Path) -> None:
    write_csv(tmp_path / "pool.csv", [{"key": i, "text": t} for i, t in enumerate(["a", "", " \t", "b"])])
    pool = opened(tmp_path)
    assert (len(pool), pool.total_rows, dict(pool.left_out)) == (2, 4, {"empty": 2})
    assert list(pool.left_out_rows) == [(1, "empty"), (2, "empty")]
    assert [c.source_row for c in pool.copies] == [0, 3]


def test_a_pool_is_read_once_and_again_when_its_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool_of(tmp_path, ["a", "b"])
    with monkeypatch.context() as patch:
        patch.setattr("agent.pool.pool.build", lambda *_: pytest.fail("was read again"))
        assert len(opened(tmp_path, pool="pool.jsonl")) == 2
    assert len(pool_of(tmp_path, ["a", "b", "c"])) == 3


def test_what_a_dead_process_left_half_built_is_built_anew(tmp_path: Path) -> None:
    pool_of(tmp_path, ["a", "b"])
    (whole,) = (tmp_path / "out" / "cache").glob("pool-????????????????")
    part = whole.rename(whole.with_name(whole.name + ".part"))
    (part / "about.json").unlink()
    assert len(opened(tmp_path, pool="pool.jsonl")) == 2
    assert not part.exists()


def test_over_long_texts_are_skipped_and_counted(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "pool.jsonl", [{"text": "short"}, {"text": "a " * 9}, {"text": "a " * 8}])
    pool = opened(tmp_path, words, pool="pool.jsonl", max_tokens=8, over_long="skip")
    assert [t.text for t in pool.texts()] == ["short", "a " * 8]
    assert dict(pool.left_out) == {"over-long": 1}


def test_over_long_texts_are_cut_and_keep_the_id_of_the_whole(tmp_path: Path) -> None:
    whole = " ".join(f"w{i}" for i in range(100))
    write_jsonl(tmp_path / "pool.jsonl", [{"text": whole}, {"text": "w0 w1 w2 w3 w4 w5 w6 w7"}])
    pool = opened(tmp_path, words, pool="pool.jsonl", max_tokens=8, over_long="cut")
    assert [t.text for t in pool.texts()] == ["w0 w1 w2 w3 w4 w5 w6 w7"]  # what is left is one text, asked about once
    assert pool.cut == 1
    assert pool.find([whole]).tolist() == [0]
    assert pool.id_of(0) == hashlib.sha256(whole.encode()).hexdigest()[:32]


def test_a_hub_id_reads_what_the_hub_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def load_dataset(name: str, **options: Any) -> datasets.Dataset:
        asked.update(options, name=name)
        return datasets.Dataset.from_dict({"text": ["a", "b", "a"], "label": [0, 1, 0]})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    made = job(tmp_path, pool="owner/name", split="validation")
    assert len(Pool.open(made.data, made)) == 2
    assert asked == {"name": "owner/name", "split": "validation", "cache_dir": str(made.output_folder / "cache")}
