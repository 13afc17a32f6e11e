"""The wheel: built, looked into, installed where no checkout can be seen, and used."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.servers.scripted import ScriptedServer

CHECKOUT = Path(__file__).resolve().parent.parent.parent
pytestmark = pytest.mark.slow


def ran(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    ran([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)], CHECKOUT)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment that holds the wheel, and of the checkout's only its dependencies."""
    home = tmp_path_factory.mktemp("env")
    venv.create(home, with_pip=False)
    packages = next(home.glob("lib/python*/site-packages"))
    # a folder named in a .pth file is searched, but its own .pth files are not read: an editable install stays away
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"), "install", "--quiet", "--no-index"]
    ran([*pip, "--no-deps", str(wheel)], home)
    return home / "bin"


def test_the_wheel_carries_everything_that_is_not_code(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    expected = [
        "agent/py.typed",
        "agent/prompts/classification/v1.jinja",
        "agent/prompts/multilabel/v1.jinja",
        "agent/store/migrations/env.py",
        "agent/store/migrations/versions/0001_first.py",
        "agent/store/migrations/versions/0002_bulk.py",
        "agent/report/templates/report.html.jinja",
        "agent/report/templates/report.css",
        "agent/review/templates/page.html",
        "agent/review/static/review.js",
        "agent/demo/job.yaml",
        "agent/demo/guidelines.md",
        "agent/demo/tape.jsonl.gz",
    ]
    assert [name for name in expected if name not in inside] == []


def test_every_file_of_the_package_is_in_the_wheel_and_nothing_else(wheel: Path) -> None:
    here = {p.relative_to(CHECKOUT).as_posix() for p in (CHECKOUT / "agent").rglob("*") if p.is_file()}
    here |= {f"agent/{p.relative_to(CHECKOUT).as_posix()}" for p in (CHECKOUT / "prompts").rglob("*") if p.is_file()}
    here = {name for name in here if "__pycache__" not in name}
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert inside == here


def test_the_wheel_says_who_it_is_and_under_which_licence(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    facts = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    said = archive.read(facts).decode()
    assert "Name: labelwright" in said
    assert "License-Expression: Apache-2.0" in said
    assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())


def test_the_installed_command_is_not_the_checkouts(installed: Path, tmp_path: Path) -> None:
    where = ran([str(installed / "python"), "-c", "import agent; print(agent.__file__)"], tmp_path)
    assert str(installed.parent) in where


def test_the_installed_command_helps_and_checks_a_job(
    installed: Path, tmp_path: Path, serve_gold: Callable[..., ScriptedServer]
) -> None:
    command = str(installed / "labelwright")
    assert "run" in ran([command, "--help"], tmp_path)
    assert "0." in ran([command, "--version"], tmp_path)

    (tmp_path / "pool.csv").write_text("text\nmy money back\nanother size\n", encoding="utf-8")
    settings = {
        "task": {"labels": ["refund", "exchange"]},
        "data": {"pool": "pool.csv"},
        "oracle": {"base_url": serve_gold({}).url, "model": "scripted", "price": {"input": 1, "output": 1}},
        "budget": {"dollars": 1},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    said = ran([command, "check", "job.yaml"], tmp_path)
    assert "problem" not in said
    assert "serves scripted" in said


def test_the_installed_package_brings_the_demo_along(installed: Path, tmp_path: Path) -> None:
    code = "from pathlib import Path; from agent.demo import prepare; print(prepare(Path('demo')))"
    ran([str(installed / "python"), "-c", code], tmp_path)
    found = {p.name for p in (tmp_path / "demo").iterdir()}
    assert {"job.yaml", "guidelines.md", "pool.csv", "gold.csv", "seed.csv", "tape.jsonl.gz"} <= found
