"""A knowledge graph's file, and what texts mention of it: the matcher against a slow, obvious one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from agent import picking
from agent.errors import DataError, JobFileError
from agent.job import Job
from agent.pool.knowledge import Graph, Mentions, read_graph, split
from agent.workbench import Workbench
from tests.pool.making import job, pool_of, write_csv, write_jsonl
from tests.whole.jobs import WORDS, write_job


def graph(folder: Path, *rows: str) -> Graph:
    (folder / "graph.txt").write_text("\n".join(rows), encoding="utf-8")
    return read_graph(folder / "graph.txt")


def said(found: Graph, text: str) -> list[str]:
    return [found.names[i] for i in found.mentioned(text)]


# Matching ---------------------------------------------------------------------------------------------------------


def slow(forms: dict[tuple[str, ...], int], text: str) -> set[int]:
    """At every word, every form is tried, the longest first."""
    words, found, at = re.findall(r"\w+", text.casefold()), set(), 0
    while at < len(words):
        fitting = [f for f in forms if tuple(words[at : at + len(f)]) == f]
        best = max(fitting, key=len, default=None)
        if best is not None:
            found.add(forms[best])
        at += len(best) if best else 1
    return found


phrases = st.lists(st.sampled_from("abcd"), min_size=1, max_size=3).map(tuple)


@given(st.lists(phrases, min_size=1, max_size=8, unique=True), st.lists(st.sampled_from("abcdeAB"), max_size=30))
def test_the_matcher_finds_what_trying_every_name_everywhere_finds(names: Any, words: list[str]) -> None:
    found = Graph(tuple(map(" ".join, names)), {name: (i,) for i, name in enumerate(names)})
    text = " ".join(words)
    assert found.mentioned(text) == sorted(slow({n: i for i, n in enumerate(names)}, text))


def test_whole_words_count_whatever_their_case(tmp_path: Path) -> None:
    found = graph(tmp_path, "Ada", "straße", "C++", "U.S.")
    assert said(found, "ADA and Adam, on the STRASSE") == ["Ada", "straße"]
    assert said(found, "c, c+ and (C++); the u.s. too, not us") == ["C++", "U.S."]


def test_the_longest_name_takes_its_words(tmp_path: Path) -> None:
    found = graph(tmp_path, "York", "New York", "New York Times", "Times Square")
    assert said(found, "The New York Times Square") == ["New York Times"]
    assert said(found, "New York, York") == ["York", "New York"]


def test_scripts_without_blanks_are_matched_by_character(tmp_path: Path) -> None:
    found = graph(tmp_path, "東京", "กรุงเทพ", "राम")
    assert said(found, "彼は東京都に住む") == ["東京"]
    assert said(found, "ไปกรุงเทพฯกัน") == ["กรุงเทพ"]
    assert said(found, "रामायण") == []
    assert said(found, "राम घर") == ["राम"]


def test_two_ways_of_writing_a_character_are_the_same(tmp_path: Path) -> None:
    assert said(graph(tmp_path, "Zoe\u0308"), "Zo\u00eb") == ["Zoe\u0308"]
    assert split("Ｂｏｎｎ") == ["bonn"]


# Files ------------------------------------------------------------------------------------------------------------


def as_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    write_jsonl(path, rows)


def as_tsv(path: Path, rows: list[dict[str, Any]]) -> None:
    write_csv(path, rows, "\t")


def as_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    parquet.write_table(pa.Table.from_pylist(rows), path)


WRITERS: dict[str, Callable[[Path, list[dict[str, Any]]], None]] = {
    "csv": write_csv,
    "tsv": as_tsv,
    "jsonl": as_jsonl,
    "parquet": as_parquet,
}


@pytest.mark.parametrize("kind", WRITERS)
def test_an_entity_is_known_by_its_aliases_in_every_format(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"graph.{kind}"
    WRITERS[kind](path, [{"entity": "New York", "type": "city", "aliases": "NYC|Big Apple", "note": "x"}])
    found = read_graph(path)
    assert found.names == ("New York (city)",)
    assert [found.mentioned(t) for t in ("in nyc", "the big apple", "new york", "york")] == [[0], [0], [0], []]


@pytest.mark.parametrize("kind", WRITERS)
def test_a_relation_is_mentioned_where_head_and_tail_are(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"graph.{kind}"
    rows = [("Bonn", "is in", "Germany"), ("Ada", "lives in", "Bonn"), ("Bonn", "is in", "Germany")]
    WRITERS[kind](path, [{"head": h, "relation": r, "tail": t} for h, r, t in rows])
    found = read_graph(path)
    assert said(found, "Germany and Bonn") == ["Bonn", "Germany", "Bonn | is in | Germany"]
    assert said(found, "Ada of Germany") == ["Germany", "Ada"]
    assert len(found.names) == 5


def test_entities_that_differ_in_case_are_one_and_namesakes_are_both_meant(tmp_path: Path) -> None:
    path = tmp_path / "graph.csv"
    rows = [("Jordan River", "Jordan"), ("Michael Jordan", "Jordan"), ("JORDAN RIVER", "the Jordan")]
    write_csv(path, [{"entity": e, "aliases": a} for e, a in rows])
    assert said(read_graph(path), "Jordan") == ["Jordan River", "Michael Jordan"]
    assert said(read_graph(path), "by the Jordan") == ["Jordan River"]


BAD = {
    "empty.csv": ("", "empty"),
    "empty.txt": ("\n \n", r"empty.txt: no entity in it \(`selection.knowledge`\)"),
    "header.csv": ("entity\n", "header.csv: no entity in it"),
    "column.csv": ("name,kind\nBonn,city\n", r"no column `entity`.*the columns there are 'name', 'kind'"),
    "half.csv": ("head,tail\nBonn,Germany\n", "nor `head`, `relation` and `tail`"),
    "blank.csv": ("entity,type\nBonn,city\n,city\n", r"blank.csv:3: `entity` is empty; give it a name or remove"),
    "hole.jsonl": ('{"entity": "Bonn"}\n{"entity": null}\n', "hole.jsonl:2: `entity` holds nothing"),
    "list.jsonl": ('{"entity": ["Bonn"]}\n', "list.jsonl:1: `entity` holds list"),
    "broken.jsonl": ("Bonn\n", "broken.jsonl:1: not a JSON object"),
    "ragged.csv": ("entity,type\nBonn\n", "ragged.csv:2: 1 cells where the header has 2"),
    "what.pdf": ("Bonn", "unknown file type '.pdf'"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_named_with_the_way_out(tmp_path: Path, name: str) -> None:
    content, message = BAD[name]
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_graph(tmp_path / name)


def test_bytes_that_are_not_text_and_a_missing_file_are_told(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"Bonn\nK\xf6ln\n")
    with pytest.raises(DataError, match=r"latin.txt:2: not UTF-8"):
        read_graph(tmp_path / "latin.txt")
    with pytest.raises(DataError, match=r"no such file; set `selection.knowledge`"):
        read_graph(tmp_path / "none.txt")


# A pool -----------------------------------------------------------------------------------------------------------

TEXTS = ["Ada saw Bonn", "nothing here", "bonn, Bonn", "Curie"]


def dense(mentions: Mentions, rows: list[int]) -> list[list[float]]:
    found = mentions(np.array(rows, np.int64))
    assert found.dtype == np.float32
    return [list(row) for row in found.toarray()]


def test_mentions_come_by_row_in_any_order(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, TEXTS)
    graph(tmp_path, "Ada", "Bonn", "Curie", "Dora")
    found = Mentions.open(tmp_path / "graph.txt", pool, tmp_path / "cache")
    assert dense(found, [2, 1, 0, 2]) == [[0, 1, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0]]
    assert found(np.empty(0, np.int64)).shape == (0, 4)
    assert (found.unmentioned, found.texts, list(found.names)) == (1, 3, ["Ada", "Bonn", "Curie", "Dora"])


def test_the_pool_is_read_once_for_a_file_and_again_when_it_changes(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, TEXTS)
    read: list[tuple[int, int]] = []

    def opened() -> Mentions:
        return Mentions.open(tmp_path / "graph.txt", pool, tmp_path / "cache", lambda *at: read.append(at))

    graph(tmp_path, "Ada")
    opened(), opened()
    assert read == [(0, 4), (4, 4)]
    graph(tmp_path, "Ada", "Curie")
    assert dense(opened(), [3]) == [[0, 1]]
    assert read == [(0, 4), (4, 4)] * 2


def test_what_a_killed_run_left_half_done_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = pool_of(tmp_path, TEXTS)
    graph(tmp_path, "Ada")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            Mentions.open(tmp_path / "graph.txt", pool, tmp_path / "cache")
    assert dense(Mentions.open(tmp_path / "graph.txt", pool, tmp_path / "cache"), [0]) == [[1]]


def test_a_graph_that_no_text_mentions_is_refused(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, TEXTS)
    graph(tmp_path, "Zorro")
    for _ in range(2):
        with pytest.raises(DataError, match="no text of the pool mentions any of its 1 entities"):
            Mentions.open(tmp_path / "graph.txt", pool, tmp_path / "cache")


class Noted:
    """A watch that keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def progress(self, what: str, done: int, total: int) -> None: ...


def test_a_job_opens_its_graph_and_tells_what_no_text_mentions(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, TEXTS)
    graph(tmp_path, "Ada", "Dora")
    made = job(tmp_path).model_copy(update={"selection": job(tmp_path).selection.model_copy(update=KNOWS)})
    made._folder = tmp_path
    watch: Any = Noted()
    bench = Workbench(made, watch)
    bench.__dict__["pool"] = pool  # the real one loads an encoder
    assert bench.mentions is not None
    assert dense(bench.mentions, [0]) == [[1, 0]]
    assert watch.notes == ["graph.txt: 1 of 2 entities and relations are mentioned by no text of the pool"]
    assert list((tmp_path / "out" / "cache").glob("mentions-*"))


KNOWS = {"knowledge": "graph.txt"}


def test_a_job_without_a_graph_has_none(tmp_path: Path) -> None:
    assert Workbench(job(tmp_path)).mentions is None


def test_a_round_of_a_job_covers_the_graph(tmp_path: Path) -> None:
    changes = {"selection__strategy": "knowledge", "selection__knowledge": "words.txt", "selection__batch": 6}
    path = write_job(tmp_path, pool=60, oracle__base_url="http://127.0.0.1:9/v1", data__gold=None, **changes)
    (tmp_path / "words.txt").write_text("\n".join(w for words in WORDS.values() for w in words), encoding="utf-8")
    with Workbench(Job.load(path)) as bench:
        bench.own()
        picks = picking.select(bench, 1, affordable=100)
    chosen = [p for p in picks if p.slice == "unsure"]
    covers = [name for p in chosen for name in p.why["covers"]]
    assert (len(picks), len(chosen)) == (6, 5)
    assert 8 < len(covers) == len(set(covers))
    assert not {w for p in picks if p.slice == "random" for w in split(p.text)} & set(covers)


@pytest.mark.parametrize(
    "strategy", ["knowledge", {"strategy": "bandit", "options": {"arms": ["margin", "knowledge"]}}]
)
def test_a_strategy_that_lacks_its_graph_is_told_before_anything_is_picked(tmp_path: Path, strategy: object) -> None:
    changes: dict[str, object] = {"selection__strategy": strategy}
    if isinstance(strategy, dict):
        changes = {"selection__strategy": strategy["strategy"], "selection__options": strategy["options"]}
    path = write_job(tmp_path, pool=60, oracle__base_url="http://127.0.0.1:9/v1", data__gold=None, **changes)
    with Workbench(Job.load(path)) as bench:
        bench.own()
        with pytest.raises(JobFileError, match=r"knowledge needs `selection\.knowledge`"):
            picking.select(bench, 0, affordable=100)
        assert bench.picks() == {}
