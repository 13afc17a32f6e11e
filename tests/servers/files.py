"""The provider's files: uploaded, listed, downloaded, in memory for as long as the server runs."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.servers.chat import error
from tests.servers.protocol import Request, Response

BOUNDARY = re.compile(r'boundary="?([^";]+)"?')
FIELD = re.compile(rb'name="([^"]*)"(?:; filename="([^"]*)")?')


@dataclass(frozen=True)
class StoredFile:
    """One file, as OpenAI describes it."""

    content: bytes
    filename: str
    purpose: str
    created_at: int
    id: str = field(default_factory=lambda: f"file-{uuid.uuid4().hex[:24]}")

    def described(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.content),
            "created_at": self.created_at,
            "expires_at": None,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


class Shelf:
    """Every file there is, oldest first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.files: dict[str, StoredFile] = {}

    def put(self, content: bytes, filename: str, purpose: str) -> StoredFile:
        made = StoredFile(content, filename, purpose, int(self._clock()))
        self.files[made.id] = made
        return made

    def upload(self, request: Request) -> Response:
        """POST /v1/files"""
        try:
            parts = multipart(request)
            filename, content = parts["file"]
            purpose = parts["purpose"][1].decode()
        except (KeyError, ValueError):
            return Response.of(400, error("a file and its purpose are needed", "invalid_request_error"))
        return Response.of(200, self.put(content, filename, purpose).described())

    def listed(self, request: Request) -> Response:
        """GET /v1/files, newest first unless `order` says asc"""
        wanted = request.query.get("purpose")
        rows = [f.described() for f in self.files.values() if wanted in (None, f.purpose)]
        return page(rows, request.query, most=10_000, newest_first=request.query.get("order") != "asc")

    def one(self, request: Request, file_id: str) -> Response:
        """GET and DELETE /v1/files/{id}"""
        found = self.files.get(file_id)
        if found is None:
            return _missing(file_id)
        if request.method == "DELETE":
            del self.files[file_id]
            return Response.of(200, {"id": file_id, "object": "file", "deleted": True})
        return Response.of(200, found.described())

    def content(self, request: Request, file_id: str) -> Response:
        """GET /v1/files/{id}/content"""
        found = self.files.get(file_id)
        if found is None:
            return _missing(file_id)
        return Response(200, found.content, {"Content-Type": "application/octet-stream"})


def page(rows: Sequence[Mapping[str, Any]], query: Mapping[str, str], *, most: int, newest_first: bool) -> Response:
    """One page of a list, after the id that `after` names."""
    ordered = list(reversed(rows)) if newest_first else list(rows)
    ids = [row["id"] for row in ordered]
    after = query.get("after")
    if after is not None and after not in ids:
        return Response.of(400, error(f"no such id: {after}", "invalid_request_error"))
    start = ids.index(after) + 1 if after is not None else 0
    limit = min(most, int(query.get("limit", most)))
    shown = ordered[start : start + limit]
    listed = {"object": "list", "data": shown, "has_more": start + limit < len(ordered)}
    ends = {"first_id": shown[0]["id"], "last_id": shown[-1]["id"]} if shown else {"first_id": None, "last_id": None}
    return Response.of(200, listed | ends)


def multipart(request: Request) -> dict[str, tuple[str, bytes]]:
    """The fields of a form: name to (file name, content). Raises ValueError, KeyError."""
    found = BOUNDARY.search(request.headers["content-type"])
    if found is None:
        raise ValueError("no boundary")
    fields: dict[str, tuple[str, bytes]] = {}
    for part in request.body.split(b"--" + found[1].encode())[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        named = FIELD.search(head)
        if named is None:
            raise ValueError("a part without a name")
        fields[named[1].decode()] = ((named[2] or b"").decode(), content.removesuffix(b"\r\n"))
    return fields


def _missing(file_id: str) -> Response:
    return Response.of(404, error(f"No such File object: {file_id}", "not_found"))
