"""Every exception that Labelwright raises on purpose.

    LabelwrightError
    ├── UserError                 the person can fix it: one message, exit code 2, no traceback
    │   ├── JobFileError          the job file is wrong; carries every problem with its line
    │   ├── DataError             a pool, seed or gold file is wrong
    │   ├── PromptError           a prompt template lacks a variable, or is given one it does not use
    │   ├── PriceMissing          a model without a price is refused, never free
    │   ├── EndpointError         the endpoint is down, refuses the key or does not know the model
    │   ├── TapeMiss              a tape has no answer to this question
    │   ├── TapeError             a tape cannot be read
    │   ├── StoreError            the store cannot be opened, written or understood
    │   │   └── JobLocked         another run owns the job
    │   ├── ModelError            an encoder or model folder cannot be used
    │   ├── HubError              a model or labels cannot be put on the Hugging Face hub
    │   └── ExtraMissing          an optional package is needed: says which `pip install`
    ├── OracleError               one question got no usable answer; says whether it was charged
    ├── RedactionFailed           a text was not looked through for personal data, and so it is never sent
    ├── AnswerInvalid             an answer that is not a label of this task (it was paid, it is no label)
    └── BudgetExceeded            a reservation would pass the cap; carries spent, open, wanted, cap

Anything else that reaches the top is a bug and gets a traceback.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class LabelwrightError(Exception):
    """The root of the tree above."""


class UserError(LabelwrightError):
    """Something the person can fix. The message names the file, the line or key, and the way out."""

    exit_code = 2


class JobFileError(UserError):
    """The job file is wrong.

    Args:
        path: the file.
        problems: `(line, message)`, line 0 where none is known; all of them at once.
    """

    def __init__(self, path: str, problems: Sequence[tuple[int, str]]) -> None:
        self.path = path
        self.problems = tuple(sorted(problems))
        lines = [f"{path}:{line}: {text}" if line else f"{path}: {text}" for line, text in self.problems]
        super().__init__("\n".join(lines))


class DataError(UserError):
    """A pool, seed or gold file is wrong."""


class PromptError(UserError):
    """A prompt template is wrong, or its variables do not match the task's."""


class PriceMissing(UserError):
    """A model without a price is refused, never free."""


class EndpointError(UserError):
    """The endpoint is down, refuses the key or does not know the model."""


class TapeError(UserError):
    """A tape cannot be read, or was written by a newer version."""


class TapeMiss(UserError):
    """A tape has no answer to this question."""


class StoreError(UserError):
    """The store cannot be opened, written or understood."""


class JobLocked(StoreError):
    """Another run owns the job."""


class ModelError(UserError):
    """An encoder or model folder cannot be used."""


class HubError(UserError):
    """A model or labels cannot be put on the Hugging Face hub. The message holds no token."""


class ExtraMissing(UserError):
    """An optional package is needed."""


class Charge(StrEnum):
    """What is known of the money after an attempt failed (law 1)."""

    NONE = "none"  # certainly not charged: connect failure, 4xx, 429, a refusal before work began
    UNKNOWN = "unknown"  # may have been charged: time-out after sending, reset, 5xx


class OracleError(LabelwrightError):
    """One question got no usable answer.

    Args:
        message: what happened, without secrets.
        charge: whether the attempt may have cost money.
        retryable: whether the same question may do better later.
        retry_after_s: what the server asked us to wait, where it said so.
        unreachable: no connection could be made at all, so that no other question would fare better.
        busy: the endpoint says that it is asked too much at a time (429, 503).
        adapted: it was the way of asking that was refused, and the same question goes out in another way next time.
    """

    def __init__(
        self,
        message: str,
        *,
        charge: Charge,
        retryable: bool = True,
        retry_after_s: float | None = None,
        unreachable: bool = False,
        busy: bool = False,
        adapted: bool = False,
    ) -> None:
        super().__init__(message)
        self.charge = charge
        self.retryable = retryable
        self.retry_after_s = retry_after_s
        self.unreachable = unreachable
        self.busy = busy
        self.adapted = adapted


class RedactionFailed(LabelwrightError):
    """A text was not looked through for personal data, and so it is never sent. The message holds none of it."""


class AnswerInvalid(LabelwrightError):
    """The answer is not a label of this task. It was paid; it is stored; it is never a label."""


class BudgetExceeded(LabelwrightError):
    """A reservation would pass the cap. All amounts are micro-dollars."""

    def __init__(self, *, spent: int, reserved: int, wanted: int, cap: int) -> None:
        self.spent, self.reserved, self.wanted, self.cap = spent, reserved, wanted, cap
        super().__init__(
            f"budget: {wanted / 1e6:.6f} dollars wanted, but {spent / 1e6:.6f} spent and "
            f"{reserved / 1e6:.6f} reserved of {cap / 1e6:.6f}"
        )
