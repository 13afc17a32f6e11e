"""What a log's folder says: inputs, what was kept and why, drift of inputs and of predictions.

Reads the folder that `agent.stream.log` wrote; it changes nothing but `drift.json`, the same as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from heapq import nlargest
from pathlib import Path
from typing import Any

from agent.distill.saving import replacing_file
from agent.errors import DataError
from agent.pairing import shortened
from agent.stream.drift import ALARM, Alarm
from agent.stream.log import KEPT, STATE, telling
from agent.stream.sampling import Why
from agent.stream.state import State, Watched, read

FILE = "drift.json"
SHOWN = 5
SHORT = 100
"""Characters of a text that is shown."""
CLASSES = 8
LEAST_MOVE = 0.01


@dataclass(frozen=True)
class Shown:
    """A kept input, and how far it is from what there was."""

    text: str
    novelty: float


@dataclass(frozen=True)
class OfModel:
    """What was found of one model.

    Attributes:
        reference: what its inputs are held against: `unseen texts of the pool`, or `first inputs`.
        watched: inputs that were held against it.
        alarms: one of `inputs`, one of `predictions`, at most.
        money: of the bets on each, as of now; an alarm is raised at 1 / ALARM.
        moved: classes with their shares before and after the onset, what moved most first.
        shown: kept inputs that are farthest from what taught the model.
    """

    name: str
    reference: str
    watched: int
    alarms: list[Alarm]
    money: dict[str, float]
    moved: list[tuple[str, float, float]]
    shown: list[Shown]

    def lines(self) -> Iterator[tuple[str, str]]:
        """In words."""
        yield "model", f"{self.name}: {self.watched:,} inputs, held against {self.reference}"
        if not self.money:
            return
        for of in ("inputs", "predictions"):
            alarm = next((a for a in self.alarms if a.of == of), None)
            yield f"drift of {of}", self._found(alarm, self.money[of])
            if of == "inputs":
                for shown in self.shown:
                    yield "", f"{shown.novelty:.2f} away: {shown.text}"
            elif self.alarms:
                for name, before, after in self.moved[:CLASSES]:
                    if abs(after - before) >= LEAST_MOVE:
                        yield "", f"{name}: {before:.1%} before, {after:.1%} after"

    def _found(self, alarm: Alarm | None, money: float) -> str:
        if alarm is None:
            return f"none found (bets at {money:.3g}; {1 / ALARM:g} would be an alarm)"
        return (
            f"found at input {alarm.text:,}, {alarm.time}; since about input {alarm.onset:,}; without a drift bets "
            f"win as much ({alarm.money:,.0f} fold) in at most {1 / alarm.money:.1%} of all streams"
        )


@dataclass(frozen=True)
class Report:
    """All of it.

    Attributes:
        seen: inputs, on `days` days.
        kept: how many for each reason.
        most: that may be kept a day; `most_kept` that ever were.
        unreached: inputs that came when a day's part for chance was used up.
    """

    folder: Path
    seen: int
    days: int
    first: str
    last: str
    kept: dict[str, int]
    most: int
    most_kept: int
    unreached: int
    models: list[OfModel]

    def lines(self) -> Iterator[tuple[str, str]]:
        """In words: what is spoken of, and what is said."""
        span = f", {self.first} to {self.last} (UTC)" if self.days else ""
        yield "inputs", f"{self.seen:,} on {self.days:,} day{'s' * (self.days != 1)}{span}"
        reasons = ", ".join(f"{self.kept[why]:,} {said}" for why, said in WORDS.items())
        yield "kept", f"{sum(self.kept.values()):,} in {self.folder / KEPT}: {reasons}"
        yield "budget", f"{self.most:,} a day; on no day more than {self.most_kept:,} were kept"
        if self.unreached:
            yield "chance", f"{self.unreached:,} inputs came when the day's part for chance was used up"
        for model in self.models:
            yield from model.lines()

    def figures(self) -> dict[str, Any]:
        """The same as plain values."""
        told = asdict(self) | {"folder": str(self.folder), "alarm_at": 1 / ALARM}
        for model in told["models"]:
            model["moved"] = [{"class": c, "before": b, "after": a} for c, b, a in model["moved"]]
        return told


WORDS = {Why.UNSURE: "unsure", Why.DRIFT: "since a drift and unlike what was", Why.CHANCE: "by chance"}


def report(folder: Path) -> Report:
    """What a folder says, also written to `drift.json` in it. Raises DataError where it is no log's."""
    path = folder / STATE
    if not path.is_file():
        raise DataError(f"{folder}: no log (it has no {STATE}); name a folder of `labelwright serve --log`")
    with telling(folder):
        state = read(path, path.read_bytes())
        found = _report(folder, state)
        with replacing_file(folder / FILE) as partial:
            partial.touch(0o600)
            partial.write_text(json.dumps(found.figures(), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return found


def _report(folder: Path, state: State) -> Report:
    days = sorted(state.days)
    kept = {why.value: sum(day.kept[why] for day in state.days.values()) for why in Why}
    return Report(
        folder,
        sum(day.seen for day in state.days.values()),
        len(days),
        days[0] if days else "",
        days[-1] if days else "",
        kept,
        state.most,
        max((day.total for day in state.days.values()), default=0),
        sum(day.unreached for day in state.days.values()),
        [_of_model(folder, model) for model in state.models.values()],
    )


def _of_model(folder: Path, model: Watched) -> OfModel:
    reference = "unseen texts of the pool" if model.own else "the first inputs, as no reference came with it"
    kept = model.kept
    if kept is None:
        return OfModel(model.name, f"{reference} (of which there are not enough yet)", 0, [], {}, [], [])
    alarms = [Alarm(**alarm) for alarm in kept["alarms"]]
    money = {of: float(kept[of]["money"]) for of in ("inputs", "predictions")}
    since = min((a.time for a in alarms if a.of == "inputs"), default="")
    shown = _farthest(folder, model.name, since) if since else []
    return OfModel(model.name, reference, kept["texts"], alarms, money, _moved(kept), shown)


def _moved(kept: dict[str, Any]) -> list[tuple[str, float, float]]:
    before, after = max(1, sum(kept["before"])), sum(kept["after"])
    if not after:
        return []
    shares = [
        (name, b / before, a / after) for name, b, a in zip(kept["names"], kept["before"], kept["after"], strict=True)
    ]
    return sorted(shares, key=lambda found: -abs(found[2] - found[1]))


def _farthest(folder: Path, name: str, since: str) -> list[Shown]:
    """Kept inputs of a model since a time, the farthest first."""
    path = folder / KEPT
    found: list[Shown] = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            told = json.loads(line)
        except ValueError:
            continue  # half of a line, which the next write cuts off
        if told.get("model") == name and told.get("time", "") >= since and told.get("novelty") is not None:
            text = told.get("text") or " | ".join(str(v) for v in list(told.values())[:2])
            found.append(Shown(" ".join(shortened(text, SHORT).split()), float(told["novelty"])))
    return nlargest(SHOWN, found, key=lambda shown: shown.novelty)
