"""What tests of the whole share: a process that has everything imported, and forks runs of the command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers.scripted import ScriptedServer
from tests.storm.lives import Stable
from tests.whole.jobs import labelwright
from tests.whole.real import Make, Workshop
from tests.whole.staging import Run, Stage, Start


@pytest.fixture(scope="session")
def stable() -> Iterator[Stable]:
    with Stable() as runs:
        yield runs


@pytest.fixture
def start(stable: Stable, stage: Stage) -> Iterator[Start]:
    """Starts a run of the job that is on the test's `stage`."""
    started: list[Run] = []

    def one() -> Run:
        started.append(Run(stable, stage))
        return started[-1]

    yield one
    for run_of_it in started:
        run_of_it.kill()


@pytest.fixture
def make(
    tmp_path: Path,
    serve_gold: Callable[..., ScriptedServer],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Make:
    """Makes whole jobs on real texts, in the test's own folder."""
    return Workshop(tmp_path, serve_gold, lambda *words: labelwright(monkeypatch, capsys, *words))
