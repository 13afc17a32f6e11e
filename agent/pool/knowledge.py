"""A user's knowledge graph: which entities and relations each text of the pool mentions, found once and kept on disk.

Knows names and words; nothing of what an entity means, and nothing of labels.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from agent.errors import DataError
from agent.picture import words_of
from agent.pool.lock import locked
from agent.pool.pool import Pool
from agent.pool.reader import READERS
from agent.records import Rows

KEY = "selection.knowledge"
TRIPLE = ("head", "relation", "tail")
VERSION = 1  # of the matching: what is on disk from another one is made again
BLOCK = 4096

# Scripts that write no blanks (Thai to Khmer, Chinese, Japanese): every character is a word of its own there.
_ALONE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# Vowel signs and accents that Python does not count as letters, so that a word is not cut at each of them.
_MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0dff"
_WORD = re.compile(rf"[{_ALONE}]|(?:[^\W{_ALONE}]|[{_MARKS}])+|[^\w\s]")

Words = tuple[str, ...]


@dataclass(frozen=True)
class Graph:
    """Entities and relations, each a column: first the E entities, then the R relations.

    Attributes:
        names: E + R names as the person wrote them: `Berlin`, and `Berlin | capital of | Germany`.
        forms: the words of a name or alias → the entities (0 to E - 1) that are called so.
        relations: head and tail (0 to E - 1) of each relation.
    """

    names: tuple[str, ...]
    forms: Mapping[Words, tuple[int, ...]]
    relations: tuple[tuple[int, int], ...] = ()

    @cached_property
    def _lengths(self) -> dict[str, tuple[int, ...]]:
        """First word of a form → how many words such forms have, longest first."""
        found: dict[str, set[int]] = {}
        for form in self.forms:
            found.setdefault(form[0], set()).add(len(form))
        return {word: tuple(sorted(lengths, reverse=True)) for word, lengths in found.items()}

    @cached_property
    def _by_head(self) -> dict[int, list[tuple[int, int]]]:
        """Head → (tail, column) of its relations."""
        first = len(self.names) - len(self.relations)
        found: dict[int, list[tuple[int, int]]] = {}
        for at, (head, tail) in enumerate(self.relations):
            found.setdefault(head, []).append((tail, first + at))
        return found

    def mentioned(self, text: str) -> list[int]:
        """The columns that a text mentions, ascending.

        Whole words, whatever their case; from left to right, the longest name that begins at a word, and the words
        of one name belong to no other: `New York Times` does not mention New York. A relation is mentioned where
        its head and its tail are. O(words of the text), however many entities there are.
        """
        words, lengths, forms = split(text), self._lengths, self.forms
        found: set[int] = set()
        end = 0
        for at in [i for i, word in enumerate(words) if word in lengths]:
            if at < end:
                continue
            for length in lengths[words[at]]:
                entities = forms.get(tuple(words[at : at + length]))
                if entities is not None:
                    found.update(entities)
                    end = at + length
                    break
        if self.relations:
            found.update([c for head in found for tail, c in self._by_head.get(head, ()) if tail in found])
        return sorted(found)


def split(text: str) -> list[str]:
    """The words and signs of a text as they are compared: case and the way of writing a character do not count."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return _WORD.findall(plain.casefold())


class Mentions:
    """What each text of a pool mentions, read where it lies on disk.

    Attributes:
        names: of the E columns.
        unmentioned: columns that no text of the pool mentions.
        texts: texts of the pool that mention anything.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        self.names = names
        self.unmentioned: int = about["unmentioned"]
        self.texts: int = about["texts"]
        self._starts: Rows = np.load(folder / "starts.npy", mmap_mode="r")
        size = int(self._starts[-1])  # an empty file cannot be mapped
        self._columns: Any = (
            np.memmap(folder / "columns", np.int32, "r", shape=(size,)) if size else np.empty(0, "i4")
        )

    def __call__(self, rows: Rows) -> Any:
        """(m, E) scipy.sparse CSR array of float32 ones: what the m rows mention."""
        from scipy import sparse

        rows = np.asarray(rows, np.int64)
        starts, counts = self._starts[rows], self._starts[rows + 1] - self._starts[rows]
        ends = np.concatenate([[0], np.cumsum(counts)])
        columns = self._columns[np.arange(ends[-1]) + np.repeat(starts - ends[:-1], counts)]
        ones = np.ones(len(columns), np.float32)
        return sparse.csr_array((ones, columns, ends), shape=(len(rows), len(self.names)))

    @classmethod
    def open(
        cls, path: Path, pool: Pool, cache: Path, progress: Callable[[int, int], None] | None = None
    ) -> Mentions:
        """Find what the pool mentions of the graph in a file, once; later calls read it in `cache`.

        `progress` is called with (texts done, texts in all). Raises DataError: the file cannot be used, no text of
        the pool mentions anything of it, or the cache cannot be written.
        """
        graph = read_graph(path)
        what = [VERSION, unicodedata.unidata_version, pool.key, hashlib.sha256(path.read_bytes()).hexdigest()]
        folder = cache / f"mentions-{hashlib.sha256(json.dumps([*what, path.suffix]).encode()).hexdigest()[:16]}"
        try:
            with locked(cache / "mentions.lock"):
                if not folder.is_dir():
                    _find(graph, pool, folder, progress or (lambda done, total: None))
        except OSError as error:
            raise DataError(f"{folder}: {error.strerror or error}; set `output` to a folder with room") from None
        made = cls(folder, graph.names)
        if not made.texts:
            raise DataError(
                f"{path}: no text of the pool mentions any of its {len(graph.names)} entities and relations "
                f"(`{KEY}`); write them as the texts do, or add `aliases`"
            )
        return made


def _find(graph: Graph, pool: Pool, folder: Path, progress: Callable[[int, int], None]) -> None:
    """What every text mentions, written block by block into a folder that takes its name once it is whole."""
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    counts = np.zeros(len(pool) + 1, np.int64)
    seen = np.zeros(len(graph.names), bool)
    progress(0, len(pool))
    with (part / "columns").open("wb") as file:
        for start in range(0, len(pool), BLOCK):
            rows = np.arange(start, min(start + BLOCK, len(pool)))
            found = [graph.mentioned(words_of(t.text)) for t in pool.texts(rows)]
            columns = np.array([c for each in found for c in each], np.int32)
            counts[rows + 1] = [len(each) for each in found]
            seen[columns] = True
            columns.tofile(file)
            progress(int(rows[-1]) + 1, len(pool))
    about = {"unmentioned": int((~seen).sum()), "texts": int((counts > 0).sum())}
    np.save(part / "starts.npy", np.cumsum(counts, out=counts))
    (part / "about.json").write_text(json.dumps(about), encoding="utf-8")
    part.rename(folder)


# Reading the file -------------------------------------------------------------------------------------------------


def read_graph(path: Path) -> Graph:
    """The graph in a file: `.txt` (one entity a line), or `.csv .tsv .jsonl .parquet` with a column `entity` (where
    wanted, `type` and `aliases` separated by `|` too) or with the columns `head`, `relation` and `tail`.

    Names that differ in case only are one entity. Raises DataError with the file, the line and the way out.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; set `{KEY}` to one, relative to the job file")
    suffix = path.suffix.lower()
    if suffix != ".txt" and suffix not in READERS:
        raise DataError(f"{path}: unknown file type {path.suffix!r} (`{KEY}`); known: .txt, {', '.join(READERS)}")
    making = _Making()
    if suffix == ".txt":
        for name in _lines(path):
            making.entity(split(name), name)
    else:
        _read_table(path, suffix, making)
    if not making.names:
        raise DataError(f"{path.name}: no entity in it (`{KEY}`); write one a line")
    return making.graph()


class _Making:
    """A graph in the making: each entity and relation once."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._entities: dict[Words, int] = {}
        self._forms: dict[Words, dict[int, None]] = {}
        self._relations: dict[tuple[int, Words, int], str] = {}

    def entity(self, words: Sequence[str], name: str) -> int:
        number = self._entities.setdefault(tuple(words), len(self.names))
        if number == len(self.names):
            self.names.append(name)
            self.form(words, number)
        return number

    def form(self, words: Sequence[str], entity: int) -> None:
        self._forms.setdefault(tuple(words), {})[entity] = None

    def relation(self, head: int, relation: str, tail: int) -> None:
        said = f"{self.names[head]} | {relation} | {self.names[tail]}"
        self._relations.setdefault((head, tuple(split(relation)), tail), said)

    def graph(self) -> Graph:
        forms = {form: tuple(entities) for form, entities in self._forms.items()}
        relations = tuple((head, tail) for head, _, tail in self._relations)
        return Graph((*self.names, *self._relations.values()), forms, relations)


def _lines(path: Path) -> Iterator[str]:
    for line, raw in enumerate(path.read_bytes().split(b"\n"), start=1):
        try:
            name = raw.decode("utf-8-sig" if line == 1 else "utf-8").strip()
        except UnicodeDecodeError:
            raise DataError(f"{path.name}:{line}: not UTF-8; save the file as UTF-8") from None
        if name:
            yield name


def _read_table(path: Path, suffix: str, making: _Making) -> None:
    there = _columns(path, suffix)
    triples = set(TRIPLE) <= set(there)
    if not triples and "entity" not in there:
        some = ", ".join(repr(c[:60]) for c in there[:20])
        said = f"{path.name}: no column `entity`, nor `head`, `relation` and `tail` (`{KEY}`)"
        raise DataError(f"{said}; the columns there are {some}: rename them, or give a .txt of one entity a line")
    wanted = TRIPLE if triples else [c for c in ("entity", "type", "aliases") if c in there]
    for batch in READERS[suffix](path, {c: c for c in wanted}):
        for i in range(len(batch)):
            row = {c: batch.cells[c][i] for c in wanted}
            (_add_triple if triples else _add_entity)(making, row, batch.place(i))


def _columns(path: Path, suffix: str) -> list[str]:
    """The columns of a file. Where it cannot be read, those of an entity file: its reader then says what is wrong."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        if suffix == ".parquet":
            return list(parquet.read_schema(path).names)
        with path.open(encoding="utf-8-sig", newline="") as file:
            if suffix in (".csv", ".tsv"):
                return next(csv.reader(file, delimiter="\t" if suffix == ".tsv" else ","), ["entity"])
            first = json.loads(next((line for line in file if line.strip()), "{}"))
            return list(first) if isinstance(first, dict) and first else ["entity"]
    except (OSError, ValueError, TypeError, csv.Error, pa.ArrowInvalid):
        return ["entity"]


def _add_triple(making: _Making, row: Mapping[str, Any], place: str) -> None:
    head, relation, tail = (_name(row[c], c, place) for c in TRIPLE)
    making.relation(making.entity(split(head), head), relation, making.entity(split(tail), tail))


def _add_entity(making: _Making, row: Mapping[str, Any], place: str) -> None:
    name = _name(row["entity"], "entity", place)
    kind = row.get("type")
    entity = making.entity(split(name), f"{name} ({kind})" if isinstance(kind, str) and kind.strip() else name)
    aliases = row.get("aliases") or ()
    for alias in aliases.split("|") if isinstance(aliases, str) else aliases:
        if isinstance(alias, str) and (words := split(alias)):
            making.form(words, entity)


def _name(cell: object, column: str, place: str) -> str:
    if isinstance(cell, int) and not isinstance(cell, bool):
        cell = str(cell)
    if not isinstance(cell, str):
        holds = "nothing" if cell is None else f"{type(cell).__name__} {cell!r:.40}"
        raise DataError(f"{place}: `{column}` holds {holds}, not a name; mend the row or remove it")
    if not split(cell):
        raise DataError(f"{place}: `{column}` is empty; give it a name or remove the row")
    return cell.strip()
