"""Stands between a run and the server that it started, so that a run that is killed leaves none behind for long.

    python keeper.py LOCK LINGER_S GRACE_S COMMAND...

It leads the server's session, and starts COMMAND once it reads a line on its standard input: by then it is noted
whom to end. It ends the whole group when nobody has held LOCK for LINGER_S seconds: the run is dead then, and no
other came to take the server over. Its exit code is the server's. It is run by its path, and imports nothing of ours.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time

LOOK_S = 1.0


def main(lock_path: str, linger_s: float, grace_s: float, command: list[str]) -> int:
    """Returns the exit code."""
    lock = os.open(lock_path, os.O_RDONLY)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # it stays to the last; to ignore them would be inherited
    if not sys.stdin.readline():
        return 1  # who started us died before he noted it
    try:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - the person's own command
    except OSError as error:
        print(f"cannot run {command[0]}: {error.strerror}", flush=True)
        return 127
    threading.Thread(target=_watch, args=(lock, linger_s, grace_s), daemon=True).start()
    code = server.wait()
    if not is_held(lock):
        os.killpg(0, signal.SIGKILL)  # what it put into the background, and ourselves
    return code if code >= 0 else 128 - code


def is_held(lock: int) -> bool:
    """Whether some run holds the lock."""
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(lock, fcntl.LOCK_UN)
    return False


def _watch(lock: int, linger_s: float, grace_s: float) -> None:
    seen = time.monotonic()
    while time.monotonic() - seen < linger_s:
        time.sleep(min(LOOK_S, linger_s))
        if is_held(lock):
            seen = time.monotonic()
    print(f"no run has wanted this server for {linger_s:g} s: it is ended", flush=True)
    os.killpg(0, signal.SIGTERM)
    time.sleep(grace_s)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]))
