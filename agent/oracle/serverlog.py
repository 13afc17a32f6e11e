"""The log of a server that a run started, as a person wants it: what it is at, and why it ended."""

from __future__ import annotations

import re
from pathlib import Path

LAST_BYTES = 64_000  # of a log that are looked at
SHOWN = 12  # last lines of a log in a message

DRESS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # colours
# `(EngineCore pid=7) INFO 11-30 06:01:02 [core.py:77] `, which says nothing to who waits
HEAD = re.compile(r"^(\([A-Za-z][^)]*pid=\d+\) ?)?((INFO|WARNING) [\d-]+ [\d:]+ \[[^\]]*\] ?)?")
CAUSE = re.compile(r"\b[A-Za-z_.]*(Error|Exception|Interrupt)\b ?:")


def last_lines(log: Path) -> list[str]:
    """The end of a log, line by line, without colours and blank lines; of a progress bar its last state."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LAST_BYTES))
            said = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    lines = (DRESS.sub("", line).rstrip().rpartition("\r")[2].rstrip() for line in said.split("\n"))
    return [line for line in lines if line.strip()]


def doing(log: Path) -> str:
    """What the server is at, in a line."""
    lines = [HEAD.sub("", line).strip() for line in last_lines(log)[-SHOWN:]]
    return next((line for line in reversed(lines) if any(c.isalnum() for c in line)), "")


def last_words(log: Path) -> list[str]:
    """The last lines of a log; before them the first that names an error, which is often the cause of the others."""
    lines = last_lines(log)
    shown = lines[-SHOWN:]
    cause = next((line for line in lines if CAUSE.search(line)), None)
    return shown if cause is None or cause in shown else [cause, "...", *shown]
