"""What a room shows is what its `__all__` says: no more, no less, and all of it explained."""

from __future__ import annotations

import ast
import importlib
import inspect
from types import ModuleType

import pytest

import agent
from tests.whole.imports import PACKAGE

SHOWN = sorted(
    str(p.parent.relative_to(PACKAGE.parent)).replace("/", ".")
    for p in PACKAGE.rglob("__init__.py")
    if "__all__" in p.read_text(encoding="utf-8")
)


def names_of_its_own(module: ModuleType) -> set[str]:
    """Public functions and classes that are defined here, or brought here from the room's own files."""
    tree = ast.parse(inspect.getsource(module))
    found = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(f"{module.__name__}."):
            found |= {alias.asname or alias.name for alias in node.names}
    return {name for name in found if not name.startswith("_")}


def test_the_package_shows_what_its_readme_uses() -> None:
    assert set(agent.__all__) == {"Job", "LabelwrightError", "UserError", "__version__"}


@pytest.mark.parametrize("name", SHOWN)
def test_all_names_what_is_public(name: str) -> None:
    module = importlib.import_module(name)
    shown = list(module.__all__)
    assert len(shown) == len(set(shown)), "each name once"
    assert [n for n in shown if not hasattr(module, n)] == [], "every name in __all__ is there"
    assert names_of_its_own(module) - set(shown) == set(), "every public name is in __all__"


@pytest.mark.parametrize("name", SHOWN)
def test_what_is_public_is_explained(name: str) -> None:
    module = importlib.import_module(name)
    shown = [getattr(module, n) for n in module.__all__]
    silent = [x.__name__ for x in shown if (inspect.isclass(x) or inspect.isfunction(x)) and not inspect.getdoc(x)]
    assert silent == []
    assert inspect.getdoc(module)


def test_every_exception_is_drawn_in_the_tree() -> None:
    from agent import errors

    tree = str(inspect.getdoc(errors))
    drawn = {n for n, x in vars(errors).items() if inspect.isclass(x) and issubclass(x, errors.LabelwrightError)}
    assert [n for n in drawn if n not in tree] == []
