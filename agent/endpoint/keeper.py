"""Between a model and its log: answers go out at once, and a thread writes what was seen about twice a second.

Knows a model, a log and a queue; no HTTP.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import numpy as np

from agent.distill import Model
from agent.endpoint.metrics import Part
from agent.errors import DataError
from agent.stream import Alarm, Log, Seen
from agent.stream.sampling import Why

PACE_S = 0.5
MOST_WAITING = 20_000
"""Texts that may wait for the disk; what comes on top is answered, and not looked at."""

SEEN, SEEN_IS = "labelwright_log_texts_total", "Texts that all who write into the folder looked at."
KEPT, KEPT_IS = "labelwright_log_kept_total", "Texts kept in the folder, by reason."
LEFT, LEFT_IS = "labelwright_log_left_today", "Texts that may still be kept of the day's budget."
LOST, LOST_IS = "labelwright_log_lost_total", "Texts answered and not looked at: the disk was too slow, or refused."
BETS, BETS_ARE = "labelwright_drift_bets", "What bets on a drift stand at, of 1; at 100 it is reported."
FOUND, FOUND_IS = "labelwright_drift_found", "1 where a drift was found."


def now() -> datetime:
    return datetime.now(UTC)


class Keeper:
    """Answers as its model does, and keeps what its log wants, until `close`.

    Args:
        say: told, once each, that a drift was found, and that nothing can be written.
        clock: the time, aware.
    """

    def __init__(
        self, model: Model, log: Log, say: Callable[[str], None], clock: Callable[[], datetime] = now
    ) -> None:
        self._model, self._log, self._say, self._clock = model, log, say, clock
        self._queue: queue.SimpleQueue[Seen] = queue.SimpleQueue()
        self._waiting, self._lost, self._failed = 0, 0, False
        self._lock, self._over = threading.Lock(), threading.Event()
        self._parts = self._told_parts()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def told(self, texts: list[str]) -> list[dict[str, Any]]:
        """What the model says; nobody waits for the disk."""
        read = self._model.read(texts)
        with self._lock:
            has_room = self._waiting + len(texts) <= MOST_WAITING
            self._waiting += len(texts) if has_room else 0
            self._lost += 0 if has_room else len(texts)
        if has_room:
            self._queue.put(Seen(texts, read.told, read.vectors, read.probabilities, self._clock()))
        return read.told

    def parts(self) -> list[Part]:
        """For the page of metrics, as of the last write."""
        return [*self._parts, (LOST, "counter", LOST_IS, [f"{LOST} {self._lost}"])]

    def close(self) -> None:
        """Write what waits, and end."""
        self._over.set()
        self._thread.join()

    # The thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._over.wait(PACE_S):
            self._write()
        self._write()

    def _write(self) -> None:
        """All that waits, a day at a time."""
        waiting = [self._queue.get() for _ in range(self._queue.qsize())]
        for _, group in groupby(waiting, key=lambda seen: seen.when.date()):
            seen = _together(list(group))
            try:
                found = self._log.write(seen)
            except DataError as error:
                found = []
                self._lost += len(seen.texts)
                if not self._failed:
                    self._say(f"the log is not written: {error}. Texts are answered all the same.")
                self._failed = True
            with self._lock:
                self._waiting -= len(seen.texts)
            for alarm in found:
                self._say(_sentence(alarm, self._log))
        if waiting:
            self._parts = self._told_parts()

    def _told_parts(self) -> list[Part]:
        state, drift = self._log.state, self._log.drift()
        days = list(state.days.values())
        today = state.days.get(self._clock().astimezone(UTC).date().isoformat())
        by_reason = {why.value: sum(day.kept[why] for day in days) for why in Why}
        money = {"inputs": drift.inputs.money, "predictions": drift.predictions.money} if drift else {}
        found = {of: int(drift is not None and drift.drifts(of)) for of in money}
        return [
            (SEEN, "counter", SEEN_IS, [f"{SEEN} {sum(day.seen for day in days)}"]),
            (KEPT, "counter", KEPT_IS, [f'{KEPT}{{why="{why}"}} {n}' for why, n in by_reason.items()]),
            (LEFT, "gauge", LEFT_IS, [f"{LEFT} {state.most - (today.total if today else 0)}"]),
            (BETS, "gauge", BETS_ARE, [f'{BETS}{{of="{of}"}} {bets:.6g}' for of, bets in money.items()]),
            (FOUND, "gauge", FOUND_IS, [f'{FOUND}{{of="{of}"}} {n}' for of, n in found.items()]),
        ]


def _together(batches: list[Seen]) -> Seen:
    texts = [text for seen in batches for text in seen.texts]
    told = [each for seen in batches for each in seen.told]
    vectors = np.concatenate([seen.vectors for seen in batches])
    return Seen(texts, told, vectors, np.concatenate([seen.probabilities for seen in batches]), batches[-1].when)


def _sentence(alarm: Alarm, log: Log) -> str:
    return (
        f"drift of {alarm.of}: found at input {alarm.text:,}, since about input {alarm.onset:,}; "
        f"labelwright drift {log.folder} says more"
    )
