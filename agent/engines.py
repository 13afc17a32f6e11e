"""A job's own vLLM that answers files (`run_batch.llm`): started for the first of them, fed through a folder.

It is found again, watched and ended as one that serves, see `agent.serving`.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from agent.errors import JobFileError
from agent.job import LlmSettings, OracleSettings
from agent.oracle import offline
from agent.oracle.process import Files, Server
from agent.oracle.spool import lose
from agent.serving import died_loading, end, end_of_log, how_ended, loaded, look, model_of, python_of, running
from agent.workbench import Workbench

SCRIPT = Path(offline.__file__)
POLL_S = 2 * offline.POLL_S  # by then it has seen what is to be seen


class Engine:
    """The `vllm.LLM` of one oracle with `run_batch.llm`."""

    def __init__(self, bench: Workbench, settings: OracleSettings, llm: LlmSettings) -> None:
        self._bench, self._settings, self._llm = bench, settings, llm
        self.spool = bench.output(f"spool-{settings.name}")
        self.spool.mkdir(exist_ok=True)
        self.log = Files(bench.job.output_folder, settings.name).log

    @property
    def _server(self) -> Server | None:
        return self._bench.servers.get(self._settings.name)

    @property
    def runs(self) -> bool:
        """Whether it runs, as far as this run knows."""
        return self._server is not None and self._server.code is None

    def ended(self) -> str | None:
        """How it ended by itself in this run, in words; None where it did not."""
        server = self._server
        if server is None or server.code is None:
            return None
        return f"vLLM ended{how_ended(server)}. {end_of_log(self._settings, server)}"

    async def up(self) -> None:
        """It runs and is loaded; or a person stops the run. Raises EndpointError where that cannot be."""
        bench, settings = self._bench, self._settings
        if self._server is not None and (why := self.ended()) is not None:
            lose(self, why)
            end(bench, self._server)
        if self._server is None:
            look(bench, self._llm, settings.name)
        server = running(bench, settings.name, self._llm, self._command(), listens=False, before=self._clear)
        (self.spool / offline.STOP).unlink(missing_ok=True)  # of a run that was killed while it ended
        if server.note.ready is None and not await loaded(bench, settings, server, self._is_ready):
            server.end()
            del bench.servers[settings.name]
            raise died_loading(settings, server)

    async def finish(self) -> None:
        """Have it begin nothing more, and wait until what it is at is kept. A second Ctrl-C does not wait."""
        task, told = asyncio.current_task(), False
        (self.spool / offline.STOP).touch()
        while self.runs:
            await asyncio.sleep(POLL_S)
            if not any(self.spool.glob(f"*{offline.TAKEN}")) or (task is not None and task.cancelling()):
                return
            if not told:
                self._bench.watch.note(f"{self._settings.name}: vLLM finishes what it is at, and that is kept")
                told = True

    def end(self) -> None:
        """End it at once."""
        if self._server is not None:
            end(self._bench, self._server, 0.0)

    async def _is_ready(self) -> bool:
        return (self.spool / offline.READY).exists()

    def _clear(self) -> None:
        """What the one before it left, which does not run any more."""
        lose(self, "")
        (self.spool / offline.READY).unlink(missing_ok=True)

    def _command(self) -> list[str]:
        python, model = python_of(self._bench, self._llm), model_of(self._bench, self._llm)
        return [python or "", str(SCRIPT), str(self.spool), model, json.dumps(self._llm.args, sort_keys=True)]


def check_extra(settings: OracleSettings) -> None:
    """Raises JobFileError for a field of `oracle.extra` that an offline vLLM can make nothing of."""
    if unknown := sorted(settings.extra.keys() - set(offline.EXTRA)):
        known = ", ".join(sorted(offline.EXTRA))
        said = f"`oracle.extra`: `run_batch.llm` can make nothing of `{unknown[0]}`; it takes {known}"
        raise JobFileError("job", [(0, said)])
