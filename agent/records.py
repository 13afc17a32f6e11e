"""The values that every room shares: small, frozen, and free of behaviour that needs a library.

Knows nothing of files, networks, models or databases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NewType, Protocol, overload

import numpy as np
import numpy.typing as npt

TextId = NewType("TextId", str)
MicroDollars = NewType("MicroDollars", int)
Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
CountTokens = Callable[[list[str]], list[int]]
"""Texts to how many tokens each has."""

# What a label says: a class name, a list of class names, or any JSON a task of its own defines.
Value = Any


@dataclass(frozen=True, slots=True)
class Text:
    """One distinct text. `row` is its place in the pool (0-based), or -1 for a text outside it (gold, seed)."""

    id: TextId
    text: str
    row: int = -1


class Texts(Sequence[Text]):
    """A lazy sequence of pool texts: `rows` are known at once, the strings are read when asked for.

    A student that works on stored embeddings reads `rows` only, so scoring ten million texts touches no string.
    """

    def __init__(self, rows: Rows, read: Callable[[Rows], list[Text]]) -> None:
        self.rows = rows
        self._read = read

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Text: ...
    @overload
    def __getitem__(self, index: slice) -> Texts: ...
    def __getitem__(self, index: int | slice) -> Text | Texts:
        if isinstance(index, slice):
            return Texts(self.rows[index], self._read)
        return self._read(self.rows[index : index + 1] if index != -1 else self.rows[-1:])[0]

    def __iter__(self) -> Iterator[Text]:
        for start in range(0, len(self.rows), 4096):
            yield from self._read(self.rows[start : start + 4096])


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request, as the endpoint counted them. `cached_tokens` are part of `prompt_tokens`."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
        )


@dataclass(frozen=True, slots=True)
class Picture:
    """What a turn shows beside its words. The bytes are read when a request is written, and are never part of this.

    Attributes:
        sha256: of the bytes.
        tokens: most that it costs in the prompt.
        uri: reads it, as a `data:` URI. Raises DataError where it is not there any more, or another.
    """

    sha256: str
    tokens: int
    uri: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat: role is system, user or assistant."""

    role: str
    content: str
    picture: Picture | None = None


@dataclass(frozen=True, slots=True)
class AnswerSchema:
    """What an answer must look like.

    `choices` is set where the answer is exactly one of a few strings (then a server's `choice` mode can force it);
    `json_schema` is empty where the answer is free text. `max_tokens` is the most an answer takes, sent as
    `max_completion_tokens` or as what the endpoint calls it (`agent.oracle.dialect`).
    """

    json_schema: Mapping[str, Any]
    max_tokens: int
    choices: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One question to an oracle. `key` is the hash of everything that shapes the answer."""

    key: str
    text_id: TextId
    messages: tuple[Message, ...]
    schema: AnswerSchema
    prompt_hash: str

    @property
    def picture_tokens(self) -> int:
        """Most tokens of all its pictures."""
        return sum(m.picture.tokens for m in self.messages if m.picture is not None)


@dataclass(frozen=True, slots=True)
class TokenChoice:
    """One generated token with its log probability (natural log) and the likeliest alternatives there."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What an oracle sent back, before anyone parses it. `usage` is None where the endpoint gave none."""

    content: str
    model: str
    usage: Usage | None
    tokens: tuple[TokenChoice, ...] = ()
    finish_reason: str = "stop"


@dataclass(frozen=True, slots=True)
class Belief:
    """How sure an answer is: `probabilities` of every class (renormalised) where there are classes,
    `confidence` in the given value, and `lost_mass`: probability that went to no label, kept as doubt."""

    confidence: float
    probabilities: Mapping[str, float] | None = None
    lost_mass: float = 0.0


class Source(StrEnum):
    """Who gave a label. Order of authority: a person's label beats a seed's, a seed's a machine's."""

    PERSON = "person"
    SEED = "seed"
    ORACLE = "oracle"
    STUDENT = "student"


@dataclass(frozen=True, slots=True)
class Label:
    """One decision about one text, with its provenance. Never changed: a newer one supersedes it.

    `confidence` is as given by the source, uncalibrated; None for a person. `by` is the person's name, or the
    oracle's name and model as `name/model`. `signs` is what spoke for and against it when it was given (see
    `agent.doubt.SIGNS`), None where nobody looked.
    """

    text_id: TextId
    value: Value
    source: Source
    by: str
    probabilities: Mapping[str, float] | None = None
    confidence: float | None = None
    lost_mass: float = 0.0
    prompt_hash: str = ""
    answer_id: int | None = None
    cost: MicroDollars = MicroDollars(0)
    created_at: datetime | None = None
    id: int | None = None
    signs: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Prediction:
    """What a student thinks of n texts.

    Attributes:
        values: n values, the most likely one for each text.
        doubt: (n,) float32 in 0 to 1, higher is less sure: 1 minus the confidence in `values`.
        probabilities: (n, C) float32 for tasks with classes, else None. Rows sum to one for classification;
            each column is a probability of its own for multilabel.
    """

    values: Sequence[Value]
    doubt: Floats
    probabilities: Floats | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """An oracle's answer on a gold text: how sure it was (None where nothing tells), and what it cost. No label."""

    value: Value
    confidence: float | None
    cost: MicroDollars


@dataclass(frozen=True, slots=True)
class Pick:
    """One text chosen to be asked, and why.

    `probability` is its recorded chance of inclusion: exact for the random slice, None where the choice was
    deterministic given the student.
    """

    text_id: TextId
    row: int
    slice: str  # cold, unsure, uncovered, random
    score: float
    probability: float | None = None
    why: Mapping[str, Any] = field(default_factory=dict)


class Route(StrEnum):
    """Where an answered text goes."""

    ACCEPTED = "accepted"
    STRONGER = "stronger"  # in the store: put off, and until then a person may decide
    PERSON = "person"


class Oracle(Protocol):
    """The seam to a large model. An oracle does not know that it is metered."""

    name: str
    model: str

    async def ask(self, question: Question, request_id: str = "") -> Answer:
        """Ask one question, once: no retries inside. `request_id` goes along, so that the endpoint's own log can be
        held against ours.

        Raises OracleError, which says whether it may have been charged.
        """
        ...

    async def close(self) -> None: ...


class Student(Protocol):
    """The seam to a small model."""

    def fit(self, texts: Sequence[Text], targets: Any, weights: Floats, rng: np.random.Generator) -> None:
        """Learn from `targets` (what `Task.targets` returns for n labels) and `weights` (n,) float32."""
        ...

    def predict(self, texts: Sequence[Text]) -> Prediction: ...

    def save(self, folder: str) -> None: ...

    def load(self, folder: str) -> None: ...
