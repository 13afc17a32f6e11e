"""The README says what is there: every command, target, file and job setting that it names."""

from __future__ import annotations

import re
from pathlib import Path

import typer.main
import yaml

from agent.cli import app
from agent.job import Job

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> set[str]:
    root = typer.main.get_command(app)
    return set(root.commands)  # type: ignore[attr-defined]


def test_every_command_is_documented_and_no_other() -> None:
    named = set(re.findall(r"`labelwright ([a-z]+)", README)) | set(re.findall(r"labelwright ([a-z]+) job", README))
    assert named == commands()


def test_every_command_has_help_that_ends_in_an_example() -> None:
    root = typer.main.get_command(app)
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        assert command.help, name
        for each in getattr(command, "commands", {"": command}).values():
            assert "Example: " in (each.epilog or ""), name


def test_the_make_targets_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make ([a-z]+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_tree_and_the_pictures_are_there() -> None:
    tree = README.split("```text\nagent/")[1].split("```")[0]
    for name in re.findall(r"^  ([a-z_]+(?:/|\.py))", tree, re.MULTILINE):
        assert (ROOT / "agent" / name).exists(), name
    for picture in re.findall(r"\]\((docs/[^)]+)\)", README):
        assert (ROOT / picture).is_file(), picture


def test_the_job_file_it_shows_is_one(tmp_path: Path) -> None:
    shown = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert shown is not None
    (tmp_path / "guidelines.md").write_text("What it is about.", encoding="utf-8")
    job = Job.of(yaml.safe_load(shown[1]), tmp_path)
    assert job.oracle[0].name == "local"
