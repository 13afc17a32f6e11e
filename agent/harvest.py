"""What came back of a batch: each line of its files matched with the attempt that it belongs to, whatever is odd.

Pure reading. A file may hold a line twice, a line of somebody else, half a line, or not all of them, in any order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.errors import Charge, OracleError
from agent.ledger import LineEnd
from agent.oracle.lines import Returned, read_lines
from agent.store import OpenLine

TWICE, UNKNOWN, UNREADABLE = "came twice", "were not of this batch", "could not be read"


@dataclass
class Harvest:
    """One pass over a batch's files.

    Args:
        lines: attempts that have not ended, by id.
        ended: attempts of the batch that ended in an earlier pass.
        model: what to call the model where a line does not say.
    """

    lines: Mapping[int, OpenLine]
    ended: set[int]
    model: str
    answered: int = 0
    odd: Counter[str] = field(default_factory=Counter)
    _seen: set[int] = field(default_factory=set)
    _ran: int = 0

    def read(self, paths: Sequence[Path]) -> Iterator[LineEnd]:
        """What became of each attempt that is named in the files, once. Raises OSError."""
        for path in paths:
            for returned in read_lines(path):
                attempt_id = self._of_this_batch(returned)
                if returned is None or attempt_id is None:
                    continue
                self._seen.add(attempt_id)
                self._ran += not returned.never_ran
                if attempt_id in self.lines:
                    yield self._end(self.lines[attempt_id], returned)

    def missing(self, *, none_ran: bool, completed: int | None, failed: int | None) -> Iterator[LineEnd]:
        """The attempts that no file named. Call it when `read` is through.

        Args:
            none_ran: the provider refused the batch as a whole.
            completed: lines that the provider says it answered, and `failed` those that it says it did not; None
                where it does not say. Where both are accounted for, what is missing was never run.
        """
        accounted = completed is not None and failed is not None
        if accounted and completed is not None and failed is not None:
            accounted = self._ran >= completed and len(self._seen) >= completed + failed
        certain = not self._seen if none_ran else accounted
        reason = "the batch ended before it was run" if certain else "it came back in no file"
        for attempt_id, line in self.lines.items():
            if attempt_id not in self._seen:
                yield LineEnd(line, None, reason, Charge.NONE if certain else Charge.UNKNOWN)

    def remarks(self) -> str:
        """What was odd, as a sentence; "" where nothing was."""
        return ", ".join(f"{n} lines {what}" for what, n in sorted(self.odd.items()))

    def _of_this_batch(self, returned: Returned | None) -> int | None:
        """The attempt of a line that counts: readable, ours, and the first of its kind."""
        if returned is None:
            self.odd[UNREADABLE] += 1
            return None
        attempt_id = returned.attempt_id
        if attempt_id is None or not (attempt_id in self.lines or attempt_id in self.ended):
            self.odd[UNKNOWN] += 1
            return None
        if attempt_id in self._seen:
            self.odd[TWICE] += 1
            return None
        return attempt_id

    def _end(self, line: OpenLine, returned: Returned) -> LineEnd:
        try:
            answer = returned.answer(self.model)
        except OracleError as error:
            return LineEnd(line, None, str(error), error.charge, error.retryable)
        self.answered += 1
        return LineEnd(line, answer)
