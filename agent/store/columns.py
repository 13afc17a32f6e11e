"""Column types that keep what they are given, on any database: any text, any JSON, times in UTC."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from sys import intern
from typing import Any

import numpy as np
from sqlalchemy import (
    ARRAY,
    BigInteger,
    BindParameter,
    Column,
    DateTime,
    Dialect,
    FromClause,
    Integer,
    Text,
    column,
    func,
    literal,
    select,
    type_coerce,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.visitors import InternalTraversal
from sqlalchemy.types import NullType, TypeDecorator, TypeEngine

Id = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows by itself only for INTEGER

MARK = "\ue000json:"  # a private-use character: no text begins so by chance, and one that does is escaped too
TUPLE = "()"


def pack_text(text: str) -> str:
    """`text` itself, or where a database would refuse or cut it (NUL, lone surrogates) the same as escaped JSON."""
    if "\x00" not in text and not text.startswith(MARK):
        try:
            text.encode("utf-8")
            return text
        except UnicodeEncodeError:
            pass
    return MARK + json.dumps(text)


def unpack_text(stored: str) -> str:
    """What `pack_text` was given."""
    return str(json.loads(stored[len(MARK) :])) if stored.startswith(MARK) else stored


def pack_json(value: Any) -> str:
    """JSON of plain values, numpy's too. Tuples are marked, so that they come back as tuples."""
    return json.dumps(_marked(value), default=_plain, separators=(",", ":"))


def unpack_json(stored: str) -> Any:
    """What `pack_json` was given: lists as lists, tuples as tuples, mappings as dicts."""
    return _read(stored)[0]  # `pack_json` leaves no blanks around it, and to look for some takes as long as reading


def known(number: float | None) -> float | None:
    """A number as Python's own float; None for one that is not known (None or NaN)."""
    return None if number is None or math.isnan(number) else float(number)


def _marked(value: Any) -> Any:
    if isinstance(value, tuple):
        return {TUPLE: [_marked(v) for v in value]}
    if isinstance(value, list):
        return [_marked(v) for v in value]
    if isinstance(value, Mapping):
        return {k: _marked(v) for k, v in value.items()}
    return value


def _unmarked(value: dict[str, Any]) -> Any:
    if len(value) == 1 and isinstance(value.get(TUPLE), list):
        return tuple(value[TUPLE])
    return {intern(name): v for name, v in value.items()}  # a class has one name, in a million labels too


_read = json.JSONDecoder(object_hook=_unmarked).raw_decode  # made once: making it costs more than decoding


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"cannot be stored as JSON: {type(value).__name__}")


def _text_of(stored: str | None) -> str | None:
    return stored if stored is None or not stored.startswith(MARK) else unpack_text(stored)


def _json_of(stored: str | None) -> Any:
    return None if stored is None else _read(stored)[0]


def _utc_of(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    # `replace` would take four times as long
    return datetime.combine(moment, moment.time(), UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class AnyText(TypeDecorator[str]):
    """Text that may hold anything a Python string can."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else pack_text(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        return _text_of  # and not by way of `process_result_value`: it is asked for every value of every row


class Json(TypeDecorator[Any]):
    """Any JSON value, written as text. None is a JSON null inside, and an SQL NULL outside."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else pack_json(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        return _json_of


class Utc(TypeDecorator[datetime]):
    """A timezone-aware moment. SQLite keeps no zone, so it is written and read as UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"a time without a zone: {value!r}")
        return None if value is None else value.astimezone(UTC)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        read = self.impl_instance.result_processor(dialect, coltype)
        return _utc_of if read is None else lambda stored: _utc_of(read(stored))


class Texts(TypeDecorator[Any]):
    """Some texts (ids), to ask for with `Among`: one value, however many they are."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(ARRAY(Text) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        texts = [pack_text(text) for text in value]
        return texts if dialect.name == "postgresql" else json.dumps(texts)


def rows_of(dialect: str, **texts: BindParameter[Any]) -> FromClause:
    """Some `Texts` as a table: a column for each, by its name, with a row for each place in them."""
    if dialect == "postgresql":
        named = [column(name, AnyText()) for name in texts]
        return func.unnest(*texts.values()).table_valued(*named).render_derived()
    (first, values), *more = texts.items()
    each = func.json_each(values).table_valued("key", "value")
    place = literal("$[").concat(each.c.key).concat("]")
    others = [func.json_extract(other, place, type_=AnyText()).label(name) for name, other in more]
    return select(type_coerce(each.c.value, AnyText()).label(first), *others).subquery()


def by_hash(said: str) -> float:
    """A number from 0 to 1 that looks like chance, and is always the same for the same words."""
    digest = hashlib.sha256(said.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


class InCodePoints(ColumnElement[str]):
    """A text column to order by: the order of Python and SQLite, also where PostgreSQL sorts like a dictionary."""

    # by what statements with it are told apart: without it each would be compiled again, which takes milliseconds
    _traverse_internals = [("column", InternalTraversal.dp_clauseelement)]  # noqa: RUF012
    inherit_cache = True

    def __init__(self, column: Column[Any]) -> None:
        self.column = column
        self.type = column.type


class Among(ColumnElement[Any]):
    """Whether a text column is one of some `Texts`. A list of blanks would be another statement for each number of
    them, which the database plans anew and SQLAlchemy fills in slowly."""

    _traverse_internals = [  # noqa: RUF012 - as above
        ("column", InternalTraversal.dp_clauseelement),
        ("texts", InternalTraversal.dp_clauseelement),
    ]
    inherit_cache = True
    type = NullType()  # where it is Boolean, SQLite is asked whether it "= 1", and then uses no index

    def __init__(self, column: ColumnElement[str], texts: BindParameter[Any]) -> None:
        self.column, self.texts = column, texts


@compiles(InCodePoints)
def _plainly(element: InCodePoints, compiler: SQLCompiler, **how: Any) -> str:
    return compiler.process(element.column, **how)


@compiles(InCodePoints, "postgresql")
def _collated(element: InCodePoints, compiler: SQLCompiler, **how: Any) -> str:
    return f'{compiler.process(element.column, **how)} COLLATE "C"'


@compiles(Among)
def _from_json(element: Among, compiler: SQLCompiler, **how: Any) -> str:
    column, texts = compiler.process(element.column, **how), compiler.process(element.texts, **how)
    return f"{column} IN (SELECT value FROM json_each({texts}))"  # noqa: S608 - made of what SQLAlchemy compiled


@compiles(Among, "postgresql")
def _from_array(element: Among, compiler: SQLCompiler, **how: Any) -> str:
    return f"{compiler.process(element.column, **how)} = ANY ({compiler.process(element.texts, **how)})"
