"""What a run tells whoever watches it. The command line draws it; a library user may ignore it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from agent.asking import Asking
from agent.ledger import Purse


class Watch(Protocol):
    """Told what happens, as it happens. Nothing it does changes a run."""

    def note(self, message: str) -> None:
        """Something worth a line."""

    def progress(self, what: str, done: int, total: int) -> None:
        """A long piece of work moves: `what` is `embedding`, `distilling` and the like."""

    def loading(self, oracle: str, seconds: float, said: str) -> None:
        """A server that the run started does not answer yet; `said` is the last line of its log."""

    def picked(self, number: int, counts: Mapping[str, int]) -> None:
        """Round `number` picked texts: how many of each slice."""

    def asking(self, oracle: str, state: Asking, purse: Purse) -> None:
        """Answers come in."""

    def triaged(self, accepted: int, people: int, failed: int, waiting: int) -> None:
        """Where a round's answers went; `waiting` is the length of the people's queue."""

    def measured(self, figures: Mapping[str, Any]) -> None:
        """A round's figures, where a student was measured."""

    def stopped(self, message: str) -> None:
        """Why the loop ended, or that it goes on."""


class Silent:
    """Nobody watches."""

    def note(self, message: str) -> None: ...
    def progress(self, what: str, done: int, total: int) -> None: ...
    def loading(self, oracle: str, seconds: float, said: str) -> None: ...
    def picked(self, number: int, counts: Mapping[str, int]) -> None: ...
    def asking(self, oracle: str, state: Asking, purse: Purse) -> None: ...
    def triaged(self, accepted: int, people: int, failed: int, waiting: int) -> None: ...
    def measured(self, figures: Mapping[str, Any]) -> None: ...
    def stopped(self, message: str) -> None: ...
