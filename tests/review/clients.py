"""A client of the review page without a browser."""

from __future__ import annotations

import json
from typing import Any

from starlette.testclient import TestClient

from agent.review.app import create_app
from tests.review.scenes import Scene

HOME = "http://127.0.0.1:8765"


class Page(TestClient):
    """A client that behaves as the page does: same origin, the server's token, JSON."""

    def __init__(self, made: Scene, person: str | None = "ada", **options: Any) -> None:
        app = create_app(*made.parts, person, **options)
        super().__init__(app, base_url=HOME, follow_redirects=False, raise_server_exceptions=False)
        self.token = self.get("/api/session").json().get("token", "")

    def act(self, path: str, headers: dict[str, str] | None = None, **body: Any) -> Any:
        ours = {"Origin": HOME, "X-Labelwright-Token": self.token, "Content-Type": "application/json"}
        return self.post(path, content=json.dumps(body), headers=ours | (headers or {}))

    def ids(self, again: int = 0) -> list[str]:
        return [item["id"] for item in self.get(f"/api/items?limit=50&again={again}").json()["items"]]
