"""Who imports whom, read from the source: every import statement of the package, also late ones inside functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent.parent / "agent"


@dataclass(frozen=True)
class Import:
    """`agent.room` at `where` imports `what` (a dotted name)."""

    room: str
    what: str
    where: str

    @property
    def other_room(self) -> str | None:
        """The room that is imported, None for what is not ours and for the package's own facts (`agent.__file__`)."""
        parts = self.what.split(".")
        return parts[1] if parts[0] == "agent" and len(parts) > 1 else None

    @property
    def library(self) -> str:
        return self.what.split(".")[0]


@cache
def rooms() -> set[str]:
    """Folders and files directly inside the package, but for its own `__init__`."""
    found = {p.stem for p in PACKAGE.glob("*.py") if p.stem != "__init__"}
    return found | {p.parent.name for p in PACKAGE.glob("*/__init__.py")}


def room_of(path: Path) -> str:
    inside = path.relative_to(PACKAGE).parts
    return inside[0].removesuffix(".py")


@cache
def imports() -> tuple[Import, ...]:
    """Every import of every module of the package."""
    return tuple(_imports())


def _imports() -> Iterator[Import]:
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        for node in ast.walk(tree):
            for name in _names(node):
                yield Import(room_of(path), name, f"{path.relative_to(PACKAGE.parent)}:{node.lineno}")  # type: ignore[attr-defined]


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are written out in full"
        if node.module == "agent":
            return [f"agent.{alias.name}" if alias.name in rooms() else "agent" for alias in node.names]
        return [str(node.module)]
    return []
