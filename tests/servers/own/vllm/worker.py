"""What server and engine share: a worker process, which vLLM has too, and lines of a log in its dress."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

WORKER = (
    "import signal, sys\nif 'stubborn' in sys.argv: signal.signal(signal.SIGTERM, signal.SIG_IGN)\nsignal.pause()"
)


def start_worker(pids: Path, *, stubborn: bool) -> None:
    """Start it, and write our own number and its own into `pids`, a line each."""
    if stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    worker = subprocess.Popen([sys.executable, "-c", WORKER, *(["stubborn"] if stubborn else [])])
    with pids.open("a", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n{worker.pid}\n")


def log(line: str) -> None:
    print(f"(EngineCore_DP0 pid={os.getpid()}) INFO 11-30 06:01:02 [core.py:77] {line}", flush=True)
