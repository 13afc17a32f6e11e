"""Reading the job file: YAML with the line of every key, variables of the environment, and errors as sentences."""

from __future__ import annotations

import difflib
import inspect
import os
import re
import typing
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from agent.errors import JobFileError

Where = tuple[str | int, ...]
ENV = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
KEY = re.compile(r"`([A-Za-z_][A-Za-z0-9_.]*)`")
NEEDS = {
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "bool": "true or false",
    "string": "text",
    "list": "a list",
    "dict": "a mapping",
}
BOUNDS = {
    "greater_than": ("gt", "a number above {}"),
    "greater_than_equal": ("ge", "a number from {}"),
    "less_than": ("lt", "a number below {}"),
    "less_than_equal": ("le", "a number up to {}"),
}
SECRET = re.compile(r"key|secret|token|password|url|store", re.IGNORECASE)


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[Where, int]]:
    """A job file as a mapping, and the line of every key. Raises JobFileError."""
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except FileNotFoundError:
        raise JobFileError(str(path), [(0, "no such file; `labelwright init` writes one to start from")]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise JobFileError(str(path), [(0, f"cannot be read: {error}")]) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        said = getattr(error, "problem", None) or "not valid YAML"
        raise JobFileError(str(path), [(mark.line + 1 if mark else 0, f"not valid YAML: {said}")]) from None
    if not isinstance(data, dict):
        raise JobFileError(str(path), [(1, "a job file is a mapping with at least task, data, oracle and budget")])
    lines: dict[Where, int] = {}
    problems = list(_walk(node, (), lines))
    if problems:
        raise JobFileError(str(path), problems)
    return data, lines


def _walk(node: Any, where: Where, lines: dict[Where, int]) -> Iterator[tuple[int, str]]:
    """Note the line of every key; yield keys written twice, which YAML would let the last one win."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*where, str(key.value))
            if here in lines:
                yield key.start_mark.line + 1, f"`{_dotted(here)}` is written twice (first on line {lines[here]})"
                continue
            lines[here] = key.start_mark.line + 1
            yield from _walk(value, here, lines)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            lines[(*where, i)] = value.start_mark.line + 1
            yield from _walk(value, (*where, i), lines)


def expand(value: Any, where: Where, lines: dict[Where, int], problems: list[tuple[int, str]]) -> Any:
    """Replace `${NAME}` by the environment's value; a name that is not set is a problem."""
    if isinstance(value, dict):
        return {k: expand(v, (*where, str(k)), lines, problems) for k, v in value.items()}
    if isinstance(value, list):
        return [expand(v, (*where, i), lines, problems) for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if found is None:
            said = f"`{_dotted(where)}`: environment variable {match[1]} is not set; export it first"
            problems.append((_line(where, lines), said))
        return found if found is not None else match[0]

    return ENV.sub(fill, value)


@contextmanager
def telling_lines(path: str, lines: Mapping[Where, int]) -> Iterator[None]:
    """What a part finds wrong with settings that it alone understands is told with the file, and the line of the key
    that the sentence begins with."""
    try:
        yield
    except JobFileError as error:
        problems = [(line or _line_of_key(said, lines), said) for line, said in error.problems]
        raise JobFileError(path, problems) from None


def _line_of_key(said: str, lines: Mapping[Where, int]) -> int:
    key = KEY.match(said)
    return _line(tuple(key[1].split(".")), lines) if key else 0


def _line(where: Where, lines: Mapping[Where, int]) -> int:
    while where:
        if where in lines:
            return lines[where]
        where = where[:-1]
    return 0


def _dotted(where: Where) -> str:
    out = ""
    for part in where:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else str(part)
    return out


def told(
    errors: Iterable[Mapping[str, Any]], lines: dict[Where, int], data: Any, root: type[BaseModel]
) -> list[tuple[int, str]]:
    """Pydantic's errors as line numbers and sentences, one for each key.

    Args:
        data: the file as it was written: what a variable of the environment holds may be a secret.
        root: the model of the whole file.
    """
    said: list[tuple[int, str]] = []
    needs: dict[tuple[int, Where], list[str]] = {}
    for error in errors:
        where = _where(error, data)
        need = _need(error, where, root)
        if not where:  # of the file as a whole: a sentence a line, each of which begins with its key
            said += [(_line_of_key(line, lines), line) for line in _said(error).split("\n")]
        elif need is None:
            said.append(_sentence(error, where, lines, root))
        else:
            needs.setdefault((_line(where, lines), where), []).append(need)
    for (line, where), parts in needs.items():
        choice = " or ".join(dict.fromkeys(parts))
        said.append((line, f"`{_dotted(where)}`: {choice} is needed{_instead(where, data, choice)}"))
    return said


def _where(error: Mapping[str, Any], data: Any) -> Where:
    """The key that an error is about."""
    where: Where = tuple(p for p in error["loc"] if not _is_branch(p))
    if where[:1] == ("oracle",) and isinstance(data.get("oracle"), dict) and len(where) > 1:
        where = ("oracle", *where[2:])  # a single oracle was written as a mapping, not as a list
    return where


def _need(error: Mapping[str, Any], where: Where, root: type[BaseModel]) -> str | None:
    """What would have been right, in words; None where the error says it better itself."""
    kind, context = str(error["type"]), error.get("ctx") or {}
    if kind in BOUNDS:
        name, words = BOUNDS[kind]
        return words.format(f"{float(context[name]):,.12g}")
    if kind == "literal_error":
        return str(context["expected"])
    if kind in ("model_type", "model_attributes_type", "dataclass_type"):
        keys = ", ".join(_keys_beside(root, (*where, "")))
        return f"a mapping with some of {keys}" if keys else "a mapping"
    what, _, how = kind.partition("_")
    return NEEDS.get(what) if how in ("type", "parsing", "from_float") else None


def _instead(where: Where, data: Any, choice: str) -> str:
    """What stands there instead, and which of the choices was meant; nothing of what may be a secret."""
    found = data
    for part in where:
        try:
            found = found[part]
        except (KeyError, IndexError, TypeError):
            return ""
    if isinstance(found, dict | list) or SECRET.search(str(where[-1] if where else "")):
        return ""
    near = difflib.get_close_matches(str(found), re.findall(r"'([^']*)'", choice), n=1, cutoff=0.5)
    shown = repr(found[:60]) if isinstance(found, str) else str(found)
    return f", not {shown}" + (f"; did you mean {near[0]!r}?" if near else "")


def _sentence(
    error: Mapping[str, Any], where: Where, lines: dict[Where, int], root: type[BaseModel]
) -> tuple[int, str]:
    line = _line(where, lines)
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(where[-1]), _keys_beside(root, where), n=3)
        # a key that has to be there and is not was meant rather than one that looks a little more alike
        near.sort(key=lambda key: (*where[:-1], key) in lines or not _is_required(root, (*where[:-1], key)))
        hint = f"; did you mean `{near[0]}`?" if near else f"; known here: {', '.join(_keys_beside(root, where))}"
        return line, f"unknown key `{_dotted(where)}`{hint}"
    if error["type"] == "missing":
        return line, f"`{_dotted(where)}` is missing"
    return line, f"`{_dotted(where)}`: {_said(error)}"


def _said(error: Mapping[str, Any]) -> str:
    """The words of an error that the model raised itself."""
    return str(error["msg"]).removeprefix("Value error, ")


def _is_branch(part: str | int) -> bool:
    """Pydantic names the branch of a union in `loc` (`literal['auto']`, `constrained-int`); a person does not."""
    return isinstance(part, str) and (part.startswith(("literal[", "constrained", "function-")) or part in {"int"})


def _keys_beside(root: type[BaseModel], where: Where) -> list[str]:
    """The known keys of the section that `where` points into."""
    model = _section_of(root, where)
    return list(model.model_fields) if model is not None else []


def _is_required(root: type[BaseModel], where: Where) -> bool:
    model = _section_of(root, where)
    return model is not None and model.model_fields[str(where[-1])].is_required()


def _section_of(root: type[BaseModel], where: Where) -> type[BaseModel] | None:
    model: Any = root
    for part in where[:-1]:
        if isinstance(part, int):
            continue
        found = model.model_fields.get(part) if isinstance(model, type) and issubclass(model, BaseModel) else None
        model = _section_in(found.annotation) if found else None
    return model if isinstance(model, type) else None


def _section_in(annotation: Any) -> type[BaseModel] | None:
    """The section model inside `list[Section]`, `Section | None` and the like."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return annotation
    for inner in typing.get_args(annotation):
        if (found := _section_in(inner)) is not None:
            return found
    return None


def with_setting(text: str, where: Where, value: Mapping[str, Any]) -> str:
    """A YAML file's text with one setting put in or replaced, everything else as it was, comments too.

    Args:
        where: keys and places from the top, such as `("oracle", 0, "format")`; a single mapping stands for a list of
            one, as in a job file. All but the last have to be there.
        value: what the setting is; written on one line.

    Raises KeyError where there is no such place.
    """
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    for part in where[:-1]:
        node = node if part == 0 and isinstance(node, yaml.MappingNode) else _inside(node, part)
    written = yaml.safe_dump(dict(value), default_flow_style=True, sort_keys=False, width=10**6).strip()
    name = str(where[-1])
    try:
        old = _inside(node, name)
    except KeyError:
        said = f"{name}: {written}"
        at = node.start_mark.index
        if node.flow_style:
            return f"{text[: at + 1]}{said}{', ' if node.value else ''}{text[at + 1 :]}"
        return f"{text[:at]}{said}\n{' ' * node.start_mark.column}{text[at:]}"
    before = text[: old.start_mark.index]
    return before + (written if before[-1].isspace() else f" {written}") + text[_end(old) :]


def _inside(node: Any, part: str | int) -> Any:
    """The node of a key or a place. Raises KeyError."""
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                return value
    raise KeyError(part)


def _end(node: Any) -> int:
    """Where a node's own text ends: a block's mark lies behind the comments that follow it."""
    if isinstance(node, yaml.ScalarNode) or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(last[1] if isinstance(last, tuple) else last)
