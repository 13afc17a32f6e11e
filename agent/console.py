"""A run as a person watches it: one line a step, and a live line while answers come in."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from agent.asking import Asking
from agent.ledger import Purse
from agent.report import terminal
from agent.report.wording import dollars, plain

REDRAW_S = 0.1
SAID = 100  # most characters of its log's last line
LOADING_S = 30.0  # from one line about a server that is loading to the next, where there is no live line
HEAD = 10  # characters of the word that a line begins with


class Lines:
    """The `Watch` of a terminal. Where the output is no terminal, the live line is left out.

    Args:
        console: where to; standard error, so that `--json` on standard output stays clean.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self._bars: dict[str, Any] = {}
        self._progress: Progress | None = None
        self._began = time.monotonic()
        self._drawn = 0.0
        self._asked: tuple[str, Asking, Purse] | None = None
        self._heard = self._began  # when it last said something
        self._told_s = 0.0  # at which second of a server's loading a line was last written

    def _say(self, line: Text) -> None:
        """A line; on a terminal a long one goes on under its own beginning, in a file it stays one line."""
        if not self.console.is_terminal:
            self.console.print(line, soft_wrap=True)
            return
        head, said = line.divide([HEAD])
        for part in said.wrap(self.console, max(20, self.console.width - HEAD)):
            self.console.print(Text.assemble(head, part), soft_wrap=True)
            head = Text(" " * HEAD)

    def note(self, message: str) -> None:
        self._end()
        self._say(Text(f"{'':<{HEAD}}{plain(message)}", style="dim"))

    def progress(self, what: str, done: int, total: int) -> None:
        task = self._bar(what, total)
        self._live().update(task, completed=done, total=total)
        if done >= total:
            self._end()

    def loading(self, oracle: str, seconds: float, said: str) -> None:
        if not self.console.is_terminal:
            if seconds >= self._told_s + LOADING_S:
                self._told_s = seconds
                self.note(f"{oracle}: not ready after {seconds:.0f} s: {said[:SAID] or 'nothing in its log yet'}")
            return
        if self._progress is None:
            self._progress = Progress(
                TextColumn("[bold cyan]{task.description:<9}"),
                TimeElapsedColumn(),
                TextColumn("{task.fields[said]}", markup=False, style="dim"),
                console=self.console,
                transient=True,
            )
            self._progress.start()
        room = max(20, self.console.width - 20)
        self._progress.update(self._bar("loading", 0), said=plain(said)[:room])

    def picked(self, number: int, counts: Mapping[str, int]) -> None:
        self.console.print()
        self._say(terminal.picked(number, counts))

    def asking(self, oracle: str, state: Asking, purse: Purse) -> None:
        if self._asked is None or self._asked[1] is not state:
            self._began = time.monotonic()
        self._asked, self._heard = (oracle, state, purse), time.monotonic()
        if self._heard - self._drawn < REDRAW_S:
            return  # a thousand answers a second need no thousand lines a second
        self._drawn = self._heard
        task = self._bar("asking", state.total)
        self._live().update(task, completed=state.done, total=state.total, said=self._money(state, purse))

    def triaged(self, accepted: int, people: int, failed: int, waiting: int) -> None:
        self._end()
        self._say(terminal.triaged(accepted, people, failed, waiting))

    def measured(self, figures: Mapping[str, Any]) -> None:
        self._end()
        self._say(terminal.student(figures))

    def stopped(self, message: str) -> None:
        self._end()
        self.console.print()
        self._say(terminal.line("stop", message))

    def _money(self, state: Asking, purse: Purse, unit: str = "/s") -> str:
        seconds = max(1e-3, self._heard - self._began)
        rate = (state.done - state.known) / seconds
        said = f"{rate:,.1f}{unit} · {dollars(purse.spent)} of {dollars(purse.cap)}"
        return said + (f" · {purse.ambiguous_count} ambiguous" if purse.ambiguous_count else "")

    def _live(self) -> Progress:
        if self._progress is None:
            self._progress = Progress(
                TextColumn("[bold cyan]{task.description:<9}"),
                BarColumn(bar_width=12),
                MofNCompleteColumn(),
                TextColumn("{task.fields[said]}"),
                TimeRemainingColumn(compact=True),
                console=self.console,
                transient=True,
                disable=not self.console.is_terminal,
            )
            self._progress.start()
        return self._progress

    def _bar(self, what: str, total: int) -> Any:
        if what not in self._bars:
            self._bars[what] = self._live().add_task(what, total=total, said="")
        return self._bars[what]

    def _end(self) -> None:
        """Take the live line away; what an asking came to stays as a line."""
        if self._progress is not None:
            self._progress.stop()
        self._progress, self._bars = None, {}
        if self._asked is not None:
            oracle, state, purse = self._asked
            known = f" ({state.known} known already)" if state.known else ""
            self._say(
                terminal.line(
                    "asked", f"{oracle} {state.done}/{state.total}{known} · {self._money(state, purse, ' labels/s')}"
                )
            )
            self._asked = None
