"""Checks of a strategy's settings, each a sentence that names the key of the job file.

Knows no strategy.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.errors import JobFileError


def check(*problems: str | None) -> None:
    """Raises JobFileError with all the problems that are not None."""
    found = [(0, problem) for problem in problems if problem]
    if found:
        raise JobFileError("job", found)


def whole(name: str, value: object, least: int = 1) -> str | None:
    """A problem unless `value` is a whole number from `least`."""
    if type(value) is int and value >= least:
        return None
    return f"`selection.options.{name}`: a whole number from {least} is needed, not {value!r}"


def one_of(name: str, value: object, known: Sequence[str]) -> str | None:
    """A problem unless `value` is one of `known`."""
    if isinstance(value, str) and value in known:
        return None
    return f"`selection.options.{name}`: {', '.join(known[:-1])} or {known[-1]} is needed, not {value!r}"
