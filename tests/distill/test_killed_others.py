"""Models of what is no class go on after `kill -9` as classifiers do, and end with the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agent.distill import (
    AnswerLessons,
    Asked,
    GradeLessons,
    SpanLessons,
    TextLessons,
    distil_answers,
    distil_grades,
    distil_spans,
    distil_texts,
)
from agent.distill.checkpoint import Pace
from agent.job import DistilSettings
from agent.student.encoder import Encoder
from agent.tasks.scale import Scale
from tests.distill.making import graded, make_encoder, sentences
from tests.distill.test_answering import asked
from tests.distill.test_tagging import TYPES, spans_in
from tests.distill.writers import lessons as written
from tests.distill.writers import make_writer

CHECKOUT = Path(__file__).resolve().parents[2]
EVERY_STEP = Pace(seconds=0.0, share=1e9)
EPOCHS, TEXTS, STEPS = 2, 40, 6
CHILD = """
import sys
from agent.student.encoder import Encoder
from tests.distill.test_killed_others import EVERY_STEP, KINDS
from pathlib import Path
say = lambda *said: print(*said, flush=True)
KINDS[sys.argv[1]](Encoder.load(sys.argv[2]), Path(sys.argv[3]), progress=say, pace=EVERY_STEP)
"""


def spans(encoder: Encoder, folder: Path, *, seed: int = 3, **how: Any) -> None:
    texts, _ = sentences(TEXTS)
    lessons = SpanLessons(texts, [spans_in(t) for t in texts], np.ones(TEXTS, np.float32))
    settings = DistilSettings(epochs=EPOCHS, learning_rate=1e-4)
    distil_spans(lessons, TYPES, settings, encoder=encoder, folder=folder, seed=seed, **how)


def numbers(encoder: Encoder, folder: Path, *, seed: int = 3, **how: Any) -> None:
    texts, grades = graded(TEXTS)
    lessons = GradeLessons(texts, np.array(grades, np.float32), np.ones(TEXTS, np.float32))
    settings = DistilSettings(epochs=EPOCHS, learning_rate=1e-4)
    distil_grades(lessons, Scale(1, 5, 1), settings, encoder=encoder, folder=folder, seed=seed, **how)


def answers(encoder: Encoder, folder: Path, *, seed: int = 3, **how: Any) -> None:
    texts, values = asked(TEXTS)
    lessons = AnswerLessons(texts, values, np.ones(TEXTS, np.float32))
    settings = DistilSettings(epochs=EPOCHS, learning_rate=1e-4)
    distil_answers(lessons, ("q", "c"), settings, may_be_none=True, encoder=encoder, folder=folder, seed=seed, **how)


def texts(encoder: Encoder, folder: Path, *, seed: int = 3, **how: Any) -> None:
    """Of a model that writes, which lies beside the encoder."""
    source = encoder.folder.parent / "writer"
    if not source.exists():
        make_writer(source)
    both = list(written().items())
    some = (both * 2)[:TEXTS]
    lessons = TextLessons([t for t, _ in some], [a for _, a in some], np.ones(TEXTS, np.float32))
    settings = DistilSettings(epochs=EPOCHS, learning_rate=1e-3, model=str(source), lora_rank=4)
    distil_texts(lessons, Asked("Translate.", 64, 32), settings, folder=folder, seed=seed, **how)


KINDS: dict[str, Callable[..., None]] = {"spans": spans, "numbers": numbers, "answers": answers, "texts": texts}


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def wholes(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Of each kind the weights that nobody killed."""
    found = {}
    for kind, make in KINDS.items():
        told: list[tuple[int, int]] = []
        folder = tmp_path_factory.mktemp(kind) / "m"
        make(encoder, folder, progress=lambda *said, told=told: told.append(said))
        assert len(told) == STEPS
        found[kind] = weights(folder)
    return found


def kill_after(steps: int, kind: str, encoder: Encoder, folder: Path) -> None:
    """Train in another process, and send it SIGKILL when it has said that so many steps are done."""
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-c", CHILD, kind, str(encoder.folder), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for _ in range(steps):
            assert process.stdout.readline()
        process.kill()
    assert not folder.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_killed_in_the_second_epoch_it_ends_the_same(
    kind: str, encoder: Encoder, tmp_path: Path, wholes: dict[str, bytes]
) -> None:
    kill_after(STEPS - 1, kind, encoder, tmp_path / "m")
    notes: list[str] = []
    KINDS[kind](encoder, tmp_path / "m", note=notes.append)
    assert weights(tmp_path / "m") == wholes[kind]
    assert notes == ["the training goes on at epoch 2 of 2"]
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


class StoppedError(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", range(1, STEPS + 1))
def test_stopped_after_any_step_it_ends_the_same(
    kind: str, steps: int, encoder: Encoder, tmp_path: Path, wholes: dict[str, bytes]
) -> None:
    stop_after(steps, kind, encoder, tmp_path / "m")
    KINDS[kind](encoder, tmp_path / "m")
    assert weights(tmp_path / "m") == wholes[kind]


def stop_after(steps: int, kind: str, encoder: Encoder, folder: Path) -> None:
    told: list[int] = []

    def progress(done: int, total: int) -> None:
        told.append(done)
        if len(told) == steps:
            raise StoppedError

    with pytest.raises(StoppedError):
        KINDS[kind](encoder, folder, pace=EVERY_STEP, progress=progress)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("changed", ["seed", "encoder"])
def test_what_changed_begins_anew(kind: str, changed: str, encoder: Encoder, tmp_path: Path) -> None:
    stop_after(4, kind, encoder, tmp_path / "m")
    seed, by = (4, encoder) if changed == "seed" else (3, Encoder.load(str(make_encoder(tmp_path / "e", layers=1))))
    notes: list[str] = []
    KINDS[kind](by, tmp_path / "m", seed=seed, note=notes.append)
    KINDS[kind](by, tmp_path / "whole", seed=seed)
    assert notes == []
    assert weights(tmp_path / "m") == weights(tmp_path / "whole")
