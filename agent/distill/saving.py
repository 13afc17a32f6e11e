"""A folder that is either wholly the old one or wholly the new one, whenever the power goes.

Knows files and nothing of what is in them.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agent.errors import ModelError

RENAME_EXCHANGE = 2
AT_FDCWD = -100


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Yields an empty folder beside `folder`, which takes its place when the block ends without an error.

    Everything is flushed to disk first. An error inside leaves the old folder as it was. Only one process may replace
    a folder at a time (a job's lock sees to that). Raises ModelError where nothing can be written there.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
        partial.mkdir(parents=True)
    except OSError as error:
        raise ModelError(f"{folder}: cannot be written: {error.strerror or error}; name another folder") from None
    try:
        yield partial
        for path in [*partial.rglob("*"), partial]:
            flush(path)
        _put(partial, folder)
        flush(folder.parent)
    except OSError as error:
        said = error.strerror or str(error)
        raise ModelError(f"{folder}: cannot be written: {said}; make room, or name another folder") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """The same for one file."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        flush(partial)
        partial.replace(path)
        flush(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """What was written to a file or folder is on the disk when this returns."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _put(new: Path, old: Path) -> None:
    """Move `new` to `old`; what stood there is then at `new`, to be removed."""
    if old.is_dir() and any(old.iterdir()):
        if not _exchange(new, old):  # no such call here: for a moment the old one stands beside its name
            aside = old.with_name(f".{old.name}.old")
            shutil.rmtree(aside, ignore_errors=True)
            old.rename(aside)
            new.rename(old)
            shutil.rmtree(aside, ignore_errors=True)
    else:
        new.rename(old)


def _exchange(a: Path, b: Path) -> bool:
    """Swap two folders in one step, as Linux can (renameat2). False where the system or file system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    with suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None, use_errno=True)
        return bool(libc.renameat2(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), RENAME_EXCHANGE) == 0)
    return False
