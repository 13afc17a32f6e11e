"""A training that was killed goes on: where it stood, in one file beside the model's folder.

Knows tensors, a place and a clock; nothing of what is trained.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.distill.saving import replacing_file

if TYPE_CHECKING:
    import torch

Note = Callable[[str], None]
"""Told what a person should know, a line each."""


@dataclass(frozen=True)
class Pace:
    """How often a training is kept.

    Attributes:
        seconds: at least, from one time to the next.
        share: of the time that it may take at most: after a slow one the next is put off.
        clock: in seconds.
    """

    seconds: float = 30.0
    share: float = 0.015
    clock: Callable[[], float] = time.monotonic


PACE = Pace()


@dataclass(frozen=True)
class Saved:
    """Where a training stood: tensors by name, and all else as plain JSON."""

    tensors: Mapping[str, torch.Tensor]
    place: Mapping[str, Any]


def training_folder(model: Path) -> Path:
    """The hidden folder `.NAME.training` beside the model folder NAME, to be removed when the model is there."""
    return model.with_name(f".{model.name}.training")


def forget(model: Path) -> None:
    """What was kept for a model is of no use any more, since the model is there."""
    shutil.rmtree(training_folder(model), ignore_errors=True)


class Checkpoint:
    """A file in `training_folder`.

    Args:
        model: the model's folder, which need not exist.
        fingerprint: of all that the training depends on; what was kept under another one is not taken up.
        pace: how often to write.
        note: told where a training goes on, and where nothing can be written: it then goes on without.
        stage: the file's name, where several networks are trained for one model.
    """

    def __init__(
        self,
        model: Path,
        fingerprint: str,
        pace: Pace = PACE,
        note: Note = lambda said: None,
        stage: str = "model",
    ) -> None:
        self.path = training_folder(model) / f"{stage}.safetensors"
        self._fingerprint, self._pace, self.note = fingerprint, pace, note
        self._last, self._cost = pace.clock(), 0.0
        self._works = True

    def read(self) -> Saved | None:
        """What was kept last; None where there is nothing, or nothing of this training, or it cannot be read."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, "pt") as file:
                said = file.metadata() or {}
                if said.get("fingerprint") != self._fingerprint:
                    return None
                return Saved({name: file.get_tensor(name) for name in file.keys()}, json.loads(said["place"]))  # noqa: SIM118
        except (OSError, SafetensorError, ValueError, KeyError):
            return None

    def due(self, *, epoch_ends: bool = False) -> bool:
        """Whether it is time to write; at the end of an epoch sooner, as far as the cost allows."""
        wait = self._cost / self._pace.share
        if not (epoch_ends and self._cost):
            wait = max(wait, self._pace.seconds)
        return self._works and self._pace.clock() - self._last >= wait

    def write(self, saved: Saved) -> None:
        """Take the place of what was kept before, in one step."""
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        began = self._pace.clock()
        said = {"fingerprint": self._fingerprint, "place": json.dumps(saved.place)}
        try:
            with replacing_file(self.path) as partial:
                save_file(dict(saved.tensors), partial, said)
        except (OSError, SafetensorError) as error:
            self._works = False
            self.note(f"{self.path}: cannot be written ({error}); if the training is killed now, it begins anew")
        self._last = self._pace.clock()
        self._cost = self._last - began

    def end(self) -> None:
        """This training is over, and what was kept of it is of no use any more."""
        self.path.unlink(missing_ok=True)
