"""Lines of a batch: how a question is written into a file, and what a line that came back says.

The format is that of OpenAI's Batch API; `vllm run-batch` reads and writes the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from agent.errors import Charge, OracleError
from agent.oracle.completion import TRY_AGAIN, answer_of, charge_of, told, words
from agent.records import Answer
from agent.store import BatchRow

URL: Final = "/v1/chat/completions"
MARK = "lw-"
NEVER_RUN = frozenset({"batch_expired", "batch_cancelled", "batch_canceled"})
MOST_DIGITS = 19  # of an attempt's number


@dataclass(frozen=True, slots=True)
class Returned:
    """One line that came back.

    Attributes:
        custom_id: as we wrote it, or whatever the provider made of it.
        status: of the request inside the batch, 0 where the line says none.
        body: the completion, where there is one.
        error: what the line says went wrong, None where nothing did.
    """

    custom_id: str
    status: int
    body: Any
    error: Any

    @property
    def attempt_id(self) -> int | None:
        """The attempt that the line belongs to; None where the id is none of ours."""
        number = self.custom_id.removeprefix(MARK)
        ours = number != self.custom_id and number.isascii() and number.isdigit() and len(number) <= MOST_DIGITS
        return int(number) if ours else None

    @property
    def never_ran(self) -> bool:
        """The batch ended before this line was worked on."""
        return _code(self.error) in NEVER_RUN

    @property
    def completed(self) -> bool:
        """The line was answered, with whatever."""
        return self.error is None and self.status in (0, 200)

    def answer(self, model: str) -> Answer:
        """The answer. Raises OracleError, which says whether the line may have been charged."""
        if self.never_ran:
            raise OracleError(f"not run: {_code(self.error)}", charge=Charge.NONE)
        if self.completed:
            return answer_of(self.body, model)
        said = told(self.error if self.error is not None else self.body, "no message")
        if isinstance(self.error, str):
            said = words(self.error)
        raise OracleError(
            f"HTTP {self.status}: {said}" if self.status else said,
            charge=charge_of(self.status, said),
            retryable=not 400 <= self.status < 500 or self.status in TRY_AGAIN,
        )

    def without(self, secret: str) -> Returned:
        """The same, its error without the key that it may quote back: masked whole, before anything is cut short."""
        return replace(self, body=masked(self.body, secret), error=masked(self.error, secret))


def masked(said: Any, secret: str | None) -> Any:
    """Decoded JSON with every occurrence of a secret in its texts replaced."""
    if not secret:
        return said
    if isinstance(said, str):
        return said.replace(secret, "***")
    if isinstance(said, Mapping):
        return {masked(name, secret): masked(part, secret) for name, part in said.items()}
    return [masked(part, secret) for part in said] if isinstance(said, list) else said


def file_of(folder: Path, batch: BatchRow, what: str) -> Path:
    """Where a batch's `input`, `output` or `error` lines are.

    No other batch has that name, in this store or another: answers that somebody left there are never taken for ours.
    """
    nonce = str(batch.details.get("nonce", ""))[:8]
    return folder / f"{batch.oracle}-{batch.id:06d}-{nonce}.{what}.jsonl"


def written(attempt_id: int, body: Mapping[str, Any]) -> bytes:
    """One line of a batch's input file."""
    line = {"custom_id": f"{MARK}{attempt_id}", "method": "POST", "url": URL, "body": body}
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def write_lines(path: Path, lines: Iterable[bytes]) -> None:
    """Write a file that is either there and whole, or not there. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def read_lines(path: Path) -> Iterator[Returned | None]:
    """The lines of an output or error file; None for one that cannot be read, such as a last one that was cut off."""
    with path.open("rb") as file:
        for raw in file:
            if raw.strip():
                yield read_line(raw)


def read_line(raw: bytes) -> Returned | None:
    """One line of an output or error file, None where it is not one."""
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError):  # also bytes that are no UTF-8, and brackets without end
        return None
    if not isinstance(line, dict) or not isinstance(line.get("custom_id"), str):
        return None
    response = line.get("response")
    response = response if isinstance(response, dict) else {}
    status = response.get("status_code")
    error = line.get("error") or None  # some providers say {} for none
    return Returned(line["custom_id"], status if type(status) is int else 0, response.get("body"), error)


def _code(error: Any) -> str:
    code = error.get("code") if isinstance(error, Mapping) else None
    return code if isinstance(code, str) else ""
