"""A folder that keeps what a served model sees: which inputs the next job starts from, and what was found of drift.

Several processes may write into one folder. Under its lock, `state.json` with what is counted is replaced and on the
disk before the lines are written: whoever dies in between has spent some of the day's budget for nothing, and nobody
can ever pass it. Half of a line that a dead process left is cut off by the next that writes.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from agent.distill.reference import Reference
from agent.distill.saving import replacing_file
from agent.errors import DataError
from agent.pairing import join, split
from agent.pool.distinct import digest
from agent.pool.lock import locked
from agent.records import Floats
from agent.stream.drift import Alarm, Drift, Yardstick, doubts
from agent.stream.sampling import Day, Verdict, draw_of
from agent.stream.state import State, Watched, read, revive

KEPT, STATE, LOCK = "kept.jsonl", "state.json", "lock"
FIRST = 200
"""Inputs that become anchors, and as many more that become the reference, where a model came without."""


@dataclass(frozen=True)
class About:
    """The model that answers.

    Attributes:
        key: of its weights: what is found of one model's inputs says nothing of another's.
        columns: where a text is a pair (`agent.pairing`), what its two texts are called in its job's pool.
        reference: what came with it.
    """

    name: str
    key: str
    names: tuple[str, ...]
    multilabel: bool = False
    columns: tuple[str, str] | None = None
    reference: Reference | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Seen:
    """Inputs that were answered together.

    Attributes:
        told: what was answered to each.
        vectors, probabilities: (n, d) and (n, C).
        when: aware.
    """

    texts: Sequence[str]
    told: Sequence[dict[str, Any]]
    vectors: Floats
    probabilities: Floats
    when: datetime


class Log:
    """A folder to write to, by one thread of each process. Files in it are for its owner's eyes alone.

    Args:
        folder: made where it is not there.
        about: the model.
        most: inputs kept a day; the day is UTC's.
        seed: of the draws of a new folder; random where none is given, and kept.

    Raises DataError where the folder cannot be used.
    """

    def __init__(self, folder: Path, about: About, most: int = 100, seed: int | None = None) -> None:
        self.folder, self.about, self.most = folder, about, most
        self._seed = secrets.randbits(48) if seed is None else seed
        self._raw, self._state = b"", State(self._seed, most)
        self._known: set[bytes] = set()
        self._read_to = 0
        if most < 1:
            raise DataError(f"{folder}: {most} inputs a day are none; give one at least")
        with telling(folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if (folder / KEPT).exists() and not (folder / STATE).exists():
                raise DataError(f"{folder}: {KEPT} without {STATE}, and so no count of what was kept; name another")
            with self._opened() as state:
                (folder / LOCK).chmod(0o600)
                self._save(state)

    def write(self, seen: Seen) -> list[Alarm]:
        """Count inputs, look for drift, and keep some of them. Returns what was found. Raises DataError."""
        with telling(self.folder), self._opened() as state:
            model = state.models[self.about.key]
            novelty, found = self._watch(model, seen)
            novel = None
            if model.drift is not None and model.drift.alarms and novelty is not None:
                novel = model.drift.novel(novelty).tolist()
            verdicts = self._choose(state, seen, novel)
            self._save(state)
            self._append([self._line(seen, i, verdict, novelty) for i, verdict in verdicts])
        return found

    @property
    def state(self) -> State:
        """As it was after the last write of this process."""
        return self._state

    def drift(self) -> Drift | None:
        """The tests of this model, as they were then; None as long as there is no reference."""
        return self._state.models[self.about.key].drift

    # One write ---------------------------------------------------------------------------------------------------

    @contextmanager
    def _opened(self) -> Iterator[State]:
        """The state as it is now, for this process alone."""
        with locked(self.folder / LOCK):
            self._repair()
            path = self.folder / STATE
            raw = path.read_bytes() if path.exists() else b""
            if raw != self._raw:
                self._state, self._raw = read(path, raw), raw
            self._state.most = self.most
            model = self._state.models.setdefault(self.about.key, self._new_model())
            if model.kept is not None:
                revive(model, self._yardstick)
            elif model.drift is None and model.own and self.about.reference:
                self._reference(self.about.reference, model)
            try:
                yield self._state
            except BaseException:
                self._raw = b""  # what was counted here is not what the disk says
                raise

    def _new_model(self) -> Watched:
        own = self.about.reference is not None and len(self.about.reference.vectors) > 0
        return Watched(self.about.name, own)

    def _choose(self, state: State, seen: Seen, novel: list[bool] | None) -> list[tuple[int, Verdict]]:
        day: Day = state.day(seen.when.astimezone(UTC).date().isoformat())
        doubt, chosen = doubts(seen.probabilities, multilabel=self.about.multilabel), []
        for i, text in enumerate(seen.texts):
            is_novel = None if novel is None else novel[i]
            known = (name := digest(text)) in self._known
            draw = draw_of(text, state.seed)
            if verdict := state.sampler.look(day, self.most, draw, float(doubt[i]), is_novel, known=known):
                self._known.add(name)
                chosen.append((i, verdict))
        return chosen

    def _line(self, seen: Seen, i: int, verdict: Verdict, novelty: Floats | None) -> str:
        columns = self.about.columns
        texts = {"text": seen.texts[i]} if columns is None else dict(zip(columns, split(seen.texts[i]), strict=True))
        how = {
            "time": seen.when.astimezone(UTC).isoformat(timespec="seconds"),
            "why": verdict.why.value,
            "probability": round(verdict.probability, 9),
            "novelty": None if novelty is None else round(float(novelty[i]), 4),
            "model": self.about.name,
        }
        return json.dumps(texts | how | seen.told[i], ensure_ascii=False) + "\n"

    # Drift -------------------------------------------------------------------------------------------------------

    def _watch(self, model: Watched, seen: Seen) -> tuple[Floats | None, list[Alarm]]:
        """How new each input is, and what was found; as long as there is no reference, inputs become it."""
        start = 0
        if model.drift is None:
            start = self._learn(model, seen)
        if model.drift is None:
            return None, []
        when = seen.when.astimezone(UTC).isoformat(timespec="seconds")
        found = model.drift.see(seen.vectors[start:], seen.probabilities[start:])
        timed = [replace(alarm, time=when) for alarm in found]
        model.drift.alarms[len(model.drift.alarms) - len(found) :] = timed
        return model.drift.yardstick.novelty(seen.vectors), timed

    def _learn(self, model: Watched, seen: Seen) -> int:
        """Take inputs for the reference. Returns how many."""
        have = self._arrays()
        missing = [("anchors", FIRST - len(have["anchors"])), ("vectors", FIRST - len(have["vectors"]))]
        start = 0
        for name, count in missing:
            end = min(len(seen.texts), start + max(0, count))
            have[name] = _joined(have[name], seen.vectors[start:end])
            if name == "vectors":
                have["probabilities"] = _joined(have["probabilities"], seen.probabilities[start:end])
            start = end
        reference = Reference(have["anchors"], have["vectors"], have["probabilities"])
        if len(have["vectors"]) < FIRST:
            self._write_arrays(reference)
        else:
            self._reference(reference, model)
        return start

    def _reference(self, found: Reference, model: Watched) -> None:
        """Begin the tests."""
        self._write_arrays(found)
        self.__dict__.pop("_yardstick", None)
        about = self.about
        model.drift = Drift.new(
            self._yardstick, about.names, found.vectors, found.probabilities, multilabel=about.multilabel
        )

    @cached_property
    def _yardstick(self) -> Yardstick:
        return Yardstick.of(self._arrays()["anchors"])

    def _arrays(self) -> dict[str, Floats]:
        from safetensors.numpy import load_file

        path = self.folder / f"{self.about.key}.vectors"
        if path.exists():
            return dict(load_file(path))
        empty, given = np.empty((0, 0), np.float32), self.about.reference
        return {"anchors": given.anchors if given else empty, "vectors": empty, "probabilities": empty}

    def _write_arrays(self, found: Reference) -> None:
        from safetensors.numpy import save

        arrays = {"anchors": found.anchors, "vectors": found.vectors, "probabilities": found.probabilities}
        whole = {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}
        self._replace(self.folder / f"{self.about.key}.vectors", save(whole))

    # Files -------------------------------------------------------------------------------------------------------

    def _save(self, state: State) -> None:
        raw = state.as_json().encode()
        self._replace(self.folder / STATE, raw)
        self._raw = raw

    def _replace(self, path: Path, content: bytes) -> None:
        with replacing_file(path) as partial:
            partial.touch(0o600)
            partial.write_bytes(content)

    def _append(self, lines: list[str]) -> None:
        if not lines:
            return
        handle = os.open(self.folder / KEPT, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write("".join(lines).encode())
            file.flush()
            os.fsync(file.fileno())
            self._read_to = file.tell()

    def _repair(self) -> None:
        """Cut off half of a line, and learn what others have kept."""
        path = self.folder / KEPT
        if not path.exists() or path.stat().st_size < self._read_to:  # somebody took it away
            self._read_to = 0
        if not path.exists():
            return
        with path.open("rb") as file:
            file.seek(self._read_to)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        if len(whole) < len(new):
            os.truncate(path, self._read_to + len(whole))
        for number, line in enumerate(whole.splitlines()):
            self._known.add(digest(_text(path, number, line, self.about.columns)))
        self._read_to += len(whole)


def _text(path: Path, number: int, line: bytes, columns: tuple[str, str] | None) -> str:
    """The text of a line, of a pair joined; empty where it is of another kind of model."""
    try:
        told = json.loads(line)
        texts = [str(told.get(name, "")) for name in (columns or ("text",))]
    except (ValueError, AttributeError):
        raise DataError(f"{path}: new line {number + 1} is no JSON object; remove it") from None
    return join(*texts) if columns else texts[0]


def _joined(have: Floats, more: Floats) -> Floats:
    return np.vstack([have, more]) if len(have) else more.copy()


@contextmanager
def telling(folder: Path) -> Iterator[None]:
    """What the system says of a folder that cannot be used, in one sentence."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{folder}: cannot be written: {error.strerror or error}; name another folder") from error
