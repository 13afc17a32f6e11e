"""A training that is killed, wherever, and begun again ends with the same bytes as one that nobody killed."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from agent.distill import Examples, distil
from agent.distill.checkpoint import Checkpoint, Pace, Saved
from agent.job import DistilSettings
from agent.student.encoder import Encoder
from tests.distill.making import examples, make_encoder
from tests.marks import storm

CHECKOUT = Path(__file__).resolve().parents[2]
SETTINGS = DistilSettings(epochs=3, learning_rate=1e-5)
EVERY_STEP = Pace(seconds=0.0, share=1e9)
targets, making = (importlib.import_module(f"agent.distill.{name}") for name in ("targets", "making"))
checkpoint = importlib.import_module("agent.distill.checkpoint")

CHILD = """
import sys
import pytest
from tests.distill.test_killed_training import EVERY_STEP, SETTINGS, lessons, some_are_held_out
from agent.distill import distil
some_are_held_out(pytest.MonkeyPatch())
say = lambda *said: print(*said, flush=True)
distil(lessons(), SETTINGS, encoder=sys.argv[1], folder=sys.argv[2], progress=say, note=say, pace=EVERY_STEP)
"""


class KilledError(BaseException):
    """Stands for the end of the process."""


def lessons() -> Examples:
    """Texts in several batches an epoch; every fifth label is doubtful, and people gave the others."""
    known = examples(70)
    doubtful = np.arange(70) % 5 == 0
    soft = np.where(doubtful[:, None], 0.7 * known.targets + 0.1, known.targets).astype(np.float32)
    return replace(known, targets=soft, people=~doubtful)


def some_are_held_out(patch: pytest.MonkeyPatch) -> None:
    """And people's are enough to judge by, so that the weights of an epoch are kept too."""
    patch.setattr(targets, "HOLD_OUT_FROM", 50)
    patch.setattr(targets, "HELD_OUT", 0.2)
    patch.setattr(making, "FEWEST_JUDGES", 5)


def dies_after(steps: int) -> Callable[[int, int], None]:
    left = itertools.count(steps - 1, -1)

    def progress(done: int, total: int) -> None:
        if next(left) == 0:
            raise KilledError

    return progress


@pytest.fixture(autouse=True)
def _some_are_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    some_are_held_out(monkeypatch)


@pytest.fixture(scope="module")
def whole(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """The model that nobody killed, and how many steps it took."""
    folder, told = tmp_path_factory.mktemp("whole") / "m", []
    with pytest.MonkeyPatch.context() as patch:
        some_are_held_out(patch)
        distil(lessons(), SETTINGS, encoder=encoder, folder=folder, progress=lambda *said: told.append(said))
    return folder, len(told)


def same_files(a: Path, b: Path) -> bool:
    names = sorted(p.name for p in a.iterdir())
    return names == sorted(p.name for p in b.iterdir()) and all(
        (a / name).read_bytes() == (b / name).read_bytes() for name in names
    )


@contextmanager
def killed(
    encoder: Encoder, folder: Path, steps: int, pace: Pace = EVERY_STEP, *, settings: DistilSettings = SETTINGS
) -> Iterator[None]:
    with pytest.raises(KilledError):
        distil(lessons(), settings, encoder=encoder, folder=folder, pace=pace, progress=dies_after(steps))
    yield


@pytest.mark.parametrize(("rate", "epochs"), [(1e-5, 3), (3e-3, 4)])
def test_stopped_after_any_step_it_ends_the_same(encoder: Encoder, tmp_path: Path, rate: float, epochs: int) -> None:
    """With the second rate the loss on what is held out rises, which ends the training an epoch early."""
    settings, told = SETTINGS.model_copy(update={"learning_rate": rate, "epochs": epochs}), []
    model = tmp_path / "whole"
    distil(lessons(), settings, encoder=encoder, folder=model, progress=lambda *said: told.append(said))
    for k in range(1, len(told) + 1):
        folder = tmp_path / f"after{k}"
        with killed(encoder, folder, k, settings=settings):
            notes: list[str] = []
            distil(lessons(), settings, encoder=encoder, folder=folder, note=notes.append)
        assert same_files(model, folder), k
        assert len(notes) == 1, k
    assert not [p.name for p in tmp_path.iterdir() if p.name.startswith(".")]
    assert len(told) == 12


def test_two_networks_that_teach_each_other_end_the_same(encoder: Encoder, tmp_path: Path) -> None:
    settings, told = SETTINGS.model_copy(update={"loss": "co_teaching", "learning_rate": 1e-4}), []
    model = tmp_path / "whole"
    distil(lessons(), settings, encoder=encoder, folder=model, progress=lambda *said: told.append(said))
    for k in (2, len(told) - 1):
        with killed(encoder, tmp_path / f"after{k}", k, settings=settings):
            distil(lessons(), settings, encoder=encoder, folder=tmp_path / f"after{k}")
        assert same_files(model, tmp_path / f"after{k}"), k


def test_stopped_after_every_second_step_over_and_over_it_ends_the_same(
    encoder: Encoder, tmp_path: Path, whole: tuple[Path, int]
) -> None:
    model, steps = whole
    for _ in range(steps // 2 + steps % 2 - 1):
        with killed(encoder, tmp_path / "m", 2):
            pass
    distil(lessons(), SETTINGS, encoder=encoder, folder=tmp_path / "m")
    assert same_files(model, tmp_path / "m")


def test_it_goes_back_to_what_was_kept_last_and_ends_the_same(
    encoder: Encoder, tmp_path: Path, whole: tuple[Path, int]
) -> None:
    model, steps = whole
    every_fourth = itertools.cycle([0.0, 0.0, 0.0, 99.0])
    clock = itertools.accumulate(every_fourth)
    with killed(encoder, tmp_path / "m", steps - 1, Pace(seconds=50.0, share=1e9, clock=lambda: next(clock))):
        notes: list[str] = []
        distil(lessons(), SETTINGS, encoder=encoder, folder=tmp_path / "m", note=notes.append)
    assert same_files(model, tmp_path / "m")
    assert len(notes) == 1


@pytest.mark.parametrize("lines", [*storm(1, 11), 6])  # a stop after each step is tested above, in one process
def test_killed_at_any_moment_it_ends_the_same(tmp_path: Path, lines: int) -> None:
    """`kill -9` while it learns or writes, wherever it has come to by then; then once more, to the end."""
    encoder = make_encoder(tmp_path / "tiny")
    distil(lessons(), SETTINGS, encoder=str(encoder), folder=tmp_path / "whole", pace=Pace(seconds=1e9))
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-c", CHILD, str(encoder), str(tmp_path / "m")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for _ in range(lines):
            assert process.stdout.readline()
        process.kill()
    distil(lessons(), SETTINGS, encoder=str(encoder), folder=tmp_path / "m")
    assert same_files(tmp_path / "whole", tmp_path / "m")
    assert not (tmp_path / ".m.training").exists()


def test_it_says_where_it_goes_on(encoder: Encoder, tmp_path: Path, whole: tuple[Path, int]) -> None:
    notes: list[str] = []
    with killed(encoder, tmp_path / "m", whole[1] // 3 + 2):  # the second of three epochs
        distil(lessons(), SETTINGS, encoder=encoder, folder=tmp_path / "m", note=notes.append)
    assert notes == ["the training goes on at epoch 2 of 3"]


@pytest.mark.parametrize("changed", ["a text", "a label", "trust", "settings", "seed", "encoder"])
def test_what_changed_begins_anew(encoder: Encoder, tmp_path: Path, changed: str) -> None:
    known, settings, by = lessons(), SETTINGS, encoder
    if changed == "a text":
        known = replace(known, texts=["another text", *known.texts[1:]])
    elif changed == "a label":
        known = replace(known, targets=np.vstack([known.targets[:1, ::-1], known.targets[1:]]))
    elif changed == "trust":
        known = replace(known, trust=np.full(70, 0.5, np.float32))
    elif changed == "settings":
        settings = settings.model_copy(update={"learning_rate": 2e-3})
    elif changed == "seed":
        known = replace(known, seed=1)
    else:
        by = Encoder.load(str(make_encoder(tmp_path / "other", layers=1)))
    distil(known, settings, encoder=by, folder=tmp_path / "whole")
    with killed(encoder, tmp_path / "m", 5):
        notes: list[str] = []
        distil(known, settings, encoder=by, folder=tmp_path / "m", note=notes.append)
    assert notes == []
    assert same_files(tmp_path / "whole", tmp_path / "m")


def test_a_machine_that_calculates_otherwise_begins_anew(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with killed(encoder, tmp_path / "m", 5):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "another one")
        notes: list[str] = []
        distil(lessons(), SETTINGS, encoder=encoder, folder=tmp_path / "m", note=notes.append)
    assert notes == [], "half of it would be of one machine, half of another"


@pytest.mark.parametrize("broken", [b"", b"no tensors at all", None])
def test_what_cannot_be_read_begins_anew(
    encoder: Encoder, tmp_path: Path, whole: tuple[Path, int], broken: bytes | None
) -> None:
    with killed(encoder, tmp_path / "m", 5):
        path = tmp_path / ".m.training" / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-100] if broken is None else broken)
        distil(lessons(), SETTINGS, encoder=encoder, folder=tmp_path / "m")
    assert same_files(whole[0], tmp_path / "m")


def test_what_is_kept_is_no_pickle(encoder: Encoder, tmp_path: Path) -> None:
    with killed(encoder, tmp_path / "m", 5):
        (path,) = (tmp_path / ".m.training").iterdir()
        head = path.read_bytes()
        said = json.loads(head[8 : 8 + int.from_bytes(head[:8], "little")])
    place = json.loads(said["__metadata__"]["place"])
    assert set(place) == {"losses", "held_out", "kept", "least", "steps", "total", "weight", "done"}


def test_a_disk_that_is_full_ends_no_training(
    encoder: Encoder, tmp_path: Path, whole: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "replacing_file", full)
    notes: list[str] = []
    distil(lessons(), SETTINGS, encoder=encoder, folder=tmp_path / "m", pace=EVERY_STEP, note=notes.append)
    assert same_files(whole[0], tmp_path / "m")
    assert len(notes) == 1
    assert "No space left" in notes[0]


@pytest.mark.parametrize("cost", [0.01, 0.5, 20.0])
def test_keeping_takes_less_than_three_percent_of_the_time(
    tmp_path: Path, cost: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of a second, epochs of ten, and a disk of any speed, for two hours."""
    now, spent = [0.0], [0.0]
    kept = Checkpoint(tmp_path / "m", "f", Pace(clock=lambda: now[0]))

    @contextmanager
    def slow(path: Path) -> Iterator[Path]:
        path.parent.mkdir(exist_ok=True)
        yield path
        now[0] += cost
        spent[0] += cost

    monkeypatch.setattr(checkpoint, "replacing_file", slow)
    for step in range(7200):
        now[0] += 1
        if kept.due(epoch_ends=step % 10 == 9):
            kept.write(Saved({"weights": torch.zeros(3)}, {}))
    assert 0 < spent[0] < 0.03 * 7200
