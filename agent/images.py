"""Pictures that stand beside texts: found where a file of texts names them, checked, and read when they are needed.

A name comes out of somebody's file, so it is never trusted: nothing outside of one folder is opened. Knows files and
bytes; no job, no text and no way to look into a picture.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from agent.errors import DataError
from agent.picture import Reference

MOST_BYTES = 20 * 1024 * 1024
"""What the large providers take of one picture, at most."""
KNOWN = "PNG, JPEG, WebP or GIF"
BEGINS = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
)
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


class Image(NamedTuple):
    """A picture as it lies on disk: its bytes, and their type as HTTP names it."""

    raw: bytes
    media_type: str

    @property
    def uri(self) -> str:
        """The picture as a `data:` URI."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.raw).decode('ascii')}"


@dataclass(frozen=True)
class Images:
    """The pictures of one folder."""

    folder: Path

    def found(self, name: str, place: str) -> Reference:
        """The picture that a cell names. Raises DataError, which begins with `place`: the file and line of the cell.

        Raises DataError for a name that leads out of the folder, an address, no file, a file that is too large or no
        picture.
        """
        if ADDRESS.match(name):
            said = f"`data.image` holds {name[:40]!r}, an address; save the picture, and name its file"
            raise DataError(f"{place}: {said}")
        if not name.isprintable():
            raise DataError(f"{place}: `data.image` holds {name[:60]!r}, which is no name of a file")
        try:
            raw = self._read(name)
            _media_type(raw, name)
        except DataError as error:
            raise DataError(f"{place}: {error}") from None
        return Reference(PurePosixPath(name).as_posix(), hashlib.sha256(raw).hexdigest())

    def read(self, picture: Reference) -> Image:
        """The bytes of a picture that was found once. Raises DataError where it is not there any more, or another."""
        raw = self._read(picture.path)
        if hashlib.sha256(raw).hexdigest() != picture.sha256:
            raise DataError(
                f"{self.folder / picture.path}: has changed since the pool was read; put the old picture back, or "
                "save the new one under a name of its own and name that in the pool"
            )
        return Image(raw, _media_type(raw, picture.path))

    def _read(self, name: str) -> bytes:
        path = self.folder / name
        try:
            real = path.resolve()
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or not self._holds(real):
                said = f"picture {name[:80]!r} leads out of {self.folder}"
                raise DataError(f"{said}; put it there, and name its path in that folder")
            if not real.is_file():
                raise DataError(f"no picture {name[:80]!r} in {self.folder}")
            if real.stat().st_size > MOST_BYTES:
                size = f"{real.stat().st_size / 1e6:.1f} MB, more than {MOST_BYTES / 1e6:.0f}"
                raise DataError(f"picture {name[:80]!r} has {size}; save it smaller")
            return real.read_bytes()
        except (OSError, ValueError) as error:
            raise DataError(f"picture {path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None

    def _holds(self, real: Path) -> bool:
        return real.is_relative_to(self.folder.resolve())


def _media_type(raw: bytes, name: str) -> str:
    """By its first bytes, whatever its name says. Raises DataError."""
    for begins, media_type in BEGINS:
        if begins.match(raw):
            return media_type
    said = "is empty" if not raw else f"is not {KNOWN} by its first bytes"
    raise DataError(f"picture {name[:80]!r} {said}; save it as one of {KNOWN}")
