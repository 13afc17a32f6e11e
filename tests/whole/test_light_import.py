"""Importing the package, and asking the command for help, must not wait for a machine-learning library."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"torch", "transformers", "openai", "starlette", "uvicorn", "datasets", "matplotlib", "sklearn", "pandas"}
HEAVY |= {"cleanlab", "scipy.stats"}


def loaded_by(code: str) -> tuple[set[str], float]:
    """Modules loaded after `code` ran in a fresh interpreter, of libraries the name alone unless a part of it is
    heavy; and the processor seconds it took."""
    loaded = f"{{m.split('.')[0] for m in sys.modules}} | ({HEAVY!r} & {{*sys.modules}})"
    report = f"import sys, time; print(time.process_time()); print(*{loaded})"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True)
    seconds, modules = done.stdout.splitlines()[-2:]
    return set(modules.split()), float(seconds)


def test_importing_the_package_is_quick_and_loads_nothing_heavy() -> None:
    modules, seconds = loaded_by("import agent")
    assert modules & (HEAVY | {"numpy", "sqlalchemy"}) == set()
    assert seconds < 2


@pytest.mark.parametrize(
    "room", ["cli", "loop", "store", "ledger", "tasks", "selection", "triage", "student", "pool"]
)
def test_a_room_loads_nothing_heavy_before_it_is_used(room: str) -> None:
    modules, _ = loaded_by(f"import agent.{room}")
    assert modules & HEAVY == set()


def test_help_comes_without_a_machine_learning_library() -> None:
    code = (
        "import agent.cli, sys; sys.argv = ['labelwright', '--help']\ntry: agent.cli.main()\nexcept SystemExit: pass"
    )
    modules, seconds = loaded_by(code)
    assert modules & HEAVY == set()
    assert seconds < 8
