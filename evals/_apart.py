"""One measurement in a process of its own, its memory watched from outside.

The process prints `ready` when everything is imported, waits for a line, works, and prints a line of JSON each time
it has done so; the last one counts. What is watched is anonymous memory (RssAnon of Linux): pages of a mapped file
are the system's cache, which it drops when it needs the room. The peak is that of samples 5 ms apart, taken by
another process, so that no lock hides one.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EVERY_S = 0.005


@dataclass(frozen=True)
class Found:
    """What came of it.

    Attributes:
        said: the last line of JSON; empty where there was none.
        megabytes: the most anonymous memory while it worked, beyond what it had when it was ready.
        trouble: why there is no figure, or empty.
    """

    said: dict[str, Any]
    megabytes: float
    trouble: str = ""

    @property
    def seconds(self) -> float:
        """As measured by the process itself: the median where it was done more than once."""
        return float(self.said["seconds"])


def apart(command: Sequence[object], limit_s: float) -> Found:
    """Run `command`; past `limit_s` seconds of work it is ended."""
    process = subprocess.Popen(
        [str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    if process.stdout.readline().strip() != "ready":
        return Found({}, 0.0, _last(process.communicate()[1]))
    watch = _Watch(process.pid)
    try:
        output, errors = process.communicate("go\n", timeout=limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        done = process.communicate()[0].splitlines()  # whole lines: each was written at once
        return Found(json.loads(done[-1]), watch.stop()) if done else Found({}, watch.stop(), f"> {limit_s:.0f} s")
    megabytes = watch.stop()
    if process.returncode:
        return Found({}, megabytes, "killed" if process.returncode < 0 else _last(errors))
    return Found(json.loads(output.splitlines()[-1]), megabytes)


class _Watch:
    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._before = self._peak = self._anonymous()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        self._done.set()
        self._thread.join()
        return (self._peak - self._before) / 1024

    def _watch(self) -> None:
        while not self._done.is_set():
            self._peak = max(self._peak, self._anonymous())
            time.sleep(EVERY_S)

    def _anonymous(self) -> int:
        try:
            found = re.search(r"^RssAnon:\s+(\d+) kB", self._status.read_text(), re.MULTILINE)
        except OSError:  # it has ended
            return 0
        return int(found[1]) if found else 0  # a process that has ended but was not waited for has none


def _last(errors: str) -> str:
    lines = [line for line in errors.splitlines() if line.strip()]
    raised = [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)] or lines
    said = raised[-1].strip() if raised else "ended without a word"
    return "out of memory" if "MemoryError" in said or "allocate" in said else said[:120]
