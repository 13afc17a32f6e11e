"""A hub on this machine: the few routes that putting a model or a data set on the Hugging Face hub takes.

It keeps what arrives in memory, byte for byte, and knows one token and the owners that it may write for.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LARGE = (".safetensors", ".parquet", ".onnx", ".arrow")


@dataclass
class Repository:
    """What was put there."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: int = 0


class Hub:
    """Started by `with`; `repositories` holds what came, by `model/OWNER/NAME` or `dataset/OWNER/NAME`."""

    def __init__(self, token: str = "hf_right", owners: tuple[str, ...] = ("ada",)) -> None:
        self.token, self.owners = token, owners
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.failing: dict[str, int] = {}  # part of a path → status that it is answered with
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.hub = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Hub:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, method: str, path: str, body: bytes, token: str | None) -> tuple[int, Any]:
        """Status and JSON."""
        self.asked.append(f"{method} {path}")
        for part, status in self.failing.items():
            if part in path:
                why = "it is not the day for that"
                return status, {"error": why, "errors": [{"message": why}]}
        if method == "PUT":
            self.large[hashlib.sha256(body).hexdigest()] = body
            return 200, {}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        return self._of_repositories(path, body) if token == self.token else (401, {"error": "Invalid credentials"})

    def _of_repositories(self, path: str, body: bytes) -> tuple[int, Any]:
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if found := re.fullmatch(r"/(?:datasets/)?[^/]+/[^/]+\.git/info/lfs/objects/batch", path):
            return 200, {"transfer": "basic", "objects": [self._upload(o) for o in json.loads(body)["objects"]]}
        found = re.fullmatch(r"/api/(model|dataset)s/([^/]+/[^/]+)(?:/(preupload|commit|tree)/main)?", path)
        if found is None or (name := f"{found[1]}/{found[2]}") not in self.repositories:
            return 404, {"error": "Repository not found"}
        return self._about(self.repositories[name], found[2], found[3], body)

    def _create(self, wanted: dict[str, Any]) -> tuple[int, Any]:
        name = f"{wanted['organization']}/{wanted['name']}"
        key = f"{wanted.get('type') or 'model'}/{name}"
        if wanted["organization"] not in self.owners:
            return 403, {"error": f"You don't have the rights to create a repo under {wanted['organization']}"}
        if key in self.repositories:
            return 409, {"error": "You already created this repo", "url": f"{self.url}/{name}"}
        private = wanted.get("visibility") == "private" or wanted.get("private") is True
        self.repositories[key] = Repository(private)
        return 200, {"url": f"{self.url}/{name}", "name": name}

    def _upload(self, wanted: dict[str, Any]) -> dict[str, Any]:
        return wanted | {"actions": {"upload": {"href": f"{self.url}/lfs/{wanted['oid']}"}}}

    def _about(self, there: Repository, name: str, act: str | None, body: bytes) -> tuple[int, Any]:
        if act is None:
            return 200, {"id": name, "private": there.private, "sha": "0" * 40, "siblings": []}
        if act == "tree":
            listed = {path: len(content) for path, content in there.files.items()}
            return 200, [{"type": "file", "path": p, "size": n, "oid": "0" * 40} for p, n in listed.items()]
        if act == "preupload":
            paths = [f["path"] for f in json.loads(body)["files"]]
            modes = {p: "lfs" if p.endswith(LARGE) else "regular" for p in paths}
            return 200, {"files": [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in modes.items()]}
        for line in body.splitlines():
            self._change(there, json.loads(line))
        there.commits += 1
        return 200, {"commitUrl": f"{self.url}/{name}/commit/{'1' * 40}", "commitOid": "1" * 40}

    def _change(self, there: Repository, act: dict[str, Any]) -> None:
        kind, value = act["key"], act["value"]
        if kind == "file":
            there.files[value["path"]] = base64.b64decode(value["content"])
        elif kind == "lfsFile":
            there.files[value["path"]] = self.large[value["oid"]]
        elif kind == "deletedFile":
            del there.files[value["path"]]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self._body())

    def do_PUT(self) -> None:
        self._answer(self._body())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, body: bytes) -> None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        hub: Hub = self.server.hub  # type: ignore[attr-defined]
        status, said = hub.answer(self.command, self.path.partition("?")[0], body, token)
        content = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""
