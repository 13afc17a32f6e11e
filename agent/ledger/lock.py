"""One run at a time: a lock on `run.lock` in the output folder, which the system lets go of when its holder dies."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from agent.errors import JobLocked, StoreError

NAME = "run.lock"


class RunLock:
    """Held from `RunLock(folder)` until `close` or the end of the process, however that comes.

    Raises JobLocked at once, naming pid and host, where another run holds it; StoreError where the folder cannot be
    written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StoreError(
                f"{self.path}: cannot be written ({error.strerror}); change that, or give another `output`"
            ) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = self._holder()
            os.close(self._file)
            if not isinstance(error, BlockingIOError):
                raise StoreError(f"{self.path}: cannot be locked ({error.strerror}); give another `output`") from None
            raise JobLocked(
                f"{self.path}: another run owns this job: {holder}; wait for it or end it, or give this one another "
                "`output`"
            ) from None
        _held.add(self._file)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        said = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since})
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, said.encode(), 0)

    def close(self) -> None:
        """Let go. The file stays: removing it would let two runs hold one name. Closing twice is fine."""
        if self._file in _held:
            _held.discard(self._file)
            os.ftruncate(self._file, 0)
            os.close(self._file)

    def __enter__(self) -> RunLock:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _holder(self) -> str:
        try:
            said = json.loads(os.pread(self._file, 4096, 0))
            return f"pid {said['pid']} on host {said['host']}, since {said['since']}"
        except (ValueError, KeyError, TypeError):
            return "it has not said who it is"


_held: set[int] = set()


def _let_go_in_child() -> None:
    """A forked child shares the lock, and would keep it after its parent died."""
    for file in _held:
        os.close(file)
    _held.clear()


os.register_at_fork(after_in_child=_let_go_in_child)
