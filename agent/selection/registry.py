"""Finds the strategy that the job file names, and builds it with `selection.options`."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agent.errors import JobFileError
from agent.selection.seam import Strategy
from agent.selection.strategies import ALL
from agent.tasks.loading import load_named

STRATEGIES: dict[str, Callable[..., Strategy]] = {str(getattr(s, "name")): s for s in ALL}  # noqa: B009


def find_strategy(name: str, options: Mapping[str, Any] | None = None) -> Strategy:
    """A built-in strategy by name, or your own as `package.module:Name`, built with `options` as keywords.

    Raises JobFileError: an unknown name or option (with the nearest known one), a missing option, or an object
    that is not a Strategy.
    """
    if ":" in name:
        make = load_named(name, "selection.strategy")
    elif name in STRATEGIES:
        make = STRATEGIES[name]
    else:
        raise _wrong("strategy", f"unknown strategy {name!r}; {_nearest(name, [*STRATEGIES, 'package.module:Name'])}")
    if not callable(make):
        raise _wrong("strategy", f"{name} is not a class or a function that builds a strategy")
    strategy = make(**_fitting(name, make, dict(options or {})))
    if not isinstance(strategy, Strategy):
        lacks = [verb for verb in ("score", "pick") if not hasattr(strategy, verb)]
        raise _wrong("strategy", f"{name} is not a Strategy: it lacks {' and '.join(lacks)}")
    return strategy


def _fitting(name: str, make: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """The options, checked against the signature of what will take them."""
    takes = inspect.signature(make).parameters.values()
    known = [p.name for p in takes if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if not any(p.kind is p.VAR_KEYWORD for p in takes):
        for option in options:
            if option not in known:
                raise _wrong("options", f"{name} has no option {option!r}; {_nearest(option, known)}")
    missing = [p.name for p in takes if p.name in known and p.default is p.empty and p.name not in options]
    if missing:
        raise _wrong("options", f"{name} needs the option{'s' * (len(missing) > 1)} {', '.join(missing)}")
    return options


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(known)}" if known else "it takes none"


def _wrong(key: str, said: str) -> JobFileError:
    return JobFileError("job", [(0, f"`selection.{key}`: {said}")])
