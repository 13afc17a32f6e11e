"""A run that starts a vLLM of its own: the stand-in for it, the run in a process of its own, and who watches it."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from agent.asking import Asking
from agent.ledger import Purse
from agent.oracle.process import Note, machine, process_of
from agent.store import Store
from agent.watch import Silent
from tests.storm.lives import Stable
from tests.whole.jobs import truth

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = ROOT / "tests" / "servers" / "own"
QUICK = {"student__kind": "tests.storm.faults:WordCounts", "distil__enabled": False, "stop__max_rounds": 1}


class Stage:
    """A folder for a job, and the interpreter of an environment that has the stand-in as `vllm`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "job.yaml"
        self.note, self.log = folder / "out" / "serve-local.json", folder / "out" / "serve-local.log"
        self.pids, self.gold = folder / "pids", folder / "gold.jsonl"
        (folder / "model").mkdir(parents=True)
        self.gold.write_text(
            "".join(json.dumps({"text": t, "label": v}) + "\n" for t, v in truth().items()), encoding="utf-8"
        )
        python = folder / "python"
        python.write_text(f'#!/bin/sh\nPYTHONPATH={STAND_IN}:{ROOT} exec {sys.executable} "$@"\n', encoding="utf-8")
        python.chmod(0o755)

    @property
    def processes(self) -> list[int]:
        """Engine and worker, of each time that one was started."""
        return [int(line) for line in self.pids.read_text().split()] if self.pids.exists() else []

    @property
    def alive(self) -> list[int]:
        found = [process_of(pid) for pid in self.processes]
        return [p.pid for p in found if p is not None and p.runs]

    @property
    def labels(self) -> int:
        with Store.open(f"sqlite:///{self.folder / 'out' / 'labelwright.db'}") as store:
            return len(store.current("small"))

    def is_left_clean(self) -> bool:
        """No process, and no note of one."""
        return bool(self.processes) and not self.alive and not self.note.exists()

    def clear(self) -> None:
        """End whatever a test left."""
        note = Note.read(self.note)
        for pid in [*self.alive, *([note.session] if note and note.machine == machine() else [])]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def until(is_so: Callable[[], object], timeout_s: float = 200) -> bool:
    end = time.monotonic() + timeout_s
    while not is_so() and time.monotonic() < end:
        threading.Event().wait(0.02)
    return bool(is_so())


class Run:
    """`labelwright run` in a process of its own, which writes into `log`."""

    def __init__(self, stable: Stable, stage: Stage) -> None:
        self.log, self._lock = stage.folder / "run.log", stage.folder / "out" / "run.lock"
        assert stable.run({"words": ["--version"], "log": os.devnull}) == 0, "it is up by now"
        order = {"words": ["run", str(stage.file)], "log": str(self.log)}
        self._code: list[int] = []
        self._thread = threading.Thread(target=lambda: self._code.append(stable.run(order)))
        self._thread.start()
        assert until(lambda: self._lock.exists() and self._lock.read_text())
        self.pid = int(json.loads(self._lock.read_text())["pid"])

    @property
    def said(self) -> str:
        return " ".join(self.log.read_text(encoding="utf-8").split())

    def send(self, what: signal.Signals) -> None:
        os.kill(self.pid, what)

    def end(self, how: signal.Signals | None = None, timeout_s: float = 60) -> int:
        """Its exit code, below zero where a signal ended it."""
        if how is not None:
            self.send(how)
        self._thread.join(timeout_s)
        if not self._code:
            self.send(signal.SIGKILL)
            raise AssertionError(f"it does not end: {self.said}")
        return self._code[0]

    def kill(self) -> None:
        if not self._code:
            self.end(signal.SIGKILL)


Start = Callable[[], Run]


class Told(Silent):
    """Keeps what a run says, and does something once when the first answers are there."""

    def __init__(self, after_five: Callable[[], object] = lambda: None) -> None:
        self.notes: list[str] = []
        self._act: Callable[[], object] | None = after_five

    def note(self, message: str) -> None:
        self.notes.append(message)

    def asking(self, oracle: str, state: Asking, purse: Purse) -> None:
        if state.done >= 5 and self._act:
            act, self._act = self._act, None
            act()

    def __contains__(self, said: str) -> bool:
        return any(said in note for note in self.notes)
