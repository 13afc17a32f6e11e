"""A PostgreSQL of our own, from Debian's package: thrown away with the tests, and no service of the system.

    python -m tests.postgres          a server in the foreground, and the `store:` address to use

The server belongs to a small process that watches us. When we end, however that comes, a pipe closes and the watcher
stops the server and removes its folder.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

PLACES = ("/usr/lib/postgresql/{}/bin", "/usr/pgsql-{}/bin", "/opt/homebrew/opt/postgresql@{}/bin")
VERSIONS = ("18", "17", "16", "15")
READY = "database system is ready to accept connections"
# no durability against a power cut, which no test makes; what a killed client had committed is kept all the same
QUICK = ("fsync=off", "full_page_writes=off", "max_connections=200", "shared_buffers=32MB", "autovacuum=off")
# everybody is trusted, but for one who has to give a password
WHO = "host all guarded 127.0.0.1/32 scram-sha-256\nlocal all all trust\nhost all all 127.0.0.1/32 trust\n"

WATCHER = """
import json, os, shutil, signal, subprocess, sys, threading
signal.signal(signal.SIGINT, signal.SIG_IGN)
told = json.loads(sys.argv[1])
server = subprocess.Popen(told["command"], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                          start_new_session=True, **told["as"])
def listen():
    with open(told["log"], "a") as log:
        for line in server.stderr:
            log.write(line)
            log.flush()
            if told["ready"] in line:
                say("ready")
    server.wait()
    say("ended")
def say(word):
    try:
        os.write(1, word.encode() + b"\\n")
    except OSError:
        pass  # nobody is there any more
threading.Thread(target=listen, daemon=True).start()
sys.stdin.read()
if server.poll() is None:
    server.send_signal(signal.SIGINT)
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
shutil.rmtree(told["folder"], ignore_errors=True)
"""


class NotInstalled(Exception):
    """PostgreSQL's programs are not on this machine; the message says how to get them."""


def programs() -> Path:
    """The folder that holds `initdb` and `postgres`. Raises NotInstalled."""
    found = shutil.which("initdb")
    folders = [Path(place.format(version)) for version in VERSIONS for place in PLACES]
    for folder in ([Path(found).resolve().parent] if found else []) + folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise NotInstalled("PostgreSQL is not installed: apt-get install --no-install-recommends postgresql")


class PostgresServer:
    """One server on a free port of this machine, everybody trusted. `stop` it, or let this process end.

    Args:
        template: a database with the tables in it is made at once, so that each new one is a copy of it.
        settings: of the server; as PostgreSQL comes where there are none.
    """

    def __init__(self, *, template: bool = True, settings: Sequence[str] = QUICK) -> None:
        binaries = programs()
        self.folder = Path(tempfile.mkdtemp(prefix="labelwright-postgres-"))
        self._number = itertools.count(1)
        self.port = _free_port()
        self._as = _somebody(self.folder)
        data = self.folder / "data"
        make = [binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
        # sorts like a dictionary, not like Python: what relies on the order of a query has to say so
        make += ["--locale=C", "--locale-provider=icu", "--icu-locale=en-US"]
        subprocess.run(make, check=True, capture_output=True, **self._as)  # type: ignore[call-overload]
        (data / "pg_hba.conf").write_text(WHO)
        command = [str(binaries / "postgres"), "-D", str(data), "-p", str(self.port), "-k", str(self.folder)]
        command += ["-h", "127.0.0.1", *(part for setting in settings for part in ("-c", setting))]
        self._start(command)
        if template:
            self._make_template()

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        """The address of one database, as in a job file."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def new_database(self, *, empty: bool = False) -> str:
        """A new database with the tables in it, or quite `empty`; returns its address."""
        name = f"store_{next(self._number)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {'template0' if empty else 'made'}")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Remove a database, whoever is still connected to it."""
        self.run(f"DROP DATABASE IF EXISTS {url.rsplit('/', 1)[1]} WITH (FORCE)")

    def run(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement as the superuser, outside a transaction."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())  # as bytes: psycopg takes literal text alone
            return cursor.fetchall() if cursor.description else []

    def cut_connections(self, url: str) -> int:
        """End every connection to a database, as a restart of the server does; returns how many there were."""
        name = url.rsplit("/", 1)[1]
        return len(self.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"))

    def crash(self) -> None:
        """Kill one of its processes: it throws everybody out, recovers, and is back when this returns."""
        import psycopg

        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url()) as connection:
            os.kill(connection.info.backend_pid, signal.SIGKILL)
            connection.execute("SELECT 1")
        until = time.monotonic() + 60
        while True:  # it tells nobody when it is back
            try:
                self.run("SELECT 1")
            except psycopg.OperationalError:
                assert time.monotonic() < until
            else:
                return

    def stop(self) -> None:
        """End the server and remove everything. Stopping twice is fine."""
        if self._watcher.poll() is None:
            assert self._watcher.stdin is not None
            self._watcher.stdin.close()
            self._watcher.wait()
            self._listener.join()

    def wait(self) -> None:
        """Until the server ends by itself."""
        self._ended.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _start(self, command: list[str]) -> None:
        log = self.folder / "log"
        told = {"command": command, "as": self._as, "log": str(log), "ready": READY, "folder": str(self.folder)}
        self._watcher = subprocess.Popen(
            [sys.executable, "-c", WATCHER, json.dumps(told)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C in a terminal is ours to handle
        )
        self._ended = threading.Event()
        said = self._watcher.stdout
        assert said is not None
        if said.readline() != "ready\n":
            what = log.read_text(errors="replace")
            self.stop_unlistened()
            raise RuntimeError(f"PostgreSQL did not start:\n{what}")
        self._listener = threading.Thread(target=self._listen, name="postgres", daemon=True)
        self._listener.start()

    def stop_unlistened(self) -> None:
        """As `stop`, where the server never began."""
        self._watcher.communicate()

    def _listen(self) -> None:
        assert self._watcher.stdout is not None
        with self._watcher.stdout as said:
            for line in said:
                if line == "ended\n":
                    self._ended.set()
        self._ended.set()

    def _make_template(self) -> None:
        from agent.store import Store

        self.run("CREATE DATABASE made TEMPLATE template0")
        Store.open(self.url("made")).close()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _somebody(folder: Path) -> dict[str, object]:
    """PostgreSQL refuses to run as root; then it runs as its own user, or as nobody, who is given the folder."""
    if os.geteuid() != 0:
        return {}
    import grp
    import pwd

    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            os.chown(folder, entry.pw_uid, entry.pw_gid)
            group = grp.getgrgid(entry.pw_gid).gr_name
            return {"user": name, "group": group, "extra_groups": [], "cwd": str(folder)}
    raise NotInstalled("PostgreSQL does not run as root, and there is no user `postgres` or `nobody`")


@contextlib.contextmanager
def _interrupted() -> Iterator[None]:
    with contextlib.suppress(KeyboardInterrupt):
        yield


def main() -> None:
    """A server for a person at work: in the foreground until Ctrl-C, gone afterwards."""
    argparse.ArgumentParser(description="A throw-away PostgreSQL in the foreground, gone after Ctrl-C.").parse_args()
    try:
        server = PostgresServer(template=False)
    except NotInstalled as missing:
        sys.exit(str(missing))
    with server, _interrupted():
        server.run("CREATE DATABASE labelwright TEMPLATE template0")
        print(f"PostgreSQL runs until Ctrl-C, then everything in it is gone. In the job file:\n\n"
              f"store: {server.url('labelwright')}\n", flush=True)  # fmt: skip
        server.wait()


if __name__ == "__main__":
    main()
