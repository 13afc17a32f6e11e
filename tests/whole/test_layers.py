"""The walls of the house: who may import whom, downwards only. docs/design.md draws the same table."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest

from tests.whole.imports import PACKAGE, Import, imports, rooms

# From the roof to the cellar. A room may import what is below its own line, and nothing beside it.
LEVELS = (
    {"__main__"},
    {"cli"},
    {"demo"},
    {"ending", "recording", "piloting", "formats"},
    {"loop"},
    {"delivery"},
    {"promoting"},
    {"rest", "suspects", "distilling"},
    {"lessons"},
    {"steps", "frontier", "unfitting"},
    {"gold", "relabelling"},
    {"hearing", "picking", "refreshing", "escalating"},
    {"hints"},
    {"checking", "estimating", "standing", "starting", "auditing"},
    {"endpoints", "counting", "comparing", "judging"},
    {"engines", "valuing"},
    {"framing", "doubting", "serving", "probing"},
    {"workbench"},
    {"watch", "console", "endpoint", "hub"},
    {"bulk"},
    {"harvest", "stream"},
    {"asking", "triage", "worth", "measuring", "costing", "distill", "review", "report"},
    {"opinions", "agreeing", "balance", "certifying", "web"},
    {"oracle", "student", "selection", "pool", "pacing", "breaker", "doubt", "audit", "agreement"},
    {"ledger"},
    {"store"},
    {"tasks", "redaction"},
    {"job"},
    {"jobfile", "studentless", "images"},
    {"records", "errors", "pairing"},
    {"picture"},
)
EXCEPTIONS = {
    ("job", "loop"),  # `Job.run()` is a late call up the stairs, so that the whole of it is one line for a person
    ("distill", "student"),  # what is distilled is the student's encoder and head
}
LIBRARIES = {
    "torch": {"student", "distill"},
    "transformers": {"student", "distill"},
    "onnxruntime": {"distill"},
    "openai": {"oracle"},
    "starlette": {"review", "endpoint", "web"},
    "uvicorn": {"review", "endpoint", "web"},
    "matplotlib": {"report"},
    "alembic": {"store"},
    "cleanlab": {"doubt"},
    "presidio_analyzer": {"redaction"},
    "typer": {"cli"},
    "tenacity": {"asking"},
}
ELSEWHERE = PACKAGE / "oracle" / "offline.py"  # runs in the environment that has vLLM, where there is no Labelwright


def level(room: str) -> int:
    return next(i for i, line in enumerate(LEVELS) if room in line)


def test_every_room_has_its_place_in_the_house() -> None:
    placed = set().union(*LEVELS)
    assert rooms() <= placed, "give a new room a level here and in docs/design.md"


def test_the_design_page_draws_the_same_house() -> None:
    page = (PACKAGE.parent / "docs" / "design.md").read_text(encoding="utf-8")
    drawn = page.split("does not import each other:")[1].split("Two exceptions")[0]
    assert [set(line.strip().split(" · ")) for line in drawn.splitlines() if line.strip()] == list(LEVELS)


def test_rooms_import_downwards_only() -> None:
    upwards = [
        f"{found.where}: {found.room} imports {other}"
        for found in imports()
        if (other := found.other_room) is not None
        and found.room not in ("__init__", other)
        and (found.room, other) not in EXCEPTIONS
        and level(other) <= level(found.room)
    ]
    assert upwards == []


def test_the_package_itself_imports_only_what_is_light() -> None:
    assert {found.other_room for found in imports() if found.room == "__init__"} - {None} == {"errors", "job"}


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_heavy_library_stays_in_its_room(library: str) -> None:
    strays = [found.where for found in imports() if found.library == library and found.room not in LIBRARIES[library]]
    assert strays == []


def test_every_library_that_is_imported_is_declared() -> None:
    declared = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {"demo", "generation", "image", "onnx", "redaction"}
    needs = declared["dependencies"] + [need for name in extras for need in declared["optional-dependencies"][name]]
    named = {re.split(r"[\[<>=!~; ]", need)[0].lower().replace("_", "-") for need in needs}
    brings = packages_distributions()
    strays = {
        f"{found.where} imports {found.library}"
        for found in imports()
        if not _is_elsewhere(found)
        and found.library not in sys.stdlib_module_names | {"agent"}
        and not {d.lower().replace("_", "-") for d in brings.get(found.library, ())} & named
    }
    assert strays == set()


def test_sql_stays_in_the_store() -> None:
    """The ledger knows a connection and its failures by name; every statement is the store's."""
    found = [i for i in imports() if i.library == "sqlalchemy"]
    assert {i.room for i in found} <= {"store", "ledger"}
    assert {i.what for i in found if i.room == "ledger"} <= {"sqlalchemy", "sqlalchemy.exc"}


def test_what_runs_beside_vllm_imports_nothing_else() -> None:
    found = {i.library for i in imports() if _is_elsewhere(i)}
    assert "vllm" in found
    assert found <= sys.stdlib_module_names | {"vllm"}


def _is_elsewhere(found: Import) -> bool:
    return found.where.startswith(f"{ELSEWHERE.relative_to(PACKAGE.parent)}:")
