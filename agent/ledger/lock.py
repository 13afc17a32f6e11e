"""One run at a time: a lock on `run.lock` in the output folder, beside the one on the job in its store.

The system lets go of both when their holder dies.
"""

from __future__ import annotations

from pathlib import Path

from agent.store.locks import FileLock, JobLock

__all__ = ["JobLock", "RunLock"]

NAME = "run.lock"


class RunLock(FileLock):
    """Held from `RunLock(folder)` until `close` or the end of the process, however that comes.

    Raises JobLocked at once, naming pid and host, where another run holds it; StoreError where the folder cannot be
    written.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / NAME, "this job", "give another `output`")
