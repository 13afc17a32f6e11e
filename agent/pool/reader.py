"""Finds what a data setting names (a file, a folder, a hub id) and reads it a batch of rows at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from agent.errors import DataError
from agent.pool.batch import Batch, Columns, check_columns
from agent.pool.lines import ROWS_AT_ONCE, read_csv, read_jsonl
from agent.pool.squad import read_squad


def read_parquet(path: Path, columns: Columns) -> Iterator[Batch]:
    """Rows of a Parquet file; class numbers that `datasets` wrote come back as their names."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            check_columns(path.name, columns, file.schema_arrow.names)
            classes = _classes(file.schema_arrow.metadata)
            tables = file.iter_batches(batch_size=ROWS_AT_ONCE, columns=list(dict.fromkeys(columns.values())))
            yield from _arrow(path.name, columns, tables, classes)
    except (pa.ArrowInvalid, OSError) as error:
        said = str(error).strip().splitlines()[0]
        raise DataError(f"{path.name}: cannot be read as Parquet ({said})") from None


def read_dataset(dataset: Any, name: str, columns: Columns) -> Iterator[Batch]:
    """Rows of a `datasets.Dataset`; class numbers come back as their names."""
    check_columns(name, columns, dataset.column_names)
    classes = {c: f.names for c, f in dataset.features.items() if hasattr(f, "int2str")}
    chosen = dataset.select_columns(list(dict.fromkeys(columns.values()))).with_format("arrow")
    yield from _arrow(name, columns, chosen.iter(batch_size=ROWS_AT_ONCE), classes)


READERS: dict[str, Callable[[Path, Columns], Iterator[Batch]]] = {
    ".csv": read_csv,
    ".tsv": partial(read_csv, delimiter="\t"),
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".parquet": read_parquet,
}
ALONE: dict[str, Callable[[Path, Columns], Iterator[Batch]]] = {".json": read_squad}
"""Files that are read where they are named, and left alone in a folder."""


@dataclass(frozen=True)
class Source:
    """What a data setting names.

    Attributes:
        name: as the person wrote it.
        identity: changes when the content does, as far as can be told without reading it.
        read: columns → batches of rows, as often as asked.
    """

    name: str
    identity: str
    read: Callable[[Columns], Iterator[Batch]]


def find(path: Path, key: str, split: str = "train") -> Source:
    """The source at a path. `key` is the setting that named it. Raises DataError."""
    if path.is_file():
        reader = (READERS | ALONE).get(path.suffix.lower())
        if reader is None:
            raise DataError(f"{path}: unknown file type {path.suffix!r} (`{key}`); known: {_known()}")
        return Source(path.name, _stamp([path]), partial(reader, path))
    if not path.is_dir():
        raise DataError(f"{path}: no such file or folder; set `{key}` to one, relative to the job file")
    if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
        stamp = _stamp(sorted(p for p in path.rglob("*") if p.is_file()))
        read = partial(read_dataset, _saved(path, split), path.name)
        return Source(path.name, f"{stamp} {split}", read)
    files = sorted(p for p in path.iterdir() if p.is_file() and p.suffix.lower() in READERS and p.name[0] != ".")
    if not files:
        raise DataError(f"{path}: a folder with no file of a known type (`{key}`); known: {_known()}")
    return Source(path.name, _stamp(files), partial(_read_all, files))


def find_on_hub(name: str, key: str, split: str, cache: Path) -> Source:
    """A data set of the Hugging Face hub, or of its local cache where there is no network. Raises DataError."""
    datasets = quiet_datasets()
    try:
        found = datasets.load_dataset(name, split=split, cache_dir=str(cache))
    except Exception as error:  # the hub's client raises dozens of kinds, and all mean: no data set
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"`{key}`: {name!r} is no file or folder beside the job file, and as a hub id it gave no data ({said})"
        ) from None
    return Source(name, f"{name} {split} {found._fingerprint}", partial(read_dataset, found, name))


def looks_like_file(name: str) -> bool:
    """Whether a name that does not exist was meant as a path, and not as a hub id."""
    return Path(name).suffix.lower() in {*READERS, ".json", ".txt", ".xlsx", ".arrow", ".gz", ".zip"} or (
        name.startswith((".", "/", "~")) or name.count("/") > 1 or name.endswith("/")
    )


def quiet_datasets() -> Any:
    """The `datasets` package, without progress bars or telemetry."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import datasets

    datasets.disable_progress_bars()
    return datasets


def _read_all(files: list[Path], columns: Columns) -> Iterator[Batch]:
    for path in files:
        yield from READERS[path.suffix.lower()](path, columns)


def _saved(path: Path, split: str) -> Any:
    """What `save_to_disk` wrote; of several splits, the one the job names."""
    datasets = quiet_datasets()
    try:
        found = datasets.load_from_disk(str(path))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: cannot be read as a saved data set ({error})") from None
    if not isinstance(found, datasets.DatasetDict):
        return found
    if split not in found:
        raise DataError(f"{path}: no split {split!r} (`data.split`); there are {', '.join(map(repr, found))}")
    return found[split]


def _arrow(file: str, columns: Columns, tables: Iterator[Any], classes: dict[str, list[str]]) -> Iterator[Batch]:
    start = 1
    for table in tables:
        try:
            read = {name: table.column(name).to_pylist() for name in columns.values()}
        except UnicodeDecodeError:
            said = f"rows {start} to {start + table.num_rows - 1} hold text that is not UTF-8"
            raise DataError(f"{file}: {said}; write it as UTF-8") from None
        for name, names in classes.items():
            if name in read:
                read[name] = [names[c] if isinstance(c, int) and 0 <= c < len(names) else c for c in read[name]]
        cells = {key: read[name] for key, name in columns.items()}
        yield Batch(cells, file, range(start, start + table.num_rows), by_line=False)
        start += table.num_rows


def _classes(metadata: dict[bytes, bytes] | None) -> dict[str, list[str]]:
    """Column → class names, from the note that `datasets` leaves in a Parquet file."""
    note = json.loads((metadata or {}).get(b"huggingface", b"{}"))
    features = note.get("info", {}).get("features", {})
    return {c: f["names"] for c, f in features.items() if isinstance(f, dict) and f.get("_type") == "ClassLabel"}


def _stamp(files: list[Path]) -> str:
    return " ".join(f"{p.resolve()}:{p.stat().st_size}:{p.stat().st_mtime_ns}" for p in files)


def _known() -> str:
    return f"{', '.join(READERS)}, .json as SQuAD's, a folder of such files, or a data set that `datasets` saved"
