"""JSON lists of records, one after the other: files of any size, written whole or not at all, read in flat memory."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from agent.errors import DataError

CHUNK = 2**20  # bytes
NEARLY = 16  # characters before the end in which a record that is only cut off may seem wrong
_decode = json.JSONDecoder(strict=False).raw_decode
encode = json.JSONEncoder(allow_nan=False, check_circular=False).encode


@dataclass(frozen=True, slots=True)
class Record:
    """One object of a file: which one it is (1-based), the line it begins on, and what it holds."""

    number: int
    line: int
    content: dict[str, Any]

    @property
    def place(self) -> str:
        """Where it is, as a message goes on after the file's name and a colon."""
        return f" record {self.number} (line {self.line})"


@contextmanager
def written(path: Path, **how: Any) -> Iterator[IO[str]]:
    """A text file in UTF-8 to write: whole in its place afterwards, or not there at all.

    Lone surrogates are written as they are. Raises DataError where it cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", CHUNK, encoding="utf-8", errors="surrogatepass", **how) as file:
            yield file
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise DataError(f"{path}: cannot be written: {error.strerror}; name a file in a folder of yours") from None
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_all(path: Path, contents: Iterator[dict[str, Any]]) -> int:
    """Write records as one JSON list, a line each, in ASCII, so that any text survives; returns how many."""
    count = 0
    with written(path) as file:
        for content in contents:
            file.write(f"{',' if count else '['}\n{encode(content)}")
            count += 1
        file.write("\n]\n" if count else "[]\n")
    return count


def read_all(path: Path) -> Iterator[Record]:
    """The objects of a JSON list, or of a file with one object after the other (JSON lines), without holding it all.

    Raises DataError that names the record and its line where the file is no such thing.
    """
    try:
        with path.open("rb") as file:
            yield from _Reading(path, file).records()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; `labelwright queue export` writes one") from None


class _Reading:
    """A file, with the piece of it that is being looked at."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path = path
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogatepass")
        self._text = ""
        self._at = 0  # in the piece
        self._line = 1  # of that place
        self._done = False  # nothing is left in the file
        self._more()
        self._text = self._text.removeprefix("\ufeff")

    def records(self) -> Iterator[Record]:
        is_list = self._next() == "["
        if is_list:
            self._forward(1)
        number = 0
        while (mark := self._next()) not in ("", "]"):
            if number and mark == ",":
                self._forward(1)
                mark = self._next()
            if mark == "":
                break
            number += 1
            if mark != "{":
                raise DataError(f"{self._path}: record {number} (line {self._line}): a JSON object was expected")
            line = self._line
            yield Record(number, line, self._object(number))
        if is_list and self._next() == "":
            raise DataError(f"{self._path}: ends after record {number} without a closing `]`: it was cut off")
        if is_list:
            self._forward(1)
        if is_list and self._next():
            raise DataError(f"{self._path}:{self._line}: something comes after the list of records")

    def _object(self, number: int) -> dict[str, Any]:
        while True:
            try:
                found, end = _decode(self._text, self._at)
            except (json.JSONDecodeError, RecursionError) as error:
                if self._may_be_cut(error):
                    self._more()
                    continue
                wrong = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
                at = error.pos if isinstance(error, json.JSONDecodeError) else self._at
                line = self._line + self._text.count("\n", self._at, at)
                raise DataError(f"{self._path}: record {number} (line {line}): not JSON: {wrong}") from None
            self._forward(end - self._at)
            assert isinstance(found, dict)  # it began with a brace
            return found

    def _may_be_cut(self, error: Exception) -> bool:
        """Whether more of the file may make sense of a record."""
        if self._done or not isinstance(error, json.JSONDecodeError):
            return False
        return error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - NEARLY

    def _next(self) -> str:
        """The next character that is no blank, "" at the end of the file."""
        while True:
            rest = self._at
            while rest < len(self._text) and self._text[rest] in " \t\r\n":
                rest += 1
            self._forward(rest - self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            if self._done:
                return ""
            self._more()

    def _forward(self, characters: int) -> None:
        self._line += self._text.count("\n", self._at, self._at + characters)
        self._at += characters

    def _more(self) -> None:
        """Take the next piece of the file; what was read already is let go. A long record takes ever larger ones."""
        data = self._file.read(max(CHUNK, len(self._text) - self._at))
        self._done = not data
        try:
            more = self._decoder.decode(data, final=self._done)
        except UnicodeDecodeError as error:
            line = self._line + self._text.count("\n", self._at) + data.count(b"\n", 0, error.start)
            raise DataError(f"{self._path}:{line}: not UTF-8; export it as JSON once more") from None
        self._text = self._text[self._at :] + more
        self._at = 0
