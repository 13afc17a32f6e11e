"""Whatever is wrong with a pool is said in one message: which file, where in it, and the way out."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from agent.errors import DataError
from tests.pool.making import opened, words, write_csv, write_jsonl, write_parquet


def complaint(folder: Path, **data: Any) -> str:
    with pytest.raises(DataError) as caught:
        opened(folder, **data)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("pool.csv", b"", r"pool\.csv: empty \(0 bytes\)"),
        ("pool.jsonl", b"", r"pool\.jsonl: empty \(0 bytes\)"),
        ("pool.csv", b"text,b\n", r"pool\.csv: a header and no rows"),
        ("pool.csv", b"b,text\n1,\n2, \n", r"none of its 2 rows has a text to label \(2 empty, 0 over-long\)"),
        ("pool.csv", b"text,b\na,b\nc\n", r"pool\.csv:3: 1 cells where the header has 2"),
        (
            "pool.csv",
            b'text,b\n"a\nb",1\nc,d,e\n',
            r"pool\.csv:4: 3 cells where the header has 2; .* in double quotes",
        ),
        ("pool.csv", b'text\nfine\n"never closed\nmore\n', r"pool\.csv:3: a double quote is opened and never closed"),
        ("pool.csv", b'text\n"a"b\n', r"pool\.csv:2: .*expected after"),
        ("pool.csv", b"text\nabc\nd\xff\n", r"pool\.csv:3: not UTF-8: byte 0xff at offset 10; save .* as UTF-8"),
        ("pool.csv", "text\na\n".encode("utf-16"), r"pool\.csv: UTF-16, not UTF-8"),
        ("pool.csv", b"txet,id\na,1\n", r"no column 'text' \(`data\.text`\); .* 'txet', 'id'; did you mean 'txet'\?"),
        ("pool.csv", b"id;text\n1;a\n", r"it seems separated by ';': save it with commas"),
        ("pool.csv", b"text,text\na,b\n", r"pool\.csv: column 'text' \(`data\.text`\) stands there 2 times"),
        ("pool.jsonl", b'{"text": "a"}\n{"text": \n', r"pool\.jsonl:2: not a JSON object"),
        ("pool.jsonl", b'\n["a"]\n', r"pool\.jsonl:2: a JSON list; each line must be one object"),
        ("pool.jsonl", b'{"text": "a"}\n{"txt": "b"}\n', r"pool\.jsonl:2: no column 'text'.* did you mean 'txt'\?"),
        ("pool.jsonl", b'{"text": "a"}\n{"text": "\xff"}\n', r"pool\.jsonl:2: not UTF-8: byte 0xff at offset 24"),
        ("pool.jsonl", b'{"text": null}\n', r"pool\.jsonl:1: `data\.text` is null; remove the row"),
        ("pool.jsonl", b'{"text": 5}\n', r"pool\.jsonl:1: `data\.text` holds int '5', not text"),
        ("pool.jsonl", b'{"text": "\\ud800"}\n', r"pool\.jsonl:1: `data\.text` holds half of a surrogate pair"),
        ("pool.parquet", b"PAR1", r"pool\.parquet: cannot be read as Parquet"),
        ("pool.xlsx", b"x", r"pool\.xlsx: unknown file type '\.xlsx' \(`data\.pool`\); known: \.csv, \.tsv"),
    ],
)
def test_a_file_that_is_wrong_says_where(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    found = complaint(tmp_path, pool=name)
    assert re.search(said, found), found
    assert not list((tmp_path / "out" / "cache").glob("pool-*"))


@pytest.mark.parametrize("name", ["nowhere.csv", "./nowhere", "a/b/c"])
def test_a_missing_file_is_named_with_its_key(tmp_path: Path, name: str) -> None:
    assert "no such file or folder; set `data.pool`" in complaint(tmp_path, pool=name)


def test_a_name_that_is_no_file_and_that_the_hub_does_not_give_says_both(tmp_path: Path) -> None:
    said = complaint(tmp_path, pool="owner/name")
    assert "no file or folder beside the job file, and as a hub id it gave no data" in said


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert "a folder with no file of a known type" in complaint(tmp_path, pool="folder")


def test_a_split_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    import datasets

    datasets.DatasetDict({"train": datasets.Dataset.from_dict({"text": ["a"]})}).save_to_disk(str(tmp_path / "saved"))
    assert "no split 'test' (`data.split`); there are 'train'" in complaint(tmp_path, pool="saved", split="test")


def test_a_null_in_parquet_is_named_by_its_row(tmp_path: Path) -> None:
    write_parquet(tmp_path / "pool.parquet", [{"text": "a"}, {"text": None}])
    assert "pool.parquet, row 2: `data.text` is null" in complaint(tmp_path, pool="pool.parquet")


def test_bytes_in_parquet_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    broken = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")])
    parquet.write_table(pa.table({"text": broken}), tmp_path / "pool.parquet")
    assert "rows 1 to 1 hold text that is not UTF-8" in complaint(tmp_path, pool="pool.parquet")


@pytest.mark.parametrize("write", [write_csv, write_jsonl])
def test_one_id_of_two_texts_is_refused_by_name(tmp_path: Path, write: Callable[..., None]) -> None:
    rows = [
        {"key": "x1", "text": "a"},
        {"key": "x2", "text": "b"},
        {"key": "x1", "text": "a"},
        {"key": "x2", "text": "c"},
    ]
    name = "pool.csv" if write is write_csv else "pool.jsonl"
    write(tmp_path / name, rows)
    assert "id 'x2' belongs to two different texts (rows 2 and 4)" in complaint(tmp_path, pool=name, id="key")


def test_a_row_without_an_id_is_named(tmp_path: Path) -> None:
    write_csv(tmp_path / "pool.csv", [{"key": "1", "text": "a"}, {"key": "", "text": "b"}])
    assert "pool.csv:3: `data.id` is empty" in complaint(tmp_path, id="key")


def test_an_over_long_text_is_refused_where_the_job_says_so(tmp_path: Path) -> None:
    write_csv(tmp_path / "pool.csv", [{"text": "short"}, {"text": "one " * 9}])
    with pytest.raises(DataError, match=r"pool\.csv:3: 9 tokens, more than data\.max_tokens = 8; raise it, or set"):
        opened(tmp_path, words, max_tokens=8, over_long="refuse")


def test_an_output_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    write_csv(tmp_path / "pool.csv", [{"text": "a"}])
    (tmp_path / "out").write_text("a file where the folder should be")
    assert str(tmp_path / "out") in complaint(tmp_path)
