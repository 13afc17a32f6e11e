"""What tests of the whole share: a process that has everything imported, and forks runs of the command."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.student import encoder
from agent.student.encoder import Encoder
from tests.servers.scripted import ScriptedServer
from tests.storm.lives import Stable
from tests.whole.jobs import labelwright
from tests.whole.real import Make, Workshop
from tests.whole.staging import Run, Stage, Start


@pytest.fixture(scope="session", autouse=True)
def read_once() -> Iterator[None]:
    """Jobs of one process share the packaged encoder and what it made of a text: two fifths of their time."""
    load, encode, kept = encoder._load, Encoder.encode, {}
    packaged = cache(load)

    def loaded(folder: Path, name: str) -> tuple[Any, Any]:
        return packaged(folder, name) if name == encoder.BUILTIN else load(folder, name)

    def encoded(self: Encoder, texts: Sequence[str]) -> Any:
        new = [t for t in dict.fromkeys(texts) if (self.key, t) not in kept]
        kept.update(zip(((self.key, t) for t in new), encode(self, new), strict=True))
        return np.array([kept[self.key, t] for t in texts], np.float32).reshape(len(texts), self.dim)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder, "_load", loaded)
        patch.setattr(Encoder, "encode", encoded)
        yield


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
