"""Runs the `labelwright` command so that it dies of SIGKILL at a named point.

    python -m tests.storm.armed --point after-send --nth 17 -- run job.yaml
    python -m tests.storm.armed --stable

A stable has imported everything once, encoder included, and forks a run for each line of JSON on its standard input,
so that three hundred runs need not import torch three hundred times. It answers with a line of JSON when the run has
ended. `{"after_s": 0.7}` instead of a point kills the run that long after its start, wherever it then is.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

HEAVY = ("aiohttp", "alembic.command", "datasets", "openai", "sqlalchemy.dialects.sqlite", "torch", "transformers",
         "agent.asking", "agent.cli", "agent.delivery", "agent.distill.distil", "agent.ending", "agent.loop",
         "agent.pool", "agent.student.encoder")  # fmt: skip


def load(order: dict[str, Any]) -> None:
    """Arm this process as the order says."""
    from tests.storm import points

    if order.get("witness"):
        points.witness(order["witness"])
    if order.get("point"):
        points.arm(order["point"], int(order.get("nth", 1)))


def go(words: list[str]) -> None:
    """The command itself."""
    from agent import cli

    sys.argv = ["labelwright", *words]
    cli.main()


# Many runs from one process -----------------------------------------------------------------------------------------


def stable() -> None:
    """Serve orders `{words, log, point, nth, after_s, witness}` with `{status}`: minus the signal that killed it."""
    for name in HEAVY:
        import_module(name)
    _keep_encoder()
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _child(order)
        print(json.dumps({"status": _wait(child, order.get("after_s"))}), flush=True)


def _keep_encoder() -> None:
    """The packaged encoder is read once, here: reading it is most of what a start costs."""
    student, encoder = import_module("agent.student"), import_module("agent.student.encoder")
    load_encoder, kept = student.load_encoder, encoder.Encoder.load(encoder.BUILTIN)

    def known(job: Any) -> Any:
        return kept if job.student.encoder == encoder.BUILTIN else load_encoder(job)

    student.load_encoder = known  # type: ignore[attr-defined]


def _child(order: dict[str, Any]) -> None:
    code: Any = 1
    try:
        with Path(order["log"]).open("ab") as log, Path(os.devnull).open("rb") as nothing:
            for source, target in ((nothing, 0), (log, 1), (log, 2)):
                os.dup2(source.fileno(), target)
        load(order)
        go(order["words"])
        code = 0
    except SystemExit as leave:
        code = leave.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def _wait(child: int, after_s: float | None) -> int:
    """How the child ended. By pidfd, so that no later process of the same number can be hit."""
    if after_s is not None:
        handle = os.pidfd_open(child)
        watch = select.poll()
        watch.register(handle, select.POLLIN)
        if not watch.poll(after_s * 1000):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stable", action="store_true", help="serve orders from standard input")
    parser.add_argument("--point", help="where to die")
    parser.add_argument("--nth", type=int, default=1, help="at which time of reaching it")
    parser.add_argument("--witness", help="a file for the numbers of answers that were said to be on disk")
    parser.add_argument("words", nargs="*", help="a labelwright command, after --")
    options = parser.parse_args()
    if options.stable:
        stable()
        return
    load(vars(options))
    go(options.words)


if __name__ == "__main__":
    main()
