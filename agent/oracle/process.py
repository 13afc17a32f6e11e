"""A server of one's own, or an engine, as processes: started in a session of their own, noted, found, ended whole.

Knows no oracle and no money. Works on Linux, where /proc says what runs. A process number alone is never trusted, as
the system gives it to others later: the one who leads the session has the start time that was noted, or, where he is
gone, those who are left write into the server's own log.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from agent.errors import EndpointError, JobLocked
from agent.store.locks import FileLock

PROC = Path("/proc")
KEEPER = Path(__file__).with_name("keeper.py")
LINGER_S = 300.0  # that a server outlives a run that was killed, for the next one to take it over
GRACE_S = 15.0  # from asking it to end to ending it
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Files:
    """Where a server's note, log and lock are."""

    folder: Path
    name: str

    @property
    def note(self) -> Path:
        return self.folder / f"serve-{self.name}.json"

    @property
    def log(self) -> Path:
        return self.folder / f"serve-{self.name}.log"

    @property
    def lock(self) -> Path:
        return self.folder / f"serve-{self.name}.lock"

    @classmethod
    def noted(cls, folder: Path) -> list[Files]:
        """Those of servers that may still run, as no run has ended them."""
        return [cls(folder, path.stem.removeprefix("serve-")) for path in sorted(folder.glob("serve-*.json"))]


@dataclass(frozen=True, slots=True)
class Note:
    """What is kept of a server.

    Attributes:
        session: the process number of who leads it.
        started: when that one started, in the system's ticks since it booted.
        machine: on which machine, since which boot.
        port: where it listens; 0 where it does not.
        what: a hash of all that it was started with.
        began, ready: seconds of the machine's monotonic clock, which every process shares; ready may be missing.
        spent: micro-dollars that its answers had cost before.
    """

    session: int
    started: int
    machine: str
    port: int
    what: str
    began: float
    ready: float | None = None
    spent: int = 0

    @classmethod
    def read(cls, path: Path) -> Note | None:
        """None where there is none, or none that can be read."""
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                session=int(said["session"]),
                started=int(said["started"]),
                machine=str(said["machine"]),
                port=int(said["port"]),
                what=str(said["what"]),
                began=float(said["began"]),
                ready=None if said["ready"] is None else float(said["ready"]),
                spent=int(said["spent"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Whole or not at all."""
        part = path.with_name(f".{path.name}.part")
        part.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        part.replace(path)


class Server:
    """A server that runs: started here, or left by a run that was killed. Its lock tells its keeper that it is
    wanted."""

    def __init__(self, files: Files, note: Note, lock: FileLock, process: subprocess.Popen[bytes] | None) -> None:
        self.files, self.note = files, note
        self._lock, self._process = lock, process

    @classmethod
    def start(
        cls,
        files: Files,
        command: Sequence[str],
        env: Mapping[str, str],
        what: str,
        *,
        port: int = 0,
        spent: int = 0,
    ) -> Self:
        """Start `command`. Raises EndpointError where nothing can be started.

        Killed at any moment, this leaves a server that is noted, or none.
        """
        lock = _locked(files)
        keeper = [sys.executable, "-I", str(KEEPER), str(files.lock), str(LINGER_S), str(GRACE_S)]
        try:
            with suppress(FileNotFoundError):  # a message may have just named it
                files.log.replace(files.log.with_name(f"{files.log.name}.1"))
            with files.log.open("wb") as log:
                process = subprocess.Popen(  # noqa: S603 - the person's own command, without a shell
                    [*keeper, *command],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=dict(env),
                    start_new_session=True,  # Ctrl-C is for us
                )
            assert process.stdin is not None
            with process.stdin as go:
                leader = process_of(process.pid)
                if leader is not None:
                    note = Note(process.pid, leader.started, machine(), port, what, time.monotonic(), spent=spent)
                    note.write(files.note)
                    go.write(b"go\n")
                    go.flush()
        except OSError as error:
            lock.close()
            raise EndpointError(
                f"oracle {files.name}: cannot start its server: {error}; its log is {files.log}"
            ) from None
        except BaseException:  # Ctrl-C: who ends what is noted needs the lock
            lock.close()
            raise
        if leader is None:
            lock.close()
            raise EndpointError(f"oracle {files.name}: its server ended at once; its log is {files.log}")
        return cls(files, note, lock, process)

    @classmethod
    def find(cls, files: Files) -> Self | None:
        """The server that is noted, where it still runs. A note of one that does not is taken away."""
        note = Note.read(files.note)
        if note is None or not members(note, files.log):
            files.note.unlink(missing_ok=True)
            return None
        return cls(files, note, _locked(files), None)

    def note_ready(self) -> None:
        """Note that it answers from now on."""
        if self.note.ready is None:
            self.note = replace(self.note, ready=time.monotonic())
            self.note.write(self.files.note)

    @property
    def code(self) -> int | None:
        """With what code it ended; -1 where nobody knows, None while it runs."""
        if self._process is not None:
            return self._process.poll()
        leader = process_of(self.note.session)
        return None if leader is not None and leader.runs and leader.started == self.note.started else -1

    def end(self, grace_s: float = GRACE_S) -> list[int]:
        """End it and all that it started: asked first, and ended after `grace_s` seconds, or at once on Ctrl-C.

        Returns the numbers of processes that did not end even so. Ending it twice is fine.
        """
        try:
            left = _ended(self.note, self.files.log, signal.SIGTERM, grace_s)
        except BaseException:
            self._kill()
            raise
        return self._kill() if left else self._gone()

    close = end

    def _kill(self) -> list[int]:
        left = _ended(self.note, self.files.log, signal.SIGKILL, GRACE_S)
        return [p.pid for p in left] if left else self._gone()

    def _gone(self) -> list[int]:
        if self._process is not None:
            self._process.wait()
        self.files.note.unlink(missing_ok=True)
        self._lock.close()
        return []


def _ended(note: Note, log: Path, how: signal.Signals, wait_s: float) -> list[Process]:
    """Signal all of them, and wait until they are gone; who is left."""
    for p in members(note, log):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(p.pid, how)
    until = time.monotonic() + wait_s
    while (left := members(note, log)) and time.monotonic() < until:
        time.sleep(POLL_S)
    return left


def _locked(files: Files) -> FileLock:
    """Its keeper looks at the lock now and then, and holds it for a moment."""
    for _ in range(20):
        with suppress(JobLocked):
            return FileLock(files.lock, "this server", "give another `output`")
        time.sleep(POLL_S)
    return FileLock(files.lock, "this server", "give another `output`")


# What runs ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Process:
    """One line of /proc. `started` in ticks since the system booted."""

    pid: int
    runs: bool
    session: int
    started: int


def process_of(pid: int) -> Process | None:
    """None where there is no such process."""
    try:
        said = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = said.rpartition(")")[2].split()  # a program's name may hold blanks and brackets
    return Process(pid, fields[0] not in "ZX", int(fields[3]), int(fields[19]))


def processes() -> Iterator[Process]:
    """All that this machine runs."""
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (found := process_of(int(entry.name))) is not None:
            yield found


def members(note: Note, log: Path) -> list[Process]:
    """Those of a noted server that run. None of another program that was given its number later."""
    if note.machine != machine():
        return []
    found = [p for p in processes() if p.session == note.session]
    leader = next((p for p in found if p.pid == note.session), None)
    if leader is not None and leader.started != note.started:
        return []
    return [p for p in found if p.runs and (leader is not None or _writes_to(p.pid, log))]


def _writes_to(pid: int, log: Path) -> bool:
    with suppress(OSError):
        return any((PROC / str(pid) / "fd" / number).samefile(log) for number in ("1", "2"))
    return False


def machine() -> str:
    """This machine since it booted, and its table of processes: a container has one of its own."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {(PROC / 'self/ns/pid').readlink()}"
    except OSError:
        raise EndpointError(
            "vLLM is started on Linux only; start its server elsewhere yourself, and give its address as `base_url`"
        ) from None


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
