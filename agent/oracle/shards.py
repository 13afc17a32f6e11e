"""A model that nobody serves: questions in files, one command a file, answers in files (`vllm run-batch`).

The command is a process of its own and outlives ours. A lock that it inherits tells whether it still runs: nobody has
to guess from a process number, and whoever comes later waits for it instead of starting it a second time.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent.errors import Charge, EndpointError, OracleError
from agent.job import OracleSettings, RunBatchSettings
from agent.oracle.carrier import ELSEWHERE, Look
from agent.oracle.chat import request_body
from agent.oracle.dialect import Speaker
from agent.oracle.lines import file_of
from agent.oracle.prompt import AnswerMode
from agent.records import Answer, Question
from agent.store import BatchRow

NEVER_BEGAN = (2, 126, 127)  # what a command says that did not understand its arguments, or is not there


class FileOracle(Speaker):
    """The model behind a command. It answers files, see `Shards`; one question at a time it does not."""

    logprobs = True

    def __init__(self, settings: OracleSettings) -> None:
        super().__init__()
        self.name, self.model, self._settings = settings.name, settings.model, settings
        # vLLM obeys it; a task without choices falls back on its JSON schema
        self.mode: AnswerMode = "choice" if settings.answers == "auto" else settings.answers

    def body(self, question: Question) -> dict[str, Any]:
        """The request as JSON."""
        return request_body(question, self._settings, self.mode, self.dialect, logprobs=self.logprobs)

    async def ask(self, question: Question, request_id: str = "") -> Answer:
        raise OracleError(f"oracle {self.name} answers files only", charge=Charge.NONE, retryable=False)

    async def close(self) -> None:
        """Nothing to close."""


class Shards:
    """Carries batches to a command and back, one after the other.

    Args:
        settings: an oracle with `run_batch`.
        folder: where the files are.
    """

    most_bytes = 1 << 40
    secret: str | None = None

    def __init__(self, settings: OracleSettings, folder: Path) -> None:
        if settings.run_batch is None:
            raise ValueError(f"oracle {settings.name} has no run_batch")
        self.name, self.folder, self._model = settings.name, folder, settings.model
        self._settings: RunBatchSettings = settings.run_batch
        self.most_lines, self.poll_s = self._settings.shard, settings.batch.poll_s
        self.most_open = 1 if self._settings.command is not None else 10_000  # one command has the machine to itself
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        # of commands that we started: the wall clock may be set back while one works
        self._began: dict[int, float] = {}
        self._ended: dict[int, float] = {}

    async def send(self, batch: BatchRow, file: Path) -> Mapping[str, Any]:
        """The file is where the command reads it already."""
        return {"input": file.name}

    async def start(self, batch: BatchRow) -> str:
        """Start the command, and return its process number. Raises EndpointError where there is no such command."""
        if self._settings.command is None:
            return ELSEWHERE
        paths = {"input": str(self._path(batch, "input")), "output": str(self._path(batch, "output"))}
        command = [_filled(word, paths | {"model": self._model}) for word in self._settings.command]
        lock = os.open(self._path(batch, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._began[batch.id] = time.monotonic()
            with self._path(batch, "log").open("wb") as log:
                # the person's own command, without a shell; asyncio's way ends a process with its loop
                process = subprocess.Popen(  # noqa: ASYNC220, S603
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C is for us
                    pass_fds=(lock,),
                )
            with suppress(OSError):  # the number is for a run that comes later, should this one die here
                os.write(lock, str(process.pid).encode())
        except OSError as error:
            self._path(batch, "log").unlink(missing_ok=True)
            raise EndpointError(
                f"oracle {self.name}: cannot run {command[0]!r}: {error.strerror}; mend `run_batch.command`, or set "
                "it to null and answer the files elsewhere"
            ) from None
        finally:
            os.close(lock)
        self._running[batch.id] = process
        threading.Thread(target=self._watch, args=(batch, process), daemon=True).start()
        return str(process.pid)

    async def find(self, batch: BatchRow) -> str | None:
        """Whether a command was started: its log is made first."""
        if self._settings.command is None:
            return ELSEWHERE
        if not self._path(batch, "log").exists():
            return None
        noted = self._path(batch, "lock").read_text("ascii", errors="replace").strip()
        return noted if noted.isdigit() else "unknown"

    async def look(self, batch: BatchRow) -> Look:
        """Whether the command still runs; one that takes too long is ended."""
        output = self._path(batch, "output")
        if batch.remote_id == ELSEWHERE:
            there = output.exists()
            return Look("completed" if there else ELSEWHERE, ended=there, counted=False)
        if self._is_running(batch):
            seconds = self._so_far(batch)
            if seconds > float(batch.details.get("limit_s") or self._settings.timeout_s):
                self._end(batch)
            return Look("running", ended=False, done=count_lines(output), counted=False, seconds=seconds)
        code = self._running[batch.id].returncode if batch.id in self._running else None
        status = "completed" if output.exists() else "died"
        if code in NEVER_BEGAN and not output.exists():
            status = "not begun"
        return Look(status, ended=True, counted=False, reason=self._reason(batch, code), seconds=self._seconds(batch))

    async def is_gone(self, batch: BatchRow) -> bool:
        """A command is never lost: its lock tells."""
        return False

    async def fetch(self, batch: BatchRow) -> list[Path]:
        """The output file, where there is one. A command that was killed may have left part of it."""
        output = self._path(batch, "output")
        return [output] if output.exists() else []

    async def cancel(self, batch: BatchRow) -> None:
        """End the command, if it runs."""
        if batch.remote_id != ELSEWHERE and self._is_running(batch):
            self._end(batch)

    async def close(self) -> None:
        """Commands that run are left alone: the next run reads what they wrote."""
        for process in self._running.values():
            process.returncode = process.poll() or 0  # whoever drops it must not complain that it still runs

    def tidy(self, batch: BatchRow) -> None:
        """The files are the person's to keep."""

    def waits_for(self, batch: BatchRow) -> str:
        """What to tell a person about a batch that is not done."""
        if batch.remote_id == ELSEWHERE:
            return f"{self._path(batch, 'input')} is to be answered as {self._path(batch, 'output')}"
        command = self._settings.command or ["the command"]
        return f"{command[0]} works on them as process {batch.remote_id}"

    def _path(self, batch: BatchRow, what: str) -> Path:
        path = file_of(self.folder, batch, what)
        return path.with_suffix("") if what in ("lock", "log") else path

    def _is_running(self, batch: BatchRow) -> bool:
        """Also while only something that the command put into the background works on."""
        ours = self._running.get(batch.id)
        return (ours is not None and ours.poll() is None) or self._is_locked(batch)

    def _is_locked(self, batch: BatchRow) -> bool:
        try:
            with self._path(batch, "lock").open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def _watch(self, batch: BatchRow, process: subprocess.Popen[bytes]) -> None:
        """Note when a command ended, with all that it had put into the background. In a thread of its own."""
        limit_s = float(batch.details.get("limit_s") or self._settings.timeout_s)
        try:
            process.wait(limit_s)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        with suppress(OSError), self._path(batch, "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
        self._ended[batch.id] = time.monotonic()

    def _end(self, batch: BatchRow) -> None:
        """Only while it runs: then the process number is still the command's own."""
        if batch.remote_id.isdigit():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(int(batch.remote_id), signal.SIGKILL)

    def _so_far(self, batch: BatchRow) -> float:
        if batch.id in self._began:
            return time.monotonic() - self._began[batch.id]
        return time.time() - float(batch.details.get("started_at", time.time()))

    def _seconds(self, batch: BatchRow) -> float | None:
        """How long it ran: as measured where we started it, else until it last wrote; None where no clock tells."""
        if batch.id in self._began:
            return self._ended.get(batch.id, time.monotonic()) - self._began[batch.id]
        if "started_at" not in batch.details:
            return None
        paths = [self._path(batch, what) for what in ("output", "log")]
        ended = max((p.stat().st_mtime for p in paths if p.exists()), default=time.time())
        took_s = ended - float(batch.details["started_at"])
        return took_s if took_s > 0 else None  # else the clock was set back

    def _reason(self, batch: BatchRow, code: int | None) -> str:
        if code == 0:
            return ""
        log = self._path(batch, "log")
        said = log.read_text(encoding="utf-8", errors="replace")[-2000:].split("\n") if log.exists() else []
        last = next((line.strip() for line in reversed(said) if line.strip()), "it said nothing")
        how = "it ended while nobody watched" if code is None else f"it ended with code {code}"
        return f"{how}; its last words: {last[:200]} ({log})"


def _filled(word: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        word = word.replace("{" + name + "}", value)
    return word


def count_lines(path: Path) -> int:
    """Lines of a file, 0 where there is none."""
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b""))
