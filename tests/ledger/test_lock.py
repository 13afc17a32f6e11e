"""One run at a time, also after a run was killed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agent.errors import JobLocked, StoreError
from agent.ledger import RunLock

HOLD = """
import sys
from pathlib import Path
from agent.ledger import RunLock
lock = RunLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""

FORK = """
import os, sys
from pathlib import Path
from agent.ledger import RunLock
lock = RunLock(Path(sys.argv[1]))
if os.fork() == 0:
    print("held", flush=True)
    os.read(0, 1)  # outlives its parent, like a data worker
    os._exit(0)
os.read(0, 1)
"""


def holder(script: str, folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_run_is_refused_at_once_and_told_who_holds_the_job(tmp_path: Path) -> None:
    with holder(HOLD, tmp_path) as first:
        with pytest.raises(JobLocked, match=f"pid {first.pid} on host {socket.gethostname()}, since 20"):
            RunLock(tmp_path)
        first.communicate("")
    RunLock(tmp_path).close()


def test_a_killed_run_leaves_no_lock(tmp_path: Path) -> None:
    with holder(HOLD, tmp_path) as first:
        first.kill()
        first.wait()
    with RunLock(tmp_path) as lock:
        assert str(os.getpid()) in lock.path.read_text()


def test_a_child_that_outlives_a_killed_run_does_not_keep_the_lock(tmp_path: Path) -> None:
    with holder(FORK, tmp_path) as first:
        first.kill()
        first.wait()
        RunLock(tmp_path).close()  # the child still waits for its input
        first.communicate("x")


def test_a_lock_can_be_taken_again_after_it_was_let_go(tmp_path: Path) -> None:
    lock = RunLock(tmp_path / "new" / "out")
    with pytest.raises(JobLocked, match=f"pid {os.getpid()} "):
        RunLock(tmp_path / "new" / "out")
    lock.close()
    lock.close()
    RunLock(tmp_path / "new" / "out").close()


def test_a_lock_file_that_says_nonsense_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "run.lock").write_text("\x00 what is this")
    with RunLock(tmp_path) as lock:
        lock.path.write_text("[]")
        with pytest.raises(JobLocked, match="it has not said who it is"):
            RunLock(tmp_path)


def test_a_folder_that_cannot_be_written_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        StoreError, match=r"cannot be written \(Not a directory\); change that, or give another `output`"
    ):
        RunLock(tmp_path / "file" / "out")
