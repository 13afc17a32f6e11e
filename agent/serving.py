"""A job's own vLLM: started when first asked, waited for, taken over from a run that was killed, and ended.

What its answers cost is the ledger's, as for any endpoint. What it costs beyond that (loading, idle time) is told
when it is ended. One that answers files is fed in `agent.engines`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from agent.errors import EndpointError, LabelwrightError, OracleError
from agent.job import OracleSettings, OwnVllm, ServeSettings
from agent.oracle.process import GRACE_S, Files, Server, free_port
from agent.oracle.serverlog import doing, last_words
from agent.oracle.wire import Wire
from agent.report import wording
from agent.workbench import Workbench

MODULE = "vllm.entrypoints.openai.api_server"
HERE = "127.0.0.1"
LOOK_S = 5.0  # that one look at a server may take
PORTS = 3  # that are tried, where another program takes one first
TAKEN = "ddress already in use"
FIND = "import importlib.util, sys; sys.exit(0 if importlib.util.find_spec('vllm') else 9)"
FIND_S = 60.0


@contextmanager
def serving(bench: Workbench) -> Iterator[None]:
    """However asking ends, no server is left: none that this run started, and none of a run that was killed."""
    grace_s = GRACE_S
    try:
        yield
    except KeyboardInterrupt:  # the second Ctrl-C: `halting` made the first one end the asking in order
        grace_s = 0.0
        raise
    finally:
        for server in _of_all(bench):
            end(bench, server, grace_s)


async def started(bench: Workbench, settings: OracleSettings) -> OracleSettings:
    """An oracle with `serve`, with the address of its server, which answers by then; any other as it is.

    Where a person stops the run meanwhile, it is returned before the server is ready. Raises EndpointError where the
    server cannot be started, ends, or is not ready in time.
    """
    if settings.serve is None:
        return settings
    look(bench, settings.serve, settings.name)
    command = _command(bench, settings, settings.serve)
    for place in range(PORTS):
        server = running(bench, settings.name, settings.serve, command)
        address = settings.model_copy(
            update={"base_url": f"http://{HERE}:{server.note.port}/v1", "serve": None, "mode": "live"}
        )
        if await loaded(bench, settings, server, partial(_answers, address)):
            return address
        lost_its_port = any(TAKEN in line for line in last_words(server.files.log))
        server.end()
        del bench.servers[settings.name]
        if not lost_its_port or place == PORTS - 1:
            break
        bench.watch.note(f"{settings.name}: another program took port {server.note.port} first; trying another one")
    raise died_loading(settings, server)


def name_of(bench: Workbench, settings: OracleSettings) -> str:
    """What messages call a server: its log is where to look, and its port says nothing."""
    return f"its vLLM (log {_files(bench, settings.name).log})"


def look(bench: Workbench, own: OwnVllm, name: str) -> str:
    """What can be known of a vLLM without starting it, in words. EndpointError where it cannot be started."""
    python, model = python_of(bench, own), model_of(bench, own)
    if python is None:
        raise EndpointError(
            f"oracle {name}: no program {own.python}; give the interpreter of the environment that has vLLM as "
            f"`{own.key}.python`, such as /opt/vllm/bin/python"
        )
    try:
        code = subprocess.run(  # noqa: S603 - the person's own interpreter
            [python, "-c", FIND], env=_env(own), capture_output=True, timeout=FIND_S, check=False
        ).returncode
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EndpointError(f"oracle {name}: {python} does not run ({error}); mend `{own.key}.python`") from None
    if code != 0:
        what = "has no vllm" if code == 9 else f"ended with code {code} when it was asked for vllm"
        raise EndpointError(
            f"oracle {name}: {python} {what}; install it there (`{python} -m pip install vllm`), or give another "
            f"environment's interpreter as `{own.key}.python`"
        )
    is_path = own.model.startswith((".", "/", "~")) or own.model.count("/") > 1
    if is_path and not Path(model).exists():
        raise EndpointError(f"oracle {name}: no folder {model}; mend `{own.key}.model`, or give a hub id")
    where = model if Path(model).exists() else f"{model} of the hub"
    return f"vLLM is in {python}; a run starts it with {where}"


# Starting -----------------------------------------------------------------------------------------------------------


def running(
    bench: Workbench,
    name: str,
    own: OwnVllm,
    command: Sequence[str],
    *,
    listens: bool = True,
    before: Callable[[], None] = lambda: None,
) -> Server:
    """The vLLM that this run has, or that an earlier one left, or a new one.

    Args:
        command: starts it; one that `listens` is given a port as well.
        before: called when a new one is about to be started, and none runs.
    """
    if name in bench.servers:
        return bench.servers[name]
    files = Files(bench.output("").resolve(), name)
    what = hashlib.sha256(json.dumps([command, sorted(own.env.items())]).encode()).hexdigest()[:16]
    server = Server.find(files)
    if server is not None and server.note.what == what and server.code is None:
        bench.watch.note(f"{name}: taking over the vLLM that an earlier run left, process {server.note.session}")
    elif server is not None:
        why = "only parts of it run" if server.code is not None else "the job starts it in another way now"
        bench.watch.note(f"{name}: ending the vLLM that an earlier run left: {why}")
        end(bench, server)
        server = None
    if server is None:
        before()
        bench.watch.note(f"{name}: starting vLLM with {own.model}; its log is {files.log}")
        port = free_port() if listens else 0
        words = [*command, "--port", str(port)] if listens else command
        server = Server.start(files, words, _env(own), what, port=port, spent=_spent(bench, name))
    bench.servers[name] = server
    return server


async def loaded(
    bench: Workbench, settings: OracleSettings, server: Server, is_ready: Callable[[], Awaitable[bool]]
) -> bool:
    """Wait until it is ready, or a person stops the run. False where it ended; EndpointError after `ready_s`."""
    began = time.monotonic()
    own = _own(settings)
    while not bench.halted:
        if server.code is not None:
            return False
        seconds = time.monotonic() - began
        if await is_ready():
            server.note_ready()
            bench.watch.note(f"{settings.name}: vLLM is ready after {seconds:.0f} s")
            break
        if seconds > own.ready_s:
            raise EndpointError(
                f"oracle {settings.name}: vLLM was not ready after {own.ready_s:g} s; raise `{own.key}.ready_s`, or "
                f"mend what its log says. {end_of_log(settings, server)}"
            )
        bench.watch.loading(settings.name, seconds, _masked(settings, doing(server.files.log)))
        await asyncio.sleep(min(1.0, 0.05 + seconds / 10))
    return True


def died_loading(settings: OracleSettings, server: Server) -> EndpointError:
    """What a person is told where it ended before it was ready."""
    return EndpointError(
        f"oracle {settings.name}: vLLM ended while it was loading{how_ended(server)}; mend `{_own(settings).key}` in "
        f"the job file. {end_of_log(settings, server)}"
    )


def end_of_log(settings: OracleSettings, server: Server) -> str:
    """The last lines of a log, under a line that says where it is."""
    words = [_masked(settings, line)[:300] for line in last_words(server.files.log)] or ["(nothing)"]
    return "\n".join([f"The end of its log, {server.files.log}:", *(f"  {line}" for line in words)])


def _own(settings: OracleSettings) -> OwnVllm:
    if settings.own is None:
        raise ValueError(f"oracle {settings.name} has no vLLM of its own")
    return settings.own


async def _answers(settings: OracleSettings) -> bool:
    """Whether it is well, and serves the model."""
    base = settings.address
    root, api = (Wire(url, "vLLM", settings.key(), LOOK_S) for url in (base.removesuffix("/v1"), base))
    try:
        if (await root.get("/health")).status != 200:
            return False
        reply = await api.get("/models")
        told = reply.told() if reply.status == 200 else None
    except OracleError:
        return False
    finally:
        await root.close()
        await api.close()
    rows = told.get("data") if isinstance(told, dict) else None
    return any(isinstance(r, dict) and r.get("id") == settings.model for r in rows or ())


def _command(bench: Workbench, settings: OracleSettings, serve: ServeSettings) -> list[str]:
    named = ["--model", model_of(bench, serve), "--served-model-name", settings.model, "--host", HERE]
    return [python_of(bench, serve) or "", "-m", MODULE, *named, *serve.args]


def python_of(bench: Workbench, own: OwnVllm) -> str | None:
    """The interpreter. Its link is not followed: that an environment is meant is known by the link's own place."""
    if own.python is None:
        return sys.executable
    if "/" not in own.python:
        return shutil.which(own.python)
    path = os.path.normpath(bench.job.folder / Path(own.python).expanduser())
    return path if Path(path).is_file() and os.access(path, os.X_OK) else None


def model_of(bench: Workbench, own: OwnVllm) -> str:
    """Its folder, or the hub id."""
    path = bench.job.path(own.model)
    is_path = own.model.startswith((".", "/", "~"))
    return str(path) if is_path or path.exists() else own.model


def _env(own: OwnVllm) -> dict[str, str]:
    return {**os.environ, **own.env}


def _files(bench: Workbench, name: str) -> Files:
    return Files(bench.job.output_folder, name)


def _masked(settings: OracleSettings, line: str) -> str:
    """A server may write down with which key it was started."""
    key = settings.key()
    return line.replace(key, "***") if key else line


# Ending -------------------------------------------------------------------------------------------------------------


def _of_all(bench: Workbench) -> Iterator[Server]:
    yield from list(bench.servers.values())
    for files in Files.noted(bench.job.output_folder):
        if (left := Server.find(files)) is not None:
            bench.watch.note(f"{files.name}: ending the vLLM that an earlier run left, process {left.note.session}")
            yield left


def end(bench: Workbench, server: Server, grace_s: float = GRACE_S) -> None:
    """End it with all its processes, and say what it came to."""
    name, ended = server.files.name, time.monotonic()
    bench.servers.pop(name, None)
    if server.code is not None:
        bench.watch.note(f"{name}: vLLM ended by itself{how_ended(server)}; its log is {server.files.log}")
    left = server.end(grace_s)
    if left:
        said = ", ".join(map(str, left))
        bench.watch.note(f"{name}: process {said} of vLLM did not end; end it yourself (kill -9 {said})")
    with suppress(LabelwrightError):  # a store that has gone
        bench.watch.note(_told(bench, server, ended - server.note.began))


def _told(bench: Workbench, server: Server, seconds: float) -> str:
    """How long it ran, and what of that is in the job's books."""
    name, note = server.files.name, server.note
    loading = seconds if note.ready is None else note.ready - note.began
    said = f"{name}: vLLM ran for {_minutes(seconds)} minutes, {_minutes(loading)} of them loading"
    rate = next((o.price.gpu_hour for o in bench.job.oracle if o.name == name and o.price is not None), None)
    if not rate:
        return said
    whole = float(rate) * 1e6 * seconds / 3600
    booked = wording.dollars(_spent(bench, name) - note.spent)
    return f"{said}: {wording.dollars(whole)} of GPU time; {booked} is booked to answers"


def how_ended(server: Server) -> str:
    """Its exit code in words, "" where nobody knows it."""
    code = server.code
    return f", with code {code}" if code is not None and code >= 0 else ""


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f}"


def _spent(bench: Workbench, name: str) -> int:
    by = bench.store.spending(bench.job.name).by_oracle.get(name)
    return 0 if by is None else int(by.spent)
