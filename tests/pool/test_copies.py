"""Equal texts are one text: found by arrays of hashes, held against a dictionary."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.pool.distinct import Index, as_array, collapse, digest
from tests.pool.making import opened, pool_of, write_csv

few_texts = st.lists(st.text(st.characters(codec="utf-8"), max_size=3), min_size=1, max_size=40)


@given(few_texts)
def test_numbers_are_those_a_dictionary_gives(texts: list[str]) -> None:
    first, number = collapse(as_array([digest(t) for t in texts]))
    slow: dict[str, int] = {}
    for text in texts:
        slow.setdefault(text, len(slow))
    assert number.tolist() == [slow[t] for t in texts]
    assert [texts[i] for i in first] == list(slow)


@given(few_texts, few_texts)
def test_an_index_finds_what_a_dictionary_finds(texts: list[str], others: list[str]) -> None:
    _, number = collapse(as_array([digest(t) for t in texts]))
    index = Index.of(as_array([digest(t) for t in texts]), number)
    slow = dict(zip(texts, number.tolist(), strict=True))
    assert index.find([digest(t) for t in texts + others]).tolist() == [slow.get(t, -1) for t in texts + others]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_a_clash_is_found_exactly_where_one_id_has_two_rows(pairs: list[tuple[int, int]]) -> None:
    ids = as_array([digest(str(i)) for i, _ in pairs])
    found = Index.of(ids, np.array([r for _, r in pairs])).clashing()
    twice = {digest(str(i)) for i, r in pairs for j, s in pairs if i == j and r != s}
    assert found in twice if twice else found is None


def test_digests_that_end_in_zeros_stay_apart() -> None:
    alike = [b"a" + b"\0" * 15, b"a\0b" + b"\0" * 13, b"\0" * 16]
    assert collapse(as_array(alike))[1].tolist() == [0, 1, 2]
    assert Index.of(as_array(alike), np.arange(3)).find(alike).tolist() == [0, 1, 2]


@settings(max_examples=15)
@given(st.lists(st.sampled_from(["a", "b", "c", " ", "d e"]), min_size=1, max_size=30))
def test_copies_lead_every_row_of_the_file_to_its_text(texts: list[str]) -> None:
    kept = [(i, t) for i, t in enumerate(texts) if t.strip()]
    if not kept:
        return
    with TemporaryDirectory() as folder:
        pool = pool_of(Path(folder), texts)
        assert [(c.source_row, c.text.text) for c in pool.copies] == kept
        assert all(pool.texts()[c.row] == c.text for c in pool.copies)
        assert [t.text for t in pool.texts()] == list(dict.fromkeys(t for _, t in kept))
        assert len(pool.copies) == len(kept)


def test_each_copy_keeps_its_own_id_and_all_ids_lead_to_one_text(tmp_path: Path) -> None:
    write_csv(tmp_path / "pool.csv", [{"key": k, "text": t} for k, t in zip("xyz", "aba", strict=True)])
    pool = opened(tmp_path, id="key")
    assert [(c.id, c.row, c.text.id) for c in pool.copies] == [("x", 0, "x"), ("y", 1, "y"), ("z", 0, "x")]
    assert pool.row_of("z") == pool.row_of("x") == 0  # type: ignore[arg-type]
