"""Lists of records that are larger than what is held of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import DataError
from agent.review import records
from agent.review.records import read_all, write_all

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
OBJECTS = st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=4), max_size=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("records")


@given(
    objects=OBJECTS,
    chunk=st.integers(1, 40),
    indent=st.sampled_from([None, 2]),
    lines=st.booleans(),
    ascii_only=st.booleans(),
)
def test_whatever_is_written_is_read_in_pieces_of_any_size(  # noqa: PLR0917 - drawn by hypothesis
    folder: Path, objects: list[dict[str, object]], chunk: int, indent: int | None, lines: bool, ascii_only: bool
) -> None:
    path = folder / "any.json"
    if lines:
        said = "\n".join(json.dumps(o, ensure_ascii=ascii_only) for o in objects)
    else:
        said = json.dumps(objects, indent=indent, ensure_ascii=ascii_only)
    path.write_bytes(said.encode("utf-8", "surrogatepass"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "CHUNK", chunk)
        found = list(read_all(path))
    assert [r.content for r in found] == json.loads(json.dumps(objects))
    assert [r.number for r in found] == list(range(1, len(objects) + 1))
    if lines or indent is None:
        assert [r.line for r in found] == [n + 1 if lines else 1 for n in range(len(objects))]


def test_what_we_write_has_a_line_a_record(folder: Path) -> None:
    path = folder / "ours.json"
    assert write_all(path, iter([{"a": "\ud800\0\n"}, {"b": 1}])) == 2
    assert [(r.line, r.content) for r in read_all(path)] == [(2, {"a": "\ud800\0\n"}), (3, {"b": 1})]
    assert json.loads(path.read_text("ascii")) == [{"a": "\ud800\0\n"}, {"b": 1}]


@given(objects=OBJECTS.filter(len), chunk=st.integers(1, 40), data=st.data())
def test_a_file_that_was_cut_off_never_passes_for_a_whole_one(
    folder: Path, objects: list[dict[str, object]], chunk: int, data: st.DataObject
) -> None:
    path = folder / "cut.json"
    said = json.dumps(objects)
    path.write_text(said[: data.draw(st.integers(1, len(said) - 1))], encoding="ascii")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "CHUNK", chunk)
        with pytest.raises(DataError, match=r"cut off|not JSON|record"):
            list(read_all(path))


def test_a_wrong_record_is_told_before_the_rest_of_the_file_is_held(folder: Path) -> None:
    path = folder / "wrong.json"
    path.write_text('[{"a": 1},\n{"a" 2},\n' + ",\n".join(['{"a": "' + "x" * 1000 + '"}'] * 5000) + "]")
    with pytest.raises(DataError, match=r"record 2 \(line 2\): not JSON"):
        list(read_all(path))
