"""Two columns as one pool: read from every format, told apart, cut so that both fit, and named where wrong."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import DataError
from agent.job import Job
from agent.pairing import SIGN, join, split
from agent.pool import Pool, read_labelled
from agent.pool.overlong import cut_pairs
from agent.tasks import build
from tests.pool.making import WRITERS, words


def job(folder: Path, **data: Any) -> Job:
    settings = {
        "task": {"kind": "pairs", "labels": ["entailment", "neutral"]},
        "data": {"pool": "pool.csv", "text": "premise", "second": "hypothesis", **data},
        "oracle": {"model": "m", "tape": "tape.gz"},
        "budget": {"dollars": 1},
    }
    return Job.of(settings, folder)


def opened(folder: Path, **data: Any) -> Pool:
    made = job(folder, **data)
    return Pool.open(made.data, made, words)


def write(path: Path, rows: list[tuple[str, str]], labels: list[str] | None = None) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["premise", "hypothesis", *(["label"] if labels else [])])
        out.writerows([*row, *labels[i : i + 1]] if labels else row for i, row in enumerate(rows))


@pytest.mark.parametrize("name", WRITERS)
def test_both_columns_are_read_from_every_format(tmp_path: Path, name: str) -> None:
    rows = [{"premise": "It rains.", "hypothesis": "It is wet."}, {"premise": f"a{SIGN}", "hypothesis": "b\nc"}]
    WRITERS[name](tmp_path / name, rows)
    pool = opened(tmp_path, pool=name)
    assert [split(t.text) for t in pool.texts()] == [("It rains.", "It is wet."), (f"a{SIGN}", "b\nc")]


def test_copies_are_copies_of_both_and_a_swapped_pair_is_another(tmp_path: Path) -> None:
    write(tmp_path / "pool.csv", [("a", "b"), ("b", "a"), ("a", "b"), ("a", "c")])
    pool = opened(tmp_path)
    assert [split(t.text) for t in pool.texts()] == [("a", "b"), ("b", "a"), ("a", "c")]
    assert len({t.id for t in pool.texts()}) == 3


def test_a_pair_that_lacks_one_of_its_texts_is_left_out_and_counted(tmp_path: Path) -> None:
    write(tmp_path / "pool.csv", [("a", "b"), ("a", " "), ("", "b")])
    pool = opened(tmp_path)
    assert len(pool) == 1
    assert pool.left_out["empty"] == 2


def test_another_second_column_is_another_pool(tmp_path: Path) -> None:
    WRITERS["pool.csv"](tmp_path / "pool.csv", [{"premise": "a", "hypothesis": "b", "claim": "c"}])
    assert split(opened(tmp_path).texts()[0].text) == ("a", "b")
    assert split(opened(tmp_path, second="claim").texts()[0].text) == ("a", "c")


def test_a_missing_second_column_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    write(tmp_path / "pool.csv", [("a", "b")])
    with pytest.raises(DataError, match=r"no column 'hypotesis' \(`data.second`\).*did you mean 'hypothesis'\?"):
        opened(tmp_path, second="hypotesis")


def test_gold_is_read_from_the_same_columns_and_found_in_the_pool(tmp_path: Path) -> None:
    write(tmp_path / "pool.csv", [("a", "b")])
    write(tmp_path / "gold.csv", [("a", "b"), ("a", "c")], ["entailment", "neutral"])
    made = job(tmp_path)
    pool = Pool.open(made.data, made)
    (known, one), (new, other) = read_labelled(tmp_path / "gold.csv", made.data, build(made.task), pool=pool)
    assert (known.row, split(known.text), one) == (0, ("a", "b"), "entailment")
    assert (new.row, split(new.text), other) == (-1, ("a", "c"), "neutral")
    write(tmp_path / "gold.csv", [("a", " ")], ["neutral"])
    with pytest.raises(DataError, match=r"gold\.csv:2: a text is empty"):
        read_labelled(tmp_path / "gold.csv", made.data, build(made.task))


# over-long pairs -------------------------------------------------------------------------------------------------


@given(st.integers(1, 40), st.integers(1, 40), st.integers(8, 30))
def test_a_pair_is_cut_where_it_is_long_and_uses_the_room_that_there_is(first: int, second: int, most: int) -> None:
    if first + second <= most:
        return
    a, b = " ".join(["one"] * first), " ".join(["two"] * second)
    (found,) = cut_pairs([join(a, b)], most, words)
    left = words(list(split(found)))
    assert sum(left) <= most
    assert sum(left) >= most - 1, "half of an odd number is one less"
    assert min(left) >= min(first, second, most // 2), "a short text stays whole"


def test_over_long_pairs_are_counted_by_both_texts(tmp_path: Path) -> None:
    write(tmp_path / "pool.csv", [("one " * 6, "two " * 6), ("one", "two")])
    pool = opened(tmp_path, max_tokens=8)
    assert pool.cut == 1
    assert split(pool.texts()[0].text) == ("one one one one", "two two two two")
    made = job(tmp_path, max_tokens=8, over_long="skip")
    assert len(Pool.open(made.data, made, lambda texts: [sum(words(list(split(t)))) for t in texts])) == 1
