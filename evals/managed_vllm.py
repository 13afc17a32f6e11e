"""A job that starts its own vLLM, on a real model: does it run end to end, and leave no process behind?

    python -m evals.managed_vllm PYTHON MODEL [--cpu]

PYTHON is the interpreter of an environment with vLLM, MODEL a folder or a hub id; `--cpu` gives the arguments that
vLLM needs without a GPU (`../shared/local-llm`). Three jobs over 40 texts each: one is left alone, one gets Ctrl-C
while it asks and is run again, one gets `kill -9` while it asks and is run again. Processes are told by a variable in
their environment, which whatever they start inherits.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from agent.store import Store
from evals import _corpora
from evals._formats import write_job
from evals.outcome import Outcome

TEXTS = 40
MARK = "LABELWRIGHT_BENCHMARK"
ON_CPU: dict[str, Any] = {
    "args": ["--dtype", "bfloat16", "--max-model-len", "2048", "--max-num-seqs", "32", "--enforce-eager"],
    "env": {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_CPU_KVCACHE_SPACE": "2",
        "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": "3600",
    },
}


class Stage:
    """One job in a folder of its own, and the processes of its runs."""

    def __init__(self, folder: Path, serve: dict[str, Any]) -> None:
        changes = {
            "selection": {"strategy": "random", "batch": TEXTS, "cold_start": TEXTS},
            "stop": {"max_labels": TEXTS},
            "student": {"refresh": False},
            "distil": {"enabled": False},
        }
        price = {"gpu_hour": 2}
        self.file = write_job(folder, "uci_sentiment", "an example a class", changes, serve=serve, price=price,
                              timeout_s=1500, max_concurrency=8)  # fmt: skip
        self.database = folder / "out" / "labelwright.db"
        self.mark = uuid.uuid4().hex

    def start(self) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "agent.cli", "run", str(self.file)]
        return subprocess.Popen(words, env=os.environ | {MARK: self.mark, "COLUMNS": "160"}, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip

    @property
    def settled(self) -> int:
        """Answers that were paid for."""
        if not self.database.exists():
            return 0
        with Store.open(f"sqlite:///{self.database}") as store:
            return store.spending(self.file.stem).settled_count

    @property
    def labels(self) -> int:
        with Store.open(f"sqlite:///{self.database}") as store:
            return len(store.current(self.file.stem))

    def left(self) -> list[str]:
        """What runs with the mark of this stage, by its command line."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                if f"{MARK}={self.mark}".encode() in (place / "environ").read_bytes():
                    found.append((place / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:60])
            except OSError:
                continue
        return found

    def stopped_while_asking(self, how: signal.Signals) -> tuple[int, str]:
        """Send a signal once some answers are there; the exit code, and what was printed."""
        run = self.start()
        while run.poll() is None and self.settled < TEXTS // 4:
            threading.Event().wait(0.3)
        run.send_signal(how)
        said, _ = run.communicate()
        return run.returncode, said

    def whole(self) -> tuple[int, str, float]:
        """A run that is left alone: exit code, what was printed, seconds."""
        began, run = time.monotonic(), self.start()
        said, _ = run.communicate()
        return run.returncode, said, time.monotonic() - began


def clean(outcome: Outcome, what: str, stage: Stage, *, lives_on: bool = False) -> None:
    left = stage.left()
    outcome.add(f"{what}: processes left", len(left), "; ".join(left), target="some" if lives_on else "0",
                holds=bool(left) == lives_on)  # fmt: skip


def finished(outcome: Outcome, what: str, stage: Stage, run: tuple[int, str, float]) -> None:
    """Rows of a run that went to its end."""
    code, said, seconds = run
    labels = stage.labels
    told = next((line.strip() for line in said.splitlines() if "vLLM ran for" in line), "")
    holds = code == 0 and labels >= TEXTS
    outcome.add(f"{what}: labels", labels, f"exit {code} after {seconds:.0f} s; {told}", target=f">= {TEXTS}, exit 0",
                holds=holds)  # fmt: skip
    clean(outcome, what, stage)
    if not holds:
        print(said[-3000:])


def main() -> int:
    words = [w for w in sys.argv[1:] if not w.startswith("--")]
    if len(words) != 2:
        print("nothing is measured: `python -m evals.managed_vllm PYTHON MODEL`, PYTHON that of a vLLM environment")
        return 0
    if (why := _corpora.missing()) is not None:
        print(why)
        return 2
    serve = {"python": words[0], "model": words[1], "ready_s": 1500} | (ON_CPU if "--cpu" in sys.argv else {})
    outcome = Outcome("managed_vllm", command=f"managed_vllm {' '.join(sys.argv[1:])}")
    with tempfile.TemporaryDirectory() as place:
        alone = Stage(Path(place) / "alone", serve)
        finished(outcome, "left alone", alone, alone.whole())

        stopped = Stage(Path(place) / "stopped", serve)
        code, _ = stopped.stopped_while_asking(signal.SIGINT)
        outcome.add("Ctrl-C while asking: exit code", code, f"{stopped.settled} answers paid", target="130",
                    holds=code == 130)  # fmt: skip
        clean(outcome, "Ctrl-C while asking", stopped)
        finished(outcome, "after Ctrl-C, run again", stopped, stopped.whole())

        killed = Stage(Path(place) / "killed", serve)
        code, _ = killed.stopped_while_asking(signal.SIGKILL)
        outcome.add("kill -9 while asking: exit code", code, f"{killed.settled} answers paid", target="-9",
                    holds=code == -9)  # fmt: skip
        clean(outcome, "kill -9 while asking", killed, lives_on=True)
        again = killed.whole()
        taken = "taking over the vLLM" in again[1]
        outcome.add("after kill -9, run again: the server is taken over", taken, "", target="yes", holds=taken)
        finished(outcome, "after kill -9, run again", killed, again)
        outcome.add("answers paid in the last job", killed.settled, f"for {killed.labels} labels")
    return outcome.finish()


if __name__ == "__main__":
    sys.exit(main())
