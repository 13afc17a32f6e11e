"""Finds the strategy that the job file names, and builds it with `selection.options`.

An option that is a strategy itself (a parameter annotated `Strategy` or `tuple[Strategy, ...]`) is found and built
the same way, as deep as they are nested.
"""

from __future__ import annotations

import difflib
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.errors import JobFileError
from agent.selection.seam import Strategy
from agent.selection.strategies import ALL
from agent.tasks.loading import load_named

STRATEGIES: dict[str, Callable[..., Strategy]] = {str(getattr(s, "name")): s for s in ALL}  # noqa: B009
OPTIONS = "selection.options"  # where strategies say that their settings stand
OF_A_STRATEGY = ("strategy", "options")
CALLED = {
    "bandit": ("thompson", "ucb", "mab"),
    "anchored": ("seals", "anchor", "anchoral"),
    "badge": ("gradient", "gradient_embedding"),
    "committee": ("qbc", "query_by_committee", "vote"),
    "contrastive": ("cal", "contrastive_active_learning"),
    "error_reduction": ("eer", "expected_error_reduction"),
    "k_center": ("coreset", "core", "kcenter", "kcentergreedy"),
    "least_confidence": ("uncertainty", "lc", "confidence"),
    "margin": ("breaking_ties", "smallest_margin", "bt"),
    "balanced": ("rare", "rare_class", "class_balance"),
}
"""What else strategies are called where people come from."""
UNRESOLVED = {"Strategy": (True, False), "tuple[Strategy, ...]": (False, True)}  # as `one` and `many` of `_Wants`


def find_strategy(name: str, options: Mapping[str, Any] | None = None) -> Strategy:
    """A built-in strategy by name, or your own as `package.module:Name`, built with `options` as keywords.

    An option that takes a strategy may be written as its name or as `{strategy: NAME, options: {...}}`; one that
    takes several as a list of such.

    Raises JobFileError, which names the key: an unknown name or option (with the nearest known one), a missing
    option, or an object that is not a Strategy.
    """
    return _build(name, options or {}, "selection.strategy", OPTIONS)


def _build(name: str, options: Mapping[str, Any], key: str, under: str) -> Strategy:
    """`key` is where the job file names the strategy, `under` where its options stand."""
    if ":" in name:
        make = load_named(name, key)
    elif name in STRATEGIES:
        make = STRATEGIES[name]
    else:
        raise _wrong(key, f"unknown strategy {name!r}; {_meant(name)}")
    if not callable(make):
        raise _wrong(key, f"{name} is not a class or a function that builds a strategy")
    try:
        inspect.signature(make)
    except ValueError:  # some built-in types tell none
        raise _wrong(key, f"{name} does not say what options it takes; wrap it in a function of yours") from None
    strategy = _made(make, _with_strategies(make, _fitting(name, make, dict(options), under), under), under)
    if not isinstance(strategy, Strategy):
        lacks = [verb for verb in ("score", "pick") if not hasattr(strategy, verb)]
        raise _wrong(key, f"{name} is not a Strategy: it lacks {' and '.join(lacks)}")
    return strategy


def with_parts(strategy: Strategy) -> Iterator[Strategy]:
    """The strategy, and every one that it is made of, however deep."""
    yield strategy
    for value in vars(strategy).values() if hasattr(strategy, "__dict__") else ():
        for part in value if isinstance(value, list | tuple) else (value,):
            if isinstance(part, Strategy) and not isinstance(part, type):
                yield from with_parts(part)


def _fitting(name: str, make: Callable[..., Any], options: dict[str, Any], under: str) -> dict[str, Any]:
    """The options, checked against the signature of what will take them."""
    takes = inspect.signature(make).parameters.values()
    known = [p.name for p in takes if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if not any(p.kind is p.VAR_KEYWORD for p in takes):
        wrong = [option for option in options if option not in known]
        if wrong:
            said = [f"`{under}`: {name} has no option {option!r}; {_nearest(option, known)}" for option in wrong]
            raise JobFileError("job", [(0, each) for each in said])
    missing = [p.name for p in takes if p.name in known and p.default is p.empty and p.name not in options]
    if missing:
        raise _wrong(under, f"{name} needs the option{'s' * (len(missing) > 1)} {', '.join(missing)}")
    return options


def _made(make: Callable[..., Any], options: dict[str, Any], under: str) -> Any:
    """What `make` builds. What it finds wrong with its settings is told with the key where they stand."""
    try:
        return make(**options)
    except JobFileError as error:
        problems = [(line, said.replace(f"`{OPTIONS}.", f"`{under}.")) for line, said in error.problems]
        raise JobFileError(error.path, problems) from None


# Options that are strategies ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Wants:
    """Whether a parameter takes a strategy, several of them, or none may be given."""

    one: bool = False
    many: bool = False
    none: bool = False


def _with_strategies(make: Callable[..., Any], options: dict[str, Any], under: str) -> dict[str, Any]:
    """The options, with a strategy in place of every name of one that a parameter asks for."""
    out = dict(options)
    for parameter, wants in _strategy_parameters(make).items():
        if parameter not in options or (options[parameter] is None and wants.none):
            continue
        value, key = options[parameter], f"{under}.{parameter}"
        if wants.one:
            out[parameter] = _nested(value, key)
        elif isinstance(value, list | tuple):
            out[parameter] = tuple(_nested(part, f"{key}[{i}]") for i, part in enumerate(value))
        else:
            raise _wrong(key, f"a list of strategies is needed, not {value!r}")
    return out


def _nested(written: Any, key: str) -> Strategy:
    if isinstance(written, str):
        return _build(written, {}, key, f"{key}.options")
    if isinstance(written, Strategy) and not isinstance(written, type):
        return written
    if not isinstance(written, Mapping):
        raise _wrong(key, f"a strategy's name or {{strategy: NAME, options: {{...}}}} is needed, not {written!r}")
    for word in written:
        if word not in OF_A_STRATEGY:
            raise _wrong(key, f"unknown key {word!r}; {_nearest(word, OF_A_STRATEGY)}")
    name, options = written.get("strategy"), written.get("options")
    if not isinstance(name, str):
        raise _wrong(f"{key}.strategy", "is missing" if name is None else f"a name is needed, not {name!r}")
    if options is not None and not isinstance(options, Mapping):
        raise _wrong(f"{key}.options", f"a mapping is needed, not {options!r}")
    return _build(name, options or {}, f"{key}.strategy", f"{key}.options")


def _strategy_parameters(make: Callable[..., Any]) -> dict[str, _Wants]:
    """The parameters that take strategies, by name."""
    hints: dict[str, Any] = {p.name: p.annotation for p in inspect.signature(make).parameters.values()}
    for source in (make, make.__init__) if isinstance(make, type) else (make,):  # type: ignore[misc]
        try:
            hints.update(typing.get_type_hints(source))
        except Exception:  # noqa: S112  a name known to a type checker only; the text of the annotation has to do
            continue
    found = {name: _wants(hint) for name, hint in hints.items()}
    return {name: wants for name, wants in found.items() if wants.one or wants.many}


def _wants(hint: Any) -> _Wants:
    if isinstance(hint, str):
        return _Wants(*UNRESOLVED.get(hint, (False, False)))
    if hint is Strategy:
        return _Wants(one=True)
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        parts = [_wants(h) for h in inside]
        return _Wants(any(p.one for p in parts), any(p.many for p in parts), type(None) in inside)
    return _Wants(many=origin in (tuple, list, Sequence) and bool(inside) and inside[0] is Strategy)


def _meant(name: str) -> str:
    """What somebody who wrote this name of a strategy may have meant."""
    plain = _bare(name)
    for known, others in CALLED.items():
        if plain in map(_bare, (known, *others)):
            return f"did you mean {known!r}?"
    module, dot, of = name.rpartition(".")
    if dot and of and all(part.isidentifier() for part in name.split(".")):
        return f"did you mean '{module}:{of}'? One of your own is named package.module:Name"
    return _nearest(name, [*STRATEGIES, "package.module:Name"])


def _bare(name: str) -> str:
    return "".join(c for c in str(name).lower() if c.isalnum())


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(known)}" if known else "it takes none"


def _wrong(key: str, said: str) -> JobFileError:
    return JobFileError("job", [(0, f"`{key}`: {said}")])
