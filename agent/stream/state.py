"""What a log remembers between two writes, as one JSON file that is replaced as a whole.

Knows the file's content; the folder's lock and its other files are `agent.stream.log`'s.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.errors import DataError
from agent.stream.drift import Drift, Yardstick
from agent.stream.sampling import Day, Filter, Sampler, expected

FORMAT = 1


@dataclass
class Watched:
    """A model that answered.

    Attributes:
        name: of its folder.
        own: whether the reference came with the model; else it is made of the first inputs.
        drift: the tests; None until there is a reference.
    """

    name: str
    own: bool
    drift: Drift | None = None
    kept: dict[str, Any] | None = None  # the tests as they were read, until somebody has their yardstick


@dataclass
class State:
    """All of it.

    Attributes:
        seed: of the draws.
        most: inputs that may be kept a day.
        days: by their date in UTC, as ISO 8601.
        models: by their keys.
    """

    seed: int
    most: int
    days: dict[str, Day] = field(default_factory=dict)
    sampler: Sampler = field(default_factory=Sampler)
    models: dict[str, Watched] = field(default_factory=dict)

    def day(self, date: str) -> Day:
        """That day, begun where it is new."""
        if date not in self.days:
            earlier = [d for d in self.days if d < date]
            before = self.days[max(earlier)] if earlier else None
            self.days[date] = Day(expected(self.most, before))
        return self.days[date]

    def as_json(self) -> str:
        """For `read`."""
        models = {
            key: {"name": m.name, "own": m.own, "drift": m.drift.kept() if m.drift else m.kept}
            for key, m in self.models.items()
        }
        told = {
            "format": FORMAT,
            "seed": self.seed,
            "most": self.most,
            "days": {date: day.as_kept() for date, day in self.days.items()},
            "doubts": list(self.sampler.doubts.values),
            "draws": list(self.sampler.draws.values),
            "models": models,
        }
        return json.dumps(told, separators=(",", ":")) + "\n"


def read(path: Path, raw: bytes) -> State:
    """What the file at `path` says. Raises DataError where it is no such file."""
    try:
        told = json.loads(raw)
        if told["format"] != FORMAT:
            raise DataError(f"{path}: written by a newer version of Labelwright (format {told['format']}); update")
        days = {date: Day(**day) for date, day in told["days"].items()}
        sampler = Sampler(Filter(told["doubts"]), Filter(told["draws"]))
        models = {key: Watched(m["name"], m["own"], kept=m["drift"]) for key, m in told["models"].items()}
        return State(int(told["seed"]), int(told["most"]), days, sampler, models)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        said = f"{type(error).__name__}: {error}"
        raise DataError(f"{path}: not what a log wrote ({said}); put back a copy, or name another folder") from None


def revive(model: Watched, yardstick: Yardstick) -> Drift | None:
    """The tests of a model that was read, now that its yardstick is there."""
    if model.drift is None and model.kept is not None:
        model.drift, model.kept = Drift.of(model.kept, yardstick), None
    return model.drift
